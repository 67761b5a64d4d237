"""Lookups by request: the server's store, a session in it, the session's timeline, a number in the address."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request

from coagent_langchain.server.presentation.timeline import Timeline
from coagent_langchain.server.store import Session, Store
from coagent_langchain.server.timeline_cache import TimelineCache


class AnyConvertor(PathConvertor):
    """The rest of a path, whatever it contains: Starlette's own `path` ends at a line break."""

    regex = "(?s:.*)"


register_url_convertor("any", AnyConvertor())


def store_of(request: Request) -> Store:
    """The store behind the server."""
    store: Store = request.app.state.store
    return store


def timelines_of(request: Request) -> TimelineCache:
    """The server's cached timelines."""
    timelines: TimelineCache = request.app.state.timelines
    return timelines


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
    return session, timelines_of(request).get(session)
