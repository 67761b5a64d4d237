"""Any JSON value as foldable HTML: everything from a log is escaped; large values are truncated, with a note."""

from __future__ import annotations

from typing import Any

import orjson
from markupsafe import Markup, escape

from coagent_langchain.server.presentation.formats import size, visible
from coagent_langchain.texts import counted
from coagent_langchain.wire import JsonPath

INLINE = 2000  # characters of one text in the page; the rest is fetched on request
MAX_NODES = 400  # values of one tree
MAX_FIELDS = 40  # fields of an object that are shown however large the first ones are,
FIELD_NODES = 8  # with this many values reserved for each
MAX_DEPTH = 12
MAX_PARSED = 100_000  # characters up to which a text is parsed as JSON


def shown(value: str, ref: str, path: JsonPath) -> Markup:
    """A text with its invisible characters shown and, if longer than `INLINE`, a button that fetches the rest."""
    return escape(visible(value[:INLINE])) + rest(value, ref, path)


def rest(value: str, ref: str, path: JsonPath) -> Markup:
    """The button that fetches the part of a text beyond `INLINE`; empty if there is none."""
    if len(value) <= INLINE:
        return Markup()
    button = Markup(
        '<button type="button" class="plain more" data-more="{}" data-path="{}" data-from="{}">Show more of {}</button>'
    )
    octets = len(value.encode("utf-8", "replace"))
    return button.format(ref, orjson.dumps(list(path)).decode(), INLINE, size(octets))


def tree(value: Any, ref: str, path: JsonPath) -> Markup:
    """A JSON value as nested, foldable lists."""
    return Markup('<div class="json">{}</div>').format(_Tree(ref).value(value, list(path), 0))


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
    def __init__(self, ref: str) -> None:
        self.ref, self.left = ref, MAX_NODES

    def value(self, value: Any, path: list[str | int], depth: int) -> Markup:
        self.left -= 1
        if isinstance(value, dict | list) and value:
            return self._group(value, path, depth)
        if isinstance(value, str):
            return Markup('<span class="s">{}</span>').format(shown(value, self.ref, path))
        return Markup('<span class="n">{}</span>').format(orjson.dumps(value).decode())

    def _group(self, value: dict[str, Any] | list[Any], path: list[str | int], depth: int) -> Markup:
        pairs: list[tuple[str | int, Any]] = [*(value.items() if isinstance(value, dict) else enumerate(value))]
        if depth >= MAX_DEPTH or self.left <= 0:
            return Markup('<span class="k">… {} more, see Raw</span>').format(len(pairs))
        lines: list[Markup] = []
        fields = min(len(pairs), MAX_FIELDS, self.left) if isinstance(value, dict) else 0
        each = min(self.left // fields, FIELD_NODES) if fields else 0
        self.left -= fields * each
        for place, (key, child) in enumerate(pairs):
            self.left += each if place < fields else 0
            if self.left <= 0:
                lines.append(Markup('<div class="k">… {} more, see Raw</div>').format(len(pairs) - len(lines)))
                break
            lines.append(self._line(key, child, [*path, key], depth))
        return Markup("").join(lines)

    def _line(self, key: str | int, child: Any, path: list[str | int], depth: int) -> Markup:
        name = Markup('<span class="k">{}:</span>').format(visible(str(key)[:200]))
        inner = self.value(child, path, depth + 1)
        if isinstance(child, dict | list) and child:
            kind = counted(len(child), "item") if isinstance(child, list) else ""
            state = Markup(" open") if depth < 3 and len(child) <= 20 else ""
            return Markup('<details{}><summary>{} <span class="k">{}</span></summary><div>{}</div></details>').format(
                state, name, kind, inner
            )
        return Markup("<div>{} {}</div>").format(name, inner)


def pretty(value: Any) -> str:
    """A JSON value as indented text."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
