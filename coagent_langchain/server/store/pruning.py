"""Deleting sessions from an SQLite store, a few at a time, and freeing their space."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.store import Pruned, Summary, index, sessions
from coagent_langchain.server.store.database import Lock, connect, transaction
from coagent_langchain.server.store.schema import migrate, version_of

AT_ONCE = 100  # sessions per transaction, so that a server can store in between
PAUSE = 0.01  # seconds: SQLite has no queue, and a server that waits only looks now and then whether the file is free


class StoreFile:
    """A store's file to delete from, whether or not a server is using it.

    Without a server, the file also shrinks, and the search index, which still has the deleted words, is deleted; it is
    rebuilt later. Each method raises `ConfigurationError` if the file is not a store or there is no space to shrink it.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise ConfigurationError(f"there is no store at {path}")
        self._path = path

    def summaries(self) -> list[Summary]:
        """See `Store.summaries`."""
        with self._connected() as connection:
            return sessions.summaries(connection)

    def prune(self, before_ms: int) -> Pruned:
        """Delete every session whose last entry is older than `before_ms`."""
        with self._deleting() as connection:
            return _sum(iter(lambda: _delete_some(connection, "last_ms < ?", [before_ms]), Pruned(0, 0)))

    def delete(self, session_ids: Sequence[str]) -> Pruned:
        """Delete these sessions; a missing one is not an error."""
        parts = [session_ids[start : start + AT_ONCE] for start in range(0, len(session_ids), AT_ONCE)]
        with self._deleting() as connection:
            return _sum(_delete_some(connection, sessions.named_in(some), some) for some in parts)

    def close(self) -> None:
        """Do nothing: no connection stays open."""

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(connect(self._path)) as connection:
                if not version_of(connection):
                    raise sqlite3.NotSupportedError("it is not a store")
                migrate(connection)
                yield connection
        except sqlite3.Error as error:
            raise ConfigurationError(f"{self._path} cannot be used: {error}") from error

    @contextlib.contextmanager
    def _deleting(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection, _alone(self._path) as alone:
            if alone:
                index.remove(self._path)  # first: deleting needs space, of which a full disk has none
            yield connection
            if alone:
                _shrink(connection, self._path)


def _delete_some(connection: sqlite3.Connection, condition: str, values: Sequence[Any]) -> Pruned:
    """Delete at most `AT_ONCE` of the sessions that match a condition, then let a server store."""
    entries = 0
    with transaction(connection):
        sql = f"SELECT id FROM sessions WHERE {condition} LIMIT {AT_ONCE}"
        found = connection.execute(sql, values).fetchall()
        for number in found:
            entries += connection.execute("DELETE FROM entries WHERE session = ?", number).rowcount
            connection.execute("DELETE FROM prompts WHERE session = ?", number)
            connection.execute("DELETE FROM facets WHERE session = ?", number)
            connection.execute("DELETE FROM sessions WHERE id = ?", number)
    time.sleep(PAUSE)
    return Pruned(len(found), entries)


def _sum(steps: Iterable[Pruned]) -> Pruned:
    made = [*steps]
    return Pruned(sum(each.sessions for each in made), sum(each.entries for each in made))


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Keep servers away during the `with` block; False if one is using the file, which will reuse the free space."""
    try:
        lock = Lock(path)
    except ConfigurationError:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _shrink(connection: sqlite3.Connection, path: Path) -> None:
    try:
        connection.execute("VACUUM")
    except sqlite3.Error as error:
        raise ConfigurationError(f"the sessions are deleted, but {path} cannot be shrunk: {error}") from error
