"""Group commit: one writer thread that stores everything that waits in one go, and only then says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from coagent_langchain.server.store import Unavailable

T = TypeVar("T")
WAITING = 64 << 20  # bytes of entries that may wait to be stored: 60,000 of about 1 KB


class GroupCommit(Generic[T]):
    """Collects what many requests submit while the writer is busy, and commits it together.

    Parameters:
        commit: stores all the items or raises; runs on the writer thread only.
        size: of an item, in bytes.
        limit: bytes that may wait; what is more is refused with `Unavailable`, so that memory stays bounded.
        most: items of one commit.
    """

    def __init__(self, commit: Callable[[list[T]], None], *, size: Callable[[T], int], limit: int, most: int) -> None:
        self._commit = commit
        self._size = size
        self._limit = limit
        self._most = most
        self._waiting: list[tuple[Sequence[T], Future[None]]] = []
        self._bytes = 0
        self._closed = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="coagent-store-writer", daemon=True)
        self._thread.start()

    def submit(self, items: Sequence[T]) -> Future[None]:
        """Queue items; the future is done when they are committed, or raises what the commit raised."""
        future: Future[None] = Future()
        size = sum(map(self._size, items))
        with self._wake:
            if self._closed:
                raise Unavailable("the server is shutting down")
            if self._bytes and self._bytes + size > self._limit:
                raise Unavailable(f"{sum(len(each) for each, _ in self._waiting)} entries wait to be stored")
            self._waiting.append((items, future))
            self._bytes += size
            self._wake.notify()
        return future

    def close(self) -> None:
        """Commit what waits, then stop the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _take(self) -> list[tuple[Sequence[T], Future[None]]]:
        with self._wake:
            while not self._waiting and not self._closed:
                self._wake.wait()
            count = taken = 0
            for items, _ in self._waiting:
                if taken and count + len(items) > self._most:
                    break
                count, taken = count + len(items), taken + 1
            group, self._waiting = self._waiting[:taken], self._waiting[taken:]
            self._bytes -= sum(self._size(item) for items, _ in group for item in items)
            return group

    def _run(self) -> None:
        while group := self._take():
            # From now on a client that goes away cannot cancel: what is committed is committed for all.
            group = [(items, future) for items, future in group if future.set_running_or_notify_cancel()]
            if not group:
                continue
            try:
                self._commit([item for items, _ in group for item in items])
            except BaseException as error:  # noqa: BLE001 - handed to those who wait; the writer must go on
                for _, future in group:
                    future.set_exception(error)
            else:
                for _, future in group:
                    future.set_result(None)
