"""One session's page as people use it: keys, menus, permalinks, tables, big sessions, phones."""

from __future__ import annotations

from itertools import pairwise
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from coagent_langchain.server.running import Running
from tests.browser.conftest import Post
from tests.browser.pages import PATH, TRIP, labels, visit
from tests.server import sessions
from tests.server.story import T0, Story
from tests.waiting import until


def test_tree_tells_level_position_and_folding(page: Page, post: Post) -> None:
    """A screen reader announces the position of a row, though only some rows exist."""
    post(sessions.recipe())
    visit(page, "/sessions/recipe-agent-6f2c1e08")
    rows = page.locator("#tree [role=treeitem]")
    names = ("aria-level", "aria-posinset", "aria-setsize", "aria-expanded")
    told = rows.evaluate_all(f"rows => rows.map(r => {list(names)}.map(n => r.getAttribute(n)).join(' '))")

    assert sorted(told) == sorted(["1 1 3 true", "2 1 2 ", "2 2 2 ", "1 2 3 true", "2 1 1 ", "1 3 3 "])


def test_other_tab_marks_what_the_details_show(page: Page, post: Post) -> None:
    """A timeline row in Events, from where j continues, and an event in the timeline; as in the address."""
    post(sessions.trip(TRIP))
    visit(page)
    page.click("#first-error")
    page.keyboard.press("3")
    expect(page.locator("#events .row.at .type")).to_have_text("tool_call")
    for _ in range(2):
        page.keyboard.press("j")
    expect(page.locator("#events .row.at .type")).to_have_text("error")
    expect(page.locator("#detail h2")).to_have_text("ConnectTimeout")
    for _ in range(4):
        page.keyboard.press("j")
    expect(page.locator("#detail h2")).to_have_text("gemma3:4b")
    page.keyboard.press("1")

    expect(page.locator("#tree .row.at b")).to_have_text("gemma3:4b")


def test_keys_move_fold_and_open(page: Page, post: Post) -> None:
    """j and k move and show details, the left arrow folds, the right one unfolds, Escape closes the details."""
    post(sessions.recipe())
    visit(page, "/sessions/recipe-agent-6f2c1e08")
    for key in ("j", "j", "k"):
        page.keyboard.press(key)
    expect(page.locator("#tree .row.at b")).to_have_text("Generate three recipes using chicken and vegetables")
    page.keyboard.press("ArrowLeft")
    folded = labels(page)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#detail h2")).to_be_visible()
    page.keyboard.press("Escape")

    expect(page.locator("#detail")).to_be_hidden()
    assert folded == [
        "Generate three recipes using chicken and vegetables",
        "Please make them vegetarian",
        "gemma3:4b",
        "Session end",
    ]
    assert len(labels(page)) == 6


@pytest.mark.parametrize(("tabs", "names"), [(".tabbar", ["Raw", "Timeline", "Conversation"]),
                                            ("#detail", ["Raw", "Content", "Attributes"])])  # fmt: skip
