"""One session's page as people use it: keyboard, search, tabs, details, permalinks, live tail, big sessions."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from coagent_langchain.server import launch
from coagent_langchain.server.live import MAX_CLIENTS
from coagent_langchain.server.running import Running
from coagent_langchain.wire import now_ms
from tests.browser.conftest import Post
from tests.browser.pages import PATH, TRIP, follow, labels, visit
from tests.server import sessions
from tests.server.story import Story
from tests.waiting import until


def test_tree_tells_level_position_and_folding(page: Page, post: Post) -> None:
    """A screen reader hears where a row stands, though only some rows exist."""
    post(sessions.recipe())
    visit(page, "/sessions/recipe-agent-6f2c1e08")
    rows = page.locator("#tree [role=treeitem]:not([hidden])")
    names = ("aria-level", "aria-posinset", "aria-setsize", "aria-expanded")
    told = rows.evaluate_all(f"rows => rows.map(r => {list(names)}.map(n => r.getAttribute(n)).join(' '))")

    assert sorted(told) == sorted(["1 1 3 true", "2 1 2 ", "2 2 2 ", "1 2 3 true", "2 1 1 ", "1 3 3 "])


def test_other_tab_marks_what_the_details_show(page: Page, post: Post) -> None:
    """A row of the timeline in Events, from where j goes on, and an event in the timeline; as the address says."""
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


def test_events_are_red_where_something_failed(page: Page, post: Post) -> None:
    """Not where a call was interrupted or not run."""
    story = Story("s").ask("mail")
    for outcome, success in (("", True), ("", False), ("interrupted", None), ("not run", False)):
        run = story.tool_call("send_mail", {}, "c1")
        answer = {"tool_name": "send_mail"} | ({} if success is None else {"success": success})
        story.log("tool_response", 1, run, tool_response=answer, meta={"outcome": outcome} if outcome else {})
    post(story.entries)
    visit(page, "/sessions/s?tab=events")
    page.wait_for_selector("#events .row[data-index='9']")
    red = page.locator("#events .row.x-error").evaluate_all("rows => rows.map(row => row.dataset.index)")

    assert red == ["5"]


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


def test_end_stands_where_the_last_prompt_ends(page: Page, post: Post) -> None:
    """An hour without a question after it takes no room on the time axis."""
    story = Story("s").ask("hello")
    story.model("hello", "hi", 5_000, (1, 1))
    post(story.wait(3_600_000).end("idle", "idle"))
    visit(page, "/sessions/s")
    edges = page.locator("#tree .row:not([hidden]) .span").evaluate_all("""spans => spans.map(span => {
        const box = span.getBoundingClientRect(), lane = span.parentElement.getBoundingClientRect();
        return [box.left - lane.left, box.right - lane.left].map(x => Math.round(100 * x / lane.width)); })""")

    assert sorted(edges)[:2] == [[0, 100], [0, 100]]
    assert sorted(edges)[2][0] == 100


def test_question_mark_shows_the_keys_and_slash_searches(page: Page, post: Post) -> None:
    """`?` opens the list of keys; `/` goes to the search; Escape leaves it."""
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
    """Its button has the focus then; the next Escape closes the details."""
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
    """Another menu, by click or key; the details of a row, by its key; what follows the menu, by Tab."""
    post(sessions.recipe("recipe"))
    visit(page, "/sessions/recipe?tab=events")
    export, columns = (page.locator("summary", has_text=name) for name in ("Export", "Columns"))
    entry = page.locator(".menu").get_by_text("CSV")
    for leave in (
        lambda: columns.click(), lambda: columns.press("Enter"), lambda: page.keyboard.press("j"),
        lambda: [page.keyboard.press("Tab") for _ in range(4)],
    ):  # fmt: skip
        export.click()
        expect(entry).to_be_visible()
        leave()
        expect(entry).to_be_hidden()


def test_search_keeps_hits_and_what_they_hang_on(page: Page, post: Post) -> None:
    """Words of any event's content find its row, deep inside a sub-agent too."""
    post(sessions.trip())
    visit(page)
    page.fill("#search", "lesseps courtyard")
    expect(page.locator("#found")).to_have_text("2 events")

    assert labels(page) == [
        "Plan a three-day trip from Madrid to Barcelona in March for two people, under 600 euros",
        "Turn 1", "tools", "research_agent", "research_agent", "gemma3:4b",
    ]  # fmt: skip


