"""A store of each kind, and a server over loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from coagent_langchain import server
from coagent_langchain.server.running import Running
from coagent_langchain.server.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    opened = server.open_store(f"sqlite://{tmp_path}/coagent.db")
    yield opened
    opened.close()


@pytest.fixture
def running() -> Iterator[Running]:
    """A server with an empty store."""
    with server.launch() as launched:
        yield launched
