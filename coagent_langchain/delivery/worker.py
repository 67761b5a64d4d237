"""The thread that empties the spool: gathers, sends, waits, adopts what dead processes left."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from pathlib import Path

from coagent_langchain import clock
from coagent_langchain.delivery.leftovers import Leftovers
from coagent_langchain.delivery.notices import Notices
from coagent_langchain.delivery.sender import Sender, Step
from coagent_langchain.delivery.spool import Spool
from coagent_langchain.delivery.sync import Syncer
from coagent_langchain.delivery.verdict import Meaning
from coagent_langchain.errors import guard
from coagent_langchain.http import backoff
from coagent_langchain.wire import BATCH_BYTES, BATCH_ENTRIES

GATHER_S = 0.2  # an event is in the viewer within a second, and the application's threads are seldom disturbed
MEASURE_EVERY_S = 5.0
PAUSE_S = 60.0


class Worker:
    """Empties one spool, and those of dead processes in the folder, if there is one.

    Attributes:
        idle: whether the thread waits for `wake`, or there is no thread. `append` checks only this.
        acknowledged, retried, rejected: counts for `stats`: entries, requests, entries.
    """

    def __init__(self, spool: Spool, sender: Sender, folder: Path | None, notices: Notices) -> None:
        self.idle = True
        self.acknowledged = self.retried = self.rejected = 0
        self._spool = spool
        self._sender = sender
        self._notices = notices
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._stop = threading.Event()
        # SimpleQueue is the only kind whose `put` may be interrupted by a signal handler that also calls `put`.
        self._wakened: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._waiters: list[queue.SimpleQueue[None]] = []
        self._syncer = Syncer(spool)
        self._leftovers = Leftovers(folder)
        self._source: Spool | Leftovers = spool
        self._next_measurement = 0.0
        self._leftovers_next = True
        self._flush_until = 0
        self._attempt = 0
        self._before_stop = 0  # entries written by then

    # --- any thread ---------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Make sure that the thread runs and checks the spool, except at interpreter shutdown."""
        if sys.is_finalizing():  # a thread started now never runs, and its starter waits for ever
            return
        self.idle = False
        self._wakened.put(None)
        while not self._is_running and self._starting.acquire(blocking=False):  # who holds the lock looks once more
            try:
                if not self._is_running:
                    self._start()
            except RuntimeError:  # "can't start new thread": the next append tries again
                self.idle = True
                return
            finally:
                self._starting.release()

    @property
    def _is_running(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def _start(self) -> None:
        """Start the thread, with a new event and queue: gevent may have replaced their classes and that of threads.

        It does so in each worker of `gunicorn --preload -k gevent`, and old and new ones do not work together.
        """
        self._stop.set()
        self._stop = stop = threading.Event()
        self._wakened = queue.SimpleQueue()
        self._syncer.begin(stop)
        thread = threading.Thread(target=self._run, args=(stop,), name="coagent-delivery", daemon=True)
        thread.start()
        if not isinstance(thread.ident, int):  # a test replaces `start`, or the class, so that there are no threads
            raise RuntimeError("not started")
        self._thread = thread

    def wait_until_settled(self, entries: int, timeout: float) -> bool:
        """Have waiting entries sent at once, and wait until the first `entries` of the spool are settled."""
        if self._spool.settled >= entries:
            return True
        self._flush_until = max(self._flush_until, entries)
        until = clock.monotonic() + timeout
        progress: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._waiters.append(progress)
        try:
            self.wake()
            while self._spool.settled < entries and (left := until - clock.monotonic()) > 0 and not sys.is_finalizing():
                with contextlib.suppress(queue.Empty):
                    progress.get(timeout=left)
        finally:
            self._waiters.remove(progress)
        return self._spool.settled >= entries

    def stop(self, timeout: float) -> bool:
        """End the thread; True if it ended within `timeout` seconds. `wake` starts a new one."""
        self._before_stop = self._spool.written
        self._stop.set()
        self._wakened.put(None)
        self._syncer.stop(timeout)
        if (thread := self._thread) is None:
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def abandon(self) -> None:
        """Give up leftovers without touching their files: after a fork they are the parent's."""
        self._leftovers.abandon()

    # --- the thread ---------------------------------------------------------------------------------------------

    def _run(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                if self._cycle() is None:  # an error was contained: it must not cause a busy loop
                    self._wait(1.0)
        finally:
            # Before `idle`: a thread that sees that must not take this one, which is about to end, for alive.
            self._thread = None
            self.idle = True
            if stop.is_set() and (self._waiters or self._spool.written > self._before_stop):
                self.wake()  # something was logged, or is flushed, since: nobody else would send it

    @guard
    def _cycle(self) -> bool:
        self._notices.report_spool_changes(self._spool)
        self._measure()
        if self._sender.busy or self._load():
            step = self._sender.step()
            self._source.settle(step.length, step.stored + step.rejected)
            self._conclude(step)
        else:
            self._rest()
        return True

    def _load(self) -> bool:
        """Take the next batch: own entries and those of dead processes in turn, own ones first during a `flush`.

        They take turns because a busy program always has entries of its own.
        """
        flushing = self._spool.settled < self._flush_until
        self._leftovers_next = not self._leftovers_next and not flushing
        lines = bytearray()
        if self._leftovers_next or not self._spool.waiting:
            lines = self._read_leftovers()
        if not lines and self._spool.waiting:
            lines = self._read_own()
        if lines:
            self._sender.load(lines)
        return bool(lines)

    def _read_own(self) -> bytearray:
        self._syncer.wake()
        self._gather()
        self._source = self._spool
        try:
            return self._spool.read()
        except OSError as error:  # too many open files, a broken disk: `_rest` waits a second
            self._tell(f"cannot read the spool: {error.strerror}")
            return bytearray()

    def _measure(self) -> None:
        """Check the folder periodically, also while the server is away: its quota is shared by all processes."""
        if clock.monotonic() >= self._next_measurement:
            self._next_measurement = clock.monotonic() + MEASURE_EVERY_S
            self._spool.return_to_folder()
            self._spool.measure_others()

    def _gather(self) -> None:
        """Wait for more entries, unless there is a full batch or a `flush` is waiting."""
        large = self._spool.waiting >= BATCH_ENTRIES or self._spool.waiting_bytes >= BATCH_BYTES
        if not large and self._spool.settled >= self._flush_until:
            self._wait(GATHER_S)

    def _read_leftovers(self) -> bytearray:
        if lines := self._leftovers.read():
            self._syncer.wake()
            self._source = self._leftovers
        return lines

    def _rest(self) -> None:
        """Wait for `wake`: there is nothing to do."""
        self._spool.recycle()
        self.idle = True
        if self._spool.waiting:
            self._wait(1.0)  # the spool could not be read
        elif not self._stop.is_set():
            self._syncer.rest()
            self._sleep(None)
        self.idle = False

    def _conclude(self, step: Step) -> None:
        """Count, report and wait as the answer requires."""
        if self._source is self._spool:
            self.acknowledged += step.stored
            self.rejected += step.rejected
        for progress in tuple(self._waiters):
            progress.put(None)
        if step.rejected:
            why = next(iter(step.verdict.refused.values()), step.verdict.reason)
            self._notices.report_losses(step.rejected, "rejected", why)
        if step.verdict.again:
            self._tell(step.verdict.reason)
            self.retried += 1
            self._attempt += 1
            pause = PAUSE_S if step.verdict.meaning is Meaning.PAUSE else 0.0
            self._wait(max(backoff(self._attempt), pause, step.verdict.wait), patient=step.verdict.wait > 0)
            return
        self._attempt = 0  # also if entries were refused: the server works
        if step.stored:
            self._notices.report_recovery(self.acknowledged)

    def _wait(self, seconds: float, patient: bool = False) -> None:
        """Wait; `flush` and `close` cut it short, or only `close` if the server asked for the wait (`patient`)."""
        until = clock.monotonic() + seconds
        while (left := until - clock.monotonic()) > 0 and not self._stop.is_set():
            if self._sleep(left) and not patient:
                return

    def _sleep(self, seconds: float | None) -> bool:
        """Sleep until `wake`, or for `seconds`; True if woken by `wake`."""
        wakened = False
        with contextlib.suppress(queue.Empty):
            self._wakened.get(timeout=seconds)
            wakened = True
            while True:
                self._wakened.get_nowait()
        return wakened

    def _tell(self, problem: str) -> None:
        self._notices.report_problem(problem, self._spool.waiting)
