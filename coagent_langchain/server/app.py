"""Assembly: API, pages and the security in front of them, over one store."""

from __future__ import annotations

import threading

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from coagent_langchain.server import api, views
from coagent_langchain.server.answers import failure
from coagent_langchain.server.security import LOOPBACK, Security
from coagent_langchain.server.store import Store, Unavailable
from coagent_langchain.server.timelines import Timelines


def build(store: Store, *, token: str | None = None, hosts: tuple[str, ...] = LOOPBACK) -> Security:
    """The ASGI application: `Security` in front of a Starlette.

    Its `state` has `store`, the `timelines` kept, the `live` views, and `closing`, an event that long answers look at.

    Parameters:
        store: where entries are kept; the caller closes it.
        token: bearer token that every request needs, or None.
        hosts: names that the Host header may have; any when empty.
    """
    starlette = Starlette(
        routes=[*api.routes, *views.routes],
        exception_handlers={HTTPException: _http_error, Unavailable: api.unavailable, ClientDisconnect: _left},
    )
    state = starlette.state
    state.store, state.timelines, state.live, state.closing = store, Timelines(store), set(), threading.Event()
    return Security(starlette, closing=state.closing, hosts=hosts, token=token)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return failure(error.detail, error.status_code, dict(error.headers or {}))


async def _left(request: Request, error: Exception) -> Response:
    """A client that broke off its request, as a killed program does: nobody reads the answer, and nothing is wrong."""
    return failure("the request breaks off", 400)
