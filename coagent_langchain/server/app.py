"""Assembly of the application: API and pages over one store, behind `Security`."""

from __future__ import annotations

import threading
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from coagent_langchain.server import api, views
from coagent_langchain.server.intake import Intake
from coagent_langchain.server.notices import Notices
from coagent_langchain.server.responses import error_response
from coagent_langchain.server.security import Security
from coagent_langchain.server.store import Store, Unavailable
from coagent_langchain.server.templating import for_a_person, render
from coagent_langchain.server.timeline_cache import TimelineCache


def build(store: Store, closing: threading.Event, *, token: str | None, hosts: tuple[str, ...]) -> Security:
    """Build the ASGI application: a Starlette application behind `Security`.

    The Starlette `state` holds `store`, `closing`, `token_needed`, the cached `timelines`, the `live` streams,
    `notices` for the log, and the `intake` of what is posted.

    Parameters:
        store: where entries are kept; the caller closes it.
        closing: set when the server stops; long responses check it.
        token, hosts: see `Security`.
    """
    starlette = Starlette(
        routes=[*api.routes, *views.routes],
        exception_handlers={HTTPException: _http_error, Unavailable: _unavailable, ClientDisconnect: _left},
    )
    state = starlette.state
    state.store, state.closing, state.token_needed = store, closing, bool(token)
    state.timelines, state.live, state.notices, state.intake = TimelineCache(store), set(), Notices(), Intake()
    return Security(starlette, hosts=hosts, token=token)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _failed(request, error.detail, error.status_code, dict(error.headers or {}))


async def _unavailable(request: Request, error: Exception) -> Response:
    """Respond that the store is down or busy and when to retry."""
    assert isinstance(error, Unavailable)
    if not request.app.state.closing.is_set():
        request.app.state.notices.report_problem(f"requests are answered with 503: {error}")
    return _failed(request, str(error), 503, {"Retry-After": "1"})


def _failed(request: Request, message: str, status: int, headers: dict[str, str]) -> Response:
    """Report a failure: as a page if the request comes from a person's browser, otherwise as JSON."""
    if request.url.path.startswith("/api/") or not for_a_person(request.method, request.headers):
        return error_response(message, status, headers)
    return render("failed.html", status, headers, problem=HTTPStatus(status).phrase.capitalize(), message=message)


async def _left(request: Request, error: Exception) -> Response:
    """Handle a client that disconnected during its request, such as a killed program: not an error of the server."""
    return error_response("the request breaks off", 400)
