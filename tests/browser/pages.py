"""Shared by the tests of the list and of a session's page: sessions to show, and how to open and read the pages."""

from __future__ import annotations

from urllib.parse import quote

from playwright.sync_api import Page, expect

from coagent_langchain.wire import now_ms
from tests.browser.conftest import Post
from tests.server import sessions
from tests.server.story import T0, Story

TRIP = "trip-planner/2026-11-22T13:04:18+00:00"
PATH = f"/sessions/{quote(TRIP, safe='')}"
CUT = "All work and no play. " * 200


def talk(prompts: int) -> Story:
    """A running session of the given number of short prompts, each a rule, the user's input and a response."""
    story = Story("live", now_ms() - 60_000)
    for number in range(prompts):
        story.ask(f"Question {number}")
        story.model(f"Question {number}", f"Answer {number}", 5, (1, 1))
    return story


def visit(page: Page, path: str = PATH) -> None:
    """Open a session's page and wait until it is loaded."""
    page.goto(path)
    page.wait_for_selector("#session[data-ready]")


def follow(page: Page, path: str = "/sessions/live") -> None:
    """Open a session's page and wait until it is live."""
    visit(page, path)
    expect(page.locator("#live")).to_have_text("Live")


def labels(page: Page) -> list[str]:
    """The labels of the visible rows, from top to bottom, as they stand in the document."""
    return page.locator("#tree .row b").all_text_contents()


def titles(page: Page) -> list[str]:
    """The titles in the list, from top to bottom."""
    return page.locator("td.c-title a").all_inner_texts()


def fill(post: Post) -> None:
    """Three sessions, the recipe first."""
    post(sessions.recipe("recipe", T0))
    post(sessions.failed("broken", T0 + 1000))
    post(sessions.running("live", T0 + 2000))
