"""The list of sessions: the query to a store, and the page that it returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from coagent_langchain.server.store import Session

SORTS = ("last", "first", "duration", "entries", "prompts", "llm_calls", "tool_calls", "errors", "total_tokens", "cost")
Cut = Literal["", "found", "time"]
COUNTED = 10_000  # most sessions whose types, models and tags are counted: all of these are read for it


@dataclass(frozen=True, slots=True)
class Query:
    """Which sessions, in which order, and which page; empty fields do not filter, and all filters must match.

    Attributes:
        text: words, and phrases in double quotes; each must occur in the session's id or title, or all at the beginning
            of words of one of its entries.
        status: one of `STATUSES`.
        type: event type that the session must contain.
        since_ms: the session has entries since this time.
        counts: whether to count what the sessions have, if there is a filter.
        sort: what to sort by, one of `SORTS`; descending unless `ascending`.
    """

    text: str = ""
    status: str = ""
    type: str = ""
    model: str = ""
    tag: str = ""
    since_ms: int | None = None
    counts: bool = False
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
        counts: for "type", "model" and "tag": value → number of sessions that match and have it, of the most common
            values of each; empty unless the query asks for it, or if more than `COUNTED` sessions match.
    """

    sessions: list[Session]
    total: int
    cut: Cut = ""
    total_tokens: int | None = None
    cost: float | None = None
    unpriced_calls: int = 0
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def counts_wanted(query: Query, where: str, total: int) -> bool:
    """Whether to fill `Page.counts`, given the SQL of the filters and the number of sessions that match."""
    return query.counts and bool(where) and total <= COUNTED


def by_kind(rows: Iterable[Sequence[Any]]) -> dict[str, dict[str, int]]:
    """`Page.counts` from rows of kind, value and number."""
    counts: dict[str, dict[str, int]] = {"type": {}, "model": {}, "tag": {}}
    for kind, value, number in rows:
        counts[kind][value] = number
    return counts
