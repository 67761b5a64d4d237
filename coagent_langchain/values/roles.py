"""Whether a value is a message, and whose."""

from __future__ import annotations

from typing import Any

from coagent_langchain.values.fields import fields_of

_ROLES = {
    "human": "user", "HumanMessageChunk": "user",
    "ai": "assistant", "AIMessageChunk": "assistant",
    "system": "system", "SystemMessageChunk": "system",
    "tool": "tool", "ToolMessageChunk": "tool",
    "function": "function", "FunctionMessageChunk": "function",
}  # fmt: skip


def role_of(message: Any) -> str | None:
    """The role of a message (`user`, `assistant`, `tool`, …), given as a dict, pair or object; None if unknown.

    Only a string can be a role: comparing any other object would run its own code.
    """
    shape = type(message)  # not `isinstance`: it asks a lazy object for its class, which evaluates it
    if issubclass(shape, dict):
        role = dict.get(message, "role")
        if role is None and dict.__contains__(message, "content"):  # as LangGraph's API and its clients write messages
            kind = dict.get(message, "type")
            role = _ROLES.get(kind) if isinstance(kind, str) else None
    elif issubclass(shape, (tuple, list)):
        role = message[0] if len(message) == 2 else None
    else:
        fields = fields_of(message)
        role = fields.get("type")
        if isinstance(role, str) and role in _ROLES:
            return _ROLES[role]
        role = fields.get("role", role)  # a `ChatMessage` has one
    return _ROLES.get(role, role) if isinstance(role, str) else None


def is_message_object(value: Any) -> bool:
    """Whether an object is a message: LangChain's, or with a role; an article, too, may have a content."""
    fields = fields_of(value)
    if "content" not in fields:
        return False
    kind = fields.get("type")
    return "response_metadata" in fields or "role" in fields or (isinstance(kind, str) and kind in _ROLES)
