"""Arrange bars into a tree by prompt and turn: a pure function from events to a `Timeline`."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter

from coagent_langchain.server.presentation.bars import Bar, Place, any_failed, below
from coagent_langchain.server.presentation.event_summary import EventSummary
from coagent_langchain.server.presentation.outcomes import STOPPED
from coagent_langchain.server.presentation.pairing import Pairing
from coagent_langchain.server.presentation.prompts import Prompts


@dataclass(slots=True)
class Timeline:
    """A session as a tree.

    Attributes:
        roots: the prompts and ends of the session, in chronological order.
        models: every model call in order of start: the bars of the token chart.
        tools: every tool call in order of start.
        times, seqs, types: of every entry, in order; flat arrays, because there may be 100,000 of them.
    """

    roots: list[Bar]
    models: list[Bar]
    tools: list[Bar]
    times: array[int]
    seqs: array[int]
    types: list[str]

    def bar_of(self, seq: int) -> Bar | None:
        """The bar that an entry belongs to, by the entry's `seq`."""
        return next((bar for bar in below(self.roots) if any(number == seq for _, number in bar.events)), None)


def build(events: Iterable[EventSummary]) -> Timeline:
    """Pair the entries of one session, given in chronological order, into bars, and arrange the bars into a tree."""
    pairing = Pairing()
    times, seqs, types = array("q"), array("q"), list[str]()
    for event in events:
        pairing.add(event)
        times.append(event.at)
        seqs.append(event.seq)
        types.append(sys.intern(event.type))
    prompts = Prompts(pairing.asks, pairing.answered)
    parents = _hang(pairing, prompts)
    ends = [(end.events[0], end) for end in pairing.ends]
    roots = [bar for _, bar in sorted([*prompts.all(), *ends], key=itemgetter(0))]
    _sum_up(parents)
    for _, prompt in prompts.all():
        _close_prompt(prompt, pairing.sent)
    _stop_prompts([*((_latest(place, prompt), prompt) for place, prompt in prompts.all()), *ends])
    bars = pairing.bars
    return Timeline(
        roots=roots,
        models=[bar for bar in bars if bar.kind == "model"],
        tools=[bar for bar in bars if bar.is_tool],
        times=times, seqs=seqs, types=types,
    )  # fmt: skip


def _hang(pairing: Pairing, prompts: Prompts) -> dict[Bar, Bar]:
    """Attach each bar to its parent; return each bar's parent, in the order of the bars.

    A parent always began before its child, so that the tree has no cycle, whatever ids a log contains.
    """
    parents: dict[Bar, Bar] = {}
    nodes: dict[tuple[str, str], Bar] = {}
    for bar in pairing.bars:
        prompt = prompts.of(bar)
        around = _around(bar, pairing.by_run, nodes, parents)
        parents[bar] = around if around is not None and around.prompt == bar.prompt else prompt
        parents[bar].children.append(bar)
        if bar.kind == "component" and bar.namespace:
            nodes[bar.root, bar.namespace] = bar
    return parents


def _around(
    bar: Bar, by_run: Mapping[str, Bar], nodes: Mapping[tuple[str, str], Bar], parents: Mapping[Bar, Bar]
) -> Bar | None:
    """The bar below which the ids of a bar put it; None if that one is not logged, or began later."""
    own = by_run.get(bar.run) if bar.kind in ("error", "note", "human", "recovery") else None
    found = own or by_run.get(bar.parent) or nodes.get((bar.root, bar.namespace)) or by_run.get(bar.root)
    if found is None or found not in parents:
        return None
    if own is None and bar.parent and found.parent == bar.parent:
        return parents[found]  # an attempt is a sibling of the one before it, which had the same namespace
    return found


def _sum_up(parents: dict[Bar, Bar]) -> None:
    """Add the bars below to each bar, from last to first, since children come after their parents."""
    for bar, parent in reversed(parents.items()):
        if bar.kind == "component" and bar.status == "error":
            _recover(bar)
        bar.last = max(bar.last, bar.end or 0)
        parent.last = max(parent.last, bar.last)
        parent.start = min(parent.start, bar.start) if parent.kind == "prompt" else parent.start
        parent.add(bar)
        if parent.kind == "component" and bar.turn and bar.kind != "note":
            parent.turn = bar.turn


