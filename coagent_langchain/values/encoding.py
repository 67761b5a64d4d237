"""JSON text of anything: a whole entry as a line, or one value as a text to read."""

from __future__ import annotations

from typing import Any

import orjson

from coagent_langchain.texts import MAX_FIELD
from coagent_langchain.values.snapshot import MAX_TOTAL, TOTAL_FIELDS, Walk

MAX_LINE = 7_500_000  # bytes of an entry: a server may refuse a larger one, as ours does from 8,000,000
MAX_SHOWN = 2_000  # entries of a value that is shown as text
_MAX_STRING = 10_000  # characters of one string in it

_LINE = orjson.OPT_APPEND_NEWLINE | orjson.OPT_PASSTHROUGH_DATACLASS


def encode(entry: dict[str, Any]) -> bytes:
    """Encode one entry as a line of JSON, whatever is in it, as it is spooled and sent to a server.

    NaN that is not part of a snapshot becomes null. A dataclass becomes a snapshot: its fields may be secrets that its
    `repr` hides.
    """
    try:
        line = orjson.dumps(entry, None, _LINE)
    except TypeError:
        line = _encoded(entry, 10 * MAX_FIELD)
    if len(line) > MAX_LINE:  # a million characters at most, which take up to six bytes each
        line = _encoded(entry, MAX_FIELD // TOTAL_FIELDS)
    return line


def _encoded(entry: dict[str, Any], limit: int) -> bytes:
    return orjson.dumps(Walk(limit, 10 * MAX_TOTAL, encodable=True).value(entry, 0), None, _LINE)


def as_json(value: Any) -> str:
    """Any object as JSON text; only the beginning of a large one, because the application waits.

    A value that JSON has as a string (a date, a path, the type name of a table) is that text, without quotes.
    """
    plain = Walk(_MAX_STRING, MAX_SHOWN, encodable=True).value(value, 0)
    return (plain if type(plain) is str else orjson.dumps(plain).decode())[:MAX_FIELD]
