"""The open sessions of a process: one per destination and id, ended when idle and at exit."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable

from coagent_langchain import clock
from coagent_langchain.delivery import Delivery, close_deliveries
from coagent_langchain.errors import guard
from coagent_langchain.forks import fork_safe_lock
from coagent_langchain.latest import keep_latest
from coagent_langchain.outlet import Outlet
from coagent_langchain.sessions.pending import Pending
from coagent_langchain.sessions.session import Session
from coagent_langchain.sessions.state import MAX_REPORTED, SessionState
from coagent_langchain.unended import SILENT_MS
from coagent_langchain.weak_collection import WeakCollection

IDLE_AFTER = SILENT_MS / 1000  # seconds without an event after which a session ends by itself
ABANDONED_AFTER = 24 * 3600.0  # the same while runs of it are still open
MAX_SESSIONS = 10_000  # open ones; those idle longest make room, unless a block or run of theirs is open
MAX_ENDED = 100_000  # ended ones whose last prompt number is remembered
MAX_PENDING = 1_000  # ended ones with a pending question or stopped graph
SWEEP_EVERY = 5.0  # seconds

_lock = fork_safe_lock()


class OpenSessions:
    """The sessions of one destination, shared by all handlers of the process with that destination."""

    def __init__(self) -> None:
        self._open: dict[str, Session] = {}
        self._last_numbers: dict[str, int] = {}
        self._pending: dict[str, Pending] = {}  # of ended sessions
        self._room = 0
        self.keeps_reported = False  # only on demand: a built-in exception is kept, with its frames
        self.reported: deque[Callable[[], BaseException | None]] = deque(maxlen=MAX_REPORTED)
        self._closers: WeakCollection[RunCloser] = WeakCollection()

    def get(self, session_id: str, outlet: Outlet, *, last_number: int = 0) -> Session:
        """The open session with that id, or a new one; it continues after the last prompt that the server has."""
        with _lock:  # like `remove`: an id is either open, or its last prompt number is known
            session = self._open.get(session_id)
            is_new = session is None
            if session is None:
                session = self._open[session_id] = Session(self, outlet, session_id, last_number=last_number)
                self._give_state(session, session.state)
        if is_new:
            self._take_in(session)
        else:
            if last_number:
                session.state.skip_to(last_number)
            if session.state.inherited:
                _watch(self)  # the thread that watched it is the parent's
        return session

    def open(self, session: Session, *, block: bool = False) -> None:
        """Make a session object created by a user the open one of its id: it continues the open session, or begins one.

        It does so when something in it is logged, or a `block` of it is entered.
        """
        with _lock:
            state = session.renewed() if session.state.ended else session.state
            known = self._open.get(session.session_id)
            is_new = known is None or known.state is not state
            if known is None:
                self._give_state(session, state)
            elif is_new:
                known.state.continue_through(session)
            if is_new:
                self._open[session.session_id] = session
            if block:
                session.state.enter(session)
        if is_new:
            self._take_in(session)

    def _give_state(self, session: Session, state: SessionState) -> None:
        state.process = os.getpid()
        if session.session_id in self._last_numbers:
            state.started = state.written = False  # one that ended here starts again
            state.skip_to(self._last_numbers[session.session_id])
        session.state = state  # last: another thread's run may be waiting for it to take the next number

    def _take_in(self, session: Session) -> None:
        """Give a new session what was pending when the previous one with its id ended, and make room for it."""
        earlier, state = self._pending.pop(session.session_id, None), session.state
        if earlier is not None:
            state.pending.take_over(earlier, lambda prompt: state.rejoin(session, prompt.number, prompt.turn))
        self._make_room()
        _watch(self)

    def _make_room(self) -> None:
        if len(self._open) > max(MAX_SESSIONS, self._room):
            idle = [each for each in list(self._open.values()) if not each.state.busy]
            idle.sort(key=lambda each: each.state.touched)
            for oldest in idle[: len(self._open) - MAX_SESSIONS + MAX_SESSIONS // 10]:
                oldest.end_where(lambda state: not state.busy, "idle")
            # If too many are busy, do not look again until there are a tenth more.
            self._room = len(self._open) * 11 // 10

    def remove(self, state: SessionState, holds: Callable[[SessionState], bool]) -> bool:
        """Mark a session as ended if the condition holds; keep its last prompt number, and what a later one may end."""
        with _lock:  # like `open`: nothing continues a session that is ending
            if not state.mark_ended(holds):
                return False
            session_id = state.owner.session_id
            known = self._open.get(session_id)
            if known is not None and known.state is state:
                del self._open[session_id]
            self._last_numbers.pop(session_id, None)
            keep_latest(self._last_numbers, session_id, state.last_number, MAX_ENDED)
            if state.pending.awaited:
                keep_latest(self._pending, session_id, state.pending, MAX_PENDING)
        return True

    def sweep(self) -> None:
        """End abandoned runs and idle sessions."""
        now = clock.monotonic()
        for closer in self._closers:
            closer.sweep()

        def is_idle(state: SessionState) -> bool:
            return now - state.touched > (ABANDONED_AFTER if state.busy else IDLE_AFTER)

        for session in list(self._open.values()):
            if is_idle(session.state):
                session.end_where(is_idle, "idle")

    def end_all(self, outlet: Outlet | None = None) -> None:
        """End every open session, or those that belong to the handler with this outlet."""
        if outlet is None:
            for closer in self._closers:
                closer.bind_all()
        for session in list(self._open.values()):
            session.end_where(lambda state: outlet is None or state.belongs_to(outlet))

    @property
    def latest(self) -> Session | None:
        """The open session with the latest activity."""
        return max(list(self._open.values()), key=lambda each: each.state.touched, default=None)

    def close_runs(self, state: SessionState, outcome: str) -> None:
        """End the runs that are still open in a session that ends."""
        for closer in self._closers if state.may_have_runs else ():
            closer.close_session(state, outcome)

    def register(self, closer: RunCloser) -> None:
        """Have `closer` end what its handler has open, for as long as it is alive."""
        self._closers.add(closer)

    def __len__(self) -> int:
        return len(self._open)


class RunCloser:
    """Ends a handler's open runs when a session of its destination asks for it."""

    def sweep(self) -> None:
        """End abandoned runs."""

    def bind_all(self) -> None:
        """Assign each open run to its session, before all sessions end."""

    def close_session(self, state: SessionState, outcome: str) -> None:
        """End the runs that are still open in a session that ends, with an outcome as logged in their events."""


