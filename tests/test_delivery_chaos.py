"""Chaos, in a short version: see `tests/chaos.py`."""

from __future__ import annotations

import pytest

from tests.chaos import chaos


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_acknowledged_is_lost(seed: int) -> None:
    """Processes that log, fork and are killed lose nothing of which `append` had returned; on our server it is once."""
    result = chaos(seconds=8, seed=seed)
    print(result)  # noqa: T201 - pytest shows it when the test fails

    assert (result.lost, result.twice, result.stuck, result.left) == (set(), set(), 0, 0)
    assert (len(result.acknowledged) > 100, result.killed > 0, sum(result.sent.values()) > len(result.sent)) == (
        True,
    ) * 3
