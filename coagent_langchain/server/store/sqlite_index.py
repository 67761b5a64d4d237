"""The full-text index: a separate file, written after the entries and rebuilt if deleted.

Indexing an entry costs more than storing it, so it happens in the background, in blocks of entries in order of arrival.
A search reads entries that are not indexed yet itself: everything that is stored is found.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from coagent_langchain.errors import guard, warn
from coagent_langchain.server.store import Unavailable
from coagent_langchain.server.store.search import Terms, indexed
from coagent_langchain.server.store.sqlite_file import closed_on_error, connect, make_private, transaction

BLOCK = 8  # entries that share one row of the index, which makes it smaller; a search checks each of them
STEP = 1024  # blocks per transaction: 0.2 s
PAUSE = 0.1  # seconds before each step, to collect entries
BURST = 1000  # entries per pause: if more arrive, indexing waits and leaves the CPU to requests
MAX_LAG = 100_000  # unindexed entries, which a search reads in 0.4 s: with more, indexing continues during a burst
RETRY = 5.0  # seconds after a disk error
VERSION = 1  # of what is indexed: an index of another version lacks what this one finds, and is rebuilt

_SCHEMA = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(text, content='', columnsize=0, detail=none,"
    " tokenize='unicode61 remove_diacritics 0')",
    "CREATE TABLE IF NOT EXISTS progress (one INTEGER PRIMARY KEY CHECK (one = 1), blocks INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO progress VALUES (1, 0)",
)
_EMPTY = f"DROP TABLE IF EXISTS words; DROP TABLE IF EXISTS progress; PRAGMA user_version = {VERSION}"
# The texts, and at least those numbers that `search.searched` finds; SQLite quotes names with an underscore, in future
# perhaps not. \\u0000 would end a text; \\u0020 in its place is valid JSON even if the backslash is itself escaped
_ADD = """INSERT INTO words (rowid, text) SELECT seq / :size AS block, indexed(CAST(group_concat(
        (SELECT group_concat(atom, ' ') FROM json_tree(replace(CAST(body AS TEXT), '\\u0000', '\\u0020'))
         WHERE type = 'text' AND path NOT IN ('$.meta."tools_offered"', '$.meta.tools_offered')
            OR type = 'integer' AND path NOT IN ('$', '$."llm_response"', '$.llm_response', '$.meta')
                AND (path NOT GLOB '$.meta.*' OR path GLOB '$.meta.context*')), ' ') AS BLOB))
    FROM log.entries WHERE seq >= :first * :size AND seq < :last * :size GROUP BY block"""


class Index:
    """`PATH.search`, the index of the entries file at a path, and the thread that keeps it up to date.

    Parameters:
        latest: returns the highest sequence number stored.
    """

    def __init__(self, path: Path, latest: Callable[[], int]) -> None:
        self.path = Path(f"{path}.search")
        self._latest = latest
        make_private(self.path)
        self._connection = connect(self.path)
        with closed_on_error(self._connection):
            self._connection.execute("PRAGMA synchronous = NORMAL")  # what a power failure loses is indexed again
            if self._connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                self._connection.executescript(_EMPTY)
            for statement in _SCHEMA:
                self._connection.execute(statement)
            self._connection.execute("ATTACH ? AS log", (str(path),))
            self._connection.create_function("indexed", 1, indexed, deterministic=True)
        self._closed = threading.Event()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="coagent-store-index", daemon=True)

    @property
    def blocks(self) -> int:
        """The number of indexed blocks, which are the first ones."""
        blocks: int = self._connection.execute("SELECT blocks FROM progress").fetchone()[0]
        return blocks

    def start(self) -> None:
        """Start the indexing thread."""
        self._thread.start()

    def tell(self) -> None:
        """Notify the indexing thread that entries were stored."""
        with self._news:
            self._news.notify_all()

    def close(self) -> None:
        """Stop; the remaining entries are indexed after the next start."""
        with self._news:
            self._closed.set()
            self._news.notify_all()
        if self._thread.ident is not None:
            self._thread.join()
        self._connection.close()

    @guard
    def _run(self) -> None:
        done = self.blocks
        while not self._closed.is_set():
            self._await_news(done)
            seen = self._latest()
            self._closed.wait(PAUSE)
            if self._latest() - seen > BURST and seen - done * BLOCK < MAX_LAG:
                continue
            try:
                done = self._step()
            except sqlite3.DatabaseError:  # no space, a long lock, damage: searches read unindexed entries
                self._closed.wait(RETRY)

    def _await_news(self, done: int) -> None:
        with self._news:
            self._news.wait_for(lambda: self._closed.is_set() or self._complete() > done)

    def _complete(self) -> int:
        """The number of blocks whose entries are all stored."""
        return (self._latest() + 1) // BLOCK

    def _step(self) -> int:
        with transaction(self._connection, "DEFERRED"):  # IMMEDIATE would lock the entries file too
            first = self.blocks
            last = min(first + STEP, self._complete())
            self._connection.execute(_ADD, {"first": first, "last": last, "size": BLOCK})
            self._connection.execute("UPDATE progress SET blocks = ?", (last,))
        return last


def open_index(path: Path, latest: Callable[[], int]) -> Index:
    """Open the index of an entries file; rebuild it if it is damaged.

    Raises:
        sqlite3.OperationalError: the index cannot be opened now: no space, or a lock.
    """
    try:
        return Index(path, latest)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        warn("the search index is rebuilt: %s.search: %s", path, error)
        remove(path)
        return Index(path, latest)


def remove(path: Path) -> None:
    """Delete the index of an entries file that no server uses, and with it the words of deleted entries."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}.search{suffix}").unlink(missing_ok=True)


def ranges(connection: sqlite3.Connection, terms: Terms) -> Iterator[tuple[int, int]]:
    """Ranges of sequence numbers (first, end) that may have entries with the terms, newest first.

    Raises:
        Unavailable: the index is damaged.
    """
    try:
        done = connection.execute("SELECT blocks FROM search.progress").fetchone()[0] if terms.match else 0
        yield done * BLOCK, 2**62
        if terms.match:
            sql = "SELECT rowid FROM search.words WHERE words MATCH ? AND rowid < ? ORDER BY rowid DESC"
            try:
                rows = connection.execute(sql, (terms.match, done))
            except sqlite3.OperationalError:  # SQLite splits at a letter of ours into a phrase: not supported
                yield 0, done * BLOCK
                return
            for (block,) in rows:
                yield block * BLOCK, (block + 1) * BLOCK
    except sqlite3.DatabaseError as error:
        why = f"the search index is damaged: {error}"
        raise Unavailable(f"{why}; while no server is running, delete the store's file that ends in .search") from error
