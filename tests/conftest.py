"""Applies to every test: a clean environment, and internal errors fail the test instead of being contained."""

from __future__ import annotations

import math
import os
import random
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.delivery.deliveries import deliveries
from coagent_langchain.errors import guard
from coagent_langchain.sessions import open_sessions
from coagent_langchain.sessions.scope import current
from coagent_langchain.testing import MemoryDelivery
from coagent_langchain.weak_collection import WeakCollection

# A busy machine is slow, not broken: examples have no deadline.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

# In the background of a script Ctrl-C is ignored, and would be in the programs that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
UNWANTED = ("LANGCHAIN_TRACING_V2", "LANGSMITH_TRACING", "NO_COLOR", "OLLAMA_HOST",
            *PROXIES, *(name.upper() for name in PROXIES))  # fmt: skip


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Remove the developer's variables that change behaviour, and give the test a spool of its own."""
    for name in [n for n in os.environ if n.startswith("COAGENT_") and n != "COAGENT_TEST_HEAVY"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COAGENT_SPOOL_DIR", str(tmp_path_factory.mktemp("spool")))
    for name in UNWANTED:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def no_delivery_goes_on() -> Iterator[None]:
    """Close the deliveries that the test created: one that retries for ever would complain in another test's log."""
    yield
    for delivery in deliveries._by_destination.values():
        delivery.close(elapsed=math.inf)
    deliveries._by_destination.clear()


@pytest.fixture(autouse=True)
def sessions_are_swept_in_their_own_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread ends another test's sessions, whose delivery may fail on purpose, when a test sets clocks forward."""
    monkeypatch.setattr(open_sessions, "_watched", WeakCollection())


@pytest.fixture(autouse=True)
def no_block_stays_current() -> Iterator[None]:
    """A session or prompt that is still current at a test's end would take the runs of the tests after it."""
    yield
    assert current() is None


@pytest.fixture(autouse=True)
def internal_errors(request: pytest.FixtureRequest) -> Iterator[list[Exception]]:
    """The errors that the guard contained, raised after the test unless it is marked `internal_errors`."""
    guard.collected = collected = []
    guard.counts.clear()
    yield collected
    guard.collected = None
    if collected and not request.node.get_closest_marker("internal_errors"):
        raise ExceptionGroup("the guard contained internal errors", collected)


@pytest.fixture
def log() -> MemoryDelivery:
    """The log that receives the events of `handler`."""
    return MemoryDelivery()


@pytest.fixture
def handler(log: MemoryDelivery) -> CoagentCallbackHandler:
    """A handler without a session id."""
    return CoagentCallbackHandler(delivery=log)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The upper bound of each random delay; the delay itself is always the shortest, 0."""
    longest: list[float] = []

    def drawn(draw: random.Random, shortest: float, most: float) -> float:
        longest.append(most)
        return shortest

    monkeypatch.setattr(random.SystemRandom, "uniform", drawn)
    return longest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip heavy tests unless they are switched on, and put browser tests last: their event loop keeps the thread."""
    items.sort(key=lambda item: "browser" in item.path.parts)
    if os.environ.get("COAGENT_TEST_HEAVY"):
        return
    for item in items:
        if item.get_closest_marker("heavy"):
            item.add_marker(pytest.mark.skip(reason="heavy: set COAGENT_TEST_HEAVY=1"))
