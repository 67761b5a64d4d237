"""The list of sessions as people use it: keyboard, filters, sorting, choosing two to compare, live updates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from coagent_langchain.server import launch, open_beside
from coagent_langchain.wire import now_ms
from tests.browser.conftest import Post
from tests.server import sessions
from tests.server.pages import log
from tests.server.story import T0, Story


def titles(page: Page) -> list[str]:
    """The titles in the list, from top to bottom."""
    return page.locator("td.c-title a").all_inner_texts()


def fill(post: Post) -> None:
    """Three sessions, the recipe first."""
    post(sessions.recipe("recipe", T0))
    post(sessions.failed("broken", T0 + 1000))
    post(sessions.running("live", T0 + 2000))


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


@pytest.mark.parametrize("width", [800, 1100, 1280, 1920])
def test_the_table_stays_where_it_is_when_filters_are_set(page: Page, post: Post, width: int) -> None:
    """Clear takes its space from the search box; columns keep theirs even if no session matches."""
    fill(post)
    page.set_viewport_size({"width": width, "height": 600})
    places = []
    for path in ("/", "/?status=failed&tag=staging&q=invoice", "/?status=idle"):
        page.goto(path)
        places.append([head.bounding_box() for head in page.locator("th:visible").all()])

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


@pytest.mark.parametrize("width", [800, 1100, 1280, 1920])
def test_columns_show_all_of_what_they_hold(page: Page, post: Post, width: int) -> None:
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
    page.set_viewport_size({"width": width, "height": 600})
    page.goto("/")
    page.wait_for_selector("#live.on")
    cut = page.locator(".sessions :is(th, td:not(.c-title), .muted, .tag)").evaluate_all("""all => all.filter((each) =>
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


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (800, "Started ↓ Duration Errors"),
        (1099, "Started ↓ Duration Errors"),
        (1100, "Started ↓ Duration Tokens Cost Errors Models, tags"),
        (1280, "Started ↓ Duration Prompts Calls Tools Tokens Cost Errors Models, tags"),
        (1440, "Started ↓ Duration Prompts Turns Calls Tools Tokens Out Cost Errors Models, tags"),
    ],
)
def test_a_narrow_window_leaves_out_columns_not_the_id(page: Page, post: Post, width: int, columns: str) -> None:
    """A long title and a UUID fit one below the other from 320 pixels on; the page does not scroll sideways."""
    session_id = "0f8b1c2d-3e4f-4a5b-8c6d-7e8f9a0b1c2d"
    post(Story(session_id).ask("word " * 60).entries)
    page.set_viewport_size({"width": width, "height": 600})
    page.goto("/")
    page.wait_for_selector("#live.on")
    title, name = (page.locator(f".c-title {part}").bounding_box() or {} for part in ("a", ".id"))

    assert " ".join(page.locator("th:visible").all_inner_texts()) == f"Compare Status Session {columns}"
    assert page.locator("td.c-title").evaluate("cell => cell.offsetWidth") >= 320
    assert name["y"] == title["y"] + title["height"]
    assert page.locator(".c-title .id").evaluate("id => id.scrollWidth <= id.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") == width


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


def test_phone_list_tells_sessions_of_one_title_apart(page: Page, post: Post) -> None:
    """If titles are the same, the ids are shown."""
    post(sessions.running("one"))
    post(sessions.running("two"))
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/")

    expect(page.locator("td.c-title .id:visible")).to_have_text(["two", "one"])


def test_phone_list_leaves_out_tokens_that_nobody_reports(page: Page, post: Post) -> None:
    """As it omits an unknown cost."""
    post(sessions.running("live"))
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/")
    page.wait_for_selector("#live.on")

    assert page.locator("tbody td:visible").all_inner_texts()[3:] == ["3 ms", "gemma3:4b"]


@pytest.mark.parametrize(("path", "place"), [("/", "td:nth-child(5)"), ("/sessions/live", "dt:text('Duration') + dd")])
def test_duration_goes_on_while_a_session_runs(page: Page, post: Post, path: str, place: str) -> None:
    """In the list and in the page's header: the time since its start, though no event arrives."""
    post(sessions.running("live", now_ms() - 95_000))
    page.goto(path)
    page.wait_for_selector("#live.on")
    before = page.locator(place).inner_text()

    expect(page.locator(place)).not_to_have_text(before)
    expect(page.locator(place)).to_have_text(re.compile(r"^1 min \d\d s$"))


@pytest.mark.parametrize(("path", "place"), [
    ("/", "td.c-time"), ("/sessions/live", "dt:text('Started') + dd"), ("/sessions/live?tab=conversation", "h2 time"),
])  # fmt: skip
def test_how_long_ago_goes_on_while_the_page_is_open(page: Page, post: Post, path: str, place: str) -> None:
    """In the list, in a session page's header and between its prompts, though no event arrives."""
    post(sessions.running("live", now_ms() - 14_000))
    page.clock.install()
    page.goto(path)
    expect(page.locator(place)).to_have_text(re.compile(r"^\d\d sec\. ago$"))
    page.clock.fast_forward(10 * 60_000)

    expect(page.locator(place)).to_have_text("10 min. ago")


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


