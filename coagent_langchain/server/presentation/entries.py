"""What several modules read from an entry: its prompt, a node's own messages, the tools that an answer calls."""

from __future__ import annotations

from collections import Counter
from typing import Any

from coagent_langchain.server.presentation.blocks import media
from coagent_langchain.server.presentation.formats import MOST, arguments, preview
from coagent_langchain.server.presentation.values import Value, listing, mapping, text
from coagent_langchain.wire import JsonObject

MAX_REASON = 60  # characters of a finish reason
METADATA = ("meta", "custom_metadata", "conversation_context", "graph_context", "agent_stack")


def prompt_of(entry: Value) -> Value:
    """The prompt: CoAgent's own client writes it to both places, others to one."""
    asked = entry.at("prompt")
    return asked if asked.text else entry.at("input_data", "prompt")


def message_of(entry: Value) -> Value:
    """The words of a log event: ours are in `output_data`, those of other clients perhaps among the metadata."""
    found = (entry.at(field, "message") for field in ("output_data", "meta", "custom_metadata"))
    return next((message for message in found if message.text), Value(None))


def own_words(entry: JsonObject) -> list[str]:
    """The texts of the messages that a node wrote itself, without a model; "" for one without text."""
    messages = listing(mapping(entry.get("output_data")).get("messages"))
    return [text(mapping(message).get("content")) for message in messages]


def requested_tools(calls: Any) -> str:
    """The tools that an answer calls, `→ flight_search ×3, book`: shown before its text, whose end may be cut.

    A call for structured output has its arguments, too: it is the answer, and no tool's row shows it.
    """
    listed = [mapping(call) for call in listing(calls) or listing(mapping(calls).get("calls"))]
    names = Counter(
        call_with_arguments(call) if call.get("structured_output") is True else name + unreadable(call)
        for call in listed
        if (name := text(call.get("name")))
    )
    told = [f"{name} ×{number}" if number > 1 else name for name, number in [*names.items()][:MOST]]
    return preview("→ " + ", ".join(told)) if told else ""


def unreadable(call: JsonObject) -> str:
    """What to say after a call's name if its arguments are not a JSON object, so that no tool could run; else ""."""
    return " (arguments are not a JSON object)" if call.get("invalid") is True else ""


def call_with_arguments(call: JsonObject) -> str:
    """A call with its arguments, `book_train(from: MAD, to: BCN)`; LangChain's Agent Inbox calls its name `action`."""
    return f"{text(call.get('name', call.get('action')))}({arguments(call.get('args'))})"


def is_handler_result(result: Any) -> bool:
    """Whether a tool's result is as a handler writes it: an output, possibly with an artifact or a graph's command."""
    return isinstance(result, dict) and "output" in result and result.keys() <= {"output", "artifact", "command"}


def withheld(meta: JsonObject) -> str:
    """What is shown in place of content that a handler left out; "" if it left out none."""
    reason = text(meta.get("content"))
    return f"content {reason}" if reason == "not captured" else "content left out: redact failed" if reason else ""


def placeholder(entry: JsonObject) -> str:
    """What is shown in place of a model's words: that they were left out, what else it said, or why it said nothing.

    "" for what has words or tool calls, and for a call that failed or was stopped: the model might have said more.
    """
    answer, meta = mapping(entry.get("llm_response")), mapping(entry.get("meta"))
    response = answer.get("response")
    words = response.strip() if isinstance(response, str) else response
    said = words or answer.get("tool_calls") or meta.get("outcome")
    if left_out := withheld(meta):
        return left_out
    if entry.get("event_type") != "llm_response" or "response" not in answer or said:
        return ""
    if blocks := meta.get("blocks"):
        return preview(" · ".join(media(blocks)) or ", ".join(_kind(mapping(block)) for block in listing(blocks)))
    reason = preview(text(meta.get("finish_reason")), MAX_REASON)
    return f"empty response ({reason})" if reason else "empty response"


def _kind(block: JsonObject) -> str:
    """A content block in the provider's words: `server_tool_use web_search`."""
    return f"{text(block.get('type'))} {text(block.get('name'))}".strip()
