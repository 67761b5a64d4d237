"""The worker against a server that misbehaves in every way: everything arrives, and what cannot is kept."""

from __future__ import annotations

import errno
import logging
import math
import os
import queue
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from coagent_langchain.delivery import notices, worker
from coagent_langchain.delivery.adoption import waiting_lines
from coagent_langchain.delivery.backoff import backoff
from coagent_langchain.delivery.destination import destination_folder
from coagent_langchain.delivery.rejected import rejected_entries
from coagent_langchain.delivery.segment import BATCH_BYTES, BATCH_ENTRIES, HEADER_BYTES, header
from coagent_langchain.delivery.spooled import SpooledDelivery, age_of
from coagent_langchain.delivery.sync import SYNC_S
from tests.delivery_parts import TOKEN, append_each, delivery_to, ids, left_by_the_dead, line
from tests.faulty_server import OK, Answer, Behaviour, FaultyServer, Request, healthy
from tests.waiting import until


def poison(request: Request) -> Answer:
    """Refuse every request that contains `e5`, without naming it."""
    bad = any(entry["event_id"] == "e5" for entry in request.entries)
    return Answer(400, b'{"success": false, "message": "bad entry"}') if bad else Answer()


def naming(request: Request) -> Answer:
    """Refuse a request that contains `e5`, and name it by index."""
    for index, entry in enumerate(request.entries):
        if entry["event_id"] == "e5":
            body = b'{"success": false, "errors": [{"index": %d, "field": "x", "message": "bad"}]}' % index
            return Answer(400, body, stores=False)
    return Answer()


def small_only(request: Request) -> Answer:
    """Refuse bodies over 1 kB."""
    return Answer(413) if request.size > 1000 else Answer()


def no_arrays(request: Request) -> Answer:
    """Accept single entries only."""
    return Answer(422, b'{"success": false, "message": "expected an object"}') if request.array else Answer()


