"""SQL expressions over the roll-up, for both databases: what changes as time passes, and what is unknown."""

from __future__ import annotations

from coagent_langchain.server.store.query import SORTS, Sort
from coagent_langchain.unended import NO_END, PAUSE_MS, SILENT_MS
from coagent_langchain.wire import now_ms

# Of a session: None where no answer reports tokens, as `rollup.session_counts` has it.
TOTAL_TOKENS = "CASE WHEN total_tokens > 0 OR input_reports + output_reports > 0 THEN total_tokens END"
# of `Summary`
SUMMARY = f"session_id, entries, first_ms, last_ms, status, title, failure, {TOTAL_TOKENS}, errors, open_calls"


def status_now() -> str:
    """The status as of now of a row of the roll-up: the same as `unended.standing` says."""
    now = now_ms()
    return (
        f"CASE WHEN status != 'running' OR last_ms >= {now - PAUSE_MS} THEN status"
        f" WHEN last_ms < {now - SILENT_MS} THEN '{NO_END}'"
        " WHEN open_calls > 0 THEN status ELSE 'idle' END"
    )


def sorted_by(sort: Sort, inputs: str) -> str:
    """What a list of sessions is sorted by, as it is shown: see `Session.duration_ms` and `rollup.prompt_count`.

    Parameters:
        inputs: the expression for how many `user_input` entries a session has.
    """
    if sort not in SORTS:  # it becomes part of the SQL
        raise ValueError(f"unknown sort {sort!r}")
    if sort == "duration":
        return f"CASE WHEN {status_now()} = 'running' AND open_calls > 0 THEN {now_ms()} ELSE last_ms END - first_ms"
    if sort == "prompts":
        return f"CASE WHEN {inputs} > prompts THEN {inputs} ELSE prompts END"
    return {"last": "last_ms", "first": "first_ms", "total_tokens": TOTAL_TOKENS}.get(sort, sort)
