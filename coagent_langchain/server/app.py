"""Assembly of the application: API and pages over one store, behind `Security`."""

from __future__ import annotations

import threading
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from coagent_langchain.server import api, exports, fragments, live, session_list, views
from coagent_langchain.server.intake import Intake
from coagent_langchain.server.lookups import State, state_of
from coagent_langchain.server.notices import Notices
from coagent_langchain.server.responses import error_response
from coagent_langchain.server.security import Security
from coagent_langchain.server.store import Store, Unavailable
from coagent_langchain.server.templating import for_a_person, render
from coagent_langchain.server.timeline_cache import TimelineCache

ROUTES = [*api.routes, *session_list.routes, *views.routes, *fragments.routes, *exports.routes, *live.routes]


def build(store: Store, closing: threading.Event, *, token: str | None, hosts: tuple[str, ...]) -> Security:
    """Build the ASGI application: a Starlette application behind `Security`.

    Parameters:
        store: where entries are kept; the caller closes it.
        closing: see `State`; the caller sets it.
        token, hosts: see `Security`.
    """
    starlette = Starlette(
        routes=ROUTES,
        exception_handlers={HTTPException: _http_error, Unavailable: _unavailable, ClientDisconnect: _left},
    )
    starlette.state.shared = State(store, closing, bool(token), TimelineCache(store), Intake(), Notices(), live=set())
    return Security(starlette, hosts=hosts, token=token)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _failed(request, error.detail, error.status_code, dict(error.headers or {}))


async def _unavailable(request: Request, error: Exception) -> Response:
    """Respond that the store is down or busy and when to retry."""
    assert isinstance(error, Unavailable)
    state = state_of(request)
    if not state.closing.is_set():
        state.notices.report_problem(f"requests are answered with 503: {error}")
    return _failed(request, str(error), 503, {"Retry-After": "1"})


def _failed(request: Request, message: str, status: int, headers: dict[str, str]) -> Response:
    """Report a failure: as a page if the request comes from a person's browser, otherwise as JSON."""
    if request.url.path.startswith("/api/") or not for_a_person(request.method, request.headers):
        return error_response(message, status, headers)
    return render("failed.html", status, headers, problem=HTTPStatus(status).phrase.capitalize(), message=message)


async def _left(request: Request, error: Exception) -> Response:
    """Handle a client that disconnected during its request, such as a killed program: not an error of the server."""
    return error_response("the request breaks off", 400)