def first(number: int, answer: Answer) -> Behaviour:
    """Give `answer` to the first `number` requests, then be healthy."""
    return lambda request: answer if request.number <= number else Answer()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The upper bound of each random delay; the delay itself is always the shortest, 0."""
    longest: list[float] = []

    def drawn(draw: random.Random, shortest: float, most: float) -> float:
        longest.append(most)
        return shortest

    monkeypatch.setattr(random.SystemRandom, "uniform", drawn)
    return longest


TROUBLES = {
    "503": first(3, Answer(503)),
    "500": first(2, Answer(500)),
    "429": first(2, Answer(429)),
    "408": first(2, Answer(408)),
    "425": first(2, Answer(425)),
    "reset": first(3, Answer(None)),
    "garbage": first(2, Answer(599, b"\xff\x00<html>")),
    "store, then reset": first(1, Answer(None, stores=True)),
    "413": small_only,
    "no arrays": no_arrays,
    "409 alone": lambda request: Answer(409, stores=not request.array),
}


@pytest.mark.usefixtures("pauses")
@pytest.mark.parametrize("trouble", TROUBLES)
def test_everything_arrives_in_order(tmp_path: Path, trouble: str) -> None:
    """Despite temporary faults, every entry arrives, in order, and none is rejected."""
    with FaultyServer(TROUBLES[trouble]) as server, delivery_to(server.base_url, tmp_path) as delivery:
        append_each(delivery, ids(40))
        flushed = delivery.flush(20)
        stats = delivery.stats()

    assert (flushed, list(dict.fromkeys(server.stored))) == (True, ids(40))
    assert (stats.written, stats.acknowledged, stats.waiting, stats.rejected) == (40, 40, 0, 0)


@pytest.mark.parametrize("behave", [poison, naming])
def test_poison_is_isolated(tmp_path: Path, behave: Behaviour) -> None:
    """An entry that the server never accepts does not affect others, and is kept with the reason."""
    with FaultyServer(behave) as server, delivery_to(server.base_url, tmp_path) as delivery:
        append_each(delivery, ids(40))
        assert delivery.flush(10)
        stats = delivery.stats()
        kept = [(record["entry"]["event_id"], "bad" in record["reason"])
                for record in rejected_entries(destination_folder(tmp_path, server.base_url))]  # fmt: skip

    assert server.stored == [event_id for event_id in ids(40) if event_id != "e5"]
    assert (stats.acknowledged, stats.rejected, kept) == (39, 1, [("e5", True)])


def test_poison_is_isolated_without_a_folder_too() -> None:
    """Without a folder to keep it in, it is only counted, and does not affect others."""
    with FaultyServer(naming) as server, delivery_to(server.base_url, None) as delivery:
        append_each(delivery, ids(10))
        flushed, stats = delivery.flush(10), delivery.stats()

    assert (flushed, server.stored) == (True, [event_id for event_id in ids(10) if event_id != "e5"])
    assert (stats.acknowledged, stats.rejected, stats.waiting) == (9, 1, 0)


def test_a_named_entry_costs_one_request_more(tmp_path: Path) -> None:
    """If the server names the bad entry, no search is needed."""
    with FaultyServer(naming) as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(b"".join(line(event_id) for event_id in ids(40)), 40)
        assert delivery.flush(10)

    assert [len(request.entries) for request in server.requests] == [40, 39]


def test_search_for_poison_is_short(tmp_path: Path) -> None:
    """An unnamed bad entry among 512 is found with about two requests per halving."""
    with FaultyServer(poison) as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(b"".join(line(event_id) for event_id in ids(512)), 512)
        assert delivery.flush(10)

    assert len(server.requests) <= 2 * 9 + 1


def test_entry_too_large_for_the_server_is_rejected(tmp_path: Path) -> None:
    """A single entry that is too large is rejected, and the others arrive."""
    with FaultyServer(small_only) as server, delivery_to(server.base_url, tmp_path) as delivery:
        for event_id, text in (("a", ""), ("b", "x" * 2000), ("c", "")):
            delivery.append(line(event_id, text))
        assert delivery.flush(10)
        stats = delivery.stats()

    assert (server.stored, stats.rejected) == (["a", "c"], 1)


def test_line_that_is_no_json_costs_no_other(tmp_path: Path) -> None:
    """Damaged lines, as after a crash of the machine, are set aside; the others arrive with the next request."""

    def strict(request: Request) -> Answer:
        return Answer() if request.entries else Answer(400, b"not JSON")

    with FaultyServer(strict) as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("a") + b"\0\0\0\n" + b"\0\0" + line("b") + b"[1]\n" + line("c"), 5)
        assert delivery.flush(10)
        stats = delivery.stats()
        kept = [record["reason"] for record in rejected_entries(destination_folder(tmp_path, server.base_url))]

    assert (server.stored, stats.rejected, stats.waiting) == (["a", "b", "c"], 2, 0)
    assert (kept, len(server.requests)) == (["not a JSON object"] * 2, 2)


def test_entry_as_deep_as_can_be_is_rejected_like_any_other(tmp_path: Path) -> None:
    """It cannot be nested in a record, so it is kept as a string; the queue continues."""
    deep = b'{"event_id":"deep","a":' + b"[" * 253 + b"]" * 253 + b"}\n"

    def behave(request: Request) -> Answer:
        deep = any("a" in entry for entry in request.entries)
        return Answer(400, b'{"success": false, "message": "too deep"}') if deep else Answer()

    with FaultyServer(behave) as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(deep)
        delivery.append(line("b"))
        flushed = delivery.flush(10)
        stats = delivery.stats()

    assert (flushed, stats.acknowledged, stats.rejected) == (True, 1, 1)
    folder = destination_folder(tmp_path, server.base_url)
    assert [each["entry"] for each in rejected_entries(folder)] == [deep.decode().rstrip("\n")]


@pytest.mark.parametrize("startable", [0, 1])
def test_system_that_gives_no_threads(tmp_path: Path, startable: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """If threads cannot be started, closing raises nothing, events stay, and the next `append` tries again."""
    start, left = threading.Thread.start, [startable]

    def refuse(thread: threading.Thread) -> None:
        if not thread.name.startswith("coagent"):
            return start(thread)
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        return start(thread)

    with FaultyServer(healthy) as server, delivery_to(server.base_url, tmp_path) as delivery:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            delivery.append(line("a"))
            delivery.close(elapsed=1.9)
        delivery.append(line("b"))
        flushed = delivery.flush(10)

    assert (flushed, server.stored) == (True, ["a", "b"])


def test_single_entries_go_without_an_array(tmp_path: Path) -> None:
    """One entry is sent in the form that every CoAgent server knows."""
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("a"))
        assert delivery.flush(10)

    assert [request.array for request in server.requests] == [False]


def test_server_without_arrays_is_asked_once(tmp_path: Path) -> None:
    """After the first batch, such a server only gets single entries."""
    with FaultyServer(no_arrays) as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(b"".join(line(event_id) for event_id in ids(16)), 16)
        assert delivery.flush(10)
        refused = sum(request.array for request in server.requests)
        delivery.append(b"".join(line(event_id) for event_id in ids(16, "f")), 16)
        assert delivery.flush(10)

    assert (server.stored, refused) == (ids(16) + ids(16, "f"), 4)
    assert sum(request.array for request in server.requests) == refused


def test_server_that_refuses_large_arrays_gets_others(tmp_path: Path) -> None:
    """Two entries that are too large together are sent singly; the next two are again sent together."""
    with FaultyServer(small_only) as server, delivery_to(server.base_url, tmp_path) as delivery:
        for text in ("x" * 500, ""):
            delivery.append(line("a", text) + line("b", text), 2)
            assert delivery.flush(10)

    assert [request.array for request in server.requests] == [True, False, False, True]


@pytest.mark.parametrize("batch", [line("a") * BATCH_ENTRIES, line("a", "x" * BATCH_BYTES)], ids=["many", "large"])
def test_full_batch_does_not_wait_for_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: bytes) -> None:
    """As many entries or bytes as fit into one request are sent at once."""
    monkeypatch.setattr(worker, "GATHER_S", 60.0)
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(batch, batch.count(b"\n"))
        arrived = server.wait_for(lambda: bool(server.stored))

    assert arrived


@pytest.mark.usefixtures("pauses")  # any other failure would be retried at once
@pytest.mark.parametrize("status", [302, 401, 403, 404, 405])
def test_wrong_set_up_keeps_everything(tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """With a wrong token or address, delivery pauses: no event is lost or rejected, and one warning says why."""
    with (
        FaultyServer(lambda request: Answer(status)) as server,
        delivery_to(server.base_url, tmp_path, auth_token=TOKEN) as delivery,
    ):
        append_each(delivery, ids(3))
        assert server.wait_for(lambda: bool(server.requests))
        flushed = delivery.flush(0.1)
        stats = delivery.stats()
        asked = len(server.requests)
        warnings = [said for record in caplog.records if server.base_url in (said := record.getMessage())]
        server.behave = healthy
        delivered = delivery.flush(10)

    assert (flushed, stats.waiting, stats.rejected, asked <= 2) == (False, 3, 0, True)
    assert (delivered, server.stored, len(warnings), f"HTTP {status}" in warnings[0]) == (True, ids(3), 1, True)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_respected(tmp_path: Path, status: int) -> None:
    """The requested delay of a second is respected, even during a flush."""
    arrived: list[float] = []

    def busy(request: Request) -> Answer:
        arrived.append(time.monotonic())
        return Answer(status, headers={"Retry-After": "1"}) if len(arrived) == 1 else Answer()

    with FaultyServer(busy) as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("a"))
        assert server.wait_for(lambda: bool(arrived))
        assert not delivery.flush(0.1)
        assert delivery.flush(10)

    assert (len(arrived), arrived[1] - arrived[0] >= 1.0) == (2, True)


def test_closing_ends_a_pause_that_the_server_has_asked_for(tmp_path: Path) -> None:
    """`flush` respects it, but the end of the program does not wait five minutes."""
    asks = Answer(503, headers={"Retry-After": "300"})
    with FaultyServer(lambda request: asks) as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("a"))
        assert not delivery.flush(0.3)
        stopped = delivery._worker.stop(10)

    assert (stopped, len(server.requests)) == (True, 1)


def test_backoff_has_full_jitter_and_a_bound() -> None:
    """Delays spread over the whole span, which doubles up to 30 s, even after very many attempts."""
    spans = [[backoff(attempt) for _ in range(300)] for attempt in (1, 5, 2000)]

    assert [max(span) <= bound for span, bound in zip(spans, (0.4, 6.4, 30.0), strict=True)] == [True] * 3
    assert [min(span) < 0.1 * bound for span, bound in zip(spans, (0.4, 6.4, 30.0), strict=True)] == [True] * 3


def test_pauses_grow_until_the_server_takes_something(tmp_path: Path, pauses: list[float]) -> None:
    """Delays grow while the server fails, and start again from the first one after a success."""
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        for event_id, failures in ("a", 3), ("b", 1):
            server.behave = first(len(server.requests) + failures, Answer(503))
            delivery.append(line(event_id))
            assert delivery.flush(10)

    assert (server.stored, pauses) == (["a", "b"], [0.4, 0.8, 1.6, 0.4])


def test_clock_jumps_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wall clock that jumps back a day during retries delays nothing."""
    real = time.time
    with FaultyServer(first(2, Answer(503))) as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("a"))
        monkeypatch.setattr(time, "time", lambda: real() - 86_400)
        flushed = delivery.flush(10)

    assert (flushed, server.stored) == (True, ["a"])


