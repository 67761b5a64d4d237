"""LangChain messages and model results as plain values: roles, texts, tool calls, reasoning.

A model call is written as prompt, system prompt and history. To put it together again: the system prompt, then the
history in order, where the item with `content_is_prompt` is the prompt's own message (without a `content` of its own
unless it holds more than text); when no item has it, the prompt comes last.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from coagent_langchain.capture.snapshot import MAX_FIELD, snapshot, text

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult

_ROLES = {
    "human": "user", "HumanMessageChunk": "user",
    "ai": "assistant", "AIMessageChunk": "assistant",
    "system": "system", "SystemMessageChunk": "system",
    "tool": "tool", "ToolMessageChunk": "tool",
    "function": "function", "FunctionMessageChunk": "function",
}  # fmt: skip
_CALL_BLOCKS = frozenset({"tool_use", "tool_call", "function_call", "tool_call_chunk", "invalid_tool_call",
                          "input_json_delta", "custom_tool_call"})  # fmt: skip
_REASONING_BLOCKS = frozenset({"thinking", "reasoning", "reasoning_content", "redacted_thinking"})
_TEXT_BLOCKS = frozenset({"text", "output_text", "input_text", "refusal"})


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a model was sent: the last user text, the system prompt, and all other messages in order."""

    prompt: str | None = None
    system_prompt: str | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model gave back.

    Attributes:
        text: the first candidate's text; "" when it only called tools, None when there is no candidate.
        tool_calls: `{id, name, args}` each; one that could not be parsed has `invalid` and keeps its arguments as text.
        reasoning: what the model thought aloud, if it says.
        finish_reason: in the provider's words.
        model: the model that answered, in the provider's words.
        generations_count: candidates, all told.
        blocks: other content of the first candidate (images, audio, citations, server tools), media described.
        alternatives: the other candidates, as `{text, tool_calls?}`.
    """

    text: str | None = None
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    reasoning: str | None = None
    finish_reason: str | None = None
    model: str | None = None
    generations_count: int = 0
    blocks: list[Any] = field(default_factory=list)
    alternatives: list[dict[str, Any]] = field(default_factory=list)


def split(messages: list[BaseMessage], limit: int = MAX_FIELD) -> Conversation:
    """Split what a model is sent.

    Parameters:
        messages: one prompt's messages; what is no message is kept as well as it can be.
        limit: characters that one text may have.
    """
    history: list[dict[str, Any]] = []
    systems: list[str] = []
    last_user = -1
    for message in messages:
        item = message_dict(message, limit)
        role = item["role"]
        if role == "system":
            systems.append(text_of(message))
            continue
        if role == "user":
            last_user = len(history)
        history.append(item)
    system_prompt = text("\n\n".join(systems), limit) if systems else None
    if last_user < 0:
        return Conversation(None, system_prompt, history)
    return Conversation(_take_prompt(history, last_user), system_prompt, history)


def _take_prompt(history: list[dict[str, Any]], place: int) -> str:
    """Take the last user text out of the history, and mark its place where the text alone does not tell all."""
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
    return _joined(content, "\n")


def message_dict(message: Any, limit: int = MAX_FIELD) -> dict[str, Any]:
    """One message as `{role, content, tool_calls?, tool_call_id?, name?, status?}`."""
    fields = getattr(message, "__dict__", None)
    if type(fields) is not dict or "content" not in fields:
        return _foreign(message, limit)
    kind = fields.get("type")
    content = fields["content"]
    role = _ROLES.get(kind) if type(kind) is str else None
    item: dict[str, Any] = {"role": role or _role(message, kind)}
    if type(content) is str:
        item["content"] = content if len(content) <= limit else text(content, limit)
        if role == "user" or role == "system":
            if fields.get("name"):
                item["name"] = snapshot(fields["name"], limit)
            return item
        calls = tool_calls_of(message, limit) if role == "assistant" else None
    else:
        calls = tool_calls_of(message, limit) if role == "assistant" else None
        item["content"] = _content(content, calls, limit)
    if calls:
        item["tool_calls"] = calls
    if (tool_call_id := fields.get("tool_call_id")) is not None:
        item["tool_call_id"] = snapshot(tool_call_id, limit)
    if fields.get("name"):
        item["name"] = snapshot(fields["name"], limit)
    if (status := fields.get("status")) is not None and status != "success":
        item["status"] = snapshot(status, limit)
    return item


def _foreign(message: Any, limit: int) -> dict[str, Any]:
    """What stands in place of a message: a string, a pair, a dict with a role, anything."""
    if isinstance(message, dict) and isinstance(message.get("role"), str):
        plain = snapshot(message, limit)
        return {**plain, "role": _ROLES.get(plain["role"], plain["role"]), "content": plain.get("content")}
    if isinstance(message, (tuple, list)) and len(message) == 2 and isinstance(message[0], str):
        return {"role": _ROLES.get(message[0], message[0]), "content": snapshot(message[1], limit)}
    return {"role": "user" if isinstance(message, str) else "unknown", "content": snapshot(message, limit)}


def _role(message: Any, kind: Any) -> str:
    own = message.__dict__.get("role")
    if isinstance(own, str):
        return _ROLES.get(own, own)
    if isinstance(kind, str):
        return kind
    return "unknown"


def _content(content: Any, calls: list[dict[str, Any]] | None, limit: int) -> Any:
    """A block list as one text when it holds text alone, else as plain blocks; tool calls are not said twice."""
    if not isinstance(content, (list, tuple)):
        return snapshot(content, limit)
    ids = {call["id"] for call in calls} if calls else ()
    blocks = [block for block in content if not _is_call(block, ids)]
    if all(_is_plain_text(block) for block in blocks):
        return text(_joined(blocks, ""), limit)
    return snapshot(blocks, limit)


def _is_call(block: Any, ids: Any) -> bool:
    return (
        isinstance(block, dict)
        and block.get("type") in _CALL_BLOCKS
        and (block.get("call_id") or block.get("id")) in ids
    )


def _is_plain_text(block: Any) -> bool:
    if type(block) is str:
        return True
    return isinstance(block, dict) and block.get("type", "text") in _TEXT_BLOCKS and isinstance(block.get("text"), str)


def _joined(blocks: Any, separator: str) -> str:
    if type(blocks) is str:
        return blocks
    if not isinstance(blocks, (list, tuple)):
        return ""
    return separator.join(block if type(block) is str else block["text"] for block in blocks if _is_plain_text(block))


def text_of(message: Any) -> str:
    """A message's text: its content, or its text blocks joined (a model's without gaps, others' line by line)."""
    content = getattr(message, "content", None)
    if isinstance(content, str):
        return content
    return _joined(content, "" if getattr(message, "type", "") in ("ai", "AIMessageChunk") else "\n")


