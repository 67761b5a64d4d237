"""Rows as the browser gets them, arrays to be short: of the timeline (tree.js) and of the events (events.js)."""

from __future__ import annotations

from typing import Any

from coagent_langchain.server.presentation.bars import Bar, in_rows
from coagent_langchain.server.presentation.event_summary import summarize_json
from coagent_langchain.server.presentation.formats import preview
from coagent_langchain.server.presentation.outcomes import CUT_OFF, IN_PLACE, STOPPED
from coagent_langchain.server.presentation.timeline import Timeline
from coagent_langchain.texts import counted

Row = list[Any]


def rows(timeline: Timeline, t0: int) -> list[Row]:
    """The timeline's tree as one flat list, parents before their children.

    Each row: level, kind, status, label, note, start after `t0` in ms, duration in ms or None, turn, input and output
    tokens, cost, errors in it and below, the text before the note, which may have another direction, and entries as
    timestamp after `t0`, seq, … A seq is a string: it may exceed JavaScript's safe integers.
    """
    return [_row(bar, level, parent.label if parent else "", turn, t0)
            for bar, parent, level, turn in in_rows(timeline.roots)]  # fmt: skip


def event_row(seq: int, body: bytes) -> Row:
    """The row of one entry in the table of events; the names at the top of events.js say what each value is."""
    m = summarize_json(seq, body)
    return [str(m.seq), m.at, m.type, f"{m.prompt}.{m.turn}", m.name, m.note, m.who, m.failed or m.outcome, m.ms,
            m.input, m.output, m.cached, m.cost, preview(m.event_id), len(body), bool(m.failed)]  # fmt: skip


def _row(bar: Bar, level: int, above: str, turn: int, t0: int) -> Row:
    events = [number for at, seq in bar.events for number in (at - t0, str(seq))]
    if bar.kind in ("prompt", "turn"):
        lead, note = "", with_status(bar, _turns(bar))
    else:
        lead, note = _lead(bar, above, turn), without_label(bar.label, bar.note)
    label = bar.label or f"Prompt {bar.prompt}"
    return [level, bar.kind, bar.status, label, note, bar.start - t0,
            bar.duration, f"{bar.prompt}.{bar.turn}", bar.input, bar.output, round(bar.cost or 0, 6), bar.errors,
            "" if lead == note else lead, events]  # fmt: skip


def _lead(bar: Bar, above: str, turn: int) -> str:
    """The text before the note: the status, the number of a turn that has no row, the caller of a model.

    Of a caller `agent.node`, the row above may be the node.
    """
    who = bar.who.removesuffix(f".{above}") if bar.kind == "model" and bar.who not in (above, bar.label) else ""
    return " · ".join(part for part in (_word(bar), f"Turn {turn}" if turn else "", who) if part)


def with_status(bar: Bar, note: str) -> str:
    """A bar's note, preceded by its status if no colour shows that."""
    word = _word(bar)
    return " · ".join(part for part in (word, "" if note == word else note) if part)


def _word(bar: Bar) -> str:
    """The status if no colour shows it: stopped, answered in place, cut off, waiting, how a session ended."""
    if bar.kind != "end" and bar.status not in (*STOPPED, *IN_PLACE, CUT_OFF, "waiting"):
        return ""
    return "waiting for an answer" if bar.status == "waiting" else bar.status


def without_label(label: str, note: str) -> str:
    """The note without the label, which is shown before it."""
    return "" if note == label else note.removeprefix(f"{label}: ")


def _turns(bar: Bar) -> str:
    """What a prompt or a turn contains, e.g. `3 turns · 1 error`."""
    turns = bar.turns if bar.kind == "prompt" else 0
    return " · ".join(counted(number, noun) for number, noun in ((turns, "turn"), (bar.errors, "error")) if number)
