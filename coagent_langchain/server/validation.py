"""What is wrong with an entry: fast checks of its fields, derived from the wire model."""

from __future__ import annotations

import typing
from collections.abc import Callable
from enum import StrEnum
from operator import itemgetter
from types import UnionType
from typing import Any

from pydantic import BaseModel

from coagent_langchain.events import LogEntry
from coagent_langchain.server.jsontext import depth_exceeds
from coagent_langchain.wire import ENVELOPE, MAX_COUNTER, MAX_SESSION_ID, MAX_TIMESTAMP

MAX_ENTRY = 8_000_000  # bytes: enough for the longest responses of today's models
MAX_DEPTH = 100  # ClickHouse 25 cannot read back values nested 300 levels deep

Problems = tuple[tuple[str, str], ...]  # of one value: pairs of path below it ("" for the value itself) and message
NONE: Problems = ()
Check = Callable[[Any], Problems]


def _rule_of(annotation: Any) -> tuple[frozenset[type], Check | None]:
    """The Python types of the JSON values of a wire model's field, e.g. `{str, NoneType}`, and the check beyond it."""
    types: set[type] = set()
    check: Check | None = None
    for option in typing.get_args(annotation) if isinstance(annotation, UnionType) else (annotation,):
        kind = typing.get_origin(option) or option
        if issubclass(kind, BaseModel):
            types.add(dict)
            check = _fields(kind)
        elif issubclass(kind, StrEnum):
            types.add(str)
            check = _one_of(kind)
        elif issubclass(kind, float):
            types |= {float, int}
        else:
            types.add(kind)
            check = _strings if typing.get_args(option) == (str,) else check
    return frozenset(types), check


def _fields(model: type[BaseModel], **own: Check) -> Check:
    """Make the check of an object's fields: the type of each, then its check in `own` or else of its annotation."""
    rules = {}
    for name, info in model.model_fields.items():
        types, check = _rule_of(info.annotation)
        rules[name] = types, own.get(name, check)

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


def _between(highest: int) -> Check:
    problems = (("", f"must be an integer from 0 to {highest}"),)
    return lambda value: NONE if 0 <= value <= highest else problems


def _one_of(values: type[StrEnum]) -> Check:
    allowed = frozenset(values)
    problems = (("", f"must be one of {', '.join(values)}"),)
    return lambda value: NONE if value in allowed else problems


def _length(highest: int) -> Check:
    problems = (("", f"must have 1 to {highest} characters"),)
    return lambda value: NONE if 0 < len(value) <= highest else problems


def _strings(value: list[Any]) -> Problems:
    return NONE if all(type(item) is str for item in value) else (("", "must be an array of strings"),)


_WORDS = {str: "a string", int: "an integer", float: "a number", bool: "true or false", dict: "an object",
          list: "an array"}  # fmt: skip
_entry_problems = _fields(
    LogEntry,
    session_id=_length(MAX_SESSION_ID),
    event_id=_length(MAX_ENTRY),
    prompt_number=_between(MAX_COUNTER),
    turn_number=_between(MAX_COUNTER),
    timestamp=_between(MAX_TIMESTAMP),
)
_required = itemgetter(*ENVELOPE)


def faults(entry: Any, body: bytes, event_types: frozenset[str]) -> list[tuple[str, str]]:
    """What is wrong with an entry: pairs of field and message; empty if it is valid."""
    if not isinstance(entry, dict):
        return [("", "an entry must be a JSON object")]
    if "event_type" not in entry and "log_type" in entry:
        return [("log_type", "belongs to the deprecated format; send event_type and the other fields of "
                             'version "2.0.0" instead')]  # fmt: skip
    if len(body) > MAX_ENTRY:
        return [("", f"an entry has at most {MAX_ENTRY} bytes, this one has {len(body)}")]
    if depth_exceeds(body, MAX_DEPTH):
        return [("", f"an entry has at most {MAX_DEPTH} levels of nesting")]
    found: list[tuple[str, str]] = []
    try:
        _required(entry)
    except KeyError:
        found = [(name, "is required") for name in ENVELOPE if name not in entry]
    found += [(path.removeprefix("."), message) for path, message in _entry_problems(entry)]
    if not found and entry["event_type"] not in event_types:
        found.append(("event_type", f"{entry['event_type']} is not an event type of this server's database"))
    return found
