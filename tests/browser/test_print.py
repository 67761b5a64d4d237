"""The pages on paper."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Post
from tests.server import sessions
from tests.server.story import T0

RECIPE = "recipe-agent-6f2c1e08"


@pytest.mark.parametrize("path", ["/", f"/sessions/{RECIPE}", f"/compare?s={RECIPE}&s={RECIPE}"])
def test_paper_tells_the_date_not_how_long_ago(page: Page, post: Post, path: str) -> None:
    """The time of printing is unknown later; the screen keeps showing how long ago."""
    post(sessions.recipe(RECIPE, T0))
    page.goto(path)
    time = page.locator("td time, dd time").first
    expect(time).to_have_text("Sep 21, 14:13")
    page.emulate_media(media="print")
    expect(time).to_have_text("Sep 21, 2026, 2:13:20 PM")
    assert time.evaluate("time => time.parentElement.scrollWidth <= time.parentElement.clientWidth")
    page.emulate_media(media="screen")
    expect(time).to_have_text("Sep 21, 14:13")
