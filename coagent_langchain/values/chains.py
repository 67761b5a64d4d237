"""The user's request and the answer, read from a chain's inputs and outputs of any shape."""

from __future__ import annotations

from typing import Any

from coagent_langchain.texts import bounded
from coagent_langchain.values import media
from coagent_langchain.values.commands import is_command
from coagent_langchain.values.content import joined, text_of, tool_calls_of
from coagent_langchain.values.encoding import MAX_SHOWN, as_json
from coagent_langchain.values.fields import fields_of, members_of, type_in
from coagent_langchain.values.messages import message_dict
from coagent_langchain.values.roles import is_message_object, role_of

_TEXT_KEYS = ("input", "question", "query", "prompt", "user_input", "user_query", "user_request", "user_question",
              "user_message", "message", "text")  # fmt: skip
# By precedence: what a graph's state ends with may be beside its drafts. LangChain's chains use those in the middle.
_ANSWER_KEYS = ("final_answer", "final_response", "final_output", "final_report", "final_summary", "output", "answer",
                "result", "text", "response", "output_text", "generation")  # fmt: skip


def user_text(inputs: Any) -> str | None:
    """The last user text in a chain's inputs; None if it is not known (yet).

    A string is used as is; messages give the last human one, a mapping its messages, a usual key or its only value.
    Other inputs become JSON. None of the inputs' own code runs.
    """
    kind = type(inputs)  # not `isinstance`, here and below: it asks a lazy object for its class, which evaluates it
    if issubclass(kind, str):
        return bounded(inputs) or None
    if issubclass(kind, dict):
        return _of_dict(inputs)
    if issubclass(kind, (list, tuple)):
        return _of_rows(inputs) or _last_human(inputs)
    if issubclass(kind, (int, float)):
        return as_json(inputs)
    fields = fields_of(inputs)
    messages: Any = fields.get("messages")
    if issubclass(type(messages), (list, tuple)):  # a prompt value, or a graph's state
        return _last_human(messages)
    if is_message_object(inputs):
        return bounded(text_of(inputs)) or None
    if is_command(inputs):
        return user_text(inputs.update)
    own = next((said for key in _TEXT_KEYS if issubclass(type(said := fields.get(key)), str) and said), None)
    return bounded(own) if own else as_json(inputs) if fields else None


def last_call(inputs: Any) -> str | None:
    """The id of the tool call that is the last input, or that the last message requests or answers: no user says so."""
    messages = members_of(inputs).get("messages", inputs)
    several = issubclass(type(messages), (list, tuple)) and messages
    last = messages[-1] if several else messages
    fields = members_of(last)
    call = fields if type_in(fields) == "tool_call" else next(iter(tool_calls_of(last)), {})
    call_id = fields.get("tool_call_id") or call.get("id")
    return call_id if isinstance(call_id, str) else None


def is_placeholder(inputs: Any) -> bool:
    """Whether they only stand for inputs: a `stream` starts with `{"input": ""}`; the real ones come at its end."""
    return type(inputs) is dict and len(inputs) == 1 and issubclass(type(own := inputs.get("input")), str) and not own


def _of_dict(inputs: dict[Any, Any]) -> str | None:
    own = inputs if type(inputs) is dict else dict(dict.items(inputs))
    if not own:
        return None
    messages = own.get("messages")
    if issubclass(type(messages), (list, tuple)):
        if messages:
            return _last_human(messages)
        if all(map(_is_empty, own.values())):  # the assistant begins the conversation
            return None
    if messages is not None and (said := _last_human([messages])):  # LangGraph accepts a single one, too
        return said
    for key in _TEXT_KEYS:
        value = own.get(key)
        if issubclass(type(value), str) and value:
            return bounded(value)
    given = [(key, value) for key, value in own.items() if not _is_empty(value)]
    if len(given) == 1 and own.keys().isdisjoint(("messages", *_TEXT_KEYS)):  # the rest: a state's fields for results
        key, value = given[0]
        if issubclass(type(value), (str, list, tuple)) and not _is_media(key, value, own):
            return user_text(value)
    return as_json(own)


