"""The list of sessions, and a comparison, on a phone and in narrow windows."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Post
from tests.browser.pages import fill, titles
from tests.server import sessions
from tests.server.story import Story


def test_error_of_a_failed_session_wraps_on_a_phone(page: Page, post: Post) -> None:
    """It is what the reader of an alert looks for, and touch has no hover."""
    story = Story("s").ask("Sum up")
    story.log("error", 1, error_info={"error_type": "BadRequestError", "error_message": "too long " * 13})
    post(story.end("failed", status="failed"))
    page.set_viewport_size({"width": 390, "height": 600})
    page.goto("/")
    why = page.locator(".why")

    assert why.inner_text() == "BadRequestError: " + " ".join(["too long"] * 13)
    assert why.evaluate("line => line.scrollWidth <= line.clientWidth && line.offsetHeight > 20")


def test_a_narrow_window_leaves_out_columns_not_the_id(page: Page, post: Post) -> None:
    """A long title and a UUID fit one below the other from 320 pixels on; the page does not scroll sideways."""
    session_id = "0f8b1c2d-3e4f-4a5b-8c6d-7e8f9a0b1c2d"
    post(Story(session_id).ask("word " * 60).entries)
    page.goto("/")
    page.wait_for_selector("#live.on")
    for width, columns in (
        (800, "Started ↓ Duration Errors"),
        (1099, "Started ↓ Duration Errors"),
        (1100, "Started ↓ Duration Tokens Cost Errors Models, tags"),
        (1280, "Started ↓ Duration Prompts Calls Tools Tokens Cost Errors Models, tags"),
        (1440, "Started ↓ Duration Prompts Turns Calls Tools Tokens Out Cost Errors Models, tags"),
    ):
        page.set_viewport_size({"width": width, "height": 600})
        title, name = (page.locator(f".c-title {part}").bounding_box() or {} for part in ("a", ".id"))

        assert " ".join(page.locator("th:visible").all_inner_texts()) == f"Compare Status Session {columns}"
        assert page.locator("td.c-title").evaluate("cell => cell.offsetWidth") >= 320
        assert name["y"] == title["y"] + title["height"]
        assert page.locator(".c-title .id").evaluate("id => id.scrollWidth <= id.clientWidth")
        assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("width", [390, 1400])
def test_comparison_has_model_names_whole_and_apart(page: Page, post: Post, width: int) -> None:
    """On a phone a long name wraps within its own column."""
    names = ["claude-sonnet-4-5-20250929", "openai/gpt-oss-120b-instruct"]
    for session_id in ("one", "two"):
        story = Story(session_id).ask("x")
        for name in names:
            story.model("x", "y", 5, (1, 1), model=name)
        post(story.entries)
    page.set_viewport_size({"width": width, "height": 844})
    page.goto("/compare?s=one&s=two")
    words = page.locator(".versus .word")
    cut = words.evaluate_all("""all => all.filter((each) => {
        const cell = each.parentElement.getBoundingClientRect();
        return each.getBoundingClientRect().right > cell.right || each.scrollWidth > each.clientWidth;
    }).map((each) => each.textContent)""")

    assert (words.all_inner_texts(), cut) == (names * 2, [])


def test_comparison_has_large_numbers_whole(page: Page, post: Post) -> None:
    """On a phone, where their columns are narrow: only between two words may a line end."""
    for session_id, tokens in (("one", (122_400, 3_295)), ("two", (1_725_000, 1_500_000))):
        story = Story(session_id).ask("x")
        story.model("x", "y", 5, tokens)
        post(story.entries)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/compare?s=one&s=two")
    cut = page.locator("tr:has(.delta) td").evaluate_all("""cells => cells.flatMap((cell) => {
        const text = cell.firstChild, word = /^\\S+/.exec(text?.data), range = document.createRange();
        if (!word) return [];
        range.setStart(text, 0);
        range.setEnd(text, word[0].length);
        return range.getClientRects().length > 1 ? [word[0]] : [];
    })""")

    assert cut == []


def test_phone_list_tells_sessions_of_one_title_apart(page: Page, post: Post) -> None:
    """If titles are the same, the ids are shown."""
    post(sessions.running("one"))
    post(sessions.running("two"))
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/")

    expect(page.locator("td.c-title .id:visible")).to_have_text(["two", "one"])


def test_phone_list_has_the_model_beside_the_cost(page: Page, post: Post) -> None:
    """Tags for which there is no room there are below."""
    story = Story("s").ask("Soup?", {"context": {"tags": ["host:WWWWWWWWWWWWWWWWWWWW"]}})
    story.model("Soup?", "Yes", 5, (1000, 100), model="gpt-4.1-mini")
    post(story.end("Yes"))
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/")
    model, tag = (page.locator(f".c-words {name}").bounding_box() or {} for name in (".word", ".tag"))
    cost = page.get_by_text("$").bounding_box() or {}

    assert (model["y"] == cost["y"], tag["y"] > cost["y"]) == (True, True)


def test_narrow_list_shows_the_direction_of_every_order(page: Page, post: Post) -> None:
    """The arrow is the last of an order's words."""
    fill(post)
    page.set_viewport_size({"width": 761, "height": 600})
    page.goto("/")
    cut = page.get_by_label("Sort").evaluate("""menu => {
        const context = document.createElement("canvas").getContext("2d"), room = menu.clientWidth - 8 - 18;
        context.font = getComputedStyle(menu).font;
        return [...menu.options].map((each) => each.text).filter((text) => context.measureText(text).width > room);
    }""")

    assert cut == []


