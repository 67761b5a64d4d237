"""A server, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coagent_langchain import CoagentClient
from coagent_langchain.server import launch
from coagent_langchain.server.running import Running


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """An embedded server with its own store."""
    with launch() as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[CoagentClient]:
    """A client of that server."""
    with CoagentClient(server.base_url) as client:
        yield client