def test_arrow_keys_go_from_tab_to_tab(page: Page, post: Post, tabs: str, names: list[str]) -> None:
    """They wrap around, with the focus, in the page and in the details."""
    post(sessions.recipe())
    visit(page, "/sessions/recipe-agent-6f2c1e08")
    page.locator("#tree .row.k-model").first.click()
    page.locator("#detail .d-head").wait_for()
    page.locator(f"{tabs} [role=tab][aria-selected=true]").focus()
    reached = []
    for key in ("ArrowLeft", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
        reached.append(page.locator(f"{tabs} [role=tab][aria-selected=true]:focus").inner_text())

    assert reached == names


def test_end_stands_where_the_last_prompt_ends(page: Page, post: Post) -> None:
    """An hour after it without a prompt takes no room on the time axis."""
    story = Story("s").ask("hello")
    story.model("hello", "hi", 5_000, (1, 1))
    post(story.wait(3_600_000).end("idle", "idle"))
    visit(page, "/sessions/s")
    edges = page.locator("#tree .row .span").evaluate_all("""spans => spans.map(span => {
        const box = span.getBoundingClientRect(), lane = span.parentElement.getBoundingClientRect();
        return [box.left - lane.left, box.right - lane.left].map(x => Math.round(100 * x / lane.width)); })""")

    assert sorted(edges)[:2] == [[0, 100], [0, 100]]
    assert sorted(edges)[2][0] == 100


def test_question_mark_shows_the_keys_and_slash_searches(page: Page, post: Post) -> None:
    """`?` opens the list of keys; `/` moves to the search; Escape leaves it."""
    post(sessions.recipe())
    visit(page, "/sessions/recipe-agent-6f2c1e08")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#search")).not_to_be_focused()


@pytest.mark.parametrize(("name", "inside"), [("Export", "CSV"), ("Columns", "Event id")])
def test_escape_closes_an_open_menu_first(page: Page, post: Post, name: str, inside: str) -> None:
    """The focus returns to its button; the next Escape closes the details."""
    post(sessions.recipe("recipe"))
    visit(page, "/sessions/recipe?tab=events")
    page.locator("#events .row[data-index='1']").click()
    expect(page.locator("#detail h2")).to_be_visible()
    button, entry = page.locator("summary", has_text=name), page.locator(".menu").get_by_text(inside)
    button.click()
    expect(entry).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(entry).to_be_hidden()
    expect(button).to_be_focused()
    expect(page.locator("#detail")).to_be_visible()
    page.keyboard.press("Escape")

    expect(page.locator("#detail")).to_be_hidden()


def test_menu_closes_when_something_else_is_opened(page: Page, post: Post) -> None:
    """Another menu, by click or key; the details of a row, by its key; the next control, by Tab."""
    post(sessions.recipe("recipe"))
    visit(page, "/sessions/recipe?tab=events")
    export, columns = (page.locator("summary", has_text=name) for name in ("Export", "Columns"))
    entry = page.locator(".menu").get_by_text("CSV")

    def tab_past_the_menu() -> None:
        for _ in range(4):
            page.keyboard.press("Tab")

    for leave in (
        lambda: columns.click(), lambda: columns.press("Enter"), lambda: page.keyboard.press("j"), tab_past_the_menu,
    ):  # fmt: skip
        export.click()
        expect(entry).to_be_visible()
        leave()
        expect(entry).to_be_hidden()


@pytest.mark.parametrize(("width", "columns"), [
    (1024, ["What", "Time"]), (1280, ["What", "Time"]), (1440, ["What", "Time", "Tokens in → out"]),
])  # fmt: skip
def test_axis_has_room_beside_the_details(page: Page, post: Post, width: int, columns: list[str]) -> None:
    """The tokens give way in a narrow window, so that the axis has more than one tick."""
    post(sessions.trip())
    page.set_viewport_size({"width": width, "height": 800})
    visit(page)
    page.locator("#tree .row.k-model").first.click()
    page.locator("#detail h2").wait_for()

    assert [head.inner_text() for head in page.locator(".tree-head > span").all() if head.is_visible()] == columns
    expect(page.locator("#axis text")).to_have_text(["0", "5 s", "10 s"])


@pytest.mark.parametrize(("minutes", "ticks"), [
    (2, ["0", "30 s", "1 min", "1 min 30 s"]), (110, ["0", "30 min", "1 h", "1 h 30 min"]),
    (72 * 60, ["0", "24 h", "2 d"]),
])  # fmt: skip
def test_ticks_of_the_axis_are_short(page: Page, post: Post, minutes: int, ticks: list[str]) -> None:
    """Without the zeros that a duration has, so that they do not overlap."""
    story = Story("s").ask("Wait")
    story.model("Wait", "Done.", minutes * 60_000, (1, 1))
    post(story.end("Done."))
    page.set_viewport_size({"width": 1024, "height": 800})
    visit(page, "/sessions/s")

    expect(page.locator("#axis text")).to_have_text(ticks)


def test_ticks_of_the_axis_do_not_touch(page: Page, post: Post) -> None:
    """`1 min 30 s`, the widest text, ends before the next line, in the window where ticks are closest."""
    story = Story("s").ask("Wait")
    story.model("Wait", "Done.", 229_000, (1, 1))
    post(story.end("Done."))
    page.set_viewport_size({"width": 1440, "height": 800})
    visit(page, "/sessions/s")
    ends, lines = (
        page.locator(f"#axis {part}").evaluate_all(
            f"all => all.map((each) => {{ const {{ left, right }} = each.getBoundingClientRect(); return {side}; }})"
        )
        for part, side in (("text", "right"), ("line", "left"))
    )

    assert min(line - end for end, line in zip(ends, lines[1:], strict=False)) >= 2


@pytest.mark.parametrize(("width", "ms", "ticks"), [(768, 34_500, ["0", "15 s"]), (390, 60_010, ["0", "30 s"])])
def test_narrow_axis_tells_more_than_its_beginning(
    page: Page, post: Post, width: int, ms: int, ticks: list[str]
) -> None:
    """A tick at twice the distance would have no room for its text."""
    story = Story("s").ask("Wait")
    story.model("Wait", "Done.", ms, (1, 1))
    post(story.end("Done."))
    page.set_viewport_size({"width": width, "height": 800})
    visit(page, "/sessions/s")

    expect(page.locator("#axis text")).to_have_text(ticks)


@pytest.mark.parametrize(("prompt", "width", "whole"), [
    ("Rome?", 1400, True), ("Where to? " * 20, 1400, True), ("Where to? " * 20, 320, False), ("Rome?", 320, True),
])  # fmt: skip
def test_turns_of_a_prompt_are_whole_or_not_there(page: Page, post: Post, prompt: str, width: int, whole: bool) -> None:
    """Never cut to `2 …`: if they do not fit beside half of a long label, the label takes all the space."""
    story = Story("s").ask(prompt)
    story.model("Rome?", "Sunny.", 5, (1, 1))
    post(story.end("Sunny."))
    page.set_viewport_size({"width": width, "height": 800})
    visit(page, "/sessions/s")
    row = page.locator("#tree .row.k-prompt").first
    seen = row.evaluate("""row => {
        const box = row.getBoundingClientRect(), note = row.querySelector(".lead + .rest i");
        const at = note.getBoundingClientRect();
        const label = row.querySelector("b").getBoundingClientRect();
        return [at.top < box.bottom, note.scrollWidth <= note.clientWidth, label.top < box.bottom]; }""")

    assert seen == [whole, True, True]


def test_zoom_waits_for_a_row_that_is_selected(page: Page, post: Post) -> None:
    """Without a selection there is nothing to zoom to, and the button shows it."""
    post(sessions.recipe())
    visit(page, "/sessions/recipe-agent-6f2c1e08")
    zoom = page.locator("#zoom")
    expect(zoom).to_be_disabled()
    expect(zoom).to_have_attribute("title", "Select a row to zoom to")
    page.keyboard.press("j")
    expect(zoom).to_be_enabled()
    zoom.click()

    expect(zoom).to_have_attribute("aria-pressed", "true")


def test_event_has_a_permalink(page: Page, post: Post) -> None:
    """The address of a selected event reopens it, in a session whose id has / : and +."""
    post(sessions.trip())
    visit(page)
    page.locator("#tree .row b", has_text="book_train").click()
    expect(page.locator("#detail h2")).to_have_text("book_train")
    address = page.url
    page.goto("/")
    visit(page, address)

    expect(page.locator("#detail h2")).to_have_text("book_train")
    expect(page.locator("#tree .row.at b")).to_have_text("book_train")


def test_note_that_an_event_is_unknown_goes_when_another_is_opened(page: Page, post: Post) -> None:
    """It is about the address, which then names the other event."""
    post(sessions.recipe("recipe"))
    visit(page, "/sessions/recipe?event=doesnotexist")
    note = page.get_by_text("This session has no event doesnotexist.")
    expect(note).to_be_visible()
    page.locator("#tree .row b").first.click()

    expect(note).to_have_count(0)


def test_session_has_a_permalink_whatever_its_id(page: Page, post: Post) -> None:
    """The link in the list leads to the session."""
    ids = ["a/b", "/a/", "a:b+c d", "ünï ✓", "50%", "a?b#c", "..", "."]
    for number, session_id in enumerate(ids):
        post(sessions.recipe(session_id, T0 - number))
    found = []
    for place in range(len(ids)):
        page.goto("/")
        page.locator(".c-title a").nth(place).click()
        page.wait_for_selector("#session[data-ready]")
        found.append((page.locator("#session-id").text_content(), len(labels(page))))

    assert found == [(session_id, 6) for session_id in ids]


def test_page_without_scripts_has_nothing_that_needs_them(browser: Browser, server: Running, post: Post) -> None:
    """Only the figures, and where to read the session instead."""
    post(sessions.recipe("recipe"))
    page = browser.new_page(base_url=server.url, java_script_enabled=False)
    page.goto("/sessions/recipe")
    dead = [each for each in page.locator("main button, main input, .bar button").all() if each.is_visible()]
    told = page.locator("noscript p").bounding_box() or {}
    page.close()

    assert dead == []
    assert told["y"] < 200


def test_conversation_reads_as_a_chat(page: Page, post: Post) -> None:
    """Who spoke, in order; folded tools between; a sub-agent's messages inside its tool."""
    post(sessions.trip())
    visit(page, f"{PATH}?tab=conversation")
    page.wait_for_selector("#conversation .said")
    heads = page.locator("#conversation > article .who h3, #conversation > details > summary b, #conversation > h2")
    read = [head.split("\n")[0].split("   ")[0] for head in heads.all_inner_texts()]

    assert [line.split(" ")[0] if line.startswith("Prompt") else line for line in read] == [
        "Prompt", "User", "planner", "flight_search", "train_search", "research_agent", "train_search", "planner",
        "Prompt", "User", "A human was asked", "Human", "book_train", "planner",
    ]  # fmt: skip


@pytest.mark.parametrize(("tab", "text"), [("timeline", "#tree .row.k-prompt b"),
                                          ("timeline", "#tree .row.k-model .lead + .rest i"),
                                          ("events", "#events .row[data-index='1'] :nth-child(6)")])  # fmt: skip
def test_text_from_right_to_left_is_cut_at_its_end(page: Page, post: Post, tab: str, text: str) -> None:
    """In a right-to-left script, too, the beginning is what can be read of text that does not fit."""
    story = Story("s").ask("خطط لي رحلة لثلاثة أيام " * 12)
    story.model("x", "خطط لي رحلة لثلاثة أيام " * 12, 5, (1, 1))
    post(story.end("تم"))
    visit(page, f"/sessions/s?tab={tab}")
    seen = page.locator(text).evaluate("""element => {
        const first = new Range(), box = element.getBoundingClientRect();
        first.setStart(element.firstChild, 0);
        first.setEnd(element.firstChild, 1);
        return element.scrollWidth > box.width && first.getBoundingClientRect().right <= box.right + 1; }""")

    assert seen


WAITS = """() => [["#tree", "::before"], ["#conversation", "::before"], ["#events", "::after"], ["#raw", "::before"]]
    .filter(([box]) => document.querySelector(box).checkVisibility())
    .map(([box, where]) => getComputedStyle(document.querySelector(box), where).content).join()"""


@pytest.mark.parametrize("tab", ["timeline", "conversation", "events", "raw"])
def test_tab_says_that_it_loads(page: Page, post: Post, tab: str) -> None:
    """If the server takes time, an empty panel would look as if there were nothing."""
    post(sessions.trip(TRIP))
    held: list[Route] = []
    page.route(f"**/view/{tab}/**", lambda route: held.append(route))
    page.goto(f"{PATH}?tab={tab}")
    until(lambda: page.evaluate(WAITS) == '"Loading…"' and bool(held))
    for route in held:
        route.continue_()
    page.wait_for_selector("#session[data-ready]")

    until(lambda: page.evaluate(WAITS) == "none")


def test_panel_that_a_key_opens_shows_the_focus_on_its_tab(page: Page, post: Post) -> None:
    """The keys 2 to 4 put a focus ring around the tab, not around the whole panel."""
    post(sessions.trip())
    visit(page)
    page.keyboard.press("2")
    expect(page.locator("#panel-conversation")).to_be_focused()
    outlines = [page.locator(f"#{name}-conversation").evaluate("element => getComputedStyle(element).outlineStyle")
                for name in ("tab", "panel")]  # fmt: skip

    assert outlines == ["solid", "none"]


def test_tables_of_models_and_tools_open_to_all_of_them(page: Page, post: Post) -> None:
    """The busiest are shown; a click shows the rest, also after more has arrived. Four need no button."""
    story = Story("s").ask("Hi")
    story.model("Hi", "", 5, (9, 1))
    for number in range(6):
        story.tool(f"tool {number}", {}, "done", 5, str(number))
    post(story.entries)
    visit(page, "/sessions/s")
    button, names = page.locator("#overview .by button"), page.locator("#overview tbody td:first-child:visible")
    seen = [names.all_inner_texts()]
    expect(button).to_have_text("3 more", use_inner_text=True)
    button.click()
    seen.append(names.all_inner_texts())
    story.tool("tool 6", {}, "done", 5, "6")
    post(story.entries[-2:])
    expect(names).to_have_count(8)
    expect(button).to_have_text("Fewer", use_inner_text=True)
    button.click()
    seen.append(names.all_inner_texts())

    tools = [f"tool {number}" for number in range(6)]
    assert seen == [["gemma3:4b", *tools[:3]], ["gemma3:4b", *tools], ["gemma3:4b", *tools[:3]]]
    expect(button).to_have_text("4 more", use_inner_text=True)


def test_tables_of_models_and_tools_open_in_a_narrow_window(page: Page, post: Post) -> None:
    """There the rows need the space: a click shows the complete tables, the next hides them. Paper has no button."""
    page.set_viewport_size({"width": 390, "height": 844})
    post(sessions.trip("trip"))
    visit(page, "/sessions/trip")
    tables, button = page.locator("#overview table"), page.locator("#overview .figures")
    expect(tables.first).to_be_hidden()
    button.click()
    wide = [table.bounding_box()["width"] for table in tables.all()]
    expect(button).to_have_text("Hide the figures", use_inner_text=True)
    button.click()

    assert (len(wide), max(wide) <= 390 - 24) == (2, True)
    expect(tables.first).to_be_hidden()
    page.emulate_media(media="print")
    expect(button).to_be_hidden()


def test_session_without_tokens_has_no_token_chart(page: Page, post: Post) -> None:
    """The tables of models and tools move up; no empty chart is drawn."""
    post(sessions.running("live"))
    visit(page, "/sessions/live")

    expect(page.locator("#overview table")).to_be_visible()
    expect(page.locator("#overview .tokens")).to_have_count(0)


def test_tokens_that_no_model_reports_are_no_zeros(page: Page, post: Post) -> None:
    """In the timeline and in the events table, where a tool has no tokens either."""
    story = Story("s").ask("Hi")
    story.model("Hi", "", 5, (0, 0))
    story.model("Hi", "", 5, (0, 0))
    del story.entries[-1]["llm_response"]["input_tokens"], story.entries[-1]["llm_response"]["output_tokens"]
    story.tool("track", {}, "here", 5, "c1")
    post(story.entries)
    visit(page, "/sessions/s")
    told = [page.locator(f"#tree .row{kind} .c-tokens").all_inner_texts()
            for kind in (".k-prompt", ".k-model", ".k-tool")]  # fmt: skip
    page.keyboard.press("3")
    answers, call = (page.locator(f"#events .row:has(.type:text-is('{name}')) :nth-child(8)")
                     for name in ("llm_response", "tool_call"))  # fmt: skip

    assert [told[0], sorted(told[1]), told[2]] == [["0 → 0"], ["0 → 0", "– → –"], [""]]
    expect(page.locator("#events [role=columnheader]:nth-child(8)")).to_have_text("In")
    expect(answers).to_have_text(["0", "–"])
    expect(call).to_have_text("")


@pytest.mark.parametrize("window", [(1400, 900), (960, 480), (390, 844)])
def test_large_session_has_few_elements(page: Page, post: Post, window: tuple[int, int]) -> None:
    """10,000 events: only visible rows exist, and the last one can be reached; also in a low window and on a phone."""
    post(sessions.big(10_000))
    page.set_viewport_size({"width": window[0], "height": window[1]})
    visit(page, "/sessions/big-10000")
    opened = page.evaluate("document.getElementsByTagName('*').length")
    page.keyboard.press("End")
    expect(page.locator("#tree .row.at b")).to_have_text("Session end")

    assert opened <= 3_000
    assert page.evaluate("document.getElementsByTagName('*').length") <= 3_000


def test_theme_is_kept(page: Page, post: Post) -> None:
    """The button switches from the system's theme to the other one, and the next page uses it."""
    page.goto("/")
    page.click("#theme")
    page.goto("/")

    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 20, 24)"