@pytest.mark.usefixtures("pauses")
def test_log_says_it_once_and_when_it_is_right_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Ten failures are one warning, and the recovery is another, with the count."""
    with FaultyServer(first(10, Answer(503, b"later"))) as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(b"".join(line(event_id) for event_id in ids(3)), 3)
        assert delivery.flush(20)
    said = [message for record in caplog.records if server.base_url in (message := record.getMessage())]

    assert said == [
        f"delivery to {server.base_url}: HTTP 503: later; 3 events waiting",
        f"delivery to {server.base_url} works again: 3 events delivered",
    ]


def test_server_that_fails_now_and_then_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If every second response is 429, there is one line for the failure and one for the recovery."""
    with (
        FaultyServer(lambda request: Answer(429 if request.number % 2 else 200, b"{}")) as server,
        delivery_to(server.base_url, tmp_path) as delivery,
    ):
        for event_id in ids(4):
            delivery.append(line(event_id))
            assert delivery.flush(10)
    said = [message for record in caplog.records if server.base_url in (message := record.getMessage())]

    assert said == [
        f"delivery to {server.base_url}: HTTP 429: {{}}; 1 event waiting",
        f"delivery to {server.base_url} works again: 1 event delivered",
    ]


def test_log_says_what_was_rejected_in_the_servers_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The line for a rejected event has its fault; delivery has not stopped, so it does not "work again"."""
    with FaultyServer(naming) as server, delivery_to(server.base_url, tmp_path) as delivery:
        append_each(delivery, ids(7))
        assert delivery.flush(10)
    said = [message for record in caplog.records if server.base_url in (message := record.getMessage())]

    assert said == [f"delivery to {server.base_url}: 1 event rejected: x: bad"]


def test_log_says_later_what_it_had_no_line_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line a minute reports all events that will not arrive, and the latest reasons."""
    told = notices.Notices("here")
    told.wrong("no answer", 3)
    for number in range(3):
        told.gone(number + 1, "rejected", str(number))
    told.gone(2, "lost", "a file")
    monkeypatch.setattr(notices, "INTERVAL_S", 0.0)
    told.wrong("no answer", 4)
    told.wrong("no answer", 4)

    assert [message.removeprefix("delivery to here: no answer; ") for message in caplog.messages] == [
        "3 events waiting", "4 events waiting; 6 events rejected: 2; 2 events lost: a file", "4 events waiting",
    ]  # fmt: skip


