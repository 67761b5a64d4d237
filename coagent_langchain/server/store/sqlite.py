"""The store on SQLite: WAL, one writer with group commit, a roll-up per session, and full-text search."""

from __future__ import annotations

import functools
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import orjson

from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.store import ALL, MAX_FACETS, MAX_PAGE, sqlite_index, sqlite_sessions
from coagent_langchain.server.store.commit import GroupCommit
from coagent_langchain.server.store.connection_pool import ConnectionPool
from coagent_langchain.server.store.records import Cursor, Entry, NewEntry, Session, Summary
from coagent_langchain.server.store.rollup import roll_up
from coagent_langchain.server.store.search import Terms
from coagent_langchain.server.store.sql import SqlStore
from coagent_langchain.server.store.sqlite_file import (
    CHECKPOINT,
    Lock,
    OpenFile,
    available,
    closed_on_error,
    connect,
    make_private,
    transaction,
)
from coagent_langchain.server.store.sqlite_schema import migrate
from coagent_langchain.wire import EventType

TYPE_NUMBERS = {str(event_type): number for number, event_type in enumerate(EventType, 1)}
COMMIT = 5_000  # entries per commit
_THIS = "session = (SELECT id FROM sessions WHERE session_id = ?)"


class SqliteStore(SqlStore):
    """A `Store` in one file, with its search index beside it.

    Parameters:
        path: the database's file; if missing, it and its folder are created for this user only.

    Raises:
        ConfigurationError: another server is using the file, or it cannot be used.
    """

    event_types = frozenset(TYPE_NUMBERS)
    _dialect = sqlite_sessions
    _sessions = "sessions"

    def __init__(self, path: Path) -> None:
        make_private(path)
        with ExitStack() as opened:
            opened.enter_context(closing(Lock(path)))
            try:
                self._open(path, opened)
            except sqlite3.Error as error:
                raise ConfigurationError(f"{path} cannot be used as a store: {error}") from error
            self._opened = opened.pop_all()

    def _open(self, path: Path, opened: ExitStack) -> None:
        self._writer = opened.enter_context(closing(connect(path)))
        self._file = OpenFile(path, self._writer)
        opened.callback(self._file.complete)
        self._writer.execute("PRAGMA synchronous = FULL")
        self._writer.execute("PRAGMA cache_size = -16000")  # 16 MB: the active pages of the unique index
        self._writer.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
        migrate(self._writer)
        self._index = opened.enter_context(closing(sqlite_index.open_index(path, self.latest)))
        highest = self._writer.execute("SELECT coalesce(max(seq), 0) FROM entries").fetchone()[0]
        indexed = self._index.blocks * sqlite_index.BLOCK
        self._latest: int = max(highest, indexed)  # an indexed number is not reused
        self._pool = opened.enter_context(closing(ConnectionPool(functools.partial(self._reader, path))))
        self._commits = opened.enter_context(closing(GroupCommit(self._commit, most=COMMIT)))
        self._index.start()

    def _reader(self, path: Path) -> sqlite3.Connection:
        self._file.check()  # a connection to the file in its place would read it with the WAL of this one
        connection = connect(path)
        with closed_on_error(connection):
            connection.execute("ATTACH ? AS search", (str(self._index.path),))
            connection.execute("PRAGMA query_only = 1")
        return connection

    def close(self) -> None:
        """Commit queued entries, close all connections and release the file. Closing again does nothing."""
        self._opened.close()

    # writing

    def append(self, entries: Sequence[NewEntry]) -> Future[None]:
        return self._commits.submit(entries)

    def _commit(self, entries: list[NewEntry]) -> None:
        with available("written"), transaction(self._writer):
            self._store(entries)
        self._latest += len(entries)
        self._file.complete()
        self._file.check()  # after the commit: entries in a removed file are not acknowledged
        self._index.tell()

    def _store(self, entries: list[NewEntry]) -> None:
        self._writer.execute("SAVEPOINT all_new")
        numbers = sqlite_sessions.merge(self._writer, roll_up(entry.fields for entry in entries))
        before = self._writer.total_changes
        rows = [(seq, numbers[fields["session_id"]], fields["timestamp"], TYPE_NUMBERS[fields["event_type"]],
                 digest_of(fields["event_id"], body), body)
                for seq, (fields, body) in enumerate(entries, self._latest + 1)]  # fmt: skip
        sqlite_sessions.insert_rows(self._writer, "INSERT INTO entries VALUES %s ON CONFLICT DO NOTHING", rows)
        if self._writer.total_changes - before < len(entries):
            self._store_new(entries)

    def _store_new(self, entries: list[NewEntry]) -> None:
        """Undo the insert, then store and count only the entries that were new."""
        new = self._writer.execute("SELECT seq FROM entries WHERE seq > ? ORDER BY seq", (self._latest,)).fetchall()
        self._writer.execute("ROLLBACK TO all_new")
        if new:
            self._store([entries[seq - self._latest - 1] for (seq,) in new])

    # reading

    def _all(self, sql: str, parameters: Any = ()) -> list[Any]:
        with available("read"), self._pool.connection() as connection:
            return connection.execute(sql, parameters).fetchall()

    def session_ids(self) -> list[str]:
        return [row[0] for row in self._all("SELECT session_id FROM sessions ORDER BY first_ms, id")]

    def summaries(self, newest: int = ALL) -> list[Summary]:
        with available("read"), self._pool.connection() as connection:
            return sqlite_sessions.summaries(connection, newest)

    def session(self, session_id: str) -> Session | None:
        found = self._all(f"{sqlite_sessions.SELECT} WHERE session_id = ?", (session_id,))
        return sqlite_sessions.session_of(found[0]) if found else None

    def facets(self, kind: Literal["model", "tag"]) -> list[str]:
        sql = "SELECT value FROM facets WHERE kind = ? GROUP BY value ORDER BY count(*) DESC, value LIMIT ?"
        return sorted(row[0] for row in self._all(sql, (kind, MAX_FACETS)))

    def entries(self, session_id: str, *, after: Cursor | None = None, limit: int = 200) -> list[Entry]:
        sql = f"""SELECT seq, timestamp, body FROM entries WHERE {_THIS} AND (timestamp, seq) > (?, ?)
            ORDER BY timestamp, seq LIMIT ?"""
        with available("read"), self._pool.connection() as connection:
            rows = connection.execute(sql, (session_id, *(after or (-1, -1)), limit))
            return _page(Entry(*row) for row in rows)

    def entry(self, session_id: str, event_id: str) -> Entry | None:
        sql = f"""SELECT seq, timestamp, body FROM entries WHERE {_THIS} AND substr(digest, 1, 4) = ?
            ORDER BY timestamp, seq"""  # reads the session's part of the unique index: 10 ms for 100,000 entries
        rows = self._all(sql, (session_id, digest_of(event_id, b"")[:4]))
        return next((Entry(*row) for row in rows if orjson.loads(row[2])["event_id"] == event_id), None)

    def search(self, session_id: str, text: str, limit: int) -> list[int]:
        terms = Terms(text)
        with available("read"), self._pool.connection() as connection:
            # sort only the numbers: sorting the bodies of a large session takes as long as reading them
            rows = connection.execute(f"SELECT seq, body FROM entries WHERE {_THIS}", (session_id,)) if terms else ()
            return sorted((seq for seq, body in rows if terms(body)), reverse=True)[:limit]

    def _holding(self, terms: Terms, among: set[str] | None) -> Iterator[str | None]:
        sql = """SELECT session_id, body FROM entries JOIN sessions ON id = session
            WHERE seq >= ? AND seq < ? ORDER BY seq DESC"""
        with available("read"), self._pool.connection() as connection:
            for where in sqlite_index.ranges(connection, terms):
                for session_id, body in connection.execute(sql, where):
                    yield session_id if (among is None or session_id in among) and terms(body) else None

    def latest(self) -> int:
        return self._latest

    def has_news(self, session_id: str, after: int, until: int) -> bool:
        # the plus sign makes SQLite search by `seq`: few entries are newer, but a session may have many
        sql = f"SELECT 1 FROM entries WHERE +{_THIS} AND seq > ? AND seq <= ? LIMIT 1"
        return bool(self._all(sql, (session_id, after, until)))


def _page(entries: Iterable[Entry]) -> list[Entry]:
    """The first of some entries: as many as fit in `MAX_PAGE`, but at least one."""
    page: list[Entry] = []
    room = MAX_PAGE
    for entry in entries:
        room -= len(entry.body)
        if page and room < 0:
            break
        page.append(entry)
    return page


def digest_of(event_id: str, body: bytes) -> bytes:
    """The digest that makes an entry unique in its session; the first 4 bytes find its event id."""
    return zlib.crc32(event_id.encode()).to_bytes(4, "big") + sha256(body).digest()[:12]
