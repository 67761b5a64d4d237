"""What delivery says of itself: in the log, and in its stats."""

from __future__ import annotations

import errno
import math
import os
import posix
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coagent_langchain.delivery import notices, worker
from coagent_langchain.delivery.folder import destination_folder
from coagent_langchain.delivery.segment import waiting_lines
from coagent_langchain.delivery.spooled_delivery import SpooledDelivery, age_of
from tests.delivery_parts import TOKEN, append_each, delivery_to, ids, line
from tests.faulty_server import Answer, FaultyServer, first, healthy, naming
from tests.waiting import until


@pytest.mark.usefixtures("pauses")
def test_log_says_it_once_and_when_it_is_right_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Ten failures are one warning, and the recovery is another, with the count."""
    with FaultyServer(first(10, Answer(503, b"later"))) as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(b"".join(line(event_id) for event_id in ids(3)), 3)
        assert delivery.flush(20)
    said = [message for record in caplog.records if server.base_url in (message := record.getMessage())]

    assert said == [
        f"delivery to {server.base_url}: HTTP 503: later; 3 events waiting",
        f"delivery to {server.base_url} works again: 3 events delivered so far",
    ]
    assert {record.module for record in caplog.records} == {"notices"}  # not the function that logs for all


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
        f"delivery to {server.base_url} works again: 1 event delivered so far",
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
    told.report_problem("no answer", 3)
    for number in range(3):
        told.report_losses(number + 1, "rejected", str(number))
    told.report_losses(2, "lost", "a file")
    monkeypatch.setattr(notices, "INTERVAL_S", 0.0)
    told.report_problem("no answer", 4)
    told.report_problem("no answer", 4)

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
        f"delivery to {server.base_url} works again: 1 event delivered so far; "
        "9 events refused: the spool or the disk is full",
    ]


def test_events_refused_while_the_server_is_away_are_told_at_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A program that ends within the minute reports them once at exit, not never."""
    with full_spool_and_no_server(tmp_path, caplog) as (server, delivery):
        for _ in range(2):
            delivery.close(elapsed=math.inf)
            delivery.report_losses()

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
        delivery.report_losses()
        server.close()

    assert caplog.messages == [f"delivery to {server.base_url}: 9 events refused: the spool or the disk is full"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [(Answer(503, b"later"), "HTTP 503: later"), (Answer(hangs=True), "the server has not responded")],
)
def test_events_in_memory_are_told_at_the_end(answer: Answer, why: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody can send them later; the log says so once, however many finalizers the process has."""
    with FaultyServer(lambda request: answer) as server, delivery_to(server.base_url, None) as delivery:
        append_each(delivery, ids(3))
        assert server.wait_for(lambda: bool(server.requests))
        until(lambda: bool(caplog.messages) or answer.hangs)
        for _ in range(2):
            delivery.close(elapsed=math.inf)
            delivery.report_losses()
        server.close()

    assert caplog.messages[-1:] == [f"delivery to {server.base_url}: 3 events lost at exit: {why}"]
    assert "".join(caplog.messages).count("lost") == 1


def test_file_that_somebody_removes_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log says how many events were lost with it, however often it may say so; they count as refused."""
    monkeypatch.setattr(notices, "INTERVAL_S", 0.0)
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        for number in range(6):
            delivery._spool.append(line(f"e{number}", "x" * (1 << 20)), 1)  # while nothing is sent
        min(tmp_path.rglob("*.jsonl")).unlink()
        flushed = [delivery.flush(20)]
        stats, stored = delivery.stats(), len(server.stored)
        for number in range(2):
            delivery.append(line(f"late {number}"))
            flushed.append(delivery.flush(20))

    assert (flushed, stats.waiting, stats.refused + stored, stats.refused > 0) == ([True] * 3, 0, 6, True)
    assert caplog.messages == [
        f"delivery to {server.base_url}: {stats.refused} events lost: a file was removed from the spool"
    ]


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

    monkeypatch.setattr(posix, "pread", failing)
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        broken.set()
        delivery.append(line("a"))
        until(lambda: "cannot read the spool: Input/output error; 1 event waiting" in caplog.text)
        until(lambda: len(tries) > 1)
        broken.clear()
        flushed = delivery.flush(10)

    assert (flushed, server.stored, tries[1] - tries[0] >= 1.0) == (True, ["a"], True)


def test_unusable_folder_still_delivers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An unwritable folder loses durability, not events; one warning says so, and what to set, in code or outside."""
    (tmp_path / "file").write_text("")
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path / "file" / "below") as delivery:
        append_each(delivery, ids(3))
        flushed = delivery.flush(10)

    assert (flushed, server.stored, [message.partition("; ")[2] for message in caplog.messages]) == (True, ids(3), [
        "events do not outlive this process until it is writable, or spool_dir or COAGENT_SPOOL_DIR names a folder "
        "that is"
    ])  # fmt: skip


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
