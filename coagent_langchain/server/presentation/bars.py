"""A bar: one row of the timeline, and the tree that bars make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

Number = TypeVar("Number", int, float)
Place = tuple[int, int]  # (timestamp, seq) of an entry: its position in the session's order, as in `Cursor`
MAX_CAUSES = 5  # the latest: a node fails because of the last failure in it


def total(numbers: Iterable[Number | None]) -> Number | None:
    """The sum of the numbers that are known; None if none is."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


@dataclass(slots=True, eq=False)
class Bar:
    """One row of the timeline: a call with its response, a component, a prompt, a turn, or a single event.

    Attributes:
        kind: prompt, turn, model, tool, retriever, component, human, error, recovery, note or end.
        end: Unix milliseconds; None while it is open.
        status: ok, error, recovered (an error that a recovery names), open, waiting (for a human), or the value of
            `meta.outcome`.
        events: the places of its entries.
        input, output, cached, cost: tokens and dollars used, including those of its children; None if no entry
            reports them.
        run, parent, root, namespace: those of its first entry; see `EventSummary`.
        errors: the number of `error` entries in it and below it.
        last: Unix milliseconds of the last event in it or below it.
        took: the duration in milliseconds that its response or exit reports.
        model: the model of a model call, if its entries name one.
        attempt: the number of the attempt, from 2 on; 0 if it is the first.
        speaks: whether it is a node with messages of its own.
        recovered_at: that of the recovery from its failure, or the last from those in it; zeros if none.
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
    namespace: str = ""
    events: list[Place] = field(default_factory=list)
    children: list[Bar] = field(default_factory=list)
    input: int | None = None
    output: int | None = None
    cached: int | None = None
    cost: float | None = None
    errors: int = 0
    last: int = 0
    took: int | None = None
    model: str = ""
    attempt: int = 0
    speaks: bool = False
    recovered_at: Place = (0, 0)

    @property
    def duration(self) -> int | None:
        """Milliseconds as reported, else from start to end; None while it is open."""
        if self.end is None or self.took is not None:
            return self.took
        return self.end - self.start

    @property
    def tokens(self) -> int | None:
        """Input and output tokens together, as far as they are known."""
        return total((self.input, self.output))

    @property
    def failed(self) -> bool:
        """Whether it failed, even if the session has recovered from that."""
        return self.status in ("error", "recovered")

    @property
    def own_errors(self) -> int:
        """The number of `error` entries in it, without those below it."""
        return self.errors - sum(child.errors for child in self.children)

    @property
    def failed_by_itself(self) -> bool:
        """Whether it failed, and not only because of bars below it, as most nodes do."""
        return self.status == "error" and (
            self.own_errors > 0 or not any(child.status == "error" for child in self.children)
        )

    @property
    def is_tool(self) -> bool:
        """Whether it is a call to a tool or retriever."""
        return self.kind in ("tool", "retriever")

    def add(self, other: Bar) -> None:
        """Add another bar's tokens, cost and errors."""
        self.input = total((self.input, other.input))
        self.output = total((self.output, other.output))
        self.cached = total((self.cached, other.cached))
        self.cost = total((self.cost, other.cost))
        self.errors += other.errors

    @property
    def turns(self) -> int:
        """The number of turns below it, including those of sub-agents and of each process that counts from 1."""
        bars = [bar for bar in below(self.children) if bar.turn]
        asked = {(bar.root, bar.turn) for bar in bars if bar.kind == "model"}
        return len(asked) + len({bar.turn for bar in bars} - {turn for _, turn in asked})


def below(bars: Iterable[Bar]) -> Iterator[Bar]:
    """These bars and all bars below them, at any depth."""
    stack = list(bars)
    while stack:
        yield (bar := stack.pop())
        stack += bar.children


def any_failed(bars: Iterable[Bar]) -> bool:
    """Whether one of these bars failed and was not attempted again: of a call's attempts, the last one counts."""
    left: Counter[tuple[str, str]] = Counter()
    for bar in bars:
        call = bar.kind, bar.label
        if bar.attempt and left[call]:
            left[call] -= 1
        left[call] += bar.status == "error"
    return any(left.values())


def in_rows(roots: list[Bar]) -> Iterator[tuple[Bar, Bar | None, int, int]]:
    """The bars of a tree in the order of its rows, each with its parent, its level and the turn that its row shows.

    The level of a root is 1. The turn is that of a bar right below a prompt, and of a model call in another turn than
    the rows above show; 0 if the row shows none.
    """
    stack: list[tuple[Bar, Bar | None, int, int]] = [(bar, None, 1, 0) for bar in reversed(roots)]
    while stack:
        bar, parent, level, told = stack.pop()
        turn = bar.turn if level == 2 or (bar.kind == "model" and bar.turn != told) else 0
        yield bar, parent, level, turn
        stack += [(child, bar, level + 1, turn or told) for child in reversed(bar.children)]


def causes(bar: Bar) -> list[Bar]:
    """Why a prompt or a component failed: the bars below it that failed by themselves, in chronological order."""
    failed = [each for each in below(bar.children) if each.failed_by_itself]
    return sorted(failed, key=lambda each: each.events[-1])[-MAX_CAUSES:]
