"""What a graph asks a human, by `interrupt(…)` or a breakpoint: `human_oversight` that is interrupted or unanswered."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from coagent_langchain.capture import ambient
from coagent_langchain.capture.recorder import Recorder
from coagent_langchain.capture.root import Root
from coagent_langchain.capture.run import Run
from coagent_langchain.sessions.pending import Question, Stop
from coagent_langchain.sessions.prompt import Prompt
from coagent_langchain.texts import fingerprint
from coagent_langchain.wire import EventType, JsonObject


def note_questions(
    recorder: Recorder,
    run: Run,
    questions: Sequence[tuple[str, Any]],
    *,
    is_breakpoint: bool = False,
    is_next: bool = False,
) -> list[JsonObject]:
    """Note what the graph of `run` asks a human, and make an entry for each question not asked before.

    A question is the id and the plain value of an interrupt. All questions of a node have one id: the next to be
    answered (`is_next`) takes the place of one that the node's code has caught.
    """
    prompt = _note_waiting(recorder, run, [interrupt_id for interrupt_id, _ in questions])
    root, pending = run.root, prompt.session_state.pending
    entries = []
    for interrupt_id, value in questions:
        known, text = pending.questions.get(interrupt_id), fingerprint(repr(value))
        other = is_next and known is not None and not known.is_answered and known.text != text
        if other:
            entries.append(_entry(recorder, run, "unanswered", interrupt_id))
        if known is None or known.is_answered or other:  # asked again: the run with the answer failed
            question = Question(prompt, root.thread, text, is_breakpoint or root.is_task, is_next=is_next)
            pending.ask(interrupt_id, question)
            entries.append(entry := _entry(recorder, run, "interrupted", interrupt_id))
            entry["meta"]["path"] = run.path()
            entry["input_data"]["value"] = value
        elif is_next:
            pending.ask(interrupt_id, known._replace(is_next=True))
        elif not root.is_task:  # a handler that only a part of the graph has was told first; the answer comes here
            pending.ask(interrupt_id, known._replace(thread=root.thread, is_breakpoint=False))
    return entries


def _note_waiting(recorder: Recorder, run: Run, interrupt_ids: list[str]) -> Prompt:
    """Note that the graph of `run` waits for a human; return the prompt that the answers continue."""
    root = run.root
    prompt = root.prompt or recorder.prompt_of(run)
    pending = prompt.session_state.pending
    if root.thread is None:  # a chain around the graph; what is called inside the graph has its thread
        root.thread = ambient.thread_id(ambient.configurable(ambient.config_around()))
    root.asked, root.has_asked = root.asked.union(interrupt_ids), True
    pending.stop(root.thread, Stop(prompt, asking=True))
    if root.tool_calls is not None:
        pending.tool_calls.keep(root.tool_calls)
    return prompt


def log_unanswered(recorder: Recorder, root: Root, kept: Container[str]) -> None:
    """Log the questions that a root's graph no longer asks, all but the `kept` ones, as unanswered."""
    for interrupt_id in recorder.pending_of(root).withdraw(root.thread, kept):
        recorder.emit(_entry(recorder, root, "unanswered", interrupt_id))


def drop_caught_questions(recorder: Recorder, run: Run) -> None:
    """Drop the questions that code in a graph's step has caught like errors: the graph does not wait for them.

    A graph that returns may wait for what its step has asked; one that fails does not.
    """
    root = run.root
    for failure in run.failures or ():
        if failure.asked and (run.failed_ns or not failure.run.is_step) and run.is_in_step:
            root.asked = root.asked.difference(failure.asked)
            if not root.asked:
                recorder.pending_of(run).stopped.pop(root.thread, None)


def _entry(recorder: Recorder, run: Run, status: str, interrupt_id: str) -> JsonObject:
    entry = recorder.entry(run, EventType.HUMAN_OVERSIGHT, {"status": status, "interrupt_id": interrupt_id})
    entry["input_data"] = {"interrupt_id": interrupt_id}
    return entry
