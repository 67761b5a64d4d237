"""What the end of a run entails besides its own event, and the ends of runs that LangChain never reports."""

from __future__ import annotations

from threading import get_ident
from typing import Any
from weakref import ref

from coagent_langchain.capture.binding import Binding
from coagent_langchain.capture.error_recorder import ErrorRecorder
from coagent_langchain.capture.human_questions import drop_caught_questions, log_unanswered
from coagent_langchain.capture.recorder import Recorder
from coagent_langchain.capture.recoveries import Recoveries
from coagent_langchain.capture.root import Root
from coagent_langchain.capture.run import Run
from coagent_langchain.capture.run_tree import RunTree
from coagent_langchain.errors import guard
from coagent_langchain.exceptions import is_cancellation
from coagent_langchain.sessions.open_sessions import RunCloser
from coagent_langchain.sessions.pending import Stop
from coagent_langchain.sessions.prompt import Prompt
from coagent_langchain.sessions.session import MAX_RESPONSE
from coagent_langchain.sessions.state import SessionState
from coagent_langchain.values.answers import Answer
from coagent_langchain.values.chains import answer_text, user_text
from coagent_langchain.values.outcomes import Outcome, as_exception
from coagent_langchain.wire import EventType, now_ms

MAX_SEARCHED = 1_000  # open calls of a root; if there are more, they end with the root


