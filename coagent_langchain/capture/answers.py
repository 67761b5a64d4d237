"""A person's answers to the questions of a graph: `Command(resume=…)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coagent_langchain.capture.root import Root
from coagent_langchain.capture.run import Run
from coagent_langchain.capture.snapshot import snapshot
from coagent_langchain.outlet import Outlet
from coagent_langchain.prompt import Prompt
from coagent_langchain.wire import EventType


class Answers:
    """Logs answers where they come: as the input of a run, or of one inside of the run that was asked.

    Parameters:
        outlet: takes the entries.
    """

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    def resume(self, root: Root, prompt: Prompt, answer: Any) -> None:
        """Have a root go on in the prompt that was interrupted, with a person's answer; None where none is needed."""
        prompt.logged = True
        root.turn = prompt.turn
        prompt.session.start(timestamp=root.timestamp, meta={"trace": root.trace()}, outlet=self._outlet)
        if not self.log(root, prompt, answer):
            self._emit(root, prompt, None, answer)

    def log(self, run: Run, prompt: Prompt, answer: Any) -> bool:
        """Log the answers to the open questions of a run's thread.

        Parameters:
            answer: the value, for each of them; or a mapping of their ids to values, then others stay open.

        Returns:
            False if nothing was asked.
        """
        root, pending = run.root, prompt.session.pending
        asked = pending.asked_in(root.thread)
        answers = answer if isinstance(answer, Mapping) and answer.keys() & asked.keys() else None
        for interrupt_id in asked:
            if answers is not None and interrupt_id not in answers:
                continue
            if question := pending.questions.pop(interrupt_id, None):
                root.answered = {**root.answered, interrupt_id: question}
            self._emit(run, prompt, interrupt_id, answers[interrupt_id] if answers is not None else answer)
        if asked:
            pending.stopped.pop(root.thread, None)
        return bool(asked)

    def _emit(self, run: Run, prompt: Prompt, interrupt_id: str | None, value: Any) -> None:
        turn = prompt.turn if run is run.root else run.latest_turn()
        entry = prompt.session.entry(EventType.HUMAN_OVERSIGHT, prompt.number, turn, run.timestamp or None)
        entry["input_data"] = {"interrupt_id": interrupt_id, "value": snapshot(value)}
        entry["meta"] = {"trace": run.trace(), "status": "resumed", "interrupt_id": interrupt_id}
        self._outlet.emit(entry)