def marked(page: Page, words: str, box: str) -> list[str]:
    """The texts below an element that are marked once words were searched for, in order."""
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
    """Words by their beginning in any case, phrases as one; what is folded says so. Nothing once nothing is sought."""
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


def test_errors_link_jumps_to_the_first_error(page: Page, post: Post) -> None:
    """The figure in the header selects the row that failed and shows its stack trace."""
    post(sessions.trip())
    visit(page)
    page.click("#first-error")
    page.click("#detail [data-body=stack]")

    expect(page.locator("#tree .row.at b")).to_have_text("train_search")
    expect(page.locator("#detail .d-body:not([hidden])")).to_contain_text("httpx.ConnectTimeout")


def test_first_error_is_one_that_was_not_recovered(page: Page, post: Post) -> None:
    """It ended the run, and may come after many retries. `e` goes on from there, through all of them."""
    story = Story("s").ask("hello")
    for number, kind in enumerate(("Timeout", "Timeout", "RateLimit", "Timeout")):
        run = story.call("hello", model=f"m-{number}")
        info = {"error_id": f"error-{number}", "error_type": kind}
        story.log("error", number + 1, run, story.root, "Chat", error_info=info)
        if kind == "Timeout":
            story.log("recovery", number + 1, error_info=info | {"recovery_successful": True})
    post(story.end("RateLimit", "failed"))
    visit(page, "/sessions/s")
    page.click("#first-error")
    stops = [page.locator("#tree .row.at b").inner_text()]
    for _ in range(4):
        page.keyboard.press("e")
        stops.append(page.locator("#tree .row.at b").inner_text())

    assert stops == ["m-2", "m-3", "m-0", "m-1", "m-2"]


def test_next_error_is_the_call_that_failed_not_the_nodes_around_it(page: Page, post: Post) -> None:
    """A node's own entries do not say what failed; one that has an error of its own is not left out."""
    story = Story("s").ask("hello")
    outer = story.enter("outer")
    inner = story.enter("inner", outer)
    run = story.call("hello", parent=inner)
    for failing, parent, name, kind in ((run, inner, "ChatOllama", "RateLimitError"), (outer, "", "outer", "KeyError")):
        story.log("error", 1, failing, parent or story.root, name, error_info={"error_id": kind, "error_type": kind})
    for left, name, parent in ((inner, "inner", outer), (outer, "outer", story.root)):
        story.log("component_exit", 1, left, parent, name, meta={"outcome": "error"})
    post(story.end("KeyError", "failed"))
    visit(page, "/sessions/s")
    stops = []
    for _ in range(3):
        page.keyboard.press("e")
        stops.append(page.locator("#tree .row.at b").inner_text())

    assert stops == ["outer", "gemma3:4b", "outer"]


def test_first_error_of_an_agent_in_a_tool_is_the_call_that_failed(page: Page, post: Post) -> None:
    """The tool around it failed too, but has no error of its own."""
    story = Story("s").ask("hello")
    outer = story.tool_call("ask_coder", {}, "call-1")
    inner = story.tool_call("read_file", {}, "call-2", outer)
    story.log("error", 1, inner, outer, "read_file", error_info={"error_id": "1", "error_type": "FileNotFoundError"})
    for run, name, parent in ((inner, "read_file", outer), (outer, "ask_coder", story.root)):
        story.log("tool_response", 1, run, parent, name, tool_response={"tool_name": name, "success": False})
    post(story.end("FileNotFoundError", "failed"))
    visit(page, "/sessions/s")
    page.click("#first-error")

    expect(page.locator("#tree .row.at b")).to_have_text("read_file")


