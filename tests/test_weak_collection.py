"""The registry of living objects, and their renewal after a fork."""

from __future__ import annotations

import os

import pytest

from coagent_langchain.forks import renewed_after_fork
from coagent_langchain.weak_collection import WeakCollection


class Kept:
    """An object that is renewed in a child process."""

    renewed = 0

    def renew(self) -> None:
        """Count."""
        self.renewed += 1


def test_what_is_gone_is_forgotten_at_once() -> None:
    """A program that creates a handler for each request does not accumulate references."""
    living: WeakCollection[Kept] = WeakCollection()
    kept = Kept()
    living.add(kept)
    for _ in range(100):
        living.add(Kept())
    assert (list(living), len(living._objects)) == ([kept], 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_child_renews_what_is_alive_and_the_parent_does_not() -> None:
    """Only the child's own copies are renewed."""
    kept = Kept()
    living = renewed_after_fork(Kept.renew)
    living.add(kept)
    if (child := os.fork()) == 0:
        os._exit(kept.renewed)
    _, status = os.waitpid(child, 0)
    assert (os.waitstatus_to_exitcode(status), kept.renewed) == (1, 0)
