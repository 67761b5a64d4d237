"""A real Chromium, a real server with its database, and pages that must not report an error."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from coagent_langchain.server import launch
from coagent_langchain.server.running import Running
from tests.server.pages import log

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)  # None: Playwright searches for its own
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--no-first-run"]  # fmt: skip
TIMEOUT = 12_000  # milliseconds: a busy machine is slow, not wrong; pages check for events after 15 s anyway
Post = Callable[[Iterable[dict[str, Any]]], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests in this folder, and skip them if there is no Chromium; CI must not skip them."""
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:
        item.add_marker(pytest.mark.browser)
        if CHROMIUM is None and not os.environ.get("CI"):
            item.add_marker(pytest.mark.skip(reason="no Chromium: install it, e.g. with 'apt-get install chromium'"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests; each test has its own context."""
    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def server() -> Iterator[Running]:
    """A server on a free port with a database of its own."""
    with launch() as running:
        yield running


@pytest.fixture
def post(server: Running) -> Post:
    """A function that logs entries over HTTP, as a client does."""
    return functools.partial(log, server)


@pytest.fixture
def context(browser: Browser, server: Running) -> Iterator[BrowserContext]:
    """A browser context with the server's address as base URL: `page.goto("/")`."""
    window = {"width": 1400, "height": 900}
    context = browser.new_context(base_url=server.url, viewport=window, locale="en-US", timezone_id="UTC")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(TIMEOUT)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page; an error that it reports (of a script, or against the security policy) fails the test."""
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page
    page.close()

    assert errors == []
