"""Assembly: API, pages and the security in front of them, over one store."""

from __future__ import annotations

import threading
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from coagent_langchain.server import api, views
from coagent_langchain.server.answers import failure
from coagent_langchain.server.notices import Notices
from coagent_langchain.server.pages import for_a_person, render
from coagent_langchain.server.security import LOOPBACK, Security
from coagent_langchain.server.store import Store, Unavailable
from coagent_langchain.server.timelines import Timelines


def build(store: Store, *, token: str | None = None, hosts: tuple[str, ...] = LOOPBACK) -> Security:
    """The ASGI application: `Security` in front of a Starlette.

    Its `state` has `store`, the `timelines` kept, the `live` views, `notices` for the log, and `closing`, an event that
    long answers look at.

    Parameters:
        store: where entries are kept; the caller closes it.
        token: bearer token that every request needs, or None.
        hosts: names that the Host header may have; any when empty.
    """
    starlette = Starlette(
        routes=[*api.routes, *views.routes],
        exception_handlers={HTTPException: _http_error, Unavailable: _unavailable, ClientDisconnect: _left},
    )
    state = starlette.state
    state.store, state.timelines, state.live, state.closing = store, Timelines(store), set(), threading.Event()
    state.notices = Notices()
    return Security(starlette, closing=state.closing, hosts=hosts, token=token)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _failed(request, error.detail, error.status_code, dict(error.headers or {}))


async def _unavailable(request: Request, error: Exception) -> Response:
    """The store is down or busy: try again later."""
    assert isinstance(error, Unavailable)
    if not request.app.state.closing.is_set():
        request.app.state.notices.wrong(f"requests are answered with 503: {error}")
    return _failed(request, str(error), 503, {"Retry-After": str(max(1, round(error.retry_after)))})


def _failed(request: Request, message: str, status: int, headers: dict[str, str]) -> Response:
    """What did not work and why: as a page where a person asked for one."""
    if request.url.path.startswith("/api/") or not for_a_person(request.method, request.headers):
        return failure(message, status, headers)
    return render("failed.html", status, headers, problem=HTTPStatus(status).phrase.capitalize(), message=message)


async def _left(request: Request, error: Exception) -> Response:
    """A client that broke off its request, as a killed program does: nobody reads the answer, and nothing is wrong."""
    return failure("the request breaks off", 400)
