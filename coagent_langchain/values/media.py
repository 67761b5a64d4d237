"""Base64 media in messages, replaced by their MIME type, size and digest."""

from __future__ import annotations

import binascii
import hashlib
from typing import Any

MAX_HASHED = 1 << 26  # 64 MiB: hashing more would block the event loop for too long
MAX_KNOWN = 256  # cached sizes and digests: the media of a conversation come again with every turn
MIN_UNNAMED = 256  # characters: a shorter string that happens to be base64 is text, unless the block says otherwise

_ADDRESSES = frozenset({"url", "image_url"})  # of media, or the media themselves, with or without `data:`
# As applications name them in their own inputs, where nothing else says what they are.
_OWN = {"image_base64": "image", "image_b64": "image", "base64_image": "image", "img_base64": "image",
        "audio_base64": "audio", "pdf_base64": "application/pdf"}  # fmt: skip
KEYS = (_ADDRESSES | _OWN.keys() | {
    "base64", "data", "bytes", "b64_json", "file_data", "image_data", "input_audio", "result", "blob"})  # fmt: skip
_MIME_KEYS = ("mime_type", "media_type", "mimeType", "mediaType")
_FORMATS = {"mp3": "audio/mpeg", "pcm16": "audio/pcm", "jpg": "image/jpeg", "pdf": "application/pdf",
            "mp4": "video/mp4", "webm": "video/webm",
            **{name: f"audio/{name}" for name in ("wav", "flac", "opus", "ogg", "aac")},
            **{name: f"image/{name}" for name in ("png", "jpeg", "gif", "webp")}}  # fmt: skip
_MEDIA_TYPES = frozenset({"base64", "image", "audio", "video", "file", "media", "input_audio", "document"})
_URLSAFE = str.maketrans("-_", "+/")

_UNKNOWN = (-1, "")
_known: dict[tuple[int, int], tuple[int, str] | None] = {}


def of_bytes(content: bytes | bytearray | memoryview) -> dict[str, Any]:
    """Describe raw bytes: `{mime, bytes, sha256}`; the digest is absent above 64 MiB."""
    size = content.nbytes if isinstance(content, memoryview) else len(content)
    found: dict[str, Any] = {"mime": "application/octet-stream", "bytes": size}
    if size <= MAX_HASHED:
        found["sha256"] = hashlib.sha256(content).hexdigest()
    return found


def of_data_uri(uri: str) -> dict[str, Any] | None:
    """Describe a `data:<mime>;base64,…` URI; None for any other string."""
    comma = uri.find(",", 5, 300)
    if comma < 0 or not uri.endswith(";base64", 5, comma):
        return None
    return _described(uri, comma + 1, uri[5 : comma - 7].partition(";")[0] or "text/plain")


def in_block(key: str, value: str, block: dict[Any, Any]) -> dict[str, Any] | None:
    """Describe `block[key]` if it is base64 media in any provider's shape; None when it is plain text.

    Known shapes: LangChain blocks (`base64`; `source_type` with `data`), Anthropic (`source.data`), OpenAI
    (`input_audio.data`, `audio.data`, `b64_json`, `file_data`, image generation's `result`), Gemini (`data` with
    `mime_type`), Bedrock (`source.bytes`), Mistral (`input_audio`), MCP (`data`, or a resource's `blob`), Ollama and
    Perplexity (in place of an address).
    """
    if value.startswith("data:"):
        return of_data_uri(value)
    if not value or (key in _ADDRESSES and len(value) < MIN_UNNAMED):
        return None
    kind, form = block.get("type"), block.get("format") or block.get("output_format")
    kind = kind if isinstance(kind, str) else ""  # in a JSON schema it may be a list
    mime = next((m for k in _MIME_KEYS if isinstance(m := block.get(k), str)), None)
    named = mime or (_FORMATS.get(form) if isinstance(form, str) else None)
    if key == "result":
        return _described(value, 0, named or "image") if kind == "image_generation_call" else None
    if kind == "text":  # Anthropic's plain text source has a `media_type` too
        return None
    sure = key == "base64" or key == "b64_json" or named is not None or kind in _MEDIA_TYPES
    if not sure and len(value) < MIN_UNNAMED:
        return None
    medium = _OWN.get(key) or kind.removeprefix("input_").removesuffix("_url")  # OpenAI: `input_audio`, `image_url`
    return _described(value, 0, named or medium or "application/octet-stream")


def _described(value: str, start: int, mime: str) -> dict[str, Any] | None:
    """Describe the base64 from `start`, decoded only once: later turns find the digest by the hash of the string."""
    known = (hash(value), len(value))
    measured = _known.get(known, _UNKNOWN)
    if measured is _UNKNOWN:
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        measured = _known[known] = _measured(value[start:] if start else value)
    if measured is None:
        return None
    return {"mime": mime, "bytes": measured[0], **({"sha256": measured[1]} if measured[1] else {})}


def _measured(encoded: str) -> tuple[int, str] | None:
    """Size and digest of the decoded content; None if the text is not base64."""
    if not encoded.isascii():
        return None
    if len(encoded) > 2 * MAX_HASHED:
        return len(encoded) * 3 // 4, ""
    if "\n" in encoded or "\r" in encoded:
        encoded = "".join(encoded.split())
    if "-" in encoded or "_" in encoded:
        encoded = encoded.translate(_URLSAFE)
    try:
        content = binascii.a2b_base64(encoded + "=" * (-len(encoded) % 4), strict_mode=True)
    except binascii.Error:
        return None
    return len(content), hashlib.sha256(content).hexdigest() if len(content) <= MAX_HASHED else ""
