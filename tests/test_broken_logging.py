"""The application's logging raises: a handler without a `try`, a filter with a bug."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from coagent_langchain import CoagentCallbackHandler, CoagentClient
from coagent_langchain.errors import logger
from coagent_langchain.server import launch
from coagent_langchain.testing import MemoryDelivery
from tests.delivery_parts import append_each, delivery_to, ids
from tests.faulty_server import Answer, FaultyServer, first
from tests.server.samples import entry


@pytest.fixture(autouse=True)
def broken() -> Iterator[None]:
    """A filter of our logger that raises for each record."""

    def fails(record: logging.LogRecord) -> bool:
        raise RuntimeError("the application's own")

    logger.addFilter(fails)
    yield
    logger.removeFilter(fails)


@pytest.mark.usefixtures("pauses")
def test_delivery_goes_on(tmp_path: Path) -> None:
    """The thread that sends would end with what its warnings raise."""
    with FaultyServer(first(2, Answer(503, b"later"))) as server, delivery_to(server.base_url, tmp_path) as delivery:
        append_each(delivery, ids(3))

        assert (delivery.flush(20), delivery.stats().acknowledged) == (True, 3)


@pytest.mark.internal_errors
def test_application_goes_on(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Neither a handler nor a client raises what its warnings do."""
    handler.log("fatal", "no such level")
    with FaultyServer(lambda request: Answer(400, b"{}")) as server, CoagentClient(server.base_url) as client:
        stored = client.log_session_start("s-1", "Hello")
        CoagentCallbackHandler("s-1", base_url=server.base_url, resume=True, delivery=log)

    assert (stored.success, [event.event_type for event in log.events]) == (False, ["session_start", "info"])


def test_server_goes_on(tmp_path: Path) -> None:
    """It starts with a damaged index, and says 503 without its file: a response of 500 would be its own failure."""
    (tmp_path / "coagent.db.search").write_bytes(b"\xff" * 4096)
    with launch(f"sqlite://{tmp_path}/coagent.db") as server:
        (tmp_path / "coagent.db").unlink()
        answer = requests.post(f"{server.base_url}/logs", json=entry(), timeout=10)

    assert answer.status_code == 503
