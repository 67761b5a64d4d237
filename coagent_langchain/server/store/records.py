"""What goes into a store and comes out of it: entries, sessions, and the query for a page of sessions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from coagent_langchain.server.store.rollup import COUNTS, ENDINGS, session_counts
from coagent_langchain.unended import NO_END, current_status, is_working
from coagent_langchain.wire import now_ms

STATUSES = ("running", *ENDINGS, NO_END)
SORTS = ("last", "first", "duration", "entries", "prompts", "llm_calls", "tool_calls", "errors", "total_tokens", "cost")
Cut = Literal["", "found", "time"]
_CURSOR = re.compile(r"(\d{1,16})-(\d{1,19})")


class NewEntry(NamedTuple):
    """A validated entry to be stored: its text as posted, without surrounding whitespace, and the parsed object."""

    fields: dict[str, Any]
    body: bytes


class Cursor(NamedTuple):
    """A position in a session's order: by timestamp, then by arrival; `timestamp-seq` in the viewer's links."""

    timestamp: int
    seq: int

    def __str__(self) -> str:
        return f"{self.timestamp}-{self.seq}"

    @classmethod
    def named(cls, text: str) -> Cursor | None:
        """The position that a link names; None if it names none."""
        found = _CURSOR.fullmatch(text)
        return cls(int(found[1]), int(found[2])) if found and int(found[2]) < 2**63 else None


class Entry(NamedTuple):
    """A stored entry.

    Attributes:
        seq: arrival number: grows with each stored entry, and identifies the entry in this store.
        timestamp: of the event, in milliseconds.
        body: the JSON text as posted, byte for byte.
    """

    seq: int
    timestamp: int
    body: bytes

    @property
    def cursor(self) -> Cursor:
        """The position of this entry, for `Store.entries(after=...)`."""
        return Cursor(self.timestamp, self.seq)


@dataclass(frozen=True, slots=True)
class Session:
    """A session's roll-up, correct even if entries arrive late, twice or out of order.

    Attributes:
        first_ms, last_ms: earliest and latest timestamp of its entries.
        status: one of `STATUSES`: the `meta.status` of `session_end`, or "completed" if that is not one of `ENDINGS`;
            "interrupted" after a question to a human; otherwise, or if activity follows, "running", which
            `unended.current_status` changes to "idle" or "no end" after a silence.
        title: beginning of its first prompt, or "".
        failure: the beginning of its last error if `status` is "failed", or, before its end, if nothing has been done
            since and not all errors are recovered; otherwise "".
        entries: number of stored entries.
        prompts: the number of `user_input` entries, as in the timeline, or the highest prompt number if it is greater.
        turns: the sum of each prompt number's highest turn; if prompts share a number, at least the model calls.
        total_tokens: sum over `llm_response` and `error`; for an entry without a total, input and output tokens.
        input_tokens, output_tokens: sums over `llm_response` and `error`, or None if no entry reports them.
        cached_tokens: part of `input_tokens` that the provider read from its cache, or None if no entry reports it.
        open_calls: calls and components without an end; negative if a client logs only ends.
        cost: US dollars, or None if no entry reports a cost.
        unpriced_calls: model calls with tokens but without a price, not included in `cost`.
        types: event type → number of entries.
        models, tags: sorted.
    """

    session_id: str
    first_ms: int
    last_ms: int
    status: str = "running"
    title: str = ""
    failure: str = ""
    entries: int = 0
    prompts: int = 0
    turns: int = 0
    llm_calls: int = 0
    tool_calls: int = 0
    errors: int = 0
    recoveries: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    open_calls: int = 0
    cost: float | None = None
    unpriced_calls: int = 0
    types: dict[str, int] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    @classmethod
    def of(cls, row: Sequence[Any], *, types: Mapping[str, int], models: Iterable[str], tags: Iterable[str]) -> Session:
        """Make a session from a row of the roll-up.

        Parameters:
            row: id, times, status, title, failure and cost, then the numbers of `COUNTS`.
        """
        session_id, first_ms, last_ms, status, title, failure, cost, *counts = row
        counted = dict(zip(COUNTS, counts, strict=True))
        inputs = types.get("user_input", 0)
        if inputs > counted["prompts"]:  # processes that share a session may each count from 1
            counted |= {"prompts": inputs, "turns": max(counted["turns"], counted["llm_calls"])}
        return cls(
            session_id, first_ms, last_ms, current_status(status, last_ms, counted["open_calls"]), title,
            failure, types=dict(types), models=tuple(models), tags=tuple(tags), cost=cost,
            **session_counts(counted, cost),
        )  # fmt: skip

    @property
    def only_total(self) -> int | None:
        """The total number of tokens if no entry reports input or output tokens; otherwise None."""
        return self.total_tokens if self.input_tokens is None and self.output_tokens is None else None

    @property
    def is_working(self) -> bool:
        """Whether its duration still grows: it is running and has an open call."""
        return is_working(self.status, self.open_calls)

    @property
    def duration_ms(self) -> int:
        """The time from its first to its last entry, or until now while it `is_working`."""
        return (now_ms() if self.is_working else self.last_ms) - self.first_ms


@dataclass(frozen=True, slots=True)
class Summary:
    """An object of `GET /runs?summarize=1`: the first four fields are those of every CoAgent server."""

    run_id: str
    log_count: int
    start_timestamp: int
    end_timestamp: int
    status: str
    title: str
    failure: str
    total_tokens: int | None
    cost: float | None
    errors: int
    models: Sequence[str] = ()
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Pruned:
    """Numbers of deleted sessions and entries."""

    sessions: int
    entries: int


@dataclass(frozen=True, slots=True)
class Query:
    """Which sessions, in which order, and which page; empty fields do not filter, and all filters must match.

    Attributes:
        text: words, and phrases in double quotes; each must occur in the session's id or title, or all at the beginning
            of words of one of its entries.
        status: one of `STATUSES`.
        type: event type that the session must contain.
        since_ms: the session has entries since this time.
        count_facets: whether to fill `Page.facet_counts`, if there is a filter.
        sort: what to sort by, one of `SORTS`; descending unless `ascending`.
    """

    text: str = ""
    status: str = ""
    type: str = ""
    model: str = ""
    tag: str = ""
    since_ms: int | None = None
    count_facets: bool = False
    sort: str = "last"
    ascending: bool = False
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """A page of sessions.

    Attributes:
        total: number of sessions that match the query.
        cut: why older sessions that contain the text may be missing: the search "found" its maximum number, or reached
            its "time" limit; "" if none are missing.
        total_tokens, cost, unpriced_calls: sums over all sessions that match, as in `Session`; None if the query has no
            filter, or no session has any.
        facet_counts: for "type", "model" and "tag": value → number of sessions that match and have it, of the most
            common values of each; empty unless the query asks for it, or if more than `sql.COUNTED` sessions match.
    """

    sessions: list[Session]
    total: int
    cut: Cut = ""
    total_tokens: int | None = None
    cost: float | None = None
    unpriced_calls: int = 0
    facet_counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
