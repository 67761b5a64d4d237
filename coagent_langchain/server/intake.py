"""From the request to valid entries: a posted body is read within limits, parsed and checked.

Every entry keeps the exact bytes in which it was posted, so that unknown fields and number formats are returned
unchanged. A fault names the entry's index and the field; it does not affect other entries.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from coagent_langchain.server.jsontext import split
from coagent_langchain.server.store import Unavailable
from coagent_langchain.server.store.records import NewEntry
from coagent_langchain.server.validation import faults

MAX_BODY = 10_000_000  # bytes, also after decompression
MAX_ENTRIES = 1000  # per batch
MAX_PAUSE = 60  # seconds between two parts of a body
THREAD_FROM = 256_000  # bytes: a larger body is parsed in a thread, off the event loop
READING = 32 << 20  # bytes of bodies that may be read and parsed at the same time

Fault = dict[str, Any]


@dataclass(slots=True)
class Batch:
    """The contents of a body: the valid entries, the faults of the others, and whether it was a single entry."""

    entries: list[NewEntry] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    single: bool = False


class Intake:
    """Reads bodies, and not too many at once: loggers that come back together must not fill the memory.

    Only for the thread of the event loop.
    """

    def __init__(self) -> None:
        self._bytes = 0

    async def read(self, request: Request, event_types: frozenset[str]) -> Batch:
        """Read and parse the body of a request; its text is not kept. See `parse`.

        Raises:
            HTTPException: the body is too large, does not arrive, or cannot be parsed.
            Unavailable: more than `READING` bytes are being read.
        """
        parts: list[bytes] = []
        taken = 0
        try:
            async for part in _unpacked(request):
                taken += len(part)
                self._bytes += len(part)
                if self._bytes > READING:
                    raise Unavailable(f"more than {READING:,} bytes of requests are being read")
                parts.append(part)
            body = b"".join(parts)
            parts.clear()
            if len(body) > THREAD_FROM:
                return await run_in_threadpool(parse, body, event_types)
            return parse(body, event_types)
        finally:
            self._bytes -= taken


async def _unpacked(request: Request) -> AsyncIterator[bytes]:
    """The parts of the body, decompressed, within its size limit."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise HTTPException(415, "Content-Encoding must be gzip or absent")
    unpacker = zlib.decompressobj(31) if encoding == "gzip" else None
    room = MAX_BODY
    async for chunk in _arriving(request):
        part = _unpack(unpacker, chunk, room) if unpacker and chunk else chunk
        yield part
        room -= len(part)
        if room < 0:
            raise HTTPException(413, f"a body has at most {MAX_BODY} bytes, also after decompression")
    if unpacker and not unpacker.eof:
        raise HTTPException(400, "the gzip body is truncated")


async def _arriving(request: Request) -> AsyncIterator[bytes]:
    """The parts of the body; a client that has gone without a word must not count as being read for ever."""
    parts = request.stream()
    try:
        while True:
            async with asyncio.timeout(MAX_PAUSE):
                part = await anext(parts)
            yield part
    except StopAsyncIteration:
        return
    except TimeoutError:
        raise HTTPException(408, f"no more of the body has arrived for {MAX_PAUSE} seconds") from None


def _unpack(unpacker: Any, chunk: bytes, room: int) -> bytes:
    """Decompress a chunk to at most `room + 1` bytes: the extra byte shows that the limit is exceeded."""
    try:
        part: bytes = unpacker.decompress(chunk, room + 1)
    except zlib.error as error:
        raise HTTPException(400, f"the body is not gzip: {error}") from None
    if unpacker.unused_data:
        raise HTTPException(400, "there is data after the end of the gzip body")
    return part


def parse(body: bytes, event_types: frozenset[str]) -> Batch:
    """Parse and validate a body: one entry, or an array of entries.

    Parameters:
        event_types: those that the store can keep; other types of the wire model are rejected with a separate message.

    Raises:
        HTTPException: the body is not JSON, neither an object nor an array, or has too many entries.
    """
    body = body.strip(b" \t\r\n")
    if (found := _parse_each(body)) is not None:
        return _check(*found, event_types, single=False)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise HTTPException(400, f"the body is not valid JSON: {error}") from None
    if isinstance(document, dict):
        return _check([document], [body], event_types, single=True)
    if not isinstance(document, list):
        raise HTTPException(400, "the body must be one log entry (a JSON object) or an array of log entries")
    if len(document) > MAX_ENTRIES:
        raise HTTPException(413, f"a batch has at most {MAX_ENTRIES} entries, this one has {len(document)}")
    return _check(document, split(body) if document else [], event_types, single=False)


def _check(entries: list[Any], bodies: list[bytes], event_types: frozenset[str], *, single: bool) -> Batch:
    batch = Batch(single=single)
    for index, (entry, body) in enumerate(zip(entries, bodies, strict=True)):
        if found := faults(entry, body, event_types):
            batch.faults += [{"index": index, "field": name, "message": message} for name, message in found]
        else:
            batch.entries.append(NewEntry(entry, body))
    return batch


def _parse_each(body: bytes) -> tuple[list[Any], list[bytes]] | None:
    """The entries of an array and their text, split before each entry that begins with the same field as the first.

    Entries sent by our own delivery and by most clients begin alike, and splitting is ten times as fast as finding the
    commas. If each piece is valid JSON, the splits are right. None if they are not, and for any other body.
    """
    start = body[1 : body.find(b'"', 3) + 1]  # `{"version"`
    comma = b"," if b"}," + start in body else b", "
    if body[:2] != b"[{" or body[-1:] != b"]" or not 0 < body.count(b"}" + comma + start) < MAX_ENTRIES:
        return None
    bodies, begin = [], 1
    while (end := body.find(b"}" + comma + start, begin)) >= 0:
        bodies.append(body[begin : end + 1])
        begin = end + 1 + len(comma)
    bodies.append(body[begin:-1].rstrip(b" \t\r\n"))
    try:
        return [orjson.loads(text) for text in bodies], bodies
    except orjson.JSONDecodeError:
        return None
