"""LangChain messages and model results as plain values: roles, texts, tool calls, reasoning.

A model call is logged as prompt, system prompt and history. To reconstruct it: the system prompt, then the history in
order, where the item with `content_is_prompt` is the prompt's own message (without a `content` of its own unless that
is more than text); if no item has it, the prompt comes last.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from coagent_langchain.texts import MAX_FIELD, text
from coagent_langchain.values.content import (
    BESIDE_CONTENT,
    as_dict,
    calls_in,
    fields_of,
    joined,
    other_blocks,
    plain_content,
    reasoning_of,
    role_of,
    said_beside,
    text_of,
    tool_calls_of,
)
from coagent_langchain.values.snapshot import snapshot

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult

    from coagent_langchain.values.tokens import Usage


@dataclass(slots=True)
class Conversation:
    """What a model was sent: the last user text, the system prompt, and all other messages in order."""

    prompt: str | None = None
    system_prompt: str | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Answer:
    """A model's response.

    Attributes:
        text: the first candidate's text; "" when it only called tools, None when there is no candidate.
        tool_calls: `{id, name, args}` each; one that could not be parsed has `invalid` and keeps its arguments as text.
        message_id: the id of the first candidate's message.
        reasoning: the model's reasoning, if the provider returns it.
        finish_reason: in the provider's words.
        model: the model that answered, in the provider's words.
        provider: of that model, as its integration names it.
        blocks: other content of the first candidate (images, audio, citations, server tools), media described.
        alternatives: the other candidates, as `{text, tool_calls?}`.
        usage: the tokens, if known.
    """

    text: str | None = None
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    message_id: Any = None
    reasoning: str | None = None
    finish_reason: str | None = None
    model: str | None = None
    provider: str | None = None
    blocks: list[Any] = field(default_factory=list)
    alternatives: list[dict[str, Any]] = field(default_factory=list)
    usage: Usage | None = None


def split(messages: list[BaseMessage]) -> Conversation:
    """Split one prompt's messages; anything that is not a message is kept as well as possible."""
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
    system_prompt = text("\n\n".join(systems)) if systems else None
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
        item: dict[str, Any] = {"role": role, "content": content if len(content) <= limit else text(content, limit)}
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
        item["source"] = text(source, MAX_SOURCE)
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


def answer(result: LLMResult) -> Answer:
    """A chat or text model's response, streamed or not; of an empty or malformed result, what can be read."""
    found = generations_of(result)
    if not found:
        return Answer(model=_first_text(_MODEL_KEYS, as_dict(getattr(result, "llm_output", None))))
    first = found[0]
    message = getattr(first, "message", None)
    fields = fields_of(message)
    info = as_dict(getattr(first, "generation_info", None))
    metadata = as_dict(fields.get("response_metadata"))
    output = as_dict(getattr(result, "llm_output", None))
    content = fields.get("content")
    said = content if type(content) is str else _text(first)
    extra, more = fields.get("additional_kwargs"), type(content) is list
    if extra and isinstance(extra, dict):
        said = said or said_beside(extra)
        more = more or not BESIDE_CONTENT.isdisjoint(extra)
    told = Answer(text(said), calls_in(fields), fields.get("id"))
    told.finish_reason = _first_text(_FINISH_KEYS, info, metadata, output)
    if metadata and told.finish_reason in (None, "incomplete"):
        told.finish_reason = _why_not(metadata) or told.finish_reason
    told.model = _first_text(_MODEL_KEYS, metadata, output, info)
    provider = metadata.get("model_provider")
    if isinstance(provider, str):
        told.provider = provider
    if more or extra:
        told.reasoning = reasoning_of(message)
    if more or (metadata and not BESIDE_CONTENT.isdisjoint(metadata)):
        told.blocks = other_blocks(fields, told.tool_calls)
    if len(found) > 1:
        told.alternatives = [_alternative(generation) for generation in found[1:]]
    return told


def generations_of(result: Any) -> list[Any]:
    """All candidates of a result, in order; an empty list for anything that is not a result."""
    outer = getattr(result, "generations", None)
    if type(outer) is list and len(outer) == 1:
        inner = outer[0]
        if type(inner) is list and len(inner) == 1 and inner[0] is not None:
            return inner  # nearly always
    if not isinstance(outer, (list, tuple)):
        return []
    return [g for inner in outer for g in (inner if isinstance(inner, (list, tuple)) else [inner]) if g is not None]


def _text(generation: Any) -> str:
    message = getattr(generation, "message", None)
    if message is not None:
        return text_of(message)
    own = getattr(generation, "text", "")
    return own if isinstance(own, str) else ""


def _alternative(generation: Any) -> dict[str, Any]:
    calls = tool_calls_of(getattr(generation, "message", None))
    return {"text": text(_text(generation)), **({"tool_calls": calls} if calls else {})}


_FINISH_KEYS = ("finish_reason", "stop_reason", "stopReason", "done_reason", "status")
_NO_REASON_YET = "FINISH_REASON_UNSPECIFIED"  # in all of Vertex AI's chunks but the last
_MODEL_KEYS = ("model_name", "model", "model_id", "modelId", "ls_model_name")


def _why_not(metadata: dict[Any, Any]) -> str | None:
    """Why the response is incomplete: from OpenAI's Responses API, or from Gemini when it blocks a prompt."""
    incomplete, blocked = as_dict(metadata.get("incomplete_details")), as_dict(metadata.get("prompt_feedback"))
    return _first_text(("reason", "block_reason"), incomplete, blocked)


def _first_text(keys: tuple[str, ...], *places: dict[Any, Any]) -> str | None:
    """The first text under one of the keys; only once if merged chunks repeated it (`stopstop`)."""
    for place in places:
        for key in keys if place else ():
            value = place.get(key)
            if value and isinstance(value, str):
                said = value.replace(_NO_REASON_YET, "") or value
                again = (said + said).find(said, 1)
                return text(said[:again], 1000)
    return None
