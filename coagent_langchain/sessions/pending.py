"""What outlasts a run of a session: tool calls, questions to a human, graphs that stopped before their end."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from coagent_langchain.latest import keep_latest
from coagent_langchain.locks import fork_safe_lock

if TYPE_CHECKING:
    from coagent_langchain.sessions.prompt import Prompt

MAX_TOOL_CALLS = 1_000  # tool calls that may still get a response; that of an older one is logged in the latest turn
MAX_ATTEMPTS = 50  # attempts at one tool call of which it is known that they failed
MAX_LOGGED = 1_000  # messages of graph nodes that are recognized when a later run returns them again
MAX_STOPPED = 1_000  # graphs of one session that may still continue in their prompt
MAX_QUESTIONS = 1_000  # open questions of one session; the answer to an older one refers to none

_lock = fork_safe_lock()


class FailedTool(NamedTuple):
    """A tool that the application runs itself, and of which each attempt so far failed or was cancelled.

    Attributes:
        name: its name.
        attempts: the ids of the errors of each attempt that failed.
    """

    name: str
    attempts: tuple[tuple[str, ...], ...]


class ToolCalls:
    """Which turn requested each tool call, and which calls have not run yet; only the latest calls are kept.

    Attributes:
        failed: the tools that failed, by tool call: the application may try again, or tell the model of them.
    """

    def __init__(self) -> None:
        self.failed: dict[str, FailedTool] = {}
        self._requested: dict[str, tuple[Prompt, int]] = {}
        self._waiting: dict[str, dict[str, Any]] = {}  # calls that have not run
        self._shared: set[str] = set()

    def __len__(self) -> int:
        return len(self._requested)

    def request(self, call_id: str, prompt: Prompt, turn: int, call: dict[str, Any]) -> None:
        """Record which turn requested a tool call and, until it has run, the call: its name and whatever is needed."""
        with _lock:
            if call_id in self._waiting and self._requested[call_id] != (prompt, turn):
                self._shared.add(call_id)
            self._requested[call_id] = (prompt, turn)
            self._waiting[call_id] = call  # even if one has run: ids may repeat
            self.failed.pop(call_id, None)  # it was another call
            if len(self._requested) > MAX_TOOL_CALLS:
                oldest = next(iter(self._requested))
                del self._requested[oldest]
                self._waiting.pop(oldest, None)
                self._shared.discard(oldest)

    def requested_in(self, call_id: str) -> tuple[Prompt, int] | None:
        """The prompt and turn that requested the call, if known."""
        return self._requested.get(call_id)

    def is_shared(self, call_id: str) -> bool:
        """Whether several turns requested calls with that id at once, so that it does not identify the turn."""
        return call_id in self._shared

    def waits(self, call_id: str) -> bool:
        """Whether a call with that id has not run yet."""
        return call_id in self._waiting

    def ran(self, call_id: str) -> dict[str, Any] | None:
        """Record that a tool has run, and return its call; None if that was known, or the call is not."""
        return self._waiting.pop(call_id, None)

    def failed_at(self, call_id: str, name: str, error_ids: tuple[str, ...]) -> None:
        """Record the errors, none if it was cancelled, of an attempt at a tool that the application runs itself."""
        with _lock:
            attempts = self.failed.get(call_id, FailedTool(name, ())).attempts
            if own := tuple(each for each in error_ids if not any(each in attempt for attempt in attempts)):
                attempts = (*attempts, own)[-MAX_ATTEMPTS:]
            keep_latest(self.failed, call_id, FailedTool(name, attempts), MAX_TOOL_CALLS)

    def ran_by_name(self, name: str, prompt_number: int) -> str | None:
        """Record that a tool has run without a call's id: the first call of that name that may run counts as run.

        Returns:
            its id, if that prompt requested it.
        """
        with _lock:  # else several that run at once would all count as the first call
            call_id = self.may_run(name, prompt_number)
            if call_id is None:
                return None
            self.ran(call_id)
            return call_id if self._requested[call_id][0].number == prompt_number else None

    def may_run(self, name: str, prompt_number: int) -> str | None:
        """The id of the first call for this tool that has not run, or else has failed; if possible, in that prompt."""
        with _lock:
            found = [call_id for call_id, call in list(self._waiting.items()) if call.get("name") == name]
            found += [call_id for call_id, tool in list(self.failed.items())
                      if tool.name == name and call_id in self._requested]  # fmt: skip
            return max(found, key=lambda call_id: self._requested[call_id][0].number == prompt_number, default=None)

    def ran_with(self, name: str, args: Any) -> str | None:
        """Record that a tool has run with these arguments alone, and return the id of the first such call, if any."""
        with _lock:  # else several that run at once would all count as the first call
            call_id = next((call_id for call_id, call in list(self._waiting.items())
                            if call.get("name") == name and call.get("args") == args), None)  # fmt: skip
            if call_id is not None:
                self.ran(call_id)
            return call_id

    @property
    def all_ran(self) -> bool:
        """Whether every call has run."""
        return not self._waiting

    def keep(self, calls: ToolCalls) -> None:
        """Keep what is known of a run's waiting calls: it asks a human, who may answer them in place of the tools."""
        with _lock:
            for call_id, call in calls._waiting.copy().items():
                if call_id in self._waiting:
                    self._waiting[call_id] = call

    def go_on(self, earlier: ToolCalls, again: dict[Prompt, Prompt]) -> None:
        """Take over the calls of an ended session's prompts that continue; `again` maps each to its new prompt."""
        for call_id, (prompt, turn) in earlier._requested.copy().items():
            if prompt in again:
                call = earlier._waiting.get(call_id)
                self.request(call_id, again[prompt], turn, call or {})
                if call is None:
                    self.ran(call_id)