_by_delivery: dict[int, tuple[weakref.ref[Delivery], OpenSessions]] = {}  # by id: equal deliveries are distinct
_watched: WeakCollection[OpenSessions] = WeakCollection()
_thread: threading.Thread | None = None


def sessions_of(delivery: Delivery) -> OpenSessions:
    """The sessions that deliver through `delivery`."""
    with _lock:
        key, kept = id(delivery), _by_delivery
        known = kept.get(key)
        if known is None:  # the id is unambiguous: a dead delivery is removed before its id can be reused
            # The callback uses no globals of this module: the interpreter may already have cleared them.
            known = kept[key] = weakref.ref(delivery, lambda _: kept.pop(key, None)), OpenSessions()
            # Registered again each time, so that it runs before the exit handler of the newest delivery.
            atexit.unregister(_end_at_exit)
            atexit.register(_end_at_exit)
    return known[1]


def _watch(sessions: OpenSessions) -> None:
    """Have the sweep thread look after `sessions`, and start it if necessary, except at interpreter shutdown."""
    global _thread
    _watched.add(sessions)
    with _lock:  # only one of the threads that begin sessions at once starts it
        # A thread started during interpreter shutdown never runs, and its starter waits for ever.
        if (_thread is not None and _thread.is_alive()) or sys.is_finalizing():
            return
        _thread = threading.Thread(target=_sweep_for_ever, name="coagent-sessions", daemon=True)
        try:
            _thread.start()
        except RuntimeError:  # what Python 3.12 raises instead; the exit handler ends the sessions
            _thread = None
            return
    _end_with_worker()


def _end_with_worker() -> None:
    """Have a `multiprocessing` worker, which runs no `atexit` handlers, end sessions and deliver when it ends."""
    util = sys.modules.get("multiprocessing.util")  # not imported: a worker has loaded it
    if util is not None:
        util.Finalize(None, _end_at_exit, exitpriority=2)
        util.Finalize(None, close_deliveries, exitpriority=1)


def _sweep_for_ever() -> None:
    never = threading.Event()
    while not never.wait(SWEEP_EVERY):  # not `time.sleep`, which tests replace with one that returns at once
        with guard:
            for sessions in _watched:
                sessions.sweep()


@guard
def _end_at_exit() -> None:
    for _, sessions in list(_by_delivery.values()):
        sessions.end_all()