def test_phone_shows_the_session_without_sideways_scrolling(page: Page, post: Post) -> None:
    """390 pixels wide: every page fits, the details cover the screen and close again."""
    post(sessions.trip())
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/", PATH, f"{PATH}?tab=conversation", f"{PATH}?tab=raw", f"/compare?s={quote(TRIP)}&s={quote(TRIP)}",
                 f"/compare?s={quote(TRIP)}"):  # fmt: skip
        page.goto(path)
        page.wait_for_selector("[data-ready], td.c-title, .versus, .choose2")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert page.locator("h1").evaluate("head => head.scrollWidth <= head.clientWidth"), path
    visit(page)
    expect(page.locator("#head .id")).to_be_visible()
    page.locator("#tree .row b", has_text="tools").first.click()
    title = page.locator("#detail h2")
    expect(title).to_be_visible()
    assert title.evaluate("element => element.scrollWidth <= element.clientWidth")
    page.click("[data-act=close]")
    expect(page.locator("#detail")).to_be_hidden()


@pytest.mark.parametrize("width", [390, 780, 1400])
def test_what_stands_below_another_begins_and_ends_there(page: Page, post: Post, width: int) -> None:
    """Title, first tab, search if it is below the tabs, head of the tree; the last button."""
    post(sessions.trip())
    page.set_viewport_size({"width": width, "height": 844})
    visit(page)
    names = ["h1", "#tab-timeline", ".tree-head"]
    starts = [page.locator(name).evaluate("""one => one.getBoundingClientRect().left
        + parseFloat(getComputedStyle(one).paddingLeft)""") for name in names]  # fmt: skip
    search, last = (page.locator(name).bounding_box() or {} for name in ("#search", "#fold"))
    if width < 800:
        starts.append(search["x"])

    assert starts == [starts[0]] * len(starts)
    assert last["x"] + last["width"] == width - starts[0]


