"""From a posted body to validated entries: hand-made for speed, its rules read from the wire model.

Every entry keeps the exact bytes in which it was posted, so that unknown fields and number formats come back as they
came. A fault names the entry's index and the field; it costs no other entry.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from types import UnionType
from typing import Any

import orjson
from pydantic import BaseModel

from coagent_langchain.events import LogEntry
from coagent_langchain.server.store import NewEntry
from coagent_langchain.wire import MAX_COUNTER, MAX_SESSION_ID

MAX_BODY = 10_000_000  # bytes, also after decompression
MAX_ENTRIES = 1000  # a batch
MAX_ENTRY = 8_000_000  # bytes: room for the longest answers of today's models
MAX_DEPTH = 100  # ClickHouse 25 cannot read back what is nested 300 deep
MAX_TIMESTAMP = 2**53  # milliseconds; beyond it JavaScript rounds

Fault = dict[str, Any]
REQUIRED = ("version", "session_id", "prompt_number", "turn_number", "event_id", "event_type", "timestamp")


class BodyError(Exception):
    """The body as a whole cannot be read.

    Attributes:
        status: the HTTP status to answer.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Batch:
    """What a body held: the good entries, the faults of the others, and whether it was one entry or an array."""

    entries: list[NewEntry] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    single: bool = False


def read(body: bytes, event_types: frozenset[str]) -> Batch:
    """Parse and validate a body: one entry, or an array of entries.

    Parameters:
        event_types: what the store can keep; another type of the wire model is refused with a message of its own.

    Raises:
        BodyError: not JSON, neither object nor array, or too many entries.
    """
    body = body.strip(b" \t\r\n")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BodyError(f"the body is not valid JSON: {error}") from None
    if isinstance(document, dict):
        return _check([document], [body], event_types, single=True)
    if not isinstance(document, list):
        raise BodyError("the body must be one log entry (a JSON object) or an array of log entries")
    if len(document) > MAX_ENTRIES:
        raise BodyError(f"a batch holds at most {MAX_ENTRIES} entries, this one {len(document)}", 413)
    return _check(document, split(body, document), event_types, single=False)


def _check(entries: list[Any], bodies: list[bytes], event_types: frozenset[str], *, single: bool) -> Batch:
    batch = Batch(single=single)
    for index, (entry, body) in enumerate(zip(entries, bodies, strict=True)):
        if found := faults(entry, body, event_types):
            batch.faults += [{"index": index, "field": name, "message": message} for name, message in found]
        else:
            batch.entries.append(NewEntry(entry, body))
    return batch


_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[][{},]', re.DOTALL)
_NEST = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


def split(body: bytes, entries: list[Any]) -> list[bytes]:
    """The text of each element of the JSON array `body`, which parses to `entries`."""
    compact = [orjson.dumps(entry) for entry in entries]
    if b"[%b]" % b",".join(compact) == body:  # as our own delivery writes it: ten times as fast as finding the commas
        return compact
    found, depth, start = [], 0, 1
    for token in _TOKEN.finditer(body):
        depth += _NEST.get(token[0], 0)
        if (depth == 1 and token[0] == b",") or depth == 0:
            found.append(body[start : token.start()].strip(b" \t\r\n"))
            start = token.end()
    return found if entries else []


def nested_too_deep(body: bytes) -> bool:
    """Whether JSON text is nested deeper than `MAX_DEPTH`."""
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return False
    depth = 0
    for token in _TOKEN.finditer(body):
        depth += _NEST.get(token[0], 0)
        if depth > MAX_DEPTH:
            return True
    return False


def faults(entry: Any, body: bytes, event_types: frozenset[str]) -> list[tuple[str, str]]:
    """What is wrong with an entry: pairs of field and message; empty when it is valid."""
    if not isinstance(entry, dict):
        return [("", "an entry must be a JSON object")]
    if "event_type" not in entry and "log_type" in entry:
        return [("log_type", "this is the deprecated shape with log_type; send event_type and the other fields of "
                             'version "2.0.0" instead')]  # fmt: skip
    if len(body) > MAX_ENTRY:
        return [("", f"an entry has at most {MAX_ENTRY} bytes, this one {len(body)}")]
    if nested_too_deep(body):
        return [("", f"an entry is nested at most {MAX_DEPTH} deep")]
    found = [(name, "is required") for name in REQUIRED if name not in entry]
    for name, value in entry.items():
        types = _TYPES.get(name)
        if types is None:
            continue
        if type(value) not in types:
            found.append((name, _expected(types)))
        elif name in _CHECKS and value is not None and (problems := _CHECKS[name](value)):
            found += [(name + path, message) for path, message in problems]
    if not found and entry["event_type"] not in event_types:
        found.append(("event_type", f"{entry['event_type']} is not in the event types of this server's database"))
    return found


def _expected(types: frozenset[type]) -> str:
    return "must be " + " or ".join(word for kind, word in _WORDS.items() if kind in types)


Problems = tuple[tuple[str, str], ...]  # of one value: path below it ("" for the value itself) and message
NONE: Problems = ()


def _types_of(annotation: Any) -> frozenset[type]:
    """The Python types that JSON values of a field of the wire model have, e.g. `{str, NoneType}`."""
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
    """What must hold beyond the type: the fields of a nested model, an enumeration's values, strings in a list."""
    options = typing.get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    for option in options:
        if typing.get_args(option) == (str,):
            return _strings
        if isinstance(option, type) and issubclass(option, BaseModel):
            return _part(option)
        if isinstance(option, type) and issubclass(option, StrEnum):
            return _one_of(option)
    return None


def _part(model: type[BaseModel]) -> Callable[[Any], Problems]:
    types = {name: _types_of(info.annotation) for name, info in model.model_fields.items()}
    checks = {name: check for name, info in model.model_fields.items() if (check := _check_of(info.annotation))}

    def problems(part: dict[str, Any]) -> Problems:
        found = NONE
        for name, value in part.items():
            if (allowed := types.get(name)) is not None:
                if type(value) not in allowed:
                    found += ((f".{name}", _expected(allowed)),)
                elif name in checks and value is not None:
                    found += tuple((f".{name}{path}", message) for path, message in checks[name](value))
        return found

    return problems


# One call a value, without a general form over them: these run six times for each entry.


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
_FIELDS = {name: info.annotation for name, info in LogEntry.model_fields.items()}
_TYPES = {name: _types_of(annotation) for name, annotation in _FIELDS.items()}
_CHECKS = {name: check for name, annotation in _FIELDS.items() if (check := _check_of(annotation))} | {
    "session_id": _length(MAX_SESSION_ID),
    "event_id": _length(MAX_ENTRY),
    "prompt_number": _between(MAX_COUNTER),
    "turn_number": _between(MAX_COUNTER),
    "timestamp": _between(MAX_TIMESTAMP),
}
