"""The pages on paper."""

from __future__ import annotations

import re
import zlib

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


def texts(pdf: bytes) -> int:
    """The number of text objects in a PDF."""
    streams = re.findall(rb"FlateDecode.*?stream\r?\n(.*?)endstream", pdf, re.DOTALL)
    return sum(zlib.decompress(stream).count(b" Tj") for stream in streams)


def test_comparison_begins_on_the_first_page(page: Page, post: Post) -> None:
    """The bar is not alone on a page, even if the comparison just fails to fit on one page."""
    post(sessions.trip("trip"))
    page.goto("/compare?s=trip&s=trip")
    page.set_viewport_size({"width": 800, "height": 600})
    page.emulate_media(media="print")
    height = page.evaluate("document.documentElement.scrollHeight") - 8

    assert texts(page.pdf(width="800px", height=f"{height}px", page_ranges="1")) > 20
