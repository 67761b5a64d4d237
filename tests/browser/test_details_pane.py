"""The details pane: keys, and how it is opened."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Post
from tests.browser.pages import TRIP, visit
from tests.server import sessions
from tests.server.story import Story

# The browser scrolls smoothly: the final position.
WATCH = """pane => {
  window.place = new Promise((stands, fails) => {
    pane.addEventListener("scrollend", () => stands(pane.scrollTop), { once: true })
    setTimeout(() => fails(new Error("it did not scroll")), 15000)
  })
}"""


def test_keys_scroll_the_details_that_have_the_focus(page: Page, post: Post) -> None:
    """Arrows, Page Down, End and Home are the browser's there, and the focus is visible; j moves to the next row."""
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
    """A row of the events table is one event; rows elsewhere are a call with its response."""
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


@pytest.mark.parametrize(("tab", "text"), [("timeline", "#detail .bad"), ("conversation", ".said.failed .text")])
def test_message_of_an_error_keeps_its_columns(page: Page, post: Post, tab: str, text: str) -> None:
    """Many point at a place in the line above: both lines are as wide."""
    story = Story("s").ask("Sum up")
    story.log("error", error_info={"error_type": "Sql", "error_message": f"{'i' * 40}\n{'W' * 40}"})
    post(story.entries)
    visit(page, f"/sessions/s?tab={tab}&event={story.entries[-1]['event_id']}")
    first, second = page.locator(text).evaluate("""box => {
        const words = document.createTreeWalker(box, NodeFilter.SHOW_TEXT), range = document.createRange();
        while (words.nextNode()) { if (words.currentNode.data.includes("W")) break; }
        const line = words.currentNode, at = line.data.indexOf("W");
        return [[at - 41, at - 1], [at, at + 40]].map(([from, to]) => {
            range.setStart(line, from); range.setEnd(line, to); return range.getBoundingClientRect().width; }); }""")

    assert first == pytest.approx(second, abs=1)


@pytest.mark.parametrize(("tab", "place"), [("timeline", "#detail"), ("conversation", ".conversation")])
def test_long_name_of_an_error_makes_nothing_wider(page: Page, post: Post, tab: str, place: str) -> None:
    """On a phone the class name with its module is wider than the page; the message below it still wraps."""
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
    """A long history shows its last messages; a click fetches the others, and the search highlights them."""
    story = Story("s").ask("Go")
    history = [{"role": "user", "content": f"Message {number}."} for number in range(300)]
    story.model("Go", "Done.", 5, (1, 1), history=history)
    post(story.entries)
    visit(page, "/sessions/s?q=message+7")
    page.locator("#tree .row.k-model").click()
    messages = page.locator("#detail [data-of=content] summary")
    counts = []
    for number in (7, 207, 298):  # two, and the prompt's own, are unfolded
        expect(messages).to_have_count(number)
        counts.append(page.locator("#detail .found").count())
        if number < 298:
            page.locator("#detail [data-earlier]").click()

    expect(page.locator("#detail [data-earlier]")).to_have_count(0)
    expect(page.locator("#detail")).to_be_focused()
    assert 0 < counts[0] < counts[1] < counts[2]


def test_tabs_and_names_of_attributes_fit_on_a_phone(page: Page, post: Post) -> None:
    """The tabs of an error fit on one line; a name breaks at its dots and underscores, not within a word."""
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


def test_details_tell_the_time_to_the_millisecond(page: Page, post: Post) -> None:
    """In the reader's time zone; the date is shown on hover."""
    story = Story("s", 1_790_000_000_123).ask("hello")
    story.model("hello", "hi", 400, (1, 1))
    post(story.entries)
    visit(page, "/sessions/s")
    page.locator("#tree .row.k-model").click()
    times = page.locator("#detail .d-sub time")
    expect(times).to_have_count(2)

    assert times.all_inner_texts() == ["14:13:20.126", "14:13:20.526"]
    assert [" ".join((time.get_attribute("title") or "").split()) for time in times.all()] == [
        "Sep 21, 2026, 2:13:20 PM (2026-09-21T14:13:20.126Z)",
        "Sep 21, 2026, 2:13:20 PM (2026-09-21T14:13:20.526Z)",
    ]  # fmt: skip


def test_details_go_on_telling_the_time_itself(page: Page, post: Post) -> None:
    """A time in milliseconds does not become `2 min. ago`."""
    post(sessions.running("live"))
    page.clock.install()
    visit(page, "/sessions/live")
    page.locator("#tree .row.k-model").click()
    times = page.locator("#detail time")
    expect(times).to_have_text([re.compile(r"^\d\d:\d\d:\d\d\.\d{3}$")])
    before = times.inner_text()
    page.clock.fast_forward(60_000)

    expect(times).to_have_text(before)


def test_details_of_another_row_say_that_they_are_stale(page: Page, post: Post) -> None:
    """While those of the selected row are being fetched."""
    post(sessions.trip(TRIP))
    visit(page)
    page.locator("#tree .row.k-model").first.click()
    expect(page.locator("#detail h2")).to_have_text("gpt-5-mini")
    held: list[Route] = []
    page.route("**/view/detail/**", lambda route: held.append(route))
    page.locator("#tree .row.k-tool").first.click()
    expect(page.locator("#detail")).to_have_attribute("aria-busy", "true")
    expect(page.locator("#detail .d-body").first).to_have_css("opacity", "0.5")
    held[0].continue_()
    expect(page.locator("#detail h2")).to_have_text("flight_search")

    expect(page.locator("#detail .d-body").first).to_have_css("opacity", "1")


