"""Entries become bars, bars a tree by prompt and turn. Pure: moments in, a `Timeline` out."""

from __future__ import annotations

import sys
from array import array
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from coagent_langchain.server.moments import Moment

OPENS = {"llm_call": "model", "tool_call": "tool", "component_enter": "component"}
CLOSES = {"llm_response": "model", "tool_response": "tool", "component_exit": "component"}


@dataclass(slots=True, eq=False)
class Bar:
    """One row of the timeline: a call with its response, a component, a prompt, a turn, or something at one moment.

    Attributes:
        kind: prompt, turn, model, tool, retriever, component, human, error, recovery, note or end.
        end: Unix milliseconds; None while nothing closed it.
        status: ok, error, recovered (an error that a recovery names), open, or what `meta.outcome` says.
        events: (timestamp, seq) of its entries.
        input, output, cached, cost: its own tokens and dollars, those of its children included.
        errors: how many errors stand in it and below.
    """

    kind: str
    label: str
    start: int
    end: int | None = None
    status: str = "open"
    note: str = ""
    who: str = ""
    prompt: int = 0
    turn: int = 0
    run: str = ""
    parent: str = ""
    root: str = ""
    place: str = ""
    events: list[tuple[int, int]] = field(default_factory=list)
    children: list[Bar] = field(default_factory=list)
    input: int = 0
    output: int = 0
    cached: int = 0
    cost: float = 0.0
    errors: int = 0
    last: int = 0

    @property
    def duration(self) -> int | None:
        """Milliseconds from start to end; None while it is open."""
        return None if self.end is None else self.end - self.start


@dataclass(slots=True)
class Timeline:
    """A session as a tree.

    Attributes:
        roots: the prompts in their order, and what stands outside of them.
        models: every model call in order of start: the bars of the token chart.
        tools: every tool call in order of start.
        failures: the bars that failed, in order.
        times, seqs, types: of every entry, in order; flat arrays, because there may be 100,000 of them.
    """

    roots: list[Bar]
    models: list[Bar]
    tools: list[Bar]
    failures: list[Bar]
    times: array[int] = field(default_factory=lambda: array("q"))
    seqs: array[int] = field(default_factory=lambda: array("q"))
    types: list[str] = field(default_factory=list)


def build(moments: Iterable[Moment]) -> Timeline:
    """Pair the entries of one session, given in chronological order, into bars, and hang the bars into a tree."""
    pairing = _Pairing()
    times, seqs, types = array("q"), array("q"), list[str]()
    for moment in moments:
        pairing.add(moment)
        times.append(moment.at)
        seqs.append(moment.seq)
        types.append(sys.intern(moment.type))
    _sum_up(pairing.bars, _hang(pairing))
    prompts = [pairing.prompts[number] for number in sorted(pairing.prompts)]
    for prompt in prompts:
        _close_prompt(prompt)
    bars = pairing.bars
    return Timeline(
        roots=prompts + pairing.ends,
        models=[bar for bar in bars if bar.kind == "model"],
        tools=[bar for bar in bars if bar.kind in ("tool", "retriever")],
        failures=[bar for bar in bars if bar.status in ("error", "recovered")],
        times=times, seqs=seqs, types=types,
    )  # fmt: skip


