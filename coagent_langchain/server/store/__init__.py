"""The store: one protocol for what the API and the pages need from a database, with two implementations.

Times are Unix milliseconds. All methods may be called from any thread, and block, except `append`, which returns at
once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from coagent_langchain.server.store.query import Page, Query
from coagent_langchain.server.store.rollup import COUNTS, ENDINGS, session_counts
from coagent_langchain.unended import NO_END, current_status, is_working
from coagent_langchain.wire import now_ms

MAX_FACETS = 200  # most options of a filter
ALL = 2**62  # more sessions than a store has
PAGE = 2_000  # entries read at a time: with fewer, ClickHouse takes longer for a session
MAX_PAGE = 16 << 20  # bytes of entries read at a time: a single entry may have half as many
STATUSES = ("running", *ENDINGS, NO_END)


class Unavailable(Exception):
    """The store cannot be used now; the client should try again."""


class NewEntry(NamedTuple):
    """A validated entry to be stored: its text as posted, without surrounding whitespace, and the parsed object."""

    fields: dict[str, Any]
    body: bytes


class Cursor(NamedTuple):
    """A position in a session's order: by timestamp, then by arrival."""

    timestamp: int
    seq: int


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


class Store(Protocol):
    """Where entries are stored; every implementation passes the same tests (`test_store.py`, `test_roll_up.py`).

    Attributes:
        event_types: the event types that this store can keep.
    """

    event_types: frozenset[str]

    def append(self, entries: Sequence[NewEntry]) -> Future[None]:
        """Store entries; each (session_id, event_id, body) is stored once.

        Returns:
            A future that is done when all of them are durable, readable and found by search.

        Raises:
            Unavailable: (here or from the future) the entries are not stored; try again later.
        """

    def session_ids(self) -> list[str]:
        """Every session's id, the earliest session first."""

    def summaries(self, newest: int = ALL) -> list[Summary]:
        """A summary of every session, or of the `newest` ones that started last; the earliest session first."""

    def sessions(self, query: Query) -> Page:
        """One page of the sessions that match a query."""

    def session(self, session_id: str) -> Session | None:
        """One session's roll-up, or None if there is no such session."""

    def facets(self, kind: Literal["model", "tag"]) -> list[str]:
        """The models or tags that most sessions have, at most `MAX_FACETS`, sorted: the options of a filter."""

    def entries(self, session_id: str, *, after: Cursor | None = None, limit: int = 200) -> list[Entry]:
        """A session's entries by timestamp, then arrival.

        Parameters:
            after: the position to begin after; None for the beginning.
            limit: how many at most; fewer if they exceed `MAX_PAGE`, but at least one.
        """

    def entry(self, session_id: str, event_id: str) -> Entry | None:
        """One entry by its event id; the earliest if several have it."""

    def search(self, session_id: str, text: str, limit: int) -> list[int]:
        """The `seq` of a session's entries that contain all words of a text, newest arrival first, at most `limit`.

        Each matches the beginning of a word, case-insensitively. Values are searched (see `search.searched`), not the
        names of JSON fields.
        """

    def latest(self) -> int:
        """The highest `seq` stored so far, 0 if empty: cheap, for live views that poll."""

    def has_news(self, session_id: str, after: int, until: int) -> bool:
        """Whether entries of the session have a `seq` above `after` and at most `until`."""

    def close(self) -> None:
        """Finish work in progress and close the database."""


def every_entry(store: Store, session_id: str) -> Iterator[Entry]:
    """All entries of a session, read `PAGE` at a time.

    Raises:
        Unavailable: the session was deleted meanwhile: what was read would pass for all of it.
    """
    first: Cursor | None = None
    after: Cursor | None = None
    while entries := store.entries(session_id, after=after, limit=PAGE):
        first = first or entries[0].cursor
        yield from entries
        after = entries[-1].cursor
    if first and entry_at(store, session_id, *first) is None:
        raise Unavailable("the session was deleted while it was read")


def entry_at(store: Store, session_id: str, at: int, seq: int) -> Entry | None:
    """One entry by its position in the session's order."""
    found = store.entries(session_id, after=Cursor(at, seq - 1), limit=1)
    return found[0] if found and found[0].cursor == (at, seq) else None
