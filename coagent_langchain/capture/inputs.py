"""What a person asked and was answered, read from a chain's inputs and outputs of any shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from coagent_langchain.capture.messages import message_dict, text_of
from coagent_langchain.capture.snapshot import MAX_FIELD, snapshot

_TEXT_KEYS = ("input", "question", "query", "prompt", "user_input", "text")
_UPDATE_LIMIT = 10_000  # characters of one value that a node changed
_ANSWER_KEYS = ("output", "answer", "result", "text", "response")


def user_text(inputs: Any) -> str | None:
    """The last thing a person said in a chain's inputs; None when it cannot be told (yet).

    A text is taken as it is, messages give the last human one, a mapping its one text or the usual key. Other inputs
    become their JSON.
    """
    if isinstance(inputs, str):
        return inputs[:MAX_FIELD] or None
    if isinstance(inputs, Mapping):
        return _of_mapping(inputs)
    if isinstance(inputs, (list, tuple)):
        return _last_human(inputs)
    if hasattr(inputs, "to_messages"):  # a prompt value
        return _last_human(inputs.to_messages())
    if hasattr(inputs, "content"):
        return text_of(inputs) or None
    return None


def _of_mapping(inputs: Mapping[Any, Any]) -> str | None:
    if not inputs or (len(inputs) == 1 and inputs.get("input") == ""):
        return None  # `stream` starts with {"input": ""}: the real inputs come at the end
    messages = inputs.get("messages")
    if isinstance(messages, (list, tuple)):
        return _last_human(messages)
    for key in _TEXT_KEYS:
        value = inputs.get(key)
        if isinstance(value, str):
            return value[:MAX_FIELD] or None
    if len(inputs) == 1:
        value = next(iter(inputs.values()))
        if isinstance(value, (str, list, tuple)):
            return user_text(value)
    return as_json(inputs)


def _last_human(messages: Any) -> str | None:
    for message in reversed(messages):
        if isinstance(message, str):
            return message
        if getattr(message, "type", None) in ("human", "HumanMessageChunk"):
            return text_of(message)
        if isinstance(message, (tuple, list, dict)):
            plain = message_dict(message)
            if plain["role"] == "user":
                return plain["content"] if isinstance(plain["content"], str) else as_json(plain["content"])
    return None


def as_json(value: Any) -> str:
    """Any object as JSON text, bounded."""
    return orjson.dumps(snapshot(value, 10_000)).decode()[:MAX_FIELD]


def answer_text(outputs: Any, limit: int) -> str | None:
    """The answer in a chain's outputs, cut at `limit` characters; what is no text or message becomes its JSON."""
    if outputs is None or isinstance(outputs, str):
        return outputs and outputs[:limit]
    if isinstance(outputs, Mapping):
        messages = outputs.get("messages")
        if isinstance(messages, (list, tuple)) and messages:
            return answer_text(messages[-1], limit)
        for key in _ANSWER_KEYS:
            if isinstance(outputs.get(key), str):
                return str(outputs[key])[:limit]
    elif hasattr(outputs, "content"):
        return text_of(outputs)[:limit]
    return as_json(outputs)[:limit]


def update_of(outputs: Any, meta: dict[str, Any]) -> dict[str, Any]:
    """What a graph node changed, without the messages, which have events of their own.

    Parameters:
        meta: the event's; told how many messages there were, and which tool calls were an answer's structure.
    """
    parts = outputs if isinstance(outputs, list) else [outputs]
    updates = [part.update if hasattr(part, "goto") else part for part in parts]  # a `Command`, or the update itself
    found: dict[str, Any] = {}
    messages: list[Any] = []
    for update in updates:
        if not isinstance(update, Mapping):
            if update is not None and not hasattr(update, "content"):
                found["value"] = snapshot(update, _UPDATE_LIMIT)
            continue
        for key, value in update.items():
            if key == "messages":
                messages += value if isinstance(value, list) else [value]
            else:
                found[str(key)] = snapshot(value, _UPDATE_LIMIT)
    if messages:
        meta["messages"] = len(messages)
    if "structured_response" in found:
        # ToolStrategy answers its own tool call: no tool will ever run for it.
        answered = {getattr(message, "tool_call_id", None) for message in messages}
        calls = [call for message in messages for call in getattr(message, "tool_calls", None) or ()]
        meta["structured_output_calls"] = [call.get("id") for call in calls if call.get("id") in answered]
    return found
