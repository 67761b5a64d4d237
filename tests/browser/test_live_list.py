"""The list of sessions while sessions come, go on and are deleted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from coagent_langchain.server import launch, open_beside
from coagent_langchain.wire import now_ms
from tests.browser.conftest import Post
from tests.browser.pages import fill
from tests.server import sessions
from tests.server.pages import log
from tests.server.story import T0


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


def test_how_long_ago_is_rounded_before_its_unit_is_chosen(page: Page) -> None:
    """Never `60 min. ago`, nor `3 days ago`, which does not tell since when something happens."""
    expected = {
        0.3: "now", 3: "3 sec. ago", 59.6: "1 min. ago", 59.7 * 60: "1 hr. ago", 23.4 * 3600: "23 hr. ago",
        23.6 * 3600: "Sep 8, 02:10", 364 * 86_400: "Sep 10, 01:46", 365 * 86_400: "1 yr. ago",
    }  # fmt: skip
    page.goto("/")
    said = page.evaluate("""async (ages) => {
        const { ago } = await import("/static/page.js");
        Date.now = () => 1e12;
        return ages.map((seconds) => ago(1e12 - 1000 * seconds)); }""", list(expected))  # fmt: skip

    assert dict(zip(expected, said, strict=True)) == expected


def test_how_long_ago_goes_on_with_each_second(page: Page, post: Post) -> None:
    """As the duration beside it."""
    post(sessions.running("live", now_ms() - 2_000))
    page.goto("/")
    page.wait_for_selector("#live.on")
    place = page.locator("td.c-time")
    before = place.inner_text()

    expect(place).not_to_have_text(before, timeout=3_000)
