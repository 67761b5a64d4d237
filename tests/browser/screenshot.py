"""Make the README's screenshot: `python -m tests.browser.screenshot [FILE]`, by default docs/images/session.png."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import sync_playwright

from coagent_langchain.server import launch
from coagent_langchain.wire import now_ms
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.server import sessions
from tests.server.pages import log

SESSION = "trip-planner/2026-11-22"
DEFAULT = Path(__file__).parents[2] / "docs/images/session.png"


def main(target: Path) -> None:
    """Log a session with tools, a sub-agent, a retry and a human, and take a screenshot of its page."""
    with launch() as server, sync_playwright() as playwright:
        log(server, sessions.trip(SESSION, now_ms() - 240_000))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1360, "height": 860}, locale="en-US")
        page.goto(f"{server.url}/sessions/{quote(SESSION, safe='')}")
        page.wait_for_selector("#session[data-ready]")
        page.locator("#tree .row.k-model b").first.click()
        page.wait_for_selector("#detail .d-head")
        page.screenshot(path=str(target))
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT)
