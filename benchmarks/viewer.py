"""The viewer's pages in Chromium, empty cache, medians: opening, clicking, memory, elements, script bytes."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import orjson
from playwright.sync_api import Browser, Page, sync_playwright

from coagent_langchain.server import launch
from coagent_langchain.server.running import Running
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.server import sessions
from tests.server.pages import log
from tests.server.story import T0, Story

RUNS = 5
WATCH = """(selector) => {
  const look = () => document.querySelector(selector) && requestAnimationFrame(() => requestAnimationFrame(() => {
    document.documentElement.dataset.opened ??= performance.now(); }));
  new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
  window.longest = 0;
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
  }).observe({ entryTypes: ["longtask"] });
}"""
CLICK = """(place) => new Promise((done) => {
  const row = document.querySelectorAll("#tree .row:not([hidden])")[place];
  const pane = document.getElementById("detail");
  const began = performance.now();
  new MutationObserver((_, watch) => {
    watch.disconnect();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
  }).observe(pane, { childList: true });
  row.click();
})"""
SCROLL = """() => new Promise((done) => {
  const box = document.getElementById('tree');
  let last = performance.now(), worst = 0, left = 120;
  const step = (now) => { worst = Math.max(worst, now - last); last = now; box.scrollTop += 700;
    if (--left) requestAnimationFrame(step); else done(worst); };
  requestAnimationFrame(step);
})"""


@contextmanager
def opened(browser: Browser, url: str, ready: str) -> Iterator[tuple[Page, float]]:
    """Open a page with an empty cache; yield it and the milliseconds until `ready` was on the screen."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.add_init_script(f"({WATCH})({orjson.dumps(ready).decode()})")
    page.goto(url)
    page.wait_for_selector("html[data-opened]", timeout=60_000)
    yield page, page.evaluate("Number(document.documentElement.dataset.opened)")
    context.close()


def memory(page: Page) -> tuple[float, int]:
    """The heap in MB after a garbage collection, and the number of elements."""
    client = page.context.new_cdp_session(page)
    client.send("HeapProfiler.collectGarbage")
    client.send("Performance.enable")
    metrics = {metric["name"]: metric["value"] for metric in client.send("Performance.getMetrics")["metrics"]}
    return metrics["JSHeapUsedSize"] / 1e6, page.evaluate("document.getElementsByTagName('*').length")


def script_bytes(page: Page) -> int:
    """Bytes of JavaScript that the page has loaded."""
    names = "performance.getEntriesByType('resource').filter((r) => r.name.endsWith('.js'))"
    total: int = page.evaluate(f"{names}.reduce((sum, r) => sum + r.encodedBodySize, 0)")
    return total


def session(browser: Browser, server: Running, session_id: str, runs: int = RUNS) -> dict[str, float]:
    """Measure one session's page."""
    opens, clicks, figures = [], [], {}
    for _ in range(runs):
        with opened(browser, f"{server.url}/sessions/{session_id}", "#session[data-ready]") as (page, took):
            opens.append(took)
            clicks += [page.evaluate(CLICK, place) for place in range(2, 12)]
            figures["worst frame while scrolling, ms"] = page.evaluate(SCROLL)
            figures["heap, MB"], figures["elements"] = memory(page)
            figures["JavaScript, bytes"] = script_bytes(page)
    return {"open, ms": median(opens), "open, best ms": min(opens), "click, ms": median(clicks)} | figures


def listing(browser: Browser, server: Running) -> dict[str, float]:
    """Measure the list of sessions."""
    opens, figures = [], {}
    for _ in range(RUNS):
        with opened(browser, f"{server.url}/", ".sessions tbody tr") as (page, took):
            opens.append(took)
            figures["JavaScript, bytes"] = script_bytes(page)
    return {"open, ms": median(opens), "open, best ms": min(opens)} | figures


def long_answer(browser: Browser, server: Running) -> dict[str, float]:
    """Measure a session whose model answered with 5 MB: opening it, and the longest time the page was blocked."""
    with opened(browser, f"{server.url}/sessions/long", "#session[data-ready]") as (page, took):
        click = page.evaluate(CLICK, 1)
        page.evaluate("window.longest = 0")
        began = time.perf_counter()
        more = page.locator("#detail .d-body:not([hidden]) [data-more]").first
        shown = 0
        while more.count() and shown < 40:
            more.click()
            shown += 1
            page.locator("#detail .d-body:not([hidden]) [data-more][disabled]").first.wait_for(state="detached")
        whole = (time.perf_counter() - began) * 1000
        return {
            "open, ms": took,
            "click, ms": click,
            "all of it shown, ms": whole,
            "longest task, ms": page.evaluate("window.longest"),
        }


def print_figures(title: str, figures: dict[str, float], goals: dict[str, float]) -> bool:
    """Print one table; return whether all goals were met."""
    print(f"\n{title}\n")
    held = True
    for name, value in figures.items():
        goal = goals.get(name)
        kept = goal is None or value <= goal
        held &= kept
        print(f"  {name:<34}{value:>10,.0f}" + (f"   goal {goal:,.0f}{'' if kept else '  MISSED'}" if goal else ""))
    return held


def main() -> None:
    """Measure a list of 31,000 events in small sessions, sessions of 1,000 to 100,000 events, and a 5 MB answer."""
    with (
        tempfile.TemporaryDirectory() as folder,
        launch(f"sqlite:///{folder}/viewer.db") as server,
        sync_playwright() as p,
    ):
        browser = p.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for number in range(3_100):
            log(server, sessions.recipe(f"recipe-{number}", T0 + number * 1000))
        held = [print_figures("List, 31,000 events in 3,100 sessions", listing(browser, server),
                              {"open, ms": 300, "JavaScript, bytes": 40_000})]  # fmt: skip
        session_goals = {"click, ms": 50.0, "heap, MB": 50, "elements": 3000, "JavaScript, bytes": 40_000}
        for size, goals, runs in ((1_000, {"open, ms": 500.0} | session_goals, RUNS),
                                  (10_000, {"open, ms": 1000.0} | session_goals, RUNS), (100_000, {}, 1)):  # fmt: skip
            log(server, sessions.big(size))
            held.append(
                print_figures(f"A session of {size:,} events", session(browser, server, f"big-{size}", runs), goals)
            )
        story = Story("long").ask("Write a long answer")
        story.model("Write a long answer", "All work and no play. " * 230_000, 900, (10, 1_200_000))
        for entry in story.end("done"):
            log(server, [entry])
        held.append(
            print_figures(
                "An answer of 5 MB", long_answer(browser, server), {"click, ms": 200, "longest task, ms": 100}
            )
        )
        browser.close()
    if not all(held):
        sys.exit("a goal was missed")


if __name__ == "__main__":
    main()
