"""What a graph node changed in its graph's state, read from its outputs: values and messages."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from coagent_langchain.loaded import is_of
from coagent_langchain.values import kinds
from coagent_langchain.values.commands import is_command
from coagent_langchain.values.content import tool_calls_of
from coagent_langchain.values.fields import fields_of
from coagent_langchain.values.roles import is_message_object, role_of
from coagent_langchain.values.snapshot import snapshot
from coagent_langchain.wire import JsonObject

_MAX_VALUE = 10_000  # characters of one string in a value
_STRUCTURED = "structured_response"  # which LangChain's agents clear with each response of their model that is none


def updates_of(outputs: Any) -> list[Any]:
    """A node's updates of its graph's state, taken out of `Command`s; a state object becomes a dict.

    An `@entrypoint` may return one value, and save another for its next run, often the conversation so far.

    As in LangGraph, a list is several updates only if there is a `Command` among them, else one value.
    """
    if type(outputs) is dict:
        return [outputs]  # nearly always
    if isinstance(outputs, list) and any(map(is_command, outputs)):
        return [_as_dict(part.update if is_command(part) else part) for part in outputs]
    if kinds.name(type(outputs)) == "langgraph.func.entrypoint.final":
        saved = outputs.save
        return [_as_dict(outputs.value), saved if _are_messages(saved) else {"save": saved}]
    return [_as_dict(outputs.update if is_command(outputs) else outputs)]


def _as_dict(update: Any) -> Any:
    if type(update) is not dict and isinstance(fields_of(update).get("messages"), list):
        return kinds.shown_fields(update)
    return update


def messages_in(update: Any) -> list[Any]:
    """The messages that an update adds; an update that is not a dict counts as the messages themselves.

    A graph may have several conversations: a list in which a model or a tool speaks is one, whatever its name.
    """
    if not isinstance(update, dict):
        return _listed(update)
    given = dict.get(update, "messages")
    if len(update) == 1 and type(given) is list:
        return given  # nearly always
    known = [_listed(value) for key, value in dict.items(update) if key == "messages" or _is_conversation(value)]
    return list(chain.from_iterable(known))


def _listed(given: Any) -> list[Any]:
    if not issubclass(type(given), list):
        given = _written(given)
    found: list[Any] = given if issubclass(type(given), list) else [given]
    return found


def _is_conversation(value: Any) -> bool:
    if type(value) is not list or not all(map(is_message_object, value)):
        return False
    return any(role_of(each) in ("assistant", "tool") for each in value)


def _written(value: Any) -> Any:
    """What LangGraph's `Overwrite`, or the dict for it, puts in place of a value; anything else as it is."""
    if issubclass(type(value), dict):
        return dict.get(value, "__overwrite__", value)
    return value.value if is_of("langgraph.types", "Overwrite", value) else value


def changes_in(updates: Sequence[Any]) -> tuple[JsonObject, list[Any]]:
    """What a node changed: the values by name, and the messages that it added."""
    values: JsonObject = {}
    messages: list[Any] = []
    for update in updates:
        if isinstance(update, dict):
            for key, value in dict.items(update):
                if key == "messages" or _is_conversation(value):
                    messages += _listed(value)
                elif value is not None or key != _STRUCTURED:
                    values[str(snapshot(key))] = snapshot(value, _MAX_VALUE)
        elif _are_messages(update):
            messages += messages_in(update)
        elif update is not None:
            values["value"] = snapshot(update, _MAX_VALUE)
    return values, messages


def _are_messages(update: Any) -> bool:
    return not isinstance(update, dict) and all(map(is_message_object, messages_in(update)))


def calls_answered_in(messages: Sequence[Any]) -> list[Any]:
    """The ids of the calls that messages both make and answer: `ToolStrategy`'s own, for which no tool ever runs."""
    answered = [fields_of(message).get("tool_call_id") for message in messages]
    return [call["id"] for message in messages for call in tool_calls_of(message) if call["id"] in answered]
