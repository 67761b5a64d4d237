"""The exceptions that users may see, and the one guard that contains all others.

CoagentError
├── ConfigurationError      a setting is wrong: raised at once, says what to do
└── CoagentClientError      a call of the synchronous client failed: says what was tried
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

from coagent_langchain.forks import fork_safe_lock

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

    # `with guard:` is for hooks: a decorator would have to pass on their many arguments. Entering does nothing, and a
    # built-in that does nothing is called faster than a method.
    __enter__ = staticmethod(tuple)

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
