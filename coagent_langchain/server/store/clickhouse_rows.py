"""Conversion between entries and rows of the published ClickHouse table, avoiding the pitfalls of its JSON type."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any

import orjson

from coagent_langchain.server.store.records import Entry, NewEntry
from coagent_langchain.server.store.search import searched
from coagent_langchain.wire import ENVELOPE

LAST_MS = 9_999_999_999_999  # in the year 2286: the latest that ClickHouse reads as decimal seconds
_COPIED = tuple(name for name in ENVELOPE if name != "timestamp")  # columns that take the value unchanged
_WITH_COLUMN = frozenset((*ENVELOPE, "agent_stack", "prompt", "conversation_context", "meta", "custom_metadata"))
_EVENT = frozenset(("input_data", "output_data", "graph_context", "consensus_info", "routing_type", "llm_call",
                    "llm_response", "tool_call", "tool_response", "error_info", "performance_metrics", "test_result",
                    "target_component"))  # fmt: skip
_JSON = ("conversation_context", "meta", "custom_metadata")
# paths in the JSON columns that the roll-up of `clickhouse_schema` reads
_COUNTED = ("llm_response.input_tokens", "llm_response.output_tokens", "llm_response.total_tokens",
            "performance_metrics.cost", "error_info.error_type", "error_info.error_message",
            "error_info.recovery_successful", "input_data.prompt")  # fmt: skip
_COUNTED_META = ("model", "status", "cached", "execution_time_ms", "tags", "context.tags",
                 "usage.input_token_details.cache_read")  # fmt: skip


def line(entry: NewEntry, number: int, own: bool) -> bytes:
    """An entry with its arrival number as a line for `FORMAT JSONEachRow`; `own`: see `clickhouse_table.Table`."""
    fields = entry.fields
    row = _base(entry, number, own)
    row["event_data"] = {name: _safe(fields[name]) for name in _EVENT if fields.get(name) is not None}
    row |= {name: _safe(fields[name]) for name in _JSON if fields.get(name) is not None}
    rest = {name: _safe(value) for name, value in fields.items() if name not in _WITH_COLUMN and name not in _EVENT}
    nested = rest.pop("additional_properties", None)
    # last: the text in `raw`, whatever the entry calls so
    row["additional_properties"] = rest | (nested if isinstance(nested, dict) else {}) | row["additional_properties"]
    return orjson.dumps(row)


def plain(written: bytes, entry: NewEntry, own: bool) -> bytes:
    """The same entry with only its text and what the roll-up counts, for values that ClickHouse's JSON cannot hold."""
    row = _base(entry, int(orjson.loads(written)["log_id"]), own)
    row["event_data"] = _at_paths(_COUNTED, entry.fields)
    row["meta"] = _at_paths(_COUNTED_META, entry.fields.get("meta"))
    return orjson.dumps(row)


def _at_paths(paths: Sequence[str], value: Any) -> dict[str, Any]:
    """The strings, numbers and lists of strings at these paths, by path: the JSON type takes a dotted key as a path."""
    found: dict[str, Any] = {}
    for path in paths:
        inner = value
        for name in path.split("."):
            inner = inner.get(name) if isinstance(inner, dict) else None
        if isinstance(inner, list):
            found[path] = [item for item in inner if isinstance(item, str)]
        elif inner is not None and not isinstance(inner, dict):
            found[path] = _safe(inner)
    return found


def _base(entry: NewEntry, number: int, own: bool) -> dict[str, Any]:
    fields, text = entry.fields, entry.body.decode()
    timestamp = min(fields["timestamp"], LAST_MS)
    row: dict[str, Any] = {
        "log_id": f"{number:019d}",
        # not a number: ClickHouse 26.8 and later would read milliseconds as seconds. Fewer digits are read as a date
        "timestamp": f"{timestamp // 1000:010d}.{timestamp % 1000:03d}",
        "agent_stack": fields.get("agent_stack") or [],
        "prompt": fields.get("prompt"),
    }
    row |= {name: fields[name] for name in _COPIED}
    row["additional_properties"] = {} if own else {"raw": text}
    return row | ({"raw": text, "seq": number, "words": searched(fields)} if own else {})


def _safe(value: Any) -> Any:
    """A value that the JSON type accepts: integers beyond signed 64 bits become strings."""
    if type(value) is int:
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, dict):
        return {name: _safe(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_safe(item) for item in value]
    return value


def entry(number: int, ms: int, text: str, row: str) -> Entry:
    """A stored entry: its text, or, for a row of another server, what can be reconstructed from it."""
    return Entry(number, ms, text.encode() if text else _rebuilt(orjson.loads(row), ms))


def _rebuilt(row: dict[str, Any], ms: int) -> bytes:
    fields = {name: row.pop(name) for name in _COPIED}
    parts = [row.pop("event_data") or {}, row.pop("additional_properties") or {}]
    fields["timestamp"] = ms
    fields |= {name: value for name, value in row.items() if value not in (None, [])}
    for part in parts:
        fields |= {name: value for name, value in part.items() if name not in fields}
    return orjson.dumps(fields)


class Numbers:
    """Arrival numbers of 19 digits that grow with time and differ between servers: microseconds, then server number."""

    def __init__(self) -> None:
        self._server = secrets.randbelow(1000)
        self._last = 0

    def take(self, count: int) -> range:
        """The next `count` numbers."""
        first = max(time.time_ns() // 1000, self._last + 1)
        self._last = first + count - 1
        return range(first * 1000 + self._server, (first + count) * 1000 + self._server, 1000)
