"""The tabs Events and Raw: every event, as a table and as it was logged."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from coagent_langchain.wire import MAX_TIMESTAMP, now_ms
from tests.browser.conftest import Post
from tests.browser.pages import PATH, TRIP, follow, visit
from tests.server import samples, sessions
from tests.server.drawing import oversight
from tests.server.story import Story


def test_events_are_red_where_something_failed(page: Page, post: Post) -> None:
    """But not if a call was interrupted or not run."""
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


def test_all_columns_can_be_chosen_in_a_low_window(page: Page, post: Post) -> None:
    """The page does not scroll there."""
    post(sessions.trip())
    page.set_viewport_size({"width": 1366, "height": 600})
    visit(page, f"{PATH}?tab=events")
    page.locator(".menu summary", has_text="Columns").click()
    ends = [box["y"] + box["height"] for each in page.locator("#columns label").all() if (box := each.bounding_box())]

    assert max(ends) < 600


@pytest.mark.parametrize(("tab", "word"), [("timeline", "#tree .row.k-model b"), ("events", "#events .row .type")])
def test_word_of_a_row_can_be_selected(page: Page, post: Post, tab: str, word: str) -> None:
    """For copying: the click selects the row and shows its details, and the word stays selected."""
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
    """If nothing is found, j requests nothing and selects nothing."""
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


def test_address_of_an_event_marks_its_row(page: Page, post: Post) -> None:
    """Also after an event without a row in the timeline, such as one about a question that the log does not have."""
    story = Story("asked").ask("book")
    oversight(story, "unanswered", "int-1", None)
    story.model("book", "Booked.", 5, (1, 1))
    post(entries := story.end("Booked."))
    visit(page, f"/sessions/asked?tab=events&event={entries[-1]['event_id']}")

    expect(page.locator("#events .row.at")).to_contain_text("session_end")


def test_head_of_the_events_scrolls_sideways_with_the_rows(page: Page, post: Post) -> None:
    """If columns do not fit, as on a phone, each keeps its name above it; rows are as wide as the head."""
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


def test_events_of_the_last_moment_are_listed(page: Page, post: Post) -> None:
    """Browsers know no time that late."""
    post([samples.entry(timestamp=MAX_TIMESTAMP, event_type="info", output_data={"message": "too late"})])
    visit(page, "/sessions/s?tab=events")

    expect(page.locator("#events .row[data-index='0']")).to_contain_text("too late")


def test_types_of_events_that_come_can_be_chosen(page: Page, post: Post) -> None:
    """Each type has its current number of events, and the chosen one stays chosen."""
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
    """A reload shows the same events, even beside the details of one of them; "All types" is not in the address."""
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
    """For example those of another process that sends later: each entry is there once, ordered by time."""
    story = Story("live", now_ms() - 60_000).ask("mail")
    story.tool("send_mail", {}, "sent", 5, "c1")
    post([entry for entry in story.entries if entry["event_type"] != "tool_call"])
    follow(page, "/sessions/live?tab=raw")
    expect(page.locator("#raw summary")).to_have_count(3)
    post([entry for entry in story.entries if entry["event_type"] == "tool_call"])

    expect(page.locator("#raw summary")).to_have_text(
        ["1 session_start mail", "2 user_input mail", "3 tool_call send_mail", "4 tool_response sent"]
    )
