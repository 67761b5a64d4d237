"""Weak references to objects, safe to iterate in one thread while another adds to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")


class WeakCollection(Generic[T]):
    """A collection of weakly referenced objects; iteration yields those that are still alive.

    `weakref.WeakSet` will not do: iteration raises when another thread adds to it (Python 3.11).
    """

    def __init__(self) -> None:
        self._objects: WeakValueDictionary[int, T] = WeakValueDictionary()  # by id

    def add(self, each: T) -> None:
        """Add an object."""
        self._objects[id(each)] = each

    def __iter__(self) -> Iterator[T]:
        for reference in self._objects.valuerefs():  # a list
            if (each := reference()) is not None:
                yield each


def renewed_after_fork(renew: Callable[[T], None]) -> WeakCollection[T]:
    """Make a collection whose objects are renewed in a forked child, because what they hold belongs to the parent."""
    living: WeakCollection[T] = WeakCollection()

    def renew_all() -> None:
        for each in living:
            renew(each)

    os.register_at_fork(after_in_child=renew_all)
    return living