def _recover(component: Bar) -> None:
    """Let a component recover if it failed only because of failures below it, and all of them were recovered later.

    What was recovered before it failed did not make it fail, or did so nevertheless.
    """
    latest = max((child.recovered_at for child in component.children), default=(0, 0))
    if component.own_errors == 0 and component.events[-1] < latest and not any_failed(component.children):
        component.status, component.recovered_at = "recovered", latest


def _close_prompt(prompt: Bar, sent: Mapping[int, str]) -> None:
    """End a prompt where its last bar ends, and group its children into turns.

    A prompt that no entry opened gets its title from the first text sent to a model in it.
    """
    prompt.label = (
        prompt.label
        or sent.get(prompt.prompt)
        or next((bar.note for bar in prompt.children if bar.note and bar.kind not in ("model", "component")), "")
    )
    prompt.status = _status(prompt.children)
    prompt.end = None if prompt.status == "open" else prompt.last
    prompt.children = _in_turns(prompt.children)


def _latest(place: Place, prompt: Bar) -> Place:
    """The place up to which a prompt opened at `place` continued: where its last bar began, or a human answered."""
    went_on = (bar.events[-1 if bar.kind == "human" and bar.status == "ok" else 0]
               for bar in below(prompt.children) if bar.events)  # fmt: skip
    return max((place, *went_on))


def _stop_prompts(latest: list[tuple[Place, Bar]]) -> None:
    """Close each prompt that is followed by a stopped session's end, the only sign of a stop between two calls.

    A prompt that an answer continues later, perhaps in another block, was not stopped by the end of the first one. Nor
    was one beside which another prompt itself says that it was stopped: that end belongs to another process.
    """
    told = sorted(prompt.last for _, prompt in latest if prompt.kind == "prompt" and prompt.status in STOPPED)
    for ((at, _), prompt), (_, end) in pairwise(sorted(latest, key=itemgetter(0))):
        if prompt.kind == "prompt" and prompt.status in ("ok", "open") and end.kind == "end" and end.status in STOPPED:
            if bisect_left(told, at) < bisect_right(told, end.start):
                continue
            prompt.status, prompt.end = end.status, max(prompt.last, end.start)


def _status(bars: list[Bar]) -> str:
    """The status of these bars' prompt or turn: that of the last to end, if none is open, failed or waiting.

    A call that a bar did not wait for may end after it.
    """
    if any(bar.status == "open" for bar in bars):
        return "open"
    if any_failed(bars):
        return "error"
    if any(bar.status == "waiting" for bar in below(bars)):
        return "waiting"
    ended = sorted(filter(_says_how_it_ended, bars), key=lambda bar: bar.end or bar.last)
    return ended[-1].status if ended and ended[-1].status in STOPPED else "ok"


def _says_how_it_ended(bar: Bar) -> bool:
    return bar.is_tool or bar.kind in ("model", "component") or (bar.kind == "note" and bar.status in STOPPED)


def _in_turns(bars: list[Bar]) -> list[Bar]:
    """The bars of each turn below a row for it, if there are several; bars before the first turn get no such row.

    What follows the turns of a sub-agent has the last of their numbers, and belongs to the turn that called it. A
    graph's node with turns of its own that no turn called, a subgraph, is not itself a turn.
    """
    groups: list[list[Bar]] = []
    turns: set[int] = set()  # those of the last group
    for bar in bars:
        if groups and (bar.turn in turns or not bar.turn):
            groups[-1].append(bar)
            turns.update(each.turn for each in below([bar]))
        else:
            groups.append([bar])
            turns = {bar.turn}
    return [row for group in groups for row in ([_turn(group)] if len(group) > 1 and group[0].turn else group)]


def _turn(group: list[Bar]) -> Bar:
    """One row over the bars of a turn."""
    first = group[0]
    start = min(bar.start for bar in group)
    turn = Bar("turn", f"Turn {first.turn}", start, prompt=first.prompt, turn=first.turn, children=group)
    turn.last = max(bar.last for bar in group)
    turn.status = _status(group)
    turn.end = None if turn.status == "open" else turn.last
    for bar in group:
        turn.add(bar)
    return turn
