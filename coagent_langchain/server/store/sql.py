"""What both databases have in common: SQL expressions over the roll-up, and how sessions are found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from coagent_langchain.server.store import Store
from coagent_langchain.server.store.records import SORTS, Cut, Page, Query, Session
from coagent_langchain.server.store.rollup import COUNTS
from coagent_langchain.server.store.search import Terms, newest_sessions
from coagent_langchain.unended import NO_END, PAUSE_MS, SILENT_MS
from coagent_langchain.wire import now_ms

COUNTED = 10_000  # most sessions whose types, models and tags are counted: all of these are read for it
# of a session: NULL if no response reports tokens, as in `rollup.session_counts`
TOTAL_TOKENS = "CASE WHEN total_tokens > 0 OR input_reports + output_reports > 0 THEN total_tokens END"
# why a session has failed, or what its last run failed with if that is the last thing it has done; else ""
FAILURE = """CASE WHEN status = 'failed' OR status = 'running' AND failure_ms >= active_ms AND errors > recoveries
    THEN failure ELSE '' END"""
# the row of `Session.of`, but for the turns, which come last
SESSION = f"session_id, first_ms, last_ms, status, title, {FAILURE}, cost, {', '.join(COUNTS[:-1])}"


def summary() -> str:
    """The columns of `Summary`, but for models and tags."""
    return f"session_id, entries, first_ms, last_ms, {status_now()}, title, {FAILURE}, {TOTAL_TOKENS}, cost, errors"


def totals(where: str) -> str:
    """The columns of a `Page`'s totals: without a filter only the number, since adding up a whole store takes long."""
    used = f"sum({TOTAL_TOKENS}), sum(cost), coalesce(sum(unpriced_calls), 0)"
    return f"count(*), {used if where else 'NULL, NULL, 0'}"


def status_now() -> str:
    """The current status of a row of the roll-up, equal to `unended.current_status`."""
    now = now_ms()
    return (
        f"CASE WHEN status != 'running' OR last_ms >= {now - PAUSE_MS} THEN status"
        f" WHEN last_ms < {now - SILENT_MS} THEN '{NO_END}'"
        " WHEN open_calls > 0 THEN status ELSE 'idle' END"
    )


def sorted_by(sort: str, inputs: str) -> str:
    """The sort key of a list of sessions, equal to the value shown: see `Session.duration_ms`, `Session.prompts`.

    Parameters:
        inputs: see `Dialect`.
    """
    if sort not in SORTS:  # it is inserted into the SQL
        raise ValueError(f"unknown sort {sort!r}")
    if sort == "duration":
        return f"CASE WHEN {status_now()} = 'running' AND open_calls > 0 THEN {now_ms()} ELSE last_ms END - first_ms"
    if sort == "prompts":
        return f"CASE WHEN {inputs} > prompts THEN {inputs} ELSE prompts END"
    return {"last": "last_ms", "first": "first_ms", "total_tokens": TOTAL_TOKENS}.get(sort, sort)


class Dialect(Protocol):
    """The SQL on the roll-up in which the databases differ: a module of each.

    Attributes:
        INPUTS: expression for the number of `user_input` entries of a session.
        TIES: what sessions are sorted by that are otherwise equal.
    """

    INPUTS: str
    TIES: tuple[str, ...]

    def session_of(self, row: Sequence[Any]) -> Session:
        """The `Session` of a row of `page`."""

    def where(self, query: Query, found: list[str]) -> tuple[str, Any]:
        """The WHERE clause of a query, "" if it has no filter, and its parameters.

        Parameters:
            found: ids of sessions with an entry that contains all words of `query.text`.
        """

    def page(self, sessions: str, where: str, order: str, limit: str) -> str:
        """The SELECT for a page of sessions, from its clauses."""

    def facet_counts(self, sessions: str, where: str) -> str:
        """The SELECT for `Page.facet_counts` of the sessions that a WHERE clause chooses."""


class SqlStore(Store, Protocol):
    """What both databases do alike: finding sessions.

    Attributes:
        _sessions: the roll-up, as in a FROM clause.
    """

    _dialect: Dialect
    _sessions: str

    def sessions(self, query: Query) -> Page:
        found, cut = self._newest_with(Terms(query.text), replace(query, text=""))
        where, parameters = self._dialect.where(query, found)
        direction = "ASC" if query.ascending else "DESC"
        first = f"{sorted_by(query.sort, self._dialect.INPUTS)} {direction} NULLS LAST"
        order = ", ".join([f"ORDER BY {first}", *(f"{tie} {direction}" for tie in self._dialect.TIES)])
        limit = f"LIMIT {query.limit:d} OFFSET {query.offset:d}"
        rows = self._all(self._dialect.page(self._sessions, where, order, limit), parameters)
        total, *used = self._all(f"SELECT {totals(where)} FROM {self._sessions} {where}", parameters)[0]
        page = Page([self._dialect.session_of(row) for row in rows], total, cut, *used)
        if not (query.count_facets and where and total <= COUNTED):
            return page
        counts: dict[str, dict[str, int]] = {"type": {}, "model": {}, "tag": {}}
        for kind, value, number in self._all(self._dialect.facet_counts(self._sessions, where), parameters):
            counts[kind][value] = number
        return replace(page, facet_counts=counts)

    def _newest_with(self, terms: Terms, filters: Query) -> tuple[list[str], Cut]:
        """The sessions that match the filters and have an entry with the terms: see `newest_sessions`."""
        if not terms:
            return [], ""
        where, parameters = self._dialect.where(filters, [])
        sql = f"SELECT session_id FROM {self._sessions} {where}"
        among = {row[0] for row in self._all(sql, parameters)} if where else None
        return newest_sessions(self._holding(terms, among))

    def _holding(self, terms: Terms, among: set[str] | None) -> Iterator[str | None]:
        """For each entry that may contain the terms, newest first: its session's id, or None if it does not match.

        Parameters:
            among: ids of the sessions that may match; None if all may.
        """

    def _all(self, sql: str, parameters: Any = ()) -> Sequence[Sequence[Any]]:
        """All rows of a SELECT."""
