"""Logs errors, each once and where it arose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from weakref import ref

from coagent_langchain.capture.attempts import note_failed_node
from coagent_langchain.capture.human_questions import note_questions
from coagent_langchain.capture.recorder import Recorder
from coagent_langchain.capture.recoveries import Recoveries, Remedy
from coagent_langchain.capture.reported import (
    cause,
    raised_below_sibling,
    reported_among,
    reported_beside,
    reported_in_prompt,
)
from coagent_langchain.capture.root import Root
from coagent_langchain.capture.routing import routing_entries
from coagent_langchain.capture.run import NOT_AN_ERROR, NOTHING, Failure, Run
from coagent_langchain.exceptions import error_info, error_message, reference
from coagent_langchain.sessions.open_failures import with_attempts
from coagent_langchain.values.answers import Answer
from coagent_langchain.values.outcomes import Outcome, classify, interrupts, severity
from coagent_langchain.values.tools import ToolResult
from coagent_langchain.wire import EventType, JsonObject, Severity


class ErrorRecorder:
    """Logs what runs raise: errors, interrupts, hand-overs and cancellations."""

    def __init__(self, recorder: Recorder, recoveries: Recoveries) -> None:
        self._recorder = recorder
        self._recoveries = recoveries

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
        if error_id is None and reported_in_prompt(run, error):
            error_id = NOT_AN_ERROR
        entries: list[JsonObject] = []
        if error_id is None:  # it arose here
            entries = self._report(run, error, outcome, answer)
            error_id = entries[0]["event_id"] if outcome.failed else NOT_AN_ERROR
        self._recorder.emit_together(entries)
        if not (entries and outcome.failed and run.kind == "llm"):  # else the error closes the call
            self._log_end(run, error, error_id, outcome, answer)
        if run.is_component and outcome.broke_off:  # a node's own timeout cancels it, and LangGraph runs it again
            note_failed_node(run)
        # After its event, which a concurrent recovery may refer to. What asks a human or hands over has recovered.
        not_recovered = () if outcome.is_control_flow else below
        asked = interrupts(error) if outcome is Outcome.INTERRUPTED else []
        if asked and run.is_step and run.parent is not None and not run.parent.is_in_step:
            self._recorder.emit_together(note_questions(self._recorder, run, asked, is_next=True))
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
            root.take_failure(self._recorder.pending_of(root).failures, call_id)
        root.attempts = with_attempts(root.attempts, [[each.error_id for each in failures]])

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
        recovery = self._recoveries.entry(run, error_id, Remedy("handled", "the tool answered with an error message"))
        self._recorder.emit_together([entry, recovery])
        more = {"error_id": error_id, **meta}
        self._recorder.tool_ended(run, found.result, success=False, error=found.message, meta=more)

    def _report(self, run: Run, error: BaseException, outcome: Outcome, answer: Answer) -> list[JsonObject]:
        if outcome is Outcome.INTERRUPTED:
            return note_questions(self._recorder, run, interrupts(error))
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
