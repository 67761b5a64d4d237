"""How the pages write durations, counts, costs, times, and text with its invisible characters shown."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from coagent_langchain.server.presentation.values import mapping
from coagent_langchain.texts import counted

# Control characters except tab and newline, bidirectional controls, zero-width and other invisible characters, tag
# characters, lone surrogates: they could reorder or hide parts of a log.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
MOST = 80  # values that one line is made of: more than fit, so that it ends in `…` if any are left out
_LENGTHS = (24, 80)  # of a name or number, and of a sentence: longer arguments come after them
_UNITS = (("M", 1e6), ("B", 1e9), ("T", 1e12))


def visible(text: str) -> str:
    """Make invisible characters visible: U+0007 as ␇, U+202E as ⟨U+202E⟩; `\\r\\n` becomes a newline."""
    if text.isascii() and text.isprintable():
        return text  # nearly all names and many texts: no search needed
    return _INVISIBLE.sub(_sign, text.replace("\r\n", "\n"))


def _sign(match: re.Match[str]) -> str:
    code = ord(match[0])
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


def preview(text: str, limit: int = 160) -> str:
    """The beginning of a text on one line, with invisible characters shown."""
    head = " ".join(visible(text[: limit * 2]).split())
    return head if len(head) <= limit and len(text) <= limit * 2 else head[:limit].rstrip() + "…"


def brief(value: Any) -> str:
    """Any JSON value on one line: text as it is, other values as compact JSON, null as ""."""
    if value is None:
        return ""
    return preview(value if isinstance(value, str) else orjson.dumps(value).decode())


def leading(tags: list[str], room: int = 21) -> list[str]:
    """The first tags, at least one, that fit side by side: each takes as much as three characters more than it has."""
    ends = accumulate(len(tag) + 3 for tag in tags)
    return tags[: max(sum(end <= room for end in ends), 1)]


def arguments(parameters: Any) -> str:
    """The arguments of a call on one line: `from: MAD, to: BCN`; long ones last, so that they displace no short one."""
    pairs = [(key[:40], brief(value)) for key, value in list(mapping(parameters).items())[:MOST]]
    pairs.sort(key=lambda pair: sum(len(pair[1]) > length for length in _LENGTHS))
    return preview(", ".join(f"{key}: {value}" for key, value in pairs))


def duration(ms: float | None) -> str:
    """412 ms, 2.3 s, 1 min 04 s, 2 h 05 min, 3 d 4 h; an en dash if unknown."""
    if ms is None or ms < 0:
        return "–"
    if ms < 999.5:
        return f"{_rounded(ms)} ms"
    if ms < 59_950:
        return f"{_rounded(ms / 100) / 10:.1f} s"
    seconds = _rounded(ms / 1000)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    minutes = seconds // 60
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def _rounded(number: float) -> int:
    """The nearest whole number, halves rounded up, as in the browser, which writes the same figures (format.js)."""
    return int(number + 0.5)


def count(number: float | None) -> str:
    """A whole number with thousands separators; an en dash if unknown."""
    return "–" if number is None else f"{number:,.0f}"


def compact(number: float | None) -> str:
    """Like `count`, but 111.1 M, 123.5 B or 1.2 T from ten million on: for columns."""
    if number is None or number < 10_000_000:
        return count(number)
    unit, size = next((each for each in _UNITS if number < 999.95 * each[1]), _UNITS[-1])
    return f"{number / size:.1f} {unit}"


def tokens(given: int | None, made: int | None) -> str:
    """Input and output tokens, `1,200→30`: an en dash for one that is unknown, "" if both are."""
    return "" if given is None and made is None else f"{count(given)}→{count(made)}"


def cost(dollars: float | None) -> str:
    """$12.30, $0.0042, <$0.0001; an en dash if unknown."""
    if dollars is None:
        return "–"
    if 0 < dollars < 0.0001:
        return "<$0.0001"
    return f"${dollars:,.2f}" if dollars >= 0.99995 or dollars == 0 else f"${dollars:.4f}"


def unpriced(calls: int) -> str:
    """What a cost leaves out: `2 calls without a price`; "" if nothing."""
    return f"{counted(calls, 'call')} without a price" if calls else ""


def size(octets: int) -> str:
    """812 B, 4.0 kB, 5.2 MB."""
    if octets < 1000:
        return f"{octets} B"
    return f"{octets / 1000:.1f} kB" if octets < 999_950 else f"{octets / 1_000_000:.1f} MB"


def _utc(ms: int) -> datetime:
    """Unix milliseconds as a time; the latest possible if the number is out of range."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def iso(ms: int) -> str:
    """2026-11-22T13:04:18.219Z, for `<time datetime>`."""
    return _utc(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def when(ms: int) -> str:
    """2026-11-22 13:04:18, in UTC: shown until the browser replaces it with the reader's local time."""
    return _utc(ms).strftime("%Y-%m-%d %H:%M:%S")


def session_path(session_id: str, words: str = "") -> str:
    """The path of a session's page, with a search; ids `.` and `..`, which browsers resolve, go into the query."""
    dots = session_id in (".", "..")
    query = urlencode(({"id": session_id} if dots else {}) | ({"q": words} if words else {}))
    return "/sessions/" + ("" if dots else quote(session_id, safe="")) + (f"?{query}" if query else "")
