"""A session as Markdown."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from markdown_it import MarkdownIt

from coagent_langchain.server.presentation import transcript
from coagent_langchain.server.presentation.jsonview import pretty
from coagent_langchain.server.store.records import Session
from tests.server.drawing import ASKED, TOOL
from tests.server.samples import entry
from tests.server.story import T0, Story


@pytest.mark.parametrize(("title", "heading"), [("Find me", "Find me"), ("", "abc")])
def test_markdown_begins_with_the_figures_of_the_session(title: str, heading: str) -> None:
    """Under its title, or its id if it has none."""
    session = Session("abc", T0, T0 + 65_000, "failed", title, entries=9, prompts=2, turns=3, llm_calls=4,
                      tool_calls=5, errors=6, input_tokens=1_000, output_tokens=20, total_tokens=1_020,
                      cost=0.25, unpriced_calls=1)  # fmt: skip

    assert transcript.opening(session) == (
        f"# {heading}\n\n- Session: abc\n- Status: failed\n- Started: 2026-09-21T14:13:20.000Z\n"
        "- Duration: 1 min 05 s\n- Prompts, turns: 2, 3\n- Model calls, tool calls: 4, 5\n"
        "- Tokens in, out: 1,000, 20\n- Cost: $0.2500, 1 call without a price\n- Errors: 6\n"
    )


@pytest.mark.parametrize(("response", "facts"), [
    ({"execution_time_ms": 1_500, "input_tokens": 10, "output_tokens": 2}, ", 1.5 s, 10 → 2 tokens"),
    ({"execution_time_ms": 0, "input_tokens": 10}, ", 0 ms, 10 → – tokens"),
    ({"output_tokens": 2}, ", – → 2 tokens"), ({"input_tokens": 0, "output_tokens": 0}, ""),
])  # fmt: skip
def test_markdown_has_the_facts_of_a_call_and_its_texts_as_blocks(response: dict[str, Any], facts: str) -> None:
    """Duration and tokens as far as they are known and not zero; a fence is longer than those in the text."""
    told = {"response": "Use:\n```\nls\n```"}
    entry = Story("s").log("llm_response", 1, llm_response=response | told, meta={"model": "m"})

    assert transcript.section(orjson.dumps(entry)) == (
        f"\n## llm_response m\n\n2026-09-21T14:13:20.000Z, prompt 1, turn 1{facts}\n\n"
        "**llm_response.response**\n\n````\nUse:\n```\nls\n```\n````\n\n"
        f"**llm_response**\n\n```json\n{pretty(response)}\n```\n"
    )


@pytest.mark.parametrize(("kind", "meta", "outcome"), [
    ("llm_response", {"finish_reason": "length"}, "cut off"), ("llm_response", {"cached": True}, "from cache"),
    ("llm_response", {"outcome": "abandoned"}, "abandoned"), ("tool_response", {"outcome": "not run"}, "not run"),
    ("human_oversight", {"status": "resumed"}, "resumed"), ("session_end", {"status": "failed"}, "failed"),
    ("tool_response", {"outcome": "[a](b)"}, r"\[a](b)"),
])  # fmt: skip
def test_markdown_tells_how_a_call_ended(kind: str, meta: dict[str, Any], outcome: str) -> None:
    """Among its facts, as a row does: an answer that was cut off looked whole, a human's answer like the question."""
    entry = Story("s").log(kind, 1, meta=meta)

    assert transcript.section(orjson.dumps(entry)).splitlines()[3] == (
        f"2026-09-21T14:13:20.000Z, prompt 1, turn 1, {outcome}"
    )


@pytest.mark.parametrize(("response", "meta", "facts"), [
    ({"response": ""}, {}, ", empty response"),
    ({"response": ""}, {"finish_reason": "length"}, ", cut off, empty response (length)"),
    ({"response": ""}, {"finish_reason": "[a](b)"}, r", empty response (\[a](b))"),
    ({"response": ""}, {"blocks": [{"type": "computer_call"}]}, ", computer_call"),
    ({"response": "Hello"}, {}, ""),
    ({"input_tokens": 20, "output_tokens": 0}, {"content": "not captured"}, ", 20 → 0 tokens, content not captured"),
])  # fmt: skip
def test_markdown_says_why_an_answer_has_no_text(response: dict[str, Any], meta: dict[str, Any], facts: str) -> None:
    """As its row does: it looked as if the export had lost the text."""
    entry = Story("s").log("llm_response", 1, llm_response=response, meta=meta)

    assert transcript.section(orjson.dumps(entry)).splitlines()[3] == (
        f"2026-09-21T14:13:20.000Z, prompt 1, turn 1{facts}"
    )


@pytest.mark.parametrize(("kind", "fields", "blocks"), [
    ("user_input", {"prompt": "Rome?", "input_data": {"prompt": "Rome?"}}, ["Prompt"]),
    ("user_input", {"input_data": {"prompt": "Rome?"}}, ["input_data"]),
    ("routing", {"routing_type": "transfer", "target_component": {"name": "b"}}, ["target_component", "routing_type"]),
    ("info", {"message": "on its way", "meta": {"a": 1}}, ["message"]),
    ("info", {"meta": {"message": "on its way"}}, ["Message"]),
    ("info", {"output_data": {"message": "on its way"}}, ["output_data"]),
])  # fmt: skip
def test_markdown_has_all_content_once(kind: str, fields: dict[str, Any], blocks: list[str]) -> None:
    """Including fields that other clients add; a prompt that is logged in two places is shown once."""
    entry = {"event_type": kind, "timestamp": T0, "prompt_number": 1, "turn_number": 0, **fields}

    assert re.findall(r"\*\*(.*?)\*\*", transcript.section(orjson.dumps(entry))) == blocks


@pytest.mark.parametrize(("history", "blocks"), [
    ([ASKED, TOOL], ["Message", {"role": "user", "content": "Rome?"}, "Message", TOOL]),
    ([TOOL], ["Message", TOOL, "To the model", "Rome?"]),
])  # fmt: skip
def test_markdown_has_the_prompt_at_its_place_too(history: list[Any], blocks: list[Any]) -> None:
    """Once, among the messages; then what else the call has."""
    story = Story("s")
    story.call("Rome?", history=history)
    story.entries[0]["performance_metrics"] = {"cost": 1}
    text = transcript.section(orjson.dumps(story.entries[0]))
    read = re.findall(r"\*\*(.*?)\*\*\n\n```(json)?\n(.*?)\n```", text, re.DOTALL)

    assert [value for title, kind, body in read for value in (title, orjson.loads(body) if kind else body)] == [
        *blocks, "llm_call", {"issuer": "agent"}, "performance_metrics", {"cost": 1},
    ]  # fmt: skip


def test_markdown_has_no_link_or_image_but_in_blocks() -> None:
    """A title, or the name of a tool or field, may be anybody's words; whoever opens the file would fetch an image."""
    words = "![a](http://x/i.png) <img src=x> [b]: c\n# d &lt; `e` *f*"
    logged = entry("tool_call", tool_call={"tool_name": words}, **{words: words})
    parts = [transcript.opening(Session(words, T0, T0, "failed", words)), transcript.section(orjson.dumps(logged))]

    shown = re.sub(r"<pre>.*?</pre>", "", MarkdownIt("commonmark").render("".join(parts)), flags=re.DOTALL)
    assert set(re.findall(r"<(\w+)", shown)) == {"h1", "h2", "p", "ul", "li", "strong"}
    assert shown.count("![a](http://x/i.png) &lt;img src=x&gt; [b]: c # d &amp;lt; `e` *f*") == 4
