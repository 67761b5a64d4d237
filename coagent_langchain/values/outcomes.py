"""What an exception means: a failure, or how LangGraph or Python interrupts, hands over or stops a run."""

from __future__ import annotations

import errno
from enum import StrEnum
from typing import Any

from langchain_core import exceptions

from coagent_langchain.exceptions import is_cancellation
from coagent_langchain.loaded import is_of
from coagent_langchain.values.fields import as_dict
from coagent_langchain.values.snapshot import snapshot
from coagent_langchain.wire import Severity

MAX_LEAVES = 100  # of an exception group


class Outcome(StrEnum):
    """How a run that did not return ended, as in `meta.outcome`."""

    ERROR = "error"
    INTERRUPTED = "interrupted"
    HANDED_OVER = "handed over"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"

    @property
    def failed(self) -> bool:
        """True for an error; no other outcome is a failure."""
        return self is Outcome.ERROR

    @property
    def stopped(self) -> bool:
        """True for a run that was stopped from outside: cancelled, or its stream left before the end."""
        return self in (Outcome.CANCELLED, Outcome.ABANDONED)

    @property
    def broke_off(self) -> bool:
        """True for a run that did not get to its end: it failed or was stopped."""
        return self.failed or self.stopped

    @property
    def is_control_flow(self) -> bool:
        """True for a run that did what the application intended: it asks a human, or hands over."""
        return self in (Outcome.INTERRUPTED, Outcome.HANDED_OVER)


# The first match counts.
_GRAPH_OUTCOMES = (("GraphInterrupt", Outcome.INTERRUPTED), ("ParentCommand", Outcome.HANDED_OVER),
                   ("GraphBubbleUp", Outcome.HANDED_OVER))  # fmt: skip


def as_exception(given: Any) -> BaseException:
    """The argument of an error hook; wrapped if it is not an exception, because the run has ended all the same."""
    if isinstance(given, BaseException):
        return given
    return Exception() if given is None else Exception(snapshot(given))


def classify(error: BaseException) -> Outcome:
    """What `error` means, by its class, never by a name or text."""
    if isinstance(error, GeneratorExit):
        return Outcome.ABANDONED
    if is_cancellation(error):
        return Outcome.CANCELLED
    return next((outcome for name, outcome in _GRAPH_OUTCOMES if is_of("langgraph.errors", name, error)), Outcome.ERROR)


def interrupts(error: BaseException) -> list[tuple[str, Any]]:
    """The questions that a `GraphInterrupt` carries, as pairs of id and plain value."""
    found: list[tuple[str, Any]] = []
    for argument in getattr(error, "args", ()):
        for item in argument if isinstance(argument, (list, tuple)) else [argument]:
            if hasattr(item, "value"):
                own = getattr(item, "id", None) or getattr(item, "interrupt_id", None)
                found.append((str(own or ""), snapshot(item.value)))
    return found


def severity(error: BaseException) -> Severity:
    """How bad an error is.

    Returns:
        low: control flow; medium: tools, validation, timeouts, rate limits, server errors; high: authentication,
        missing resources, programming errors; critical: the process itself is in danger.
    """
    if not classify(error).failed:
        return Severity.LOW
    if isinstance(error, BaseExceptionGroup):
        leaves = map(severity, error.exceptions[:MAX_LEAVES])
        return max(leaves, key=_SEVERITIES.index)
    if isinstance(error, (MemoryError, SystemError)) or (isinstance(error, OSError) and error.errno in _EXHAUSTED):
        return Severity.CRITICAL
    status = _status(error)
    if status is not None:
        return Severity.HIGH if status in (401, 402, 403, 404) or _is_out_of_quota(error) else Severity.MEDIUM
    return Severity.HIGH if isinstance(error, _HIGH_SEVERITY) else Severity.MEDIUM


_SEVERITIES = list(Severity)  # from the least to the most severe
_EXHAUSTED = (errno.ENOMEM, errno.ENFILE, errno.EMFILE, errno.ENOSPC)
_HIGH_SEVERITY = (PermissionError, ImportError, RecursionError, NameError, AttributeError, SyntaxError, AssertionError,
                  NotImplementedError, FileNotFoundError,
                  *(known for name in ("ModelAuthenticationError", "ModelPermissionDeniedError", "ModelNotFoundError")
                    if (known := getattr(exceptions, name, None)) is not None))  # fmt: skip


def _status(error: BaseException) -> int | None:
    """The HTTP status that a provider's error carries."""
    response = _attribute(error, "response")
    found = [_attribute(place, key) for place in (error, response)
             for key in ("status_code", "status", "http_status", "code")]  # fmt: skip
    found.append(as_dict(as_dict(response).get("ResponseMetadata")).get("HTTPStatusCode"))  # AWS
    return next((value for value in found if isinstance(value, int) and 400 <= value < 600), None)


def _is_out_of_quota(error: BaseException) -> bool:
    return _attribute(error, "code") in ("insufficient_quota", "billing_hard_limit_reached")


def _attribute(place: Any, key: str) -> Any:
    try:
        return getattr(place, key, None)
    except Exception:  # noqa: BLE001 - an exception's own properties may raise anything
        return None