def _is_empty(value: Any) -> bool:
    return value is None or (type(value) in (str, list, tuple, dict) and not value)


def _is_media(key: Any, value: Any, inputs: dict[Any, Any]) -> bool:
    """Whether an input of a template is the base64 of an image or the like, and no text."""
    known = isinstance(value, str) and (key in media.KEYS or value.startswith("data:"))
    return known and media.in_block(key, value, inputs) is not None


def _of_rows(inputs: list[Any] | tuple[Any, ...]) -> str | None:
    """The JSON of a list without messages, such as several strings; None for a conversation or a single string."""
    if len(inputs) == 1 and issubclass(type(inputs[0]), str):
        return None
    return as_json(inputs) if inputs and not any(map(_is_message, inputs[:MAX_SHOWN])) else None


def _is_message(each: Any) -> bool:
    if issubclass(type(each), dict):
        return "role" in each or role_of(each) is not None
    return issubclass(type(each), (tuple, list)) or is_message_object(each)


def _last_human(messages: list[Any] | tuple[Any, ...]) -> str | None:
    for message in reversed(messages):
        if issubclass(type(message), str):
            return bounded(message)
        if role_of(message) == "user":
            content = message_dict(message)["content"]
            return bounded(content if isinstance(content, str) else joined(content, "\n") or as_json(content))
    return None


def answer_text(outputs: Any, limit: int) -> str | None:
    """The answer in a chain's outputs, cut at `limit` characters; anything but text and messages becomes JSON.

    None if there is none: a graph may hold only the user's own message.
    """
    if outputs is None or issubclass(type(outputs), str):
        said: str | None = outputs and outputs[:limit]
        return said
    if issubclass(type(outputs), dict):
        own = outputs if type(outputs) is dict else dict(dict.items(outputs))
        messages = own.get("messages")
        if issubclass(type(messages), (list, tuple)) and messages:
            said = _last_said(messages, limit, own.get("structured_response"))
            return _under_a_usual_key(own, limit) or None if said is None else said
        if role_of(own) == "assistant" and (said := joined(own.get("content"), "")):
            return said[:limit]
        if (said := _under_a_usual_key(own, limit)) is not None:
            return said
    elif is_message_object(outputs):
        return text_of(outputs)[:limit]
    elif issubclass(type(outputs), (list, tuple)) and any(
        type_in(fields_of(each)) == "human" for each in outputs[:MAX_SHOWN]
    ):
        return _last_said(outputs, limit)  # a conversation, not one answer for each of several inputs
    return as_json(outputs)[:limit]


def _under_a_usual_key(outputs: dict[Any, Any], limit: int) -> str | None:
    """The first answer that is not empty, "" if all are; None if there is no such key."""
    told = [
        outputs[key]
        for key in _ANSWER_KEYS
        if issubclass(type(outputs.get(key)), str) and (key != "text" or _is_last(key, outputs))
    ]
    return str(next(filter(None, told), ""))[:limit] if told else None


def _is_last(key: str, outputs: dict[Any, Any]) -> bool:
    """Whether nothing was added after it: a text before other outputs is mostly the input that they were made from."""
    keys = list(outputs)
    return all(_is_empty(outputs[each]) for each in keys[keys.index(key) + 1 :])


def _last_said(messages: list[Any] | tuple[Any, ...], limit: int, structured: Any = None) -> str | None:
    last = messages[-1]
    role = role_of(last)
    if role == "tool" and structured is not None:  # `ToolStrategy`: the message only says that this is the answer
        return as_json(structured)[:limit]
    if role == "user":
        return None
    if role and isinstance(last, (tuple, list)):  # a pair, which a state without LangGraph's reducer keeps
        last = {"role": role, "content": last[1]}
    return answer_text(last, limit)
