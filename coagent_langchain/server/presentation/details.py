"""What the detail pane shows of one bar: its entries as parts to read, attributes, metadata and stack trace."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from markupsafe import Markup

from coagent_langchain.server.presentation import formats
from coagent_langchain.server.presentation.bars import Bar, causes
from coagent_langchain.server.presentation.contents import of_entry
from coagent_langchain.server.presentation.entries import METADATA
from coagent_langchain.server.presentation.event_summary import EventSummary, summarize
from coagent_langchain.server.presentation.jsonview import pretty, shown, tree
from coagent_langchain.server.presentation.parts import Part, of_stack
from coagent_langchain.server.presentation.values import Value, mapping
from coagent_langchain.server.store.records import Entry
from coagent_langchain.wire import JsonObject


@dataclass(slots=True)
class EntryDetail:
    """One entry, ready for the template."""

    ref: str
    summary: EventSummary
    parts: list[Part]
    attributes: list[tuple[str, str]]
    metadata: list[Part]
    raw: Markup
    stack: list[Part]


@dataclass(slots=True)
class Detail:
    """One bar, ready for the template.

    Attributes:
        status, took: those of the bar, which no single entry has; the status is "" if there is none to show.
        causes: the bars below it that made it fail, if its own entries do not say why.
    """

    title: str
    icon: str
    entries: list[EntryDetail]
    status: str = ""
    took: int | None = None
    causes: list[Bar] = field(default_factory=list)

    @property
    def parts(self) -> list[Part]:
        """What its entries contain, errors first: what a model was sent may be long."""
        return sorted((part for shown in self.entries for part in shown.parts), key=lambda part: part.kind != "bad")

    @property
    def stacks(self) -> list[Part]:
        """The stack traces of its errors."""
        return [part for shown in self.entries for part in shown.stack]

    @property
    def nothing(self) -> str:
        """What is shown if no entry has content: a component returns its content at its end."""
        if self.icon == "component" and self.status == "open":
            return "Until it ends, only names, numbers and times are logged."
        if self.icon == "component" and self.status in _STOPPED:
            return f"It was {self.status} before it returned anything."
        return "Only names, numbers, times and metadata are logged."


def detail(entries: list[Entry], bar: Bar | None) -> Detail:
    """Make the pane for the entries of one bar, the call first; a few entries belong to no bar."""
    ready = [_entry_detail(entry) for entry in entries]
    _say_once(ready)
    first = next((one.summary for one in ready if one.summary.type == "user_input"), ready[0].summary)
    made = Detail(first.name or first.type.replace("_", " ").capitalize(), "note", ready)
    if bar is not None:
        made.icon = first.type if first.type in ("error", "recovery") else bar.kind
        if bar.kind not in ("note", "recovery"):  # their status is a severity, not an outcome
            made.status = bar.status
        if bar.status == "warning":
            made.icon = "warning"
        made.took = bar.duration if all(one.summary.ms is None for one in ready) else None
        types = {one.summary.type for one in ready}
        if bar.status == "error" and ("user_input" in types or "error" not in types):
            made.causes = causes(bar)
    return made


def _say_once(made: list[EntryDetail]) -> None:
    """Leave out what another entry of the bar says as well."""
    said: dict[str, list[Any]] = {one.summary.type: [] for one in made}
    for one in made:
        said[one.summary.type] += [part.source.value for part in one.parts if part.source]
    for one in made:
        match one.summary.type:
            case "tool_response" if "error" in said:  # it repeats its message
                one.parts = [part for part in one.parts if part.kind != "bad" or not _is_in(said["error"], part)]
            case "session_start" if said.get("user_input"):  # what remains is not a prompt but the session's own name
                one.parts = [replace(part, title="Session") if part.title == "Prompt" else part
                             for part in one.parts if not _is_in(said["user_input"], part)]  # fmt: skip
            case "component_exit" if "component_enter" in said:  # which says what component it is
                one.parts = [part for part in one.parts if part.path != '["target_component"]']


def _is_in(said: list[Any], part: Part) -> bool:
    return part.source is not None and part.source.value in said


def _entry_detail(stored: Entry) -> EntryDetail:
    """Prepare one entry."""
    fields = orjson.loads(stored.body)
    summary, ref = summarize(stored.seq, fields), str(stored.cursor)
    entry = Value(fields, ref)
    metadata = [Part(name, tree(entry.at(name)), "json") for name in METADATA if fields.get(name)]
    raw = shown(Value(pretty(fields), ref))
    return EntryDetail(ref, summary, of_entry(entry), attributes(fields, summary), metadata, raw, of_stack(entry))


def attributes(fields: JsonObject, summary: EventSummary) -> list[tuple[str, str]]:
    """The entry's scalar facts, the envelope first."""
    found = [(name, _scalar(fields[name])) for name in _PLACE if name in fields]
    found.append(("timestamp", f"{formats.iso(summary.at)} ({summary.at})"))
    meta = mapping(fields.get("meta"))
    for group in ("llm_call", "llm_response", "tool_call", "tool_response", "error_info", "performance_metrics",
                  "test_result", "target_component"):  # fmt: skip
        found += _facts(fields.get(group), f"{group}.")
    found += _facts(meta)
    for group in ("parameters", "trace", "framework", "usage"):
        found += _facts(meta.get(group), f"{group}.")
    return [(formats.visible(name[:200]), value) for name, value in found[:200]]


def _facts(group: Any, prefix: str = "") -> list[tuple[str, str]]:
    return [(prefix + key, _scalar(value)) for key, value in mapping(group).items() if _is_fact(value)]


def _is_fact(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and len(value) <= 200)


def _scalar(value: Any) -> str:
    return formats.visible(value) if isinstance(value, str) else orjson.dumps(value).decode()


_STOPPED = ("cancelled", "abandoned", "interrupted")
_PLACE = ("event_id", "event_type", "prompt_number", "turn_number")
