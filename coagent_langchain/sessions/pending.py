"""What outlasts a run of a session: tool calls, questions to a human, graphs that stopped before their end."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, NamedTuple

from coagent_langchain.forks import fork_safe_lock
from coagent_langchain.latest import keep_latest
from coagent_langchain.sessions.open_failures import Attempts, OpenFailures
from coagent_langchain.sessions.tool_calls import ToolCalls

if TYPE_CHECKING:
    from coagent_langchain.sessions.prompt import Prompt

MAX_LOGGED = 1_000  # messages of graph nodes that are recognized when a later run returns them again
MAX_STOPPED = 1_000  # graphs of one session that may still continue in their prompt
MAX_QUESTIONS = 1_000  # open questions of one session; the answer to an older one refers to none

_lock = fork_safe_lock()


class Stop(NamedTuple):
    """Where a graph stopped before its end.

    Attributes:
        prompt: the one in which it is to continue.
        asking: whether it waits for a human; else it failed, or was left or cancelled.
        attempts: if it failed, the attempts so far to run it from there on.
    """

    prompt: Prompt
    asking: bool
    attempts: Attempts = ()


class Question(NamedTuple):
    """What a graph waits for.

    Attributes:
        prompt: the one in which a human was asked.
        thread: LangGraph's `thread_id`, or what identifies the task of a graph without the handler.
        text: the fingerprint of what the human was asked.
        is_breakpoint: whether there is nothing to answer: the graph continues when it is resumed, or the task is run.
        is_answered: whether a human has answered, but the run with the answer failed, so that it may come again.
        is_next: whether the next answer is for it: of several that one node asks, LangGraph asks one after the other.
    """

    prompt: Prompt
    thread: Any
    text: int
    is_breakpoint: bool = False
    is_answered: bool = False
    is_next: bool = False


class Pending:
    """What a session has begun and a later run may end.

    Attributes:
        failures: what failed, and what an application may repeat: a root run of a prompt, or a tool call.
        tool_calls: the latest tool calls.
        questions: what a human was asked, by interrupt id.
        stopped: where graphs stopped, by thread.
    """

    def __init__(self) -> None:
        self.failures = OpenFailures()
        self.tool_calls = ToolCalls(self.failures)
        self.questions: dict[str, Question] = {}
        self.stopped: dict[Any, Stop] = {}
        self._logged: dict[str, None] = {}

    @property
    def awaited(self) -> bool:
        """Whether a human or a graph may come back to it, so that it must be kept when the session ends."""
        return bool(self.questions or self.stopped)

    def note_message(self, message_id: str) -> bool:
        """Record by its id that a message of a graph node is logged; False if it already was."""
        with _lock:
            if message_id in self._logged:
                return False
            keep_latest(self._logged, message_id, None, MAX_LOGGED)
            return True

    def ask(self, interrupt_id: str, question: Question) -> None:
        """Record what a human is asked."""
        with _lock:
            keep_latest(self.questions, interrupt_id, question, MAX_QUESTIONS)

    def asked_in(self, thread: Any) -> dict[str, Question]:
        """The questions still open in a thread, by interrupt id.

        A chain around a graph may not know its thread (None). If none is known to be open in the thread, those that
        may be are returned, provided that one prompt asked them all.
        """
        found = self._open_in(thread)
        if found:
            return found
        questions = self.questions.copy() if thread is None else self._open_in(None)
        return questions if len({question.prompt for question in questions.values()}) == 1 else {}

    def _open_in(self, thread: Any) -> dict[str, Question]:
        return {key: question for key, question in self.questions.copy().items() if question.thread == thread}

    def withdraw(self, thread: Any, kept: Container[str]) -> list[str]:
        """Drop the questions that a thread's graph no longer asks; return the ids of those that were not answered."""
        if thread is None:
            return []
        gone = [key for key in self._open_in(thread) if key not in kept]
        questions = [(key, self.questions.pop(key, None)) for key in gone]
        return [key for key, question in questions if question is not None and not question.is_answered]

    def stop(self, thread: Any, stop: Stop) -> None:
        """Record that a thread's graph has stopped before its end."""
        with _lock:
            keep_latest(self.stopped, thread, stop, MAX_STOPPED)

    def waits(self, thread: Any, prompt: Prompt) -> bool:
        """Whether a thread's graph has stopped in this prompt to ask a human."""
        stop = self.stopped.get(thread)
        return stop is not None and stop.asking and stop.prompt is prompt

    def take_over(self, earlier: Pending, continued: Callable[[Prompt], Prompt]) -> None:
        """Take over what an earlier session had pending; `continued` gives the prompt that continues one of its."""
        questions, stopped = earlier.questions.copy(), earlier.stopped.copy()  # its runs may be ending in other threads
        prompts = {question.prompt for question in questions.values()} | {stop.prompt for stop in stopped.values()}
        again = {prompt: continued(prompt) for prompt in prompts}
        for key, question in questions.items():
            self.questions[key] = question._replace(prompt=again[question.prompt])
        self.tool_calls.take_over(earlier.tool_calls, again)
        for thread, stop in stopped.items():
            self.stopped.setdefault(thread, stop._replace(prompt=again[stop.prompt]))
