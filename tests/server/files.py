"""Store files: opening, modes, old versions, damage."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path

from coagent_langchain import server
from coagent_langchain.server.store import Store
from coagent_langchain.server.store.sqlite import SqliteStore
from coagent_langchain.server.store.sqlite_file import PAGE_SIZE, connect
from tests.waiting import until


@contextlib.contextmanager
def opened(address: str) -> Iterator[Store]:
    """The store at an address, closed afterwards."""
    with contextlib.closing(server.open_store(address)) as store:
        yield store


def until_indexed(store: Store, blocks: int) -> None:
    """Wait until as many blocks of a store's entries are in its search index."""
    assert isinstance(store, SqliteStore)
    until(lambda: store._index.blocks == blocks)


def mode(path: Path) -> int:
    """A file's permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def make_first_version(path: Path) -> None:
    """Turn a store's file into one that the first version of the package made."""
    with contextlib.closing(connect(path)) as first:
        first.execute("CREATE INDEX entries_errors ON entries (session, timestamp) WHERE type = 11")
        for name in ("open_calls", "input_reports", "output_reports", "cached_reports", "unpriced_calls", "failure_ms",
                     "failure"):  # fmt: skip
            first.execute(f"ALTER TABLE sessions DROP COLUMN {name}")
        first.execute("PRAGMA user_version = 1")


def damage(path: Path, table: str) -> None:
    """Overwrite the root page of a table in a database file."""
    with contextlib.closing(connect(path)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0] - 1
    with path.open("r+b") as file:
        file.seek(page * PAGE_SIZE)
        file.write(b"\xff" * PAGE_SIZE)
