"""The fields of an object or a dict, read without running its code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coagent_langchain.values.kinds import MAX_KINDS, reader_of_dict


def fields_of(value: Any) -> dict[str, Any]:
    """An object's own attributes, read without running its code; empty if it has none."""
    kind = type(value)
    known = _readers.get(id(kind)) or _new_reader(kind)
    found = known[1](value)
    return found if type(found) is dict else {}


_readers: dict[int, tuple[type, Callable[[Any], Any]]] = {}  # by id; the type is kept alive, as in `kinds`


def _new_reader(kind: type) -> tuple[type, Callable[[Any], Any]]:
    if len(_readers) >= MAX_KINDS:
        _readers.clear()
    known = _readers[id(kind)] = (kind, reader_of_dict(kind))
    return known


def as_dict(value: Any) -> dict[Any, Any]:
    """The value if it is a dict, else an empty dict."""
    return value if isinstance(value, dict) else {}


def members_of(value: Any) -> dict[Any, Any]:
    """A dict's entries, or an object's own attributes, as in an SDK's object, read without running its code."""
    if issubclass(type(value), dict):
        return value if type(value) is dict else dict(dict.items(value))
    return fields_of(value)


def type_in(fields: dict[Any, Any]) -> str:
    """An object's `type`; "" if it is not a string: comparing an array, for one, raises."""
    kind = fields.get("type")
    return kind if isinstance(kind, str) else ""
