"""What the timeline needs of one entry: a small record, so that the entry's body need not stay in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from coagent_langchain.server.presentation.blocks import joined
from coagent_langchain.server.presentation.entries import (
    METADATA,
    is_handler_result,
    message_of,
    own_words,
    placeholder,
    prompt_of,
    requested_tools,
    withheld,
)
from coagent_langchain.server.presentation.formats import arguments, brief, preview, visible
from coagent_langchain.server.presentation.outcomes import CUT_OFF, EARLY_ENDS, FROM_CACHE, NOT_RUN
from coagent_langchain.server.presentation.oversight import question_or_answer
from coagent_langchain.server.presentation.prompt_words import in_words
from coagent_langchain.server.presentation.values import Value, listing, mapping, text, whole
from coagent_langchain.texts import counted
from coagent_langchain.wire import ENVELOPE, JsonObject

MAX_NAME = 120  # characters of a name in a row
EMPTY = "empty result"


@dataclass(slots=True)
class EventSummary:
    """A summary of one entry.

    Attributes:
        run, parent, root: run ids from `meta.trace`; "" if the client writes none.
        namespace: LangGraph's checkpoint namespace, which finds the node if the parent run itself is not logged.
        name: the name of the model, tool or component, for display.
        model: the model's name, if the entry has one.
        who: node, agent or issuer.
        note: beginning of the content, on one line.
        key: what pairs it if runs do not: tool call id, interrupt id or error id.
        ms: the duration that the entry reports.
        failed: why it failed; "" if it did not.
        error: id of the error that made a tool fail, perhaps inside it.
        outcome: `meta.outcome` or a status.
        input, output, cached, reasoning, cost: tokens and dollars; None if the entry reports none.
        reused: whether it is an answer from a cache, so that its tokens were not used.
        attempt: the number of the attempt that it belongs to, from 2 on; 0 if it is the first.
        speaks: whether a node has messages of its own.
    """

    seq: int
    at: int
    type: str
    prompt: int
    turn: int
    event_id: str
    run: str = ""
    parent: str = ""
    root: str = ""
    namespace: str = ""
    name: str = ""
    who: str = ""
    note: str = ""
    key: str = ""
    ms: int | None = None
    failed: str = ""
    error: str = ""
    outcome: str = ""
    input: int | None = None
    output: int | None = None
    cached: int | None = None
    reasoning: int | None = None
    cost: float | None = None
    reused: bool = False
    speaks: bool = False
    model: str = ""
    attempt: int = 0


def summarize_json(seq: int, body: bytes) -> EventSummary:
    """Summarize a stored entry."""
    return summarize(seq, orjson.loads(body))


def summarize(seq: int, entry: JsonObject) -> EventSummary:
    """Summarize an entry; fields of a wrong type count as absent."""
    meta = mapping(entry.get("meta"))
    trace, framework = mapping(meta.get("trace")), mapping(meta.get("framework"))
    summary = EventSummary(
        seq, at=whole(entry.get("timestamp")), type=text(entry.get("event_type")),
        prompt=whole(entry.get("prompt_number")), turn=whole(entry.get("turn_number")),
        event_id=text(entry.get("event_id")), run=text(trace.get("run_id")),
        parent=text(trace.get("within_run_id")) or text(trace.get("parent_run_id")),
        root=text(trace.get("root_run_id")), namespace=text(framework.get("checkpoint_ns")),
        name=text(trace.get("name")), who=text(framework.get("node")) or text(framework.get("agent")),
        outcome=text(meta.get("outcome")), cost=_cost(entry), attempt=whole(meta.get("attempt")),
    )  # fmt: skip
    _READERS.get(summary.type, _other)(summary, entry, meta)
    summary.name, summary.who = visible(summary.name[:MAX_NAME]), visible(summary.who[:MAX_NAME])
    summary.outcome = preview(summary.outcome, MAX_NAME)
    return summary


def _llm_call(summary: EventSummary, entry: JsonObject, meta: JsonObject) -> None:
    summary.model = text(meta.get("model"))
    summary.name = summary.model or summary.name or "model"
    summary.who = text(mapping(entry.get("llm_call")).get("issuer")) or summary.who
    if source := text(meta.get("source")):
        summary.who = f"{summary.who} ({source})".strip()
    summary.note = preview(in_words(text(entry.get("prompt")))) or withheld(meta)


def _llm_response(summary: EventSummary, entry: JsonObject, meta: JsonObject) -> None:
    answer = mapping(entry.get("llm_response"))
    summary.model = text(meta.get("model"))
    summary.name = summary.model or summary.name
    summary.ms = _known(answer.get("execution_time_ms"))
    _use(summary, entry, meta)
    if meta.get("cached") is True:
        summary.reused, summary.outcome = True, summary.outcome or FROM_CACHE
    said = (requested_tools(answer.get("tool_calls")), preview(text(answer.get("response"))))
    summary.note = " · ".join(part for part in said if part) or placeholder(entry)
    summary.failed = "error" if summary.outcome == "error" else ""
    if text(meta.get("finish_reason")).lower() in EARLY_ENDS:
        summary.outcome = summary.outcome or CUT_OFF


def _use(summary: EventSummary, entry: JsonObject, meta: JsonObject) -> None:
    """Read the tokens of a model's answer, or of its beginning if the call failed."""
    answer, usage = mapping(entry.get("llm_response")), mapping(meta.get("usage"))
    summary.input, summary.output = _known(answer.get("input_tokens")), _known(answer.get("output_tokens"))
    summary.cached = _known(mapping(usage.get("input_token_details")).get("cache_read"))
    summary.reasoning = _known(mapping(usage.get("output_token_details")).get("reasoning"))


