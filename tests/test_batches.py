"""Batches for a server that refuses some entries or some forms: everything else arrives, in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from coagent_langchain.delivery import worker
from coagent_langchain.delivery.folder import destination_folder
from coagent_langchain.delivery.rejected import rejected_entries
from coagent_langchain.wire import BATCH_BYTES, BATCH_ENTRIES
from tests.delivery_parts import append_each, delivery_to, ids, line
from tests.faulty_server import OK, Answer, Behaviour, FaultyServer, Request, first, naming


def poison(request: Request) -> Answer:
    """Refuse every request that contains `e5`, without naming it."""
    bad = any(entry["event_id"] == "e5" for entry in request.entries)
    return Answer(400, b'{"success": false, "message": "bad entry"}') if bad else Answer()


def small_only(request: Request) -> Answer:
    """Refuse bodies over 1 kB."""
    return Answer(413) if request.size > 1000 else Answer()


def no_arrays(request: Request) -> Answer:
    """Accept single entries only."""
    return Answer(422, b'{"success": false, "message": "expected an object"}') if request.array else Answer()


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
        delivery.append(line("a") + b"\0\0\0\n" + line("b") + b"[1]\n" + line("c"), 5)
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


def test_what_comes_shortly_after_goes_in_the_same_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is not full waits for more, until somebody flushes."""
    monkeypatch.setattr(worker, "GATHER_S", 60.0)
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("e0"))
        assert not server.wait_for(lambda: bool(server.requests), timeout=0.5)
        delivery.append(line("e1"))
        flushed = delivery.flush(10)

    assert (flushed, server.stored, len(server.requests)) == (True, ["e0", "e1"], 1)


def test_nothing_is_parsed_on_the_way(tmp_path: Path) -> None:
    """The request body is what was appended, byte for byte."""
    with FaultyServer(lambda request: Answer(200, OK)) as server, delivery_to(server.base_url, None) as delivery:
        delivery.append(line("a", "é\\u0000\n") + line("b"), 2)
        assert delivery.flush(10)
        bodies = [request.entries for request in server.requests]

    assert [[entry["output_data"]["message"] for entry in body] for body in bodies] == [["é\\u0000\n", ""]]