def test_details_of_what_failed_of_its_child_lead_to_it(page: Page, post: Post) -> None:
    """A prompt and a node whose own entries do not say why; not to what was recovered from."""
    story = Story("s").ask("hello")
    outer = story.enter("outer")
    inner = story.enter("inner", outer)
    for number, kind in enumerate(("Recovered", "RateLimitError")):
        run = story.call("hello", parent=inner, model=f"m-{number}")
        story.log("error", number, run, inner, "Chat", error_info={"error_id": kind, "error_type": kind,
                                                                  "error_message": "try later"})  # fmt: skip
    story.log("recovery", 1, error_info={"error_id": "Recovered", "recovery_successful": True})
    for left, name, parent in ((inner, "inner", outer), (outer, "outer", story.root)):
        story.log("component_exit", 1, left, parent, name, meta={"outcome": "error"})
    post(story.end("RateLimitError", "failed"))
    visit(page, "/sessions/s")
    told = []
    for label in ("hello", "outer", "inner"):
        page.locator("#tree .row b", has_text=label).click()
        expect(page.locator("#detail .d-title .status")).to_have_text("error")
        told.append(page.locator("#detail .causes").inner_text())
    page.click("#detail .causes a")

    assert told == ["m-1 RateLimitError: try later"] * 3
    expect(page.locator("#detail h2")).to_have_text("m-1")
    expect(page.locator("#detail .causes")).to_have_count(0)


def test_details_tell_the_time_to_the_millisecond(page: Page, post: Post) -> None:
    """In the reader's zone; the date is shown on hover."""
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
    """What is told to the millisecond does not become `2 min. ago`."""
    post(sessions.running("live"))
    page.clock.install()
    visit(page, "/sessions/live")
    page.locator("#tree .row.k-model").click()
    times = page.locator("#detail time")
    expect(times).to_have_text([re.compile(r"^\d\d:\d\d:\d\d\.\d{3}$")])
    before = times.inner_text()
    page.clock.fast_forward(60_000)

    expect(times).to_have_text(before)


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


@pytest.mark.parametrize(("width", "whole"), [(1400, True), (390, False)])
def test_turns_of_a_prompt_are_whole_or_not_there(page: Page, post: Post, width: int, whole: bool) -> None:
    """Never cut to `2 …`: where they have no room beside the label, the label has all of it."""
    post(sessions.recipe())
    page.set_viewport_size({"width": width, "height": 800})
    visit(page, "/sessions/recipe-agent-6f2c1e08")
    row = page.locator("#tree .row.k-prompt").first
    seen = row.evaluate("""row => {
        const box = row.getBoundingClientRect(), note = row.querySelector(".what i"), at = note.getBoundingClientRect();
        const label = row.querySelector("b").getBoundingClientRect();
        return [at.top < box.bottom, note.scrollWidth <= note.clientWidth, label.top < box.bottom]; }""")

    assert seen == [whole, True, True]


def test_zoom_waits_for_a_row_that_is_selected(page: Page, post: Post) -> None:
    """Without one there is nothing to zoom to, and the button says so."""
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
    """The address of a selected event opens the same event again, in a session whose id has / : and +."""
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


@pytest.mark.parametrize("session_id", ["a/b", "/a/", "a:b+c d", "ünï ✓", "50%", "a?b#c", "..", "."])
def test_session_has_a_permalink_whatever_its_id(page: Page, post: Post, session_id: str) -> None:
    """The list's link leads to the session."""
    post(sessions.recipe(session_id))
    page.goto("/")
    page.click(".c-title a")
    page.wait_for_selector("#session[data-ready]")

    assert page.locator("#session-id").text_content() == session_id
    assert len(labels(page)) == 6


def test_conversation_reads_as_a_chat(page: Page, post: Post) -> None:
    """Who spoke, in order; tools folded between; the sub-agent's words are inside its tool."""
    post(sessions.trip())
    visit(page, f"{PATH}?tab=conversation")
    page.wait_for_selector("#conversation .said")
    heads = page.locator("#conversation > article .who h3, #conversation > details > summary b, #conversation > h2")
    read = [head.split("\n")[0].split("   ")[0] for head in heads.all_inner_texts()]

    assert [line.split(" ")[0] if line.startswith("Prompt") else line for line in read] == [
        "Prompt", "User", "planner", "flight_search", "train_search", "research_agent", "train_search", "planner",
        "Prompt", "User", "A human was asked", "Human", "book_train", "planner",
    ]  # fmt: skip


