"""Logs errors, each once and where it arose, and recoveries from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from weakref import ref

from coagent_langchain.capture.attempts import (
    Remedy,
    is_attempt,
    note_failed_node,
    remedy_by_call,
    remedy_from_above,
)
from coagent_langchain.capture.human_questions import question_entries
from coagent_langchain.capture.recorder import Recorder
from coagent_langchain.capture.reported import cause, raised_below_sibling, reported_among, reported_beside
from coagent_langchain.capture.root import Root
from coagent_langchain.capture.routing import routing_entries
from coagent_langchain.capture.run import NOTHING, Failure, Run
from coagent_langchain.exceptions import is_same, reference
from coagent_langchain.sessions import scope
from coagent_langchain.sessions.open_failures import OpenFailures, with_attempts
from coagent_langchain.texts import error_info, error_message
from coagent_langchain.values.answers import Answer
from coagent_langchain.values.outcomes import (
    Outcome,
    classify,
    interrupts,
    severity,
)
from coagent_langchain.values.tools import ToolResult
from coagent_langchain.wire import EventType, JsonObject, Severity

_NOT_AN_ERROR = ""  # the event id of an exception that is not a failure: an interrupt, a hand-over


class ErrorRecorder:
    """Logs what runs raise: errors, interrupts, hand-overs and cancellations; and recoveries from errors."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def raised(self, run: Run, error: BaseException, answer: Answer) -> Outcome:
        """Log the end of a run that raised; `answer` is what a model had answered so far."""
        outcome = classify(error)
        run.failed_ns = self._recorder.tree.clock()
        if outcome.stopped and run.began_in:
            run.root.cut = ref(run)
        below = run.failures or []
        beside = reported_beside(run, error)
        error_id = reported_among(error, below) if beside is None else beside
        passed = raised_below_sibling(run, error) if error_id is None else None
        if passed is not None:
            error_id = passed.error_id
        if error_id is None and self._reported_in_prompt(run, error):
            error_id = _NOT_AN_ERROR
        entries: list[JsonObject] = []
        if error_id is None:  # it arose here
            entries = self._report(run, error, outcome, answer)
            error_id = entries[0]["event_id"] if outcome.failed else _NOT_AN_ERROR
        if entries:
            self._recorder.emit_together(entries)
        if not (entries and outcome.failed and run.kind == "llm"):  # else the error closes the call
            self._log_end(run, error, error_id, outcome, answer)
        if run.is_component and outcome.broke_off:  # a node's own timeout cancels it, and LangGraph runs it again
            note_failed_node(run)
        # After its event, which a concurrent recovery may refer to. What asks a human or hands over has recovered.
        not_recovered = () if outcome.is_control_flow else below
        asked = interrupts(error) if outcome is Outcome.INTERRUPTED else []
        if asked and run.is_step and run.parent is not None and not run.parent.is_in_step:
            self._recorder.emit_together(question_entries(self._recorder, run, asked, is_next=True))
        failure = passed or Failure(reference(error), error_id, run, [key for key, _ in asked])
        own = [] if outcome.stopped or beside is not None else [failure]
        self.pass_on(run, [*not_recovered, *own])
        return outcome

    def _log_end(self, run: Run, error: BaseException, error_id: str, outcome: Outcome, answer: Answer) -> None:
        if outcome.failed and run.kind in ("tool", "retriever"):
            said, meta = error_message(error), {"error_id": error_id}
            self._recorder.tool_ended(run, None, success=False, error=said, meta=meta)
        else:
            self._recorder.ended_without_result(run, outcome, answer)

    def _reported_in_prompt(self, run: Run, error: BaseException) -> bool:
        """Whether a run in the same prompt's block has reported `error`: a batch ends all its inputs with one error."""
        if run.kind != "chain" or run.parent is not None or run.prompt is None or scope.current() is not run.prompt:
            return False
        return any(is_same(each(), error) for each in list(run.prompt.session_state.reported))

    def pass_on(self, run: Run, failures: Sequence[Failure]) -> None:
        """Pass failures to the open run above, which may recover from them; a root's to the run that goes on with it.

        When a consumer leaves a stream, LangChain ends the chain and then reads the rest. If the model fails in that,
        the steps after it raise the same exception: their root, even if ended, remembers it for as long as they run.
        So does a tool that goes on in its thread, although the chains in it counted as cancelled.
        """
        parent, root = run.parent, run.root
        if parent is None:
            self._root_failed(root, [each for each in failures if each.error_id])
            return
        above = parent
        while above.key not in self._recorder.tree.open and above.parent is not None:
            above = above.parent
        if root.open:  # else nothing can raise them again, and they would only be kept alive
            for failure in failures:
                above.remember_failure(failure)

    def _root_failed(self, root: Root, failures: Sequence[Failure]) -> None:
        """Note how a root failed. A step around a tool is known by the tool's call; a graph is resumed instead."""
        call_id = next((each.run.tool_call_id for each in failures if each.run.tool_call_id), None)
        if call_id is not None and root.kind == "chain" and root.framework is None:
            root.take_failure(self._open_failures(root), call_id)
        root.attempts = with_attempts(root.attempts, [[each.error_id for each in failures]])

    def recovered(self, run: Run) -> None:
        """Log that `run` succeeded although something below it had failed.

        If a call was repeated and failed again, only its last error counts as handled.
        """
        failures, run.failures = run.failures or [], None
        remedy = remedy_from_above(run, failures)
        seen = {_NOT_AN_ERROR}
        for _, error_id, failed, _ in failures:
            if error_id in seen:  # each run that an exception has left has passed it on, the one that raised it first
                continue
            seen.add(error_id)
            failed_again = remedy.strategy == "handled" and any(is_attempt(each.run, failed) for each in failures)
            if failed is not run and not failed_again:  # its own errors are logged by the application, which knows best
                self._recover_once(failed, run, error_id, remedy)

    def caught(self, run: Run) -> None:
        """Drop the questions that code in a graph's step has caught like errors: the graph does not wait for them.

        A graph that returns may wait for what its step has asked; one that fails does not.
        """
        root = run.root
        for failure in run.failures or ():
            if failure.asked and (run.failed_ns or not failure.run.is_step) and run.is_in_step:
                root.asked = root.asked.difference(failure.asked)
                if not root.asked:
                    self._recorder.prompt_of(run).session_state.pending.stopped.pop(root.thread, None)

    def resumed(self, root: Root) -> None:
        """Log the recovery of a failed graph that was continued, or a failed run that was repeated, and succeeded."""
        error_ids, root.attempts = [*chain(*root.attempts)], ()
        is_repeated = root.repeatable_as or root.is_task
        action = f"{root.name} was called again" if is_repeated else "the graph continued from its last checkpoint"
        self._open_failures(root).forget(error_ids)
        for error_id in error_ids:
            self._recorder.emit(self._recovery(root, error_id, Remedy("retry", action)))

    def answered(self, model: Run, error_ids: Sequence[str]) -> None:
        """Log the recovery from the errors of a tool whose call has an answer nevertheless, which the model gets.

        A root that repeats or continues the run of that tool logs its recovery itself, when it ends.
        """
        taken = set(chain(*model.root.attempts))
        error_ids = [each for each in error_ids if each not in taken]
        self._open_failures(model).forget(error_ids)
        for error_id in error_ids:
            remedy = Remedy("handled", "the application answered the tool call")
            self._recorder.emit(self._recovery(model, error_id, remedy))

    def _open_failures(self, run: Run) -> OpenFailures:
        return self._recorder.prompt_of(run).session_state.pending.failures

    def called_again(self, run: Run) -> None:
        """Log the recovery of a tool, model or node that failed and was called again, for example by a middleware."""
        if run.parent is not None:
            run.parent.forget_failures(run.repeats)
        for error_id, failed in run.repeats.items():
            self._recover_once(failed, run, error_id, remedy_by_call(run, failed))

    def _recover_once(self, failed: Run, run: Run, error_id: str, remedy: Remedy) -> None:
        """Log how `run` made up for a failed one, unless another already has: a call may outlast the run around it."""
        if not failed.is_recovered:
            failed.is_recovered = True
            self._recorder.emit(self._recovery(run, error_id, remedy))

    def handled(self, run: Run, found: ToolResult, meta: Mapping[str, str] = NOTHING) -> None:
        """Log the end of a tool that turned its own failure into an answer (`ToolMessage.status == "error"`)."""
        entry = self._recorder.entry(run, EventType.ERROR, {"path": run.path()})
        error_id: str = entry["event_id"]
        entry["error_info"] = {
            "error_id": error_id,
            "error_type": "ToolError",
            "error_message": found.message,
            "error_severity": Severity.LOW,
            "component_id": run.name,
        }
        self._recorder.prompt_of(run).session_state.totals.add_error()
        recovery = self._recovery(run, error_id, Remedy("handled", "the tool answered with an error message"))
        self._recorder.emit_together([entry, recovery])
        more = {"error_id": error_id, **meta}
        self._recorder.tool_ended(run, found.result, success=False, error=found.message, meta=more)

    def _recovery(self, run: Run, error_id: str, remedy: Remedy) -> JsonObject:
        attempt = remedy.attempt or run.attempt
        meta: JsonObject = {"attempt": attempt} if attempt else {}
        run.turn = run.latest_turn()
        entry = self._recorder.entry(run, EventType.RECOVERY, meta)
        entry["error_info"] = {
            "error_id": error_id,
            "component_id": run.name,
            "recovery_strategy": remedy.strategy,
            "recovery_actions": [remedy.action],
            "recovery_successful": True,
        }
        self._recorder.prompt_of(run).session_state.totals.add_recovery()
        return entry

    def _report(self, run: Run, error: BaseException, outcome: Outcome, answer: Answer) -> list[JsonObject]:
        run.turn = run.latest_turn()
        if outcome is Outcome.INTERRUPTED:
            return question_entries(self._recorder, run, interrupts(error))
        if outcome is Outcome.HANDED_OVER:
            return routing_entries(self._recorder, run, next(iter(error.args), None))
        return [self._error(run, error, answer)] if outcome.failed else []

    def _error(self, run: Run, error: BaseException, answer: Answer) -> JsonObject:
        prompt = self._recorder.prompt_of(run)
        meta: JsonObject = {"path": run.path()}
        if run.attempt:
            meta["attempt"] = run.attempt
        if run.kind == "llm":
            meta |= {**(run.parameters or {}), **self._recorder.timing(run)}
        entry = self._recorder.entry(run, EventType.ERROR, meta)
        entry["error_info"] = error_info(error, entry["event_id"], severity(error), run.name)
        origin = cause(error, run.failures or ())
        if origin is not None and origin.error_id:
            meta["caused_by"] = origin.error_id
        if answer.text:
            entry["output_data"] = {"partial_response": answer.text}
        if answer.usage is not None:
            if answer.model:
                meta["model"] = answer.model
            entry["llm_response"] = {}  # readers find the tokens of any call there
            self._recorder.add_usage(prompt, answer, entry)
            if answer.usage.details:
                meta["usage"] = answer.usage.details
        prompt.session_state.totals.add_error()
        prompt.session.note_reported(error)
        return entry
