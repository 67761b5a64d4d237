"""The status of a session without a `session_end`: at work, between two calls, or left by its program."""

from __future__ import annotations

from coagent_langchain.wire import now_ms

SILENT_MS = 30 * 60_000  # as long as a handler keeps a session open in which nothing happens
PAUSE_MS = 30_000  # an agent at work makes its next call sooner
NO_END = "no end"


def goes_on(status: str, open_calls: int) -> bool:
    """Whether a session still takes longer: it runs, and a call is open. Any other lasts until its last event."""
    return status == "running" and open_calls > 0


def standing(status: str, last_ms: int, open_calls: int) -> str:
    """The status as of now.

    A session that was `running` is `idle` when no call is open and no event came for `PAUSE_MS`. When none came for
    `SILENT_MS` it has `no end`, whether a call is open or not: a handler would have ended it by now.
    """
    silence = now_ms() - last_ms
    if status != "running" or silence <= PAUSE_MS:
        return status
    if silence > SILENT_MS:
        return NO_END
    return status if open_calls > 0 else "idle"
