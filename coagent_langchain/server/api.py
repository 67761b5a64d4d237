"""The JSON API that CoAgent clients speak."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from coagent_langchain.server import filters, openapi
from coagent_langchain.server.intake import Batch
from coagent_langchain.server.lookups import number_in, state_of, store_of
from coagent_langchain.server.responses import error_response, json_response, streamed
from coagent_langchain.server.store import ALL, Store
from coagent_langchain.texts import counted

MAX_FILTERED = 20_000  # entries that a filter may read
MAX_FILTERED_BYTES = 250_000_000  # their total size


async def post_logs(request: Request) -> Response:
    """Store one entry or an array of entries; the valid entries of a partly invalid batch are stored."""
    state = state_of(request)
    batch = await state.intake.read(request, state.store.event_types)
    if batch.entries:
        await asyncio.wrap_future(state.store.append(batch.entries))
    if batch.faults:
        return error_response(_describe(batch), 400, errors=batch.faults)
    stored = "Log entry" if batch.single else "All log entries"
    return json_response({"success": True, "message": f"{stored} stored successfully"})


def _describe(batch: Batch) -> str:
    first = batch.faults[0]
    where = "" if batch.single else f"entry {first['index']}: "
    said = f"{first['field']} {first['message']}".strip()  # a fault of the entry as a whole has no field
    more = len({fault["index"] for fault in batch.faults}) - 1
    return f"{where}{said} (and {counted(more, 'more entry')})" if more else f"{where}{said}"


def get_runs(request: Request) -> Response:
    """All session ids, or with `?summarize=1` a summary of each, or of the `newest` ones."""
    if request.query_params.get("summarize", "0") in ("0", "false", ""):
        return json_response(store_of(request).session_ids())
    newest = number_in(request.query_params, "newest") or ALL
    return json_response(store_of(request).summaries(newest))


def get_logs(request: Request) -> Response:
    """A session's entries in chronological order, each byte for byte as posted."""
    entries = store_of(request).every_entry(request.path_params["session_id"])
    return streamed(_array(entry.body for entry in entries), "application/json")


def _array(bodies: Iterable[bytes]) -> Iterator[bytes]:
    before = b"["
    for body in bodies:
        yield before + body
        before = b","
    yield b"]" if before == b"," else b"[]"


def filter_logs(request: Request) -> Response:
    """A session's entries, filtered by a preset or a JMESPath expression."""
    expression = request.query_params.get("pre", "all")
    found = _filtered(store_of(request), request.path_params["session_id"], expression)
    return Response(found, media_type="application/json")


def _filtered(store: Store, session_id: str, expression: str) -> bytes:
    entries: list[Any] = []
    room = MAX_FILTERED_BYTES
    for entry in store.every_entry(session_id):
        room -= len(entry.body)
        if len(entries) == MAX_FILTERED or room < 0:
            most = f"{MAX_FILTERED} entries and {MAX_FILTERED_BYTES // 1_000_000} MB"
            raise HTTPException(400, f"a filter reads sessions of up to {most}; read /logs instead")
        entries.append(orjson.loads(entry.body))
    return filters.apply(expression, entries)


async def document(request: Request) -> Response:
    """This API as an OpenAPI document."""
    return json_response(openapi.document())


routes: list[BaseRoute] = [
    Route("/api/v1/logs", post_logs, methods=["POST"]),
    Route("/api/v1/runs", get_runs),
    Route("/api/v1/logs/{session_id:any}", get_logs),
    Route("/api/v1/filter_logs/{session_id:any}", filter_logs),
    Route("/api/v1/openapi.json", document),
]
