"""A session read back from a server: its events, totals, a picture for notebooks, a table for pandas."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from coagent_langchain.errors import ConfigurationError
from coagent_langchain.logged import LoggedEvent
from coagent_langchain.server.presentation.event_summary import summarize  # pure functions: they need no extra
from coagent_langchain.server.presentation.formats import cost, count, duration, tokens, unpriced
from coagent_langchain.server.presentation.timeline import Timeline, build
from coagent_langchain.server.store.rollup import NEVER, Rollup, session_counts
from coagent_langchain.texts import counted
from coagent_langchain.unended import current_status, is_working
from coagent_langchain.waterfall import draw
from coagent_langchain.wire import JsonObject, now_ms

if TYPE_CHECKING:
    import pandas


class LoggedSession:
    """One session as the server has it; returned by `CoagentClient.session`. A notebook displays it as a waterfall.

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
        return f"<LoggedSession {self.session_id}: {self.status}, {counted(len(self), 'event')}>"

    @cached_property
    def timeline(self) -> Timeline:
        """The session as the viewer draws it: calls paired with responses, in a tree by prompt and turn."""
        return build(summarize(number, event.raw) for number, event in enumerate(self.events))

    @property
    def prompt(self) -> str:
        """The first prompt."""
        return next((e["prompt"] for e in self.events if isinstance(e.get("prompt"), str)), "")

    @property
    def status(self) -> str:
        """`completed`, `failed`, `cancelled`, `interrupted` or `idle` as its last `session_end` says.

        Without one, or if the session continued after it: `running`; `idle` if no call is open and there has been no
        event for half a minute; `no end` if the last event is more than 30 minutes old.
        """
        return current_status(self._rollup.status, self._rollup.last_ms, self._rollup.counts["open_calls"])

    @property
    def ended(self) -> bool:
        """Whether nothing happened after its last `session_end`, or a human was asked last."""
        return self._rollup.status != "running"

    @property
    def totals(self) -> JsonObject:
        """Totals of its events; tokens and cost (US dollars) are None if no response reports them.

        Responses from LangChain's cache are not counted in tokens and cost.
        """
        rollup = self._rollup
        counts: JsonObject = {
            "elapsed_time_ms": max(rollup.last_ms - rollup.first_ms, 0),
            "prompts": sum(bar.kind == "prompt" for bar in self.timeline.roots),
        }
        used = session_counts(rollup.counts, rollup.cost)
        return counts | {name: used[name] for name in _SUMS} | {"cost": rollup.cost}

    @property
    def facts(self) -> list[str]:
        """Status, totals and tags as short texts for display; while a call is open, elapsed time is that until now."""
        totals, status = self.totals, self.status
        working = is_working(status, self._rollup.counts["open_calls"])
        elapsed = now_ms() - self._rollup.first_ms if working else totals["elapsed_time_ms"]
        facts = [status, duration(elapsed)]
        facts += [counted(totals[name], noun) for name, noun in _NOUNS.items() if totals[name]]
        if totals["total_tokens"] is not None:
            told = tokens(totals["input_tokens"], totals["output_tokens"]) or count(totals["total_tokens"])
            facts.append(f"{told} tokens")
        if totals["cost"] is not None:
            facts += [cost(totals["cost"]), unpriced(totals["unpriced_calls"])]
        return [fact for fact in facts if fact] + sorted(self._rollup.tags)

    def to_pandas(self) -> pandas.DataFrame:
        """One row per event, in order, with the fields that most analyses need; requires pandas.

        Columns: `time`, `session_id`, `prompt_number`, `turn_number`, `event_type`, `name` (issuer, tool or error),
        `model`, `input_tokens`, `output_tokens`, `total_tokens`, `cached`, `execution_time_ms`, `cost`, `success`,
        `outcome`, `event_id`. Tokens, times and cost are floats, NaN where an event has none, so that tables of several
        sessions can be concatenated. `time` is `NaT` if a timestamp is not a number. `cached` is True if the response
        came from LangChain's own cache, so that its tokens were not used and are in no total. `outcome` is set for a
        call that did not end normally or did not run, such as `interrupted`: that is neither a success nor a failure of
        a tool.

        Raises:
            ConfigurationError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise ConfigurationError("to_pandas needs pandas: pip install pandas") from None

        frame = pandas.DataFrame([_row(event.raw) for event in self.events], columns=list(_COLUMNS))
        numbers = {name: pandas.to_numeric(frame[name], errors="coerce").astype(float) for name in _NUMBERS}
        return frame.assign(time=pandas.to_datetime(frame["time"], unit="ms", utc=True, errors="coerce"), **numbers)

    def _repr_html_(self) -> str:
        return draw(self.session_id, self.prompt, self.facts, self.timeline.roots)

    @cached_property
    def _rollup(self) -> Rollup:
        """Its totals and status, by the same rules as in the server's store."""
        rollup = Rollup(self.session_id, NEVER, 0)
        for event in self.events:
            with contextlib.suppress(KeyError, TypeError, AttributeError):  # other servers may accept what ours rejects
                rollup.add(event.raw)
        return rollup


_SUMS = ("llm_calls", "tool_calls", "errors", "recoveries", "input_tokens", "output_tokens", "total_tokens",
         "unpriced_calls")  # fmt: skip
_NOUNS = {
    "prompts": "prompt",
    "llm_calls": "model call",
    "tool_calls": "tool call",
    "errors": "error",
    "recoveries": "recovery",
}
_NUMBERS = ("input_tokens", "output_tokens", "total_tokens", "execution_time_ms", "cost")
# column → the paths at which an entry may have its value: the first one present counts
_COLUMNS = {
    "time": ["timestamp"],
    "session_id": ["session_id"],
    "prompt_number": ["prompt_number"],
    "turn_number": ["turn_number"],
    "event_type": ["event_type"],
    "name": ["llm_call.issuer", "tool_call.tool_name", "tool_response.tool_name", "error_info.error_type",
             "target_component.name", "meta.trace.name"],
    "model": ["meta.model"],
    "input_tokens": ["llm_response.input_tokens"],
    "output_tokens": ["llm_response.output_tokens"],
    "total_tokens": ["llm_response.total_tokens"],
    "cached": ["meta.cached"],
    "execution_time_ms": ["llm_response.execution_time_ms", "tool_response.execution_time_ms",
                          "meta.execution_time_ms", "meta.elapsed_time_ms"],
    "cost": ["performance_metrics.cost"],
    "success": ["tool_response.success"],
    "outcome": ["meta.outcome"],
    "event_id": ["event_id"],
}  # fmt: skip


def _row(entry: JsonObject) -> JsonObject:
    return {
        name: next((value for path in paths if (value := _at(entry, path)) is not None), None)
        for name, paths in _COLUMNS.items()
    }


def _at(entry: JsonObject, path: str) -> Any:
    """The value at a path such as `meta.trace.name`, or None."""
    value: Any = entry
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
