"""Group commit: what waits is bounded, and nobody is told too early."""

from __future__ import annotations

import threading

import pytest

from coagent_langchain.server.store import Unavailable
from coagent_langchain.server.store.commit import GroupCommit


class Held:
    """A commit that begins at once and ends when it is let go."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.go, self.busy = threading.Event(), threading.Event()

    def __call__(self, items: list[int]) -> None:
        self.groups.append(items)
        self.busy.set()
        assert self.go.wait(10)


def test_what_waits_is_committed_together() -> None:
    """While one commit is under way, the next collects."""
    commit = Held()
    commits = GroupCommit(commit, size=int, limit=100, most=4)
    first = commits.submit([1])
    assert commit.busy.wait(10)
    rest = [commits.submit([n, n]) for n in (2, 3, 4)]
    told_early = [future.done() for future in (first, *rest)]
    commit.go.set()
    for future in rest:
        future.result(10)
    commits.close()

    assert told_early == [False] * 4
    assert commit.groups == [[1], [2, 2, 3, 3], [4, 4]]


def test_more_than_the_limit_is_refused() -> None:
    """Memory stays bounded, by what the entries take, not by how many: who comes too late shall come again."""
    commit = Held()
    commits = GroupCommit(commit, size=int, limit=30, most=10)
    commits.submit([99])
    assert commit.busy.wait(10)
    commits.submit([10, 15])
    with pytest.raises(Unavailable, match="2 entries wait"):
        commits.submit([6])
    commits.submit([5])
    commit.go.set()
    commits.close()
    with pytest.raises(Unavailable, match="shutting down"):
        commits.submit([5])


def test_failed_commit_is_told_to_its_own_only() -> None:
    """Those who wait get the error; the next commit goes on."""

    def commit(items: list[int]) -> None:
        if items == [1]:
            raise OSError("no space")

    commits = GroupCommit(commit, size=int, limit=10, most=1)
    failed, fine = commits.submit([1]), commits.submit([2])
    with pytest.raises(OSError, match="no space"):
        failed.result(10)

    assert fine.result(10) is None
    commits.close()


def test_client_that_goes_away_stops_nobody() -> None:
    """Who cancels while waiting is left out, who cancels too late is stored; the writer goes on for the others."""
    commit = Held()
    commits = GroupCommit(commit, size=int, limit=10, most=1)
    first = commits.submit([1])
    assert commit.busy.wait(10)
    second, third = commits.submit([2]), commits.submit([3])
    cancelled = [future.cancel() for future in (first, second)]
    commit.go.set()
    third.result(10)
    commits.close()

    assert (cancelled, commit.groups) == ([False, True], [[1], [3]])
