"""A cache of timelines for the sessions being viewed: each is built once and kept until its session changes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from coagent_langchain.server.presentation.event_summary import summarize_json
from coagent_langchain.server.presentation.timeline import Timeline, build
from coagent_langchain.server.store import Session, Store, every_entry

KEPT_ENTRIES = 120_000  # entries in all cached timelines; about 0.4 KB of memory each
KEPT_VIEWS = 500


@dataclass(frozen=True, slots=True)
class View:
    """The current state of a session, and its timeline."""

    session: Session
    timeline: Timeline


class Timelines:
    """A thread-safe LRU cache of the timelines of a store's sessions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._views: OrderedDict[str, View] = OrderedDict()
        self._lock = threading.Lock()
        self._building: dict[str, threading.Lock] = {}

    def get(self, session: Session) -> View:
        """Return the session with its timeline: the cached one if no entry has arrived since, otherwise a new one."""
        with self._lock:
            building = self._building.setdefault(session.session_id, threading.Lock())
        with building:
            kept = self._views.get(session.session_id)
            if kept and _extent(kept.session) == _extent(session):
                view = View(session, kept.timeline)
            else:
                entries = every_entry(self._store, session.session_id)
                view = View(session, build(summarize_json(entry.seq, entry.body) for entry in entries))
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


def _extent(session: Session) -> tuple[int, int, int]:
    """Values that change with each entry, or if another session has taken the id of a deleted one."""
    return session.entries, session.first_ms, session.last_ms
