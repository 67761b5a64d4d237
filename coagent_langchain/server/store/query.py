"""The list of sessions: what a store is asked for, and the page that it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from coagent_langchain.server.store import Session

Sort = Literal[
    "last", "first", "duration", "entries", "prompts", "llm_calls", "tool_calls", "errors", "total_tokens", "cost"
]
SORTS: tuple[Sort, ...] = get_args(Sort)
Cut = Literal["", "found", "time"]


@dataclass(frozen=True, slots=True)
class Query:
    """Which sessions, in which order, which page. Empty fields do not filter; all filters must hold.

    Attributes:
        text: words, and phrases in double quotes; each must occur in the session's id or title, or all must begin words
            of one of its entries.
        status: one of `STATUSES`.
        type: event type that the session must contain.
        since_ms: the session has entries since then.
        sort: what to sort by, see `SORTS`; descending unless `ascending`.
    """

    text: str = ""
    status: str = ""
    type: str = ""
    model: str = ""
    tag: str = ""
    since_ms: int | None = None
    sort: Sort = "last"
    ascending: bool = False
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """A page of sessions.

    Attributes:
        total: how many the query finds in all.
        cut: why older sessions that hold its text may be missing: the search has "found" as many as it may, or has
            taken as much "time" as it may; "" where none is missing.
    """

    sessions: list[Session]
    total: int
    cut: Cut = ""
