"""Dicts of bounded size."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def keep_latest(kept: dict[K, V], key: K, value: V, most: int) -> None:
    """Add to a dict that holds so many entries at most: for a new one, the oldest makes room."""
    kept[key] = value
    if len(kept) > most:
        kept.pop(next(iter(kept)), None)  # None: another thread may have taken it out
