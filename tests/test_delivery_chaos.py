"""A short run of `tests/chaos.py`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.chaos import chaos


def test_nothing_acknowledged_is_lost() -> None:
    """Processes that log, fork and are killed lose no appended event, and our server has each exactly once."""
    with ThreadPoolExecutor() as pool:  # two runs, which spend most of their time waiting
        results = [*pool.map(lambda seed: chaos(seconds=8, seed=seed), (1, 2))]
    print(*results, sep="\n")  # noqa: T201 - pytest shows it when the test fails

    assert [(each.lost, each.twice, each.stuck, each.left) for each in results] == [(set(), set(), 0, 0)] * 2
    assert [
        (len(each.acknowledged) > 100, each.killed > 0, sum(each.sent.values()) > len(each.sent)) for each in results
    ] == [(True, True, True)] * 2
