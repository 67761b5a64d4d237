"""What dead processes left is sent by the next one, or by one that is running."""

from __future__ import annotations

import errno
import os
import posix
import time
from pathlib import Path
from typing import Any

import pytest

from coagent_langchain.config import Settings
from coagent_langchain.delivery import leftovers
from coagent_langchain.delivery.flush import Flushed, send_leftovers
from coagent_langchain.delivery.folder import destination_folder
from coagent_langchain.delivery.segment import HEADER_BYTES, header
from coagent_langchain.delivery.spooled_delivery import SpooledDelivery
from coagent_langchain.delivery.sync import SYNC_S
from coagent_langchain.wire import BATCH_ENTRIES
from tests.delivery_parts import append_each, delivery_to, ids, left_by_the_dead, line
from tests.faulty_server import Answer, FaultyServer, Request, first, healthy
from tests.waiting import until


def leave(spool_dir: Path, base_url: str, event_ids: list[str]) -> Path:
    """Leave these entries as a process that has died; return their file."""
    folder = destination_folder(spool_dir, base_url)
    return left_by_the_dead(folder, header(HEADER_BYTES) + b"".join(map(line, event_ids)))


def test_what_comes_while_the_leavings_of_others_wait_is_on_the_disk_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a server hangs on a dead process's events, new ones are synced to disk, also after a rest."""
    monkeypatch.setattr(leftovers, "LOOK_EVERY_S", 0.0)
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        leave(tmp_path, server.base_url, ["left"])
        delivery.append(line("a"))
        until(lambda: server.stored == ["a", "left"] and delivery._worker.idle)
        time.sleep(2 * SYNC_S)  # the thread that syncs rests too
        server.behave = lambda request: Answer(hangs=True)
        leave(tmp_path, server.base_url, ["left later"])
        delivery.append(line("b"))
        assert server.wait_for(lambda: server.requests[-1].entries[0]["event_id"] == "left later")
        segment = delivery._spool._segments[-1]
        until(lambda: segment.synced == segment.size, seconds=10)  # the request timeout is 30 s
        server.close()


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
        left = leave(tmp_path, server.base_url, ids(2 * BATCH_ENTRIES + 1))
        with delivery_to(server.base_url, tmp_path) as delivery:
            delivery.append(line("new"))
            arrived = server.wait_for(lambda: len(server.stored) == 2 * BATCH_ENTRIES + 2)
            until(lambda: not left.exists())

    assert (arrived, server.stored) == (True, ["new", *ids(2 * BATCH_ENTRIES + 1)])


def test_what_was_left_and_waits_is_told_as_such(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A process that has no waiting events of its own says whose are waiting."""
    with FaultyServer(lambda request: Answer(503 if request.number > 1 else 200, b"{}")) as server:
        leave(tmp_path, server.base_url, ["left"])
        with delivery_to(server.base_url, tmp_path) as delivery:
            delivery.append(line("a"))
            until(lambda: bool(caplog.messages))

    assert caplog.messages == [f"delivery to {server.base_url}: HTTP 503: {{}}; events of ended programs are waiting"]


def test_busy_process_sends_what_is_left_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps looking for dead processes, even if it is never idle for long."""
    monkeypatch.setattr(leftovers, "LOOK_EVERY_S", 0.5)
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("new"))
        until(lambda: delivery._worker.idle)  # it has looked for the first time
        left = leave(tmp_path, server.base_url, ["left"])

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
    """An unreadable file is tried once a round: other dead processes' events and later ones are delivered."""
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

        monkeypatch.setattr(posix, "open", forbidden)  # root may read every file
        with delivery_to(server.base_url, tmp_path) as delivery:
            delivery.append(line("a"))
            adopted = server.wait_for(lambda: len(server.stored) == 2)
            until(lambda: delivery._worker.idle)
            delivery.append(line("b"))
            flushed = delivery.flush(10)

    assert (adopted, flushed, server.stored, path.exists()) == (True, True, ["a", "2-00000002", "b"], True)


def test_what_dead_processes_left_is_not_counted_as_ones_own(tmp_path: Path) -> None:
    """The figures of a process are of its own entries, so that they add up."""
    with FaultyServer() as server:
        left = leave(tmp_path, server.base_url, ids(3, "left"))
        with delivery_to(server.base_url, tmp_path) as delivery:
            delivery.append(line("own"))
            until(lambda: not left.exists())  # removed once its last entry is settled
            stats = delivery.stats()

    assert server.stored == ["own", *ids(3, "left")]
    assert (stats.written, stats.acknowledged, stats.waiting) == (1, 1, 0)


def test_flush_sends_all_of_ones_own_before_what_dead_processes_left(tmp_path: Path) -> None:
    """A program that ends waits for its own entries, in as many batches as it takes."""
    deliveries: list[SpooledDelivery] = []

    def behave(request: Request) -> Answer:
        until(lambda: bool(deliveries) and deliveries[0]._worker._flush_until > 0)
        return Answer()

    own = ids(BATCH_ENTRIES + 5)
    with FaultyServer(behave) as server, delivery_to(server.base_url, tmp_path) as delivery:
        deliveries.append(delivery)
        delivery.append(line(own[0]))
        assert server.wait_for(lambda: bool(server.requests))
        leave(tmp_path, server.base_url, ["left"])
        delivery.append(b"".join(map(line, own[1:])), len(own) - 1)
        assert delivery.flush(10)
        assert server.wait_for(lambda: "left" in server.stored)

    assert server.stored == [*own, "left"]


def test_command_that_sends_does_not_repeat_what_cannot_succeed(tmp_path: Path) -> None:
    """With a wrong token it ends at once, however long it may take, and knows the status."""
    left_by_the_dead(tmp_path / "d", header(HEADER_BYTES) + line("left"))
    with FaultyServer(lambda request: Answer(401, b"{}")) as server:
        flushed = send_leftovers(Settings(base_url=server.base_url), tmp_path / "d", 30.0)

    assert (flushed.sent, flushed.status, len(server.requests)) == (0, 401, 1)


def test_command_that_sends_waits_as_long_as_the_server_asks(tmp_path: Path) -> None:
    """If that is within its time."""
    left_by_the_dead(tmp_path / "d", header(HEADER_BYTES) + line("left"))
    with FaultyServer(first(1, Answer(503, headers={"Retry-After": "1"}))) as server:
        started = time.monotonic()
        flushed = send_leftovers(Settings(base_url=server.base_url), tmp_path / "d", 30.0)

    assert (flushed, time.monotonic() - started >= 1.0) == (Flushed(sent=1), True)


def test_command_that_sends_gives_up_only_when_the_server_accepts_nothing_for_its_time(tmp_path: Path) -> None:
    """One by one, even a batch takes longer than that; one failure late in it is retried like an early one."""
    left_by_the_dead(tmp_path / "d", header(HEADER_BYTES) + b"".join(map(line, ids(3))))
    answers = iter([(1.1, 200), (1.1, 200), (0.0, 503), (0.0, 200)])

    def slow_then_away_for_a_moment(request: Request) -> Answer:
        if request.array:
            return Answer(422, b'{"success": false, "message": "expected an object"}')
        seconds, status = next(answers)
        time.sleep(seconds)
        return Answer(status)

    with FaultyServer(slow_then_away_for_a_moment) as server:
        flushed = send_leftovers(Settings(base_url=server.base_url), tmp_path / "d", 2.0)

    assert flushed == Flushed(sent=3)