def test_token_is_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No log line, repr, spool file or rejected entry contains the token, even if the server repeats it."""
    answer = Answer(400, f"what is {TOKEN}?".encode())
    with (
        FaultyServer(lambda request: answer) as server,
        delivery_to(server.base_url, tmp_path, auth_token=TOKEN) as delivery,
    ):
        append_each(delivery, ids(2))
        assert delivery.flush(10)
        server.behave = lambda request: Answer(401, TOKEN.encode())
        delivery.append(line("x"))
        delivery.flush(0.3)
        files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        seen = repr(delivery) + caplog.text + files.decode() + "".join(str(path) for path in tmp_path.rglob("*"))

    assert ("what is" in seen, TOKEN in seen) == (True, False)


def test_password_in_the_address_is_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A user name and password in the base URL are neither logged nor written."""
    with (
        FaultyServer(lambda request: Answer(503)) as server,
        delivery_to(server.base_url.replace("//", "//me:hush@"), tmp_path) as delivery,
    ):
        delivery.append(line("a"))
        delivery.flush(0.3)
        seen = repr(delivery) + caplog.text + "".join(str(path) for path in tmp_path.rglob("*"))

    assert ("delivery to http://127" in seen, "hush" in seen) == (True, False)


def test_append_does_not_wait_for_a_hung_server(tmp_path: Path) -> None:
    """A hung server does not block the application; `flush` and `close` keep their timeouts."""
    with (
        FaultyServer(lambda request: Answer(hangs=True)) as server,
        delivery_to(server.base_url, tmp_path, exit_timeout=0.3) as delivery,
    ):
        delivery.append(line("a"))
        assert server.wait_for(lambda: bool(server.requests))
        started = time.monotonic()
        append_each(delivery, ids(100))
        appended = time.monotonic() - started
        flushed = delivery.flush(0.3)
        delivery.close()
        took = time.monotonic() - started
        server.close()

    assert (appended < 1.0, flushed, took < 5.0) == (True, False, True)  # the request timeout is 30 s


