"""The worker and its threads: pauses after a failure, hung servers, ends and new beginnings."""

from __future__ import annotations

import contextlib
import logging
import os
import posix
import queue
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coagent_langchain.delivery.segment import HEADER_BYTES
from coagent_langchain.delivery.spool import Spool
from coagent_langchain.delivery.spooled_delivery import SpooledDelivery
from coagent_langchain.delivery.sync import SYNC_S
from coagent_langchain.http import backoff
from tests.delivery_parts import TOKEN, append_each, delivery_to, ids, line
from tests.faulty_server import Answer, FaultyServer, Request, first, healthy
from tests.threads import meanwhile
from tests.waiting import until


@pytest.mark.parametrize("says_so", [True, False])
@pytest.mark.parametrize("startable", [0, 1])
def test_system_that_gives_no_threads(
    tmp_path: Path, startable: int, says_so: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If threads cannot be started, closing raises nothing, events stay, and the next `append` tries again.

    A test that wants no threads replaces `start` with a mock, which does not say so.
    """
    start, left = threading.Thread.start, [startable]

    def refuse(thread: threading.Thread) -> None:
        if not thread.name.startswith("coagent"):
            return start(thread)
        if not left[0]:
            if says_so:
                raise RuntimeError("can't start new thread")
            return None
        left[0] -= 1
        return start(thread)

    with FaultyServer(healthy) as server, delivery_to(server.base_url, tmp_path) as delivery:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            delivery.append(line("a"))
            delivery.close(elapsed=1.9)
        delivery.append(line("b"))
        arrived = server.wait_for(lambda: len(server.stored) == 2)  # a `flush` would try again itself

    assert (arrived, server.stored) == (True, ["a", "b"])


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


def test_retry_after_is_respected(tmp_path: Path) -> None:
    """The requested delay of a second is respected, even during a flush."""
    arrived: list[float] = []

    def busy(request: Request) -> Answer:
        arrived.append(time.monotonic())
        return Answer(429, headers={"Retry-After": "1"}) if len(arrived) == 1 else Answer()

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


@pytest.mark.parametrize("settled", [200, 400])
def test_pauses_grow_until_the_server_settles_something(tmp_path: Path, settled: int, pauses: list[float]) -> None:
    """Delays grow while the server fails, and start again from the first one after it has taken or refused an entry."""
    statuses = iter([503, 503, 503, settled, 503, settled])
    with FaultyServer(lambda request: Answer(next(statuses))) as server, delivery_to(server.base_url, tmp_path) as sent:
        for event_id in ("a", "b"):
            sent.append(line(event_id))
            assert sent.flush(10)

    assert (len(server.requests), pauses) == (6, [0.4, 0.8, 1.6, 0.4])


def test_clock_that_is_put_back_delays_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even if that happens again and again during the pause that the server has asked for."""
    real, began = time.time, time.time()
    monkeypatch.setattr(time, "time", lambda: began - (real() - began))  # no other clock can be put back
    answers = first(1, Answer(503, headers={"Retry-After": "1"}))
    with FaultyServer(answers) as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("a"))
        flushed = delivery.flush(5)

    assert (flushed, server.stored) == (True, ["a"])


def test_clock_that_stands_still_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests stop the clocks of `time`, as freezegun does: `flush` would never return, and no pause would end."""
    monkeypatch.setattr(time, "monotonic", lambda: 1e9)
    answers = first(1, Answer(503, headers={"Retry-After": "1"}))
    with FaultyServer(answers) as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("a"))
        flushed = delivery.flush(0.1)
        arrived = server.wait_for(lambda: server.stored == ["a"])

    assert (flushed, arrived) == (False, True)


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


@pytest.mark.internal_errors
def test_error_that_nobody_expects_is_not_met_again_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An application's audit hook may forbid the worker a call: it tries again, but does not keep a core busy."""
    preadv, tries = os.preadv, []

    def forbidden(*arguments: Any) -> int:
        tries.append(time.monotonic())
        if len(tries) == 1:
            raise RuntimeError("not here")
        return preadv(*arguments)

    monkeypatch.setattr(posix, "preadv", forbidden)
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("a"))
        arrived = server.wait_for(lambda: server.stored == ["a"])

    assert (arrived, tries[1] - tries[0] >= 1.0) == (True, True)


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


