"""Prompts that the handler logs as JSON, in words.

Several inputs become `source: English · target: French`, images without text `image/png · 175.3 kB`.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json, to_json

from coagent_langchain.server.presentation.blocks import joined, media

READ = 2_000  # characters; fewer are shown
MAX_DEPTH = 3


def in_words(text: str) -> str:
    """The text; if it is JSON, without the syntax.

    An object, or the beginning of one, becomes its pairs, without empty values; a list of content blocks, its texts
    and the names of its images and files. An image or file is its type and size.
    """
    if not text.startswith(('{"', '[{"')):
        return text
    start, more = text[:READ].removesuffix("…"), ""
    try:
        try:
            value = from_json(start)
        except ValueError as error:
            if not str(error).startswith("EOF"):  # it continues with something else
                raise
            value, more = from_json(start, allow_partial="trailing-strings"), "…"
    except ValueError:
        return text
    words = " · ".join(_pairs(value)) if isinstance(value, dict) else joined(value)
    return words + more if words and not words.endswith("…") else words or text


def _pairs(value: dict[str, Any], depth: int = 0) -> list[str]:
    return [f"{key}: {words}" for key, inner in value.items() if (words := _value(inner, depth + 1))]


def _value(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return value
    if value in (None, {}, []):
        return ""
    if isinstance(value, dict) and value.keys() >= {"mime", "bytes"} and (described := media(value)):
        return ", ".join(described)
    if not isinstance(value, dict | list):
        return to_json(value).decode()  # unlike orjson, it takes whole numbers of any size
    if depth > MAX_DEPTH:
        return "…"
    parts = _pairs(value, depth) if isinstance(value, dict) else [_value(inner, depth + 1) for inner in value]
    return ", ".join(part for part in parts if part)