class Endings(RunCloser):
    """Follows up on the ends of runs, and ends those whose end LangChain never reports."""

    def __init__(
        self, tree: RunTree, binding: Binding, recorder: Recorder, errors: ErrorRecorder, recoveries: Recoveries
    ) -> None:
        self._tree = tree
        self._binding = binding
        self._recorder = recorder
        self._errors = errors
        self._recoveries = recoveries

    def returned(self, run: Run, outputs: Any = None, inputs: Any = None, *, failed: bool = False) -> None:
        """Log what a run that returned has recovered from, and close it if it is a root.

        If a tool has `failed` and returned that, it makes up for no earlier attempt.
        """
        if run.repeats and not failed:
            self._recoveries.repetition_succeeded(run)
        if run.failures:
            drop_caught_questions(self._recorder, run)
            self._recoveries.run_went_on(run)
        if type(run) is Root:
            if inputs is not None:
                self._binding.take_own_inputs(run, inputs)
            if run.is_task:
                self._recorder.prompt_of(run)  # now: it tells whether an earlier run of the task has failed
            if run.attempts and failed:
                run.leave_failure(self._recorder.pending_of(run).failures)
            elif run.attempts:
                self._recoveries.root_succeeded(run)
            self._root_ended(run, outputs)

    def raised(self, run: Run, given: Any, partial: Answer | None = None, inputs: Any = None) -> None:
        """Log the end of a run that raised and, if cancelled, of what it was waiting for; close it if it is a root."""
        error = as_exception(given)
        if is_cancellation(error):
            self._cancelled_with(run)
        self._binding.take_step_inputs(run.root, inputs)
        if isinstance(run, Root) and inputs is not None:
            self._binding.take_own_inputs(run, inputs)
        outcome = self._errors.raised(run, error, partial or Answer())
        if outcome.is_control_flow:
            if run.repeats:
                self._recoveries.repetition_succeeded(run)
            self._recoveries.run_went_on(run)
            if isinstance(run, Root):
                self._recoveries.root_succeeded(run)
        elif outcome.failed:
            drop_caught_questions(self._recorder, run)
        self._forget_failures(run)
        if isinstance(run, Root):
            self._root_ended(run, None, outcome if outcome.broke_off else None)
        elif outcome is Outcome.ABANDONED and run.root.ended_ns:
            # LangChain reports the chain's end before this one and, if the chain is synchronous, as a success. A chain
            # that failed (which abandons parallel branches) or waits for a human keeps its status.
            state = self._recorder.prompt_of(run).session_state
            if state.status == "completed":
                state.status, state.response = "cancelled", None

    def _forget_failures(self, run: Run) -> None:
        run.failures = None
        if run.root.ended_ns and not run.root.open:  # nothing is left that could raise again what the root remembers
            run.root.failures = None

    def _root_ended(self, root: Root, outputs: Any, broken: Outcome | None = None) -> None:
        """Close a root: log its user input if that came late, note its answer and how it ended, leave its session."""
        if root.silent:
            self._end_without_status(root)
            return
        prompt = self._release(root)
        state = prompt.session_state
        waits = state.pending.waits(root.thread, prompt)
        if broken is None:
            self._completed(root, state, waits)
        else:
            self._broke_off(root, prompt, waits, broken)
        if root.kind == "chain":  # its end has no event, but the session lasts until then
            state.latest = max(state.latest, now_ms())
            if outputs is not None:
                # A graph that waits for a human returns what it has so far, such as its answer to the question before.
                state.response = None if waits else answer_text(outputs, MAX_RESPONSE)
        self._leave_session(root, state)
        if self._tree.crowded:
            self.sweep()

    def _completed(self, root: Root, state: SessionState, waits: bool) -> None:
        """Note that a root went as far as it can: to its end, or to a question that its graph `waits` for."""
        state.status = "interrupted" if waits else "completed"
        if root.framework is not None or root.has_asked:  # else what waits in its thread is a graph's
            if not waits:
                state.pending.stopped.pop(root.thread, None)
            log_unanswered(self._recorder, root, root.asked if waits else ())

    def _broke_off(self, root: Root, prompt: Prompt, waits: bool, outcome: Outcome) -> None:
        """Note that a root failed or was stopped, and what a run that repeats or continues it needs to know."""
        state = prompt.session_state
        state.response = None
        if outcome.stopped:
            root.stopped = outcome
            if root.asked and not _was_cut(root):  # from Python 3.13 on, an event loop's end cancels a stream left here
                if waits and not root.asked.isdisjoint(state.pending.questions):
                    # It is complete: the graph cannot go further without an answer.
                    self._recoveries.root_succeeded(root)
                    self._completed(root, state, waits)
                    return
                if not root.asked.issubset(root.answered):
                    return  # another run has begun since
        state.status = "cancelled" if outcome.stopped else "failed"
        for key, question in root.answered.items():
            state.pending.ask(key, question._replace(is_answered=True))
        root.leave_failure(state.pending.failures)
        if root.thread is not None:
            state.pending.stop(root.thread, Stop(prompt, asking=False, attempts=root.attempts))
        if outcome.stopped:  # what ran beside a failure may continue to its own end
            self._log_stop(root, outcome)

    def _log_stop(self, root: Root, outcome: Outcome) -> None:
        """Log that a root was stopped, if no event of what is in it does."""
        # LangChain reports the end of the calls in an abandoned stream next, with the tokens so far.
        has_open_calls = outcome is Outcome.ABANDONED and any(
            run.began_in and _is_waited_for(run, root) for run in list(root.open.values())
        )
        if not has_open_calls and not _was_cut(root):
            entry = self._recorder.entry(root, EventType.INFO, {"outcome": outcome})
            entry["output_data"] = {"message": f"{root.name} was {outcome}"}
            self._recorder.emit(entry)

    def _release(self, root: Root) -> Prompt:
        """Drop the data of a root that has ended, after logging its user input if that was not logged yet."""
        prompt = self._recorder.prompt_of(root)
        if not prompt.input_logged:
            self._binding.log_input(root, user_text(root.pending_input))
        root.pending_input = root.tool_calls = None  # ended runs are remembered for a while
        root.known_messages.clear()
        return prompt

    def _end_without_status(self, root: Root) -> None:
        """Note no more than that a root has ended; a silent one has a session only if something in it was logged."""
        if root.silent and root.prompt is None:
            root.pending_input = None
        else:
            self._leave_session(root, self._release(root).session_state)

    def _leave_session(self, root: Root, state: SessionState) -> None:
        """Note that a root has ended, and end its session if that was waiting for it."""
        state.run_ended(bare=root.kind == "llm" and not root.will_end)
        if state.left:
            state.owner.end_if_left()

    # -- runs whose end is never reported

    def _cancelled_with(self, run: Run) -> None:
        """End what a cancelled run was waiting for: LangChain does not report the cancellation of models and tools."""
        here, opened = get_ident(), list(run.root.open.values())
        if isinstance(run, Root) or len(opened) <= MAX_SEARCHED:
            # Not those called in other threads: nothing stops a thread, so they end there.
            ends = [each for each in opened if each.began_in in (0, here) and _is_waited_for(each, run)]
            self.close(ends, "cancelled")

    def sweep(self) -> None:
        """End the open runs that the tree gives up."""
        for run in reversed(self._tree.given_up()):
            self._close(run, "unknown")

    def bind_all(self) -> None:
        """Give every open root its session, so that the end of the session ends it too, unless it is silent."""
        for run in list(self._tree.open.values()):
            with guard:
                if isinstance(run, Run) and not run.root.silent:
                    self._recorder.prompt_of(run)

    def close_lingering(self) -> None:
        """End the runs that are still open below ended roots."""
        self.close([run for root in list(self._tree.lingering.values()) for run in list(root.open.values())], "unknown")

    def close_session(self, state: SessionState, outcome: str) -> None:
        """End the runs that are still open in a session that ends."""
        if self._tree.open:
            self.close(self._tree.open_in(state), outcome)

    def close(self, runs: list[Run], outcome: str) -> None:
        """End runs whose end was not reported; one that is about to begin in another thread goes on to its own end."""
        for run in reversed(runs):  # inner runs began later
            if run.has_begun:
                self._close(run, outcome)

    @guard
    def _close(self, run: Run, outcome: str) -> None:
        if self._tree.end(run.key) is None:  # it has ended meanwhile
            return
        if run.parent is not None and run.failures:  # what it runs in may go on in its thread, and raise them
            self._errors.pass_on(run, run.failures)
        self._forget_failures(run)
        if run.began_in:
            run.root.cut = ref(run)
        if outcome == "unknown":
            run.untimed = True
            outcome = run.root.stopped or outcome
        self._recorder.ended_without_result(run, outcome, self._recorder.streamed(run))
        if isinstance(run, Root):
            self._end_without_status(run)


def _is_waited_for(run: Run, above: Run) -> bool:
    """Whether `run` is below `above` and no run between them has returned without it.

    One returns without a call that it stopped itself, e.g. by a tool's own time limit, or that works in the background.
    """
    between = run.parent
    while between is not None and between is not above:
        if not between.failed_ns and between.key not in run.root.open:
            return False
        between = between.parent
    return between is above


def _was_cut(root: Root) -> bool:
    """Whether an event says that something which the root waited for was stopped."""
    cut = None if root.cut is None else root.cut()
    return cut is not None and (cut is root or _is_waited_for(cut, root))
