"""The requests that send one batch, and what each of them settles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coagent_langchain.delivery.rejected import rejected_entries
from coagent_langchain.delivery.sender import Sender
from coagent_langchain.delivery.transport import Transport
from tests.delivery_parts import ids, line
from tests.faulty_server import Answer, Behaviour, FaultyServer, Request

SIZE = len(line("e0"))  # bytes of each line of a batch


def sent(sender: Sender, event_ids: list[str]) -> list[tuple[str, int, int, int]]:
    """Send a batch; for each step its meaning, and how many lines it settled, stored and rejected."""
    sender.load(bytearray().join(line(event_id) for event_id in event_ids))
    steps = []
    while sender.busy:
        step = sender.step()
        lines, rest = divmod(step.length, SIZE)
        assert rest == 0
        steps.append((step.verdict.meaning.name, lines, step.stored, step.rejected))
    return steps


def refusing(*refused: str, arrays: bool) -> Behaviour:
    """Refuse a request with one of these entries, and name it; without `arrays`, only if it is alone."""

    def behave(request: Request) -> Answer:
        bad = [place for place, entry in enumerate(request.entries) if entry["event_id"] in refused]
        errors = [{"index": place, "message": "bad"} for place in bad if arrays or not request.array]
        return Answer(400, json.dumps({"success": False, "errors": errors}).encode()) if bad else Answer()

    return behave


def asked(server: FaultyServer) -> list[list[str]]:
    """The entries of each request."""
    return [[entry["event_id"] for entry in request.entries] for request in server.requests]


def test_batch_of_which_every_entry_is_named_is_settled_without_another_request(tmp_path: Path) -> None:
    """There is nothing left to send."""
    with FaultyServer(refusing("e0", "e1", arrays=True)) as server:
        steps = sent(Sender(Transport(server.base_url), tmp_path), ids(2))

    assert steps == [("REFUSED", 0, 0, 2), ("STORED", 2, 0, 0)]
    assert asked(server) == [["e0", "e1"]]
    assert [record["entry"]["event_id"] for record in rejected_entries(tmp_path)] == ["e0", "e1"]


def test_split_batch_settles_each_part_with_its_own_bytes(tmp_path: Path) -> None:
    """What has arrived is not sent again, whenever the process ends."""
    with FaultyServer(lambda request: Answer(413 if len(request.entries) > 2 else 200)) as server:
        steps = sent(Sender(Transport(server.base_url), tmp_path), ids(5))

    assert steps == [
        ("SPLIT", 0, 0, 0), ("STORED", 2, 2, 0), ("SPLIT", 0, 0, 0), ("STORED", 1, 1, 0), ("STORED", 2, 2, 0),
    ]  # fmt: skip


def test_batch_without_its_named_entries_is_settled_at_its_end(tmp_path: Path) -> None:
    """What is left of it may be split, but how many bytes of the batch its parts are is not known."""

    def behave(request: Request) -> Answer:
        bad = refusing("e1", arrays=True)(request)
        return bad if bad.status == 400 or len(request.entries) <= 2 else Answer(413)

    with FaultyServer(behave) as server:
        steps = sent(Sender(Transport(server.base_url), tmp_path), ids(5))

    assert steps == [("REFUSED", 0, 0, 1), ("SPLIT", 0, 0, 0), ("STORED", 0, 2, 0), ("STORED", 5, 2, 0)]
    assert asked(server) == [ids(5), ["e0", "e2", "e3", "e4"], ["e0", "e2"], ["e3", "e4"]]


def unnamed(request: Request) -> Answer:
    """Refuse a request that contains `e0`, without naming it."""
    return Answer(400, b"{}") if "e0" in [entry["event_id"] for entry in request.entries] else Answer()


@pytest.mark.parametrize(("behave", "alone"), [
    (refusing("e0", arrays=False), [("REFUSED", 0, 0, 1), ("STORED", 1, 0, 0)]), (unnamed, [("REFUSED", 1, 0, 1)]),
], ids=["named alone", "never named"])  # fmt: skip
def test_server_that_refused_one_of_a_pair_supports_arrays(
    tmp_path: Path, behave: Behaviour, alone: list[tuple[str, int, int, int]]
) -> None:
    """Later batches are arrays again: only a server that stores both of them alone does not."""
    with FaultyServer(behave) as server:
        sender = Sender(Transport(server.base_url), tmp_path)
        first, second, third = sent(sender, ids(2)), sent(sender, ids(1, "f")), sent(sender, ids(2, "g"))

    assert first == [("REFUSED", 0, 0, 0), *alone, ("STORED", 1, 1, 0)]
    assert (second, third) == ([("STORED", 1, 1, 0)], [("STORED", 2, 2, 0)])
