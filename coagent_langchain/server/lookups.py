"""How a request finds what it asks for: the server's store, a session in it, the session's timeline."""

from __future__ import annotations

from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request

from coagent_langchain.server.store import Session, Store
from coagent_langchain.server.timelines import Timelines, View


class AnyConvertor(Convertor[str]):
    """The rest of a path, whatever is in it: to Starlette's own `path`, a line break is the end."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        """What stands there."""
        return value

    def to_string(self, value: str) -> str:
        """The same."""
        return value


register_url_convertor("any", AnyConvertor())


def store_of(request: Request) -> Store:
    """The store behind the server."""
    store: Store = request.app.state.store
    return store


def timelines_of(request: Request) -> Timelines:
    """The timelines kept for this server."""
    timelines: Timelines = request.app.state.timelines
    return timelines


def session_of(request: Request) -> Session:
    """The session in the path, or in the query `id` for ids that cannot stand in a path.

    Raises:
        HTTPException: 404, there is none.
    """
    session_id = request.path_params.get("session_id") or request.query_params.get("id", "")
    session = store_of(request).session(session_id)
    if session is None:
        raise HTTPException(404, "There is no session with this id.")
    return session


def view_of(request: Request) -> View:
    """The session in the path with its timeline."""
    return timelines_of(request).get(session_of(request))
