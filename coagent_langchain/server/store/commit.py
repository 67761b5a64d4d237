"""Group commit: one writer thread that stores everything that waits in one go, and only then says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from coagent_langchain.server.store import Unavailable

T = TypeVar("T")


class GroupCommit(Generic[T]):
    """Collects what many requests submit while the writer is busy, and commits it together.

    Parameters:
        commit: stores all the items or raises; runs on the writer thread only.
        limit: items that may wait; one more is refused with `Unavailable`, so that memory stays bounded.
        most: items of one commit.
    """

    def __init__(self, commit: Callable[[list[T]], None], *, limit: int, most: int) -> None:
        self._commit = commit
        self._limit = limit
        self._most = most
        self._waiting: list[tuple[Sequence[T], Future[None]]] = []
        self._count = 0
        self._closed = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="coagent-store-writer", daemon=True)
        self._thread.start()

    def submit(self, items: Sequence[T]) -> Future[None]:
        """Queue items; the future is done when they are committed, or raises what the commit raised."""
        future: Future[None] = Future()
        with self._wake:
            if self._closed:
                raise Unavailable("the server is shutting down")
            if self._count and self._count + len(items) > self._limit:
                raise Unavailable(f"{self._count} entries wait to be stored")
            self._waiting.append((items, future))
            self._count += len(items)
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
            size = taken = 0
            for items, _ in self._waiting:
                if taken and size + len(items) > self._most:
                    break
                size, taken = size + len(items), taken + 1
            group, self._waiting = self._waiting[:taken], self._waiting[taken:]
            self._count -= size
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
