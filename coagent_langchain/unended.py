"""What a session is called that has no `session_end`: at work, between two calls, or its program is gone."""

from __future__ import annotations

from coagent_langchain.wire import now_ms

SILENT_MS = 30 * 60_000  # as long as a handler keeps a session open in which nothing happens
PAUSE_MS = 30_000  # an agent at work makes its next call sooner
NO_END = "no end"


def goes_on(status: str, open_calls: int) -> bool:
    """Whether time passes in a session: where nothing is open, it takes until its last event, running or not."""
    return status == "running" and open_calls > 0


def standing(status: str, last_ms: int, open_calls: int) -> str:
    """The status as of now: what was `running` is `idle` once nothing is open in it and nothing came for a while.

    It has `no end`, open or not, when nothing came for longer than a handler would wait before it ends the session.
    """
    silence = now_ms() - last_ms
    if status != "running" or silence <= PAUSE_MS:
        return status
    if silence > SILENT_MS:
        return NO_END
    return status if open_calls > 0 else "idle"
