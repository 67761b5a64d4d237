"""The log viewer's pages."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute, Route


async def home(request: Request) -> HTMLResponse:
    """The list of sessions. `request.app.state.store` is the `Store`."""
    return HTMLResponse("<!doctype html><title>CoAgent</title><h1>CoAgent</h1>")


routes: list[BaseRoute] = [Route("/", home, name="home")]