class _Pairing:
    """Finds for each response, exit and error the bar that it closes."""

    def __init__(self) -> None:
        self.bars: list[Bar] = []
        self.prompts: dict[int, Bar] = {}
        self.ends: list[Bar] = []
        self._by_run: dict[str, Bar] = {}
        self._waiting: dict[tuple[object, ...], deque[Bar]] = defaultdict(deque)
        self._by_error: dict[str, Bar] = {}
        self._special: dict[str, Callable[[Moment], None]] = {
            "session_start": self._ask, "user_input": self._ask, "session_end": self._end,
            "error": self._error, "recovery": self._recovery, "human_oversight": self._oversight,
        }  # fmt: skip

    def add(self, moment: Moment) -> None:
        """Take the next entry."""
        if moment.type in OPENS:
            self._open(moment, OPENS[moment.type])
        elif moment.type in CLOSES:
            self._close(moment, CLOSES[moment.type])
        else:
            self._special.get(moment.type, self._point)(moment)

    def by_run(self, run: str) -> Bar | None:
        """The bar of a run id."""
        return self._by_run.get(run)

    def prompt(self, number: int, at: int) -> Bar:
        """The bar of a prompt number, made when it is first heard of."""
        if number not in self.prompts:
            self.prompts[number] = Bar("prompt", "", at, prompt=number, last=at)
        return self.prompts[number]

    def _new(self, moment: Moment, kind: str) -> Bar:
        bar = Bar(kind, moment.name, moment.at, None, "open", moment.note, moment.who, moment.prompt, moment.turn,
                  moment.run, moment.parent, moment.root, moment.place, [(moment.at, moment.seq)])  # fmt: skip
        bar.last = moment.at
        self.prompt(moment.prompt, moment.at)
        self.bars.append(bar)
        return bar

    def _open(self, moment: Moment, kind: str) -> None:
        bar = self._new(moment, moment.outcome if moment.outcome == "retriever" else kind)
        for key in self._keys(moment, kind):
            self._waiting[key].append(bar)
        if moment.run:
            self._by_run[moment.run] = bar

    def _close(self, moment: Moment, kind: str) -> None:
        bar = next((bar for key in self._keys(moment, kind) if (bar := self._take(key))), None)
        if bar is None:
            bar = self._by_run.get(moment.run) if moment.run else None
            if bar is None:
                bar = self._new(moment, kind)
                bar.start -= max(moment.ms or 0, 0)
                bar.events.clear()
        self._finish(bar, moment)

    def _finish(self, bar: Bar, moment: Moment) -> None:
        bar.events.append((moment.at, moment.seq))
        bar.end = moment.at
        bar.input, bar.output, bar.cached = moment.input, moment.output, moment.cached
        bar.cost += moment.cost
        if moment.note and (bar.kind not in ("tool", "retriever") or moment.failed or not bar.note):
            bar.note = moment.note  # a tool keeps its arguments: what it gave is in the details
        if moment.failed:
            bar.status = "error"
        elif bar.status == "open":
            bar.status = moment.outcome or "ok"

    def _keys(self, moment: Moment, kind: str) -> list[tuple[object, ...]]:
        """What may pair a call and its response, the strongest first."""
        if moment.run:
            return [(kind, moment.run)]
        keys: list[tuple[object, ...]] = [(kind, moment.key, "id")] if moment.key else []
        return [*keys, (kind, moment.prompt, moment.turn, "" if kind == "model" else moment.name)]

    def _take(self, key: tuple[object, ...]) -> Bar | None:
        waiting = self._waiting.get(key)
        while waiting:
            bar = waiting.popleft()
            if bar.end is None:
                return bar
        return None

    def _point(self, moment: Moment, kind: str = "note") -> Bar:
        bar = self._new(moment, kind)
        bar.end, bar.status = moment.at, moment.type if moment.type in ("warning", "debug") else "ok"
        return bar

    def _ask(self, moment: Moment) -> None:
        prompt = self.prompt(moment.prompt, moment.at)
        prompt.events.append((moment.at, moment.seq))
        prompt.label = moment.note or prompt.label
        prompt.last = max(prompt.last, moment.at)
        prompt.run = prompt.run or moment.run

    def _end(self, moment: Moment) -> None:
        bar = self._point(moment, "end")
        bar.status = moment.outcome
        self.ends.append(self.bars.pop())

    def _error(self, moment: Moment) -> None:
        bar = self._by_run.get(moment.run) if moment.run else self._take(("model", moment.prompt, moment.turn, ""))
        if bar is None:
            bar = self._point(moment, "error")
        else:
            bar.events.append((moment.at, moment.seq))
            if bar.kind != "component" and bar.end is None:
                bar.end = moment.at
        bar.status, bar.note = "error", moment.note
        bar.last = max(bar.last, moment.at)
        if moment.key:
            self._by_error[moment.key] = bar

    def _recovery(self, moment: Moment) -> None:
        bar = self._by_error.get(moment.key)
        if bar is None:
            self._point(moment, "recovery")
            return
        bar.events.append((moment.at, moment.seq))
        if not moment.failed:
            bar.status = "recovered"
            bar.note = f"{bar.note} · recovered by {moment.outcome}"

    def _oversight(self, moment: Moment) -> None:
        key = ("human", moment.key)
        if moment.outcome == "resumed" and (bar := self._take(key)):
            self._finish(bar, moment)
            bar.status = "ok"
            return
        bar = self._new(moment, "human")
        if moment.outcome == "interrupted":
            bar.status = "waiting"
            self._waiting[key].append(bar)
        else:
            bar.end, bar.status = moment.at, "ok"


