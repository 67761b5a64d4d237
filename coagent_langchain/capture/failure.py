"""One failure of a run, and how to know it again in what the runs above raise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from coagent_langchain.capture.run import Run

MAX_FAILURES = 64  # exceptions that one run remembers of its children


class Failure(NamedTuple):
    """An exception that a run has ended with.

    Attributes:
        error: the exception itself, for its `id()` may be another's once it is gone.
        error_id: the id of its error event; "" where it is no error, but an interrupt or a hand-over.
        run: which raised it.
    """

    error: BaseException
    error_id: str
    run: Run


def reported(error: BaseException, failures: Sequence[Failure]) -> str | None:
    """The id under which `error` was reported; a group is reported with all that is in it."""
    for failure in failures:
        if failure.error is error:
            return failure.error_id
    if failures and isinstance(error, BaseExceptionGroup):
        known = [reported(each, failures) for each in error.exceptions[-MAX_FAILURES:]]
        return None if None in known else known[0]
    return None


def cause(error: BaseException, failures: Sequence[Failure]) -> Failure | None:
    """The failure that `error` was raised from, or while it was handled."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error.__cause__, None if error.__suppress_context__ else error.__context__]
    while todo:
        each = todo.pop()
        if each is None or id(each) in seen or len(seen) > MAX_FAILURES:
            continue
        for failure in failures:
            if failure.error is each:
                return failure
        seen.add(id(each))
        todo += [each.__cause__, each.__context__]
    return None
