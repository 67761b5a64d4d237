"""Dicts of bounded size."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def keep_latest(kept: dict[K, V], key: K, value: V, most: int) -> None:
    """Set a key in a dict of at most `most` entries; the oldest entry makes room for a new one."""
    kept[key] = value
    if len(kept) > most:
        kept.pop(next(iter(kept)), None)  # with a default: another thread may have removed it
