"""A session that was read back: its events, totals, a picture for notebooks, a table for pandas."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from coagent_langchain.errors import ConfigurationError
from coagent_langchain.logged import LoggedEvent
from coagent_langchain.unended import standing
from coagent_langchain.wire import JsonObject

if TYPE_CHECKING:
    import pandas

    from coagent_langchain.server.timeline import Timeline


class LoggedSession:
    """One session as the server has it; made by `CoagentClient.session`. Shows itself as a waterfall in a notebook.

    Attributes:
        session_id: the id.
        events: its events in chronological order.
    """

    def __init__(self, session_id: str, events: list[LoggedEvent]) -> None:
        self.session_id = session_id
        self.events = events

    def __iter__(self) -> Iterator[LoggedEvent]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        return f"<LoggedSession {self.session_id}: {self.status}, {len(self)} events>"

    @cached_property
    def timeline(self) -> Timeline:
        """The session as the viewer draws it: calls paired with responses, in a tree by prompt and turn."""
        from coagent_langchain.server.moments import shorten  # pure functions: they need no extra
        from coagent_langchain.server.timeline import build

        return build(shorten(number, event.raw) for number, event in enumerate(self.events))

    @property
    def prompt(self) -> str:
        """What was asked first."""
        return next((e["prompt"] for e in self.events if isinstance(e.get("prompt"), str)), "")

    @property
    def status(self) -> str:
        """`completed`, `failed`, `cancelled` or `idle` as its last `session_end` says.

        Without one `running`, or `no end` when its last event came more than 30 minutes ago.
        """
        if (end := self._last_end()) is not None:
            return str(_at(end, "meta", "status") or "completed")
        return standing("running", max((int(event["timestamp"]) for event in self.events), default=0))

    @property
    def totals(self) -> JsonObject:
        """What it used, counted from its events; tokens and cost (US dollars) only where a response tells them."""
        kinds = [event["event_type"] for event in self.events]
        counts: JsonObject = {
            "elapsed_time_ms": self._elapsed(),
            "prompts": sum(bar.kind == "prompt" for bar in self.timeline.roots),
            "llm_calls": kinds.count("llm_call"),
            "tool_calls": kinds.count("tool_call"),
            "errors": kinds.count("error"),
            "recoveries": kinds.count("recovery"),
        }
        for name in ("input_tokens", "output_tokens", "total_tokens"):
            counts[name] = _sum(self.events, "llm_response", name)
        counts["cost"] = _sum(self.events, "performance_metrics", "cost")
        return {name: value for name, value in counts.items() if value is not None}

    @property
    def facts(self) -> list[str]:
        """Status and totals as short texts, for people."""
        from coagent_langchain.server.formats import cost, count, duration

        totals = self.totals
        facts = [self.status, duration(totals["elapsed_time_ms"])]
        facts += [f"{count(totals[name])} {nouns[totals[name] != 1]}" for name, nouns in _NOUNS.items() if totals[name]]
        if "total_tokens" in totals:
            facts.append(f"{count(totals.get('input_tokens'))}→{count(totals.get('output_tokens'))} tokens")
        return facts + ([cost(totals["cost"])] if "cost" in totals else [])

    def to_pandas(self) -> pandas.DataFrame:
        """One row for each event, in order, with what most analyses look at; needs pandas.

        Columns: `time`, `session_id`, `prompt_number`, `turn_number`, `event_type`, `name` (issuer, tool or error),
        `model`, `input_tokens`, `output_tokens`, `total_tokens`, `execution_time_ms`, `cost`, `success`, `event_id`.

        Raises:
            ConfigurationError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise ConfigurationError("to_pandas needs pandas: pip install pandas") from None

        frame = pandas.DataFrame([_row(event.raw) for event in self.events], columns=list(_COLUMNS))
        return frame.assign(time=pandas.to_datetime(frame["time"], unit="ms", utc=True))

    def _repr_html_(self) -> str:
        from coagent_langchain.waterfall import draw

        return draw(self)

    def _last_end(self) -> JsonObject | None:
        return next((e.raw for e in reversed(self.events) if e["event_type"] == "session_end"), None)

    def _elapsed(self) -> int:
        """Milliseconds from the first to the last event."""
        times = [int(e["timestamp"]) for e in self.events]
        return max(times) - min(times) if times else 0


def _at(entry: JsonObject, *path: str) -> Any:
    """The value at a path of keys, or None."""
    value: Any = entry
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _first(entry: JsonObject, *paths: tuple[str, ...]) -> Any:
    """The first value that is there."""
    return next((value for path in paths if (value := _at(entry, *path)) is not None), None)


def _sum(events: list[LoggedEvent], *path: str) -> Any:
    values = [value for event in events if isinstance(value := _at(event.raw, *path), int | float)]
    return sum(values) if values else None


_NOUNS = {
    "prompts": ("prompt", "prompts"),
    "llm_calls": ("model call", "model calls"),
    "tool_calls": ("tool call", "tool calls"),
    "errors": ("error", "errors"),
    "recoveries": ("recovery", "recoveries"),
}
_COLUMNS: dict[str, tuple[tuple[str, ...], ...]] = {
    "time": (("timestamp",),),
    "session_id": (("session_id",),),
    "prompt_number": (("prompt_number",),),
    "turn_number": (("turn_number",),),
    "event_type": (("event_type",),),
    "name": (("llm_call", "issuer"), ("tool_call", "tool_name"), ("tool_response", "tool_name"),
             ("error_info", "error_type"), ("target_component", "name"), ("meta", "trace", "name")),
    "model": (("meta", "model"),),
    "input_tokens": (("llm_response", "input_tokens"),),
    "output_tokens": (("llm_response", "output_tokens"),),
    "total_tokens": (("llm_response", "total_tokens"),),
    "execution_time_ms": (("llm_response", "execution_time_ms"), ("tool_response", "execution_time_ms"),
                          ("meta", "execution_time_ms"), ("meta", "elapsed_time_ms")),
    "cost": (("performance_metrics", "cost"),),
    "success": (("tool_response", "success"),),
    "event_id": (("event_id",),),
}  # fmt: skip


def _row(entry: JsonObject) -> JsonObject:
    return {name: _first(entry, *paths) for name, paths in _COLUMNS.items()}
