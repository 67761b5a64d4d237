"""Plain JSON copies of any object, of bounded size, made without running the object's own code.

A snapshot holds strings up to a limit (a longer one is cut and says so), numbers, lists and string-keyed dicts. NaN and
the infinities are the strings "NaN", "Infinity", "-Infinity"; integers beyond 64 bits are strings; bytes and base64
media are `{mime, bytes, sha256}`; cycles, values nested too deep and objects that are not data (iterators, locks,
clients, functions) are short names in angle brackets. Iterators are never advanced, properties and `__repr__` never
run, secrets (`SecretStr`, fields hidden from `repr`, attributes named like a key or password) are never read.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import Any

from coagent_langchain.texts import MAX_FIELD, bounded, clean
from coagent_langchain.values import kinds, media

MAX_DEPTH = 32  # nested containers
MAX_ITEMS = 10_000  # entries of one container
MAX_TOTAL = 10 * MAX_ITEMS  # entries of one snapshot: at worst about 20 ms of the calling thread
TOTAL_FIELDS = 4  # all strings of one snapshot together, in multiples of the limit of one
MAX_KEY = 1_000  # characters of a key
SHORTEST_CUT = 40  # characters: a shorter string is never cut for want of room, as the note would be as long
_TRIES = 10  # to read a dict that another thread is changing
SHORT, MANY = 1_000, 64  # characters and entries: a dict within both needs no budget

_LOW, _HIGH = -(2**63), 2**64 - 1  # the integers that orjson and JSON readers accept

JsonValue = Any


def snapshot(value: Any, limit: int = MAX_FIELD, items: int = MAX_TOTAL) -> JsonValue:
    """Make a plain JSON copy of any object; lone surrogates are left in its strings (`encode` handles them).

    Parameters:
        limit: characters that one string may have; all strings together may have four times as many.
        items: entries that all containers together may have, 64 at least.
    """
    kind = type(value)
    if kind is str:
        return bounded(value, limit)
    if kind is dict and limit >= SHORT and (plain := _flat(value)) is not None:
        return plain
    return Walk(limit, items).value(value, 0)


def _flat(value: dict[Any, Any]) -> dict[str, Any] | None:
    """Copy a small dict that is plain already, by far the most common case; None for any other."""
    if len(value) > MANY:
        return None
    found = value.copy()
    for key, item in found.items():
        kind = type(item)
        if kind is str:
            if len(item) > SHORT or key in media.KEYS or item[:5] == "data:":
                return None
        elif kind is int:
            if not _LOW <= item <= _HIGH:
                return None
        elif kind is float:
            if item - item != 0.0:  # NaN or an infinity
                return None
        elif kind is not bool and item is not None:
            return None
        if type(key) is not str or len(key) > MAX_KEY:
            return None
    return found


class Walk:
    """One pass over one value, with its remaining budget and the containers that it is inside.

    Parameters:
        limit: characters that one string may have.
        items: entries of all containers together.
        encodable: whether the result is encoded as it is: lone surrogates are written out, in keys too. An entry's
            values were bounded before, so it may be nested deeper, and its containers may have more entries.
    """

    __slots__ = ("chars", "deepest", "encodable", "items", "limit", "path")

    def __init__(self, limit: int, items: int = MAX_TOTAL, *, encodable: bool = False) -> None:
        self.limit = limit
        self.chars = TOTAL_FIELDS * limit
        self.items = items
        self.deepest = MAX_DEPTH * (2 if encodable else 1)
        self.path: set[int] = set()
        self.encodable = encodable

    def value(self, value: Any, depth: int) -> JsonValue:
        """Convert any value, at a depth of the walk."""
        kind = type(value)
        if kind is str:
            return self.string(value)
        if kind is bool or value is None:
            return value
        if kind is int:
            return integer(value)
        if kind is float:
            return number(value)
        if kind is dict:
            return self.mapping(value, depth)
        if kind is list or kind is tuple:
            return self.sequence(value, depth)
        return self.other(value, kind, depth)

    def other(self, value: Any, kind: type, depth: int) -> JsonValue:
        """Convert a value of any other type, by the plan for that type."""
        try:
            return kinds.plan(kind)(self, value, depth)
        except Exception:  # noqa: BLE001 - an object's time zone, metaclass or state may raise anything when looked at
            return f"<unreadable {kinds.name(kind)}>"

    def string(self, value: str) -> str:
        """Cut a string to the limits."""
        room = self.limit if self.limit < self.chars else max(self.chars, 0)
        kept = max(room, min(SHORTEST_CUT, self.limit))
        if self.encodable and not value.isascii():
            value = clean(value)
        if len(value) <= kept:
            self.chars -= len(value)
            return value
        self.chars -= room
        return bounded(value, room)

    def mapping(self, value: dict[Any, Any], depth: int) -> JsonValue:
        """Convert a dict to one with string keys; base64 media in it are replaced by their descriptions."""
        if (refused := self.refused(value, depth)) is not None:
            return refused
        try:
            entries = self.entries(value)
        except RuntimeError:
            return f"<unreadable {kinds.name(type(value))}>"
        me = id(value)
        self.path.add(me)
        found: dict[str, Any] = {}
        for key, item in entries:
            if type(key) is not str or key in found or len(key) > MAX_KEY or self.encodable:
                key = self.key(key, found)
            kind = type(item)
            if kind is str:
                if (key in media.KEYS or item[:5] == "data:") and (seen := media.in_block(key, item, value)):
                    found[key] = seen
                elif len(item) > self.limit or self.chars < self.limit or self.encodable:
                    found[key] = self.string(item)
                else:
                    self.chars -= len(item)
                    found[key] = item
            else:
                found[key] = self.value(item, depth + 1)
        if (left := dict.__len__(value) - len(found)) > 0:
            found["…"] = f"[cut: {left:,} of {left + len(found):,} entries]"
        self.path.discard(me)
        return found

    def sequence(self, value: Any, depth: int) -> JsonValue:
        """Convert to a list whatever can be iterated repeatedly: list, tuple, set, deque."""
        if (refused := self.refused(value, depth)) is not None:
            return refused
        me = id(value)
        self.path.add(me)
        found: list[Any] = []
        for item in self.entries(value):
            kind = type(item)
            if kind is int:
                found.append(item if _LOW <= item <= _HIGH else integer(item))
            elif item is None or kind is bool or (kind is float and item - item == 0.0):
                found.append(item)
            elif kind is str:
                found.append((item[:5] == "data:" and media.of_data_uri(item)) or self.string(item))
            else:
                found.append(self.value(item, depth + 1))
        if (left := len(value) - len(found)) > 0:
            found.append(f"… [cut: {left:,} of {len(value):,} items]")
        self.path.discard(me)
        return found

    @property
    def room(self) -> int:
        """How many entries of the next container the budget allows."""
        return min(10 * MAX_ITEMS if self.encodable else MAX_ITEMS, max(self.items, 0))

    def entries(self, value: Any) -> list[Any]:
        """The container's current entries, as many as the budget allows.

        Raises:
            RuntimeError: it is a dict that another thread changed during each try.
        """
        room, left = self.room, _TRIES
        source = dict.items(value) if isinstance(value, dict) else value
        while True:
            try:
                found = list(source) if len(source) <= room else list(islice(source, room))
                break
            except RuntimeError:
                left -= 1
                if not left:
                    raise
        self.items -= len(found)
        return found

    def refused(self, value: Any, depth: int) -> str | None:
        """What replaces a container that cannot be walked: one inside itself, or too deep; None for any other."""
        if id(value) in self.path:
            return f"<cycle: {type(value).__name__}>"
        if depth >= self.deepest:
            return f"<too deep: {type(value).__name__} of {len(value):,}>"
        return None

    def key(self, key: Any, taken: dict[str, Any]) -> str:
        """Convert a key to a string that is not taken yet."""
        value = self.value(key, self.deepest) if not issubclass(type(key), (tuple, frozenset)) else str_key(key)
        name = plain = bounded(value if type(value) is str else str(value), MAX_KEY)
        if name in taken:
            name = plain = f"{plain} ({type(key).__name__})"
        number = len(taken)  # so many keys exist: the next number is free, unless a key already has that form
        while name in taken:
            number += 1
            name = f"{plain} {number}"
        return name


def str_key(key: Any) -> str:
    """A tuple or frozenset as a key: its parts, joined."""
    walk = Walk(MAX_KEY)
    return "(" + ", ".join(str(walk.value(part, MAX_DEPTH)) for part in islice(key, 20)) + ")"


def integer(value: int) -> int | str:
    """The integer, or a string if it has more than 64 bits."""
    if _LOW <= value <= _HIGH:
        return value
    bits = value.bit_length()
    return str(value) if bits < 2_000 else f"<integer of {bits:,} bits>"


def number(value: float) -> float | str:
    """The number if it is finite, else the name of NaN or the infinity."""
    if math.isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
