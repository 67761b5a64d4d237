"""Prompts that the handler logs as JSON, in words.

Several inputs become `source: English · target: French`, images without text `image/png · 175.3 kB`.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from coagent_langchain.server.presentation.blocks import joined

READ = 2_000  # characters; fewer are shown
MAX_DEPTH = 3
# A string with its closing quote, which is missing if the text was cut off; brackets, braces and commas.
_TOKEN = re.compile(r'"(?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*("?)|[{}\[\],]')
_ENDS = {"{": "}", "[": "]"}


def in_words(text: str) -> str:
    """The text; if it is JSON, without the syntax.

    An object, or the beginning of one, becomes its pairs, without empty values; a list of content blocks, its texts
    and the names of its images and files.
    """
    if not text.startswith(('{"', '[{"')):
        return text
    for whole, more in ((text[:READ], ""), *((each, "…") for each in _completed(text[:READ]))):
        try:
            value = orjson.loads(whole)
        except ValueError:
            continue
        words = " · ".join(_pairs(value)) if isinstance(value, dict) else joined(value)
        return words + more if words and not words.endswith("…") else words or text
    return text


def _completed(text: str) -> list[str]:
    """The completions of a JSON text that was cut off: after all of it, else without the last value."""
    ends, comma = "", ""
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign in _ENDS:
            ends = _ENDS[sign] + ends
        elif sign == ",":
            comma = text[: token.start()] + ends
        elif sign in ("}", "]"):
            ends = ends[1:]
        elif not token[1]:
            return [text[: token.end()] + '"' + ends, comma]
    return [text + ends, comma] if ends else []


def _pairs(value: dict[str, Any], depth: int = 0) -> list[str]:
    return [f"{key}: {words}" for key, inner in value.items() if (words := _value(inner, depth + 1))]


def _value(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return value
    if value in (None, {}, []):
        return ""
    if not isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    if depth > MAX_DEPTH:
        return "…"
    parts = _pairs(value, depth) if isinstance(value, dict) else [_value(inner, depth + 1) for inner in value]
    return ", ".join(part for part in parts if part)
