"""How values from a log are read: one of the wrong type counts as absent."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Value:
    """A value in an entry, with its address, by which the page fetches it.

    Attributes:
        ref: the address of the entry.
        path: the keys and indices that lead from the entry to the value; empty for the entry itself.
    """

    value: Any
    ref: str = ""
    path: tuple[str | int, ...] = ()

    def at(self, *path: str | int) -> Value:
        """The value at a path below this one; None if there is none."""
        try:
            found = functools.reduce(operator.getitem, path, self.value)
        except (LookupError, TypeError):
            found = None
        return Value(found, self.ref, (*self.path, *path))

    @property
    def where(self) -> str:
        """The path as JSON, as the page sends it back."""
        return orjson.dumps(self.path).decode()

    @property
    def text(self) -> str:
        """The value if it is a string, else ""."""
        return text(self.value)

    @property
    def each(self) -> list[Value]:
        """The elements of an array; none of any other value."""
        return [self.at(place) for place in range(len(listing(self.value)))]


def text(value: Any) -> str:
    """The value if it is a string, else ""."""
    return value if isinstance(value, str) else ""


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is an object, else {}."""
    return value if isinstance(value, dict) else {}


def listing(value: Any) -> list[Any]:
    """The value if it is an array, else []."""
    return value if isinstance(value, list) else []


def whole(value: Any) -> int:
    """The value as an int if it is a number within ±2**53, else 0."""
    if type(value) is int or type(value) is float:
        return int(value) if -(2**53) <= value <= 2**53 else 0
    return 0