class Leaving(logging.Handler):
    """An application's log handler that ends the thread that logs."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.exit()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_dead_worker_is_noticed_and_restarted(tmp_path: Path) -> None:
    """A thread that died for any reason is replaced at the next append, together with the thread that syncs."""
    before = threading.enumerate()

    def threads() -> list[str]:
        return sorted(each.name for each in threading.enumerate() if each not in before and "coagent" in each.name)

    log, leaving = logging.getLogger("coagent_langchain"), Leaving()
    with FaultyServer(first(1, Answer(503))) as server, delivery_to(server.base_url, tmp_path) as delivery:
        log.addHandler(leaving)
        try:
            delivery.append(line("a"))
            until(lambda: threads() == ["coagent-sync"])
        finally:
            log.removeHandler(leaving)
        delivery.append(line("b"))
        flushed = delivery.flush(10)
        until(lambda: threads() == ["coagent-delivery", "coagent-sync"])

    assert (flushed, server.stored) == (True, ["a", "b"])


def test_what_waits_is_on_the_disk_within_half_a_second(tmp_path: Path) -> None:
    """While a server hangs, appended events are still synced to disk."""
    with (
        FaultyServer(lambda request: Answer(hangs=True)) as server,
        delivery_to(server.base_url, tmp_path) as delivery,
    ):
        delivery.append(line("a"))
        assert server.wait_for(lambda: bool(server.requests))
        delivery.append(line("b"))
        segment = delivery._spool._segments[0]
        until(lambda: segment.synced == segment.size, seconds=2)  # half a second, plus time for a busy machine
        server.close()


def test_what_comes_while_the_leavings_of_others_wait_is_on_the_disk_too(tmp_path: Path) -> None:
    """While a server hangs on a dead process's events, new ones are synced to disk."""
    with FaultyServer(lambda request: Answer(503)) as server:
        with delivery_to(server.base_url, tmp_path) as gone:
            gone.append(line("left"))
        server.behave = lambda request: Answer(hangs=request.entries[0]["event_id"] == "left")
        with delivery_to(server.base_url, tmp_path) as delivery:
            delivery.append(line("a"))
            assert server.wait_for(lambda: "a" in server.stored)
            assert server.wait_for(lambda: server.requests[-1].entries[0]["event_id"] == "left")
            time.sleep(2 * SYNC_S)  # earlier events are synced
            delivery.append(line("b"))
            segment = delivery._spool._segments[-1]
            until(lambda: segment.synced == segment.size, seconds=10)  # the request timeout is 30 s
            server.close()


def test_threads_wait_for_what_was_replaced_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler created before gevent's patches, as with `gunicorn --preload`, uses gevent's primitives."""

    class Replaced(threading.Event):
        """Stands in for gevent's class."""

    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        monkeypatch.setattr(queue, "SimpleQueue", queue._PySimpleQueue)  # type: ignore[attr-defined]
        monkeypatch.setattr(threading, "Event", Replaced)
        delivery.append(line("a"))
        flushed = delivery.flush(10)
        waited_for = (delivery._worker._wakened, delivery._worker._stop, delivery._worker._syncer._wakened)

    assert (flushed, *map(type, waited_for)) == (True, queue._PySimpleQueue, Replaced, Replaced)  # type: ignore[attr-defined]


def test_closed_delivery_leaves_no_thread(tmp_path: Path) -> None:
    """The sending and syncing threads have ended when `close` returns."""
    before = set(threading.enumerate())
    with FaultyServer(healthy) as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("a"))
        delivery.flush(10)
        delivery.close()
        left = [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("coagent")]

    assert left == []


def test_closed_delivery_starts_anew(tmp_path: Path) -> None:
    """`close` leaves no event behind, and a later event is still delivered."""
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("a"))
        delivery.close()
        left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
        delivery.append(line("b"))
        flushed = delivery.flush(10)

    assert (left, flushed, server.stored) == (["destination"], True, ["a", "b"])


