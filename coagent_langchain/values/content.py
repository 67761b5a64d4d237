"""The contents of a message: text, reasoning, tool calls and other blocks, in every provider's format."""

from __future__ import annotations

from typing import Any

from coagent_langchain.texts import MAX_FIELD, bounded
from coagent_langchain.values.fields import as_dict, fields_of, type_in
from coagent_langchain.values.snapshot import snapshot

_CALL_BLOCKS = frozenset({"tool_use", "tool_call", "function_call", "tool_call_chunk", "invalid_tool_call",
                          "input_json_delta", "custom_tool_call"})  # fmt: skip
_REASONING_BLOCKS = frozenset({"thinking", "reasoning", "reasoning_content", "redacted_thinking"})
# OpenAI's audio; sources from Perplexity, xAI, Cohere, LiteLLM and Gemini; the server tools of Groq and of OpenAI's v0.
BESIDE_CONTENT = frozenset({"audio", "citations", "annotations", "search_results", "grounding_metadata", "images",
                            "executed_tools", "tool_outputs"})  # fmt: skip
_TEXT_BLOCKS = frozenset({"text", "output_text", "input_text", "refusal"})


def plain_content(content: Any, calls: list[dict[str, Any]] | None, limit: int = MAX_FIELD) -> Any:
    """A block list as one text if it contains only text, else as plain blocks; without those that repeat `calls`."""
    if not isinstance(content, (list, tuple)):
        return snapshot(content, limit)
    ids = [call["id"] for call in calls or ()]
    blocks = [block for block in content if not _is_call(block, ids)]
    texts = [said for block in blocks if (said := _plain_text(block)) is not None and not _is_annotated(block)]
    if len(texts) == len(blocks):
        return bounded(("\n" if calls is None else "").join(texts), limit)
    return snapshot(blocks, limit)


def _kind(block: Any) -> str:
    """A block's `type`: `text` if it has none, "" if it is not a dict or its type is not a string."""
    kind = block.get("type", "text") if isinstance(block, dict) else ""
    return kind if isinstance(kind, str) else ""


def _is_call(block: Any, ids: list[Any]) -> bool:
    return _kind(block) in _CALL_BLOCKS and (block.get("call_id") or block.get("id")) in ids


def _is_annotated(block: Any) -> bool:
    return isinstance(block, dict) and bool(block.get("annotations") or block.get("citations"))


def _plain_text(block: Any) -> str | None:
    """The text of a text block, None for any other; OpenAI's Responses API puts a refusal under `refusal`."""
    if type(block) is str:
        return block
    said = block.get("text", block.get("refusal")) if _kind(block) in _TEXT_BLOCKS else None
    return said if isinstance(said, str) else None


def joined(blocks: Any, separator: str) -> str:
    """The text of a message's content: the content itself, or its text blocks joined."""
    if type(blocks) is str:
        return blocks
    if not isinstance(blocks, (list, tuple)):
        return ""
    return separator.join([said for block in blocks if (said := _plain_text(block)) is not None])


def text_of(message: Any) -> str:
    """A message's text: its content, or its text blocks joined (a model's without separators, others' by newlines).

    If there is none, a refusal or transcript beside the content.
    """
    fields = fields_of(message)
    content = fields.get("content")
    if content and isinstance(content, str):
        return content
    said = joined(content, "" if type_in(fields) in ("ai", "AIMessageChunk") else "\n")
    return said or said_beside(as_dict(fields.get("additional_kwargs")))


def said_beside(extra: dict[Any, Any]) -> str:
    """The text of an OpenAI response without content: a refusal, or the transcript of its audio."""
    said = extra.get("refusal") or as_dict(extra.get("audio")).get("transcript")
    return said if isinstance(said, str) else ""


def reasoning_of(message: Any) -> str | None:
    """A message's reasoning: its reasoning and thinking blocks, or else the provider's `reasoning_content`."""
    fields = fields_of(message)
    found = reasoning_in(fields.get("content"))
    extra = fields.get("additional_kwargs")
    if not found and isinstance(extra, dict):
        own = extra.get("reasoning_content") or extra.get("reasoning")
        found += [own] if isinstance(own, str) else _reasoning(own) if isinstance(own, dict) else []
    return "\n".join(part for part in found if part) or None