def _hang(pairing: _Pairing) -> list[Bar]:
    """Give each bar to its parent; gives the parents, one for each bar.

    A parent began before its child, so that whatever ids a log holds, the tree has no cycle.
    """
    order = {id(bar): number for number, bar in enumerate(pairing.bars)}
    places: dict[tuple[str, str], Bar] = {}
    parents = []
    for number, bar in enumerate(pairing.bars):
        found = pairing.by_run(bar.parent) or places.get((bar.root, bar.place)) or pairing.by_run(bar.root)
        if bar.kind in ("error", "note", "human", "recovery") and bar.run:
            found = pairing.by_run(bar.run) or found
        if found is None or found.prompt != bar.prompt or order[id(found)] >= number:
            found = pairing.prompts[bar.prompt]
        found.children.append(bar)
        parents.append(found)
        if bar.kind == "component" and bar.place:
            places[bar.root, bar.place] = bar
    return parents


def _sum_up(bars: list[Bar], parents: list[Bar]) -> None:
    """Add what stands below to each bar: children come after their parents, so from the last to the first."""
    for bar, parent in zip(reversed(bars), reversed(parents), strict=True):
        bar.errors += bar.status in ("error", "recovered")
        bar.last = max(bar.last, bar.end or 0)
        parent.last = max(parent.last, bar.last)
        parent.start = min(parent.start, bar.start) if parent.kind == "prompt" else parent.start
        parent.input += bar.input
        parent.output += bar.output
        parent.cached += bar.cached
        parent.cost += bar.cost
        parent.errors += bar.errors
        if parent.kind == "component" and bar.turn and bar.kind != "note":
            parent.turn = bar.turn


def _close_prompt(prompt: Bar) -> None:
    """End a prompt where its last bar ends, and put its children into turns."""
    prompt.label = prompt.label or next((bar.note for bar in prompt.children if bar.note), "")
    still_open = any(bar.status == "open" for bar in prompt.children)
    prompt.end = None if still_open else prompt.last
    failed = any(bar.status == "error" for bar in prompt.children)
    prompt.status = "open" if still_open else "error" if failed else "ok"
    groups: list[list[Bar]] = []
    for bar in prompt.children:
        if groups and (bar.turn == groups[-1][-1].turn or not bar.turn):
            groups[-1].append(bar)
        else:
            groups.append([bar])
    prompt.children = [_turn(group) if len(group) > 1 and group[0].turn else bar for group in groups
                       for bar in (group[:1] if group[0].turn else group)]  # fmt: skip


def _turn(group: list[Bar]) -> Bar:
    """One row over the bars of a turn."""
    first = group[0]
    turn = Bar(
        "turn",
        f"Turn {first.turn}",
        min(bar.start for bar in group),
        prompt=first.prompt,
        turn=first.turn,
        children=group,
    )
    turn.last = max(bar.last for bar in group)
    turn.end = None if any(bar.end is None and bar.status == "open" for bar in group) else turn.last
    failed = any(bar.status == "error" for bar in group)
    turn.status = "open" if turn.end is None else "error" if failed else "ok"
    for name in ("input", "output", "cached", "cost", "errors"):
        setattr(turn, name, sum(getattr(bar, name) for bar in group))
    return turn
