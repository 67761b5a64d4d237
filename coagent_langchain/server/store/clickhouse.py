"""The store on ClickHouse: the table of the published CoAgent servers, shared by any number of stateless servers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any, Literal

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.store import ALL, MAX_FACETS, MAX_PAGE, clickhouse_rows, clickhouse_sessions
from coagent_langchain.server.store.clickhouse_schema import SESSIONS
from coagent_langchain.server.store.clickhouse_table import prepare
from coagent_langchain.server.store.clickhouse_writer import Writer, available
from coagent_langchain.server.store.commit import GroupCommit
from coagent_langchain.server.store.connection_pool import ConnectionPool
from coagent_langchain.server.store.records import Cursor, Entry, NewEntry, Pruned, Session, Summary
from coagent_langchain.server.store.search import Terms
from coagent_langchain.server.store.sql import SqlStore, summary

COMMIT = 10_000  # entries per insert: large inserts make few parts
FRESH = 0.2  # seconds that the highest seq is cached: live views poll often, and other servers write too
PAGE = 200  # entries per step of a search through all sessions


class ClickHouseStore(SqlStore):
    """A `Store` in a ClickHouse database.

    Parameters:
        connect: makes a client; called once for the writer and once per reader.
        make: whether to create a missing database and its tables.

    Raises:
        ConfigurationError: the database cannot be reached or used, or does not exist.
    """

    _dialect = clickhouse_sessions

    def __init__(self, connect: Callable[[], Client], database: str, *, make: bool = True) -> None:
        self._db = database
        try:
            client = connect()
            if not make and not client.command(f"EXISTS TABLE {database}.log_entries"):
                raise ConfigurationError(f"there is no store in the ClickHouse database {database}")
            self._table = prepare(client, database)
        except ClickHouseError as error:
            reason = str(error).partition(", Stack trace")[0]  # chdb appends its C++ stack trace
            raise ConfigurationError(f"the ClickHouse database cannot be used: {reason}") from error
        self.event_types = self._table.event_types
        self._writer = Writer(client, database, self._table)
        self._sessions = SESSIONS.format(db=database)
        self._pool = ConnectionPool(connect)
        self._highest, self._asked = 0, float("-inf")
        self._commits = GroupCommit(self._commit, most=COMMIT)
        self._opened = ExitStack()
        for each in (self._writer, self._pool, self._commits):
            self._opened.callback(each.close)

    def close(self) -> None:
        """Commit queued entries and close all connections. Closing again does nothing."""
        self._opened.close()

    # writing

    def append(self, entries: Sequence[NewEntry]) -> Future[None]:
        return self._commits.submit(entries)

    def _commit(self, entries: list[NewEntry]) -> None:
        self._writer.store(entries)
        self._asked = float("-inf")

    def prune(self, before_ms: int) -> Pruned:
        """Delete every session whose last entry is older than `before_ms`."""
        return self._writer.delete("last_ms < {before:Int64}", before=before_ms)

    def delete(self, session_ids: Sequence[str]) -> Pruned:
        """Delete these sessions; a missing one is not an error."""
        return self._writer.delete("session_id IN {named:Array(String)}", named=list(session_ids))

    # reading

    def _all(self, sql: str, parameters: Any = None) -> Sequence[Sequence[Any]]:
        with available(), self._pool.connection() as client:
            result: Sequence[Sequence[Any]] = client.query(sql, parameters=parameters).result_rows
        return result

    def session_ids(self) -> list[str]:
        found = self._all(f"""SELECT session_id FROM {self._db}.coagent_sessions
            GROUP BY session_id ORDER BY min(first_ms), session_id""")
        return [row[0] for row in found]

    def summaries(self, newest: int = ALL) -> list[Summary]:
        order = "ORDER BY first_ms DESC, session_id DESC LIMIT {newest:Int64}"
        columns = f"{summary()}, arraySort(models), arraySort(tags)"
        found = self._all(f"SELECT {columns} FROM {self._sessions} {order}", {"newest": newest})
        return [Summary(*row) for row in found][::-1]

    def session(self, session_id: str) -> Session | None:
        found = self._all(
            f"{clickhouse_sessions.SELECT} FROM {self._sessions} WHERE session_id = {{session:String}}",
            {"session": session_id},
        )
        return clickhouse_sessions.session_of(found[0]) if found else None

    def facets(self, kind: Literal["model", "tag"]) -> list[str]:
        column = {"model": "models", "tag": "tags"}[kind]
        found = self._all(f"""SELECT arrayJoin({column}) AS value FROM {self._db}.coagent_sessions
            GROUP BY value ORDER BY uniq(session_id) DESC, value LIMIT {MAX_FACETS}""")
        return sorted(row[0] for row in found)

    def entries(self, session_id: str, *, after: Cursor | None = None, limit: int = 200) -> list[Entry]:
        timestamp, seq = after or (-1, 0)
        found = self._all(
            f"""SELECT number, ms, text, row FROM (
                SELECT *, length(text) + length(row) AS size, sum(size) OVER (ORDER BY ms, number) AS total FROM (
                    SELECT {self._table.entry} FROM {self._db}.log_entries
                    WHERE session_id = {{session:String}} AND (ms, number) > ({{ms:Int64}}, {{seq:Int64}})
                    ORDER BY ms, number LIMIT 1 BY event_id, cityHash64(text, row) LIMIT {{limit:UInt32}}
                )
            ) WHERE total <= {MAX_PAGE} OR total = size ORDER BY ms, number""",
            {"session": session_id, "ms": timestamp, "seq": seq, "limit": limit},
        )
        return [clickhouse_rows.entry(*row) for row in found]

    def entry(self, session_id: str, event_id: str) -> Entry | None:
        found = self._all(
            f"""SELECT {self._table.entry} FROM {self._db}.log_entries
            WHERE session_id = {{session:String}} AND event_id = {{event:String}} ORDER BY ms, number LIMIT 1""",
            {"session": session_id, "event": event_id},
        )
        return clickhouse_rows.entry(*found[0]) if found else None

    def search(self, session_id: str, text: str, limit: int) -> list[int]:
        if not (terms := Terms(text)):
            return []
        sql, parameters = self._candidates(terms)
        sql += " AND session_id = {session:String}"
        parameters["session"] = session_id
        with available(), self._pool.connection() as client, client.query_rows_stream(sql, parameters) as candidates:
            found = [row[1] for row in candidates if self._table.has(terms, *row[1:])]
        return sorted(found, reverse=True)[:limit]

    def _holding(self, terms: Terms, among: set[str] | None) -> Iterator[str | None]:
        sql, parameters = self._candidates(terms)
        sql += f" AND number < {{before:UInt64}} ORDER BY number DESC LIMIT {PAGE}"
        before = 2**62
        while True:
            page = self._all(sql, {"before": before, **parameters})
            for session_id, before, *searched in page:
                matches = (among is None or session_id in among) and self._table.has(terms, before, *searched)
                yield session_id if matches else None
            if len(page) < PAGE:
                return

    def _candidates(self, terms: Terms) -> tuple[str, dict[str, Any]]:
        """The SQL for the entries that may contain the terms, extensible with conditions, and its parameters."""
        tokens = {f"token{n}": f"%{token}%" for n, token in enumerate(terms.tokens)}
        may_have = [self._table.may_have.format(token=name) for name in tokens]
        sql = f"""SELECT session_id, {self._table.searched} FROM {self._db}.log_entries
            WHERE {" AND ".join(["true", *may_have])}"""
        return sql, tokens

    def latest(self) -> int:
        if time.monotonic() - self._asked > FRESH:
            self._highest = self._all(f"SELECT max({self._table.seq}) FROM {self._db}.log_entries")[0][0]
            self._asked = time.monotonic()
        return self._highest

    def has_news(self, session_id: str, after: int, until: int) -> bool:
        sql = f"""SELECT 1 FROM {self._db}.log_entries
            WHERE session_id = {{session:String}}
            AND {self._table.seq} > {{after:UInt64}} AND {self._table.seq} <= {{until:UInt64}} LIMIT 1"""
        return bool(self._all(sql, {"session": session_id, "after": after, "until": until}))
