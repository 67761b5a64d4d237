"""The timelines of the sessions that are being looked at: built once, kept while the session stays as it is."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from coagent_langchain.server.presentation.moments import Moment, read
from coagent_langchain.server.presentation.timeline import Timeline, build
from coagent_langchain.server.store import Session, Store, every_entry

KEPT_ENTRIES = 120_000  # of all timelines kept; about 0.4 KB of memory each
KEPT_VIEWS = 500
PAGE = 2_000  # entries read from the store at once


@dataclass(frozen=True, slots=True)
class View:
    """A session as it is now, and its timeline."""

    session: Session
    timeline: Timeline


class Timelines:
    """The latest timelines, oldest use dropped first. Safe for threads.

    Parameters:
        store: where the entries are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._views: OrderedDict[str, View] = OrderedDict()
        self._lock = threading.Lock()
        self._building: dict[str, threading.Lock] = {}

    def get(self, session: Session) -> View:
        """The session with its timeline: the kept one while no entry came since, else a new one."""
        with self._lock:
            building = self._building.setdefault(session.session_id, threading.Lock())
        with building:
            kept = self._views.get(session.session_id)
            if kept and _extent(kept.session) == _extent(session):
                view = View(session, kept.timeline)
            else:
                view = View(session, build(self._moments(session.session_id)))
            self._keep(view)
        return view

    def _keep(self, view: View) -> None:
        with self._lock:
            self._views[view.session.session_id] = view
            self._views.move_to_end(view.session.session_id)
            total = sum(len(kept.timeline.times) for kept in self._views.values())
            while len(self._views) > 1 and (total > KEPT_ENTRIES or len(self._views) > KEPT_VIEWS):
                dropped, gone = self._views.popitem(last=False)
                self._building.pop(dropped, None)
                total -= len(gone.timeline.times)

    def _moments(self, session_id: str) -> Iterator[Moment]:
        return (read(entry.seq, entry.body) for entry in every_entry(self._store, session_id, page=PAGE))


def _extent(session: Session) -> tuple[int, int, int]:
    """What changes with each entry, and where a session was deleted and another one has its id."""
    return session.entries, session.first_ms, session.last_ms
