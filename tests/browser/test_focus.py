"""What has the focus or is selected keeps it, whatever the page does meanwhile."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from coagent_langchain.wire import now_ms
from tests.browser.conftest import Post
from tests.browser.pages import CUT, follow, talk, visit
from tests.server.story import Story

MORE = "#detail [data-of=content] [data-more]"


def failing() -> Story:
    """A running session with more tools than the table beside the chart shows, and an error."""
    story = Story("live", now_ms() - 60_000).ask("Go through the archive")
    for number in range(6):
        story.tool(f"tool_{number}", {}, "ok", 5, f"c{number}")
    story.log("error", 1, error_info={"error_id": "e1", "error_type": "ValueError", "error_message": "no page"})
    return story


@pytest.mark.parametrize("place", ["#first-error", "#overview [data-show=all]"])
def test_head_keeps_the_focus_when_news_come(page: Page, post: Post, place: str) -> None:
    """The link to the first error and a table's button are the same elements before and after new events."""
    story = failing()
    post(story.news())
    follow(page)
    page.locator(place).focus()
    story.tool("tool_6", {}, "ok", 5, "c6")
    post(story.news())
    expect(page.locator("#overview [data-show=all] span").first).to_have_text("4 more")

    expect(page.locator(place)).to_be_focused()


def test_head_keeps_what_is_selected_in_it_when_news_come(page: Page, post: Post) -> None:
    """For example a title that is about to be copied."""
    story = failing()
    post(story.news())
    follow(page)
    page.locator("#head h1").select_text()
    story.tool("tool_6", {}, "ok", 5, "c6")
    post(story.news())
    expect(page.locator("#head .stats")).to_contain_text("Tool calls7")

    assert page.evaluate("String(getSelection())") == "Go through the archive"


@pytest.mark.parametrize(("tab", "prompts"), [("conversation", 120), ("raw", 40)])
def test_button_for_more_keeps_the_focus(page: Page, post: Post, tab: str, prompts: int) -> None:
    """Enter can be pressed again at once."""
    post(talk(prompts).entries)
    visit(page, f"/sessions/live?tab={tab}")
    button = page.locator(f"#{tab} [data-next]")
    before = button.inner_text()
    button.press("Enter")

    expect(button).not_to_have_text(before)
    expect(button).to_be_focused()


def test_end_of_a_long_text_leaves_the_focus_to_what_scrolls(page: Page, post: Post) -> None:
    """The button is gone then: the arrow keys still scroll the details."""
    story = Story("live", now_ms() - 60_000).ask("Write")
    story.model("Write", CUT, 5, (1, 1))
    post(story.entries)
    visit(page, "/sessions/live")
    page.locator("#tree .row.k-model").click()
    page.locator(MORE).press("Enter")

    expect(page.locator(MORE)).to_have_count(0)
    expect(page.locator("#detail")).to_be_focused()


def test_text_that_the_server_did_not_give_can_be_asked_for_again(context: BrowserContext, post: Post) -> None:
    """Its button still works after a failed request."""
    story = Story("live", now_ms() - 60_000).ask("Write")
    story.model("Write", CUT, 5, (1, 1))
    post(story.entries)
    page = context.new_page()  # unlike the fixture's page, it may report the response as an error
    visit(page, "/sessions/live")
    page.locator("#tree .row.k-model").click()
    page.route("**/view/text/**", lambda route: route.fulfill(status=503, body=b""), times=1)
    page.locator(MORE).click()
    expect(page.locator("#trouble")).to_have_text("The server responded with 503.")
    page.locator(MORE).click()

    expect(page.locator(MORE)).to_have_count(0)


def test_details_that_cover_the_page_have_the_focus(page: Page, post: Post) -> None:
    """On a phone, or on a zoomed page: the next key acts on the details, none on what they cover, until Esc."""
    post(failing().entries)
    page.set_viewport_size({"width": 390, "height": 844})
    visit(page, "/sessions/live")
    page.keyboard.press("e")
    expect(page.locator("#detail")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#detail [data-act=markdown]")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Shift+Tab")
        assert page.evaluate("document.activeElement.matches('body, #detail, #detail *')")
    page.keyboard.press("Escape")

    expect(page.locator("#tree")).to_be_focused()
