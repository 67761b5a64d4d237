"""Figures formatted by the browser (timeline, events) and by the server (list, details) are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from playwright.sync_api import Page

from coagent_langchain.server.presentation import formats

SPANS = [*range(0, 70_000, 50), 999.5, 59_949, 59_950, *range(70_000, 4_000_000, 500), 86_400_000, 172_800_000, 1e9]
COSTS = [0.00009, 0.0001, 0.00425, 0.9999, 0.99996, 1, 12.3, 999.99, 1234.5, 1_234_567.891]


@pytest.mark.parametrize(
    ("name", "write", "figures"),
    [("duration", formats.duration, SPANS), ("cost", formats.cost, COSTS), ("count", formats.count, [0, 999, 1e6])],
)
def test_browser_writes_figures_as_the_server_does(
    page: Page, name: str, write: Callable[[float], str], figures: Sequence[float]
) -> None:
    """Including halves, which the two languages round differently, and thousands of dollars."""
    page.goto("/")
    written = page.evaluate(
        "([name, figures]) => import('/static/format.js').then((format) => figures.map(format[name]))", [name, figures]
    )

    assert written == [write(figure) for figure in figures]
