"""Events kept in memory, for tests that look at what was logged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import orjson

from coagent_langchain.delivery import Stats
from coagent_langchain.events import LogEntry


class MemoryDelivery:
    """A `Delivery` that keeps every entry instead of sending it: `CoagentCallbackHandler(delivery=MemoryDelivery())`.

    Attributes:
        entries: what was logged, in order, as it would be sent to a server.
    """

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    @property
    def events(self) -> list[LogEntry]:
        """The entries as typed events."""
        return [LogEntry.model_validate(entry) for entry in self.entries]

    @property
    def sequence(self) -> list[tuple[str, int, int]]:
        """`(event_type, prompt_number, turn_number)` of every entry: what most tests compare."""
        return [(e["event_type"], e["prompt_number"], e["turn_number"]) for e in self.entries]

    def append(self, lines: bytes, count: int = 1) -> None:
        """Keep `count` entries, each a line of JSON."""
        self.entries.extend([orjson.loads(line) for line in lines.splitlines()])  # one step: threads may append

    def flush(self, timeout: float) -> bool:
        """Nothing is ever waiting: True."""
        return True

    def close(self) -> None:
        """Keep the entries readable; there is nothing to close."""

    def stats(self) -> Stats:
        """Every entry counts as written and acknowledged."""
        return Stats(written=len(self.entries), acknowledged=len(self.entries))


@contextmanager
def capture_events() -> Iterator[MemoryDelivery]:
    """Log every run inside the block, in all threads, to memory, without changing the code under test.

    Their sessions end with the block. A run that has its own `CoagentCallbackHandler` keeps it: give that handler
    `delivery=MemoryDelivery()`.
    """
    from coagent_langchain.capture.handler import CoagentCallbackHandler
    from coagent_langchain.capture.tracing import tracing

    delivery = MemoryDelivery()
    handler = CoagentCallbackHandler(delivery=delivery)
    with closing(handler), tracing(handler):
        yield delivery