def test_copy_as_markdown_has_call_and_response(page: Page, post: Post) -> None:
    """The copied text can be given to an assistant as it is."""
    post(sessions.failed())
    visit(page, "/sessions/invoice-reader-71")
    page.click("#first-error")
    page.click("[data-act=markdown]")
    page.wait_for_selector("[data-act=markdown].done")
    lines = page.evaluate("navigator.clipboard.readText()").splitlines()

    assert [line for line in lines if line.startswith("## ")] == ["## tool_call read_pdf", "## tool_response read_pdf"]


def test_a_stack_trace_is_copied(page: Page, post: Post) -> None:
    """As it was logged."""
    post(sessions.failed())
    visit(page, "/sessions/invoice-reader-71")
    page.locator("#tree .row.k-model.x-error").click()
    page.click("[data-body=stack]")
    page.click("[data-of=stack] [data-act=copy]")
    page.wait_for_selector("[data-act=copy].done")

    assert page.evaluate("navigator.clipboard.readText()").startswith("Traceback (most recent call last):\n  File")


def test_long_answer_is_shown_piece_by_piece(page: Page, post: Post) -> None:
    """5 MB: the page shows 2,000 characters, fetches the rest in pieces, and copies everything."""
    answer = "All work and no play. " * 230_000
    story = Story("long").ask("Write")
    story.model("Write", answer, 900, (1, 1))
    for entry in story.entries:
        post([entry])
    visit(page, "/sessions/long")
    page.locator("#tree .row.k-model").click()
    part = page.locator("#detail .part", has_text="Answer")
    first = len(part.locator(".text").inner_text())
    part.locator("[data-more]").click()
    expect(part.locator("[data-more]")).to_contain_text("% shown")
    part.locator("[data-act=copy]").click()
    part.locator("[data-act=copy].done").wait_for()

    assert first < 2_100
    assert 130_000 < len(part.locator(".text").text_content() or "") < 140_000
    assert page.evaluate("navigator.clipboard.readText().then(text => text.length)") == len(answer)


@pytest.mark.parametrize("row", [".k-component", ".k-prompt"])
def test_cross_ends_the_first_row_of_the_details(page: Page, post: Post, row: str) -> None:
    """Nothing is to its right, with a short title and with a long one, in a window of any width."""
    post(sessions.trip())
    visit(page)
    page.locator(f"#tree .row{row} b").first.click()
    page.locator("#detail h2").wait_for()
    for width in (360, 390, 600, 780, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        right = page.locator(".d-title > *").evaluate_all("all => all.map(each => each.getBoundingClientRect().right)")
        title, cross = (page.locator(f".d-title {name}").bounding_box() or {} for name in ("h2", "[data-act=close]"))

        assert max(right) == right[-1] == width - 16
        assert cross["y"] < title["y"] < cross["y"] + cross["height"]


def test_details_leave_room_for_their_title_and_the_tree_s_times(page: Page, post: Post) -> None:
    """The button for Markdown gives way to the name of what is shown; no column begins below the details."""
    post(sessions.trip())
    visit(page)
    page.locator("#tree .row.k-tool b", has_text="flight_search").first.click()
    title = page.locator("#detail h2")
    expect(title).to_have_text("flight_search")
    for width in (390, 768, 900, 1000):
        page.set_viewport_size({"width": width, "height": 800})
        ends = page.locator("#tree").evaluate(
            "tree => [tree.querySelector('.time').getBoundingClientRect().right, tree.getBoundingClientRect().right]"
        )

        assert title.evaluate("title => title.scrollWidth <= title.clientWidth")
        assert width == 390 or ends[1] - ends[0] >= 16


def test_back_closes_the_details_on_a_phone(page: Page, post: Post) -> None:
    """They cover the page there; Forward opens them again, and closing them leaves no history entry."""
    post(sessions.trip())
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/")
    visit(page)
    address, length = page.url, page.evaluate("history.length")
    page.locator("#tree .row b", has_text="tools").first.click()
    page.locator("#detail h2").wait_for()
    page.go_back()
    expect(page.locator("#detail")).to_be_hidden()
    expect(page).to_have_url(address)
    page.go_forward()
    expect(page.locator("#detail h2")).to_have_text("tools")
    page.click("[data-act=close]")
    expect(page.locator("#detail")).to_be_hidden()
    expect(page).to_have_url(address)
    page.go_back()

    expect(page).to_have_title("Sessions · CoAgent")
    assert page.evaluate("history.length") == length + 1


def test_back_leaves_the_page_where_the_details_stand_beside_it(page: Page, post: Post) -> None:
    """In a wide window selecting rows adds no history entries."""
    post(sessions.trip())
    page.goto("/")
    visit(page)
    page.locator("#tree .row b", has_text="tools").first.click()
    page.locator("#detail h2").wait_for()
    page.go_back()

    expect(page).to_have_title("Sessions · CoAgent")
