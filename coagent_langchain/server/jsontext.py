"""JSON as text: operations that do not parse it, so that every byte of a value is preserved."""

from __future__ import annotations

import re

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[][{},]', re.DOTALL)
_BREAKS_AS_SPACES = bytes.maketrans(b"\r\n", b"  ")
_NEST = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


def split(body: bytes) -> list[bytes]:
    """The text of each element of the JSON array `body`, which is not empty."""
    found, depth, start = [], 0, 1
    for token in _TOKEN.finditer(body):
        depth += _NEST.get(token[0], 0)
        if (depth == 1 and token[0] == b",") or depth == 0:
            found.append(body[start : token.start()].strip(b" \t\r\n"))
            start = token.end()
    return found


def depth_exceeds(body: bytes, most: int) -> bool:
    """Whether JSON text is nested deeper than `most`."""
    if body.count(b"{") + body.count(b"[") <= most:
        return False
    depth = 0
    for token in _TOKEN.finditer(body):
        depth += _NEST.get(token[0], 0)
        if depth > most:
            return True
    return False


def on_one_line(body: bytes) -> bytes:
    """JSON text with its line breaks, which occur only between tokens, replaced by spaces."""
    return body.translate(_BREAKS_AS_SPACES)
