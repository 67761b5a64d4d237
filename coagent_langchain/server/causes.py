"""Why a prompt or a component failed whose own entries do not say it: what failed in it."""

from __future__ import annotations

from coagent_langchain.server.bars import Bar, below
from coagent_langchain.server.details import Detail
from coagent_langchain.server.timeline import Timeline

MAX_CAUSES = 5  # the latest: what a node failed of is the last that failed in it


def explain(made: Detail, timeline: Timeline) -> None:
    """Add to the pane of a prompt or component that failed what failed in it."""
    bar = timeline.bar_of(made.entries[0].moment.seq)
    if bar is not None and bar.status == "error":
        made.causes = causes(bar)


def causes(bar: Bar) -> list[Bar]:
    """The bars below this one that failed by themselves, in order."""
    failed = [each for each in below(bar.children) if each.status == "error" and not _passes_on(each)]
    return sorted(failed, key=lambda each: each.last)[-MAX_CAUSES:]


def _passes_on(bar: Bar) -> bool:
    return any(child.status == "error" for child in bar.children)
