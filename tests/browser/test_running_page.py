"""A session's page while the session is running: selection, zoom and reading position are kept."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from coagent_langchain import unended
from coagent_langchain.wire import now_ms
from tests.browser.conftest import Post
from tests.browser.pages import follow, visit
from tests.server.story import Story


def running() -> tuple[Story, str]:
    """A session with one model call without a response, begun 5 seconds ago; also returns the call's run id."""
    story = Story("live", now_ms() - 5_000).ask("Where is my parcel?")
    return story, story.call("Where is my parcel?")


def bar(page: Page) -> tuple[int, int]:
    """Where the bar of the selected row begins and ends, in per cent of the time axis."""
    start, end = page.locator("#tree .row.at .span").evaluate("""span => {
        const box = span.getBoundingClientRect(), lane = span.parentElement.getBoundingClientRect();
        return [box.left - lane.left, box.right - lane.left].map(x => Math.round(100 * x / lane.width)); }""")
    return start, end


def test_running_rows_reach_to_now_and_tell_the_time_that_passed(page: Page, post: Post) -> None:
    """Nothing has arrived for 5 seconds: the axis and the durations keep growing."""
    post(running()[0].entries)
    visit(page, "/sessions/live")
    row = page.locator("#tree .row.k-model")
    row.click()
    first = row.locator(".time").inner_text()
    ends = bar(page)

    assert ends == (0, 100)
    assert 5.0 <= float(first.removesuffix(" s")) < 12.0
    expect(row.locator(".time")).not_to_have_text(first)
    expect(row.locator(".unseen")).to_have_text("running")
    expect(page.locator("#detail .status")).to_have_text("running")


def test_first_response_moves_no_row(page: Page, post: Post) -> None:
    """The chart of tokens that comes with it has its room."""
    story, run = running()
    post(story.news())
    follow(page)
    row = page.locator("#tree .row.k-model")
    before = row.bounding_box() or {}
    story.answer(run, "In Leipzig.", 100, (12, 3))
    post(story.news())
    expect(page.locator("#overview .tokens")).to_be_visible()

    assert (row.bounding_box() or {}).get("y") == before["y"]


def test_running_row_that_is_unfolded_ends_where_the_axis_does(page: Page, post: Post) -> None:
    """Even between two clock ticks: the axis is as long as at the last one."""
    page.clock.install()
    post(running()[0].entries)
    visit(page, "/sessions/live")
    page.locator("#tree .row.k-model").click()
    page.clock.run_for(900)
    for _ in range(2):
        page.click("#fold")

    assert bar(page) == (0, 100)


def test_call_without_end_in_a_session_that_ended_is_unfinished(page: Page, post: Post) -> None:
    """It is not running: its time does not grow, and no page calls it running."""
    story = Story("dead").ask("hello")
    story.tool_call("track", {}, "c1")
    post(story.wait(500).end("bye"))
    visit(page, "/sessions/dead")
    row = page.locator("#tree .row.k-tool")
    row.click()
    told = [row.locator(".time").inner_text(), row.locator(".unseen").inner_text(),
            page.locator("#detail .status").inner_text()]  # fmt: skip
    page.keyboard.press("2")
    told.append(page.locator("#conversation details.fold > summary").inner_text().split()[-1])

    assert told == ["–", "unfinished", "unfinished", "unfinished"]


def test_details_of_a_running_call_get_its_answer(page: Page, post: Post) -> None:
    """The pane is fetched again when its row gets more entries, and stays on the chosen tab."""
    story, run = running()
    post(story.news())
    follow(page)
    page.locator("#tree .row.k-model").click()
    page.click("#detail [data-body=attributes]")
    story.wait(900).answer(run, "It arrives tomorrow.", 900, (20, 8))
    post(story.news())

    expect(page.locator("#detail .status")).to_have_text("ok")
    expect(page.locator("#detail [aria-selected=true]")).to_have_text("Attributes")
    expect(page.locator("#detail .d-body[data-of=content]")).to_contain_text("It arrives tomorrow.")


def test_zoom_stays_when_something_comes(page: Page, post: Post) -> None:
    """The axis still spans the zoomed row, and the button still shows it."""
    story, run = running()
    story.wait(400).answer(run, "It arrives tomorrow.", 400, (20, 8))
    post(story.news())
    follow(page)
    page.locator("#tree .row.k-model").click()
    page.click("#zoom")
    story.wait(4_000).model("Where is my parcel?", "Tomorrow.", 100, (20, 8))
    post(story.news())
    expect(page.locator("#tree .row.k-model")).to_have_count(2)

    assert bar(page) == (0, 100)
    expect(page.locator("#zoom")).to_have_attribute("aria-pressed", "true")


def test_turn_closes_the_details_of_the_row_before(page: Page, post: Post) -> None:
    """A turn has no entries of its own: the pane does not keep showing the previous row."""
    story, run = running()
    story.wait(400).answer(run, "", 400, (20, 8))
    story.tool("track", {}, "on its way", 100, "c1")
    post(story.entries)
    visit(page, "/sessions/live")
    page.locator("#tree .row.k-model").click()
    expect(page.locator("#detail")).to_be_visible()
    page.locator("#tree .row.k-turn").click()

    expect(page.locator("#tree .row.at b")).to_have_text("Turn 1")
    expect(page.locator("#detail")).to_be_hidden()


def test_raw_gets_what_comes_below_what_is_read(page: Page, post: Post) -> None:
    """Folded entries stay folded, and entries that a search hides stay hidden."""
    story, run = running()
    post(story.news())
    follow(page, "/sessions/live?tab=raw")
    page.locator("#raw summary").first.click()
    story.wait(400).answer(run, "It arrives tomorrow.", 400, (20, 8))
    post(story.news())

    expect(page.locator("#raw summary")).to_have_count(len(story.entries))
    expect(page.locator("#raw details:not([open])")).to_have_count(1)
    page.fill("#search", "arrives")
    expect(page.locator("#raw summary")).to_have_count(1)
    story.wait(100).end("bye")
    post(story.news())
    expect(page.locator("#head .status")).to_have_text("completed")
    expect(page.locator("#raw summary")).to_have_count(1)


@pytest.mark.parametrize("path", ["/sessions/live", "/"])
def test_page_falls_still_when_the_program_is_gone(
    page: Page, post: Post, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event reports it: the page checks by itself, and then shows the calls as unfinished."""
    post(running()[0].entries)
    page.clock.install()
    page.goto(path)
    expect(page.locator(".status").first).to_have_text("running")
    if path != "/":
        page.locator("#tree .row.k-model").click()
        expect(page.locator("#detail .status")).to_have_text("running")
    monkeypatch.setattr(unended, "PAUSE_MS", 0)
    monkeypatch.setattr(unended, "SILENT_MS", 0)
    page.clock.fast_forward(16_000)

    expect(page.locator(".status").first).to_have_text("no end")
    expect(page.locator("[data-since]")).to_have_count(0)
    if path != "/":
        expect(page.locator("#tree .row.k-model .unseen")).to_have_text("unfinished")
        expect(page.locator("#detail .status")).to_have_text("unfinished")