def test_phone_shows_tags_side_by_side(page: Page, post: Post) -> None:
    """They have the width of the page, not that of a figure."""
    post(Story("s").ask("Soup?", {"context": {"tags": ["app:orders", "prompt:v1", "user:7"]}}).entries)
    page.set_viewport_size({"width": 390, "height": 844})
    visit(page, "/sessions/s")

    assert len({(tag.bounding_box() or {})["y"] for tag in page.locator("#head .tag").all()}) == 1


def test_room_for_the_figures_is_kept_until_they_come(page: Page, post: Post) -> None:
    """A session without calls has none: its tabs would move up when it is loaded."""
    ids = ["nothing", "model", "tool"]
    stories = [Story(name).ask("Soup?") for name in ids]
    stories[1].call("Soup?")
    stories[2].tool_call("cook", {}, "c1")
    for story in stories:
        post(story.entries)
    kept = ["chart-empty" in page.request.get(f"/sessions/{name}").text() for name in ids]

    assert kept == [False, True, True]


@pytest.mark.parametrize("path", ["/sessions/s", "/compare?s=s&s=s"])
def test_many_tags_wrap(page: Page, post: Post, path: str) -> None:
    """Twelve long ones are whole and inside the page, with space between the lines."""
    tags = [f"experiment:prompt-{number:02}-longer-context" for number in range(12)]
    post(Story("s").ask("Soup?", {"context": {"tags": tags}}).entries)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(path)
    shown = page.locator("#head .tag, .versus td:nth-child(2) .tag")
    places = [tag.bounding_box() or {} for tag in shown.all()]
    lines = sorted({place["y"] for place in places})

    assert shown.evaluate_all("all => all.filter((each) => each.scrollWidth > each.clientWidth).length") == 0
    assert max(place["x"] + place["width"] for place in places) <= 1440
    assert min(below - above for above, below in pairwise(lines)) >= places[0]["height"] + 4


