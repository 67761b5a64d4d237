"""The list of sessions as people use it: keyboard, filters, sorting, columns, choosing two to compare."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Post
from tests.browser.pages import fill, titles
from tests.server import sessions
from tests.server.story import T0, Story


def test_keys_move_through_the_list_and_open_a_session(page: Page, post: Post) -> None:
    """j and k move, Enter opens, `/` goes to the search."""
    fill(post)
    page.goto("/")
    page.wait_for_selector("#live.on")
    for key in ("j", "j", "j", "k", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector("#session[data-ready]")

    assert page.url.endswith("/sessions/broken")


@pytest.mark.parametrize(
    ("focused", "address"),
    [("tr:nth-child(2) td a", "/sessions/s49"), ("th >> text=Errors", "/?sort=-errors"), ("[rel=next]", "/?page=2")],
)
def test_enter_follows_the_link_that_has_the_focus(page: Page, post: Post, focused: str, address: str) -> None:
    """Another session, a column header, the next page: not the row that j marked."""
    post(entry for number in range(51) for entry in sessions.running(f"s{number}", T0 + number))
    page.goto("/")
    page.wait_for_selector("#live.on")
    page.keyboard.press("j")
    page.locator(focused).focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{address}")


def test_enter_opens_the_marked_row_where_nothing_has_the_focus(page: Page, post: Post) -> None:
    """A click beside the list removes the focus, but not the mark."""
    fill(post)
    page.goto("/")
    page.wait_for_selector("#live.on")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sessions/broken")


def test_keys_work_after_a_tick(page: Page, post: Post) -> None:
    """A box is no text field: j moves on. Enter on it compares the two that are chosen, not the row that j marked."""
    fill(post)
    page.goto("/")
    page.wait_for_selector("#live.on")
    page.locator("input[value=live]").check()
    page.keyboard.press("j")
    expect(page.locator("tr.at")).to_have_attribute("data-href", "/sessions/live")
    page.locator("input[value=recipe]").check()
    page.keyboard.press("Enter")
    page.wait_for_selector(".versus")


def test_a_filter_applies_at_once_and_can_be_cleared(page: Page, post: Post) -> None:
    """Choosing a status shows those sessions, in the address too; Clear shows all."""
    fill(post)
    page.goto("/")
    page.locator("select[name=status]").select_option("failed")
    page.wait_for_url("**/?status=failed")
    filtered = titles(page)
    page.click("text=Clear")
    page.wait_for_url(re.compile(r"/$"))

    assert filtered == ["Read invoice 4711.pdf and file it"]
    assert len(titles(page)) == 3


def test_the_table_stays_where_it_is_when_filters_are_set(page: Page, post: Post) -> None:
    """Clear takes its space from the search box; columns keep theirs even if no session matches."""
    fill(post)
    places = []
    for path in ("/", "/?status=failed&tag=staging&q=invoice", "/?status=idle"):
        page.goto(path)
        heads = {}
        for width in (800, 1100, 1280, 1920):
            page.set_viewport_size({"width": width, "height": 600})
            heads[width] = [head.bounding_box() for head in page.locator("th:visible").all()]
        places.append(heads)

    assert places[1:] == places[:1] * 2
    assert page.locator("p.nothing").inner_text() == "No session matches. Show all"


def test_a_column_sorts_both_ways(page: Page, post: Post) -> None:
    """Its header sorts descending, then ascending, and shows which; missing figures come last both times."""
    fill(post)
    page.goto("/")
    page.click("th >> text=Tokens")
    page.wait_for_selector("th[aria-sort=descending] >> text=Tokens")
    most = titles(page)[0]
    page.click("th >> text=Tokens")
    page.wait_for_selector("th[aria-sort=ascending] >> text=Tokens")

    assert (most, titles(page)[0]) == (
        "Generate three recipes using chicken and vegetables",
        "Read invoice 4711.pdf and file it",
    )


def test_columns_show_all_of_what_they_hold(page: Page, post: Post) -> None:
    """Small and large figures, and the number of models and tags; only long titles and names are cut."""
    story = Story("long").ask("word " * 60, {"context": {"tags": ["production-eu-west-1", "second", "third"]}})
    for model, dollars in (("claude-sonnet-4-5-20250929", 0.0), ("gpt-5-mini", 1234.5)):
        story.model("x", "y", 65 * 60_000, (5_300_000, 400_000), model=model, cost=dollars)
    small = Story("small", T0 + 1, first=100).ask("x", {"context": {"tags": ["support", "user:u22", "v2.9.0"]}})
    small.model("x", "y", 5, (1, 1), cost=0.00001)
    for each, model in ((story, "gpt-5-mini"), (small, "gemma3:4b")):  # a call without a price adds a sign to the cost
        run = each.call("x", model=model)
        each.log("llm_response", each.turn, run, llm_response={"input_tokens": 1, "output_tokens": 1})
    post(story.entries + small.end("y"))
    for number, (ms, tokens) in enumerate(((962_000, 9_999_999), (172_740_000, 111_111_000), (5, 123_456_789_012))):
        large = Story(f"large-{number}", T0 + 2, first=200).ask("x")
        large.model("x", "y", ms, (tokens, tokens))
        post(large.end("y"))
    page.goto("/")
    page.wait_for_selector("#live.on")
    cells = page.locator(".sessions :is(th, td:not(.c-title), .muted, .tag)")
    for width in (800, 1100, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 600})
        cut = cells.evaluate_all("""all => all.filter((each) =>
            each.scrollWidth > each.clientWidth || each.getBoundingClientRect().right > innerWidth
        ).map((each) => each.textContent)""")

        assert cut == []
        assert page.locator(".sessions .muted").all_inner_texts() == ["+1", "+1", "+2"]
        assert page.locator(".sessions .tag").all_inner_texts() == ["support", "user:u22", "production-eu-west-1"]


@pytest.mark.parametrize(("width", "end"), [(800, 784), (1100, 910), (1440, 1217)])
def test_error_of_a_failed_session_goes_on_below_its_figures(page: Page, post: Post, width: int, end: int) -> None:
    """The title's column holds only its beginning, often just a code. Nothing overlaps, and all ends at the margin."""
    story = Story("s").ask("Sum up", {"context": {"tags": ["prod"]}})
    run = story.call("Sum up")
    message = "Error code: 400 - {'error': {'message': 'prompt is too long: 208310 tokens'}}"
    story.log("error", 1, run, error_info={"error_type": "BadRequestError", "error_message": message})
    post(story.end("failed", status="failed"))
    page.set_viewport_size({"width": width, "height": 600})
    page.goto("/")
    why = page.locator(".why")
    shown = why.bounding_box() or {}
    above = page.locator("td.num:visible").evaluate_all("""cells => Math.max(...cells.map((cell) => {
        const range = document.createRange(); range.selectNodeContents(cell);
        return range.getBoundingClientRect().bottom; }))""")

    assert why.inner_text() == f"BadRequestError: {message}"
    assert why.evaluate("line => line.scrollWidth <= line.clientWidth")
    assert above < shown["y"] + 2  # of the lines; letters are lower
    assert shown["x"] + shown["width"] < end
    assert page.locator("td .errs").evaluate("errors => errors.getBoundingClientRect().right") <= end


