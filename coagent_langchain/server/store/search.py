"""The semantics of search: words in the text values of an entry."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any

import orjson

from coagent_langchain.server.store.records import Cut

_TERM = re.compile(r'"([^"]+)"|(\S+)')
_TOKEN = re.compile(r"[^\W_]+")
_SIGNS = re.compile(r"[^\w\x00-\x7f\u2010-\u2027]+")  # non-ASCII, except quotation marks and dashes
_CAPITALS = ("İ".encode(), "\u212a".encode())  # non-ASCII capitals with an ASCII lowercase: i and k
SHORTEST = 2  # characters of a token looked up in the index: a single letter begins too many words
LONGEST = 2.0  # seconds that a search through all sessions may read: no index finds a sign or a rare phrase
FOUND = 100  # sessions found by their entries in a text query: the newest
FIGURES = ("meta", "llm_response", "tool_response", "performance_metrics", "test_result")  # fields that hold figures


def words_and_phrases(text: str) -> list[str]:
    """The words of a search, and its phrases in double quotes."""
    return [phrase or word for phrase, word in _TERM.findall(text)]


class Terms:
    """The terms of a search: words, or phrases in double quotes; an entry must contain all of them.

    A term matches at the beginning of a word, case-insensitively. Names of JSON fields are not searched, and of numbers
    only the whole ones in content: see `searched`.
    """

    def __init__(self, text: str) -> None:
        terms = [term.lower() for term in words_and_phrases(text)]
        self.tokens = [token for term in terms for token in _TOKEN.findall(term)]
        self._quick = [token.encode() for token in self.tokens if token.isascii()]
        self._patterns = {term: re.compile(r"(?<![^\W_])" + re.escape(term)) for term in terms}

    def __bool__(self) -> bool:
        return bool(self._patterns)

    @property
    def match(self) -> str:
        """The FTS5 query that matches every entry with the terms; "" if the index cannot help."""
        return " ".join(f'"{token}"*' for token in self.tokens if len(token) >= SHORTEST)

    def __call__(self, body: bytes) -> bool:
        """Whether an entry contains all terms."""
        raw = body.lower()
        if not all(token in raw for token in self._quick) and not _may_hide_ascii(raw):
            return False
        return self.are_in(searched(orjson.loads(body)))

    def are_in(self, text: str) -> bool:
        """Whether a text as made by `searched` contains all terms."""
        # `in` alone is 30 times as fast, and a search for a sign or a phrase reads very many texts
        return all(term in text and pattern.search(text) for term, pattern in self._patterns.items())


def _may_hide_ascii(raw: bytes) -> bool:
    """Whether JSON text may have ASCII letters in another form: escaped, or as a non-ASCII capital."""
    escaped = b"\\" in raw and b"\\u" in raw  # testing for the backslash alone is much faster, and it is rare
    return escaped or any(letter in raw for letter in _CAPITALS)


def newest_sessions(read: Iterable[str | None]) -> tuple[list[str], Cut]:
    """The first sessions that a search finds, and why there may be more: see `Page.cut`.

    Parameters:
        read: for each entry read, its session's id, or None if it does not contain the terms.
    """
    found: dict[str, None] = {}
    end = time.monotonic() + LONGEST
    for session_id in read:
        if time.monotonic() > end:
            return list(found), "time"
        if session_id is None:
            continue
        if len(found) == FOUND and session_id not in found:
            return list(found), "found"
        found[session_id] = None
    return list(found), ""


def searched(entry: dict[str, Any]) -> str:
    """The text that a search examines: the values of an entry in lowercase, one per line.

    Offered tools are left out: otherwise every call of an agent would match, not only the few that used the tool. So
    are figures: among tokens and milliseconds, a search for `429` would find anything. Whole numbers in content, such
    as the id in `get_order(order_id=4711)`, are searched; fractions have more than one way to be written.
    """
    texts: list[str] = []
    for field, value in entry.items():
        if field not in FIGURES or not isinstance(value, dict):
            _collect(value, texts)
            continue
        for name, item in value.items():
            if (field, name) != ("meta", "tools_offered"):
                _collect(item, texts, numbers=field != "meta" or name == "context")
    return "\n".join(texts).lower()


def indexed(texts: bytes) -> str:
    """Texts prepared for the index, so that its words begin where those of `Terms` do.

    SQLite has its own Unicode tables, in which some accents and emoji are letters and some lowercase letters differ.
    """
    text = texts.decode("utf-8", "replace")
    return text if text.isascii() else _SIGNS.sub(" ", text.lower())


def _collect(value: Any, texts: list[str], *, numbers: bool = True) -> None:
    """Collect the texts of a value, and the whole numbers inside it unless `numbers` is false."""
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            if type(item) is not int:
                _collect(item, texts, numbers=numbers)
            elif numbers and abs(item) < 2**63:  # SQLite writes greater ones as fractions
                texts.append(str(item))