class Stop(NamedTuple):
    """Where a graph stopped before its end.

    Attributes:
        prompt: the one in which it is to continue.
        asking: whether it waits for a human; else it failed, or was left or cancelled.
        errors: if it failed, the ids of the errors that it has not recovered from.
    """

    prompt: Prompt
    asking: bool
    errors: tuple[str, ...] = ()


class Question(NamedTuple):
    """What a graph waits for.

    Attributes:
        prompt: the one in which a human was asked.
        thread: LangGraph's `thread_id`, or what identifies the task of a graph without the handler.
        is_breakpoint: whether there is nothing to answer: the graph continues when it is resumed, or the task is run.
        is_answered: whether a human has answered, but the run with the answer failed, so that it may come again.
        is_next: whether the next answer is for it: of several that one node asks, LangGraph asks one after the other.
    """

    prompt: Prompt
    thread: Any
    is_breakpoint: bool = False
    is_answered: bool = False
    is_next: bool = False


class Pending:
    """What a session has begun and a later run may end.

    Attributes:
        tool_calls: the latest tool calls.
        questions: what a human was asked, by interrupt id.
        stopped: where graphs stopped, by thread.
    """

    def __init__(self) -> None:
        self.tool_calls = ToolCalls()
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

    def note_next(self, interrupt_ids: Iterable[str]) -> None:
        """Record which questions the next answer is for."""
        with _lock:
            for key in interrupt_ids:
                if question := self.questions.get(key):
                    self.questions[key] = question._replace(is_next=True)

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

    def go_on(self, earlier: Pending, continued: Callable[[Prompt], Prompt]) -> None:
        """Take over what an earlier session had pending; `continued` gives the prompt that continues one of its."""
        questions, stopped = earlier.questions.copy(), earlier.stopped.copy()  # its runs may be ending in other threads
        prompts = {question.prompt for question in questions.values()} | {stop.prompt for stop in stopped.values()}
        again = {prompt: continued(prompt) for prompt in prompts}
        for key, question in questions.items():
            self.questions[key] = question._replace(prompt=again[question.prompt])
        self.tool_calls.go_on(earlier.tool_calls, again)
        for thread, stop in stopped.items():
            self.stopped.setdefault(thread, stop._replace(prompt=again[stop.prompt]))
