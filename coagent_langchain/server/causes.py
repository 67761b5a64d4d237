"""Why a prompt or a component failed whose own entries do not say it: what failed in it."""

from __future__ import annotations

from coagent_langchain.server.details import Detail
from coagent_langchain.server.pairing import Bar, below
from coagent_langchain.server.timeline import Timeline

MAX_CAUSES = 5  # the latest: what a node failed of is the last that failed in it


def explain(made: Detail, timeline: Timeline) -> None:
    """Add to the pane of a prompt how it went, and to one that failed what failed in it."""
    seq = made.entries[0].moment.seq
    bar = next((bar for bar in below(timeline.roots) if any(number == seq for _, number in bar.events)), None)
    if bar is not None:
        made.status = bar.status
        made.causes = causes(bar) if bar.status == "error" else []


def causes(bar: Bar) -> list[Bar]:
    """The bars below this one that failed by themselves, in order."""
    failed = [each for each in below(bar.children) if each.status == "error" and not _passes_on(each)]
    return sorted(failed, key=lambda each: each.last)[-MAX_CAUSES:]


def _passes_on(bar: Bar) -> bool:
    return any(child.status == "error" for child in bar.children)