def test_sync_is_due_only_while_something_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few times a second, however long a server hangs, and not at all in a program that logs nothing."""
    sync, times = Spool.sync, []

    def counted(spool: Spool) -> None:
        times.append(time.monotonic())
        sync(spool)

    monkeypatch.setattr(Spool, "sync", counted)
    with FaultyServer(lambda request: Answer(hangs=True)) as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("a"))
        until(lambda: len(times) == 4)
        server.close()
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("b"))
        assert delivery.flush(10)
        until(lambda: delivery._worker.idle)
        time.sleep(2 * SYNC_S)  # one sync may be due
        before = len(times)
        time.sleep(3 * SYNC_S)
        while_idle = len(times) - before

    assert (times[3] - times[0] >= 2.9 * SYNC_S, while_idle) == (True, 0)


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


def test_file_of_which_everything_has_arrived_is_emptied(tmp_path: Path) -> None:
    """It is used again from its beginning, long before it is full, so that most events never reach the disk."""
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("a", "x" * 100_000))
        assert server.wait_for(lambda: server.stored == ["a"])
        until(lambda: [path.stat().st_size for path in tmp_path.rglob("*.jsonl")] == [HEADER_BYTES])


def test_closed_delivery_leaves_no_thread(tmp_path: Path) -> None:
    """The thread that sends and the one that syncs have ended when `close` returns; there were no others."""
    before = set(threading.enumerate())

    def threads() -> list[str]:
        return sorted(each.name for each in set(threading.enumerate()) - before if each.name.startswith("coagent"))

    with FaultyServer(healthy) as server, delivery_to(server.base_url, tmp_path) as delivery:
        for event_id in ids(3):
            delivery.append(line(event_id))
            delivery.flush(10)
        running = threads()
        delivery.close()

    assert (running, threads()) == (["coagent-delivery", "coagent-sync"], [])


def test_closed_delivery_starts_anew(tmp_path: Path) -> None:
    """`close` leaves no event behind, and a later event is still delivered."""
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("a"))
        delivery.close()
        left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
        delivery.append(line("b"))
        flushed = delivery.flush(10)

    assert (left, flushed, server.stored) == (["destination"], True, ["a", "b"])


@contextlib.contextmanager
def hanging_request(folder: Path) -> Iterator[tuple[FaultyServer, SpooledDelivery, threading.Event]]:
    """A request with the event `a`, to which the server responds when told to; `close` does not wait for that long."""
    released = threading.Event()
    with (
        FaultyServer(lambda request: Answer(stores=released.wait(20))) as server,
        delivery_to(server.base_url, folder, exit_timeout=0.1) as delivery,
    ):
        delivery.append(line("a"))
        assert server.wait_for(lambda: bool(server.requests))
        yield server, delivery, released


def test_event_after_close_does_not_wait_for_the_next_one(tmp_path: Path) -> None:
    """A request that hung during `close` ends afterwards, and its thread does not leave the event behind."""
    with hanging_request(tmp_path) as (server, delivery, released):
        delivery.close()
        delivery.append(line("b"))
        released.set()

        assert server.wait_for(lambda: server.stored == ["a", "b"])


def test_flush_after_close_does_not_wait_in_vain(tmp_path: Path) -> None:
    """It begins while the request hangs that `close` did not wait for, and sends what that leaves."""
    with hanging_request(tmp_path) as (server, delivery, released):
        delivery.append(line("b"))
        delivery.close()
        threading.Timer(0.2, released.set).start()

        assert (delivery.flush(20), server.stored) == (True, ["a", "b"])


def test_thread_that_ends_while_it_is_taken_for_alive_is_replaced(tmp_path: Path) -> None:
    """The look at the thread lets it end."""
    with hanging_request(tmp_path) as (server, delivery, released):
        delivery.close()
        delivery.append(line("b"))
        ending = delivery._worker._thread
        assert ending

        def end() -> None:
            released.set()
            ending.join(20)

        with meanwhile("return", threading.Thread.is_alive, end):
            flushed = delivery.flush(10)

    assert (flushed, server.stored) == (True, ["a", "b"])


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
