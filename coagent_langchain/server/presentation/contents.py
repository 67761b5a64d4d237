"""An entry's content as titled parts to read, with a reader for each event type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from markupsafe import Markup

from coagent_langchain.server.presentation import formats
from coagent_langchain.server.presentation.entries import (
    METADATA,
    message_of,
    placeholder,
    prompt_of,
    requested_tools,
    unreadable,
)
from coagent_langchain.server.presentation.jsonview import tree
from coagent_langchain.server.presentation.oversight import TITLES
from coagent_langchain.server.presentation.parts import (
    Part,
    chips,
    of_answer,
    of_partial,
    of_reasoning,
    of_result,
    of_text,
    of_value,
    of_words,
    omitted,
    remark,
)
from coagent_langchain.server.presentation.sent import Sent, sent
from coagent_langchain.server.presentation.values import Value, mapping
from coagent_langchain.texts import counted
from coagent_langchain.wire import ENVELOPE

LATEST = 10  # messages of a call shown in the pane, besides the prompt's: few, so that the answer below is near
EARLIER = 200  # further messages that one click loads
MAX_CALLS = 20  # tool calls of an answer
MAX_FIELDS = 40  # fields that no reader knows


def of_entry(entry: Value) -> list[Part]:
    """The parts of an entry of any type."""
    return _PARTS.get(entry.at("event_type").text, _generic)(entry)


def _llm_call(entry: Value) -> list[Part]:
    parts, system = [], entry.at("llm_call", "system_prompt")
    if system.text:
        parts.append(of_text("System", system, folded=len(system.text) > 300))
    messages = sent(entry)
    start = max(0, len(messages) - LATEST)
    parts += _before(messages[:start], entry.ref)
    for place, one in enumerate(messages):
        if place >= start or one.asks:
            parts += _message(one, folded=not one.asks and place < len(messages) - 3)
    return parts + _more(entry, "llm_call", "prompt")


def earlier(entry: Value, end: int) -> list[Part]:
    """The messages before the one at `end`, except the prompt's, which is already shown below them."""
    start, messages = max(0, end - EARLIER), sent(entry)
    others = [one for one in messages[start:end] if not one.asks]
    return [*_before(messages[:start], entry.ref), *(part for one in others for part in _message(one, folded=True))]


def _before(messages: list[Sent], ref: str) -> list[Part]:
    """The button that loads these messages, except the prompt's; nothing if there are none."""
    number = sum(not one.asks for one in messages)
    button = Markup('<button type="button" class="plain more" data-earlier="{}" data-to="{}">Show {}</button>')
    some = f"the last {EARLIER} of them" if number > EARLIER else "them"
    more = button.format(ref, len(messages), some)
    return [Part(counted(number, "earlier message"), more, "button")] if number else []


def _message(one: Sent, *, folded: bool) -> list[Part]:
    message = one.message
    if not isinstance(message.value, dict):
        return [of_value(one.title, message)]
    role = formats.preview(message.at("role").text or "message", 40).capitalize()
    name = formats.preview(message.at("name").text, 60)
    source = formats.preview(message.at("source").text, 60)
    title = f"{role} {name}".strip() + (f" (added by {source})" if source else "")
    content, calls = message.at("content").value, message.at("tool_calls")
    parts = []
    if content or not calls.value:
        parts.append(of_value(title, one.words))
    if calls.value:
        asked = of_value(f"{role}: tool calls", calls)
        asked.brief = requested_tools(calls.value) or asked.brief  # rather than the ids that they begin with
        parts.append(asked)
    for part in parts:
        part.folded = folded
    parts[0].content += chips(content)
    return parts


def _llm_response(entry: Value) -> list[Part]:
    parts = of_reasoning(entry)
    response, calls = entry.at("llm_response", "response"), entry.at("llm_response", "tool_calls")
    if response.text.strip():
        parts.append(of_answer("Answer", response))
    if attached := chips(entry.at("meta", "blocks").value):
        parts.append(Part("Attached", attached))
    listed = calls.at("calls").each
    for call in listed[:MAX_CALLS]:
        name = formats.preview(call.at("name").text or "tool", 80)
        parts.append(of_value(f"Tool call: {name}{unreadable(mapping(call.value))}", call.at("args")))
    parts += omitted("Tool calls", listed, MAX_CALLS)
    if calls.value and not calls.at("calls").value:
        parts.append(of_value("Tool calls", calls))
    if not parts and (instead := placeholder(entry.value)):
        parts.append(Part("Answer", remark(instead)))
    return parts + _more(entry, "llm_response")


def _tool_call(entry: Value) -> list[Part]:
    given = entry.at("tool_call", "parameters")
    parts = [of_value("Arguments", given)] if given.value is not None else []
    return parts + _more(entry, "tool_call")


