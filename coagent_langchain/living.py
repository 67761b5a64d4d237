"""Weak references to objects, which one thread may go through while another adds to them."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Living(Generic[T]):
    """Those of the added objects that are still alive.

    `weakref.WeakSet` will not do: going through one raises when another thread adds to it (Python 3.11).
    """

    def __init__(self) -> None:
        self._references: dict[int, weakref.ref[T]] = {}

    def add(self, each: T) -> None:
        """Add an object."""
        key = id(each)

        def forget(reference: weakref.ref[T]) -> None:
            if self._references.get(key) is reference:  # the id may be another's by now
                self._references.pop(key, None)

        self._references[key] = weakref.ref(each, forget)

    def __iter__(self) -> Iterator[T]:
        for reference in list(self._references.values()):
            if (each := reference()) is not None:
                yield each


def renewed_after_fork(renew: Callable[[T], None]) -> Living[T]:
    """A `Living` whose objects a forked child renews, because what they hold is the parent's.

    Parameters:
        renew: called in the child with each of them that is still alive.
    """
    living: Living[T] = Living()

    def renew_all() -> None:
        for each in living:
            renew(each)

    os.register_at_fork(after_in_child=renew_all)
    return living
