"""A run without a parent: what is known of its whole tree."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from coagent_langchain.capture.run import NOTHING, Key, Run
from coagent_langchain.pending import Question, ToolCalls
from coagent_langchain.prompt import Prompt


class Root(Run):
    """A run without a parent.

    Attributes:
        open: the runs of its tree that wait for their end.
        ended: when it ended itself, by the monotonic clock; 0 while it is open.
        thread: LangGraph's `thread_id`.
        prompt_number: the number that its metadata names for its prompt.
        binding: held while it is given its session.
        pending_input: what it was called with, until that is logged.
        tool_calls: what its models asked for; None before the first call for a tool.
        said: what its models and nodes have said, as fingerprints.
        unasked_tools: the names of tools that have run without saying for which call.
        becoming: the prompt that it is about to be given; what a `redact` runs meanwhile belongs to it.
        asked: the ids of the questions that its graph stopped with.
        answered: the questions that it brought answers to: where it fails, it may have to bring them again.
        request: its kind, name and the fingerprint of the user's text, in a prompt's block: a later run with the same
            one there repeats it.
        stopped: `cancelled` or `abandoned`, if somebody stopped it.
        unresolved: the ids of the errors that it failed with, or that had ended its graph or the run that it repeats.
    """

    pending_input: Any = None
    thread: Any = None
    prompt_number: int | None = None
    tool_calls: ToolCalls | None = None
    unasked_tools: frozenset[str] = frozenset()
    becoming: Prompt | None = None
    asked: frozenset[str] = frozenset()
    answered: Mapping[str, Question] = NOTHING
    request: tuple[str, str, int] | None = None
    stopped: str | None = None
    unresolved: tuple[str, ...] = ()

    def __init__(self, run_id: UUID, kind: str, name: str, started_ns: int, timestamp: int) -> None:
        self.run_id = run_id
        self.kind = kind
        self.name = name
        self.parent = None
        self.started_ns = started_ns
        self.timestamp = timestamp
        self.prompt = None
        self.component = False
        self.failures = None
        self.context = None
        self._trace = None
        self.ended = 0
        self.open: dict[Key, Run] = {}
        self.said: set[int] = set()
        self.binding = threading.RLock()  # re-entrant: a `redact` of the application's may run chains of its own

    @property
    def root(self) -> Root:  # type: ignore[override]
        """Itself; not kept, for a run that refers to itself would wait for the garbage collector."""
        return self

    def calls_with(self, tool_call_id: str) -> ToolCalls:
        """Where a call is known: in this run, else in its session, for one that was asked for before an interrupt."""
        if self.tool_calls is not None and self.tool_calls.asked_by(tool_call_id) is not None:
            return self.tool_calls
        return self.prompt.course.pending.tool_calls if self.prompt is not None else ToolCalls()

    def asked_for_tool(self, tool_call_id: str, call: dict[str, Any], prompt: Prompt, turn: int) -> None:
        """Note which turn asked for a tool, for this run and for those that go on after an interrupt."""
        if self.tool_calls is None:
            self.tool_calls = ToolCalls()
        self.tool_calls.ask(tool_call_id, prompt, turn, call)
        prompt.course.pending.tool_calls.ask(tool_call_id, prompt, turn)
