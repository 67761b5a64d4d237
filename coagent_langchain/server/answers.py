"""The two shapes of a JSON answer."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(orjson.dumps(content), status, headers, "application/json")


def failure(message: str, status: int, headers: dict[str, str] | None = None, **more: Any) -> Response:
    """The answer to a request that failed: `{"success": false, "message": ...}` and whatever helps beside it."""
    return answer({"success": False, "message": message, **more}, status, headers)