def test_two_chosen_sessions_are_compared(page: Page, post: Post) -> None:
    """A third cannot be chosen; the button leads to both, side by side."""
    fill(post)
    page.goto("/")
    expect(page.locator("#compare")).to_be_disabled()
    boxes = page.locator("input[name=s]")
    boxes.nth(1).check()
    boxes.nth(2).check()
    expect(boxes.nth(0)).to_be_disabled()
    expect(boxes.nth(0)).to_have_attribute("title", "Two are chosen: deselect one to choose another")
    page.click("#compare")
    page.wait_for_selector(".versus")

    assert page.locator(".versus thead a").all_inner_texts() == [
        "Read invoice 4711.pdf and file it",
        "Generate three recipes using chicken and vegetables",
    ]


@pytest.mark.parametrize("part", [".foot >> text=1–40 of 40", "#compare"])
def test_foot_of_a_long_list_is_in_sight(page: Page, post: Post, part: str) -> None:
    """How many sessions were found, and the button that compares two, without scrolling to the end."""
    for number in range(40):
        post(sessions.running(f"s{number}", T0 + number))
    page.goto("/")

    expect(page.locator(part)).to_be_in_viewport()


@pytest.mark.parametrize("keys", ["j" * 30, "j" * 30 + "k" * 20])
def test_neither_heads_nor_foot_hide_the_marked_row(page: Page, post: Post, keys: str) -> None:
    """Both stay at the edges of the window while the rows move between them."""
    for number in range(40):
        post(sessions.running(f"s{number}", T0 + number))
    page.goto("/")
    page.wait_for_selector("#live.on")
    for key in keys:
        page.keyboard.press(key)
    row, heads, foot = (page.locator(each).bounding_box() or {} for each in ("tr.at", "thead th >> nth=1", ".foot"))

    assert heads["y"] + heads["height"] <= row["y"]
    assert row["y"] + row["height"] <= foot["y"]


def test_back_from_a_comparison_the_two_can_be_compared_again(page: Page, post: Post) -> None:
    """The browser restores the ticks; the button and the other boxes follow."""
    fill(post)
    page.goto("/")
    page.locator("input[value=recipe]").check()
    page.locator("input[value=broken]").check()
    page.click("#compare")
    page.wait_for_selector(".versus")
    page.go_back()

    expect(page.locator("input[name=s]:checked")).to_have_count(2)
    expect(page.locator("#compare")).to_be_enabled()
    expect(page.locator("input[value=live]")).to_be_disabled()


def test_filter_that_was_set_keeps_the_focus(page: Page, post: Post) -> None:
    """An arrow key changes it again; the focus does not return to the top of the page."""
    fill(post)
    page.goto("/")
    page.locator("select[name=period]").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_url("**/?period=1h")
    expect(page.locator("select[name=period]")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.wait_for_url("**/?period=24h")
    page.goto("/")

    expect(page.locator("select[name=period]")).not_to_be_focused()


@pytest.mark.parametrize("width", [800, 1400])
def test_prompts_of_a_second_session_stand_below_its_figures(page: Page, post: Post, width: int) -> None:
    """Where the comparison has them side by side."""
    fill(post)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/compare?s=recipe&s=broken")
    head, side = (page.locator(name).nth(1).bounding_box() or {} for name in (".versus th[scope=col]", "section .side"))

    assert head["x"] == side["x"]


def test_head_of_a_comparison_has_no_empty_name(page: Page, post: Post) -> None:
    """The first column names the rows: its corner cell is not a header, and as wide as the names."""
    post(sessions.recipe("one"))
    page.goto("/compare?s=one&s=one")
    corner, name = page.locator("thead td"), page.locator("tbody th").first

    assert corner.evaluate("cell => cell.offsetWidth") == name.evaluate("cell => cell.offsetWidth") == 146