def _tool_response(entry: Value) -> list[Part]:
    parts, message, result = [], entry.at("tool_response", "error_message"), entry.at("tool_response", "result")
    if message.text:
        parts.append(of_text("Error", message, "bad"))
    if result.value is not None:
        parts += of_result(result)
    return parts + _more(entry, "tool_response")


def _error(entry: Value) -> list[Part]:
    info = entry.at("error_info")
    error = of_text(formats.preview(info.at("error_type").text or "Error"), info.at("error_message"), "bad")
    error.alike = _alike(info)
    parts = [*of_partial(entry), error]
    rest = _without(info, "error_type", "error_message", "stack_trace")
    if rest.value:
        parts.append(Part("Details", tree(rest), "json"))
    return parts + _more(_but(entry, "output_data", "partial_response"), "error_info", "llm_response")


def _alike(info: Value) -> str:
    """The type and component of an error as words to search for: its message may differ each time."""
    kind = info.at("error_type").text
    words = f"{kind} {info.at('component_id').text}".replace('"', " ").split()  # a quote would begin a phrase
    return " ".join(words) if kind else ""


def _recovery(entry: Value) -> list[Part]:
    """All but the id of the error, which is shown beside it and among the attributes."""
    info = _without(entry.at("error_info"), "error_id")
    parts = [Part("Recovery", tree(info), "json")] if info.value else []
    return parts + _more(entry, "error_info")


def _asked(entry: Value) -> list[Part]:
    asked = prompt_of(entry)
    parts = [of_value("Prompt", asked)] if asked.value not in (None, "") else []
    return parts + _more(_but(entry, "input_data", "prompt"), "prompt")


def _human(entry: Value) -> list[Part]:
    title = TITLES.get(entry.at("meta", "status").text, "")
    if not title or "value" not in mapping(entry.at("input_data").value):
        return _generic(entry)
    return [of_value(title, entry.at("input_data", "value"))]


def _component_enter(entry: Value) -> list[Part]:
    """Leave out the component unless it has long or nested fields: title and attributes have its names."""
    known = mapping(entry.at("target_component").value).values()
    more = any(isinstance(value, dict | list) or len(str(value)) > 200 for value in known)
    return _generic(entry if more else _without(entry, "target_component"))


def _component_exit(entry: Value) -> list[Part]:
    parts, update = _component_enter(_without(entry, "output_data")) + of_words(entry), entry.at("output_data")
    if update.value:
        parts.append(of_value("State update", update))
    return parts + _returned(entry)


def _returned(entry: Value) -> list[Part]:
    """How many messages a node returned, unless the entry contains all of them."""
    number, own = entry.at("meta", "messages").value, entry.at("output_data", "messages").each
    if type(number) is not int or number <= len(own):
        return []
    returned = f"{counted(number, 'message')} returned; those of models and tools have rows of their own"
    return [Part("Messages", remark(returned))]


def _session_end(entry: Value) -> list[Part]:
    """The session's response, shown like any other answer, after all other fields."""
    response = entry.at("output_data", "response")
    if mapping(entry.at("output_data").value).keys() != {"response"} or not isinstance(response.value, str):
        return _generic(entry)
    return [*_generic(_without(entry, "output_data")), of_answer("Response", response)]


def _without(group: Value, *left_out: str) -> Value:
    """The object without these keys."""
    return replace(group, value={key: one for key, one in mapping(group.value).items() if key not in left_out})


def _but(entry: Value, name: str, told: str) -> Value:
    """The entry without the key `told` of the field `name`, and without that field if nothing else is in it."""
    more = _without(entry.at(name), told).value
    return replace(entry, value=entry.value | {name: more}) if more else _without(entry, name)


def _more(entry: Value, *told: str) -> list[Part]:
    """The fields that are not shown yet, such as a client's own; figures are among the attributes."""
    return _generic(_without(entry, *told, "performance_metrics"))


def _generic(entry: Value) -> list[Part]:
    """Everything in the entry besides envelope and metadata, a message first."""
    parts, message = [], message_of(entry)
    if message.text:
        parts.append(of_text("Message", message))
        entry = _but(entry, "output_data", "message") if "output_data" in message.path else entry
    rest = [name for name in entry.value if name not in (*ENVELOPE, *METADATA) and entry.value[name] is not None]
    parts += [
        of_value(formats.preview(name, 80).replace("_", " ").capitalize(), entry.at(name)) for name in rest[:MAX_FIELDS]
    ]
    return parts + omitted("Fields", rest, MAX_FIELDS)


_PARTS: dict[str, Callable[[Value], list[Part]]] = {
    "llm_call": _llm_call,
    "llm_response": _llm_response,
    "tool_call": _tool_call,
    "tool_response": _tool_response,
    "component_enter": _component_enter,
    "component_exit": _component_exit,
    "error": _error,
    "recovery": _recovery,
    "human_oversight": _human,
    "session_end": _session_end,
    "session_start": _asked,
    "user_input": _asked,
}
