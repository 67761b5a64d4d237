"""The pages in forced colours, and for people who need larger targets or larger text."""

from __future__ import annotations

from itertools import pairwise
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from coagent_langchain.server.running import Running
from tests.browser.conftest import Post
from tests.browser.pages import PATH, TRIP, visit
from tests.server import sessions
from tests.server.story import Story


def painted(found: Locator) -> list[str]:
    """How each of these bars is painted: striped, plain, or like the page behind it."""
    said: list[str] = found.evaluate_all("""bars => bars.map(bar => {
        const { backgroundColor, backgroundImage } = getComputedStyle(bar), page = getComputedStyle(document.body);
        return backgroundImage !== "none" ? "stripes" : backgroundColor === page.backgroundColor ? "" : "plain"; })""")
    return said


def test_bars_are_seen_in_forced_colours(page: Page, post: Post) -> None:
    """They differ from the page's background; failed ones are striped."""
    post(sessions.trip(TRIP))
    page.emulate_media(forced_colors="active")
    visit(page)

    assert set(painted(page.locator("#tree .row:not(.x-recovered) .span"))) == {"plain"}
    assert painted(page.locator("#tree .row.x-recovered .span")) == ["stripes"]


@pytest.mark.parametrize(
    ("path", "key", "chosen", "style"),
    [
        (PATH, "j", "#tree .row.at", "outline-style"),
        (f"{PATH}?tab=events", "j", "#events .row.at", "outline-style"),
        ("/", "j", ".sessions tr.at", "outline-style"),
        ("/compare?s=a&s=b", "Escape", ".side ins", "text-decoration-line"),
    ],
)
def test_what_a_background_tells_is_told_in_forced_colours_too(
    page: Page, post: Post, path: str, key: str, chosen: str, style: str
) -> None:
    """The selected row has a frame, and words that only one of the responses has are underlined."""
    for name, cost in (("a", "236.40 €"), ("b", "199.00 €")):
        story = Story(name).ask("To Rome?")
        story.model("To Rome?", f"The trains cost {cost}.", 5, (1, 1))
        post(story.entries)
    post(sessions.trip(TRIP))
    page.emulate_media(forced_colors="active")
    page.goto(path)
    page.wait_for_selector("#session[data-ready], .sessions, .versus")
    page.wait_for_selector(chosen.replace(".row.at", ".row[data-index]").removesuffix(".at"))
    page.keyboard.press(key)
    expect(page.locator(chosen).first).to_be_visible()

    assert page.locator(chosen).first.evaluate(f"e => getComputedStyle(e).getPropertyValue('{style}')") != "none"


def test_chosen_tab_differs_from_the_others_in_forced_colours(page: Page, post: Post) -> None:
    """By its underline, which the others have in the page's background colour."""
    post(sessions.trip(TRIP))
    page.emulate_media(forced_colors="active")
    visit(page)
    lines = page.locator("[role=tab]").evaluate_all("tabs => tabs.map(tab => getComputedStyle(tab).borderBottomColor)")

    assert lines.count(lines[0]) == 1


def test_link_in_a_sentence_is_underlined(page: Page, post: Post) -> None:
    """In empty results and in the help: colour alone does not distinguish it from the text around it."""
    post(sessions.recipe())
    page.goto("/?q=nothing")
    lines = page.locator("p a").evaluate_all("all => all.map(a => getComputedStyle(a).textDecorationLine)")

    assert lines == ["underline"] * 2


def test_no_heading_skips_a_level(page: Page, post: Post) -> None:
    """Screen readers navigate by headings; responses have headings of their own, beginning at any level."""
    for name in ("a", "b"):
        story = Story(name).ask("Refund?")
        story.tool("refund", {}, "done", 5, "c1")
        story.model("Refund?", "### Refunded\n\n##### What I did\n\nNothing else.", 5, (1, 1), system=f"# {name}")
        post(story.end("Done"))
    for path in ("/", "/docs", "/compare?s=a&s=b", "/sessions/a?tab=conversation", "/sessions/a"):
        page.goto(path)
        page.wait_for_selector("#session[data-ready], main:not(#session)")
        if path == "/sessions/a":
            page.locator("#tree .row.k-model").click()
        if path.startswith("/compare"):
            page.locator(".fold summary").click()
        if path.startswith(("/sessions", "/compare")):
            page.get_by_role("heading", name="What I did").first.wait_for()
        found = page.get_by_role("heading").evaluate_all("all => all.map(each => Number(each.tagName[1]))")

        assert found[0] == 1
        assert [pair for pair in pairwise(found) if pair[1] > pair[0] + 1] == []


