"""Entries to store, with fixed times and ids."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import orjson

from coagent_langchain.server.intake import parse
from coagent_langchain.server.store import Store
from coagent_langchain.server.store.records import Entry, NewEntry, Query

T0 = 1_760_000_000_000
_numbers = itertools.count(1)


def entry(event_type: str = "info", at: int = 0, session_id: str = "s", **fields: Any) -> dict[str, Any]:
    """A valid entry, `at` milliseconds after `T0`, by default with an event id of its own."""
    base = {"version": "2.0.0", "session_id": session_id, "prompt_number": 1, "turn_number": 0,
            "event_id": f"e{next(_numbers)}", "event_type": event_type, "timestamp": T0 + at}  # fmt: skip
    return base | fields


def new(*entries: dict[str, Any]) -> list[NewEntry]:
    """The entries as the API hands them to a store."""
    body = orjson.dumps(list(entries))
    batch = parse(body, frozenset({e["event_type"] for e in entries}))

    assert batch.faults == []
    return batch.entries


def put(store: Store, *entries: dict[str, Any]) -> None:
    """Store entries in one append, and wait until they are durable."""
    store.append(new(*entries)).result(timeout=60)


def bodies(store: Store, session_id: str = "s", **options: Any) -> list[dict[str, Any]]:
    """A session's entries, parsed."""
    return [orjson.loads(found.body) for found in store.entries(session_id, **options)]


def event_ids(found: Iterable[Entry]) -> list[str]:
    """The event ids of entries."""
    return [orjson.loads(one.body)["event_id"] for one in found]


def hits(store: Store, session_id: str, text: str, limit: int = 100) -> list[str]:
    """The event ids of a session's entries that a search finds, in the order of the result, without duplicates."""
    ids = {one.seq: orjson.loads(one.body)["event_id"] for one in store.entries(session_id)}
    return [ids[seq] for seq in store.search(session_id, text, limit) if seq in ids]


def holding(store: Store, text: str) -> list[str]:
    """The ids of the sessions that a search finds, sorted."""
    return sorted(session.session_id for session in store.sessions(Query(text=text, limit=200)).sessions)
