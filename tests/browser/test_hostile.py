"""Hostile text in every field of an entry, as value and as key: it is shown, not run."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Post
from tests.server.story import T0, Story

SCRIPT = "<script>document.title='pwned'</script>"
PAYLOADS = [
    SCRIPT,
    "<img src=x onerror=\"document.title='pwned'\">",
    "\"><svg onload=document.title='pwned'>",
    "</pre></textarea></title><script>document.title='pwned'</script>",
    "{{ 7 * 7 }}{% for x in y %}",
    "javascript:document.title='pwned'",
    "[x](javascript:document.title='pwned') ![i](https://evil.example/steal.png) <https://evil.example>",
    "__proto__",
    "constructor",
    "a\u202eb\u0007c\u200bd\u2066e",
]
TYPES = ["session_start", "user_input", "llm_call", "llm_response", "tool_call", "tool_response", "error", "recovery",
         "component_enter", "human_oversight", "routing", "info", "warning", "test_result", "session_end"]  # fmt: skip


def poisoned(text: str, event_type: str, number: int) -> dict[str, Any]:
    """One entry with the text in every field that accepts it, and as a key wherever keys are free-form."""
    tree = {text: text, "list": [text, {text: text}], "deep": {text: {text: [text]}}}
    return {
        "version": "2.0.0", "session_id": f"s {text}", "prompt_number": 1, "turn_number": 1, "event_type": event_type,
        "event_id": f"{number} {text}", "timestamp": T0 + number, "prompt": text, "agent_stack": [text],
        "meta": tree | {"model": text, "tool_call_id": text, "reasoning": text, "outcome": text, "status": text,
                        "context": {"tags": [text], "metadata": tree}, "framework": {"node": text, "agent": text},
                        "finish_reason": text, "trace": {"run_id": f"r{number // 2}", "name": text}},
        "input_data": tree | {"value": text, "interrupt_id": text},
        "output_data": tree | {"message": text, "response": text},
        "llm_call": {"issuer": text, "system_prompt": text, "history": {"messages": [
            {"role": text, "content": text, "name": text, "tool_calls": [tree]}, tree, text]}},
        "llm_response": {"response": text, "tool_calls": {"calls": [{"id": text, "name": text, "args": tree}]}},
        "tool_call": {"tool_name": text, "parameters": tree},
        "tool_response": {"tool_name": text, "result": tree, "success": False, "error_message": text},
        "error_info": {"error_id": text, "error_type": text, "error_message": text, "stack_trace": text, text: text},
        "target_component": {"id": text, "name": text, "component_type": text},
        "routing_type": text, "custom_metadata": tree, "graph_context": tree, text: tree,
    }  # fmt: skip


@pytest.mark.parametrize("text", PAYLOADS)
def test_hostile_text_is_shown_and_not_run(page: Page, post: Post, text: str) -> None:
    """List, tabs, details, comparison: no script runs, no element from the text exists, nothing is requested."""
    post(poisoned(text, event_type, number) for number, event_type in enumerate(TYPES))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    path = f"/sessions/{quote(f's {text}', safe='')}"
    page.goto("/")
    page.wait_for_selector(".sessions tbody tr")
    page.goto(path)
    page.wait_for_selector("#session[data-ready]")
    for place in range(page.locator("#tree .row").count()):
        page.locator("#tree .row").nth(place).locator("b").click()
    page.wait_for_selector("#detail .d-head")
    for tab in page.locator("#detail [data-body]").all():
        tab.click()
    for name, ready in (("conversation", ".said"), ("events", "#events [data-index]"), ("raw", "#raw pre")):
        page.click(f"#tab-{name}")
        page.wait_for_selector(ready)
    page.goto("/compare?" + urlencode([("s", f"s {text}")] * 2))
    found = page.evaluate(
        "[document.title, document.querySelectorAll('main img, main script, main [onerror]').length, ({}).x]"
    )

    assert found == ["Compare · CoAgent", 0, None]
    assert {url.split("/")[2] for url in asked} == {page.url.split("/")[2]}


def test_text_reads_as_it_was_logged(page: Page, post: Post) -> None:
    """Markup is readable as text, also in keys."""
    post([poisoned(SCRIPT, "tool_call", 1)])
    page.goto(f"/sessions/{quote(f's {SCRIPT}', safe='')}?event={quote(f'1 {SCRIPT}')}")
    page.wait_for_selector("#detail .json")

    assert page.locator("#detail .json .k").first.inner_text() == f"{SCRIPT}:"
    assert page.locator("#detail .json .s").first.inner_text() == SCRIPT


def test_invisible_characters_are_visible(page: Page, post: Post) -> None:
    """Text cannot hide or reorder what is beside it."""
    post([poisoned("safe\u202egnp.exe\u0007", "user_input", 1)])
    page.goto("/")

    assert page.locator(".c-title a").inner_text() == "safe⟨U+202E⟩gnp.exe␇"


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/", ".c-title a, .c-title .id"),
        ("/sessions/{}", ".crumb-id, .head h1, .own .id"),
        ("/compare?s={}&s={}", ".versus thead a, .versus .id, .whose .id"),
        ("/compare?s={}", ".recent b, .recent .id"),
    ],
)
def test_right_to_left_names_turn_nothing_beside_them(page: Page, post: Post, path: str, names: str) -> None:
    """A title and an id in Arabic have their own direction everywhere, and are aligned left like others."""
    ids = ["جلسة-1 (final)/2026", "جلسة-2 (final)/2026"]
    for session_id in ids:
        post(Story(session_id).ask("ما هو الطقس؟ (today)").entries)
    page.goto(path.format(*[quote(session_id, safe="") for session_id in ids]))
    styles = page.locator(names).evaluate_all("""all => all.map((each) => {
        const { direction, unicodeBidi, textAlign } = getComputedStyle(each);
        return `${direction} ${unicodeBidi} ${textAlign}`;
    })""")

    assert set(styles) == {"rtl isolate left"}


def test_titles_of_compared_sessions_stay_in_their_columns(page: Page, post: Post) -> None:
    """Also one without spaces, such as a long address."""
    for name in ("a", "b"):
        post(Story(name).ask("https://example.org/" + "x" * 200).entries)
    page.goto("/compare?s=a&s=b")
    heads = page.locator(".versus thead th")

    assert heads.evaluate_all("all => all.map((head) => head.scrollWidth > head.clientWidth)") == [False] * 3


def test_markdown_links_are_inert(page: Page, post: Post) -> None:
    """A link in a response is text with its address, and cannot be clicked."""
    post([poisoned("[x](https://evil.example)", "llm_response", 1)])
    page.goto(f"/sessions/{quote('s [x](https://evil.example)', safe='')}?tab=conversation")
    page.wait_for_selector(".said.answer")

    assert page.locator(".said.answer .prose p").first.inner_text() == "[x](https://evil.example)"
    assert page.locator("#conversation a:not(.to)").count() == 0


def test_table_begins_where_its_words_do(page: Page, post: Post) -> None:
    """With a right-to-left script it begins at the right, below the paragraphs."""
    story = Story("s").ask("?")
    for cells in ("| أ | ب |\n|-|-|\n| 1 | 2 |", "| a | b |\n|-|-|\n| 1 | 2 |"):
        story.model("?", cells, 5, (1, 1))
    post(story.entries)
    page.goto("/sessions/s?tab=conversation")
    page.locator("#conversation table").nth(1).wait_for()
    sides = page.locator("#conversation table").evaluate_all("""tables => tables.map(table => {
        const own = table.getBoundingClientRect(), all = table.parentElement.getBoundingClientRect();
        return [own.left === all.left, own.right === all.right]; })""")

    assert sides == [[False, True], [True, False]]


def test_code_in_right_to_left_text_is_left_to_right(page: Page, post: Post) -> None:
    """`code()` is not shown as `()code`, nor is a block of it aligned right."""
    story = Story("s").ask("كيف؟")
    story.model("كيف؟", "استخدم `code()` هنا.\n\n- عنصر\n\n  ```\n  f(1)\n  ```", 5, (1, 1))
    post(story.entries)
    page.goto("/sessions/s?tab=conversation")
    page.locator(".prose pre").wait_for()
    styles = page.locator(".prose :is(code, pre)").evaluate_all("""all => all.map((each) => {
        const { direction, unicodeBidi, textAlign } = getComputedStyle(each);
        return `${direction} ${unicodeBidi} ${textAlign}`;
    })""")

    assert styles == ["ltr isolate left"] * 2