def reasoning_of(message: Any) -> str | None:
    """What the model thought aloud: reasoning and thinking blocks, or the provider's `reasoning_content`."""
    found: list[str] = []
    content = getattr(message, "content", None)
    if isinstance(content, list):
        for block in content:
            if isinstance(block, dict) and block.get("type") in _REASONING_BLOCKS:
                found += _reasoning(block)
    extra = getattr(message, "additional_kwargs", None)
    if not found and isinstance(extra, dict):
        own = extra.get("reasoning_content") or extra.get("reasoning")
        found += [own] if isinstance(own, str) else _reasoning(own) if isinstance(own, dict) else []
    return "\n".join(part for part in found if part) or None


def _reasoning(block: dict[Any, Any]) -> list[str]:
    own = block.get("reasoning_content")
    if isinstance(own, dict):  # Bedrock Converse
        block = own
    texts = [v for k in ("thinking", "reasoning", "reasoning_content", "text") if isinstance(v := block.get(k), str)]
    summary = block.get("summary")  # OpenAI's Responses API
    parts = summary if isinstance(summary, list) else []
    return texts[:1] + [p["text"] for p in parts if isinstance(p, dict) and isinstance(p.get("text"), str)]


def tool_calls_of(message: Any, limit: int = MAX_FIELD) -> list[dict[str, Any]]:
    """The tools that a message asks for: `{id, name, args}`; what could not be parsed is marked `invalid`."""
    fields = getattr(message, "__dict__", {})
    found: list[dict[str, Any]] = []
    for call in _dicts(fields.get("tool_calls")):
        args = call.get("args")
        found.append({"id": _plain_id(call.get("id")), "name": _plain_id(call.get("name")),
                      "args": snapshot(args, limit) if args else {}})  # fmt: skip
    for call in _dicts(fields.get("invalid_tool_calls")):
        plain = {"id": _plain_id(call.get("id")), "name": _plain_id(call.get("name")),
                 "args": snapshot(call.get("args"), limit), "invalid": True}  # fmt: skip
        if call.get("error"):
            plain["error"] = snapshot(call["error"], limit)
        found.append(plain)
    extra = fields.get("additional_kwargs")
    if not found and extra and isinstance(extra, dict) and isinstance(old := extra.get("function_call"), dict):
        found.append({"id": None, "name": _plain_id(old.get("name")), "args": snapshot(old.get("arguments"), limit)})
    return found


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if value and isinstance(value, (list, tuple)) else []


