"""The store: what the API and the pages need from a database, as one protocol with two implementations.

Times are Unix milliseconds. All methods block and may be called from any thread; `append` alone returns at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from coagent_langchain.server.store.query import Page, Query
from coagent_langchain.server.store.rollup import COUNTS, ENDINGS, prompt_count, session_counts, turn_count
from coagent_langchain.unended import NO_END, goes_on, standing
from coagent_langchain.wire import now_ms

MAX_FACETS = 200  # choices of a filter
MAX_PAGE = 16 << 20  # bytes of entries that are read at a time: a single one may have half as much
STATUSES = ("running", *ENDINGS, NO_END)


class Unavailable(Exception):
    """The store cannot answer now; the client shall try again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NewEntry(NamedTuple):
    """A validated entry on its way in.

    Attributes:
        fields: the parsed JSON object.
        body: the JSON text as it was posted, without white space around it.
    """

    fields: dict[str, Any]
    body: bytes


class Cursor(NamedTuple):
    """A place in a session's order: entries come by timestamp, then by arrival."""

    timestamp: int
    seq: int


class Entry(NamedTuple):
    """A stored entry.

    Attributes:
        seq: arrival number: grows with each stored entry; a stable address of the entry in this store.
        timestamp: of the event, in milliseconds.
        body: the JSON text as it was posted, byte for byte.
    """

    seq: int
    timestamp: int
    body: bytes

    @property
    def cursor(self) -> Cursor:
        """The place right after this entry, for `Store.entries(after=...)`."""
        return Cursor(self.timestamp, self.seq)


@dataclass(frozen=True, slots=True)
class Session:
    """A session's roll-up, kept right for entries that come late, twice or out of order.

    Attributes:
        first_ms, last_ms: earliest and latest timestamp of its entries.
        status: of `STATUSES`; `session_end`'s `meta.status`, "completed" where it says none; before it, or when
            activity follows it, "running", then "idle" or "no end" as `unended.standing` says.
        title: beginning of its first prompt, or "".
        failure: where it is failed, the beginning of its last error; else "".
        entries: how many are stored.
        prompts: how many, see `rollup.prompt_count`.
        turns: how many, see `rollup.turn_count`.
        total_tokens: sum over `llm_response`; where an entry has no total, its input and output tokens.
        input_tokens, output_tokens: sums over `llm_response`, or None when no entry names them.
        cached_tokens: part of `input_tokens` that the provider read from its cache, or None when no entry names it.
        open_calls: calls and components without their end; negative where a client logs ends alone.
        cost: US dollars, or None when no entry names a cost.
        unpriced_calls: model calls with tokens and without a price: they are missing in `cost`.
        types: event type → how many entries.
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
        """The session of a row of the roll-up.

        Parameters:
            row: its id, times, status, title, failure and cost, then the numbers of `COUNTS`.
        """
        session_id, first_ms, last_ms, status, title, failure, cost, *counts = row
        counted = dict(zip(COUNTS, counts, strict=True))
        counted["turns"] = turn_count(counted["turns"], counted["llm_calls"], counted["prompts"], types)
        counted["prompts"] = prompt_count(counted["prompts"], types)
        return cls(
            session_id, first_ms, last_ms, standing(status, last_ms, counted["open_calls"]), title,
            failure if status == "failed" else "", cost=cost,
            types=dict(types), models=tuple(models), tags=tuple(tags), **session_counts(counted, cost),
        )  # fmt: skip

    @property
    def only_total(self) -> int | None:
        """Its tokens, where no entry says which of them went in and which came out."""
        return self.total_tokens if self.input_tokens is None and self.output_tokens is None else None

    @property
    def goes_on(self) -> bool:
        """Whether it takes longer with every moment: it runs, and a call is open in it."""
        return goes_on(self.status, self.open_calls)

    @property
    def duration_ms(self) -> int:
        """From its first to its last entry; until now while a call is open in it."""
        return (now_ms() if self.goes_on else self.last_ms) - self.first_ms


@dataclass(frozen=True, slots=True)
class Summary:
    """A row of `GET /runs?summarize=1`, as `Session` has it, but with the status from before `unended.standing`."""

    session_id: str
    entries: int
    first_ms: int
    last_ms: int
    status: str
    title: str
    failure: str
    total_tokens: int | None
    errors: int
    open_calls: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much was deleted."""

    sessions: int
    entries: int


class Store(Protocol):
    """Where entries are kept. The same tests run on every implementation (`tests/server/test_store.py`)."""

    @property
    def event_types(self) -> frozenset[str]:
        """The event types that this store can keep."""

    def append(self, entries: Sequence[NewEntry]) -> Future[None]:
        """Store entries; each (session_id, event_id, body) is kept once.

        Returns:
            A future that is done when all of them are durable and can be read and found.

        Raises:
            Unavailable: (here or from the future) the entries are not stored; try again later.
        """

    def session_ids(self) -> list[str]:
        """Every session's id, the earliest session first."""

    def summaries(self) -> list[Summary]:
        """Every session in short, the earliest session first."""

    def sessions(self, query: Query) -> Page:
        """One page of the sessions that match."""

    def session(self, session_id: str) -> Session | None:
        """One session's roll-up, or None when there is none."""

    def facets(self, kind: Literal["model", "tag"]) -> list[str]:
        """The models or tags that most sessions have, at most `MAX_FACETS`, sorted: the choices of a filter."""

    def entries(self, session_id: str, *, after: Cursor | None = None, limit: int = 200) -> list[Entry]:
        """A session's entries by timestamp, then arrival.

        Parameters:
            after: begin behind this place; the beginning when None.
            limit: how many at most; of large ones, as many as `MAX_PAGE` has room for, but at least one.
        """

    def entry(self, session_id: str, event_id: str) -> Entry | None:
        """One entry by its event id, the earliest where an id was used again."""

    def search(self, session_id: str, text: str, limit: int) -> list[int]:
        """The `seq` of a session's entries that contain all the words (each as the beginning of a word, in any case),
        newest arrival first, `limit` at most. What JSON calls the fields is not searched, their values are.
        """

    def latest(self) -> int:
        """The highest `seq` stored so far, 0 when empty: cheap, for live views that look for news."""

    def has_news(self, session_id: str, after: int, until: int) -> bool:
        """Whether entries of the session have a `seq` above `after`, and `until` at most."""

    def close(self) -> None:
        """Finish what is under way and let go of the database."""


def every_entry(store: Store, session_id: str, *, page: int = 500) -> Iterator[Entry]:
    """A session's entries, all of them, `page` read at a time."""
    after: Cursor | None = None
    while entries := store.entries(session_id, after=after, limit=page):
        yield from entries
        after = entries[-1].cursor


def entry_at(store: Store, session_id: str, at: int, seq: int) -> Entry | None:
    """One entry by its place in the session's order."""
    found = store.entries(session_id, after=Cursor(at, seq - 1), limit=1)
    return found[0] if found and found[0].cursor == (at, seq) else None
