"""A bar: one row of the timeline, and the tree that bars make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from coagent_langchain.server.presentation.formats import total

STOPPED = ("cancelled", "abandoned", "interrupted", "unanswered", "unknown")  # neither success nor failure
MAX_CAUSES = 5  # the latest: what a node failed of is the last that failed in it


@dataclass(slots=True, eq=False)
class Bar:
    """One row of the timeline: a call with its response, a component, a prompt, a turn, or something at one moment.

    Attributes:
        kind: prompt, turn, model, tool, retriever, component, human, error, recovery, note or end.
        end: Unix milliseconds; None while nothing closed it.
        status: ok, error, recovered (an error that a recovery names), open, waiting (for a human), or what
            `meta.outcome` says.
        events: (timestamp, seq) of its entries.
        input, output, cached, cost: the tokens and dollars that it used, those of its children included; tokens are
            None where no entry names them.
        run, parent, root, place: as of its first entry, see `Moment`.
        errors: how many `error` entries stand in it and below.
        last: Unix milliseconds of the last thing in it or below it.
        took: milliseconds that its response or exit names.
        model: of a model's call, where its entries name one.
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
    input: int | None = None
    output: int | None = None
    cached: int | None = None
    cost: float = 0.0
    errors: int = 0
    last: int = 0
    took: int | None = None
    model: str = ""

    @property
    def duration(self) -> int | None:
        """Milliseconds as the response says, else from start to end; None while it is open."""
        if self.end is None or self.took is not None:
            return self.took
        return self.end - self.start

    @property
    def tokens(self) -> int | None:
        """Input and output together, as far as they are known."""
        return total((self.input, self.output))

    @property
    def failed(self) -> bool:
        """Whether it failed, also where the session has recovered from that."""
        return self.status in ("error", "recovered")

    @property
    def is_tool(self) -> bool:
        """Whether it is the call of a tool or a retriever."""
        return self.kind in ("tool", "retriever")

    def add(self, other: Bar) -> None:
        """Count in what another bar used, and its errors."""
        self.input = total((self.input, other.input))
        self.output = total((self.output, other.output))
        self.cached = total((self.cached, other.cached))
        self.cost += other.cost
        self.errors += other.errors

    @property
    def turns(self) -> int:
        """How many turns stand below it: those of sub-agents, too, and of each process that counts from 1."""
        bars = [bar for bar in below(self.children) if bar.turn]
        asked = {(bar.root, bar.turn) for bar in bars if bar.kind == "model"}
        return len(asked) + len({bar.turn for bar in bars} - {turn for _, turn in asked})


def below(bars: Iterable[Bar]) -> Iterator[Bar]:
    """These bars and all that stands below them, however deep."""
    stack = list(bars)
    while stack:
        yield (bar := stack.pop())
        stack += bar.children


def causes(bar: Bar) -> list[Bar]:
    """Why a prompt or a component failed: the bars below it that failed by themselves, in order."""
    failed = [each for each in below(bar.children) if each.status == "error" and not _passes_on(each)]
    return sorted(failed, key=lambda each: each.last)[-MAX_CAUSES:]


def _passes_on(bar: Bar) -> bool:
    return any(child.status == "error" for child in bar.children)
