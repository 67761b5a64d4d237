"""`OpenFailures`: what failed in a session, for as long as a later root run may make up for it."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable
from itertools import chain
from typing import NamedTuple

from coagent_langchain.forks import fork_safe_lock
from coagent_langchain.latest import keep_latest

MAX_OPEN = 1_000  # failures of one session that are remembered
MAX_ATTEMPTS = 50  # attempts at one thing of which it is known that they failed

Attempts = tuple[tuple[str, ...], ...]  # the ids of the errors of each attempt that failed

_lock = fork_safe_lock()


def with_attempts(attempts: Attempts, failed: Iterable[Iterable[str]]) -> Attempts:
    """Add attempts that failed, each with those errors that no earlier one had; only the latest attempts are kept."""
    for error_ids in failed:
        known = set(chain(*attempts))
        if own := tuple(dict.fromkeys(each for each in error_ids if each not in known)):
            attempts = (*attempts, own)
    return attempts[-MAX_ATTEMPTS:]


class OpenFailure(NamedTuple):
    """A run that failed or was cancelled, and what it had repeated.

    Attributes:
        name: the run's.
        attempts: it and those before it, without those that were cancelled.
    """

    name: str
    attempts: Attempts


_NONE = OpenFailure("", ())


class OpenFailures(dict[Hashable, OpenFailure]):
    """The failures of a session, by what they have in common with a run that would make up for them.

    That is the id of a tool call, or a root run's prompt, kind, name and text. Such a run takes the failure when it
    begins. If it fails, too, it leaves it here with its own errors.
    """

    def take(self, key: Hashable) -> Attempts:
        """The attempts that failed so far, for a run that makes another."""
        return self.pop(key, _NONE).attempts

    def leave(self, key: Hashable, name: str, attempts: Attempts) -> None:
        """Record that a run failed, after these attempts and its own; only the latest failures are kept.

        Another may have failed beside it, and left its own attempts meanwhile.
        """
        with _lock:
            keep_latest(self, key, OpenFailure(name, with_attempts(self.take(key), attempts)), MAX_OPEN)

    def forget(self, error_ids: Container[str]) -> None:
        """Forget the attempts with any of these errors, and those before them: something has made up for them.

        What failed after them remains: calls for a tool may have the same arguments, so that one counts as a repetition
        of the other, and yet each is answered.
        """
        for key, failure in list(self.items()):
            places = enumerate(failure.attempts, 1)
            done = max((place for place, attempt in places if any(each in error_ids for each in attempt)), default=0)
            if done:
                self.pop(key, None)
                if left := failure.attempts[done:]:
                    self.leave(key, failure.name, left)
