"""The list of sessions as people use it: keyboard, filters, sorting, choosing two to compare, live."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Post
from tests.server import sessions
from tests.server.story import T0


def titles(page: Page) -> list[str]:
    """The titles of the list, from top to bottom."""
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


def test_a_column_sorts_both_ways(page: Page, post: Post) -> None:
    """The head of a column sorts descending, then ascending, and says so."""
    fill(post)
    page.goto("/")
    page.click("th >> text=Tokens in")
    page.wait_for_selector("th[aria-sort=descending] >> text=Tokens in")
    most = titles(page)[0]
    page.click("th >> text=Tokens in")
    page.wait_for_selector("th[aria-sort=ascending] >> text=Tokens in")

    assert (most, titles(page)[0]) == (
        "Generate three recipes using chicken and vegetables",
        "Where is my parcel 9Z-118?",
    )


def test_two_chosen_sessions_are_compared(page: Page, post: Post) -> None:
    """A third cannot be chosen; the button leads to both, side by side."""
    fill(post)
    page.goto("/")
    expect(page.locator("#compare")).to_be_disabled()
    boxes = page.locator("input[name=s]")
    boxes.nth(1).check()
    boxes.nth(2).check()
    expect(boxes.nth(0)).to_be_disabled()
    expect(boxes.nth(0)).to_have_attribute("title", "Two are chosen: take one back to choose another")
    page.click("#compare")
    page.wait_for_selector(".versus")

    assert page.locator(".versus thead a").all_inner_texts() == [
        "Read invoice 4711.pdf and file it",
        "Generate three recipes using chicken and vegetables",
    ]


def test_compare_is_in_sight_once_a_session_is_chosen(page: Page, post: Post) -> None:
    """Under a long list the button waits at the end; a tick brings it to the foot of the window."""
    for number in range(40):
        post(sessions.running(f"s{number}", T0 + number))
    page.goto("/")
    expect(page.locator("#compare")).not_to_be_in_viewport()
    page.locator("input[name=s]").first.check()

    expect(page.locator("#compare")).to_be_in_viewport()


def test_phone_list_tells_sessions_of_one_title_apart(page: Page, post: Post) -> None:
    """Where titles are the same, the ids are seen."""
    post(sessions.running("one"))
    post(sessions.running("two"))
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/")

    expect(page.locator("td.c-title .id:visible")).to_have_text(["two", "one"])


def test_the_list_is_live_and_keeps_what_is_chosen(page: Page, post: Post) -> None:
    """A new session appears on top; ticks stay."""
    fill(post)
    page.goto("/")
    page.wait_for_selector("#live.on")
    page.locator("input[value=broken]").check()
    post(sessions.recipe("newest", T0 + 9000))
    expect(page.locator("tr.fresh")).to_have_count(1)

    assert page.locator("tbody input[name=s]").first.get_attribute("value") == "newest"
    expect(page.locator("input[value=broken]")).to_be_checked()
