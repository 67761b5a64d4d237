"""Waiting for what happens in other threads and processes, and passing time without waiting."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from coagent_langchain import clock


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until a condition holds; fail if it does not hold in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)


def pass_time(monkeypatch: pytest.MonkeyPatch, minutes: int) -> None:
    """Set the machine's clocks forward."""
    now, monotonic = time.time_ns, clock.monotonic
    monkeypatch.setattr(time, "time_ns", lambda: now() + minutes * 60 * 10**9)
    monkeypatch.setattr(clock, "monotonic", lambda: monotonic() + minutes * 60)
