"""Live pages: a stream of `news` server-sent events, one whenever entries have arrived."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from coagent_langchain.server.lookups import state_of, store_of
from coagent_langchain.server.store import Unavailable

MAX_CLIENTS = 20  # simultaneous streams; each browser tab has one
POLL_S = 0.25  # how often a stream checks for news: `latest()` is one indexed lookup
BEAT_S = 15.0  # interval of a comment that detects dead connections
# Otherwise nginx holds events back until it has 4 KB, and HAProxy until what it compresses is a block.
_UNBUFFERED = {"X-Accel-Buffering": "no", "Cache-Control": "no-store, no-transform"}


async def stream(request: Request) -> Response:
    """`/view/live` for all sessions, `/view/live?session=ID` for one."""
    seen = await run_in_threadpool(store_of(request).latest)  # raises if the store is down, for a response that says so
    if len(state_of(request).live) >= MAX_CLIENTS:
        return Response("too many live views", 503, {"Retry-After": "10"})
    if request.method == "HEAD":
        return Response(media_type="text/event-stream")
    return _Stream(request, seen)


class _Stream(StreamingResponse):
    """Counts as live from its admission on: after a restart, all pages connect again at once.

    It counts until its own end, not its generator's: one that has not begun when its client leaves never ends.
    """

    def __init__(self, request: Request, seen: int) -> None:
        super().__init__(_news(request, seen), headers=_UNBUFFERED, media_type="text/event-stream")
        self._clients = state_of(request).live
        self._clients.add(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._clients.discard(self)


async def _news(request: Request, seen: int) -> AsyncIterator[str]:
    state, session_id = state_of(request), request.query_params.get("session")
    store = state.store
    try:
        yield f"retry: 2000\nid: {seen}\n\n"
        quiet = 0.0
        while not state.closing.is_set() and not await request.is_disconnected():
            await asyncio.sleep(POLL_S)
            latest = await run_in_threadpool(store.latest)
            quiet += POLL_S
            if latest != seen:
                before, seen = seen, latest
                if session_id is None or await run_in_threadpool(store.has_news, session_id, before, latest):
                    quiet = 0.0
                    yield f"event: news\nid: {latest}\ndata: {latest}\n\n"
            if quiet >= BEAT_S:
                quiet = 0.0
                yield ": still here\n\n"
    except Unavailable:  # the page connects again, and is told why it cannot
        return


routes: list[BaseRoute] = [Route("/view/live", stream)]