@pytest.mark.parametrize(("tab", "text"), [("timeline", "#tree .row.k-prompt b"), ("timeline", "#tree .row.k-model i"),
                                          ("events", "#events .row[data-index='1'] :nth-child(6)")])  # fmt: skip
def test_text_from_right_to_left_is_cut_at_its_end(page: Page, post: Post, tab: str, text: str) -> None:
    """In a script that runs so, too, one reads the beginning of what has no room."""
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


def test_events_table_searches_all_columns_and_chooses_them(page: Page, post: Post) -> None:
    """The search narrows the table; a column can be added and stays after a reload."""
    post(sessions.trip())
    visit(page, f"{PATH}?tab=events")
    page.fill("#search", "renfe")
    expect(page.locator("#found")).to_have_text("1 event")
    page.locator(".menu summary", has_text="Columns").click()
    page.locator("#columns label", has_text="Event id").click()
    page.reload()
    page.wait_for_selector("#events [role=columnheader]")

    heads = page.locator("#events [role=columnheader]").all_inner_texts()
    assert (heads[3], heads[-1]) == ("Prompt.turn", "Event id")


@pytest.mark.parametrize(("tab", "word"), [("timeline", "#tree .row.k-model b"), ("events", "#events .row .type")])
def test_word_of_a_row_can_be_selected(page: Page, post: Post, tab: str, word: str) -> None:
    """To be copied: the click chooses the row and shows its details, and the word stays selected."""
    post(sessions.recipe())
    visit(page, f"/sessions/recipe-agent-6f2c1e08?tab={tab}")
    page.locator(word).nth(0).click()
    expect(page.locator("#detail")).not_to_have_attribute("aria-busy", "true")
    page.locator("#detail .d-head").wait_for()
    other = page.locator(word).nth(2)
    text = other.inner_text()
    other.dblclick(position={"x": 10, "y": 10})
    expect(page.locator(".row.at", has_text=text)).to_be_visible()
    selected = page.evaluate("String(getSelection())").strip()

    assert selected != ""
    assert text.startswith(selected)


def test_events_without_a_row_have_none_to_go_to(page: Page, post: Post) -> None:
    """Where nothing is found, j asks the server for nothing and chooses nothing."""
    post(sessions.recipe())
    visit(page, "/sessions/recipe-agent-6f2c1e08?tab=events")
    page.fill("#search", "nothing-like-that")
    expect(page.locator("#found")).to_have_text("0 events")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.press("#search", "Escape")
    page.keyboard.press("j")

    assert page.locator("#events").get_attribute("aria-activedescendant") is None
    assert asked == []


def test_head_of_the_events_scrolls_sideways_with_the_rows(page: Page, post: Post) -> None:
    """Where the columns have no room, as on a phone, each keeps its name above it; rows reach as far as the head."""
    post(sessions.trip(TRIP))
    page.set_viewport_size({"width": 390, "height": 800})
    visit(page, f"{PATH}?tab=events")
    page.wait_for_selector("#events .row[data-index='3']")
    page.locator("#events").evaluate("box => { box.scrollLeft = 150; }")
    head, row = (
        page.locator(f"#events .row{which}").evaluate("""row => [...row.children, row].map(cell => {
            const box = cell.getBoundingClientRect(); return [box.left, box.width].map(Math.round); })""")
        for which in (".columns", "[data-index='3']")
    )

    assert head[0][0] == 16 - 150
    assert row == head


def test_types_of_events_that_come_can_be_chosen(page: Page, post: Post) -> None:
    """Each type has its number as of now, and the one that is chosen stays so."""
    story = Story("live", now_ms() - 60_000).ask("mail")
    post(story.news())
    follow(page, "/sessions/live?tab=events")
    page.select_option("#type", "user_input")
    run = story.tool_call("send_mail", {}, "c1")
    story.log("error", 1, run, error_info={"error_id": "e-1"})
    post(story.ask("again").news())
    expect(page.locator("#events .row[data-index='1']")).to_contain_text("again")

    assert page.locator("#type option").all_inner_texts() == [
        "All types", "error (1)", "session_start (1)", "tool_call (1)", "user_input (2)",
    ]  # fmt: skip
    expect(page.locator("#type")).to_have_value("user_input")


