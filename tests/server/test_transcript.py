"""A session as Markdown."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from coagent_langchain.server.presentation import transcript
from tests.server.drawing import ASKED, TOOL
from tests.server.story import T0, Story


@pytest.mark.parametrize(("kind", "fields", "blocks"), [
    ("user_input", {"prompt": "Rome?", "input_data": {"prompt": "Rome?"}}, ["Prompt"]),
    ("user_input", {"input_data": {"prompt": "Rome?"}}, ["input_data"]),
    ("routing", {"routing_type": "transfer", "target_component": {"name": "b"}}, ["target_component", "routing_type"]),
    ("info", {"message": "on its way", "meta": {"a": 1}}, ["message"]),
])  # fmt: skip
def test_markdown_has_all_content_once(kind: str, fields: dict[str, Any], blocks: list[str]) -> None:
    """Including fields that other clients add; a prompt that is logged in two places is shown once."""
    entry = {"event_type": kind, "timestamp": T0, "prompt_number": 1, "turn_number": 0, **fields}

    assert re.findall(r"\*\*(.*?)\*\*", "".join(transcript.entries([orjson.dumps(entry)]))) == blocks


@pytest.mark.parametrize(("history", "blocks"), [
    ([ASKED, TOOL], ["Message", {"role": "user", "content": "Rome?"}, "Message", TOOL]),
    ([TOOL], ["Message", TOOL, "To the model", "Rome?"]),
])  # fmt: skip
def test_markdown_has_the_prompt_at_its_place_too(history: list[Any], blocks: list[Any]) -> None:
    """Once, among the messages."""
    story = Story("s")
    story.call("Rome?", history=history)
    text = "".join(transcript.entries([orjson.dumps(story.entries[0])])).partition("**llm_call**")[0]
    read = re.findall(r"\*\*(.*?)\*\*\n\n```(json)?\n(.*?)\n```", text, re.DOTALL)

    assert [value for title, kind, body in read for value in (title, orjson.loads(body) if kind else body)] == blocks
