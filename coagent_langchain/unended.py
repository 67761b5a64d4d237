"""The status of a session without a `session_end`: running, between two calls, or abandoned by its program."""

from __future__ import annotations

from coagent_langchain.wire import now_ms

SILENT_MS = 30 * 60_000  # how long a handler keeps an inactive session open
PAUSE_MS = 30_000  # a working agent makes its next call sooner
NO_END = "no end"


def is_working(status: str, open_calls: int) -> bool:
    """Whether a session's duration still grows: it runs, and a call is open. Any other lasts until its last event."""
    return status == "running" and open_calls > 0


def current_status(status: str, last_ms: int, open_calls: int) -> str:
    """The status as of now.

    A `running` session is `idle` if no call is open and there has been no event for `PAUSE_MS`. After `SILENT_MS`
    without an event it has `no end`, whether a call is open or not: a handler would have ended it by now.
    """
    silence = now_ms() - last_ms
    if status != "running" or silence <= PAUSE_MS:
        return status
    if silence > SILENT_MS:
        return NO_END
    return status if open_calls > 0 else "idle"
