"""The details beside the tabs: keys, and what they are opened with."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Post
from tests.browser.pages import visit
from tests.server import sessions
from tests.server.story import Story

# The browser scrolls smoothly: where the pane stands in the end.
WATCH = """pane => {
  window.place = new Promise((stands, fails) => {
    pane.addEventListener("scrollend", () => stands(pane.scrollTop), { once: true })
    setTimeout(() => fails(new Error("it did not scroll")), 15000)
  })
}"""


def test_keys_scroll_the_details_that_have_the_focus(page: Page, post: Post) -> None:
    """Arrows, Page Down, End and Home are the browser's there, and the focus is seen; j goes on to the next row."""
    story = Story("s").ask("Write")
    story.model("Write", "All work and no play.\n\n" * 80, 5, (1, 1))
    post(story.end("done"))
    visit(page, "/sessions/s")
    page.keyboard.press("j")
    page.keyboard.press("j")
    pane = page.locator("#detail")
    expect(pane.locator("h2")).to_have_text("gemma3:4b")
    page.keyboard.press("Enter")
    seen = pane.evaluate("pane => getComputedStyle(pane).outlineStyle")
    places = []
    for key in ("ArrowDown", "PageDown", "End", "Home"):
        pane.evaluate(WATCH)
        page.keyboard.press(key)
        places.append(page.evaluate("place"))
    selected = page.locator("#tree .row.at b").inner_text()
    page.keyboard.press("j")

    assert (seen, selected) == ("solid", "gemma3:4b")
    assert 0 < places[0] < places[1] < places[2]
    assert places[3] == 0
    expect(page.locator("#tree .row.at b")).to_have_text("Session end")


@pytest.mark.parametrize(("tab", "title", "entries"), [
    ("timeline", "book_train", 2), ("conversation", "book_train", 2), ("events", "book_train", 1),
    ("raw", "book_train", 2),
])  # fmt: skip
def test_link_opens_the_event_in_the_tab_that_it_names(
    page: Page, post: Post, tab: str, title: str, entries: int
) -> None:
    """The row of the table of events is one event, the others' is a call with its response."""
    made = sessions.trip("trip")
    post(made)
    place = next(place for place, entry in enumerate(made) if "tool_response" in entry and entry["tool_response"]
                 ["tool_name"] == "book_train") - (tab != "events")  # fmt: skip
    visit(page, f"/sessions/trip?tab={tab}&event={made[place]['event_id']}")
    expect(page.locator("#detail h2")).to_have_text(title)

    expect(page.locator("#detail .d-sub time")).to_have_count(entries)
    expect(page.locator(f"#tab-{tab}")).to_have_attribute("aria-selected", "true")
    if tab == "events":
        expect(page.locator("#events .row.at")).to_have_attribute("data-index", str(place))
        expect(page.locator("#events .row.at")).to_be_in_viewport()
    page.reload()
    expect(page.locator("#detail h2")).to_have_text(title)
    expect(page.locator(f"#tab-{tab}")).to_have_attribute("aria-selected", "true")


@pytest.mark.parametrize(("tab", "place"), [("timeline", "#detail"), ("conversation", ".conversation")])
def test_long_name_of_an_error_makes_nothing_wider(page: Page, post: Post, tab: str, place: str) -> None:
    """On a phone, the name of a class with its module is wider than the page; the message below it still wraps."""
    story = Story("s").ask("Go")
    story.log("error", error_info={"error_type": "langchain_google_genai.chat_models." * 3, "error_message": "E" * 500})
    post(story.end("done"))
    page.set_viewport_size({"width": 390, "height": 844})
    visit(page, f"/sessions/s?tab={tab}")
    if tab == "timeline":
        page.keyboard.press("e")
    expect(page.locator(place).get_by_text("EEE").first).to_be_visible()

    assert page.locator(place).evaluate("part => part.scrollWidth - part.clientWidth") == 0


def test_earlier_messages_are_fetched_and_searched(page: Page, post: Post) -> None:
    """Of a long history the last ones stand there; the others come at a click, and the search marks them."""
    story = Story("s").ask("Go")
    history = [{"role": "user", "content": f"Message {number}."} for number in range(300)]
    story.model("Go", "Done.", 5, (1, 1), history=history)
    post(story.entries)
    visit(page, "/sessions/s?q=message+7")
    page.locator("#tree .row.k-model").click()
    messages = page.locator("#detail [data-of=content] summary")
    counts = []
    for number in (7, 207, 298):  # two and the prompt's own are unfolded
        expect(messages).to_have_count(number)
        counts.append(page.locator("#detail .found").count())
        if number < 298:
            page.locator("#detail [data-earlier]").click()

    expect(page.locator("#detail [data-earlier]")).to_have_count(0)
    expect(page.locator("#detail")).to_be_focused()
    assert 0 < counts[0] < counts[1] < counts[2]


def test_tabs_and_names_of_attributes_fit_on_a_phone(page: Page, post: Post) -> None:
    """The tabs of an error stand in one line; a name is parted at its dots and underscores, not within a word."""
    page.set_viewport_size({"width": 390, "height": 844})
    story = Story("s").ask("Rome?")
    node = story.enter("cite")
    story.log("error", 0, node, story.root, "cite", error_info={"error_type": "ValueError", "stack_trace": "at cite"})
    post(story.entries)
    visit(page, "/sessions/s")
    page.click("#first-error")
    page.click("#detail [data-body=attributes]")
    tabs = page.locator("#detail [data-body]").evaluate_all("all => new Set(all.map(tab => tab.offsetTop)).size")
    parted = page.locator("#detail th").evaluate_all("""names => names.filter(name => {
        name.style.overflowWrap = "normal";
        return name.scrollWidth > name.clientWidth; }).map(name => name.textContent)""")

    assert (tabs, parted) == (1, [])
