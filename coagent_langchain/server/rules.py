"""Fast checks of the fields of an entry, derived from the wire model."""

from __future__ import annotations

import typing
from collections.abc import Callable
from enum import StrEnum
from types import UnionType
from typing import Any

from pydantic import BaseModel

from coagent_langchain.events import LogEntry
from coagent_langchain.wire import MAX_COUNTER, MAX_SESSION_ID, MAX_TIMESTAMP

MAX_ENTRY = 8_000_000  # bytes: enough for the longest responses of today's models

Problems = tuple[tuple[str, str], ...]  # of one value: pairs of path below it ("" for the value itself) and message
NONE: Problems = ()


def _types_of(annotation: Any) -> frozenset[type]:
    """The Python types of the JSON values of a wire model's field, e.g. `{str, NoneType}`."""
    options = typing.get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    found: set[type] = set()
    for option in options:
        kind = typing.get_origin(option) or option
        if issubclass(kind, BaseModel):
            found.add(dict)
        elif issubclass(kind, float):
            found |= {float, int}
        else:
            found.add(str if issubclass(kind, StrEnum) else kind)
    return frozenset(found)


def _check_of(annotation: Any) -> Callable[[Any], Problems] | None:
    """The check beyond the type, if any: a nested model's fields, an enumeration's values, strings in a list."""
    options = typing.get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    for option in options:
        if typing.get_args(option) == (str,):
            return _strings
        if isinstance(option, type) and issubclass(option, BaseModel):
            return _fields(option)
        if isinstance(option, type) and issubclass(option, StrEnum):
            return _one_of(option)
    return None


def _fields(model: type[BaseModel], **own: Callable[[Any], Problems]) -> Callable[[Any], Problems]:
    """Make the check of an object's fields: the type of each, then its check in `own` or else of its annotation."""
    rules = {
        name: (_types_of(info.annotation), own.get(name) or _check_of(info.annotation))
        for name, info in model.model_fields.items()
    }

    def problems(fields: dict[str, Any]) -> Problems:
        found = NONE
        for name, value in fields.items():
            if (rule := rules.get(name)) is not None:
                types, check = rule
                if type(value) not in types:
                    found += ((f".{name}", _expected(types)),)
                elif check is not None and value is not None and (inner := check(value)):
                    found += tuple((f".{name}{path}", message) for path, message in inner)
        return found

    return problems


def _expected(types: frozenset[type]) -> str:
    return "must be " + " or ".join(word for kind, word in _WORDS.items() if kind in types)


# One function per kind of check, so that each value costs a single call: these run six times per entry.


def _between(highest: int) -> Callable[[Any], Problems]:
    problems = (("", f"must be an integer from 0 to {highest}"),)
    return lambda value: NONE if 0 <= value <= highest else problems


def _one_of(values: type[StrEnum]) -> Callable[[Any], Problems]:
    allowed = frozenset(values)
    problems = (("", f"must be one of {', '.join(values)}"),)
    return lambda value: NONE if value in allowed else problems


def _length(highest: int) -> Callable[[Any], Problems]:
    problems = (("", f"must have 1 to {highest} characters"),)
    return lambda value: NONE if 0 < len(value) <= highest else problems


def _strings(value: list[Any]) -> Problems:
    return NONE if all(type(item) is str for item in value) else (("", "must be an array of strings"),)


_WORDS = {str: "a string", int: "an integer", float: "a number", bool: "true or false", dict: "an object",
          list: "an array"}  # fmt: skip
entry_problems = _fields(
    LogEntry,
    session_id=_length(MAX_SESSION_ID),
    event_id=_length(MAX_ENTRY),
    prompt_number=_between(MAX_COUNTER),
    turn_number=_between(MAX_COUNTER),
    timestamp=_between(MAX_TIMESTAMP),
)
