"""What the detail pane shows of one bar: its entries as parts to read, attributes, metadata and stack trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from markupsafe import Markup

from coagent_langchain.server import formats
from coagent_langchain.server.formats import listing, mapping, text
from coagent_langchain.server.jsonview import pretty, shown, tree
from coagent_langchain.server.moments import Moment, shorten
from coagent_langchain.server.pairing import STOPPED
from coagent_langchain.server.store import Entry

Json = dict[str, Any]
Path = list[str | int]
MAX_MESSAGES = 40  # of a history that stand in the pane; Raw has them all
ENVELOPE = ("version", "session_id", "prompt_number", "turn_number", "event_id", "event_type", "timestamp")
METADATA = ("meta", "custom_metadata", "conversation_context", "graph_context", "agent_stack")


@dataclass(slots=True)
class Part:
    """A titled piece of content. `path` finds the whole text for the copy button, None where there is none."""

    title: str
    content: Markup
    kind: str = "text"
    path: str | None = None
    folded: bool = False


@dataclass(slots=True)
class Shown:
    """One entry, ready for the template."""

    ref: str
    moment: Moment
    parts: list[Part]
    attributes: list[tuple[str, str]]
    metadata: list[Part]
    raw: Markup
    stack: Part | None = None


@dataclass(slots=True)
class Detail:
    """One bar, ready for the template."""

    title: str
    icon: str
    status: str
    entries: list[Shown] = field(default_factory=list)

    @property
    def stacks(self) -> list[Part]:
        """The stack traces of its errors."""
        return [shown.stack for shown in self.entries if shown.stack]


def ref_of(entry: Entry) -> str:
    """The address of a stored entry in the viewer's links: its place in the session's order."""
    return f"{entry.timestamp}-{entry.seq}"


def detail(entries: list[Entry]) -> Detail:
    """Make the pane of the entries of one bar, the call first."""
    made = [show(entry) for entry in entries]
    told = {part.content for one in made if one.moment.type == "error" for part in one.parts}
    for one in made:
        if one.moment.type == "tool_response":  # it repeats the message of the error that came before it
            one.parts = [part for part in one.parts if part.kind != "bad" or part.content not in told]
    first = made[0].moment
    failed = any(one.moment.type == "error" or one.moment.failed for one in made)
    recovered = any(one.moment.type == "recovery" and not one.moment.failed for one in made)
    waiting = len(made) == 1 and first.type in ("llm_call", "tool_call", "component_enter")
    outcome = next((one.moment.outcome for one in made if one.moment.outcome in STOPPED), "ok")
    if first.type == "session_end":
        outcome = first.outcome
    status = "recovered" if recovered else "error" if failed else "open" if waiting else outcome
    return Detail(first.name or first.type.replace("_", " ").capitalize(), _ICONS.get(first.type, "note"), status, made)


def show(entry: Entry) -> Shown:
    """Make one entry ready."""
    fields = orjson.loads(entry.body)
    moment, ref = shorten(entry.seq, fields), ref_of(entry)
    parts = _PARTS.get(moment.type, _generic)(fields, ref)
    metadata = [Part(name, tree(fields[name], ref, [name]), "json") for name in METADATA if fields.get(name)]
    trace = text(mapping(fields.get("error_info")).get("stack_trace"))
    stack = _text("Stack trace", trace, ref, ["error_info", "stack_trace"], "code") if trace else None
    return Shown(ref, moment, parts, attributes(fields, moment), metadata, shown(pretty(fields), ref, []), stack)


def attributes(fields: Json, moment: Moment) -> list[tuple[str, str]]:
    """The entry's scalar facts, the envelope first."""
    found = [(name, _scalar(fields[name])) for name in ENVELOPE[4:6] + ENVELOPE[2:4] if name in fields]
    found.append(("timestamp", f"{formats.iso(moment.at)} ({moment.at})"))
    meta = mapping(fields.get("meta"))
    for group in ("llm_call", "llm_response", "tool_call", "tool_response", "error_info", "performance_metrics",
                  "test_result", "target_component"):  # fmt: skip
        found += [
            (f"{group}.{key}", _scalar(value)) for key, value in mapping(fields.get(group)).items() if _is_fact(value)
        ]
    found += [(key, _scalar(value)) for key, value in meta.items() if _is_fact(value)]
    for group in ("parameters", "trace", "framework", "usage"):
        found += [
            (f"{group}.{key}", _scalar(value)) for key, value in mapping(meta.get(group)).items() if _is_fact(value)
        ]
    return [(formats.visible(name[:200]), value) for name, value in found[:200]]


def _is_fact(value: Any) -> bool:
    return (
        value is not None and not isinstance(value, dict | list) and not (isinstance(value, str) and len(value) > 200)
    )


def _scalar(value: Any) -> str:
    return formats.visible(value) if isinstance(value, str) else orjson.dumps(value).decode()


def _text(title: str, value: str, ref: str, path: Path, kind: str = "text", *, folded: bool = False) -> Part:
    return Part(title, shown(value, ref, path), kind, orjson.dumps(path).decode(), folded)


def _any(title: str, value: Any, ref: str, path: Path) -> Part:
    if isinstance(value, str):
        return _text(title, value, ref, path)
    return Part(title, tree(value, ref, path), "json", orjson.dumps(path).decode())


