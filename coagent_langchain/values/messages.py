"""LangChain messages, and what a model is sent, as plain values: roles, texts, tool calls.

A model call is logged as prompt, system prompt and history. To reconstruct it: the system prompt, then the history in
order, where the item with `content_is_prompt` is the prompt's own message (without a `content` of its own unless that
is more than text); if no item has it, the prompt comes last.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from coagent_langchain.texts import MAX_FIELD, bounded
from coagent_langchain.values.content import calls_in, joined, plain_content, text_of
from coagent_langchain.values.fields import as_dict, fields_of
from coagent_langchain.values.roles import role_of
from coagent_langchain.values.snapshot import snapshot

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage


@dataclass(slots=True)
class Conversation:
    """What a model was sent: the last user text, the system prompt, and all other messages in order."""

    prompt: str | None = None
    system_prompt: str | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


def conversation_of(messages: list[BaseMessage]) -> Conversation:
    """Split what a model is sent; anything that is not a message is kept as well as possible."""
    history: list[dict[str, Any]] = []
    systems: list[str] = []
    last_user = -1
    for message in messages:
        item = message_dict(message)
        role = item["role"]
        if role == "user":
            last_user = len(history)
        elif role == "system":
            content = getattr(message, "content", None)
            systems.append(content if type(content) is str else text_of(message))
            continue
        history.append(item)
    system_prompt = bounded("\n\n".join(systems)) if systems else None
    if last_user < 0:
        return Conversation(None, system_prompt, history)
    return Conversation(_take_prompt(history, last_user), system_prompt, history)


def _take_prompt(history: list[dict[str, Any]], place: int) -> str:
    """Take the last user text out of the history; its item stays, marked, if it holds more or is not the last."""
    item = history[place]
    content = item["content"]
    if type(content) is str:
        if len(item) == 2 and place == len(history) - 1:
            del history[place]
            return content
        del item["content"]
        item["content_is_prompt"] = True
        return content
    item["content_is_prompt"] = True
    return joined(content, "\n")


MAX_SOURCE = 200  # characters; it names a part of LangChain, such as `summarization`

_known_roles: dict[type, str] = {}  # of LangChain's own classes, except `ChatMessage`, which has a `role`


def message_dict(message: Any, limit: int = MAX_FIELD) -> dict[str, Any]:
    """One message as `{role, content, tool_calls?, tool_call_id?, name?, status?, source?}`."""
    role = _known_roles.get(type(message))
    fields = message.__dict__ if role else fields_of(message)
    if "content" not in fields:
        return _foreign(message, limit)
    if role is None:
        role = role_of(message) or "unknown"
        if "role" not in fields and type(message).__module__.startswith("langchain_core.messages."):
            _known_roles[type(message)] = role
    content = fields["content"]
    calls = calls_in(fields, limit) if role == "assistant" else None
    if type(content) is str:
        item: dict[str, Any] = {"role": role, "content": content if len(content) <= limit else bounded(content, limit)}
    else:
        item = {"role": role, "content": plain_content(content, calls, limit)}
    if calls:
        item["tool_calls"] = calls
    if role == "tool":
        if (call_id := fields.get("tool_call_id")) is not None:
            plain = type(call_id) is str and len(call_id) <= limit
            item["tool_call_id"] = call_id if plain else snapshot(call_id, limit)
        if fields.get("status", "success") != "success":
            item["status"] = snapshot(fields["status"], limit)
    if name := fields.get("name"):
        item["name"] = name if type(name) is str and len(name) <= limit else snapshot(name, limit)
    if (extra := fields.get("additional_kwargs")) and isinstance(source := as_dict(extra).get("lc_source"), str):
        item["source"] = bounded(source, MAX_SOURCE)
    return item


def _foreign(message: Any, limit: int) -> dict[str, Any]:
    """`message_dict` of anything but a message object: a string, a pair, a dict with a role, any other value."""
    role = role_of(message)
    if isinstance(message, dict) and role is not None:
        plain = snapshot(message, limit)
        return {**plain, "role": role, "content": plain.get("content")}
    if isinstance(message, (tuple, list)) and role is not None:
        return {"role": role, "content": snapshot(message[1], limit)}
    return {"role": "user" if isinstance(message, str) else "unknown", "content": snapshot(message, limit)}
