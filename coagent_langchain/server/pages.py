"""What all pages share: templates with autoescape, and how a request finds its session."""

from __future__ import annotations

from typing import Any

import jinja2
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse

from coagent_langchain.server import formats
from coagent_langchain.server.inputs import in_words
from coagent_langchain.server.store import Session, Store
from coagent_langchain.server.timelines import Timelines, View
from coagent_langchain.unended import NO_END

STATUS_ICONS = {
    "completed": "ok",
    "ok": "ok",
    "failed": "error",
    "error": "error",
    "running": "open",
    "unfinished": "open",
    NO_END: "open",
    "cancelled": "cancelled",
    "abandoned": "cancelled",
    "idle": "idle",
    "interrupted": "idle",
    "recovered": "recovered",
    "waiting": "human",
}

_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("coagent_langchain.server"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)  # fmt: skip
_environment.filters |= {
    name: getattr(formats, name)
    for name in ("visible", "preview", "duration", "count", "cost", "size", "iso", "when", "session_path")
}
_environment.filters["in_words"] = in_words
_environment.globals["status_icons"] = STATUS_ICONS
_environment.globals["ui"] = _environment.get_template("ui.html").module


def render(template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """A page or a fragment."""
    return HTMLResponse(_environment.get_template(template).render(context), status)


def store_of(request: Request) -> Store:
    """The store behind the pages."""
    store: Store = request.app.state.store
    return store


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


def timelines_of(request: Request) -> Timelines:
    """The timelines kept for this server."""
    state = request.app.state
    if not hasattr(state, "timelines"):
        state.timelines = Timelines(store_of(request))
    timelines: Timelines = state.timelines
    return timelines