def test_chosen_type_of_events_is_kept_in_the_address(page: Page, post: Post) -> None:
    """After a reload, the same events are shown, also beside the details of one of them; all of them have no type."""
    post(sessions.trip(TRIP))
    visit(page, f"{PATH}?tab=events")
    page.select_option("#type", "tool_call")
    expect(page.locator("#found")).to_have_text("6 events")
    page.locator("#events .row[data-index='2']").click()
    page.wait_for_selector("#detail .d-head")
    page.reload()
    expect(page.locator("#found")).to_have_text("6 events")
    expect(page.locator("#detail h2")).to_have_text("research_agent")

    assert page.locator("#type option:checked").inner_text() == "tool_call (6)"
    page.select_option("#type", "")
    assert "type=" not in page.url


def test_late_entries_come_into_their_place_in_raw(page: Page, post: Post) -> None:
    """As those of another process, which sends later: each entry is there once, in order of time."""
    story = Story("live", now_ms() - 60_000).ask("mail")
    story.tool("send_mail", {}, "sent", 5, "c1")
    post([entry for entry in story.entries if entry["event_type"] != "tool_call"])
    follow(page, "/sessions/live?tab=raw")
    expect(page.locator("#raw summary")).to_have_count(3)
    post([entry for entry in story.entries if entry["event_type"] == "tool_call"])

    expect(page.locator("#raw summary")).to_have_text(
        ["1 session_start mail", "2 user_input mail", "3 tool_call send_mail", "4 tool_response sent"]
    )


WAITS = """() => [["#tree", "::before"], ["#conversation", "::before"], ["#events", "::after"], ["#raw", "::before"]]
    .filter(([box]) => document.querySelector(box).checkVisibility())
    .map(([box, where]) => getComputedStyle(document.querySelector(box), where).content).join()"""


@pytest.mark.parametrize("tab", ["timeline", "conversation", "events", "raw"])
def test_tab_says_that_it_loads(page: Page, post: Post, tab: str) -> None:
    """Where the server takes its time: an empty panel looked as if there was nothing."""
    post(sessions.trip(TRIP))
    held: list[Route] = []
    page.route(f"**/view/{tab}/**", lambda route: held.append(route))
    page.goto(f"{PATH}?tab={tab}")
    until(lambda: page.evaluate(WAITS) == '"Loading…"' and bool(held))
    for route in held:
        route.continue_()
    page.wait_for_selector("#session[data-ready]")

    until(lambda: page.evaluate(WAITS) == "none")


def test_details_of_another_row_say_that_they_are_stale(page: Page, post: Post) -> None:
    """While those of the selected one are on the way."""
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


@pytest.mark.parametrize(("tab", "said", "asks"), [("timeline", "#none", "find"), ("raw", "#raw .nothing", "raw")])
def test_search_without_a_hit_says_so(page: Page, post: Post, tab: str, said: str, asks: str) -> None:
    """Once, also when more events come that have not the words."""
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


def test_copy_as_markdown_has_call_and_response(page: Page, post: Post) -> None:
    """What lands in the clipboard can be given to an assistant as it is."""
    post(sessions.failed())
    visit(page, "/sessions/invoice-reader-71")
    page.click("#first-error")
    page.click("[data-act=markdown]")
    page.wait_for_selector("[data-act=markdown].done")
    lines = page.evaluate("navigator.clipboard.readText()").splitlines()

    assert [line for line in lines if line.startswith("## ")] == ["## tool_call read_pdf", "## tool_response read_pdf"]


def test_new_events_appear_by_themselves(page: Page, post: Post) -> None:
    """A running session's page follows the log, and keeps what is selected; one that has ended is not called live."""
    story = Story("live").ask("Where is my parcel?")
    run = story.call("Where is my parcel?")
    post(story.news())
    follow(page)
    page.locator("#tree .row.k-model").click()
    story.wait(900).answer(run, "It arrives tomorrow.", 900, (20, 8))
    story.end("done")
    post(story.news())

    expect(page.locator("#tree .row.k-model i")).to_contain_text("It arrives tomorrow.")
    expect(page.locator("#head .status")).to_have_text("completed")
    expect(page.locator("#tree .row.at")).to_have_class("row k-model x-ok at")
    expect(page.locator("#live")).to_have_text("")


