"""Assembly: API, pages and the security in front of them, over one store."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from coagent_langchain.server import api, views
from coagent_langchain.server.security import LOOPBACK, Security
from coagent_langchain.server.store import Store, Unavailable


class App(Starlette):
    """The ASGI application; `state.store` is its store.

    Parameters:
        store: where entries are kept; the caller closes it.
        token: bearer token that every request needs, or None.
        hosts: names that the Host header may have; any when empty.
    """

    def __init__(self, store: Store, *, token: str | None = None, hosts: tuple[str, ...] = LOOPBACK) -> None:
        super().__init__(
            routes=[*api.routes, *views.routes],
            exception_handlers={HTTPException: _http_error, Unavailable: api.unavailable},
        )
        self.state.store = store
        self.security = Security(super().__call__, hosts, token)

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        """Every request passes the security first."""
        scope["app"] = self
        await self.security(scope, receive, send)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return api.failure(error.detail, error.status_code, dict(error.headers or {}))
