"""A server with a token, opened in a browser without one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from coagent_langchain.server import launch
from tests.server import sessions

TOKEN = "s3cret-token"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page at a session of a server that needs a token."""
    with launch(token=TOKEN) as server:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = requests.post(f"{server.base_url}/logs", json=sessions.recipe("a/b"), headers=headers, timeout=10)
        assert answer.status_code == 200
        page = browser.new_page(base_url=server.url, viewport={"width": 390, "height": 844})
        page.goto("/sessions/a%2Fb?tab=raw")
        yield page
        page.close()


def test_token_that_is_typed_leads_to_the_page_that_was_asked_for(page: Page) -> None:
    """Even after a wrong one; neither the page's address nor any other in the history has the token."""
    page.get_by_label("Token").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("The token is wrong")
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")

    expect(page.locator("#raw summary")).to_have_count(10)
    assert page.url.endswith("/sessions/a%2Fb?tab=raw")
    history = page.context.new_cdp_session(page).send("Page.getNavigationHistory")  # going back can hang Chromium
    assert [each["url"] for each in history["entries"] if TOKEN in each["url"]] == []


def test_page_that_asks_for_the_token_has_the_viewers_style(page: Page) -> None:
    """On a phone too: it fits, and the field has the focus."""
    fields = page.locator(".unlock :is([type=password], button)")

    expect(page.get_by_label("Token")).to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert fields.evaluate_all("all => all.map((each) => each.getBoundingClientRect().height)") == [40, 40]


def test_page_that_is_logged_out_says_what_to_do(page: Page) -> None:
    """As after a restart of the server, which makes the cookie invalid."""
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("#raw summary")).to_have_count(10)
    page.context.clear_cookies()
    page.get_by_role("tab", name="Conversation").click()

    expect(page.locator("#trouble")).to_have_text("The server asks for the token again. Reload this page.")
