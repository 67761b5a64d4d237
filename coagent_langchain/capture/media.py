"""Base64 media in a message: what it is, how large, and its digest, in place of its bytes."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

MAX_HASHED = 1 << 26  # 64 MiB: above it a digest would hold the event loop for too long
MAX_KNOWN = 256  # media of one conversation come again with every turn: their digests are kept, not their bytes

KEYS = frozenset({"base64", "data", "bytes", "b64_json", "file_data", "image_data", "result", "url", "image_url"})
_SURE_KEYS = frozenset({"base64", "b64_json"})
_MIME_KEYS = ("mime_type", "media_type", "mimeType", "mediaType", "format", "output_format")
_MEDIA_TYPES = frozenset({"base64", "image", "audio", "video", "file", "media", "input_audio", "image_generation_call"})

_known: dict[tuple[int, int], tuple[int, str] | None] = {}


def of_bytes(content: bytes | bytearray | memoryview, mime: str = "application/octet-stream") -> dict[str, Any]:
    """Describe raw bytes: `{mime, bytes, sha256}`; the digest is absent above 64 MiB."""
    size = content.nbytes if isinstance(content, memoryview) else len(content)
    found: dict[str, Any] = {"mime": mime, "bytes": size}
    if size <= MAX_HASHED:
        found["sha256"] = hashlib.sha256(content).hexdigest()
    return found


def of_data_uri(uri: str) -> dict[str, Any] | None:
    """Describe a `data:<mime>;base64,…` address; None when it is none."""
    comma = uri.find(",", 5, 300)
    if comma < 0 or not uri.endswith(";base64", 5, comma):
        return None
    return _described(uri, comma + 1, uri[5 : comma - 7].partition(";")[0] or "text/plain")


def in_block(key: str, value: str, block: dict[Any, Any]) -> dict[str, Any] | None:
    """Describe `block[key]` if it is base64 media in any provider's shape; None when it is plain text.

    Known: LangChain blocks (`base64`; `source_type`, `data`), Anthropic (`source.data`), OpenAI (`input_audio.data`,
    `audio.data`, `b64_json`, `file_data`, image generation's `result`) and Gemini (`data` with `mime_type`).
    """
    if value.startswith("data:"):
        return of_data_uri(value)
    kind = block.get("type")
    kind = kind if isinstance(kind, str) else None
    mime = next((m for k in _MIME_KEYS if isinstance(m := block.get(k), str)), None)
    if key == "result":
        sure = kind == "image_generation_call"
    elif key in ("url", "image_url"):
        sure = False
    else:
        sure = key in _SURE_KEYS or mime is not None or kind in _MEDIA_TYPES or "transcript" in block
    return _described(value, 0, mime or kind or "application/octet-stream") if sure and value else None


def _described(value: str, start: int, mime: str) -> dict[str, Any] | None:
    """Decode once per content: later turns of the same conversation find the digest by the string's own hash."""
    known = (hash(value), len(value))
    if known not in _known:
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        _known[known] = _measured(value[start:] if start else value)
    measured = _known[known]
    if measured is None:
        return None
    return {"mime": mime, "bytes": measured[0], **({"sha256": measured[1]} if measured[1] else {})}


def _measured(encoded: str) -> tuple[int, str] | None:
    """Size and digest of what the base64 text stands for; None when it is not base64."""
    if not encoded.isascii():
        return None
    if len(encoded) > MAX_HASHED:
        return len(encoded) * 3 // 4, ""
    try:
        content = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=_alphabet(encoded), validate=False)
    except (binascii.Error, ValueError):
        return None
    plausible = len(content) >= (len(encoded) - encoded.count("\n") - encoded.count("\r")) * 3 // 4 - 3
    return (len(content), hashlib.sha256(content).hexdigest()) if plausible else None


def _alphabet(encoded: str) -> bytes | None:
    return b"-_" if "-" in encoded or "_" in encoded else None
