"""What a session used: the figures of `session_end`."""

from __future__ import annotations

from dataclasses import dataclass

from coagent_langchain.forks import fork_safe_lock
from coagent_langchain.wire import JsonObject

_lock = fork_safe_lock()


@dataclass(slots=True)
class Totals:
    """Counts of one session. Tokens and cost (US dollars) stay None until a response reports them.

    Thread-safe; `prompts`, `turns` and `llm_calls` are counted only by the state, under its own lock.

    Attributes:
        unpriced_calls: model calls with tokens but without a price: `cost` does not include them.
    """

    prompts: int = 0
    turns: int = 0
    llm_calls: int = 0
    tool_calls: int = 0
    errors: int = 0
    recoveries: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cost: float | None = None
    unpriced_calls: int = 0

    def add_error(self) -> None:
        """Count an error."""
        with _lock:
            self.errors += 1

    def add_recovery(self) -> None:
        """Count a recovery."""
        with _lock:
            self.recoveries += 1

    def add_tool_call(self) -> None:
        """Count a tool call."""
        with _lock:
            self.tool_calls += 1

    def add_tokens(
        self, input_tokens: int | None, output_tokens: int | None, total_tokens: int | None, cost: float | None
    ) -> None:
        """Add one response's figures; None leaves a figure as it is, but a missing total is the sum of the others."""
        with _lock:
            if input_tokens is not None:
                self.input_tokens = (self.input_tokens or 0) + input_tokens
            if output_tokens is not None:
                self.output_tokens = (self.output_tokens or 0) + output_tokens
            if total_tokens is not None or (total_tokens := (input_tokens or 0) + (output_tokens or 0)):
                self.total_tokens = (self.total_tokens or 0) + total_tokens
            if cost is not None:
                self.cost = (self.cost or 0.0) + cost
            elif total_tokens:
                self.unpriced_calls += 1

    def as_meta(self) -> JsonObject:
        """The known figures by name; `unpriced_calls` only if it is not 0 and other calls have a price."""
        figures = {name: getattr(self, name) for name in self.__slots__}
        if self.cost is None or not self.unpriced_calls:
            del figures["unpriced_calls"]
        return {name: value for name, value in figures.items() if value is not None}
