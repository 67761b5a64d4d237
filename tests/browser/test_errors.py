"""How to find what failed: the figure in the header, the key `e`, and the details of what failed because of a child."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Post
from tests.browser.pages import visit
from tests.server import sessions
from tests.server.story import Story


def test_errors_link_jumps_to_the_first_error(page: Page, post: Post) -> None:
    """The figure in the header selects the failed row and shows its stack trace."""
    post(sessions.trip())
    visit(page)
    page.click("#first-error")
    page.click("#detail [data-body=stack]")

    expect(page.locator("#tree .row.at b")).to_have_text("train_search")
    expect(page.locator("#detail .d-body:not([hidden])")).to_contain_text("httpx.ConnectTimeout")


def test_first_error_is_one_that_was_not_recovered(page: Page, post: Post) -> None:
    """It ended the run, and may come after many retries. `e` continues from there, through all errors."""
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
    """A node's own entries do not say what failed; a node that has an error of its own is not skipped."""
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
    """For a prompt and a node whose own entries give no reason; not to an error that was recovered from."""
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