def _plain_id(value: Any) -> str | None:
    return value if value is None or type(value) is str else str(snapshot(value, 1000))


def answer(result: LLMResult, limit: int = MAX_FIELD) -> Answer:
    """What a model gave back, from a chat or a text model, streamed or not.

    Parameters:
        result: one run's result; empty or odd ones give what can be read.
        limit: characters that one text may have.
    """
    found = generations_of(result)
    if not found:
        return Answer(model=_first_text(_MODEL_KEYS, _dict(getattr(result, "llm_output", None))))
    first, *others = found
    message = getattr(first, "message", None)
    info = _dict(getattr(first, "generation_info", None))
    metadata = _dict(getattr(message, "response_metadata", None))
    output = _dict(getattr(result, "llm_output", None))
    calls = tool_calls_of(message, limit)
    return Answer(
        text=text(_text(first), limit),
        tool_calls=calls,
        reasoning=reasoning_of(message),
        finish_reason=_first_text(_FINISH_KEYS, info, metadata, output),
        model=_first_text(_MODEL_KEYS, metadata, output, info),
        generations_count=len(found),
        blocks=_other_blocks(getattr(message, "content", None), calls, limit),
        alternatives=[_alternative(generation, limit) for generation in others],
    )


def generations_of(result: Any) -> list[Any]:
    """All candidates of a result, in order; an empty list for whatever is no result."""
    outer = getattr(result, "generations", None)
    if not isinstance(outer, (list, tuple)):
        return []
    return [g for inner in outer for g in (inner if isinstance(inner, (list, tuple)) else [inner]) if g is not None]


def _text(generation: Any) -> str:
    message = getattr(generation, "message", None)
    if message is not None:
        return text_of(message)
    own = getattr(generation, "text", "")
    return own if isinstance(own, str) else ""


def _alternative(generation: Any, limit: int) -> dict[str, Any]:
    calls = tool_calls_of(getattr(generation, "message", None), limit)
    return {"text": text(_text(generation), limit), **({"tool_calls": calls} if calls else {})}


def _other_blocks(content: Any, calls: list[dict[str, Any]], limit: int) -> list[Any]:
    if not isinstance(content, list):
        return []
    ids = {call["id"] for call in calls}
    rest = [
        block
        for block in content
        if not _is_plain_text(block)
        and not _is_call(block, ids)
        and not (isinstance(block, dict) and block.get("type") in _REASONING_BLOCKS)
    ]
    plain = snapshot(rest, limit) if rest else []
    return plain if isinstance(plain, list) else [plain]


_FINISH_KEYS = ("finish_reason", "stop_reason", "stopReason", "done_reason", "status")
_MODEL_KEYS = ("model_name", "model", "model_id", "modelId", "ls_model_name")


def _first_text(keys: tuple[str, ...], *places: dict[Any, Any]) -> str | None:
    """The first text under one of the keys; where merged chunks repeated it (`stopstop`), once."""
    for place in places:
        for key in keys:
            value = place.get(key)
            if isinstance(value, str) and value:
                again = (value + value).find(value, 1)
                return text(value[:again], 1000)
    return None


def _dict(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}
