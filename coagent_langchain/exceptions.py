"""Exceptions of the application: which are cancellations, which were seen before, what they mean for a session."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable
from types import TracebackType

from coagent_langchain.loaded import is_of

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
