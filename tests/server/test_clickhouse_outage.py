"""A ClickHouse that is down, slow, or lost in mid-request: the server says so, and the client's spool keeps events."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import clickhouse_connect
import pytest
import requests

from coagent_langchain import CoagentCallbackHandler, server
from coagent_langchain.server.store import Store
from coagent_langchain.server.store.clickhouse import ClickHouseStore
from tests.fakes import chat
from tests.server.clickhouse_door import Door
from tests.server.samples import entry
from tests.waiting import until

pytestmark = pytest.mark.heavy
SLOW = 1.0  # seconds after which the impatient store considers the database down
_names = (f"outage{number}" for number in itertools.count(1))


@contextlib.contextmanager
def opened(door: Door, make: Callable[[], Store]) -> Iterator[Store]:
    """A store; the door is open again before it is closed."""
    store = make()
    try:
        yield store
    finally:
        door.always = None
        door.failures.clear()
        door.moving.set()
        store.close()


@pytest.fixture
def store(door: Door) -> Iterator[Store]:
    """A store in a database of its own."""
    with opened(door, lambda: server.open_store(f"clickhouse://me:secret@127.0.0.1:{door.port}/{next(_names)}")) as one:
        yield one


@pytest.fixture
def impatient(door: Door) -> Iterator[Store]:
    """A store that gives the database one second to respond."""

    def connect() -> Any:
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=door.port, autogenerate_session_id=False, send_receive_timeout=SLOW
        )

    with opened(door, lambda: ClickHouseStore(connect, next(_names))) as one:
        yield one


def stored(store: Store, session_id: str) -> Counter[str]:
    """How often each event id of a session is in the table, including duplicates that pages leave out."""
    rows = store._writer._client.query(  # type: ignore[attr-defined]
        f"SELECT event_id FROM {store._db}.log_entries WHERE session_id = {{s:String}}",  # type: ignore[attr-defined]
        parameters={"s": session_id},
    ).result_rows
    return Counter(row[0] for row in rows)


@pytest.mark.parametrize("failure", [503, "hang up"])
def test_the_spool_holds_what_is_logged_during_an_outage(door: Door, store: Store, failure: int | str) -> None:
    """A chain runs while the database is down; once it is back, everything is stored once and in order."""
    with server.launch(store) as running:
        handler = CoagentCallbackHandler(base_url=running.base_url, session_id="outage")
        door.always = failure
        answers = [chat("Rome").invoke(f"Where to, {n}?", {"callbacks": [handler]}).content for n in range(20)]
        until(lambda: handler.stats().retried >= 2)
        during = handler.stats()
        door.always = None
        handler.close()
        flushed, after = handler.flush(60), handler.stats()
        found = stored(store, "outage")
        prompts = [e["prompt"] for e in requests.get(f"{running.base_url}/logs/outage", timeout=10).json()
                   if e["event_type"] == "llm_call"]  # fmt: skip

    assert answers == ["Rome"] * 20
    assert (during.acknowledged, during.waiting) == (0, during.written)
    assert (flushed, after.waiting, after.rejected, after.refused) == (True, 0, 0, 0)
    assert (found.total(), set(found.values())) == (after.written, {1})
    assert prompts == [f"Where to, {n}?" for n in range(20)]


@pytest.mark.parametrize("answered", [0, 1], ids=["while it looks for copies", "while it inserts"])
def test_a_slow_database_answers_503_in_time(door: Door, impatient: Store, answered: int) -> None:
    """The client learns within the time-out when to retry; what the database inserts late is not duplicated."""
    with server.launch(impatient) as running:
        batch = [entry("llm_call", session_id="slow", meta={"model": "llama3.2"}) for _ in range(2)]
        door.failures = [*[0] * answered, "stall"]
        door.moving.clear()
        began = time.monotonic()
        refused = requests.post(f"{running.base_url}/logs", json=batch, timeout=30)
        waited = time.monotonic() - began
        door.moving.set()
        if answered:
            until(lambda: stored(impatient, "slow").total() == 2)  # the insert that the server gave up on
        accepted = requests.post(f"{running.base_url}/logs", json=batch, timeout=30)
        found = stored(impatient, "slow")

    assert (refused.status_code, refused.headers["Retry-After"], accepted.status_code) == (503, "1", 200)
    assert SLOW <= waited < 2 * SLOW
    assert found == {one["event_id"]: 1 for one in batch}


def test_an_answer_that_gets_lost_stores_nothing_twice(door: Door, store: Store) -> None:
    """The database inserts and hangs up before it responds."""
    with server.launch(store) as running:
        one = entry(session_id="lost")
        door.failures = [0, "swallow"]
        first = requests.post(f"{running.base_url}/logs", json=one, timeout=30)
        second = requests.post(f"{running.base_url}/logs", json=one, timeout=30)
        found = stored(store, "lost")

    assert (first.status_code, second.status_code) == (503, 200)
    assert found == {one["event_id"]: 1}


def test_a_live_page_is_told_of_an_outage(door: Door, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Its stream ends, and while the database is down it gets no other: the log says why, once and on one line."""
    with server.launch(store) as running:
        with requests.get(f"{running.url}/view/live", stream=True, timeout=10) as stream:
            parts = stream.iter_content(None)
            begun = next(parts)
            door.always = 503
            rest = list(parts)
        refused = [requests.get(f"{running.url}/view/live", timeout=10) for _ in range(2)]

    assert (begun[:11], rest) == (b"retry: 2000", [])
    assert [(answer.status_code, answer.headers["Retry-After"]) for answer in refused] == [(503, "1")] * 2
    assert [(record.name, record.message[:38], record.exc_info) for record in caplog.records] == [
        ("coagent_langchain", "requests are answered with 503: ClickH", None)
    ]