def test_stats_tell_what_waits(tmp_path: Path) -> None:
    """Waiting entries are counted, with their bytes and the age of the oldest; the sums always agree."""
    with FaultyServer(lambda request: Answer(503)) as server, delivery_to(server.base_url, tmp_path) as delivery:
        append_each(delivery, ids(5))
        assert server.wait_for(lambda: len(server.requests) > 1)
        stats = delivery.stats()

    expected = (5, 0, 5, sum(len(line(event_id)) for event_id in ids(5)), 0, 0)
    actual = (stats.written, stats.acknowledged, stats.waiting, stats.waiting_bytes, stats.rejected, stats.refused)
    assert actual == expected
    assert (stats.oldest_age_s or 0) > 86_400
    assert stats.retried >= 1


def test_age_is_told_by_the_timestamp() -> None:
    """The age is in seconds, and None for a line without a timestamp."""
    age = age_of(line("a", timestamp=int((time.time() - 90) * 1000))) or 0

    assert (90 <= age < 150, age_of(b"{}"), age_of(b"")) == (True, None, None)


def test_next_process_sends_what_was_left(tmp_path: Path) -> None:
    """Events left by a delivery that ended while the server was away are sent by the next, after its own."""
    with FaultyServer(lambda request: Answer(503)) as server:
        with delivery_to(server.base_url, tmp_path) as gone:
            append_each(gone, ids(3))
            gone.flush(0.1)
        server.behave = healthy
        with delivery_to(server.base_url, tmp_path) as delivery:
            delivery.append(line("new"))
            arrived = server.wait_for(lambda: len(server.stored) == 4)
            delivery.flush(5)

    assert (arrived, server.stored) == (True, ["new", *ids(3)])


def test_what_was_left_goes_in_as_many_batches_as_it_takes(tmp_path: Path) -> None:
    """A dead process's files are removed once its last entry is sent, not its first batch."""
    with FaultyServer() as server:
        folder = destination_folder(tmp_path, server.base_url)
        left_by_the_dead(folder, header(HEADER_BYTES) + b"".join(map(line, ids(2 * BATCH_ENTRIES + 1))))
        with delivery_to(server.base_url, tmp_path) as delivery:
            delivery.append(line("new"))
            arrived = server.wait_for(lambda: len(server.stored) == 2 * BATCH_ENTRIES + 2)
            until(lambda: not [*folder.glob("1-deadbeef*")])

    assert (arrived, server.stored) == (True, ["new", *ids(2 * BATCH_ENTRIES + 1)])


def test_what_was_left_and_waits_is_told_as_such(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A process that has no waiting events of its own says whose are waiting."""
    with FaultyServer(lambda request: Answer(503 if request.number > 1 else 200, b"{}")) as server:
        left_by_the_dead(destination_folder(tmp_path, server.base_url), header(HEADER_BYTES) + line("left"))
        with delivery_to(server.base_url, tmp_path) as delivery:
            delivery.append(line("a"))
            until(lambda: bool(caplog.messages))

    assert caplog.messages == [f"delivery to {server.base_url}: HTTP 503: {{}}; events of ended programs are waiting"]


def test_busy_process_sends_what_is_left_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps looking for dead processes, even if it is never idle for long."""
    monkeypatch.setattr(worker, "ADOPT_EVERY_S", 0.5)
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("new"))
        until(lambda: delivery._worker.idle)  # it has looked for the first time
        left = left_by_the_dead(destination_folder(tmp_path, server.base_url), header(HEADER_BYTES) + line("left"))

        def goes_on() -> bool:
            delivery.append(line("more"))
            return delivery.flush(10) and "left" in server.stored

        until(goes_on, seconds=10)
        until(lambda: not left.exists())

    assert server.stored.count("left") == 1


def test_busy_process_sends_what_was_left_too(tmp_path: Path) -> None:
    """A dead process's events are sent even if the living one always has events of its own."""
    with FaultyServer(lambda request: Answer(503)) as server:
        with delivery_to(server.base_url, tmp_path) as gone:
            append_each(gone, ids(3))
            gone.flush(0.1)
        with delivery_to(server.base_url, tmp_path) as delivery:

            def busy(request: Request) -> Answer:
                delivery.append(line(f"{request.number}"))
                return Answer()

            server.behave = busy
            delivery.append(line("new"))
            arrived = server.wait_for(lambda: "e2" in server.stored)
            server.behave = healthy
            delivery.flush(5)

    assert (arrived, server.stored[:4]) == (True, ["new", *ids(3)])