def _tool_call(summary: EventSummary, entry: JsonObject, meta: JsonObject) -> None:
    call = mapping(entry.get("tool_call"))
    summary.name = text(call.get("tool_name")) or summary.name or "tool"
    summary.key = text(meta.get("tool_call_id"))
    summary.note = arguments(call.get("parameters"))
    summary.outcome = text(meta.get("kind"))


def _tool_response(summary: EventSummary, entry: JsonObject, meta: JsonObject) -> None:
    answer = mapping(entry.get("tool_response"))
    summary.name = text(answer.get("tool_name")) or summary.name
    summary.key = text(meta.get("tool_call_id"))
    summary.ms = _known(answer.get("execution_time_ms"))
    why = preview(text(answer.get("error_message")))
    if answer.get("success") is False and summary.outcome != NOT_RUN:
        summary.failed, summary.error = why or "failed", text(meta.get("error_id"))
    found = _found(answer.get("result")) if meta.get("kind") == "retriever" else ""
    summary.note = summary.failed or why or found or _result(answer.get("result"))


def _found(result: Any) -> str:
    """How many documents a retriever found, and how the first one begins."""
    count, documents = mapping(result).get("count"), listing(mapping(result).get("documents"))
    if type(count) is not int:
        return ""
    first = preview(text(mapping(documents[0]).get("page_content"))) if documents else ""
    return " · ".join(part for part in (counted(count, "document"), first) if part)


def _result(result: Any) -> str:
    """A tool's output in brief: for content blocks, their texts, images and files; "" if no result is logged."""
    if result is None:
        return ""
    if not is_handler_result(result):
        return preview(joined(result)) or brief(result) or EMPTY
    output = result["output"]
    return preview(joined(output)) or brief(output) or ("" if len(result) > 1 else EMPTY)  # not with a command


def _component(summary: EventSummary, entry: JsonObject, meta: JsonObject) -> None:
    target = mapping(entry.get("target_component"))
    summary.name = text(target.get("name")) or summary.name or text(target.get("id")) or "component"
    summary.who = text(target.get("component_type"))
    summary.ms = _known(meta.get("execution_time_ms"))
    summary.failed = "error" if summary.outcome == "error" else ""
    words = preview(" · ".join(filter(None, own_words(entry))))
    summary.speaks = bool(words)
    changed = {name: value for name, value in mapping(entry.get("output_data")).items() if name != "messages"}
    summary.note = " · ".join(filter(None, (words, arguments(changed))))


