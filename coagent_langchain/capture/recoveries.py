"""Recoveries: what made up for a failure. A failure has one at most, from the run that made up for it first."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from coagent_langchain.capture.attempts import FALLBACKS, are_alike, is_attempt
from coagent_langchain.capture.recorder import Recorder
from coagent_langchain.capture.root import Root
from coagent_langchain.capture.run import NOT_AN_ERROR, Failure, Run
from coagent_langchain.wire import EventType, JsonObject


class Remedy(NamedTuple):
    """What made up for a failure.

    Attributes:
        strategy: `retry`, `fallback` or `handled`.
        action: what happened, in words.
        attempt: the number of the attempt that succeeded below the run that recovers; 0 if there was none.
    """

    strategy: str
    action: str
    attempt: int = 0


class Recoveries:
    """Logs that something went on, or succeeded, in spite of earlier failures."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def run_went_on(self, run: Run) -> None:
        """Log that `run` succeeded although something below it had failed.

        If a call was repeated and failed again, only its last error counts as handled.
        """
        failures, run.failures = run.failures or [], None
        remedy = _remedy_from_above(run, failures)
        seen = {NOT_AN_ERROR}
        for _, error_id, failed, _ in failures:
            if error_id in seen:  # each run that an exception has left has passed it on, the one that raised it first
                continue
            seen.add(error_id)
            failed_again = remedy.strategy == "handled" and any(is_attempt(each.run, failed) for each in failures)
            if failed is not run and not failed_again:  # its own errors are logged by the application, which knows best
                self._recover_once(failed, run, error_id, remedy)

    def repetition_succeeded(self, run: Run) -> None:
        """Log the recovery of a tool, model or node that failed and was called again, for example by a middleware."""
        if run.parent is not None:
            run.parent.forget_failures(run.repeats)
        for error_id, failed in run.repeats.items():
            self._recover_once(failed, run, error_id, _remedy_by_call(run, failed))

    def root_succeeded(self, root: Root) -> None:
        """Log the recovery of a failed graph that was continued, or a failed run that was repeated, and succeeded."""
        error_ids, root.attempts = [*chain(*root.attempts)], ()
        is_repeated = root.repeatable_as or root.is_task
        action = f"{root.name} was called again" if is_repeated else "the graph continued from its last checkpoint"
        self._recorder.pending_of(root).failures.forget(error_ids)
        for error_id in error_ids:
            self._recorder.emit(self.entry(root, error_id, Remedy("retry", action)))

    def tool_call_answered(self, model: Run, error_ids: Sequence[str]) -> None:
        """Log the recovery from the errors of a tool whose call has an answer nevertheless, which the model gets.

        A root that repeats or continues the run of that tool logs its recovery itself, when it ends.
        """
        taken = set(chain(*model.root.attempts))
        error_ids = [each for each in error_ids if each not in taken]
        self._recorder.pending_of(model).failures.forget(error_ids)
        for error_id in error_ids:
            remedy = Remedy("handled", "the application answered the tool call")
            self._recorder.emit(self.entry(model, error_id, remedy))

    def _recover_once(self, failed: Run, run: Run, error_id: str, remedy: Remedy) -> None:
        """Log how `run` made up for a failed one, unless another already has: a call may outlast the run around it."""
        if not failed.is_recovered:
            failed.is_recovered = True
            self._recorder.emit(self.entry(run, error_id, remedy))

    def entry(self, run: Run, error_id: str, remedy: Remedy) -> JsonObject:
        """The `recovery` that `run` logs for an error."""
        attempt = remedy.attempt or run.attempt
        meta: JsonObject = {"attempt": attempt} if attempt else {}
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


def _remedy_by_call(run: Run, failed: Run) -> Remedy:
    """How a call made up for a failed one that it repeats."""
    if are_alike(run, failed):
        return Remedy("retry", f"attempt {run.attempt} succeeded")
    return Remedy("fallback", f"{(run.parameters or {}).get('model') or run.name} succeeded")


def _remedy_from_above(run: Run, failures: Sequence[Failure]) -> Remedy:
    """How a run made up for what failed below it."""
    latest = run.latest_attempt
    # In a `batch`, one input may have failed in all attempts.
    if latest and not any(each.run.parent is run and each.run.attempt == latest for each in failures):
        return Remedy("retry", f"attempt {latest} succeeded", latest)
    if run.name == FALLBACKS:
        return Remedy("fallback", "a fallback succeeded")
    return Remedy("handled", f"{run.name} continued")
