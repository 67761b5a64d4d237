"""Shared by the tests of a session's presentation: the timelines of entries in a short notation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from coagent_langchain.server.presentation.bars import Bar
from coagent_langchain.server.presentation.compare import Side, sides
from coagent_langchain.server.presentation.conversation import Item, Read, items, outline, ran
from coagent_langchain.server.presentation.details import Detail, detail
from coagent_langchain.server.presentation.event_summary import summarize
from coagent_langchain.server.presentation.timeline import Timeline, build
from coagent_langchain.server.store.records import Entry
from tests.server.story import Story


def timeline(entries: Iterable[dict[str, Any]]) -> Timeline:
    """The timeline of these entries."""
    return build(summarize(seq, entry) for seq, entry in enumerate(entries, 1))


def reader(entries: Iterable[dict[str, Any]]) -> Read:
    """Finds these entries by time and arrival, with the interface that pages read a store by."""
    kept = {(entry["timestamp"], seq): entry for seq, entry in enumerate(entries, 1)}
    return lambda at, seq: kept[at, seq]


def conversation(entries: list[dict[str, Any]]) -> list[Item]:
    """The conversation of these entries."""
    made = timeline(entries)
    return items(outline(made), reader(entries), ran(made.tools))


def comparison(entries: list[dict[str, Any]]) -> list[Side]:
    """The prompts of these entries as a comparison shows them."""
    return sides(timeline(entries), reader(entries))


def judged(entries: list[dict[str, Any]], *places: int) -> Detail:
    """The details of the entries at these places."""
    given = [Entry(place + 1, entries[place]["timestamp"], orjson.dumps(entries[place])) for place in places]
    return detail(given, timeline(entries).bar_of(given[0].seq))


def drawn(made: Timeline) -> list[str]:
    """The tree in a short notation: indent, kind, label, status."""
    return [line for root in made.roots for line in lines(root)]


def oversight(story: Story, status: str, interrupt_id: str | None, value: Any) -> None:
    """Log a question to a human, or the human's answer."""
    given = {"interrupt_id": interrupt_id, "value": value}
    story.log("human_oversight", 0, story.root, name="ask", meta={"status": status}, input_data=given)


def lines(bar: Bar, depth: int = 0) -> list[str]:
    """The lines of a bar and those below it."""
    own = f"{'  ' * depth}{bar.kind} {bar.label} {bar.status}"
    return [own, *(line for child in bar.children for line in lines(child, depth + 1))]


ASKED = {"role": "user", "content_is_prompt": True}
TOOL = {"role": "tool", "content": "24 degrees", "name": "weather"}
IMAGE = {"type": "image", "base64": {"mime": "image/png", "bytes": 175_342, "sha256": "aa"}}
FILE = {"type": "file", "file": {"file_data": {"mime": "application/pdf", "bytes": 812}}}
