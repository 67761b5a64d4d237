"""From a posted body to validated entries: hand-made for speed, its rules read from the wire model.

Every entry keeps the exact bytes in which it was posted, so that unknown fields and number formats come back as they
came. A fault names the entry's index and the field; it costs no other entry.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson
from pydantic import BaseModel

from coagent_langchain.events import MAX_COUNTER, MAX_SESSION_ID, EventType, LogEntry
from coagent_langchain.server.store import NewEntry

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


Check = Callable[[Any], str | None]


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
        check = _CHECKS.get(name)
        if check is not None and (message := check(value)) is not None:
            path, _, text = message.rpartition("\0")
            found.append((name + path, text))
    if not found and entry["event_type"] not in event_types:
        found.append(("event_type", f"{entry['event_type']} is not in the event types of this server's database"))
    return found


def _session_id(value: Any) -> str | None:
    if type(value) is str and 0 < len(value) <= MAX_SESSION_ID:
        return None
    return f"must be a string of 1 to {MAX_SESSION_ID} characters"


def _event_id(value: Any) -> str | None:
    return None if type(value) is str and value else "must be a string that is not empty"


def _event_type(value: Any) -> str | None:
    return None if type(value) is str and value in _EVENT_TYPES else f"must be one of {', '.join(EventType)}"


def _integer(highest: int) -> Check:
    def check(value: Any) -> str | None:
        return None if type(value) is int and 0 <= value <= highest else f"must be an integer from 0 to {highest}"

    return check


def _of(annotation: Any) -> Check:
    """The check of a field's annotation in the wire model: None, scalars, objects, lists and nested models."""
    options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    for option in options:
        if isinstance(option, type) and issubclass(option, BaseModel):
            return _part({name: _of(info.annotation) for name, info in option.model_fields.items()})
        if isinstance(option, type) and issubclass(option, StrEnum):
            return _one_of(frozenset(option))
        if typing.get_args(option) == (str,):
            return _strings
    allowed = frozenset(t for option in options for t in _JSON_TYPES[typing.get_origin(option) or option])
    message = "must be " + " or ".join(dict.fromkeys(_WORDS[t] for t in allowed if t is not types.NoneType))

    def check(value: Any) -> str | None:
        return None if type(value) in allowed else message

    return check


def _part(checks: dict[str, Check]) -> Check:
    def check(value: Any) -> str | None:
        if type(value) is not dict:
            return None if value is None else "must be an object"
        for name, item in value.items():
            inner = checks.get(name)
            if inner is not None and (message := inner(item)) is not None:
                return f".{name}\0{message}"
        return None

    return check


def _one_of(values: frozenset[str]) -> Check:
    message = f"must be one of {', '.join(sorted(values))}"

    def check(value: Any) -> str | None:
        return None if value is None or (type(value) is str and value in values) else message

    return check


def _strings(value: Any) -> str | None:
    if value is None or (type(value) is list and all(type(item) is str for item in value)):
        return None
    return "must be an array of strings"


_JSON_TYPES: dict[Any, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    float: (float, int),
    bool: (bool,),
    dict: (dict,),
    list: (list,),
    types.NoneType: (types.NoneType,),
}
_WORDS = {str: "a string", int: "an integer", float: "a number", bool: "true or false", dict: "an object",
          list: "an array"}  # fmt: skip
_EVENT_TYPES = frozenset(EventType)
_CHECKS: dict[str, Check] = {name: _of(info.annotation) for name, info in LogEntry.model_fields.items()} | {
    "session_id": _session_id,
    "event_id": _event_id,
    "event_type": _event_type,
    "prompt_number": _integer(MAX_COUNTER),
    "turn_number": _integer(MAX_COUNTER),
    "timestamp": _integer(MAX_TIMESTAMP),
}
