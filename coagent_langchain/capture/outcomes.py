"""What an exception means: a failure, or LangGraph's and Python's way to interrupt, hand over, drain or stop."""

from __future__ import annotations

import errno
import sys
from enum import StrEnum
from typing import Any

from langchain_core import exceptions

from coagent_langchain.capture.content import as_dict
from coagent_langchain.capture.snapshot import snapshot
from coagent_langchain.errors import is_cancellation
from coagent_langchain.wire import Severity

MAX_LEAVES = 100  # of an exception group


class Outcome(StrEnum):
    """How a run ended that did not return, as `meta.outcome` says it."""

    ERROR = "error"
    INTERRUPTED = "interrupted"
    HANDED_OVER = "handed over"
    DRAINED = "drained"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"

    @property
    def failed(self) -> bool:
        """True for an error: all else is no failure."""
        return self is Outcome.ERROR

    @property
    def stopped(self) -> bool:
        """True for what somebody stopped: a cancellation, a stream that nobody read on."""
        return self in (Outcome.CANCELLED, Outcome.ABANDONED)

    @property
    def goes_on(self) -> bool:
        """True where the application has done what it wanted: it asks a person, or hands over."""
        return self in (Outcome.INTERRUPTED, Outcome.HANDED_OVER)


# First that fits; a name that this version of langgraph does not have is skipped.
_GRAPH_OUTCOMES = (("GraphInterrupt", Outcome.INTERRUPTED), ("ParentCommand", Outcome.HANDED_OVER),
                   ("GraphDrained", Outcome.DRAINED), ("GraphBubbleUp", Outcome.HANDED_OVER))  # fmt: skip


def as_exception(given: Any) -> BaseException:
    """What an error hook was given; where that is no exception, one that says it: the run has ended all the same."""
    if isinstance(given, BaseException):
        return given
    return Exception() if given is None else Exception(snapshot(given))


def classify(error: BaseException) -> Outcome:
    """What `error` means. LangGraph's own classes are asked, never names or texts, and only if langgraph is loaded."""
    if isinstance(error, GeneratorExit):
        return Outcome.ABANDONED
    if is_cancellation(error):
        return Outcome.CANCELLED
    graph = sys.modules.get("langgraph.errors")
    if graph is not None:
        for name, outcome in _GRAPH_OUTCOMES:
            known = getattr(graph, name, None)
            if isinstance(known, type) and isinstance(error, known):
                return outcome
    return Outcome.ERROR


def interrupts(error: BaseException) -> list[tuple[str, Any]]:
    """The questions that a `GraphInterrupt` carries, as (id, plain value) each."""
    found: list[tuple[str, Any]] = []
    for argument in getattr(error, "args", ()):
        for item in argument if isinstance(argument, (list, tuple)) else [argument]:
            own = getattr(item, "id", None) or getattr(item, "interrupt_id", None)
            if own is not None or hasattr(item, "value"):
                found.append((str(own or ""), snapshot(getattr(item, "value", None))))
    return found


def route(error: BaseException) -> dict[str, Any]:
    """Where a `ParentCommand` goes: `{graph?, goto: [names]}`."""
    return target_of(next(iter(error.args), None))


def target_of(command: Any) -> dict[str, Any]:
    """Where a `Command` goes: `{graph?, goto: [names]}`, each once; a `Send` counts by the node that it names."""
    goto = getattr(command, "goto", ())
    targets = [str(getattr(target, "node", target)) for target in (goto if isinstance(goto, (list, tuple)) else [goto])]
    graph = getattr(command, "graph", None)
    return {**({"graph": str(graph)} if graph else {}), "goto": list(dict.fromkeys(targets))}


def is_command(value: Any) -> bool:
    """Whether `value` is a `Command` of LangGraph, asked of its type alone."""
    known = getattr(sys.modules.get("langgraph.types"), "Command", None)
    return isinstance(known, type) and issubclass(type(value), known)


def severity(error: BaseException) -> Severity:
    """How bad an error is.

    Returns:
        low: control flow; medium: tools, validation, timeouts, rate limits, servers in trouble; high: authentication,
        missing things, faults of the program; critical: the process itself is in danger.
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


_SEVERITIES = list(Severity)  # from the least to the worst
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
    return next((value for value in found if type(value) is int and 400 <= value < 600), None)


def _is_out_of_quota(error: BaseException) -> bool:
    return _attribute(error, "code") in ("insufficient_quota", "billing_hard_limit_reached")


def _attribute(place: Any, key: str) -> Any:
    try:
        return getattr(place, key, None)
    except Exception:  # noqa: BLE001 - an exception's own properties may raise anything
        return None