def reasoning_in(content: Any) -> list[str]:
    """The texts of the reasoning and thinking blocks in a message's content."""
    blocks = content if isinstance(content, list) else ()
    return [said for block in blocks if _kind(block) in _REASONING_BLOCKS for said in _reasoning(block)]


def _reasoning(block: dict[Any, Any]) -> list[str]:
    own = block.get("reasoning_content")
    if isinstance(own, dict):  # Bedrock Converse
        block = own
    keys = ("thinking", "reasoning", "reasoning_content", "text")
    texts = [said for key in keys if (said := joined(block.get(key), ""))]  # Mistral has text blocks there
    summary = block.get("summary")  # OpenAI's Responses API
    parts = summary if isinstance(summary, list) else []
    return texts[:1] + [p["text"] for p in parts if isinstance(p, dict) and isinstance(p.get("text"), str)]


def tool_calls_of(message: Any) -> list[dict[str, Any]]:
    """The tool calls of a message: `{id, name, args}`; those that could not be parsed are marked `invalid`."""
    return calls_in(fields_of(message))


def calls_in(fields: dict[str, Any], limit: int = MAX_FIELD) -> list[dict[str, Any]]:
    """The same as `tool_calls_of`, from the message's own fields."""
    found: list[dict[str, Any]] = []
    if known := fields.get("tool_calls"):
        for call in known if isinstance(known, (list, tuple)) else ():
            if isinstance(call, dict):
                call_id, name, args = call.get("id"), call.get("name"), call.get("args")
                found.append({"id": call_id if type(call_id) is str else _plain_id(call_id),
                              "name": name if type(name) is str else _plain_id(name),
                              "args": snapshot(args, limit) if args else {}})  # fmt: skip
    if unparsed := fields.get("invalid_tool_calls"):
        several = unparsed if isinstance(unparsed, (list, tuple)) else ()
        found += [_invalid(call, limit) for call in several if isinstance(call, dict)]
    extra = fields.get("additional_kwargs")
    if extra and not found and isinstance(extra, dict) and isinstance(old := extra.get("function_call"), dict):
        found.append({"id": None, "name": _plain_id(old.get("name")), "args": snapshot(old.get("arguments"), limit)})
    return found


def _invalid(call: dict[str, Any], limit: int) -> dict[str, Any]:
    plain = {"id": _plain_id(call.get("id")), "name": _plain_id(call.get("name")),
             "args": snapshot(call.get("args"), limit), "invalid": True}  # fmt: skip
    return {**plain, "error": snapshot(call["error"], limit)} if call.get("error") else plain


def _plain_id(value: Any) -> str | None:
    return value if value is None or type(value) is str else str(snapshot(value, 1000))


def other_blocks(fields: dict[str, Any], calls: list[dict[str, Any]]) -> list[Any]:
    """Everything in a message, or beside its content, that is not text, reasoning or a call: media, sources, tools."""
    content = fields.get("content")
    ids = [call["id"] for call in calls]
    rest = [
        block
        for block in (content if type(content) is list else ())
        if (_plain_text(block) is None or _is_annotated(block))
        and not _is_call(block, ids)
        and _kind(block) not in _REASONING_BLOCKS
    ]
    beside = as_dict(fields.get("response_metadata")) | as_dict(fields.get("additional_kwargs"))  # Cohere repeats them
    rest += [_block(key, value) for key, value in beside.items() if key in BESIDE_CONTENT and _holds(value)]
    plain = snapshot(rest) if rest else []
    return plain if isinstance(plain, list) else [plain]


def _holds(value: Any) -> bool:
    return isinstance(value, (dict, list, bytes)) and bool(value)


def _block(kind: str, value: Any) -> dict[Any, Any]:
    return {"type": kind, **(value if isinstance(value, dict) else {kind: value})}