def _error(summary: EventSummary, entry: JsonObject, meta: JsonObject) -> None:
    info = mapping(entry.get("error_info"))
    kind, message = text(info.get("error_type")), text(info.get("error_message"))
    summary.key = text(info.get("error_id"))
    summary.name = kind or "Error"
    summary.ms = _known(meta.get("execution_time_ms"))
    _use(summary, entry, meta)
    summary.failed = summary.note = preview(": ".join(dict.fromkeys(filter(None, (kind, message)))) or "error")


def _recovery(summary: EventSummary, entry: JsonObject, meta: JsonObject) -> None:
    info = mapping(entry.get("error_info"))
    summary.key = text(info.get("error_id"))
    summary.outcome = preview(text(info.get("recovery_strategy")), 40)
    summary.name = "Recovery"
    summary.failed = "recovery failed" if info.get("recovery_successful") is False else ""
    summary.note = summary.outcome


def _oversight(summary: EventSummary, entry: JsonObject, meta: JsonObject) -> None:
    given = mapping(entry.get("input_data"))
    summary.key = text(given.get("interrupt_id"))
    summary.outcome = text(meta.get("status"))
    summary.name = "Human"
    if "value" in given:
        value = given["value"]
        summary.note = preview(question_or_answer(summary.outcome, value)) or arguments(value) or brief(value)
    else:
        summary.note = _rest(entry | {"input_data": {name: given[name] for name in given if name != "interrupt_id"}})


def _prompt(summary: EventSummary, entry: JsonObject, meta: JsonObject) -> None:
    summary.note = preview(in_words(prompt_of(Value(entry)).text)) or withheld(meta)


def _session_end(summary: EventSummary, entry: JsonObject, meta: JsonObject) -> None:
    summary.outcome = text(meta.get("status")) or "completed"
    summary.name = "Session end"
    summary.ms = _known(meta.get("elapsed_time_ms"))
    summary.note = preview(in_words(text(mapping(entry.get("output_data")).get("response"))))


def _other(summary: EventSummary, entry: JsonObject, meta: JsonObject) -> None:
    target = visible(text(mapping(entry.get("target_component")).get("name"))[:MAX_NAME])
    message = message_of(Value(entry)).text
    summary.who = summary.who or text(meta.get("logger"))
    summary.name = summary.type.replace("_", " ").capitalize()
    said = "" if target and summary.type == "routing" else preview(message) or _rest(entry)
    summary.note = " · ".join(part for part in (target, said) if part)


def _test_result(summary: EventSummary, entry: JsonObject, meta: JsonObject) -> None:
    _other(summary, entry, meta)
    summary.failed = "failed" if mapping(entry.get("test_result")).get("status") == "failed" else ""


_READERS: dict[str, Callable[[EventSummary, JsonObject, JsonObject], None]] = {
    "llm_call": _llm_call,
    "llm_response": _llm_response,
    "tool_call": _tool_call,
    "tool_response": _tool_response,
    "component_enter": _component,
    "component_exit": _component,
    "error": _error,
    "recovery": _recovery,
    "human_oversight": _oversight,
    "session_start": _prompt,
    "user_input": _prompt,
    "session_end": _session_end,
    "test_result": _test_result,
}


def _rest(entry: JsonObject) -> str:
    fields = ("message", "routing_type", "consensus_info", "test_result", "performance_metrics", "output_data",
              "input_data", "prompt")  # fmt: skip
    value = next((entry[field] for field in fields if entry.get(field)), None)
    own = {name: entry[name] for name in entry if name not in (*ENVELOPE, *METADATA, *fields, "target_component")}
    return arguments(value) or brief(value) or arguments(own)


def _known(value: Any) -> int | None:
    return whole(value) if type(value) in (int, float) and value >= 0 else None


def _cost(entry: JsonObject) -> float | None:
    value = mapping(entry.get("performance_metrics")).get("cost")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
