"""The page about the API in a browser: reaching it, reading it, copying from it, on a phone too."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect


def test_the_head_leads_to_it_and_the_contents_into_it(page: Page) -> None:
    """From the list to the page, and from its contents to an event type."""
    page.goto("/")
    page.click("#api")
    page.click(".contents >> text=llm_response")

    expect(page).to_have_url(re.compile(r"/docs#type-llm_response$"))
    expect(page.locator("#type-llm_response h3")).to_be_in_viewport()


def test_a_command_is_copied_as_it_stands(page: Page) -> None:
    """The button beside it copies it to the clipboard."""
    page.goto("/docs")
    page.get_by_label("Copy the command").first.click()
    page.wait_for_selector("button.done")
    copied = page.evaluate("navigator.clipboard.readText()")

    assert copied == page.locator("#curl-1").text_content()
    assert copied.startswith("curl http://127.0.0.1:")


SEEN = "button => [button.ariaLabel, getComputedStyle(button, '::after').content]"


def test_copying_is_said_for_a_moment(page: Page) -> None:
    """By a symbol and a name in the button's place, even after a second click."""
    page.clock.install()
    page.goto("/docs")
    button = page.locator(".paste .copy").first
    for _ in range(2):
        button.click()
        page.wait_for_selector("button.done")
    copied = button.evaluate(SEEN)
    page.clock.fast_forward(2000)
    after = button.evaluate(SEEN)

    assert (copied, after) == (["Copied", '"✓"'], ["Copy the command", "none"])


@pytest.mark.parametrize("width", [1400, 800, 360])
def test_nothing_sticks_out_sideways(page: Page, width: int) -> None:
    """No width makes the page scroll sideways, and on a phone the text uses the full width."""
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/docs")
    inner, text = page.evaluate("[document.documentElement.scrollWidth, document.querySelector('main').clientWidth]")

    assert inner == width
    assert text > width * 0.6


def test_links_in_the_text_are_underlined(page: Page) -> None:
    """Colour alone does not distinguish them from the text."""
    page.goto("/docs")
    links = page.locator(".manual main :is(p, td) a")
    lines = links.evaluate_all("all => all.map((each) => getComputedStyle(each).textDecorationLine)")

    assert set(lines) == {"underline"}
