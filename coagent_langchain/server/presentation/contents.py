"""An entry's content as titled parts to read, with a reader for each event type."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from coagent_langchain.server.presentation import formats
from coagent_langchain.server.presentation.entries import asks_for, prompt_of
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
    unshown,
)
from coagent_langchain.server.presentation.sent import Sent, sent
from coagent_langchain.server.presentation.values import listing, mapping, text
from coagent_langchain.texts import counted
from coagent_langchain.wire import ENVELOPE, JsonObject, JsonPath

LATEST = 10  # messages of a call shown in the pane, besides the prompt's: few, so that the answer below is near
EARLIER = 200  # further messages that one click loads
MAX_CALLS = 20  # tool calls of an answer
MAX_FIELDS = 40  # fields that no reader knows
METADATA = ("meta", "custom_metadata", "conversation_context", "graph_context", "agent_stack")


def of_entry(fields: JsonObject, ref: str) -> list[Part]:
    """The parts of an entry of any type."""
    return _PARTS.get(text(fields.get("event_type")), _generic)(fields, ref)


def _llm_call(fields: JsonObject, ref: str) -> list[Part]:
    call = mapping(fields.get("llm_call"))
    parts = []
    if system := text(call.get("system_prompt")):
        parts.append(of_text("System", system, ref, ["llm_call", "system_prompt"], folded=len(system) > 300))
    messages = sent(fields)
    start = max(0, len(messages) - LATEST)
    parts += _before(messages[:start], ref)
    for place, one in enumerate(messages):
        if place >= start or one.asks:
            parts += _message(one, ref, folded=not one.asks and place < len(messages) - 3)
    return parts + _more(fields, ref, "llm_call", "prompt")


def earlier(fields: JsonObject, ref: str, end: int) -> list[Part]:
    """The messages before the one at `end`, except the prompt's, which is already shown below them."""
    start, messages = max(0, end - EARLIER), sent(fields)
    others = [one for one in messages[start:end] if not one.asks]
    return [*_before(messages[:start], ref), *(part for one in others for part in _message(one, ref, folded=True))]


def _before(messages: list[Sent], ref: str) -> list[Part]:
    """The button that loads these messages, except the prompt's; nothing if there are none."""
    number = sum(not one.asks for one in messages)
    button = Markup('<button type="button" class="plain more" data-earlier="{}" data-to="{}">Show {}</button>')
    some = f"the last {EARLIER} of them" if number > EARLIER else "them"
    more = button.format(ref, len(messages), some)
    return [Part(counted(number, "earlier message"), more, "button")] if number else []


def _message(one: Sent, ref: str, *, folded: bool) -> list[Part]:
    message = one.message
    if not isinstance(message, dict):
        return [of_value(one.title, message, ref, one.path)]
    role = formats.preview(text(message.get("role")) or "message", 40).capitalize()
    name = formats.preview(text(message.get("name")), 60)
    source = formats.preview(text(message.get("source")), 60)
    title = f"{role} {name}".strip() + (f" (added by {source})" if source else "")
    content = message.get("content")
    parts = []
    if content or not message.get("tool_calls"):
        words, path = one.words
        parts.append(of_value(title, words, ref, path))
    if calls := message.get("tool_calls"):
        asked = of_value(f"{role}: tool calls", calls, ref, [*one.path, "tool_calls"])
        asked.brief = asks_for(calls) or asked.brief  # rather than the ids that they begin with
        parts.append(asked)
    for part in parts:
        part.folded = folded
    parts[0].content += chips(content)
    return parts


def _llm_response(fields: JsonObject, ref: str) -> list[Part]:
    answer, meta = mapping(fields.get("llm_response")), mapping(fields.get("meta"))
    parts = of_reasoning(fields, ref)
    if response := text(answer.get("response")):
        parts.append(of_answer("Answer", response, ref, ["llm_response", "response"]))
    if attached := chips(meta.get("blocks")):
        parts.append(Part("Attached", attached))
    calls = answer.get("tool_calls")
    listed = listing(mapping(calls).get("calls"))
    for place, call in enumerate(listed[:MAX_CALLS]):
        name = formats.preview(text(mapping(call).get("name")) or "tool", 80)
        path: JsonPath = ["llm_response", "tool_calls", "calls", place, "args"]
        parts.append(of_value(f"Tool call: {name}", mapping(call).get("args"), ref, path))
    parts += unshown("Tool calls", listed, MAX_CALLS)
    if calls and not mapping(calls).get("calls"):
        parts.append(of_value("Tool calls", calls, ref, ["llm_response", "tool_calls"]))
    return parts + _more(fields, ref, "llm_response")


def _tool_call(fields: JsonObject, ref: str) -> list[Part]:
    given = mapping(fields.get("tool_call")).get("parameters")
    return [of_value("Arguments", given, ref, ["tool_call", "parameters"]), *_more(fields, ref, "tool_call")]


