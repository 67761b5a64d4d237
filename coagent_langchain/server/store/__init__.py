"""The store: one protocol for what the API and the pages need from a database, with two implementations.

Times are Unix milliseconds. All methods may be called from any thread, and block, except `append`, which returns at
once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Literal, Protocol

from coagent_langchain.server.store.records import Cursor, Entry, NewEntry, Page, Query, Session, Summary

MAX_FACETS = 200  # most options of a filter
ALL = 2**62  # more sessions than a store has
PAGE = 2_000  # entries read at a time: with fewer, ClickHouse takes longer for a session
MAX_PAGE = 16 << 20  # bytes of entries read at a time: a single entry may have half as many


class Unavailable(Exception):
    """The store cannot be used now; the client should try again."""


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

    # the same in every store

    def every_entry(self, session_id: str) -> Iterator[Entry]:
        """All entries of a session, read `PAGE` at a time.

        Raises:
            Unavailable: the session was deleted meanwhile: what was read would pass for all of it.
        """
        first: Cursor | None = None
        after: Cursor | None = None
        while entries := self.entries(session_id, after=after, limit=PAGE):
            first = first or entries[0].cursor
            yield from entries
            after = entries[-1].cursor
        if first and self.entry_at(session_id, first) is None:
            raise Unavailable("the session was deleted while it was read")

    def entry_at(self, session_id: str, cursor: Cursor) -> Entry | None:
        """One entry by its position in the session's order."""
        found = self.entries(session_id, after=Cursor(cursor.timestamp, cursor.seq - 1), limit=1)
        return found[0] if found and found[0].cursor == cursor else None
