"""The Timeline tab: the texts of its rows and buttons, and the order of its rows in the document."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Post
from tests.browser.pages import labels, visit
from tests.server import sessions
from tests.server.story import Story


def test_fold_button_says_what_it_does(page: Page, post: Post) -> None:
    """Even after a single row was folded or unfolded by hand."""
    post(sessions.recipe("recipe"))
    visit(page, "/sessions/recipe")
    button, twist = page.locator("#fold"), page.locator("#tree .row.k-prompt .twist").first
    said = []
    for act in (twist.click, button.click, button.click, twist.click, twist.click):
        act()
        said.append((button.inner_text(), len(labels(page))))

    assert said == [("Unfold all", 4), ("Fold all", 6), ("Unfold all", 3), ("Unfold all", 5), ("Unfold all", 3)]


def test_end_of_a_session_tells_what_it_ended_with_on_a_phone(page: Page, post: Post) -> None:
    """After its status; in place of the dot on the time axis."""
    post(Story("s").ask("Write").end("abandoned", status="cancelled"))
    page.set_viewport_size({"width": 390, "height": 844})
    visit(page, "/sessions/s")
    parts = page.locator("#tree .row.k-end  i")
    cut = parts.evaluate_all("parts => parts.map((part) => part.scrollWidth > part.clientWidth)")

    assert (parts.all_inner_texts(), cut) == (["cancelled", "abandoned"], [False, False])


def test_failed_row_tells_its_reason_on_a_phone(page: Page, post: Post) -> None:
    """Turn and caller would take all the room that it has; other rows keep them."""
    story = Story("storm").ask("Why?")
    for _ in range(2):
        run = story.call("Why?", issuer="researcher", model="gpt-5-mini")
        story.log("error", story.turn, run, error_info={"error_type": "RateLimitError", "error_message": "429"})
    story.model("Why?", "Because.", 5, (1, 1), issuer="researcher")
    post(story.end("Because."))
    page.set_viewport_size({"width": 390, "height": 844})
    visit(page, "/sessions/storm")
    leads, notes = (
        page.locator(f"#tree .row.k-model {part}").evaluate_all("parts => parts.map((part) => part.offsetWidth)")
        for part in (".lead", ".lead + .rest i")
    )

    assert [width > 0 for width in leads] == [False, False, True]
    assert min(notes[:2]) > 50


def test_deep_rows_have_room_for_their_names(page: Page, post: Post) -> None:
    """On a phone: they are indented by at most half, and no name reaches below the bars."""
    story = Story("deep").ask("Where to go?")
    runs = [""]
    for _ in range(15):
        runs.append(story.enter("supervisor", runs[-1]))
    story.model("Go", "Done.", 5, (1, 1), parent=runs[-1], model="gemma3:4b-it-qat")
    post(story.end("Done."))
    page.set_viewport_size({"width": 390, "height": 844})
    visit(page, "/sessions/deep")
    names = page.locator("#tree .row:not(.k-end) b").evaluate_all("""all => all.map((name) => {
        const lane = name.closest(".row").querySelector(".lane");
        return [name.clientWidth >= 40, name.getBoundingClientRect().right <= lane.getBoundingClientRect().left];
    })""")

    assert names == [[True, True]] * 17


def test_caller_without_room_is_hidden(page: Page, post: Post) -> None:
    """On a phone, beside a long name of a model: a part of its first letter says nothing."""
    story = Story("s").ask("Where?")
    for model in ("gpt-4.1", "claude-sonnet-4-5-20250929"):
        story.model("Where?", "Here.", 5, (1, 1), model=model, issuer="voter", parent=story.enter("team"))
    post(story.end("Here."))
    page.set_viewport_size({"width": 390, "height": 844})
    visit(page, "/sessions/s")
    lines = page.locator("#tree .row.k-model .lead i").evaluate_all("all => all.map((lead) => lead.offsetTop)")

    assert lines == [0, 28]


def test_note_without_room_is_hidden(page: Page, post: Post) -> None:
    """On a phone: a part of its first letter says nothing. A short one is whole."""
    story = Story("s").ask("Where?")
    for number, (name, result) in enumerate(
        [("find_all_of_them_now", "here, or there"), ("find", "here, elsewhere or nowhere"), ("find", "x")]
    ):
        story.tool(name, {}, result, 5, f"c{number}")
    post(story.end("Here."))
    page.set_viewport_size({"width": 390, "height": 844})
    visit(page, "/sessions/s")
    rows = page.locator("#tree .row.k-tool").evaluate_all("""all => all.map((row) => {
        const note = row.querySelector(".lead + .rest i"), { top } = row.getBoundingClientRect();
        return note.getBoundingClientRect().top > top + 20 ? "hidden" : note.scrollWidth <= note.clientWidth ? "whole"
            : note.clientWidth >= 40 ? "cut" : "too short";
    })""")

    assert rows == ["hidden", "cut", "whole"]


@pytest.mark.parametrize("width", [390, 1280, 1500])
def test_times_are_shown_whole(page: Page, post: Post, width: int) -> None:
    """The longest too, on a phone and beside the details: `47 h …` says less than half."""
    story = Story("long").ask("Why?")
    for ms in (3_599_000, 172_740_000):
        story.model("Why?", "Because.", ms, (1, 1))
    post(story.end("Because."))
    page.set_viewport_size({"width": width, "height": 844})
    visit(page, "/sessions/long")
    if width > 390:
        page.locator("#tree .row.k-model").first.click()
        page.locator("#detail h2").wait_for()
    times = page.locator("#tree .row.k-model .time")

    expect(times).to_have_text(["59 min 59 s", "47 h 59 min"])
    assert times.evaluate_all("all => all.map((each) => each.scrollWidth <= each.clientWidth)") == [True, True]


def test_rows_stand_in_the_document_as_they_are_seen(page: Page, post: Post) -> None:
    """Screen readers read them in that order, wherever the list was scrolled to and however it was folded."""
    post(sessions.big(1_000))
    visit(page, "/sessions/big-1000")
    orders = []
    for act in ("box.scrollTop = 3000", "box.scrollTop = 2900", "box.scrollTop = 0", "fold.click()", "fold.click()"):
        page.evaluate(f"""async () => {{
            const box = document.getElementById("tree"), fold = document.getElementById("fold");
            {act};
            await new Promise((done) => setTimeout(done, 100)); }}""")
        orders.append(page.locator("#tree .row").evaluate_all("rows => rows.map((row) => Number(row.dataset.index))"))

    assert orders == [sorted(order) for order in orders]
    assert [order[0] for order in orders] == [103, 99, 0, 0, 0]


def test_legend_of_the_token_chart_is_whole(page: Page, post: Post) -> None:
    """Beside long names of models and tools it wraps to a second line."""
    story = Story("s").ask("x")
    for number in range(4):
        story.model("x", "y", 5, (1_000_000, 20_000), model=f"very-long-model-name-{number}-20250929", cost=0.5)
        story.tool(f"a_long_tool_name_{number}", {}, "z", 5, f"c{number}")
    post(story.entries)
    page.set_viewport_size({"width": 1210, "height": 800})
    visit(page, "/sessions/s")
    caption = page.locator(".caption")
    cut = caption.evaluate("""caption => [...caption.children].filter((each) =>
        each.getBoundingClientRect().right > caption.getBoundingClientRect().right + 1).length""")

    assert (cut, caption.evaluate("caption => caption.scrollWidth <= caption.clientWidth")) == (0, True)


def test_zoom_looks_pressed_while_it_is(page: Page, post: Post) -> None:
    """Its border has another colour while it is pressed, and not afterwards."""
    post(sessions.recipe("recipe"))
    visit(page, "/sessions/recipe")
    page.keyboard.press("j")
    colours = []
    for _ in range(3):
        colours.append(page.locator("#zoom").evaluate("button => getComputedStyle(button).borderTopColor"))
        page.keyboard.press("z")

    assert colours[0] == colours[2] != colours[1]


def test_turn_and_caller_stand_whole_before_a_note_that_is_cut(page: Page, post: Post) -> None:
    """The note gives way, whatever its direction."""
    story = Story("s").ask("Plan")
    story.model("Plan", "خطط لي رحلة لثلاثة أيام " * 12, 5, (1, 1), issuer="planner")
    post(story.entries)
    visit(page, "/sessions/s")
    lead, note = (page.locator(f"#tree .row.k-model {name}") for name in (".lead i", ".lead + .rest i"))
    cut = [part.evaluate("part => part.scrollWidth > part.clientWidth") for part in (lead, note)]

    assert (lead.inner_text(), cut) == ("Turn 1 · planner", [False, True])


def bars(page: Page) -> list[tuple[str, int, int]]:
    """The rows: name, and where each bar begins and ends, in per cent of the time axis."""
    found = page.locator("#tree .row").evaluate_all("""rows => rows.map((row) => {
        const { left, width } = row.querySelector(".span").style, from = parseFloat(left);
        return [row.querySelector("b").textContent, Math.round(from), Math.round(from + parseFloat(width))]; })""")
    return [(name, start, end) for name, start, end in found]


def asked(story: Story, status: str, run: str = "") -> None:
    """Log a question to a human, or the answer."""
    story.log("human_oversight", 1, run or story.root, meta={"status": status}, input_data={"value": "Really?"})


def test_long_wait_for_a_person_takes_no_room(page: Page, post: Post) -> None:
    """The bars of work before and after it keep their lengths. Its duration is shown."""
    story = Story("s").ask("Delete it").wait(-3)
    story.model("Delete it", "May I?", 500, (1, 1))
    node = story.enter("approval")
    asked(story, "interrupted", node)
    story.wait(3 * 3_600_000)
    asked(story, "resumed", node)
    story.leave(node, "approval", 3 * 3_600_000)
    story.model("Delete it", "Done", 500, (1, 1))
    post(story.entries)
    visit(page, "/sessions/s")

    assert bars(page) == [
        ("Delete it", 0, 100), ("Turn 1", 0, 50), ("gemma3:4b", 0, 50), ("approval", 50, 50), ("Human", 50, 50),
        ("gemma3:4b", 50, 100),
    ]  # fmt: skip
    expect(page.locator("#tree .row.k-human .time")).to_have_text("3 h 00 min")
    expect(page.locator("#axis text")).to_have_text(["0", "200 ms", "400 ms", "600 ms", "800 ms"])


def test_work_beside_a_question_to_a_person_keeps_its_room(page: Page, post: Post) -> None:
    """Only the part of the wait without any other activity is left out."""
    story = Story("s").ask("Delete it").wait(-3)
    run = story.tool_call("scan", {}, "c1")
    asked(story, "interrupted")
    story.wait(1000).tool_done(run, "scan", "clean", 1000, "c1")
    story.wait(3_600_000)
    asked(story, "resumed")
    story.model("Delete it", "Done", 1000, (1, 1))
    post(story.entries)
    visit(page, "/sessions/s")

    assert bars(page) == [
        ("Delete it", 0, 100), ("scan", 0, 50), ("Turn 1", 0, 100), ("Human", 0, 50), ("gemma3:4b", 50, 100),
    ]  # fmt: skip


def test_short_wait_for_a_person_is_drawn_as_long_as_it_was(page: Page, post: Post) -> None:
    """The length of its prompt's bar matches the duration shown."""
    story = Story("s").ask("Delete it").wait(-3)
    asked(story, "interrupted")
    story.wait(3000)
    asked(story, "resumed")
    story.model("Delete it", "Done", 1000, (1, 1))
    post(story.entries)
    visit(page, "/sessions/s")

    assert bars(page) == [("Delete it", 0, 100), ("Turn 1", 0, 100), ("Human", 0, 75), ("gemma3:4b", 75, 100)]


def test_longest_call_leads_to_its_row(page: Page, post: Post) -> None:
    """It leads to what was slow, in a session of any size."""
    story = Story("s").ask("Search")
    for number, took in enumerate((5, 900, 7)):
        story.tool("search", {"page": number}, "ok", took, f"c{number}")
    post(story.entries)
    visit(page, "/sessions/s")
    page.locator("#overview").get_by_role("link", name="900 ms").click()

    expect(page.locator("#tree .row.at")).to_contain_text("page: 1")