def _tool_response(fields: JsonObject, ref: str) -> list[Part]:
    answer = mapping(fields.get("tool_response"))
    parts = []
    if message := text(answer.get("error_message")):
        parts.append(of_text("Error", message, ref, ["tool_response", "error_message"], "bad"))
    if (result := answer.get("result")) is not None:
        parts += of_result(result, ref)
    return parts + _more(fields, ref, "tool_response")


def _error(fields: JsonObject, ref: str) -> list[Part]:
    info = mapping(fields.get("error_info"))
    error = of_text(formats.preview(text(info.get("error_type")) or "Error"), text(info.get("error_message")), ref,
                    ["error_info", "error_message"], "bad")  # fmt: skip
    error.alike = _alike(info)
    parts = [*of_partial(fields, ref), error]
    rest = {key: value for key, value in info.items() if key not in ("error_type", "error_message", "stack_trace")}
    if rest:
        parts.append(Part("Details", tree(rest, ref, ["error_info"]), "json"))
    return parts + _more(_but(fields, "output_data", "partial_response"), ref, "error_info", "llm_response")


def _alike(info: JsonObject) -> str:
    """The type and component of an error as words to search for: its message may differ each time."""
    kind = text(info.get("error_type"))
    words = f"{kind} {text(info.get('component_id'))}".replace('"', " ").split()  # a quote would begin a phrase
    return " ".join(words) if kind else ""


def _recovery(fields: JsonObject, ref: str) -> list[Part]:
    """All but the id of the error, which is shown beside it and among the attributes."""
    info = {key: value for key, value in mapping(fields.get("error_info")).items() if key != "error_id"}
    parts = [Part("Recovery", tree(info, ref, ["error_info"]), "json")] if info else []
    return parts + _more(fields, ref, "error_info")


def _asked(fields: JsonObject, ref: str) -> list[Part]:
    asked, path = prompt_of(fields)
    return [of_value("Prompt", asked, ref, path), *_more(_but(fields, "input_data", "prompt"), ref, "prompt")]


def _human(fields: JsonObject, ref: str) -> list[Part]:
    title = TITLES.get(text(mapping(fields.get("meta")).get("status")), "")
    given = mapping(fields.get("input_data"))
    if not title or "value" not in given:
        return _generic(fields, ref)
    return [of_value(title, given["value"], ref, ["input_data", "value"])]


def _component_enter(fields: JsonObject, ref: str) -> list[Part]:
    """Leave out the component unless it has long or nested fields: title and attributes have its names."""
    known = mapping(fields.get("target_component")).values()
    more = any(isinstance(value, dict | list) or len(str(value)) > 200 for value in known)
    return _generic(fields if more else _without(fields, "target_component"), ref)


def _component_exit(fields: JsonObject, ref: str) -> list[Part]:
    parts = _component_enter(_without(fields, "output_data"), ref) + of_words(fields, ref)
    if update := fields.get("output_data"):
        parts.append(of_value("State update", update, ref, ["output_data"]))
    return parts


def _session_end(fields: JsonObject, ref: str) -> list[Part]:
    """The session's response, shown like any other answer, after all other fields."""
    output = mapping(fields.get("output_data"))
    if list(output) != ["response"] or not isinstance(output["response"], str):
        return _generic(fields, ref)
    return [*_generic(_without(fields, "output_data"), ref),
            of_answer("Response", output["response"], ref, ["output_data", "response"])]  # fmt: skip


def _without(fields: JsonObject, *left_out: str) -> JsonObject:
    return {name: value for name, value in fields.items() if name not in left_out}


def _but(fields: JsonObject, name: str, told: str) -> JsonObject:
    """The fields without the key `told` of the field `name`, and without that field if nothing else is in it."""
    more = _without(mapping(fields.get(name)), told)
    return {key: more if key == name else value for key, value in fields.items() if more or key != name}


def _more(fields: JsonObject, ref: str, *told: str) -> list[Part]:
    """The fields that are not shown yet, such as a client's own; figures are among the attributes."""
    return _generic(_without(fields, *told, "performance_metrics"), ref)


def _generic(fields: JsonObject, ref: str) -> list[Part]:
    """Everything in the entry besides envelope and metadata, a message first."""
    parts = []
    if isinstance(message := mapping(fields.get("output_data")).get("message"), str):
        parts.append(of_text("Message", message, ref, ["output_data", "message"]))
        fields = _but(fields, "output_data", "message")
    rest = [name for name in fields if name not in (*ENVELOPE, *METADATA) and fields[name] is not None]
    parts += [
        of_value(formats.preview(name, 80).replace("_", " ").capitalize(), fields[name], ref, [name])
        for name in rest[:MAX_FIELDS]
    ]
    return parts + unshown("Fields", rest, MAX_FIELDS)


_PARTS: dict[str, Callable[[JsonObject, str], list[Part]]] = {
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
