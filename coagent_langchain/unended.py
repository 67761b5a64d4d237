"""What a session is called that has no `session_end`: it may run still, or its program may be gone."""

from __future__ import annotations

from coagent_langchain.wire import now_ms

SILENT_MS = 30 * 60_000  # as long as a handler keeps a session open in which nothing happens
NO_END = "no end"


def silent_before() -> int:
    """The time, in Unix milliseconds, before which the last event of a silent session came."""
    return now_ms() - SILENT_MS


def standing(status: str, last_ms: int) -> str:
    """The status as of now: what was `running` has `no end` when nothing came for longer than a handler would wait."""
    return NO_END if status == "running" and last_ms < silent_before() else status