def test_page_that_found_no_room_becomes_live_when_there_is(
    context: BrowserContext, server: Running, post: Post
) -> None:
    """A stream that the server refused is asked for again, and what came meanwhile is shown."""
    story = Story("live").ask("Where is my parcel?")
    post(story.news())
    page = context.new_page()
    page.clock.install()
    with ExitStack() as others:
        for _ in range(MAX_CLIENTS):
            others.enter_context(requests.get(f"{server.url}/view/live", stream=True, timeout=10))
        visit(page, "/sessions/live")
        expect(page.locator("#live")).to_have_text("Reconnecting")
        story.call("Where is my parcel?")
        post(story.news())
    until(lambda: requests.head(f"{server.url}/view/live", timeout=10).status_code == 200)
    page.clock.fast_forward(5_000)

    expect(page.locator("#live")).to_have_text("Live")
    expect(page.locator("#tree .row.k-model")).to_have_count(1)


def test_new_session_appears_in_the_list(page: Page, post: Post) -> None:
    """The empty list shows the lines to paste, with this server's address; the first event replaces them."""
    page.goto("/")
    page.wait_for_selector("#live.on")
    pasted = page.locator("#snippet").inner_text()
    post(sessions.recipe())

    expect(page.locator(".c-title a")).to_have_text("Generate three recipes using chicken and vegetables")
    assert f'base_url="http://{page.url.split("/")[2]}/api/v1"' in pasted


def test_page_says_when_the_server_is_gone(context: BrowserContext, server: Running, post: Post) -> None:
    """A click after the server ended does not just do nothing."""
    post(sessions.recipe())
    page = context.new_page()
    visit(page, "/sessions/recipe-agent-6f2c1e08")
    server.close()
    page.locator("#tree .row.k-model").first.click()

    expect(page.get_by_role("alert")).to_have_text("The server does not answer. Is it still running?")


@pytest.mark.parametrize(("key", "content", "times"), [
    ("2", "#conversation h2", 2), ("3", "#events .type:text('session_start')", 1), ("4", "#raw summary", 10),
])  # fmt: skip
def test_what_was_asked_for_while_the_server_was_away_comes_when_it_is_back(
    browser: Browser, tmp_path: Path, key: str, content: str, times: int
) -> None:
    """A tab that was opened and the details of a row that was clicked, without asking again."""
    store = f"sqlite://{tmp_path}/coagent.db"
    with launch(store) as server:
        requests.post(f"{server.base_url}/logs", json=sessions.recipe("recipe"), timeout=10).raise_for_status()
        page = browser.new_page(base_url=server.url)
        visit(page, "/sessions/recipe")
        expect(page.locator("#live")).to_have_text("")
    page.locator("#tree .row.k-model").first.click()
    page.keyboard.press(key)
    expect(page.get_by_role("alert")).to_have_text("The server does not answer. Is it still running?")
    with launch(store, port=urlsplit(page.url).port):
        expect(page.locator(content)).to_have_count(times, timeout=10_000)
        expect(page.locator("#detail h2")).to_have_text("gemma3:4b")
        expect(page.get_by_role("alert")).to_be_hidden()
        page.close()


def test_panel_that_a_key_opens_shows_the_focus_on_its_tab(page: Page, post: Post) -> None:
    """The keys 2 to 4 frame the tab, not the whole panel."""
    post(sessions.trip())
    visit(page)
    page.keyboard.press("2")
    expect(page.locator("#panel-conversation")).to_be_focused()
    outlines = [page.locator(f"#{name}-conversation").evaluate("element => getComputedStyle(element).outlineStyle")
                for name in ("tab", "panel")]  # fmt: skip

    assert outlines == ["solid", "none"]


def test_tables_of_models_and_tools_open_to_all_of_them(page: Page, post: Post) -> None:
    """The busiest stand there; the rest at a press, also once more has come. Four need no button."""
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
    """There the rows need the room: the tables come at a press, whole, and go at the next."""
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


