"""Old sessions deleted from an SQLite store, a few at a time, and the room that they took given back."""

from __future__ import annotations

import contextlib
import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.store import Pruned, index
from coagent_langchain.server.store.database import Lock, connect, transaction

AT_ONCE = 100  # sessions of one transaction, so that a server can store in between


def prune(connection: sqlite3.Connection, before_ms: int, writing: AbstractContextManager[Any]) -> Pruned:
    """See `Store.prune`.

    Parameters:
        writing: held for each transaction.
    """
    sessions = entries = 0
    while True:
        with writing, transaction(connection):
            sql = "SELECT id FROM sessions WHERE last_ms < ? LIMIT ?"
            old = connection.execute(sql, (before_ms, AT_ONCE)).fetchall()
            for number in old:
                entries += connection.execute("DELETE FROM entries WHERE session = ?", number).rowcount
                connection.execute("DELETE FROM prompts WHERE session = ?", number)
                connection.execute("DELETE FROM facets WHERE session = ?", number)
                connection.execute("DELETE FROM sessions WHERE id = ?", number)
        sessions += len(old)
        if len(old) < AT_ONCE:
            return Pruned(sessions, entries)


def prune_file(path: Path, before_ms: int) -> Pruned:
    """`Store.prune` on a file, beside the server that uses it or without one.

    Without one the file also shrinks, and the search index, which still has the words, is deleted: it is made again.

    Raises:
        ConfigurationError: it is not a store, or there is no room to shrink it.
    """
    if not path.exists():
        raise ConfigurationError(f"there is no store at {path}")
    try:
        with contextlib.closing(connect(path)) as connection:
            pruned = prune(connection, before_ms, contextlib.nullcontext())
            _shrink(connection, path)
    except sqlite3.Error as error:
        raise ConfigurationError(f"{path} cannot be pruned: {error}") from error
    return pruned


def _shrink(connection: sqlite3.Connection, path: Path) -> None:
    """Delete the index and give free space back; a server that has the file uses the space again."""
    try:
        lock = Lock(path)
    except ConfigurationError:
        return
    try:
        index.remove(path)
        connection.execute("VACUUM")
    except sqlite3.Error as error:
        raise ConfigurationError(f"{path} was pruned, but cannot shrink: {error}") from error
    finally:
        lock.release()
