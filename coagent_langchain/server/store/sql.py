"""SQL expressions over the roll-up for both databases: values that depend on the time, and unknown ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from coagent_langchain.server.store.records import SORTS, Query
from coagent_langchain.server.store.rollup import COUNTS
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
        inputs: expression for the number of `user_input` entries of a session.
    """
    if sort not in SORTS:  # it is inserted into the SQL
        raise ValueError(f"unknown sort {sort!r}")
    if sort == "duration":
        return f"CASE WHEN {status_now()} = 'running' AND open_calls > 0 THEN {now_ms()} ELSE last_ms END - first_ms"
    if sort == "prompts":
        return f"CASE WHEN {inputs} > prompts THEN {inputs} ELSE prompts END"
    return {"last": "last_ms", "first": "first_ms", "total_tokens": TOTAL_TOKENS}.get(sort, sort)


def counts_wanted(query: Query, where: str, total: int) -> bool:
    """Whether to fill `Page.counts`, given the SQL of the filters and the number of sessions that match."""
    return query.counts and bool(where) and total <= COUNTED


def by_kind(rows: Iterable[Sequence[Any]]) -> dict[str, dict[str, int]]:
    """`Page.counts` from rows of kind, value and number."""
    counts: dict[str, dict[str, int]] = {"type": {}, "model": {}, "tag": {}}
    for kind, value, number in rows:
        counts[kind][value] = number
    return counts
