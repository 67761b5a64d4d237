"""Everything that is logged as `human_oversight`: a graph's questions to a human, and the answers."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from coagent_langchain.capture import ambient
from coagent_langchain.capture.root import Root
from coagent_langchain.capture.run import Run
from coagent_langchain.outlet import Outlet
from coagent_langchain.sessions.pending import Question, Stop
from coagent_langchain.sessions.prompt import Prompt
from coagent_langchain.values.snapshot import snapshot
from coagent_langchain.wire import EventType, JsonObject

if TYPE_CHECKING:
    from coagent_langchain.capture.recorder import Recorder

_INTERRUPT_ID = re.compile("[0-9a-f]{32}")  # LangGraph's hash of the checkpoint namespace (xxh3, 128 bits)

# -- questions: `interrupt(…)` and breakpoints


def question_entries(
    recorder: Recorder, run: Run, questions: Sequence[tuple[str, Any]], *, is_breakpoint: bool = False
) -> list[JsonObject]:
    """Note that the graph of `run` waits for a human, and make an entry for each question not asked before.

    A question is the id and the plain value of an interrupt.
    """
    root = run.root
    prompt = root.prompt or recorder.prompt_of(run)
    pending = prompt.session_state.pending
    if root.thread is None:  # a chain around the graph; what is called inside the graph has its thread
        root.thread = ambient.thread_id(ambient.configurable(ambient.config_around()))
    root.asked = root.asked.union(interrupt_id for interrupt_id, _ in questions)
    pending.stop(root.thread, Stop(prompt, asking=True))
    if root.tool_calls is not None:
        pending.tool_calls.keep(root.tool_calls)
    entries = []
    for interrupt_id, value in questions:
        known = pending.questions.get(interrupt_id)
        if known is None or known.is_answered:  # asked again: the run with the answer failed
            pending.ask(interrupt_id, Question(prompt, root.thread, is_breakpoint or root.is_task))
            meta = {"status": "interrupted", "interrupt_id": interrupt_id, "path": run.path()}
            entry = recorder.entry(run, EventType.HUMAN_OVERSIGHT, meta)
            entry["input_data"] = {"interrupt_id": interrupt_id, "value": value}
            entries.append(entry)
        elif not root.is_task:  # a handler that only a part of the graph has was told first; the answer comes here
            pending.ask(interrupt_id, known._replace(thread=root.thread, is_breakpoint=False))
    return entries


def log_unanswered(recorder: Recorder, root: Root, kept: Container[str]) -> None:
    """Log the questions that a root's graph no longer asks, all but the `kept` ones, as unanswered."""
    for interrupt_id in recorder.prompt_of(root).session_state.pending.withdraw(root.thread, kept):
        meta = {"status": "unanswered", "interrupt_id": interrupt_id}
        entry = recorder.entry(root, EventType.HUMAN_OVERSIGHT, meta)
        entry["input_data"] = {"interrupt_id": interrupt_id}
        recorder.emit(entry)


# -- answers: `Command(resume=…)`, as the input of a root, or of a run inside the one that asked


def resume_prompt(outlet: Outlet, root: Root, prompt: Prompt, answer: Any) -> None:
    """Continue the interrupted prompt in a new root, with a human's answer; None answers breakpoints only."""
    prompt.logged = True
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
