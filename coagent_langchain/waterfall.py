"""A session's waterfall as HTML with an SVG, for notebooks; without scripts or style sheets."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from coagent_langchain.server.presentation.bars import Bar, in_rows
from coagent_langchain.server.presentation.formats import duration, preview, tokens
from coagent_langchain.server.presentation.rows import with_status
from coagent_langchain.texts import counted

WIDTH, LABELS, ROW = 960, 300, 24  # pixels
MAX_ROWS = 200
DEEPEST = 14  # a row further in is indented as much as this one, so that its label does not reach the bars
NAME = 8  # characters of a name that are shown beside any status
Row = tuple[int, Bar, str, int]  # depth, bar, its status and turn unless shown otherwise, when its prompt began
COLOURS = {"model": "#4361ee", "tool": "#2a9d8f", "retriever": "#8a5cd6", "component": "#adb5bd", "turn": "#ced4da",
           "prompt": "#868e96", "error": "#d62839", "human": "#e09f3e"}  # fmt: skip


def draw(session_id: str, prompt: str, facts: list[str], roots: list[Bar]) -> str:
    """The waterfall of a session's timeline, one row for each prompt, turn, model call and tool call."""
    bars = [row for row in _flat(roots) if row[1].kind != "end"]
    left_out = f"<div>… and {counted(len(bars) - MAX_ROWS, 'more row')}</div>" if len(bars) > MAX_ROWS else ""
    return (
        f'<div style="font: 13px system-ui, sans-serif"><b>{escape(preview(prompt, 120))}</b><br>'
        f"{escape(session_id)} · {escape(' · '.join(facts))}</div>{_svg(bars[:MAX_ROWS])}{left_out}"
    )


def _flat(bars: list[Bar]) -> Iterator[Row]:
    """The bars, each before those below it, at any depth."""
    start = 0
    for bar, parent, level, turn in in_rows(bars):
        start = start if parent else bar.start
        told = with_status(bar, f"Turn {turn}" if turn and bar.kind != "turn" else "")
        yield min(level - 1, DEEPEST), bar, told, start


def _svg(bars: list[Row]) -> str:
    """Draw the rows, with time from the start of each prompt, as in the viewer: gaps between prompts take no room."""
    if not bars:
        return ""
    span = max(1, *((bar.end or bar.last) - start for _, bar, _, start in bars))
    rows = "".join(_row(number, *row, span) for number, row in enumerate(bars))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {len(bars) * ROW}" width="100%" '
        f'style="max-width: {WIDTH}px; font: 12px system-ui, sans-serif" role="img" fill="currentColor">{rows}</svg>'
    )


def _row(number: int, depth: int, bar: Bar, told: str, start: int, span: int) -> str:
    scale = (WIDTH - LABELS - 120) / span
    left = LABELS + (bar.start - start) * scale
    width = max(((bar.end or bar.last) - bar.start) * scale, 2)
    used = tokens(bar.input, bar.output) if bar.kind == "model" else ""
    took = " · ".join(part for part in (duration(bar.duration), used) if part)
    label = " ".join(part for part in (_name(bar), told, bar.note if bar.kind != "prompt" else "") if part)
    middle, top = number * ROW + 16, number * ROW + 5
    return (
        f"<g><title>{escape(label[:300])}</title>"
        f'<text x="{4 + 12 * depth}" y="{middle}">{_text(depth, bar, told)}</text>'
        f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="14" rx="2" '
        f'fill="{COLOURS["error"] if bar.failed else COLOURS.get(bar.kind, "#adb5bd")}"/>'
        f'<text x="{left + width + 6:.1f}" y="{middle}" opacity=".7">{took}</text></g>'
    )


def _text(depth: int, bar: Bar, told: str) -> str:
    name = escape(preview(_name(bar), max(39 - 2 * depth - len(told), NAME)))
    return f'{name} <tspan opacity=".7">{escape(told)}</tspan>' if told else name


def _name(bar: Bar) -> str:
    return f"{bar.prompt}. {bar.label}" if bar.kind == "prompt" else bar.label
