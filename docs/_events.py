"""Writes docs/events.md from the models: `python docs/_events.py`. A test holds the file to it."""

from __future__ import annotations

import types
import typing
from pathlib import Path

import orjson
from pydantic import BaseModel

from coagent_langchain import events
from coagent_langchain.events import LogEntry
from coagent_langchain.server.examples import MEANING, example_of
from coagent_langchain.wire import EventType

HEAD = """\
# Events

<!-- Written by docs/_events.py from coagent_langchain/events.py. -->

An entry is one JSON object. These fields are always present; the others are absent when unknown. Fields that are not
listed here are kept and returned unchanged.
"""


def render() -> str:
    """The page."""
    parts = [HEAD, _table(LogEntry, required=True), "\n## Event types\n"]
    for kind, (meaning, _) in MEANING.items():
        example = orjson.dumps(example_of(kind), option=orjson.OPT_INDENT_2).decode()
        parts.append(f"\n### `{kind}`\n\n{meaning}\n\n```json\n{example}\n```\n")
    parts += ["\n## Optional fields\n\n", _table(LogEntry, required=False), "\n## The objects\n"]
    for model in _objects():
        parts.append(
            f"\n### `{_field_of(model)}`\n\n{(model.__doc__ or '').strip()}\n\n{_table(model, required=False)}"
        )
    return "".join(parts)


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