def test_the_list_is_live_and_keeps_what_is_chosen(page: Page, post: Post) -> None:
    """A new session appears on top; ticks are kept."""
    fill(post)
    page.goto("/")
    page.wait_for_selector("#live.on")
    page.locator("input[value=broken]").check()
    post(sessions.recipe("newest", T0 + 9000))
    expect(page.locator("tr.fresh")).to_have_count(1)

    assert page.locator("tbody input[name=s]").first.get_attribute("value") == "newest"
    expect(page.locator("input[value=broken]")).to_be_checked()


def test_pruned_sessions_leave_the_list(context: BrowserContext, tmp_path: Path) -> None:
    """Another program deletes them, which logs no event."""
    store = f"sqlite://{tmp_path}/coagent.db"
    with launch(store) as server:
        for made in (sessions.recipe("old"), sessions.running("new", now_ms() - 3_600_000)):
            log(server, made)
        page = context.new_page()
        page.clock.install()
        page.goto(server.url)
        page.wait_for_selector("#live.on")
        assert open_beside(store).prune(now_ms() - 86_400_000).sessions == 1
        page.clock.fast_forward(16_000)

        expect(page.locator("tbody input")).to_have_count(1)
        expect(page.locator("tbody input")).to_have_value("new")
        page.close()


def test_look_for_deleted_sessions_leaves_a_selection_alone(page: Page, post: Post) -> None:
    """If nothing has changed, the list is not replaced."""
    fill(post)
    page.clock.install()
    page.goto("/")
    page.wait_for_selector("#live.on")
    for look in range(4):
        with page.expect_response("**/view/sessions"):
            page.clock.fast_forward(16_000)
        if look == 1:
            page.locator(".id").first.select_text()

    assert page.evaluate("String(getSelection())") == "live"


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


@pytest.mark.parametrize("focused", ["input[value=broken]", "[data-href$=recipe] a", "th >> text=Cost"])
def test_a_new_session_moves_neither_mark_nor_focus(page: Page, post: Post, focused: str) -> None:
    """The mark stays on its session; the focus stays on a box, a title or a column header."""
    fill(post)
    page.goto("/")
    page.wait_for_selector("#live.on")
    page.keyboard.press("j")
    page.locator(focused).focus()
    post(sessions.recipe("newest", T0 + 9000))
    expect(page.locator("tr.fresh")).to_have_count(1)

    expect(page.locator("tr.at")).to_have_attribute("data-href", "/sessions/live")
    expect(page.locator(focused)).to_be_focused()


@pytest.mark.parametrize(("seconds", "told"), [
    (0.3, "now"), (3, "3 sec. ago"), (59.6, "1 min. ago"), (59.7 * 60, "1 hr. ago"), (23.4 * 3600, "23 hr. ago"),
    (23.6 * 3600, "Sep 8, 02:10"), (364 * 86_400, "Sep 10, 01:46"), (365 * 86_400, "1 yr. ago"),
])  # fmt: skip
def test_how_long_ago_is_rounded_before_its_unit_is_chosen(page: Page, seconds: float, told: str) -> None:
    """Never `60 min. ago`, nor `3 days ago`, which does not tell since when something happens."""
    page.goto("/")
    said = page.evaluate("""async (seconds) => {
        const { ago } = await import("/static/page.js");
        Date.now = () => 1e12;
        return ago(1e12 - 1000 * seconds); }""", seconds)  # fmt: skip

    assert said == told


def test_how_long_ago_goes_on_with_each_second(page: Page, post: Post) -> None:
    """As the duration beside it."""
    post(sessions.running("live", now_ms() - 2_000))
    page.goto("/")
    page.wait_for_selector("#live.on")
    place = page.locator("td.c-time")
    before = place.inner_text()

    expect(place).not_to_have_text(before, timeout=3_000)


def test_home_link_has_a_name_on_a_phone(page: Page, post: Post) -> None:
    """Its text does not fit there, but a screen reader still says where it leads."""
    post(sessions.recipe("recipe"))
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/sessions/recipe")
    page.get_by_role("link", name="CoAgent").click()

    expect(page).to_have_title("Sessions · CoAgent")


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


@pytest.mark.parametrize("path", ["/sessions/{}", "/sessions/{}?tab=conversation", "/compare?s={}&s={}", "/"])
def test_phone_breaks_long_words(page: Page, post: Post, path: str) -> None:
    """An id, title, tag and tool name of hundreds of characters without spaces do not widen the page."""
    name = "x" * 490
    story = Story(name).ask("\u00dc" * 300, {"context": {"tags": ["production-eu-west-1" * 4]}})
    story.tool("t" * 300, {}, "y", 5, "c1")
    post(story.entries)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(path.format(name, name))
    page.wait_for_selector("[data-ready], td.c-title, .versus")

    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_head_of_a_comparison_has_no_empty_name(page: Page, post: Post) -> None:
    """The first column names the rows: its corner cell is not a header, and as wide as the names."""
    post(sessions.recipe("one"))
    page.goto("/compare?s=one&s=one")
    corner, name = page.locator("thead td"), page.locator("tbody th").first

    assert corner.evaluate("cell => cell.offsetWidth") == name.evaluate("cell => cell.offsetWidth") == 120
