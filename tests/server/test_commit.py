"""Group commit: the queue is bounded, and nothing is acknowledged too early."""

from __future__ import annotations

import threading

import pytest

from coagent_langchain.server.store import Unavailable
from coagent_langchain.server.store.commit import WAITING, GroupCommit
from coagent_langchain.server.store.records import NewEntry


def of(*sizes: int) -> list[NewEntry]:
    """Entries of the given sizes in bytes."""
    return [NewEntry({}, bytes(size)) for size in sizes]


class Held:
    """A commit that begins at once and ends when it is released."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []  # the sizes of what each commit wrote
        self.go, self.busy = threading.Event(), threading.Event()

    def __call__(self, entries: list[NewEntry]) -> None:
        self.groups.append([len(entry.body) for entry in entries])
        self.busy.set()
        assert self.go.wait(10)


def test_what_waits_is_committed_together() -> None:
    """While one commit is in progress, the next batch collects."""
    held = Held()
    commits = GroupCommit(held, most=4)
    first = commits.submit(of(1))
    assert held.busy.wait(10)
    rest = [commits.submit(of(n, n)) for n in (2, 3, 4)]
    told_early = [future.done() for future in (first, *rest)]
    held.go.set()
    for future in rest:
        future.result(10)
    commits.close()

    assert told_early == [False] * 4
    assert held.groups == [[1], [2, 2, 3, 3], [4, 4]]


def test_more_than_the_limit_is_refused() -> None:
    """Memory is bounded by the size of the entries, not their number: what exceeds the limit is to be retried."""
    held = Held()
    commits = GroupCommit(held, most=10)
    commits.submit(of(WAITING + 1))
    assert held.busy.wait(10)
    commits.submit(of(WAITING // 2))
    commits.submit(of(WAITING // 2 - 5))
    with pytest.raises(Unavailable, match="2 entries are waiting"):
        commits.submit(of(6))
    commits.submit(of(5))
    held.go.set()
    commits.close()
    with pytest.raises(Unavailable, match="shutting down"):
        commits.submit(of(5))


def test_failed_commit_is_told_to_its_own_only() -> None:
    """Those whose entries are in it get the error; the next commit proceeds."""

    def store(entries: list[NewEntry]) -> None:
        if entries == of(1):
            raise OSError("no space")

    commits = GroupCommit(store, most=1)
    failed, fine = commits.submit(of(1)), commits.submit(of(2))
    with pytest.raises(OSError, match="no space"):
        failed.result(10)

    assert fine.result(10) is None
    commits.close()


def test_closing_waits_until_all_is_committed() -> None:
    """Whatever was submitted before is committed, however slow the disk."""
    held = Held()
    commits = GroupCommit(held, most=1)
    futures = [commits.submit(of(size)) for size in (1, 2, 3)]
    slow = threading.Timer(0.1, held.go.set)
    slow.start()
    commits.close()
    done = [future.done() for future in futures]
    slow.join()

    assert (done, held.groups) == ([True] * 3, [[1], [2], [3]])


def test_client_that_goes_away_stops_nobody() -> None:
    """Cancelled early, its entries are left out; cancelled too late, they are stored; the writer continues."""
    held = Held()
    commits = GroupCommit(held, most=1)
    first = commits.submit(of(1))
    assert held.busy.wait(10)
    second, third = commits.submit(of(2)), commits.submit(of(3))
    cancelled = [future.cancel() for future in (first, second)]
    held.go.set()
    third.result(10)
    commits.close()

    assert (cancelled, held.groups) == ([False, True], [[1], [3]])
