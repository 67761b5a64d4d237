"""The log viewer's pages besides the list: one session, two compared, the API; and the files of all pages."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from coagent_langchain.server import manual, openapi
from coagent_langchain.server.lookups import base_url_of, reader_of, session_of, state_of, store_of
from coagent_langchain.server.presentation import formats
from coagent_langchain.server.presentation.compare import figures, first_call, left_out, pairs, settings, sides
from coagent_langchain.server.store.records import Query, Session
from coagent_langchain.server.templating import render

RECENT = 50  # sessions offered for comparison


def session(request: Request) -> HTMLResponse:
    """One session's page; `?event=` selects an event by its id."""
    found = session_of(request)
    chosen = request.query_params.get("event", "")
    entry = store_of(request).entry(found.session_id, chosen) if chosen else None
    return render("session.html", s=found, path="=" + quote(found.session_id, safe=""),
                  selected=entry.seq if entry else "", unknown="" if entry else chosen)  # fmt: skip


def compare(request: Request) -> HTMLResponse:
    """Two sessions side by side: `?s=ID&s=ID`; if one is missing, the page to choose it."""
    chosen = request.query_params.getlist("s")[:2]
    found = [session for name in chosen if name and (session := store_of(request).session(name))]
    if len(found) < 2:
        return _ask_for_two(request, chosen, found)
    timelines = [state_of(request).timelines.get(one) for one in found]
    readers = [reader_of(store_of(request), one.session_id) for one in found]
    read = list(zip(timelines, readers, strict=True))
    return render("compare.html", both=found, figures=figures(*found), pairs=pairs(*(sides(*each) for each in read)),
                  settings=settings(*(first_call(*each) for each in read)), left_out=left_out(timelines))  # fmt: skip


def _ask_for_two(request: Request, chosen: list[str], found: list[Session]) -> HTMLResponse:
    """The page to choose two sessions, when at most one is found."""
    missing = [name for name in chosen if name and name not in [session.session_id for session in found]]
    told = f"There is no session {formats.preview(missing[0])}." if missing else "Choose two, or enter their ids."
    recent = store_of(request).sessions(Query(sort="first", limit=RECENT)).sessions
    return render("compare.html", both=[], message=told, chosen=chosen, first=found[0] if found else None,
                  recent=[session for session in recent if session not in found])  # fmt: skip


def docs(request: Request) -> HTMLResponse:
    """The page about the API, made from its OpenAPI document, with commands for the address of the request."""
    return render("docs.html", document=openapi.document(), base_url=base_url_of(request),
                  token=state_of(request).token_needed, manual=manual)  # fmt: skip


_MEDIA = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_STATIC = {
    file.name: (file.read_bytes(), _MEDIA[Path(file.name).suffix])
    for file in (importlib.resources.files("coagent_langchain.server") / "static").iterdir()
    if Path(file.name).suffix in _MEDIA
}  # 105 KB: served from memory faster than a thread could open a file


async def static(request: Request) -> Response:
    """Style sheets, scripts and icons; the name is looked up, never used as a path."""
    if (found := _STATIC.get(request.path_params["name"])) is None:
        raise HTTPException(404, "There is no such file.")
    return Response(found[0], media_type=found[1])


routes: list[BaseRoute] = [
    Route("/sessions/{session_id:any}", session),
    Route("/compare", compare),
    Route("/docs", docs),
    Route("/static/{name}", static),
]