def test_what_dead_processes_left_counts_while_the_server_is_away(tmp_path: Path) -> None:
    """The quota includes what earlier processes left, even if nothing can be sent."""
    with FaultyServer(lambda request: Answer(503)) as server:
        with delivery_to(server.base_url, tmp_path) as gone:
            gone.append(line("left", "x" * 2000))
        with delivery_to(server.base_url, tmp_path, spool_quota=3000) as delivery:
            delivery.append(line("a", "x" * 200))
            assert server.wait_for(lambda: any(request.entries[0]["event_id"] == "a" for request in server.requests))
            delivery.append(line("b", "x" * 500))

    assert (delivery.stats().written, delivery.stats().refused) == (1, 1)


@pytest.mark.parametrize("made", [1, time.time() + 1000], ids=["the oldest", "the newest"])
def test_file_that_cannot_be_read_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: float
) -> None:
    """An unreadable file is tried once: other dead processes' events and later ones are delivered."""
    with FaultyServer() as server:
        folder = destination_folder(tmp_path, server.base_url)
        for owner, modified in ("2-00000002", 1000), ("1-00000001", made):
            path = left_by_the_dead(folder, header(HEADER_BYTES) + line(owner), owner)
            os.utime(path, (modified, modified))
        opened = os.open

        def forbidden(file: Any, *arguments: Any) -> int:
            if file == path:
                raise PermissionError(errno.EACCES, "no")
            return opened(file, *arguments)

        monkeypatch.setattr(os, "open", forbidden)  # root may read every file
        with delivery_to(server.base_url, tmp_path) as delivery:
            delivery.append(line("a"))
            adopted = server.wait_for(lambda: len(server.stored) == 2)
            until(lambda: delivery._worker.idle)
            delivery.append(line("b"))
            flushed = delivery.flush(10)

    assert (adopted, flushed, server.stored, path.exists()) == (True, True, ["a", "2-00000002", "b"], True)


def test_entries_of_one_server_do_not_go_to_another(tmp_path: Path) -> None:
    """Each destination has its own folder."""
    with FaultyServer(lambda request: Answer(503)) as one, FaultyServer() as other:
        with delivery_to(one.base_url, tmp_path) as delivery:
            delivery.append(line("for one"))
            delivery.flush(0.1)
        with delivery_to(other.base_url, tmp_path) as delivery:
            delivery.append(line("for other"))
            assert delivery.flush(10)

    assert other.stored == ["for other"]


def test_full_spool_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Events that the quota refuses are counted and logged; `flush` does not wait for them."""
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path, spool_quota=500) as delivery:
        append_each(delivery, ids(10))
        flushed = delivery.flush(10)
        stats = delivery.stats()

    assert (flushed, stats.waiting, stats.written + stats.refused, stats.refused > 0) == (True, 0, 10, True)
    assert f"{stats.refused} events refused" in caplog.text


@contextmanager
def full_spool_and_no_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Iterator[tuple[FaultyServer, SpooledDelivery]]:
    """A server whose failure has been logged, and 9 events that the quota then refuses."""
    with (
        FaultyServer(lambda request: Answer(503, b"later")) as server,
        delivery_to(server.base_url, tmp_path, spool_quota=1000) as delivery,
    ):
        delivery.append(line("first"))
        until(lambda: "HTTP 503" in caplog.text)
        delivery.append(b"".join(line(event_id) for event_id in ids(9)), 9)
        yield server, delivery


def test_events_refused_while_the_server_is_away_are_told_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server's warning allows no other for a minute: they are reported later."""
    with full_spool_and_no_server(tmp_path, caplog) as (server, delivery):
        server.behave = healthy
        assert delivery.flush(20)
    said = [message for record in caplog.records if server.base_url in (message := record.getMessage())]

    assert said == [
        f"delivery to {server.base_url}: HTTP 503: later; 1 event waiting",
        f"delivery to {server.base_url} works again: 1 event delivered; "
        "9 events refused: the spool or the disk is full",
    ]


