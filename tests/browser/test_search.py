"""The search in a session: what it shows, what it highlights, and where it leads."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Post
from tests.browser.pages import follow, labels, visit
from tests.server import sessions
from tests.server.story import Story


def test_search_keeps_hits_and_what_they_hang_on(page: Page, post: Post) -> None:
    """Words of any event's content find its row, even deep inside a sub-agent."""
    post(sessions.trip())
    visit(page)
    page.fill("#search", "lesseps courtyard")
    expect(page.locator("#found")).to_have_text("2 events")

    assert labels(page) == [
        "Plan a three-day trip from Madrid to Barcelona in March for two people, under 600 euros",
        "Turn 1", "tools", "research_agent", "research_agent", "gemma3:4b",
    ]  # fmt: skip


def marked(page: Page, words: str, box: str) -> list[str]:
    """The highlighted texts below an element after a search, in order."""
    page.fill("#search", words)
    found: list[str] = page.evaluate("""async ([first, box]) => {
        for (;;) {
            const inside = range => document.querySelector(box)?.contains(range.startContainer);
            const texts = [...CSS.highlights.get("found") ?? []].filter(inside).map(String);
            if (texts[0]?.toLowerCase() === first) return texts;
            await new Promise(requestAnimationFrame);
        } }""", [words.split()[0], box])  # fmt: skip
    return found


def test_search_marks_what_it_finds_in_texts(page: Page, post: Post) -> None:
    """Words by prefix in any case, phrases as a whole; folded parts say that they match. Nothing without a search."""
    story = Story("s").ask("Where is my Parcel?")
    story.model("Where is my Parcel?", "The parcel (9Z-118) arrives.\narrives, not subparcels", 10, (1, 1))
    story.tool("track", {"id": "9z-118"}, "x", 10, "c1")
    post(story.entries)
    visit(page, "/sessions/s?tab=conversation")

    assert marked(page, 'parcel "(9z-118)"', "#conversation") == ["Parcel", "parcel", "(9Z-118)"]
    assert marked(page, "9z-118", "#conversation") == ["9Z-118", "9z-118", "9z-118"]
    expect(page.locator("#conversation details.found")).to_have_count(1)
    page.click("#tab-raw")
    assert marked(page, "arrives", "#raw") == ["arrives"] * 4
    expect(page.locator("#raw summary")).to_have_text(
        ["4 llm_response The parcel (9Z-118) arrives. arrives, not subparcels"]
    )
    page.fill("#search", "")
    expect(page.locator("#raw summary")).to_have_count(6)
    expect(page.locator(".found")).to_have_count(0)
    assert page.evaluate("CSS.highlights.get('found').size") == 0


@pytest.mark.parametrize(("tab", "said", "asks"), [("timeline", "#none", "find"), ("raw", "#raw .nothing", "raw")])
def test_search_without_a_hit_says_so(page: Page, post: Post, tab: str, said: str, asks: str) -> None:
    """Once, even if more events without the words arrive."""
    story = Story("live").ask("Rome?")
    post(story.entries)
    follow(page, f"/sessions/live?tab={tab}")
    page.fill("#search", "Pisa")
    expect(page.locator(said)).to_have_text("No event matches.")
    story.model("Rome?", "Sunny.", 5, (1, 1))
    for entry in story.entries[2:]:
        with page.expect_response(f"**/view/{asks}/**"):
            post([entry])

    expect(page.locator(said)).to_have_text(["No event matches."])


def test_search_waits_for_the_one_under_way(page: Page, post: Post) -> None:
    """A large session takes seconds: one for each letter kept the server from answering anybody."""
    post(sessions.trip())
    visit(page)
    asked: list[Route] = []

    def hold_the_first(route: Route) -> None:
        asked.append(route)
        if len(asked) > 1:
            route.continue_()

    page.route("**/view/find/**", hold_the_first)
    with page.expect_request("**/view/find/**"):
        page.fill("#search", "less")
    page.locator("#search").press_sequentially("eps", delay=200)
    page.wait_for_url("**q=lesseps")
    asked[0].continue_()
    expect(page.locator("#found")).to_have_text("4 events")

    assert [route.request.url.rpartition("=")[2] for route in asked] == ["less", "lesseps"]


def test_enter_in_the_search_selects_the_first_hit(page: Page, post: Post) -> None:
    """Not the prompt above it; the search uses what was just typed."""
    post(sessions.trip("trip"))
    visit(page, "/sessions/trip")
    page.fill("#search", "QX71BD")
    page.keyboard.press("Enter")

    expect(page.locator("#tree .row.at b")).to_have_text("book_train")
    expect(page.locator("#detail h2")).to_have_text("book_train")
    expect(page.locator("#tree")).to_be_focused()


def test_search_without_a_hit_leaves_no_row(page: Page, post: Post) -> None:
    """The message replaces the rows, and disappears with the words."""
    post(sessions.recipe("recipe"))
    visit(page, "/sessions/recipe")
    page.fill("#search", "zebra")
    expect(page.get_by_text("No event matches.")).to_be_visible()
    none = labels(page)
    page.fill("#search", "")
    expect(page.get_by_text("No event matches.")).to_be_hidden()

    assert (none, len(labels(page))) == ([], 6)


def test_escape_leaves_the_search_and_its_words(page: Page, post: Post) -> None:
    """The words stay, and so do the rows that they find."""
    post(sessions.recipe("recipe"))
    visit(page, "/sessions/recipe")
    page.fill("#search", "halloumi")
    expect(page.locator("#found")).to_have_text("1 event")
    page.keyboard.press("Escape")

    expect(page.locator("#search")).not_to_be_focused()
    expect(page.locator("#search")).to_have_value("halloumi")
    expect(page.locator("#tree .row")).to_have_count(2)


def test_search_in_a_conversation_leads_to_the_timeline(page: Page, post: Post) -> None:
    """The timeline shows each event that was found, one or several."""
    post(sessions.recipe("recipe"))
    visit(page, "/sessions/recipe?tab=conversation")
    found = page.locator("#found")
    page.fill("#search", "halloumi")
    expect(found).to_have_text("1 event, see Timeline")
    page.fill("#search", "vegetarian")

    expect(found).to_have_text("3 events, see Timeline")


def test_search_is_in_the_address(page: Page, post: Post) -> None:
    """A link from a searched list keeps the words; a reload keeps them too, in every tab."""
    post(sessions.trip("trip"))
    page.goto("/?q=lesseps+courtyard")
    page.click(".c-title a")
    expect(page.locator("#found")).to_have_text("2 events")
    hits = page.locator("#tree .row.hit").count()
    page.fill("#search", "renfe")
    expect(page.locator("#found")).to_have_text("1 event")
    page.click("#tab-events")
    page.reload()
    expect(page.locator("#events .row[data-index]")).to_have_count(1)
    expect(page.locator("#search")).to_have_value("renfe")
    page.fill("#search", "")
    expect(page.locator("#found")).to_have_text("")

    assert hits == 2
    assert page.url.endswith("/sessions/trip?tab=events")


def test_session_that_was_found_by_its_id_is_shown_whole(page: Page, post: Post) -> None:
    """By a part of an id, which only the list searches: the session's events do not match, so the words are dropped."""
    post(sessions.recipe("recipe6f2c"))
    page.goto("/?q=6f2c")
    page.click(".c-title a")
    page.wait_for_selector("#session[data-ready]")

    assert len(labels(page)) == 6
    expect(page.locator("#search")).to_have_value("")
