"""Syncing the spool to disk a few times a second, so that a crash of the machine loses half a second at most.

It has its own thread: the worker may be blocked on the network when a sync is due, and a hook must not wait for the
disk.
"""

from __future__ import annotations

import contextlib
import threading

from coagent_langchain.delivery.spool import Spool
from coagent_langchain.errors import guard

SYNC_S = 0.4


class Syncer:
    """Syncs one spool while its worker is active: that may be sending leftovers, and does not see each event."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._wakened = threading.Event()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def begin(self, stop: threading.Event) -> None:
        """Sync until the event `stop` is set and `stop()` called; the thread starts with the first `wake`."""
        self._wakened.set()  # so that an earlier thread, whose worker has died, notices its `stop`
        self._wakened = threading.Event()
        self._stop, self._thread = stop, None

    def stop(self, timeout: float) -> None:
        """Wait until the thread has ended; its `stop` must be set."""
        self._wakened.set()
        if self._thread:
            self._thread.join(timeout)

    def wake(self) -> None:
        """Sync from now on, because something was or may be written; called only by the worker's thread."""
        self._wakened.set()
        if self._thread is None:
            thread = threading.Thread(target=self._run, args=(self._stop,), name="coagent-sync", daemon=True)
            with contextlib.suppress(RuntimeError):  # "can't start new thread": the next call tries again
                thread.start()
                self._thread = thread if thread.ident else None  # a test may have replaced `start`

    def rest(self) -> None:
        """Pause, because nothing is waiting; called only by the worker's thread."""
        self._wakened.clear()
        if self._stop.is_set():  # `stop()` may have come first
            self._wakened.set()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._wakened.wait()
            stop.wait(SYNC_S)
            with guard:
                self._spool.sync()