def test_headings_of_the_details_are_their_words_alone(page: Page, post: Post) -> None:
    """A list of headings does not repeat the copy button for each."""
    post(sessions.trip(TRIP))
    visit(page)
    page.locator("#tree .row.k-tool").first.click()
    page.locator("#detail [data-of=content]").wait_for()

    expect(page.locator("#detail").get_by_role("heading", name="Arguments", exact=True)).to_be_visible()
    page.locator("#detail [data-body=raw]").click()
    expect(page.locator("#detail").get_by_role("heading", name="tool_call", exact=True)).to_be_visible()


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/docs", ".contents li a"),
        (f"{PATH}?tab=conversation", "#conversation .json summary"),
        (PATH, ".by :is(tr:not(.extra) a, .link)"),
    ],
)
def test_small_targets_have_24_pixels(page: Page, post: Post, path: str, target: str) -> None:
    """A target close to another one can be hit by an unsteady hand."""
    post(sessions.trip(TRIP))
    page.goto(path)
    page.wait_for_selector(target, state="attached")
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    heights = page.locator(target).evaluate_all("all => all.map(each => each.getBoundingClientRect().height)")

    assert min(heights) >= 24


@pytest.mark.parametrize(("touch", "opacity"), [(False, "0"), (True, "1")])
def test_tablet_shows_links_that_a_mouse_finds_by_hovering(
    browser: Browser, server: Running, post: Post, touch: bool, opacity: str
) -> None:
    """The link from the conversation to the timeline."""
    post(sessions.recipe())
    window = {"width": 1024, "height": 768}
    with browser.new_context(base_url=server.url, viewport=window, is_mobile=touch, has_touch=touch) as context:
        page = context.new_page()
        visit(page, "/sessions/recipe-agent-6f2c1e08?tab=conversation")
        link = page.locator("#conversation .answer .to").first
        link.wait_for(state="attached")

        assert link.evaluate("link => getComputedStyle(link).opacity") == opacity


def test_low_window_shows_the_selected_row(page: Page, post: Post) -> None:
    """For example on a page zoomed to 200 %: it scrolls until tabs and rows fill it."""
    post(sessions.trip(TRIP))
    page.set_viewport_size({"width": 960, "height": 480})
    visit(page)
    for _ in range(14):
        page.keyboard.press("j")
    row, tabs = page.locator("#tree .row.at"), page.locator(".tabbar")

    expect(row).to_be_in_viewport(ratio=1)
    expect(tabs).to_be_in_viewport(ratio=1)
    assert page.locator("#tree").evaluate("tree => tree.clientHeight") > 400


@pytest.mark.parametrize(
    ("path", "key", "parts"),
    [
        (PATH, "e", "#detail, #detail [role=tab]"),
        (PATH, "Escape", ".stats dd *"),
        (f"/compare?s={quote(TRIP, safe='')}&s=recipe-agent-6f2c1e08", "Escape", ".versus .status"),
    ],
)
def test_nothing_leaves_its_place_at_400_percent(page: Page, post: Post, path: str, key: str, parts: str) -> None:
    """Of a window of 1280 pixels 320 are left: what does not fit wraps."""
    post([*sessions.trip(TRIP), *sessions.recipe()])
    page.set_viewport_size({"width": 320, "height": 480})
    page.goto(path)
    page.wait_for_selector("#session[data-ready], main.compare")
    page.keyboard.press(key)
    page.locator(parts).first.wait_for()
    outside = page.locator(parts).evaluate_all("""all => all.filter(each => {
        const { left, right } = each.getBoundingClientRect(), cell = each.closest("td, dd")?.getBoundingClientRect();
        return left < (cell?.left ?? 0) || right > (cell?.right ?? innerWidth); }).map(each => each.outerHTML)""")

    assert outside == []


def test_keys_of_one_character_can_be_switched_off(page: Page, post: Post) -> None:
    """For all pages, in the list of keys: speech input may type single letters. The other keys remain."""
    post(sessions.recipe("recipe"))
    page.goto("/")
    page.keyboard.press("?")
    page.get_by_label("Use single-character keys").uncheck()
    page.keyboard.press("Escape")
    visit(page, "/sessions/recipe")
    for key in ("j", "2", "?", "/"):
        page.keyboard.press(key)
    still = page.evaluate("[!document.querySelector('.row.at, dialog[open]'), document.activeElement.tagName]")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#tree .row.at")).to_have_count(1)
    page.click("#help-button")
    page.get_by_label("Use single-character keys").check()
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    expect(page.locator("#panel-conversation")).to_be_visible()

    assert still == [True, "BODY"]
