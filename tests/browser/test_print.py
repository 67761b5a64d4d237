"""The pages on paper."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from coagent_langchain.server.running import Running
from tests.browser.conftest import Post
from tests.server import sessions
from tests.server.story import T0, Story

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


@pytest.mark.parametrize("scripts", [True, False])
def test_date_and_error_of_a_failed_session_leave_each_other_clear(
    browser: Browser, server: Running, post: Post, scripts: bool
) -> None:
    """On paper, and in a browser without scripts, the date has two lines."""
    story = Story("s").ask("Sum up")
    story.log("error", 1, error_info={"error_type": "BadRequestError", "error_message": "too long " * 13})
    post(story.end("failed", status="failed"))
    page = browser.new_page(base_url=server.url, viewport={"width": 800, "height": 600}, java_script_enabled=scripts)
    page.goto("/")
    page.emulate_media(media="print" if scripts else "screen")
    date, why = (page.locator(each).bounding_box() or {} for each in ("td.c-time", ".why"))
    cut = page.locator("td.c-time, .why").evaluate_all("all => all.map((each) => each.scrollWidth > each.clientWidth)")
    page.close()

    assert why["x"] + why["width"] <= date["x"]
    assert cut == [False, False]
