"""A living process and what dead ones left: whose entries go first, and whose they are counted as."""

from __future__ import annotations

from pathlib import Path

from coagent_langchain.delivery.folder import destination_folder
from coagent_langchain.delivery.segment import HEADER_BYTES, header
from coagent_langchain.delivery.spooled_delivery import SpooledDelivery
from coagent_langchain.wire import BATCH_ENTRIES
from tests.delivery_parts import delivery_to, ids, left_by_the_dead, line
from tests.faulty_server import Answer, FaultyServer, Request
from tests.waiting import until


def leave(spool_dir: Path, base_url: str, event_ids: list[str]) -> Path:
    """Leave these entries as a process that has died; return their file."""
    folder = destination_folder(spool_dir, base_url)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return left_by_the_dead(folder, header(HEADER_BYTES) + b"".join(map(line, event_ids)))


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
