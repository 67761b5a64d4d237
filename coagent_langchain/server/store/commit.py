"""Group commit: one writer thread stores all queued entries together, then completes their futures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from coagent_langchain.server.store import Unavailable
from coagent_langchain.server.store.records import NewEntry

WAITING = 64 << 20  # bytes of entries that may be queued: 60,000 of about 1 KB

_Waiting = tuple[Sequence[NewEntry], Future[None]]


class GroupCommit:
    """Collects what requests submit while the writer is busy, and commits it together.

    Parameters:
        commit: stores all entries or raises; runs only on the writer thread.
        most: entries per commit; a larger submission is not split.
    """

    def __init__(self, commit: Callable[[list[NewEntry]], None], most: int) -> None:
        self._commit = commit
        self._most = most
        self._waiting: list[_Waiting] = []
        self._bytes = 0
        self._closed = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="coagent-store-writer", daemon=True)
        self._thread.start()

    def submit(self, entries: Sequence[NewEntry]) -> Future[None]:
        """Queue entries; the future is done when they are committed, or raises what the commit raised.

        Raises:
            Unavailable: the server is closing, or more than `WAITING` bytes would be queued.
        """
        future: Future[None] = Future()
        size = _size(entries)
        with self._wake:
            if self._closed:
                raise Unavailable("the server is shutting down")
            if self._bytes and self._bytes + size > WAITING:
                raise Unavailable(f"{sum(len(each) for each, _ in self._waiting)} entries are waiting to be stored")
            self._waiting.append((entries, future))
            self._bytes += size
            self._wake.notify()
        return future

    def close(self) -> None:
        """Commit queued entries, then stop the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _take(self) -> list[_Waiting]:
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._closed)
            count = taken = 0
            for entries, _ in self._waiting:
                if taken and count + len(entries) > self._most:
                    break
                count, taken = count + len(entries), taken + 1
            group, self._waiting = self._waiting[:taken], self._waiting[taken:]
            self._bytes -= sum(_size(entries) for entries, _ in group)
            return group

    def _run(self) -> None:
        while group := self._take():
            # From here on, a client that disconnects cannot cancel: the group is committed as a whole.
            group = [(entries, future) for entries, future in group if future.set_running_or_notify_cancel()]
            if not group:
                continue
            try:
                self._commit([entry for entries, _ in group for entry in entries])
            except BaseException as error:  # noqa: BLE001 - handed to those who wait; the writer must go on
                for _, future in group:
                    future.set_exception(error)
            else:
                for _, future in group:
                    future.set_result(None)


def _size(entries: Sequence[NewEntry]) -> int:
    return sum(len(entry.body) for entry in entries)
