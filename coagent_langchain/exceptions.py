"""Exceptions of the application: which are cancellations, which were seen before, how they are described in events."""

from __future__ import annotations

import operator
import traceback
import weakref
from collections.abc import Callable
from types import TracebackType

from coagent_langchain.loaded import is_of
from coagent_langchain.redaction import redacted
from coagent_langchain.texts import bounded, clean, cut_at
from coagent_langchain.wire import JsonObject, Severity

MAX_MESSAGE = 20_000  # characters
MAX_STACK = 100_000  # characters; a longer one is cut in the middle
MARGIN = 4_000  # characters beyond a cut that are searched for secrets too, then dropped: no part of one may remain

_CANCELLATIONS = (  # importing the first two modules takes longer than importing all of ours
    ("asyncio", "CancelledError"),
    ("concurrent.futures", "CancelledError"),
    ("greenlet", "GreenletExit"),
    ("langgraph.errors", "GraphDrained"),
)


def is_cancellation(error: BaseException) -> bool:
    """Whether `error` stops work on purpose: a cancelled task, a drained graph, Ctrl-C, the program's end."""
    return isinstance(error, (KeyboardInterrupt, SystemExit)) or any(is_of(*each, error) for each in _CANCELLATIONS)


def reference(error: BaseException) -> Callable[[], BaseException | None]:
    """What returns the exception for as long as it lives, without keeping alive the frames that it was raised in.

    Python has no weak references to exceptions of its built-in classes: these are kept.
    """
    try:
        return weakref.ref(error)
    except TypeError:
        return lambda: error


def is_same(known: BaseException | None, error: BaseException) -> bool:
    """Whether both are one exception: of a `TimeoutError` that leaves a thread or a `@task`, futures raise a copy.

    It has the same arguments, and was not raised by the same function: that has raised another one.
    """
    if known is error:
        return True
    fresh = error.__cause__ is None and error.__context__ is None
    if known is None or not fresh or not type(known) is type(error) is TimeoutError:
        return False
    if len(known.args) != len(error.args) or not all(map(operator.is_, known.args, error.args)):
        return False
    first, second = _raised_at(known), _raised_at(error)
    if first is None or second is None:
        return False
    return first is second or first.tb_frame.f_code is not second.tb_frame.f_code  # newer Pythons copy the traceback


def _raised_at(error: BaseException) -> TracebackType | None:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place


def session_status(error: BaseException) -> str | None:
    """The status that a session gets from an exception that leaves its block; None for a successful exit."""
    if isinstance(error, SystemExit):
        return None if error.code in (None, 0) else "failed"
    return "cancelled" if isinstance(error, GeneratorExit) or is_cancellation(error) else "failed"


def error_message(error: BaseException) -> str:
    """The exception's message, bounded and without secrets; the name of its type if the message is empty."""
    try:
        number = error.code if isinstance(error, SystemExit) else None
        # `str.__str__`: what an exception's own returns may be a string of its own kind, with code of its own
        said = f"exit status {number}" if isinstance(number, int) else str.__str__(str(error))
    except Exception as failure:  # noqa: BLE001 - an exception's own __str__ may raise anything
        said = f"<its text could not be read: {type(failure).__name__}>"
    return without_secrets(said) or type(error).__name__


def without_secrets(said: str) -> str:
    """An error's message, bounded and without secrets."""
    if len(said) > MAX_MESSAGE:
        return cut_at(_beginning(said, MAX_MESSAGE), MAX_MESSAGE, len(said))
    return bounded(redacted(clean(said)), MAX_MESSAGE)


def stack_trace(error: BaseException) -> str:
    """The traceback with causes, contexts and the members of exception groups, bounded and without secrets."""
    try:
        full = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - exceptions may lie about themselves
        full = f"{type(error).__name__}: {error_message(error)}\n"
    if len(full) <= MAX_STACK:
        return redacted(clean(full))
    half = MAX_STACK // 2
    left = len(full) - 2 * half
    end = redacted(clean(full[-half - MARGIN :]))[MARGIN:][-half:]
    return f"{_beginning(full, half)}\n… [cut: {left:,} of {len(full):,} characters]\n{end}"


def error_info(error: BaseException, error_id: str, severity: Severity, component_id: str) -> JsonObject:
    """The `error_info` of an exception's `error` event."""
    return {
        "error_id": error_id,
        "error_type": type(error).__name__,
        "error_message": error_message(error),
        "error_severity": severity,
        "stack_trace": stack_trace(error),
        "component_id": component_id,
    }


def _beginning(full: str, limit: int) -> str:
    """The beginning of a long text, without secrets.

    Not all of it is searched: two megabytes would take a second, during which the application waits.
    """
    searched = redacted(clean(full[: limit + MARGIN]))
    return (searched if len(full) <= limit + MARGIN else searched[:-MARGIN])[:limit]
