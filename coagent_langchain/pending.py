"""What outlasts a run of a session: calls for tools, questions to a person, graphs that stopped before their end."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, NamedTuple

from coagent_langchain.latest import keep_latest
from coagent_langchain.locks import fork_safe_lock

if TYPE_CHECKING:
    from coagent_langchain.prompt import Prompt

MAX_TOOL_CALLS = 1_000  # calls that may still be answered; a tool of an older one takes the latest turn
MAX_TOLD = 1_000  # messages of graph nodes that are recognized when a later run returns them again
MAX_STOPPED = 1_000  # graphs of one session that may still go on in their prompt
MAX_QUESTIONS = 1_000  # questions of one session that are open; the answer to an older one names none

_lock = fork_safe_lock()


class ToolCalls:
    """Which turns asked for tools, and for which of these calls none has run so far; of very many calls, the latest."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[Prompt, int]] = {}
        self._waiting: dict[str, dict[str, Any] | None] = {}  # for their tools, each as it was logged
        self._shared: set[str] = set()

    def __len__(self) -> int:
        return len(self._asked)

    def ask(self, call_id: str, prompt: Prompt, turn: int, call: dict[str, Any] | None = None) -> None:
        """Note which turn asked for a tool, and the call as it was logged, until it has run."""
        with _lock:
            if self.has_not_run(call_id) and self._asked[call_id] != (prompt, turn):
                self._shared.add(call_id)
            self._asked[call_id] = (prompt, turn)
            self._waiting[call_id] = call  # though one has run: ids may repeat
            if len(self._asked) > MAX_TOOL_CALLS:
                oldest = next(iter(self._asked))
                del self._asked[oldest]
                self._waiting.pop(oldest, None)
                self._shared.discard(oldest)

    def asked_by(self, call_id: str) -> tuple[Prompt, int] | None:
        """The prompt and turn that asked, where it is known."""
        return self._asked.get(call_id)

    def is_shared(self, call_id: str) -> bool:
        """Whether several turns that were open at once have asked with that id, so that it does not tell which."""
        return call_id in self._shared

    def ran(self, call_id: str) -> None:
        """Note that a tool has run."""
        self._waiting.pop(call_id, None)

    def call(self, call_id: str) -> dict[str, Any] | None:
        """A call for which no tool has run so far, `{id, name, args}`; None where it is not known."""
        return self._waiting.get(call_id)

    def has_not_run(self, call_id: str) -> bool:
        """Whether it was asked for, and nothing has run so far."""
        return call_id in self._waiting

    @property
    def all_ran(self) -> bool:
        """Whether every call has had its tool."""
        return not self._waiting

    def go_on(self, earlier: ToolCalls, again: dict[Prompt, Prompt]) -> None:
        """Take over the calls of an ended session's prompts that are continued: `again` has the new prompt of each."""
        for call_id, (prompt, turn) in earlier._asked.copy().items():
            if prompt in again:
                self.ask(call_id, again[prompt], turn)
                if call_id not in earlier._waiting:
                    self.ran(call_id)


class Stop(NamedTuple):
    """Where a graph stopped before its end.

    Attributes:
        prompt: in which it is to go on.
        asking: whether it waits for a person; else it failed, or was left or cancelled.
        errors: where it failed, the ids of the errors that it has not recovered from.
    """

    prompt: Prompt
    asking: bool
    errors: tuple[str, ...] = ()


class Question(NamedTuple):
    """What a graph waits for.

    Attributes:
        prompt: in which a person was asked.
        thread: LangGraph's `thread_id`.
        is_breakpoint: whether there is nothing to answer: the graph goes on when it is told to.
        is_answered: whether a person has answered; the run with the answer failed, and may have to bring it again.
    """

    prompt: Prompt
    thread: Any
    is_breakpoint: bool = False
    is_answered: bool = False


class Pending:
    """What a session has begun and a later run may end.

    Attributes:
        tool_calls: the latest calls for tools.
        questions: what a person was asked, by the interrupt's id.
        stopped: where graphs stopped, by their threads.
    """

    def __init__(self) -> None:
        self.tool_calls = ToolCalls()
        self.questions: dict[str, Question] = {}
        self.stopped: dict[Any, Stop] = {}
        self._told: dict[str, None] = {}

    @property
    def awaited(self) -> bool:
        """Whether a person or a graph may come back to it, so that it is to be remembered when the session ends."""
        return bool(self.questions or self.stopped)

    def tell(self, message_id: str) -> bool:
        """Note that a message is told, by its id; False where it was before."""
        with _lock:
            if message_id in self._told:
                return False
            keep_latest(self._told, message_id, None, MAX_TOLD)
            return True

    def ask(self, interrupt_id: str, question: Question) -> None:
        """Note what a person is asked."""
        with _lock:
            keep_latest(self.questions, interrupt_id, question, MAX_QUESTIONS)

    def asked_in(self, thread: Any) -> dict[str, Question]:
        """What is still open in a thread, by the interrupt's id."""
        return {key: question for key, question in list(self.questions.items()) if question.thread == thread}

    def withdraw(self, thread: Any, kept: Container[str] = ()) -> list[str]:
        """Let go of what will not be answered any more: a thread's graph has gone on, or has asked something else.

        Parameters:
            kept: the ids of what it still asks.

        Returns:
            the ids of the others that nobody has answered.
        """
        if thread is None:
            return []
        gone = [key for key in self.asked_in(thread) if key not in kept]
        questions = [(key, self.questions.pop(key, None)) for key in gone]
        return [key for key, question in questions if question is not None and not question.is_answered]

    def stop(self, thread: Any, stop: Stop) -> None:
        """Note that a thread's graph has stopped before its end."""
        with _lock:
            keep_latest(self.stopped, thread, stop, MAX_STOPPED)

    def go_on(self, earlier: Pending, continued: Callable[[Prompt], Prompt]) -> None:
        """Take over what an earlier session with the same id had pending when it ended.

        Parameters:
            continued: makes a prompt of this session that goes on with one of the earlier session's.
        """
        questions, stopped = earlier.questions.copy(), earlier.stopped.copy()  # its runs may be ending in other threads
        prompts = {question.prompt for question in questions.values()} | {stop.prompt for stop in stopped.values()}
        again = {prompt: continued(prompt) for prompt in prompts}
        for key, question in questions.items():
            self.questions[key] = question._replace(prompt=again[question.prompt])
        self.tool_calls.go_on(earlier.tool_calls, again)
        for thread, stop in stopped.items():
            self.stopped.setdefault(thread, stop._replace(prompt=again[stop.prompt]))