def test_session_without_tokens_has_no_token_chart(page: Page, post: Post) -> None:
    """What models and tools did moves up; nothing is drawn for nothing."""
    post(sessions.running("live"))
    visit(page, "/sessions/live")

    expect(page.locator("#overview table")).to_be_visible()
    expect(page.locator("#overview .tokens")).to_have_count(0)


def test_tokens_that_no_model_reports_are_no_zeros(page: Page, post: Post) -> None:
    """In the timeline and in the table of events, where a tool has neither."""
    story = Story("s").ask("Hi")
    story.model("Hi", "", 5, (0, 0))
    story.model("Hi", "", 5, (0, 0))
    del story.entries[-1]["llm_response"]["input_tokens"], story.entries[-1]["llm_response"]["output_tokens"]
    story.tool("track", {}, "here", 5, "c1")
    post(story.entries)
    visit(page, "/sessions/s")
    told = [page.locator(f"#tree .row{kind}:not([hidden]) .c-tokens").all_inner_texts()
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
    """10,000 events: only the rows in sight exist, the last one can be reached; also in a low window, or on a phone."""
    post(sessions.big(10_000))
    page.set_viewport_size({"width": window[0], "height": window[1]})
    visit(page, "/sessions/big-10000")
    opened = page.evaluate("document.getElementsByTagName('*').length")
    page.keyboard.press("End")
    expect(page.locator("#tree .row.at b")).to_have_text("Session end")

    assert opened <= 3_000
    assert page.evaluate("document.getElementsByTagName('*').length") <= 3_000


def test_long_answer_is_shown_piece_by_piece(page: Page, post: Post) -> None:
    """5 MB: the page shows 2,000 characters, fetches the rest in pieces, and copies all of it."""
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

    assert first < 2_100
    assert 130_000 < len(part.locator(".text").text_content() or "") < 140_000


def test_theme_is_kept(page: Page, post: Post) -> None:
    """The button goes from the system's theme to the other one, and the next page has it."""
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


@pytest.mark.parametrize("width", [360, 390, 600, 780])
@pytest.mark.parametrize("tab", ["timeline", "events"])
def test_narrow_window_leaves_room_to_search(page: Page, post: Post, width: int, tab: str) -> None:
    """The box shows all that it says of itself, beside the tools or in a row of its own."""
    post(sessions.trip())
    page.set_viewport_size({"width": width, "height": 800})
    visit(page, f"{PATH}?tab={tab}")
    box = page.locator("#search")
    shown = page.locator(f"#tools-{tab}").bounding_box() or {}

    assert box.evaluate("box => box.offsetWidth") >= 200
    assert shown["x"] + shown["width"] <= width


@pytest.mark.parametrize("width", [360, 390, 600, 780, 1280])
@pytest.mark.parametrize("row", [".k-component", ".k-prompt"])
def test_cross_ends_the_first_row_of_the_details(page: Page, post: Post, width: int, row: str) -> None:
    """Nothing stands at its right, beside a short title and a long one."""
    post(sessions.trip())
    page.set_viewport_size({"width": width, "height": 800})
    visit(page)
    page.locator(f"#tree .row{row} b").first.click()
    page.locator("#detail h2").wait_for()
    right = page.locator(".d-title > *").evaluate_all("all => all.map((each) => each.getBoundingClientRect().right)")
    title, cross = (page.locator(f".d-title {name}").bounding_box() or {} for name in ("h2", "[data-act=close]"))

    assert max(right) == right[-1] == width - 16
    assert cross["y"] < title["y"] < cross["y"] + cross["height"]


def test_back_closes_the_details_on_a_phone(page: Page, post: Post) -> None:
    """They cover the page there; Forward opens them again, and closing them leaves nothing in the history."""
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
    """On a wide window rows are selected one after the other: none of them is an entry of the history."""
    post(sessions.trip())
    page.goto("/")
    visit(page)
    page.locator("#tree .row b", has_text="tools").first.click()
    page.locator("#detail h2").wait_for()
    page.go_back()

    expect(page).to_have_title("Sessions · CoAgent")