def _llm_call(fields: Json, ref: str) -> list[Part]:
    call = mapping(fields.get("llm_call"))
    parts = []
    if system := text(call.get("system_prompt")):
        parts.append(_text("System", system, ref, ["llm_call", "system_prompt"], folded=len(system) > 300))
    history = call.get("history")
    path: Path = ["llm_call", "history"] if isinstance(history, list) else ["llm_call", "history", "messages"]
    messages = listing(history) or listing(mapping(history).get("messages"))
    start = max(0, len(messages) - MAX_MESSAGES)
    if start:
        parts.append(Part(f"{start} earlier messages", Markup("See Raw")))
    for place, message in enumerate(messages[start:], start):
        parts += _message(message, ref, [*path, place], folded=place < len(messages) - 3)
    prompt = text(fields.get("prompt"))
    if prompt and not any(mapping(message).get("content") == prompt for message in messages):
        parts.append(_text("Prompt", prompt, ref, ["prompt"]))
    return parts


def _message(message: Any, ref: str, path: Path, *, folded: bool) -> list[Part]:
    if not isinstance(message, dict):
        return [_any("Message", message, ref, path)]
    role = formats.preview(text(message.get("role")) or "message", 40).capitalize()
    name = formats.preview(text(message.get("name")), 60)
    content = message.get("content")
    parts = []
    if content or not message.get("tool_calls"):
        parts.append(_any(f"{role} {name}".strip(), content, ref, [*path, "content"]))
    if calls := message.get("tool_calls"):
        parts.append(Part(f"{role}: tool calls", tree(calls, ref, [*path, "tool_calls"]), "json"))
    for part in parts:
        part.folded = folded
    return parts


def _llm_response(fields: Json, ref: str) -> list[Part]:
    answer, meta = mapping(fields.get("llm_response")), mapping(fields.get("meta"))
    parts = []
    if reasoning := text(meta.get("reasoning")):
        parts.append(_text("Reasoning", reasoning, ref, ["meta", "reasoning"], folded=True))
    if response := text(answer.get("response")):
        parts.append(_text("Answer", response, ref, ["llm_response", "response"]))
    calls = answer.get("tool_calls")
    for place, call in enumerate(listing(mapping(calls).get("calls"))[:20]):
        name = formats.preview(text(mapping(call).get("name")) or "tool", 80)
        path: Path = ["llm_response", "tool_calls", "calls", place, "args"]
        parts.append(_any(f"Asks for {name}", mapping(call).get("args"), ref, path))
    if calls and not mapping(calls).get("calls"):
        parts.append(_any("Tool calls", calls, ref, ["llm_response", "tool_calls"]))
    return parts


def _tool_call(fields: Json, ref: str) -> list[Part]:
    return [_any("Arguments", mapping(fields.get("tool_call")).get("parameters"), ref, ["tool_call", "parameters"])]


def _tool_response(fields: Json, ref: str) -> list[Part]:
    answer = mapping(fields.get("tool_response"))
    parts = []
    if message := text(answer.get("error_message")):
        parts.append(_text("Error", message, ref, ["tool_response", "error_message"], "bad"))
    result = answer.get("result")
    if isinstance(result, dict) and list(result) == ["output"]:
        parts.append(_any("Result", result["output"], ref, ["tool_response", "result", "output"]))
    elif result is not None:
        parts.append(_any("Result", result, ref, ["tool_response", "result"]))
    return parts


def _error(fields: Json, ref: str) -> list[Part]:
    info = mapping(fields.get("error_info"))
    parts = [_text(formats.preview(text(info.get("error_type")) or "Error"), text(info.get("error_message")), ref,
                   ["error_info", "error_message"], "bad")]  # fmt: skip
    rest = {key: value for key, value in info.items() if key not in ("error_type", "error_message", "stack_trace")}
    if rest:
        parts.append(Part("Details", tree(rest, ref, ["error_info"]), "json"))
    return parts


def _recovery(fields: Json, ref: str) -> list[Part]:
    """All but the id of the error, which stands beside it and in the attributes."""
    info = {key: value for key, value in mapping(fields.get("error_info")).items() if key != "error_id"}
    return [Part("Recovery", tree(info, ref, ["error_info"]), "json")] if info else []


def _asked(fields: Json, ref: str) -> list[Part]:
    return [_text("Prompt", text(fields.get("prompt")), ref, ["prompt"])]


def _generic(fields: Json, ref: str) -> list[Part]:
    """Whatever the entry has beside its envelope and metadata."""
    message = mapping(fields.get("output_data")).get("message")
    if isinstance(message, str):
        return [_text("Message", message, ref, ["output_data", "message"])]
    rest = [name for name in fields if name not in ENVELOPE and name not in METADATA]
    return [
        _any(formats.preview(name, 80).replace("_", " ").capitalize(), fields[name], ref, [name]) for name in rest[:40]
    ]


_PARTS: dict[str, Callable[[Json, str], list[Part]]] = {
    "llm_call": _llm_call,
    "llm_response": _llm_response,
    "tool_call": _tool_call,
    "tool_response": _tool_response,
    "error": _error,
    "recovery": _recovery,
    "session_start": _asked,
    "user_input": _asked,
}
_ICONS = {
    "llm_call": "model", "llm_response": "model", "tool_call": "tool", "tool_response": "tool", "error": "error",
    "recovery": "recovery", "component_enter": "component", "component_exit": "component", "human_oversight": "human",
    "session_start": "prompt", "user_input": "prompt", "session_end": "end", "warning": "warning",
}  # fmt: skip
