"""The exceptions that users may see, and the one guard that contains all others.

CoagentError
├── ConfigurationError      a setting is wrong: raised at once, says what to do
└── CoagentClientError      a call of the synchronous client failed: says what was tried
"""

from __future__ import annotations

import contextlib
import functools
import logging
import operator
import weakref
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

from coagent_langchain.forks import fork_safe_lock
from coagent_langchain.loaded import is_of

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("coagent_langchain")
logger.addHandler(logging.NullHandler())


def warn(message: str, *args: object, error: BaseException | None = None) -> None:
    """Log a warning; what the application's logging raises reaches neither the application nor a thread of ours."""
    with contextlib.suppress(Exception):
        logger.warning(message, *args, exc_info=error, stacklevel=2)


class CoagentError(Exception):
    """Base of every exception that this package raises on purpose."""


class ConfigurationError(CoagentError, ValueError):
    """A setting is missing or invalid; the message names it and says what to do."""


class CoagentClientError(CoagentError):
    """A call of `CoagentClient` failed after all its attempts.

    Attributes:
        status: HTTP status of the last response, or None if there was none.
        attempts: how many requests were made.
        answer: the JSON of the last response, or None.
    """

    def __init__(self, message: str, *, status: int | None = None, attempts: int = 1, answer: object = None) -> None:
        super().__init__(message)
        self.status = status
        self.attempts = attempts
        self.answer = answer


class Guard:
    """Contains the exceptions of our own code, so that none reaches the host application.

    Each kind (place and type) is logged once with its traceback and counted from then on. Tests set `collected` to a
    list, which then also receives the contained exceptions and fails the test.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.collected: list[Exception] | None = None
        self._lock = fork_safe_lock()

    def contain(self, place: str, error: Exception, message: str = "") -> None:
        """Count `error`, and log it once per kind, with its traceback; if the fault is not ours, with a `message`."""
        if self.collected is not None:
            self.collected.append(error)
        kind = f"{place}: {type(error).__name__}"
        with self._lock:
            self.counts[kind] += 1
            first = self.counts[kind] == 1
        if first:
            ours = f"internal error in {place}; the application is not affected, events may be incomplete"
            warn("%s", message or ours, error=error if error.__traceback__ else None)

    def __enter__(self) -> None:
        """Guard a block. Hooks use this form: a decorator would have to pass on their many arguments."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        place = "" if tb is None else tb.tb_frame.f_code.co_qualname
        self.contain(place, error)
        return True

    def __call__(self, function: Callable[P, R]) -> Callable[P, R | None]:
        """Decorate `function` so that it returns None instead of raising an `Exception`."""
        place = function.__qualname__

        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R | None:
            try:
                return function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the one place that keeps our faults away from the host
                self.contain(place, error)
                return None

        return guarded


guard = Guard()

_CANCELLATIONS = (  # importing the first two modules takes longer than importing all of ours
    ("asyncio", "CancelledError"),
    ("concurrent.futures", "CancelledError"),
    ("greenlet", "GreenletExit"),
    ("langgraph.errors", "GraphDrained"),
)


def is_cancellation(error: BaseException) -> bool:
    """Whether `error` stops work on purpose: a cancelled task, a drained graph, Ctrl-C, the program's end."""
    return isinstance(error, (KeyboardInterrupt, SystemExit)) or any(is_of(error, *each) for each in _CANCELLATIONS)


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
