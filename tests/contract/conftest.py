"""A handler whose events stay in memory."""

from __future__ import annotations

import pytest

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery


@pytest.fixture
def log() -> MemoryDelivery:
    """Where the events go."""
    return MemoryDelivery()


@pytest.fixture
def handler(log: MemoryDelivery) -> CoagentCallbackHandler:
    """A handler without a session id."""
    return CoagentCallbackHandler(delivery=log)
