"""Deleting sessions from an SQLite store, a few at a time, and freeing their space."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.store import Pruned, Summary, index, sessions
from coagent_langchain.server.store.database import Lock, connect, transaction
from coagent_langchain.server.store.schema import migrate, version_of

AT_ONCE = 100  # sessions per transaction, so that a server can store in between


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
        return self._delete("last_ms < ?", [before_ms])

    def delete(self, session_ids: Sequence[str]) -> Pruned:
        """Delete these sessions; a missing one is not an error."""
        return self._delete(sessions.named_in(session_ids), session_ids)

    def _delete(self, condition: str, values: Sequence[Any]) -> Pruned:
        with self._connected() as connection:
            pruned = _delete_from(connection, condition, values)
            _shrink(connection, self._path)
        return pruned

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


def _delete_from(connection: sqlite3.Connection, condition: str, values: Sequence[Any]) -> Pruned:
    count = entries = 0
    while True:
        with transaction(connection):
            sql = f"SELECT id FROM sessions WHERE {condition} LIMIT ?"
            found = connection.execute(sql, (*values, AT_ONCE)).fetchall()
            for number in found:
                entries += connection.execute("DELETE FROM entries WHERE session = ?", number).rowcount
                connection.execute("DELETE FROM prompts WHERE session = ?", number)
                connection.execute("DELETE FROM facets WHERE session = ?", number)
                connection.execute("DELETE FROM sessions WHERE id = ?", number)
        count += len(found)
        if len(found) < AT_ONCE:
            return Pruned(count, entries)


def _shrink(connection: sqlite3.Connection, path: Path) -> None:
    """Delete the index and shrink the file, unless a server is using it, which will reuse the free space."""
    try:
        lock = Lock(path)
    except ConfigurationError:
        return
    try:
        index.remove(path)
        connection.execute("VACUUM")
    except sqlite3.Error as error:
        raise ConfigurationError(f"the sessions are deleted, but {path} cannot be shrunk: {error}") from error
    finally:
        lock.release()
