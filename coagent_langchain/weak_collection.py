"""Weak references to objects, safe to iterate in one thread while another adds to them."""

from __future__ import annotations

from collections.abc import Iterator
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
