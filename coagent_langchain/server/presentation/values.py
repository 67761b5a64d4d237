"""How values from a log are read: one of the wrong type counts as absent."""

from __future__ import annotations

from typing import Any


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
