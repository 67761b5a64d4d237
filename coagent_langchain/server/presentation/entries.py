"""What an entry says where several look for it: its prompt, a node's own words, the tools that an answer asks for."""

from __future__ import annotations

from typing import Any

from coagent_langchain.server.presentation.formats import MOST, listing, mapping, preview, text
from coagent_langchain.wire import JsonObject


def prompt_of(entry: JsonObject) -> tuple[str, list[str]]:
    """What was asked, and where it stands: CoAgent's own client gives it twice, others in either place."""
    if asked := text(entry.get("prompt")):
        return asked, ["prompt"]
    return text(mapping(entry.get("input_data")).get("prompt")), ["input_data", "prompt"]


def own_words(entry: JsonObject) -> list[str]:
    """The texts of the messages that a node says itself, without a model; "" for one without a text."""
    messages = listing(mapping(entry.get("output_data")).get("messages"))
    return [text(mapping(message).get("content")) for message in messages]


def asks_for(calls: Any) -> str:
    """`→ flight_search, train_search`: what an answer asks for; before its text, whose end is cut."""
    listed = listing(calls) or listing(mapping(calls).get("calls"))
    names = [name for call in listed[:MOST] if (name := text(mapping(call).get("name")))]
    return preview("→ " + ", ".join(names)) if names else ""


def of_a_handler(result: Any) -> bool:
    """Whether a tool's result is what a handler writes: its output, and maybe an artifact or a graph's command."""
    return isinstance(result, dict) and "output" in result and result.keys() <= {"output", "artifact", "command"}


def withheld(meta: JsonObject) -> str:
    """What stands where a handler has left the content out."""
    reason = text(meta.get("content"))
    return f"content {reason}" if reason == "not captured" else "content left out: redact failed" if reason else ""
