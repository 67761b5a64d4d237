"""Objects that others keep alive, to be gone through by one thread while another adds to them."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Living(Generic[T]):
    """Those of the added objects that are still alive.

    No `weakref.WeakSet`: going through one raises when another thread adds to it (Python 3.11).
    """

    def __init__(self) -> None:
        self._references: dict[int, weakref.ref[T]] = {}

    def add(self, each: T) -> None:
        """Know one more."""
        self._references[id(each)] = weakref.ref(each)

    def __iter__(self) -> Iterator[T]:
        for key, reference in list(self._references.items()):
            each = reference()
            if each is not None:
                yield each
            elif self._references.get(key) is reference:
                self._references.pop(key, None)
