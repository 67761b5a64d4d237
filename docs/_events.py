"""Writes docs/events.md from the models: `python docs/_events.py`. A test holds the file to it."""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from coagent_langchain import events
from coagent_langchain.events import LogEntry
from coagent_langchain.server.examples import MEANING, example_of
from coagent_langchain.wire import ENVELOPE, EventType

HEAD = """\
# Events

<!-- Written by docs/_events.py from coagent_langchain/events.py. -->

An entry is one JSON object. These fields are always present; the others are absent when unknown. Fields that are not
listed here are kept and returned unchanged.

"""

META = [
    ("`trace`, `framework`, `context`", "runs", "[the run, its place in the graph, your tags and metadata](hooks.md)"),
    ("`model`, `provider`, `temperature`, `max_tokens`, `parameters`",
     "model calls, their responses and errors",
     "the model and its parameters; in a response, `model` is the one that responded"),
    ("`tools_offered`, `structured_output`",
     "`llm_call`",
     "names of the tools that the model may call, and of the schema that its response must have"),
    ("`source`",
     "`llm_call`",
     "the part of LangChain that calls the model for its own purpose: `summarization`, `tool_selection`, "
     "`tool_emulation`"),
    ("`finish_reason`, `reasoning`, `blocks`, `alternatives`",
     "`llm_response`",
     "as the provider reports it; the model's reasoning; content other than text; further candidates"),
    ("`usage`, `cached`",
     "`llm_response`; `usage` also a model's `error`",
     "[the provider's numbers; whether it came from LangChain's cache](content.md#tokens-and-cost)"),
    ("`time_to_first_token_ms`", "`llm_response`", "for a stream"),
    ("`tool_call_id`, `kind`",
     "`tool_call`, `tool_response`",
     "the id of the model's tool call; `retriever` for a retriever"),
    ("`outcome`",
     "calls and nodes that did not end normally; a root run that was stopped between two calls",
     "`cancelled`, also if its graph was told to drain; `abandoned` (its stream was left); `interrupted` (it asks a "
     "human); `handed over` (to another graph); [`not run`, `answered by node`, `answered by application`]"
     "(hooks.md#tools); `unknown` (its end was not reported); for a node, and for a model that failed because of a run "
     "inside it, also `error`"),
    ("`attempt`", "repeated attempts", "the number of the attempt, from 2 on"),
    ("`late`", "`llm_call`", "true: LangChain reported the call only when it ended"),
    ("`error_id`", "a failed `tool_response`", "the id of its `error`"),
    ("`path`", "`error`, `human_oversight`", "run names from the root run down to this one"),
    ("`caused_by`", "`error`", "the id of the error that was being handled"),
    ("`execution_time_ms`", "`error` of a model, `component_exit`", "how long it took"),
    ("`messages`, `structured_output_calls`",
     "`component_exit`",
     "how many messages the node returned; ids of the tool calls that were its structured answer"),
    ("`source_component`, `goto`, `graph`", "`routing`", "where control came from, where it goes, and in which graph"),
    ("`status`, `interrupt_id`", "`human_oversight`", "`interrupted`, `resumed` or `unanswered`; which question"),
    ("`status`, `elapsed_time_ms`", "`session_end`", "how it ended, and how long it took"),
    ("`prompts`, `turns`, `llm_calls`, `tool_calls`, `errors`, `recoveries`, `input_tokens`, `output_tokens`, "
     "`total_tokens`, `cost`, `unpriced_calls`",
     "`session_end`",
     "totals"),
    ("`logger`, `level`", "`logging` records", "name and level"),
    ("`name`, `value`",
     "custom events, `on_text`, `on_retry`",
     "the event's name (`text` and `retry` for the hooks), and its data"),
    ("`content`", "any", "[`not captured` or `redact failed`](privacy.md#redaction)"),
]  # fmt: skip


def render() -> str:
    """The page."""
    whole = _json(example_of(EventType.TOOL_RESPONSE))
    parts = [HEAD, _envelope(), f"\n{whole}", "\n## Event types\n\nThe examples leave out the fields above.\n"]
    for kind, (meaning, fields) in MEANING.items():
        parts.append(f"\n### `{kind}`\n\n{meaning}\n\n{_json(fields)}")
    parts += ["\n## Optional fields\n\n", _fields(LogEntry, *ENVELOPE), _meta(), "\n## The objects\n"]
    for model in _objects():
        parts.append(f"\n### `{_field_of(model)}`\n\n{(model.__doc__ or '').strip()}\n\n{_fields(model)}")
    return "".join(parts)


def _meta() -> str:
    head = "\n## `meta`\n\nFree-form JSON. In events of the handler, it has these fields, where known:\n\n"
    return head + _table(("field", "of", "meaning"), *META)


def _objects() -> list[type[BaseModel]]:
    found = [_model_of(field.annotation) for field in LogEntry.model_fields.values()]
    return [model for model in found if model is not None]


def _model_of(annotation: object) -> type[BaseModel] | None:
    return next((a for a in typing.get_args(annotation) if isinstance(a, type) and issubclass(a, BaseModel)), None)


def _field_of(model: type[BaseModel]) -> str:
    return next(name for name, field in LogEntry.model_fields.items() if _model_of(field.annotation) is model)


def _json(fields: dict[str, Any]) -> str:
    return f"```json\n{orjson.dumps(fields, option=orjson.OPT_INDENT_2).decode()}\n```\n"


def _envelope() -> str:
    fields = {name: LogEntry.model_fields[name] for name in ENVELOPE}
    rows = [(f"`{name}`", _type(field.annotation), field.description or "") for name, field in fields.items()]
    return _table(("field", "type", "meaning"), *rows)


def _fields(model: type[BaseModel], *left_out: str) -> str:
    fields = {name: field for name, field in model.model_fields.items() if name not in left_out}
    rows = [(f"`{name}`", _type(field.annotation)) for name, field in fields.items()]
    return _table(("field", "type"), *rows)


def _table(head: tuple[str, ...], *rows: tuple[str, ...]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, ("---",) * len(head), *rows])


_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", dict: "object", list: "array"}


def _type(annotation: object) -> str:
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
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
