"""What a human answers, by `Command(resume=…)` as the input of a root or of a run in it: `human_oversight`, resumed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from coagent_langchain.capture.root import Root
from coagent_langchain.capture.run import Run
from coagent_langchain.outlet import Outlet
from coagent_langchain.sessions.prompt import Prompt
from coagent_langchain.values.snapshot import snapshot
from coagent_langchain.wire import EventType

_INTERRUPT_ID = re.compile("[0-9a-f]{32}")  # LangGraph's hash of the checkpoint namespace (xxh3, 128 bits)


def resume_prompt(outlet: Outlet, root: Root, prompt: Prompt, answer: Any) -> None:
    """Continue the interrupted prompt in a new root, with a human's answer; None answers breakpoints only."""
    prompt.input_logged = True
    root.turn = prompt.turn
    known = log_answers(outlet, root, prompt, answer)
    if _names_questions(answer):
        others = {key: value for key, value in answer.items() if key not in known}
    else:
        others = {} if known or answer is None else {None: answer}
    for interrupt_id, value in others.items():  # asked by another process
        _log_answer(outlet, root, prompt, interrupt_id, value)


def log_answers(outlet: Outlet, run: Run, prompt: Prompt, answer: Any) -> set[str]:
    """Log the answers to open questions: those that the answer names, or else those of the run's thread.

    Returns:
        the ids of the questions that were open in the thread, and of those answered now.
    """
    root, pending = run.root, prompt.session_state.pending
    asked = pending.asked_in(root.thread)
    if answer is None:
        answers = {key: None for key, question in asked.items() if question.is_breakpoint}
    elif _names_questions(answer):
        answers = {key: value for key, value in answer.items() if key in pending.questions}
    else:
        answers = dict.fromkeys([key for key, question in asked.items() if question.is_next] or asked, answer)
    for interrupt_id, value in answers.items():
        if question := pending.questions.pop(interrupt_id, None):
            root.answered = {**root.answered, interrupt_id: question}
        _log_answer(outlet, run, prompt, interrupt_id, value)
    for question in asked.values():
        pending.stopped.pop(question.thread, None)
    return {*asked, *answers}


def _log_answer(outlet: Outlet, run: Run, prompt: Prompt, interrupt_id: str | None, value: Any) -> None:
    timestamp = run.timestamp or None
    entry = prompt.session.entry(EventType.HUMAN_OVERSIGHT, prompt.number, run.latest_turn(), timestamp)
    entry["input_data"] = {"interrupt_id": interrupt_id, "value": snapshot(value)}
    entry["meta"] = {"trace": run.trace(), "status": "resumed", "interrupt_id": interrupt_id}
    outlet.emit(entry)


def _names_questions(answer: Any) -> bool:
    """Whether an answer maps question ids to values; LangGraph recognizes the ids by their form."""
    return isinstance(answer, Mapping) and all(isinstance(key, str) and _INTERRUPT_ID.fullmatch(key) for key in answer)
