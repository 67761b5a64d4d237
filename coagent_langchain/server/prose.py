"""A little Markdown, as models write it, made readable: headings, lists, quotes, tables, code. Links stay text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

from coagent_langchain.server.formats import visible

_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"#{1,6}\s+(.*)")
_BULLET = re.compile(r"\s*(?:[-*+]|\d{1,3}[.)])\s+(.*)")
_TASK = re.compile(r"\[([ xX])\]\s+(.*)")
_QUOTE = re.compile(r"(?: {0,3}> ?)+(.*)")  # a quote in a quote is one with it
_TABLE = re.compile(r"\s*\|.*\|\s*$")
_RULER = re.compile(r"[\s|:-]+$")
_INLINE = re.compile(r"`([^`\n]+)`|\*\*([^*\n]+)\*\*|\*([^*\s][^*\n]*)\*")


def prose(text: str) -> Markup:
    """The text as HTML. All of it is escaped; only the signs of Markdown become tags."""
    lines = visible(text).split("\n")
    return Markup("").join(_blocks(lines))


def _blocks(lines: list[str]) -> Iterator[Markup]:
    at = 0
    while at < len(lines):
        line = lines[at]
        if fence := _FENCE.match(line):
            end = next((n for n in range(at + 1, len(lines)) if lines[n].strip().startswith(fence[1])), len(lines))
            yield Markup("<pre>{}</pre>").format("\n".join(lines[at + 1 : end]))
            at = end + 1
        elif _TABLE.match(line):
            end = _while(lines, at, _TABLE)
            yield _table(lines[at:end])
            at = end
        elif _BULLET.match(line):
            end = _while(lines, at, _BULLET)
            tag = "ol" if line.lstrip()[0].isdigit() else "ul"
            items = Markup("").join(_item(item[1]) for item in map(_BULLET.match, lines[at:end]) if item)
            yield Markup(f'<{tag} dir="auto">') + items + Markup(f"</{tag}>")
            at = end
        elif _QUOTE.match(line):
            end = _while(lines, at, _QUOTE)
            quoted = [quote[1] for quote in map(_QUOTE.match, lines[at:end]) if quote]
            yield Markup("<blockquote>{}</blockquote>").format(Markup("").join(_blocks(quoted)))
            at = end
        elif heading := _HEADING.match(line):
            yield Markup('<p class="h">{}</p>').format(_inline(heading[1]))
            at += 1
        else:
            end = next(
                (n for n in range(at, len(lines)) if not lines[n].strip() or (n > at and _starts(lines[n]))), len(lines)
            )
            if end > at:
                yield Markup("<p>{}</p>").format(_inline("\n".join(lines[at:end])))
            at = max(end, at + 1)


def _item(text: str) -> Markup:
    """An item of a list; of a list of tasks with its box."""
    if task := _TASK.match(text):
        return Markup('<li class="task">{} {}</li>').format("☐" if task[1] == " " else "☑", _inline(task[2]))
    return Markup("<li>{}</li>").format(_inline(text))


def _starts(line: str) -> bool:
    """Whether a line begins another block."""
    return any(kind.match(line) for kind in (_FENCE, _HEADING, _BULLET, _QUOTE, _TABLE))


def _while(lines: list[str], at: int, kind: re.Pattern[str]) -> int:
    return next((n for n in range(at, len(lines)) if not kind.match(lines[n])), len(lines))


def _table(lines: list[str]) -> Markup:
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if not _RULER.fullmatch(line)
    ]
    made = [Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(_inline(cell)) for cell in row))
            for row in rows]  # fmt: skip
    return Markup("<table>{}</table>").format(Markup("").join(made))


def _inline(text: str) -> Markup:
    made, last = Markup(""), 0
    for match in _INLINE.finditer(text):
        tag = ("code", "strong", "em")[match.lastindex - 1] if match.lastindex else "em"
        made += (
            escape(text[last : match.start()])
            + Markup(f"<{tag}>")
            + escape(match[match.lastindex or 0])
            + Markup(f"</{tag}>")
        )
        last = match.end()
    return made + escape(text[last:])
