"""Deleting sessions from an SQLite store, a few at a time, and freeing their space."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.store import sqlite_index, sqlite_sessions
from coagent_langchain.server.store.records import Pruned, Summary
from coagent_langchain.server.store.sqlite_file import Lock, connect, transaction
from coagent_langchain.server.store.sqlite_schema import migrate, version_of

AT_ONCE = 100  # sessions per transaction, so that a server can store in between
MOST = 2_000  # entries per transaction
PAUSE = 0.01  # seconds: SQLite has no queue, and a server that waits only looks now and then whether the file is free


class SqliteDeleter:
    """Deletes from a store's file, whether or not a server is using it.

    Without a server, the file also shrinks, and the search index, which still has the deleted words, is deleted; it is
    rebuilt later. Each method raises `ConfigurationError` if the file is not a store or there is no space to shrink it.

    Parameters:
        path: the file.
        pause: called between transactions beside a server, to let it store.
    """

    def __init__(self, path: Path, pause: Callable[[], object] = lambda: time.sleep(PAUSE)) -> None:
        if not path.exists():
            raise ConfigurationError(f"there is no store at {path}")
        self._path, self._pause = path, pause

    def summaries(self) -> list[Summary]:
        """See `Store.summaries`."""
        with self._connected() as connection:
            return sqlite_sessions.summaries(connection)

    def prune(self, before_ms: int) -> Pruned:
        """Delete every session whose last entry is older than `before_ms`."""
        return self._delete([("last_ms < ?", [before_ms])])

    def delete(self, session_ids: Sequence[str]) -> Pruned:
        """Delete these sessions; a missing one is not an error."""
        parts = [session_ids[start : start + AT_ONCE] for start in range(0, len(session_ids), AT_ONCE)]
        deleted = self._delete((sqlite_sessions.named_in(some), some) for some in parts)
        return replace(deleted, sessions=min(deleted.sessions, len(session_ids)))  # one that returns is deleted again

    def _delete(self, conditions: Iterable[tuple[str, Sequence[Any]]]) -> Pruned:
        count = entries = 0
        with self._connected() as connection, _alone(self._path) as alone:
            if alone:
                sqlite_index.remove(self._path)  # first: deleting needs space, of which a full disk has none
            for condition, values in conditions:
                for deleted in _delete_in_steps(connection, condition, values):
                    count, entries = count + deleted.sessions, entries + deleted.entries
                    if not alone:
                        self._pause()
            if alone:
                _shrink(connection, self._path)
        return Pruned(count, entries)

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


def _delete_in_steps(connection: sqlite3.Connection, condition: str, values: Sequence[Any]) -> Iterator[Pruned]:
    """Delete the sessions that match a condition; yields after each transaction what it has deleted."""
    sql = f"SELECT id, entries FROM sessions WHERE {condition} LIMIT {AT_ONCE}"
    while True:
        with transaction(connection):
            found = connection.execute(sql, values).fetchall()
            totals = itertools.accumulate(size for _, size in found)
            small = [each for each, total in zip(found, totals, strict=True) if total <= MOST]
            for number, _ in small:
                _delete_one(connection, number)
        if small:
            yield Pruned(len(small), sum(size for _, size in small))
        elif found:
            yield from _delete_large(connection, *found[0])
        else:
            return


def _delete_large(connection: sqlite3.Connection, number: int, size: int) -> Iterator[Pruned]:
    """Delete a session with many entries, some per transaction, and whatever arrives for it meanwhile.

    Its roll-up goes last: if this is interrupted, the session is still listed and can be deleted again.
    """
    some = f"DELETE FROM entries WHERE seq IN (SELECT seq FROM entries WHERE session = ? LIMIT {MOST})"
    while connection.execute(some, (number,)).rowcount == MOST:
        yield Pruned(0, 0)
    with transaction(connection):
        _delete_one(connection, number)
    yield Pruned(1, size)


def _delete_one(connection: sqlite3.Connection, number: int) -> None:
    for table in ("entries", "prompts", "facets"):
        connection.execute(f"DELETE FROM {table} WHERE session = ?", (number,))
    connection.execute("DELETE FROM sessions WHERE id = ?", (number,))


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Keep servers away during the `with` block; False if one is using the file, which will reuse the free space."""
    try:
        lock = Lock(path)
    except ConfigurationError:
        yield False
        return
    with contextlib.closing(lock):
        yield True


def _shrink(connection: sqlite3.Connection, path: Path) -> None:
    folder = str(path.absolute().parent).replace("'", "''")
    try:
        # VACUUM writes a copy: /var/tmp and /tmp may be small, read-only, or on the disk that the machine lives on.
        connection.execute(f"PRAGMA temp_store_directory = '{folder}'")
        connection.execute("VACUUM")
    except sqlite3.Error as error:
        raise ConfigurationError(f"the sessions are deleted, but {path} cannot be shrunk: {error}") from error
    finally:
        connection.execute("PRAGMA temp_store_directory = ''")  # it is the process's, not the connection's
