"""Lookups by request: the server's state, a session, the session's timeline, a number in the address."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request

from coagent_langchain.server.intake import Intake
from coagent_langchain.server.notices import Notices
from coagent_langchain.server.presentation.conversation import Read
from coagent_langchain.server.presentation.timeline import Timeline
from coagent_langchain.server.store import Store
from coagent_langchain.server.store.records import Cursor, Session
from coagent_langchain.server.timeline_cache import TimelineCache
from coagent_langchain.wire import JsonObject


class AnyConvertor(PathConvertor):
    """The rest of a path, whatever it contains: Starlette's own `path` ends at a line break."""

    regex = "(?s:.*)"


register_url_convertor("any", AnyConvertor())


@dataclass(frozen=True, slots=True)
class State:
    """What all requests share.

    Attributes:
        closing: set when the server stops; long responses check it.
        live: the open streams of live pages.
    """

    store: Store
    closing: threading.Event
    token_needed: bool
    timelines: TimelineCache
    intake: Intake
    notices: Notices
    live: set[object]


def state_of(request: Request) -> State:
    """The server's state."""
    state: State = request.app.state.shared
    return state


def store_of(request: Request) -> Store:
    """The store behind the server."""
    return state_of(request).store


def base_url_of(request: Request) -> str:
    """The address of the API, as the client sees it."""
    return str(request.base_url).rstrip("/") + "/api/v1"


def session_of(request: Request) -> Session:
    """The session named in the path, or in the query `id` if the id cannot be part of a path.

    Raises:
        HTTPException: 404, there is no such session.
    """
    session_id = request.path_params.get("session_id") or request.query_params.get("id", "")
    session = store_of(request).session(session_id)
    if session is None:
        raise HTTPException(404, "There is no session with this id.")
    return session


def number_in(query: Mapping[str, str], name: str) -> int:
    """A natural number in an address's query, at most 10**9; 0 if it is not one, or not there."""
    given = query.get(name, "")
    return min(int(given[:10]), 10**9) if given.isascii() and given.isdigit() else 0


def session_and_timeline(request: Request) -> tuple[Session, Timeline]:
    """The session of the request, and its timeline."""
    session = session_of(request)
    return session, state_of(request).timelines.get(session)


def reader_of(store: Store, session_id: str) -> Read:
    """A function that reads a session's entries for a page, each by its position in the session's order."""

    def read(at: int, seq: int) -> JsonObject | None:
        entry = store.entry_at(session_id, Cursor(at, seq))
        return orjson.loads(entry.body) if entry else None

    return read
