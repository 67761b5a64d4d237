"""The store on SQLite: WAL, one writer with group commit, a roll-up per session."""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from coagent_langchain.errors import ConfigurationError
from coagent_langchain.events import EventType
from coagent_langchain.server.store import (
    SORTS,
    Cursor,
    Entry,
    NewEntry,
    Page,
    Pruned,
    Query,
    Session,
    Summary,
    Unavailable,
)
from coagent_langchain.server.store.commit import GroupCommit
from coagent_langchain.server.store.rollup import Rollup, roll_up
from coagent_langchain.server.store.schema import COUNTERS, migrate

TYPE_NUMBERS = {str(event_type): number for number, event_type in enumerate(EventType, 1)}
READERS = 4  # connections; more only wait for the disk
ROWS = 200  # a statement: few statements mean that the writer seldom waits for the interpreter's lock


def digest_of(event_id: str, body: bytes) -> bytes:
    """What makes an entry unique in its session, beginning with what finds its event id."""
    return blake2b(event_id.encode(), digest_size=6).digest() + blake2b(body, digest_size=10).digest()


class SqliteStore:
    """A `Store` in one file.

    Parameters:
        path: the database's file; it and its folder are made, for this user alone.

    Raises:
        ConfigurationError: another server has the file, or it cannot be used.
    """

    event_types = frozenset(TYPE_NUMBERS)

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _lock(path)
        try:
            self._writer = _connect(path)
            self._writer.execute("PRAGMA journal_mode = WAL")
            migrate(self._writer)
        except (sqlite3.Error, ValueError) as error:
            os.close(self._lock)
            raise ConfigurationError(f"{path} cannot be used as a store: {error}") from error
        self._latest: int = self._writer.execute("SELECT coalesce(max(seq), 0) FROM entries").fetchone()[0]
        self._readers: queue.LifoQueue[sqlite3.Connection | None] = queue.LifoQueue()
        for _ in range(READERS):
            self._readers.put(None)
        self._write_lock = threading.Lock()  # the writer thread and `prune`
        self._commits: GroupCommit[NewEntry] = GroupCommit(self._commit, limit=50_000, most=5_000)

    def close(self) -> None:
        """Commit what waits, close all connections and free the file."""
        self._commits.close()
        for _ in range(READERS):
            if (connection := self._readers.get()) is not None:
                connection.close()
        self._writer.close()
        os.close(self._lock)

    # writing

    def append(self, entries: Sequence[NewEntry]) -> Future[None]:
        """See `Store.append`."""
        return self._commits.submit(entries)

    def _commit(self, entries: list[NewEntry]) -> None:
        with self._write_lock, self._transaction() as connection:
            rollups = roll_up(entry.fields for entry in entries)
            connection.executemany(
                "INSERT INTO sessions (session_id, first_ms, last_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                [(r.session_id, r.first_ms, r.last_ms) for r in rollups],
            )
            ids = self._session_numbers(connection, [r.session_id for r in rollups])
            stored = self._insert(connection, entries, ids)
            if len(stored) < len(entries):  # copies: count only what is new
                rollups = roll_up(entry.fields for entry in stored)
            _merge(connection, rollups, ids)
        self._latest += len(entries)

    def _insert(self, connection: sqlite3.Connection, entries: list[NewEntry], ids: dict[str, int]) -> list[NewEntry]:
        """Insert all that is not there yet, and return it."""
        before = connection.total_changes
        first = self._latest + 1
        for start in range(0, len(entries), ROWS):
            rows: list[Any] = []
            for seq, (fields, body) in enumerate(entries[start : start + ROWS], first + start):
                rows += (seq, ids[fields["session_id"]], fields["timestamp"], TYPE_NUMBERS[fields["event_type"]],
                         digest_of(fields["event_id"], body), body)  # fmt: skip
            values = ",".join(["(?,?,?,?,?,?)"] * (len(rows) // 6))
            connection.execute(f"INSERT INTO entries VALUES {values} ON CONFLICT DO NOTHING", rows)
        if connection.total_changes - before == len(entries):
            return entries
        stored = connection.execute("SELECT seq FROM entries WHERE seq >= ?", (first,))
        return [entries[seq - first] for (seq,) in stored]

    def _session_numbers(self, connection: sqlite3.Connection, session_ids: list[str]) -> dict[str, int]:
        marks = ",".join("?" * len(session_ids))
        return dict(
            connection.execute(f"SELECT session_id, id FROM sessions WHERE session_id IN ({marks})", session_ids)
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            yield self._writer
            self._writer.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise Unavailable(f"the database cannot be written: {error}") from error
        finally:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")

    def prune(self, before_ms: int) -> Pruned:
        """See `Store.prune`."""
        with self._write_lock, self._transaction() as connection:
            old = [row[0] for row in connection.execute("SELECT id FROM sessions WHERE last_ms < ?", (before_ms,))]
            entries = 0
            for number in old:
                entries += connection.execute("DELETE FROM entries WHERE session = ?", (number,)).rowcount
                for table in ("prompts", "facets"):
                    connection.execute(f"DELETE FROM {table} WHERE session = ?", (number,))
                connection.execute("DELETE FROM sessions WHERE id = ?", (number,))
            return Pruned(len(old), entries)

    # reading

    @contextlib.contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        connection = self._readers.get()
        try:
            if connection is None:
                connection = _connect(self.path)
                connection.execute("PRAGMA query_only = 1")
            yield connection
        finally:
            self._readers.put(connection)

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with self._read() as connection:
            return connection.execute(sql, parameters).fetchall()

    def session_ids(self) -> list[str]:
        """See `Store.session_ids`."""
        return [row[0] for row in self._all("SELECT session_id FROM sessions ORDER BY first_ms, id")]

    def summaries(self) -> list[Summary]:
        """See `Store.summaries`."""
        rows = self._all("SELECT session_id, entries, first_ms, last_ms FROM sessions ORDER BY first_ms, id")
        return [Summary(*row) for row in rows]

    def sessions(self, query: Query) -> Page:
        """See `Store.sessions`."""
        where, parameters = _where(query)
        order = {"last": "last_ms", "first": "first_ms"}.get(query.sort, query.sort)
        if query.sort not in SORTS:
            raise ValueError(f"unknown sort {query.sort!r}")
        direction = "ASC" if query.ascending else "DESC"
        page = f"{_SESSION} {where} ORDER BY {order} {direction}, id {direction} LIMIT ? OFFSET ?"
        with self._read() as connection:
            rows = connection.execute(page, (*parameters, query.limit, query.offset)).fetchall()
            total = connection.execute(f"SELECT count(*) FROM sessions {where}", parameters).fetchone()[0]
            return Page([_session(connection, row) for row in rows], total)

    def session(self, session_id: str) -> Session | None:
        """See `Store.session`."""
        with self._read() as connection:
            row = connection.execute(f"{_SESSION} WHERE session_id = ?", (session_id,)).fetchone()
            return _session(connection, row) if row else None

    def facets(self, kind: Literal["model", "tag"]) -> list[str]:
        """See `Store.facets`."""
        return [row[0] for row in self._all("SELECT DISTINCT value FROM facets WHERE kind = ? ORDER BY value", (kind,))]

    def entries(
        self, session_id: str, *, after: Cursor | None = None, limit: int = 200, types: Sequence[str] = ()
    ) -> list[Entry]:
        """See `Store.entries`."""
        numbers = [TYPE_NUMBERS[name] for name in types if name in TYPE_NUMBERS]
        kinds = f"AND type IN ({','.join('?' * len(numbers))})" if types else ""
        sql = f"""SELECT seq, timestamp, body FROM entries
            WHERE session = (SELECT id FROM sessions WHERE session_id = ?) AND (timestamp, seq) > (?, ?) {kinds}
            ORDER BY timestamp, seq LIMIT ?"""
        return [Entry(*row) for row in self._all(sql, (session_id, *(after or (-1, -1)), *numbers, limit))]

    def entry(self, session_id: str, event_id: str) -> Entry | None:
        """See `Store.entry`."""
        prefix = digest_of(event_id, b"")[:6]
        sql = """SELECT seq, timestamp, body FROM entries
            WHERE session = (SELECT id FROM sessions WHERE session_id = ?) AND digest >= ? AND digest < ?
            ORDER BY timestamp, seq"""
        rows = self._all(sql, (session_id, prefix, prefix + b"\xff" * 11))
        return Entry(*rows[0]) if rows else None

    def search(
        self, text: str, *, session_id: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[tuple[str, Entry]]:
        """See `Store.search`."""
        words = text.split()
        if not words:
            return []
        like = " AND ".join(["CAST(body AS TEXT) LIKE ? ESCAPE '\\'"] * len(words))
        one = "AND session = (SELECT id FROM sessions WHERE session_id = ?)" if session_id is not None else ""
        sql = f"""SELECT session_id, seq, timestamp, body FROM entries JOIN sessions ON session = id
            WHERE seq < ? {one} AND {like} ORDER BY seq DESC LIMIT ?"""
        patterns = ["%" + w.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%" for w in words]
        parameters = (before or 2**62, *([session_id] if session_id is not None else []), *patterns, limit)
        return [(row[0], Entry(*row[1:])) for row in self._all(sql, parameters)]

    def latest(self) -> int:
        """See `Store.latest`."""
        return self._latest

    def since(self, seq: int, *, session_id: str | None = None, limit: int = 200) -> list[tuple[str, Entry]]:
        """See `Store.since`."""
        one = "AND session_id = ?" if session_id is not None else ""
        sql = f"""SELECT session_id, seq, timestamp, body FROM entries JOIN sessions ON session = id
            WHERE seq > ? {one} ORDER BY seq LIMIT ?"""
        parameters = (seq, *([session_id] if session_id is not None else []), limit)
        return [(row[0], Entry(*row[1:])) for row in self._all(sql, parameters)]

    def export(self, session_id: str) -> Iterator[bytes]:
        """See `Store.export`."""
        page = self.entries(session_id, limit=500)
        while page:
            yield from (entry.body for entry in page)
            page = self.entries(session_id, after=page[-1].cursor, limit=500)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _lock(path: Path) -> int:
    """Make folder and file for this user alone, and hold the file's lock as long as the store is open."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be used as a store: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(lock, 20, 0).decode(errors="replace").strip()
        os.close(lock)
        raise ConfigurationError(
            f"{path} is in use by another server (process {holder}); stop that one, or give this one another --store"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


_ROLLUP = (*COUNTERS, "prompts")
_SESSION = f"""SELECT id, session_id, first_ms, last_ms, status, title, cost, {", ".join(_ROLLUP)},
    (SELECT total(turns) FROM prompts WHERE session = id) FROM sessions"""


def _session(connection: sqlite3.Connection, row: tuple[Any, ...]) -> Session:
    number, session_id, first_ms, last_ms, status, title, cost, *counts, turns = row
    facets: dict[str, dict[str, int]] = {"type": {}, "model": {}, "tag": {}}
    for kind, value, count in connection.execute("SELECT kind, value, count FROM facets WHERE session = ?", (number,)):
        facets[kind][value] = count
    return Session(
        session_id, first_ms, last_ms, status, title, cost=cost, turns=int(turns),
        types=facets["type"], models=tuple(facets["model"]), tags=tuple(facets["tag"]),
        **dict(zip(_ROLLUP, counts, strict=True)),
    )  # fmt: skip


def _where(query: Query) -> tuple[str, list[Any]]:
    """The WHERE clause of a query on `sessions`, and its parameters."""
    terms: list[str] = []
    parameters: list[Any] = []
    for term, value in (
        ("status = ?", query.status),
        ("last_ms >= ?", query.since_ms),
        ("first_ms < ?", query.until_ms),
    ):
        if value not in ("", None):
            terms.append(term)
            parameters.append(value)
    for kind, value in (("type", query.type), ("model", query.model), ("tag", query.tag)):
        if value:
            terms.append("id IN (SELECT session FROM facets WHERE kind = ? AND value = ?)")
            parameters += (kind, value)
    for word in query.text.split():
        terms.append("(session_id LIKE ? ESCAPE '\\' OR title LIKE ? ESCAPE '\\')")
        parameters += ["%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"] * 2
    return ("WHERE " + " AND ".join(terms) if terms else ""), parameters


_MERGE = f"""UPDATE sessions SET first_ms = min(first_ms, ?), last_ms = max(last_ms, ?),
    {", ".join(f"{name} = {name} + ?" for name in COUNTERS)},
    prompts = max(prompts, ?), cost = CASE WHEN ? IS NULL THEN cost ELSE coalesce(cost, 0) + ? END,
    active_ms = max(active_ms, ?),
    ended = CASE WHEN (?, ?) > (ended_ms, ended) THEN ? ELSE ended END, ended_ms = max(ended_ms, ?),
    title = CASE WHEN ? < coalesce(title_ms, 9e18) THEN ? ELSE title END,
    title_ms = min(coalesce(title_ms, 9e18), coalesce(?, 9e18)) WHERE id = ?"""


def _merge(connection: sqlite3.Connection, rollups: list[Rollup], ids: dict[str, int]) -> None:
    """Add roll-ups to their sessions."""
    connection.executemany(_MERGE, [
        (r.first_ms, r.last_ms, *(getattr(r, name) for name in COUNTERS), max(r.turns), r.cost, r.cost, r.active_ms,
         r.ended_ms, r.ended, r.ended, r.ended_ms, r.title_ms, r.title, r.title_ms, ids[r.session_id])
        for r in rollups
    ])  # fmt: skip
    connection.executemany(
        "INSERT INTO prompts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET turns = max(turns, excluded.turns)",
        [(ids[r.session_id], prompt, turn) for r in rollups for prompt, turn in r.turns.items()],
    )
    facets = [(ids[r.session_id], "type", value, count) for r in rollups for value, count in r.types.items()]
    facets += [(ids[r.session_id], "model", value, 1) for r in rollups for value in r.models]
    facets += [(ids[r.session_id], "tag", value, 1) for r in rollups for value in r.tags]
    connection.executemany(
        "INSERT INTO facets VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count", facets
    )
