"""The two shapes of a JSON response, and a long response in blocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from starlette.responses import Response, StreamingResponse

BLOCK = 256_000  # bytes of a long response that are sent together: each block costs a thread switch


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(orjson.dumps(content), status, headers, "application/json")


def error_response(message: str, status: int, headers: dict[str, str] | None = None, **more: Any) -> Response:
    """The response to a failed request: `{"success": false, "message": ...}` and the fields of `more`."""
    return json_response({"success": False, "message": message, **more}, status, headers)


def streamed(parts: Iterable[bytes], media_type: str, headers: dict[str, str] | None = None) -> Response:
    """A response that is sent while its parts are made.

    The first block is made before the response begins, so that a store that is down gives a 503.
    """
    blocks = _blocks(parts)
    return StreamingResponse(itertools.chain((next(blocks),), blocks), 200, headers, media_type)


def _blocks(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Join the parts of a long response into blocks of `BLOCK` bytes or slightly more."""
    block, size = [], 0
    for part in parts:
        block.append(part)
        size += len(part)
        if size >= BLOCK:
            yield b"".join(block)
            block, size = [], 0
    yield b"".join(block)
