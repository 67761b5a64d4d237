"""What every test has: a clean environment, and internal errors that fail the test instead of being contained."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.delivery.registry import registry
from coagent_langchain.errors import guard
from coagent_langchain.testing import MemoryDelivery

# A busy machine is slow, not wrong: no example has a deadline.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
UNWANTED = ("LANGCHAIN_TRACING_V2", "LANGSMITH_TRACING", "NO_COLOR", "OLLAMA_HOST",
            *PROXIES, *(name.upper() for name in PROXIES))  # fmt: skip


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """None of the developer's variables that change what we do, and a spool of this test's own."""
    for name in [n for n in os.environ if n.startswith("COAGENT_") and n != "COAGENT_TEST_HEAVY"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COAGENT_SPOOL_DIR", str(tmp_path_factory.mktemp("spool")))
    for name in UNWANTED:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def no_delivery_goes_on() -> Iterator[None]:
    """Ends the deliveries that the test made: one that tries for ever would complain in the log of another test."""
    yield
    for delivery in registry._deliveries.values():
        delivery.close(elapsed=math.inf)
    registry._deliveries.clear()


@pytest.fixture(autouse=True)
def internal_errors(request: pytest.FixtureRequest) -> Iterator[list[Exception]]:
    """What the guard contained during the test; raised at its end unless the test is marked `internal_errors`."""
    guard.collected = collected = []
    guard.counts.clear()
    yield collected
    guard.collected = None
    if collected and not request.node.get_closest_marker("internal_errors"):
        raise ExceptionGroup("the guard contained internal errors", collected)


@pytest.fixture
def log() -> MemoryDelivery:
    """Where the events of `handler` go."""
    return MemoryDelivery()


@pytest.fixture
def handler(log: MemoryDelivery) -> CoagentCallbackHandler:
    """A handler without a session id."""
    return CoagentCallbackHandler(delivery=log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what is heavy unless it is switched on; browser tests last: their event loop keeps the thread."""
    items.sort(key=lambda item: "browser" in item.path.parts)
    if os.environ.get("COAGENT_TEST_HEAVY"):
        return
    for item in items:
        if item.get_closest_marker("heavy"):
            item.add_marker(pytest.mark.skip(reason="heavy: set COAGENT_TEST_HEAVY=1"))
