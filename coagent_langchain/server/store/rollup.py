"""The roll-up of a session: only sums, extremes and sets, so that the order of arrival does not matter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

TITLE = 200  # characters of a title or a failure
NEVER = 2**62  # later than every timestamp: the time of a missing title
COUNTERS = ("entries", "llm_calls", "tool_calls", "errors", "recoveries", "input_tokens", "output_tokens",
            "total_tokens", "cached_tokens", "open_calls", "input_reports", "output_reports",
            "cached_reports", "unpriced_calls")  # fmt: skip
COUNTS = (*COUNTERS, "prompts", "turns")  # numbers of a session that the databases return
LARGEST = 2**40  # a larger token count is a mistake, and would overflow the sum
ACTIVE = frozenset(("session_start", "user_input", "llm_call", "tool_call"))
OPENING = ("llm_call", "tool_call", "component_enter")
CLOSING = ("llm_response", "tool_response", "component_exit")
ENDINGS = ("completed", "failed", "cancelled", "interrupted", "idle")
ASKED, ANSWERED = "interrupted", "resumed"  # the `meta.status` of a `human_oversight`


@dataclass(slots=True)
class Rollup:
    """What some entries add to the roll-up of their session."""

    session_id: str
    first_ms: int
    last_ms: int
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    cost: float | None = None
    title_ms: int = NEVER
    title: str = ""
    ended_ms: int = -1
    ended: str = ""
    active_ms: int = -1
    failure_ms: int = -1
    failure: str = ""
    turns: dict[int, int] = field(default_factory=dict)
    types: dict[str, int] = field(default_factory=dict)
    models: set[str] = field(default_factory=set)
    tags: set[str] = field(default_factory=set)

    @property
    def status(self) -> str:
        """The status of the last `session_end`, `interrupted` after a question to a human, else or later `running`."""
        return self.ended if self.ended_ms >= max(self.active_ms, 0) else "running"

    def add(self, entry: dict[str, Any]) -> None:
        """Add one validated entry."""
        kind, timestamp = entry["event_type"], entry["timestamp"]
        counts = self.counts
        counts["entries"] += 1
        counts["llm_calls"] += kind == "llm_call"
        counts["tool_calls"] += kind == "tool_call"
        counts["open_calls"] += (kind in OPENING) - (kind in CLOSING)
        self.types[kind] = self.types.get(kind, 0) + 1
        if timestamp < self.first_ms:
            self.first_ms = timestamp
        if timestamp > self.last_ms:
            self.last_ms = timestamp
        prompt_number, turn = entry["prompt_number"], entry["turn_number"]
        if turn >= self.turns.get(prompt_number, 0):
            self.turns[prompt_number] = turn
        if kind in ACTIVE:
            self._add_activity(entry, timestamp)
        if (add := _ADD.get(kind)) is not None:
            add(self, entry)
        if meta := entry.get("meta"):
            self._add_meta(meta)
        if (metrics := entry.get("performance_metrics")) and (cost := metrics.get("cost")) is not None:
            self.cost = (self.cost or 0.0) + cost

    def _add_activity(self, entry: dict[str, Any], timestamp: int) -> None:
        if timestamp > self.active_ms:
            self.active_ms = timestamp
        if timestamp < self.title_ms and (title := _on_one_line(_prompt(entry))):
            self.title_ms, self.title = timestamp, title

    def _add_meta(self, meta: dict[str, Any]) -> None:
        if isinstance(model := meta.get("model"), str) and model:
            self.models.add(model[:TITLE])
        if "tags" in meta:
            self._add_tags(meta["tags"])
        if isinstance(context := meta.get("context"), dict):
            self._add_tags(context.get("tags"))

    def _add_tags(self, tags: Any) -> None:
        if isinstance(tags, list):
            self.tags.update(tag[:TITLE] for tag in tags if isinstance(tag, str) and tag)

    def _add_tokens(self, entry: dict[str, Any]) -> None:
        meta = entry.get("meta") or {}
        response = entry.get("llm_response") or {}
        usage = meta.get("usage")
        details = usage.get("input_token_details") if isinstance(usage, dict) else None
        read = details.get("cache_read") if isinstance(details, dict) else None
        given, made = response.get("input_tokens"), response.get("output_tokens")
        counts = self.counts
        counts["input_reports"] += _is_count(given)
        counts["output_reports"] += _is_count(made)
        counts["cached_reports"] += _is_count(read)
        if meta.get("cached") is True:
            return  # a response from a cache used no tokens
        counts["input_tokens"] += _count(given)
        counts["output_tokens"] += _count(made)
        total = _count(response.get("total_tokens")) or _count(given) + _count(made)
        counts["total_tokens"] += total
        counts["cached_tokens"] += _count(read)
        counts["unpriced_calls"] += bool(total) and (entry.get("performance_metrics") or {}).get("cost") is None

    def _add_error(self, entry: dict[str, Any]) -> None:
        self.counts["errors"] += 1
        # the greater text wins a tie, so that the order of arrival does not matter
        self.failure_ms, self.failure = max((self.failure_ms, self.failure), (entry["timestamp"], _told(entry)))
        self._add_tokens(entry)  # those of a stream that broke off
        if (entry.get("meta") or {}).get("execution_time_ms") is not None:
            self.counts["open_calls"] -= 1  # a model's error, which ends its call: only these have a duration

    def _add_recovery(self, entry: dict[str, Any]) -> None:
        self.counts["recoveries"] += (entry.get("error_info") or {}).get("recovery_successful") is not False

    def _add_end(self, entry: dict[str, Any]) -> None:
        status = (entry.get("meta") or {}).get("status")
        self._stands(entry, status if status in ENDINGS else "completed")

    def _add_oversight(self, entry: dict[str, Any]) -> None:
        status = (entry.get("meta") or {}).get("status")
        if status == ASKED:
            self._stands(entry, ASKED)
        elif status == ANSWERED:
            self.active_ms = max(self.active_ms, entry["timestamp"])

    def _stands(self, entry: dict[str, Any], status: str) -> None:
        # the greater status wins a tie, so that the order of arrival does not matter
        self.ended_ms, self.ended = max((self.ended_ms, self.ended), (entry["timestamp"], status))


_ADD = {
    "llm_response": Rollup._add_tokens,
    "error": Rollup._add_error,
    "recovery": Rollup._add_recovery,
    "session_end": Rollup._add_end,
    "human_oversight": Rollup._add_oversight,
}


def _prompt(entry: dict[str, Any]) -> str:
    """The prompt of an entry, from either field that may hold it."""
    return _text(entry, "prompt") or _text(entry.get("input_data"), "prompt")


def _told(entry: dict[str, Any]) -> str:
    """An error as `Type: message`, or whichever of the two it has; an exception without text has its type twice."""
    told = [_text(entry.get("error_info"), name) for name in ("error_type", "error_message")]
    return _on_one_line(": ".join(dict.fromkeys(filter(None, told))))


def _text(fields: Any, name: str) -> str:
    found = fields.get(name) if isinstance(fields, dict) else None
    return found if isinstance(found, str) else ""


def _on_one_line(text: str) -> str:
    """The beginning of a text, with whitespace collapsed."""
    return " ".join(text[: 2 * TITLE].split())[:TITLE]


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def _count(value: Any) -> int:
    return value if _is_count(value) else 0


def session_counts(counted: dict[str, int], cost: float | None) -> dict[str, Any]:
    """The counters of a `Session`, with None for tokens that no entry reports.

    A database older than the report counters may have tokens without reports. If nothing has a price, no call counts
    as unpriced.
    """
    made: dict[str, Any] = {name: number for name, number in counted.items() if not name.endswith("_reports")}
    for kind in ("input", "output", "cached"):
        if not counted[f"{kind}_tokens"] and not counted[f"{kind}_reports"]:
            made[f"{kind}_tokens"] = None
    if not made["total_tokens"] and made["input_tokens"] is None and made["output_tokens"] is None:
        made["total_tokens"] = None
    if cost is None:
        made["unpriced_calls"] = 0
    return made


def roll_up(entries: Iterable[dict[str, Any]]) -> list[Rollup]:
    """Make one roll-up for each session of the entries."""
    rollups: dict[str, Rollup] = {}
    for entry in entries:
        session_id = entry["session_id"]
        rollup = rollups.get(session_id)
        if rollup is None:
            rollups[session_id] = rollup = Rollup(session_id, entry["timestamp"], entry["timestamp"])
        rollup.add(entry)
    return list(rollups.values())