def test_phone_list_leaves_out_tokens_that_nobody_reports(page: Page, post: Post) -> None:
    """As it omits an unknown cost."""
    post(sessions.running("live"))
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/")
    page.wait_for_selector("#live.on")

    assert page.locator("tbody td:visible").all_inner_texts()[3:] == ["3 ms", "gemma3:4b"]


def test_phone_filters_and_sorts_in_one_disclosure(page: Page, post: Post) -> None:
    """Closed it shows the number of filters; open it has all of them, large enough for a finger, and sorting."""
    fill(post)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/?model=gemma3:4b")
    page.get_by_text("Filters (1)").click()
    search, filters = (page.locator(name).bounding_box() or {} for name in ("#search", "summary"))
    sizes = page.locator("#filters :is(input, select, summary, button, a)").evaluate_all("""all => all.map((each) => {
        const { left, right, height } = each.getBoundingClientRect();
        return left >= 0 && right <= innerWidth && height >= 40;
    })""")
    fonts = page.locator("#filters :is(input, select)").evaluate_all(
        "all => [...new Set(all.map((each) => getComputedStyle(each).fontSize))]"
    )
    page.get_by_label("Sort").select_option("Tokens ↓")
    page.wait_for_url("**/?model=gemma3%3A4b&sort=-total_tokens")
    sorted_by_tokens = titles(page)
    page.get_by_text("Clear", exact=True).click()
    page.wait_for_url(re.compile(r"/$"))

    assert (sizes, fonts) == ([True] * 10, ["16px"])
    assert search["width"] > 280
    assert filters["y"] >= search["y"] + search["height"]
    assert sorted_by_tokens == ["Generate three recipes using chicken and vegetables", "Where is my parcel 9Z-118?"]
    expect(page.locator("summary")).to_have_text("Filters")
    expect(page.get_by_label("Status")).to_be_hidden()


def test_home_link_has_a_name_on_a_phone(page: Page, post: Post) -> None:
    """Its text does not fit there, but a screen reader still says where it leads."""
    post(sessions.recipe("recipe"))
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/sessions/recipe")
    page.get_by_role("link", name="CoAgent").click()

    expect(page).to_have_title("Sessions · CoAgent")


def test_phone_breaks_long_words(page: Page, post: Post) -> None:
    """An id, title, tag and tool name of hundreds of characters without spaces do not widen the page."""
    name = "x" * 490
    story = Story(name).ask("\u00dc" * 300, {"context": {"tags": ["production-eu-west-1" * 4]}})
    story.tool("t" * 300, {}, "y", 5, "c1")
    post(story.entries)
    page.set_viewport_size({"width": 390, "height": 844})
    widths = {}
    for path in (f"/sessions/{name}", f"/sessions/{name}?tab=conversation", f"/compare?s={name}&s={name}", "/"):
        page.goto(path)
        page.wait_for_selector("[data-ready], td.c-title, .versus")
        widths[path] = page.evaluate("document.documentElement.scrollWidth")

    assert widths == dict.fromkeys(widths, 390)
