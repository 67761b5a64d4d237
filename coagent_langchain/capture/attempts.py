"""What made up for a failure: another attempt, a fallback, or a run that went on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from coagent_langchain.capture.failure import Failure
from coagent_langchain.capture.run import FALLBACKS, Run


class Remedy(NamedTuple):
    """What made up for a failure.

    Attributes:
        strategy: `retry`, `fallback` or `handled`.
        action: what happened, in words.
        attempt: the number of the attempt that succeeded below the run that recovers; 0 if there was none.
    """

    strategy: str
    action: str
    attempt: int = 0


def remedy_by_call(run: Run, failed: Run) -> Remedy:
    """How a call made up for a failed one that it repeats."""
    if failed.is_like(run):
        return Remedy("retry", f"attempt {run.attempt} succeeded")
    return Remedy("fallback", f"{(run.parameters or {}).get('model') or run.name} succeeded")


def remedy_from_above(run: Run, failures: Sequence[Failure]) -> Remedy:
    """How a run made up for what failed below it."""
    latest = run.latest_attempt
    # In a `batch`, one input may have failed in all attempts.
    if latest and not any(each.run.parent is run and each.run.attempt == latest for each in failures):
        return Remedy("retry", f"attempt {latest} succeeded", latest)
    if run.name == FALLBACKS:
        return Remedy("fallback", "a fallback succeeded")
    return Remedy("handled", f"{run.name} continued")
