"""Brings the spool to the disk a few times a second, so that a crash of the machine loses half a second at most.

A thread of its own: the worker may hang in the network when it is time, and a hook must not wait for the disk.
"""

from __future__ import annotations

import contextlib
import threading

from coagent_langchain.delivery.spool import Spool
from coagent_langchain.errors import guard

SYNC_S = 0.4


class Syncer:
    """Syncs one spool while its worker is at work: it may send what others left, and does not look at each event."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._wakened = threading.Event()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def begin(self, stop: threading.Event) -> None:
        """Sync until the event `stop` is set and `stop()` called; the thread starts with the first `wake`."""
        self._wakened.set()  # an earlier thread, whose worker has died, sees that it is to stop
        self._wakened = threading.Event()
        self._stop, self._thread = stop, None

    def stop(self, timeout: float) -> None:
        """Wait until the thread has ended: its `stop` is set."""
        self._wakened.set()
        if self._thread:
            self._thread.join(timeout)

    def wake(self) -> None:
        """Something was written, or may be from now on; said by the worker's thread alone."""
        self._wakened.set()
        if self._thread is None:
            thread = threading.Thread(target=self._run, args=(self._stop,), name="coagent-sync", daemon=True)
            with contextlib.suppress(RuntimeError):  # "can't start new thread": delivery goes on, the next one tries
                thread.start()
                self._thread = thread

    def rest(self) -> None:
        """Nothing waits any more; said by the worker's thread alone."""
        self._wakened.clear()
        if self._stop.is_set():  # `stop()` may have come first
            self._wakened.set()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._wakened.wait()
            stop.wait(SYNC_S)
            self._sync()

    @guard
    def _sync(self) -> None:
        self._spool.sync()
