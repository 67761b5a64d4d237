"""LangChain's hooks that neither start nor end a run: agent decisions, text, retries, custom events, interrupts."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from coagent_langchain.capture.handler_parts import HandlerParts
from coagent_langchain.capture.human_questions import note_questions
from coagent_langchain.capture.log_events import event_type_of
from coagent_langchain.capture.run import Run
from coagent_langchain.errors import guard
from coagent_langchain.exceptions import error_message
from coagent_langchain.values.snapshot import snapshot
from coagent_langchain.wire import EventType, JsonObject

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # ECMA-48's SGR; `langchain_classic` colours the prompts of its chains


class OtherHooks(HandlerParts):
    """The hooks that neither start nor end a run; what they report becomes an event of the run they were called in."""

    @guard
    def on_agent_action(self, action: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """`debug`: an agent's decision. The tool that it chose has its own run and events."""
        meta = {"name": "agent_action", "log": snapshot(getattr(action, "log", None))}
        self._say(EventType.DEBUG, f"agent action: {getattr(action, 'tool', action)}", run_id, meta)

    @guard
    def on_agent_finish(self, finish: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """`debug`: an agent has finished. The run continues until its own end."""
        meta = {"name": "agent_finish", "log": snapshot(getattr(finish, "log", None))}
        self._say(EventType.DEBUG, "agent finish", run_id, meta)

    @guard
    def on_text(self, text: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """`debug`: text that a chain reports about its work, without terminal colours."""
        said = _COLOURS.sub("", text) if isinstance(text, str) else text
        self._say(EventType.DEBUG, said, run_id, {"name": "text"})

    @guard
    def on_retry(self, retry_state: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """`warning`: a text model's own retry."""
        number = getattr(retry_state, "attempt_number", None)
        outcome = getattr(retry_state, "outcome", None)
        error = outcome.exception() if outcome is not None and getattr(outcome, "failed", False) else None
        said = "" if error is None else f": {type(error).__name__}: {error_message(error)}"
        meta = {"name": "retry", "attempt": number}
        self._say(EventType.WARNING, f"retry after attempt {number}{said}", run_id, meta)

    @guard
    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, tags: Any = None, metadata: Any = None,
                        **kwargs: Any) -> None:  # fmt: skip
        """`info`, or the level that the event's data names (`level`: debug, info, warning)."""
        level = dict.get(data, "level") if issubclass(type(data), dict) else None
        self._say(event_type_of(level), name, run_id, {"name": name, "value": snapshot(data)})

    @guard
    def on_interrupt(self, event: Any) -> None:
        """`human_oversight`, unless the exception has already reported the same question."""
        run = self._tree.find(getattr(event, "run_id", None))
        if not isinstance(run, Run):
            return
        questions = [(str(each.id), snapshot(each.value)) for each in getattr(event, "interrupts", ())]
        is_breakpoint = not questions
        if is_breakpoint:
            questions = [(str(event.checkpoint_id), str(event.status))]
        self._recorder.emit_together(note_questions(self._recorder, run, questions, is_breakpoint=is_breakpoint))

    @guard
    def on_resume(self, event: Any) -> None:
        """No event: the human's answer is in the resumed run's input, which has its own."""

    def _say(self, event_type: EventType, message: Any, run_id: UUID, meta: JsonObject) -> None:
        run = self._tree.find(run_id)
        if isinstance(run, Run):
            self._log_events.of_run(run, event_type, message, meta)
