"""Writes docs/events.md from the models: `python docs/_events.py`. A test holds the file to it."""

from __future__ import annotations

import types
import typing
from pathlib import Path

import orjson
from pydantic import BaseModel

from coagent_langchain import events
from coagent_langchain.events import LogEntry
from coagent_langchain.wire import EventType

HEAD = """\
# Events

<!-- Written by docs/_events.py from coagent_langchain/events.py. -->

An entry is one JSON object. These fields are always there; the others are absent when unknown. Fields that are not
listed here are kept and given back as they came.
"""

MEANING: dict[EventType, tuple[str, dict[str, object]]] = {
    EventType.SESSION_START: ("A session begins: turn 0 of its first prompt. `prompt` is the task.", {
        "prompt": "Plan a trip", "agent_stack": ["langchain-core::1.7.2"], "meta": {"version": "2.0"}}),
    EventType.SESSION_END: ("A session is over: the final output, status and totals.", {
        "output_data": {"response": "Rome it is."},
        "meta": {"status": "completed", "elapsed_time_ms": 5210, "prompts": 2, "total_tokens": 1230}}),
    EventType.USER_INPUT: ("The user asks: a prompt begins.", {
        "prompt": "Where to?", "input_data": {"prompt": "Where to?"}}),
    EventType.LLM_CALL: ("A model is called: the last user text as `prompt`, the messages before it as `history`.", {
        "prompt": "Where to?",
        "llm_call": {"issuer": "planner", "system_prompt": "Be brief.",
                     "history": {"messages": [{"role": "user", "content": "Where to?"}]}},
        "meta": {"model": "llama3.2", "provider": "ollama"}}),
    EventType.LLM_RESPONSE: ("The model answers; `input_tokens` include those read from a cache.", {
        "llm_response": {"response": "Rome.", "input_tokens": 1200, "output_tokens": 30, "total_tokens": 1230,
                         "execution_time_ms": 1800},
        "meta": {"finish_reason": "stop", "time_to_first_token_ms": 240}}),
    EventType.TOOL_CALL: ("A tool is called, or a retriever (`meta.kind`), with the turn that asked for it.", {
        "tool_call": {"tool_name": "trains", "parameters": {"to": "Rome"}}}),
    EventType.TOOL_RESPONSE: ("The tool gives back a result, or fails.", {
        "tool_response": {"tool_name": "trains", "result": {"output": "09:12"}, "success": True,
                          "execution_time_ms": 120}}),
    EventType.ERROR: ("An exception, once, at the run where it arose.", {
        "error_info": {"error_id": "e-7", "error_type": "TimeoutError", "error_message": "no answer",
                       "error_severity": "high", "component_id": "trains"}}),
    EventType.RECOVERY: ("What failed went on all the same: by a retry, a fallback, a handled tool error.", {
        "error_info": {"error_id": "e-7", "recovery_strategy": "retry", "recovery_successful": True}}),
    EventType.COMPONENT_ENTER: ("A LangGraph node begins.", {
        "target_component": {"id": "planner", "name": "planner", "component_type": "node"}}),
    EventType.COMPONENT_EXIT: ("A LangGraph node is done.", {
        "target_component": {"id": "planner", "name": "planner", "component_type": "node"},
        "meta": {"execution_time_ms": 1950}}),
    EventType.HUMAN_OVERSIGHT: ("A graph waits for a person, or a person has answered.", {
        "input_data": {"interrupt_id": "i-1", "value": {"question": "Book it?"}}, "meta": {"status": "interrupted"}}),
    EventType.ROUTING: ("Control goes to another agent or node.", {
        "routing_type": "transfer", "target_component": {"id": "booker", "name": "booker"}}),
    EventType.INFO: ("A message: of `logging`, of a custom event, or yours.", {
        "output_data": {"message": "checking trains"}, "meta": {"logger": "planner"}}),
    EventType.WARNING: ("A message that something may become a problem.", {
        "output_data": {"message": "the timetable is a day old"}}),
    EventType.DEBUG: ("A message that helps to find a fault.", {"output_data": {"message": "3 connections"}}),
    EventType.CONSENSUS_SUCCESS: ("Agents agreed. Written by clients of your own.", {
        "consensus_info": {"votes": 3, "decision": "Rome"}}),
    EventType.CONSENSUS_FAILURE: ("Agents did not agree. Written by clients of your own.", {
        "consensus_info": {"votes": 3}}),
    EventType.PERFORMANCE_DEGRADATION: ("Something got slower or worse. Written by clients of your own.", {
        "performance_metrics": {"success_rate": 0.82}}),
    EventType.TEST_RESULT: ("The outcome of tests. Written by `client.log_test_result_new`.", {
        "test_result": {"status": "passed", "total_tests": 12, "passed_tests": 12}}),
}  # fmt: skip


def render() -> str:
    """The page."""
    parts = [HEAD, _table(LogEntry, required=True), "\n## Event types\n"]
    for kind, (meaning, fields) in MEANING.items():
        example = orjson.dumps(example_of(kind, fields), option=orjson.OPT_INDENT_2).decode()
        parts.append(f"\n### `{kind}`\n\n{meaning}\n\n```json\n{example}\n```\n")
    parts += ["\n## Optional fields\n\n", _table(LogEntry, required=False), "\n## The objects\n"]
    for model in _objects():
        parts.append(
            f"\n### `{_field_of(model)}`\n\n{(model.__doc__ or '').strip()}\n\n{_table(model, required=False)}"
        )
    return "".join(parts)


def example_of(kind: EventType, fields: dict[str, object]) -> dict[str, object]:
    """A whole entry."""
    turn = 0 if kind in (EventType.SESSION_START, EventType.SESSION_END, EventType.USER_INPUT) else 1
    head = {"version": events.VERSION, "session_id": "trip-1", "prompt_number": 1, "turn_number": turn,
            "event_id": f"example-{kind}", "event_type": kind, "timestamp": 1_763_800_000_000}  # fmt: skip
    return head | fields


def _objects() -> list[type[BaseModel]]:
    found = [_model_of(field.annotation) for field in LogEntry.model_fields.values()]
    return [model for model in found if model is not None]


def _model_of(annotation: object) -> type[BaseModel] | None:
    return next((a for a in typing.get_args(annotation) if isinstance(a, type) and issubclass(a, BaseModel)), None)


def _field_of(model: type[BaseModel]) -> str:
    return next(name for name, field in LogEntry.model_fields.items() if _model_of(field.annotation) is model)


def _table(model: type[BaseModel], required: bool) -> str:
    always = {"version", "session_id", "prompt_number", "turn_number", "event_id", "event_type", "timestamp"}
    wanted = [name for name in model.model_fields if model is not LogEntry or (name in always) == required]
    rows = [f"| `{name}` | {_type(model.model_fields[name].annotation)} |" for name in wanted]
    return "\n".join(["", "| field | type |", "|---|---|", *rows]) + "\n"


_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object", list: "array"}


def _type(annotation: object) -> str:
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return " or ".join(_type(a) for a in typing.get_args(annotation) if a is not type(None))
    origin = typing.get_origin(annotation) or annotation
    if isinstance(origin, type) and issubclass(origin, BaseModel):
        return "object, below"
    if isinstance(origin, type) and issubclass(origin, events.Severity):
        return "one of " + ", ".join(f"`{each}`" for each in origin)
    if origin is EventType:
        return "string, below"
    return _NAMES[typing.cast("type", origin)]


if __name__ == "__main__":
    Path(__file__).with_name("events.md").write_text(render(), encoding="utf-8")