@pytest.mark.parametrize("place", ["tab=conversation", "event={}"])
def test_wide_table_of_an_answer_scrolls_by_itself(page: Page, post: Post, place: str) -> None:
    """On a phone no word in it is broken, and the page stays as wide as the phone."""
    story = Story("table").ask("When?")
    cells = "Departure | Destination | Operator | Duration | Reservation"
    story.model("When?", f"{cells}\n--|--|--|--|--\n{cells}", 5, (1, 1))
    post(story.entries)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"/sessions/table?{place.format(story.entries[-1]['event_id'])}")
    table = page.locator(".prose .wide")
    table.wait_for()
    lines = table.locator("td").evaluate_all("""all => all.map((cell) => {
        const words = document.createRange();
        words.selectNodeContents(cell);
        return words.getClientRects().length; })""")

    assert lines == [1] * 5
    assert table.evaluate("wide => wide.scrollWidth > wide.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("tab", ["timeline", "events"])
def test_narrow_window_leaves_room_to_search(page: Page, post: Post, tab: str) -> None:
    """The search box shows its whole placeholder, beside the tools or in its own row."""
    post(sessions.trip())
    visit(page, f"{PATH}?tab={tab}")
    for width in (360, 390, 600, 780):
        page.set_viewport_size({"width": width, "height": 800})
        shown = page.locator(f"#tools-{tab}").bounding_box() or {}

        assert page.locator("#search").evaluate("box => box.offsetWidth") >= 200
        assert shown["x"] + shown["width"] <= width