def test_events_refused_while_the_server_is_away_are_told_at_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A program that ends within the minute reports them once at exit, not never."""
    with full_spool_and_no_server(tmp_path, caplog) as (server, delivery):
        for _ in range(2):
            delivery.close(elapsed=math.inf)
            delivery.tell_losses()

    assert [message.removeprefix(f"delivery to {server.base_url}: ") for message in caplog.messages] == [
        "HTTP 503: later; 1 event waiting", "9 events refused: the spool or the disk is full",
    ]  # fmt: skip


def test_events_refused_while_the_worker_hangs_are_told_at_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread that reports them is waiting for the server, and the exit does not wait for it."""
    with (
        FaultyServer(lambda request: Answer(hangs=True)) as server,
        delivery_to(server.base_url, tmp_path, spool_quota=1000) as delivery,
    ):
        delivery.append(line("first"))
        assert server.wait_for(lambda: bool(server.requests))
        delivery.append(b"".join(line(event_id) for event_id in ids(9)), 9)
        delivery.close(elapsed=math.inf)
        delivery.tell_losses()
        server.close()

    assert caplog.messages == [f"delivery to {server.base_url}: 9 events refused: the spool or the disk is full"]


def test_file_that_somebody_removes_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says how many events were lost with it, and they count as refused."""
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        for number in range(6):
            delivery._spool.append(line(f"e{number}", "x" * (1 << 20)), 1)  # while nothing is sent
        min(tmp_path.rglob("*.jsonl")).unlink()
        flushed = delivery.flush(20)
        stats = delivery.stats()

    assert (flushed, stats.waiting, stats.refused + len(server.stored), stats.refused > 0) == (True, 0, 6, True)
    assert f"{stats.refused} events lost: a file was removed from the spool" in caplog.text


def test_removed_file_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later events do not report it again, however long ago the last log line was."""
    monkeypatch.setattr(notices, "INTERVAL_S", 0.0)
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        for number in range(6):
            delivery._spool.append(line(f"e{number}", "x" * (1 << 20)), 1)  # while nothing is sent
        min(tmp_path.rglob("*.jsonl")).unlink()
        flushed = [delivery.flush(20)]
        for number in range(2):
            delivery.append(line(f"late {number}"))
            flushed.append(delivery.flush(20))

    assert (flushed, [message.partition(" events ")[2] for message in caplog.messages]) == (
        [True] * 3,
        ["lost: a file was removed from the spool"],
    )


def test_spool_that_cannot_be_read_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk error is logged, and reading is retried after a second, because it may be temporary."""
    pread, broken = os.pread, threading.Event()
    tries: list[float] = []

    def failing(*arguments: int) -> bytes:
        if broken.is_set():
            if threading.current_thread().name == "coagent-delivery":  # not the one that syncs
                tries.append(time.monotonic())
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(*arguments)

    monkeypatch.setattr(os, "pread", failing)
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        broken.set()
        delivery.append(line("a"))
        until(lambda: "cannot read the spool: Input/output error; 1 event waiting" in caplog.text)
        until(lambda: len(tries) > 1)
        broken.clear()
        flushed = delivery.flush(10)

    assert (flushed, server.stored, tries[1] - tries[0] >= 1.0) == (True, ["a"], True)


def test_unusable_folder_still_delivers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An unwritable folder loses durability, not events; one warning says so."""
    (tmp_path / "file").write_text("")
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path / "file" / "below") as delivery:
        append_each(delivery, ids(3))
        flushed = delivery.flush(10)

    assert (flushed, server.stored, caplog.text.count("spool folder")) == (True, ids(3), 1)


def test_folder_that_can_be_used_again_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that started on a full disk returns to its folder later, and logs that."""
    monkeypatch.setattr(worker, "MEASURE_EVERY_S", 0.05)
    (tmp_path / "spool").write_text("")
    address = "http://127.0.0.1:1/api/v1"
    with delivery_to(address, tmp_path / "spool") as delivery:
        append_each(delivery, ids(2))
        until(lambda: "do not outlive this process until it is writable" in caplog.text)
        (tmp_path / "spool").unlink()
        until(lambda: "the spool folder can be used again; waiting events have moved to it" in caplog.text)
        folder = destination_folder(tmp_path / "spool", address)
        left = [entry for path in folder.glob("*.jsonl") for entry in waiting_lines(path)]

    assert (left, caplog.text.count("spool folder")) == ([line(each)[:-1] for each in ids(2)], 2)


def test_nothing_is_parsed_on_the_way(tmp_path: Path) -> None:
    """The request body is what was appended, byte for byte."""
    with FaultyServer(lambda request: Answer(200, OK)) as server, delivery_to(server.base_url, None) as delivery:
        delivery.append(line("a", "é\\u0000\n") + line("b"), 2)
        assert delivery.flush(10)
        bodies = [request.entries for request in server.requests]

    assert [[entry["output_data"]["message"] for entry in body] for body in bodies] == [["é\\u0000\n", ""]]
