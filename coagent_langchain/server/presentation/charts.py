"""A session's figures at a glance: token bars, and what each model and tool did. Numbers only: templates draw them."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import Any

from coagent_langchain.server.presentation.bars import Bar, total
from coagent_langchain.server.presentation.formats import count
from coagent_langchain.server.presentation.outcomes import IN_PLACE
from coagent_langchain.server.presentation.timeline import Timeline

MAX_BARS = 120  # more calls than this share bars
HEIGHT = 60  # pixels of the highest bar


@dataclass(frozen=True, slots=True)
class TokenBar:
    """One stacked bar: x and width in percent; heights in pixels, from the bottom: cached and other input, output."""

    x: float
    width: float
    cached: float
    fresh: float
    output: float
    title: str
    seq: int


@dataclass(frozen=True, slots=True)
class Used:
    """What one model or tool did; median and longest cover the calls that it answered itself."""

    name: str
    calls: int
    errors: int
    tokens: int | None
    median_ms: float | None
    longest: Bar | None
    cost: float | None


def token_bars(models: list[Bar]) -> list[TokenBar]:
    """The bars of the chart, in order of start; above `MAX_BARS` calls, each bar covers several consecutive ones."""
    each = _calls_of_a_bar(models)
    groups = [models[at : at + each] for at in range(0, len(models), each)]
    highest = max((_tokens(group) or 0 for group in groups), default=0) or 1
    slot = min(100 / max(len(groups), 1), 4)
    return [_bar(group, number * slot, slot * 0.72, HEIGHT / highest) for number, group in enumerate(groups)]


def _calls_of_a_bar(models: list[Bar]) -> int:
    return max(1, math.ceil(len(models) / MAX_BARS))


def _bar(group: list[Bar], x: float, width: float, scale: float) -> TokenBar:
    told = [total(getattr(bar, name) for bar in group) for name in ("input", "cached", "output")]
    taken, cached, given = (number or 0 for number in told)
    cached = min(cached, taken)
    first = group[0]
    name = (
        f"{first.label}, turn {first.prompt}.{first.turn}"
        if len(group) == 1
        else f"{len(group)} calls from turn {first.prompt}.{first.turn}"
    )
    title = f"{name}: {count(told[0])} in ({count(told[1])} cached), {count(told[2])} out"
    return TokenBar(round(x, 3), round(width, 3), round(cached * scale, 2), round((taken - cached) * scale, 2),
                    round(given * scale, 2), title, first.events[-1][1])  # fmt: skip


def used(bars: list[Bar]) -> list[Used]:
    """Figures for each model or tool among the bars, those with the most calls first."""
    by_name: dict[str, list[Bar]] = defaultdict(list)
    for bar in bars:
        by_name[bar.label].append(bar)
    rows = [_used(name, group) for name, group in by_name.items()]
    return sorted(rows, key=lambda row: (-row.calls, row.name))


def _used(name: str, bars: list[Bar]) -> Used:
    timed = [bar for bar in bars if bar.duration is not None and bar.status not in IN_PLACE]
    return Used(
        name,
        calls=len(bars),
        errors=sum(bar.failed for bar in bars),
        tokens=_tokens(bars),
        median_ms=median(_took(bar) for bar in timed) if timed else None,
        longest=max(timed, key=_took, default=None),
        cost=total(bar.cost for bar in bars),
    )


def _tokens(bars: list[Bar]) -> int | None:
    return total(bar.tokens for bar in bars)


def _took(bar: Bar) -> int:
    return bar.duration or 0


def overview(timeline: Timeline) -> dict[str, Any]:
    """What the overview template shows."""
    sums = [bar.tokens or 0 for bar in timeline.models]
    return {"bars": token_bars(timeline.models), "calls": len(sums), "tokens": sum(sums),
            "highest": max(sums, default=0), "shared": _calls_of_a_bar(timeline.models), "height": HEIGHT,
            "models": used(timeline.models), "tools": used(timeline.tools)}  # fmt: skip
