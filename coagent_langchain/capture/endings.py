"""What the end of a run means beside its own event, and the ends of runs that LangChain never tells of."""

from __future__ import annotations

from typing import Any

from coagent_langchain.capture.failures import Failures
from coagent_langchain.capture.inputs import answer_text, user_text
from coagent_langchain.capture.messages import Answer
from coagent_langchain.capture.outcomes import Outcome, as_exception
from coagent_langchain.capture.recorder import Recorder
from coagent_langchain.capture.root import Root
from coagent_langchain.capture.run import Run
from coagent_langchain.course import Course
from coagent_langchain.errors import guard, is_cancellation
from coagent_langchain.pending import Stop
from coagent_langchain.prompt import Prompt
from coagent_langchain.registry import Sweeper
from coagent_langchain.session import MAX_RESPONSE
from coagent_langchain.wire import EventType, JsonObject, now_ms

MAX_SEARCHED = 1_000  # open calls of a root; where there are more, they end with the root


class Endings(Sweeper):
    """Follows up the ends of runs, and ends those whose end LangChain never tells of.

    Parameters:
        recorder: writes the entries.
        failures: tells what the runs raised, and what they recovered from.
    """

    def __init__(self, recorder: Recorder, failures: Failures) -> None:
        self._recorder = recorder
        self._failures = failures
        self._tree = recorder.tree

    def returned(self, run: Run, outputs: Any = None, inputs: Any = None) -> None:
        """Log what a run that returned has recovered from, and end its root."""
        if run.failures:
            self._failures.recovered(run)
        if type(run) is Root:
            if inputs is not None:
                self._recorder.binding.take_late_inputs(run, inputs)
            if run.unresolved:
                self._failures.resumed(run)
            self._root_ended(run, outputs, inputs, failed=False)

    def raised(self, run: Run, given: Any, partial: Answer | None = None, inputs: Any = None) -> None:
        """End a run that raised, what it was waiting for where it was cancelled, and its root."""
        error = as_exception(given)
        if is_cancellation(error):
            self._cancelled_with(run)
        binding = self._recorder.binding
        binding.take_inputs(run.root, inputs)
        if isinstance(run, Root) and inputs is not None:
            binding.take_late_inputs(run, inputs)
        outcome = self._failures.failed(run, error, partial or Answer())
        if outcome.goes_on:
            if run.tried:
                self._failures.called_again(run)
            self._failures.recovered(run)
        run.failures = None
        if isinstance(run, Root):
            stopped = outcome if outcome.stopped else None
            self._root_ended(run, None, inputs, failed=outcome.failed, outcome=stopped)
        elif outcome is Outcome.ABANDONED and run.root.ended:
            # LangChain has told of the chain first, and where it is not asynchronous, as if that had come to its end.
            # Not where the chain failed, which leaves the branches beside the failure, or where it has asked a person.
            course = self._recorder.prompt_of(run).course
            if course.status == "completed":
                course.status, course.response = "cancelled", None

    def _root_ended(self, run: Root, outputs: Any, inputs: Any, *, failed: bool, outcome: str | None = None) -> None:
        """Close a root: late user input, last answer, and with a cancellation what is still open.

        Where it failed, what ran beside the failure may go on to its own end. Where its stream was left, LangChain
        tells the models in it next, with the tokens until then.
        """
        if inputs is not None:
            run.pending_input = inputs
        prompt = self._let_go(run)
        course = prompt.course
        stop = course.pending.stopped.get(run.thread)
        waits = stop is not None and stop.asking and stop.prompt is prompt
        broke_off = failed or outcome is not None
        if broke_off:
            course.response = None
        # Who has read a question reads no further: there, a graph has come as far as it can.
        if broke_off and not (outcome == Outcome.ABANDONED and waits and run.asked):
            course.status = "failed" if failed else "cancelled"
            for key, question in run.answered.items():
                course.pending.ask(key, question._replace(is_answered=True))
            if run.request is not None and run.unresolved:
                prompt.run_failed(run.request, run.unresolved)
            if run.thread is not None:
                course.pending.stop(run.thread, Stop(prompt, asking=False, errors=run.unresolved))
        else:
            course.status = "interrupted" if waits else "completed"
            if run.framework is not None or run.asked:  # else it is no graph: what waits in its thread is another's
                self._withdraw(run, course, waits=waits)
        if run.kind == "chain":  # its end is no event: the session lasts until then
            course.latest = max(course.latest, now_ms())
            if outputs is not None:
                course.response = answer_text(outputs, MAX_RESPONSE)
        if outcome == "cancelled":
            self.close(list(run.open.values()), outcome)
        run.stopped = outcome
        self._leave(run, course)
        if self._tree.crowded:
            self.sweep()

    def _withdraw(self, root: Root, course: Course, *, waits: bool) -> None:
        """Let go of where the graph of a root had stopped before, and of what it does not ask any more."""
        if not waits:
            course.pending.stopped.pop(root.thread, None)
        for interrupt_id in course.pending.withdraw(root.thread, root.asked if waits else ()):
            self._recorder.outlet.emit(self._unanswered(root, interrupt_id))

    def _unanswered(self, root: Root, interrupt_id: str) -> JsonObject:
        """The entry of a question that nobody has answered before the graph went on."""
        meta = {"status": "unanswered", "interrupt_id": interrupt_id}
        entry = self._recorder.entry(root, EventType.HUMAN_OVERSIGHT, meta)
        entry["input_data"] = {"interrupt_id": interrupt_id}
        return entry

    def _let_go(self, root: Root) -> Prompt:
        """Keep nothing of a root that has ended; its user input is logged now at the latest."""
        prompt = self._recorder.prompt_of(root)
        if not prompt.logged:
            self._recorder.binding.log_input(root, user_text(root.pending_input))
        root.pending_input = root.tool_calls = None  # ended runs are remembered for a while
        root.said.clear()
        return prompt

    def _leave(self, root: Root, course: Course) -> None:
        """Let the session of a root end, where it has waited for that."""
        course.run_ended(bare=root.kind == "llm")
        if course.left:
            course.owner.end_if_left()

    # -- runs whose end is never told

    def _cancelled_with(self, run: Run) -> None:
        """End what a cancelled run was waiting for: models and tools are not told to have been cancelled."""
        opened = list(run.root.open.values())
        if len(opened) <= MAX_SEARCHED:
            self.close([each for each in opened if each.is_below(run)], "cancelled")

    def sweep(self) -> None:
        """End what nobody waits for any more."""
        for run in reversed(self._tree.given_up()):
            self._close(run, "unknown")

    def bind_all(self) -> None:
        """Give every open root its session, so that the end of the session ends it too."""
        for run in list(self._tree.open.values()):
            with guard:
                if isinstance(run, Run):
                    self._recorder.prompt_of(run)

    def close_lingering(self) -> None:
        """End what is still open below roots that have ended."""
        self.close([run for root in list(self._tree.lingering.values()) for run in list(root.open.values())], "unknown")

    def close_session(self, course: Course, outcome: str) -> None:
        """End what is still open in a session that ends."""
        if self._tree.open:
            self.close(self._tree.open_in(course), outcome)

    def close(self, runs: list[Run], outcome: str) -> None:
        """End runs whose end was not told; what is about to begin in another thread goes on to its own end."""
        for run in reversed(runs):  # what began last is inside of what began before
            if run.has_begun:
                self._close(run, outcome)

    @guard
    def _close(self, run: Run, outcome: str) -> None:
        if self._tree.end(run.run_id) is None:  # it has ended meanwhile
            return
        run.failures = None
        if outcome == "unknown":
            run.late = True  # nor is it known how long it took
            outcome = run.root.stopped or outcome
        if run.kind == "llm":
            self._recorder.call_ended(run, self._recorder.arrived(run), outcome)
        elif run.kind in ("tool", "retriever"):
            self._recorder.tool_ended(run, None, success=None, meta={"outcome": outcome})
        elif run.component:
            self._recorder.component_ended(run, (), outcome)
        if isinstance(run, Root):
            self._leave(run, self._let_go(run).course)
