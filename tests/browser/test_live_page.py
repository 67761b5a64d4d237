"""A page that follows the log, and what it shows when the server is unreachable."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, expect

from coagent_langchain.server import launch
from coagent_langchain.server.live import MAX_CLIENTS
from coagent_langchain.server.running import Running
from tests.browser.conftest import Post
from tests.browser.pages import follow, visit
from tests.server import sessions
from tests.server.pages import log
from tests.server.story import Story
from tests.waiting import until


def test_new_events_appear_by_themselves(page: Page, post: Post) -> None:
    """A running session's page follows the log and keeps the selection; an ended session is not called live."""
    story = Story("live").ask("Where is my parcel?")
    run = story.call("Where is my parcel?")
    post(story.news())
    follow(page)
    page.locator("#tree .row.k-model").click()
    story.wait(900).answer(run, "It arrives tomorrow.", 900, (20, 8))
    story.end("done")
    post(story.news())

    expect(page.locator("#tree .row.k-model .lead + .rest i")).to_contain_text("It arrives tomorrow.")
    expect(page.locator("#head .status")).to_have_text("completed")
    expect(page.locator("#tree .row.at")).to_have_class("row k-model x-ok at")
    expect(page.locator("#live")).to_have_text("")


def test_page_that_found_no_room_becomes_live_when_there_is(
    context: BrowserContext, server: Running, post: Post
) -> None:
    """A stream that the server refused is requested again, and what arrived meanwhile is shown."""
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
    pasted, commands = (page.locator(f"#{each}").inner_text() for each in ("snippet", "commands"))
    post(sessions.recipe())

    expect(page.locator(".c-title a")).to_have_text("Generate three recipes using chicken and vegetables")
    base_url = f"http://{page.url.split('/')[2]}/api/v1"
    assert f'base_url="{base_url}"' in pasted
    assert commands.splitlines() == [f"export COAGENT_BASE_URL={base_url}", "coagent-langchain run app.py"]


def test_page_says_when_the_server_is_gone(context: BrowserContext, server: Running, post: Post) -> None:
    """A click after the server has stopped shows an error."""
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
    """An opened tab and the details of a clicked row, without another click."""
    store = f"sqlite://{tmp_path}/coagent.db"
    with launch(store) as server:
        log(server, sessions.recipe("recipe"))
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
