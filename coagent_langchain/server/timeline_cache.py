"""A cache of timelines for the sessions being viewed: each is built once and kept until its session changes."""

from __future__ import annotations

import threading
from collections import OrderedDict

from coagent_langchain.server.presentation.event_summary import summarize_json
from coagent_langchain.server.presentation.timeline import Timeline, build
from coagent_langchain.server.store import Store
from coagent_langchain.server.store.records import Session

KEPT_ENTRIES = 120_000  # entries in all cached timelines; about 0.4 KB of memory each
KEPT_TIMELINES = 500

Extent = tuple[int, int, int]


class TimelineCache:
    """A thread-safe LRU cache of the timelines of a store's sessions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[str, tuple[Extent, Timeline]] = OrderedDict()
        self._lock = threading.Lock()
        self._building: dict[str, threading.Lock] = {}

    def get(self, session: Session) -> Timeline:
        """Return a session's timeline: the cached one if no entry has arrived since, otherwise a new one."""
        session_id = session.session_id
        extent = session.entries, session.first_ms, session.last_ms  # the id may be that of a deleted session
        with self._lock:
            building = self._building.setdefault(session_id, threading.Lock())
        with building:
            known, timeline = self._kept.get(session_id, (None, None))
            if timeline is None or known != extent:
                entries = self._store.every_entry(session_id)
                timeline = build(summarize_json(entry.seq, entry.body) for entry in entries)
            self._keep(session_id, extent, timeline)
        return timeline

    def _keep(self, session_id: str, extent: Extent, timeline: Timeline) -> None:
        with self._lock:
            self._kept[session_id] = extent, timeline
            self._kept.move_to_end(session_id)
            total = sum(len(kept.times) for _, kept in self._kept.values())
            while len(self._kept) > 1 and (total > KEPT_ENTRIES or len(self._kept) > KEPT_TIMELINES):
                dropped, (_, gone) = self._kept.popitem(last=False)
                self._building.pop(dropped, None)
                total -= len(gone.times)
