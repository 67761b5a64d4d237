"""Any JSON value as foldable HTML: everything from a log is escaped; large values are truncated, with a note."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import orjson
from markupsafe import Markup, escape

from coagent_langchain.server.presentation.formats import size, visible
from coagent_langchain.server.presentation.values import Value, listing, mapping
from coagent_langchain.texts import counted

INLINE = 2000  # characters of one text in the page; the rest is fetched on request
MAX_NODES = 400  # values of one tree
MAX_FIELDS = 40  # fields of an object that are shown however large the first ones are,
FIELD_NODES = 8  # with this many values reserved for each
MAX_DEPTH = 12
MAX_PARSED = 100_000  # characters up to which a text is parsed as JSON


def shown(value: Value) -> Markup:
    """A text with its invisible characters shown and, if longer than `INLINE`, a button that fetches the rest."""
    return escape(visible(value.text[:INLINE])) + rest(value)


def rest(value: Value) -> Markup:
    """The button that fetches the part of a text beyond `INLINE`; empty if there is none."""
    if len(value.text) <= INLINE:
        return Markup()
    button = Markup(
        '<button type="button" class="plain more" data-more="{}" data-path="{}" data-from="{}">Show more of {}</button>'
    )
    octets = len(value.text.encode("utf-8", "replace"))
    return button.format(value.ref, value.where, INLINE, size(octets))


def tree(value: Value) -> Markup:
    """A JSON value as nested, foldable lists."""
    return Markup('<div class="json">{}</div>').format(_Tree().value(value, 0))


def parsed(value: str) -> dict[str, Any] | list[Any] | None:
    """The object or array that a text is, as in many tool results; None if it is other text, empty or huge."""
    if len(value) > MAX_PARSED or not value.lstrip().startswith(("{", "[")):
        return None
    try:
        found = orjson.loads(value)
    except ValueError:
        return None
    return found or None


class _Tree:
    def __init__(self) -> None:
        self.left = MAX_NODES

    def value(self, value: Value, depth: int) -> Markup:
        self.left -= 1
        if keys := _keys(value):
            return self._group(value, keys, depth)
        if isinstance(value.value, str):
            return Markup('<span class="s">{}</span>').format(shown(value))
        return Markup('<span class="n">{}</span>').format(orjson.dumps(value.value).decode())

    def _group(self, value: Value, keys: Sequence[str | int], depth: int) -> Markup:
        if depth >= MAX_DEPTH or self.left <= 0:
            return Markup('<span class="k">… {} more, see Raw</span>').format(len(keys))
        lines: list[Markup] = []
        reserved = self._reserve(len(keys)) if isinstance(value.value, dict) else []
        for key, share in zip_longest(keys, reserved, fillvalue=0):
            self.left += share
            if self.left <= 0:
                lines.append(Markup('<div class="k">… {} more, see Raw</div>').format(len(keys) - len(lines)))
                break
            lines.append(self._line(key, value.at(key), depth))
        return Markup("").join(lines)

    def _reserve(self, fields: int) -> list[int]:
        """Reserve values for the first fields of an object, each of which gets its share when its turn comes."""
        first = min(fields, MAX_FIELDS, self.left)
        share = min(self.left // first, FIELD_NODES)
        self.left -= first * share
        return [share] * first

    def _line(self, key: str | int, child: Value, depth: int) -> Markup:
        name = Markup('<span class="k">{}:</span>').format(visible(str(key)[:200]))
        inner = self.value(child, depth + 1)
        if inside := len(_keys(child)):
            kind = counted(inside, "item") if isinstance(child.value, list) else ""
            state = Markup(" open") if depth < 3 and inside <= 20 else ""
            return Markup('<details{}><summary>{} <span class="k">{}</span></summary><div>{}</div></details>').format(
                state, name, kind, inner
            )
        return Markup("<div>{} {}</div>").format(name, inner)


def _keys(value: Value) -> Sequence[str | int]:
    """The keys of an object or the indices of an array; none of any other value."""
    return [*mapping(value.value)] or range(len(listing(value.value)))


def pretty(value: Any) -> str:
    """A JSON value as indented text."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
