"""Attempts: which calls and nodes repeat one that failed.

A failure is open until something makes up for it. While the run around it is open, that run keeps it (`Run.failures`):
it may return in spite of it, or call again what failed. When the root has failed, the session keeps the ids of its
errors (`Pending.failures`; for a graph `Pending.stopped`): another root may repeat or continue it. What repeats or
continues a failed run takes its failures on when it begins (`Run.repeats`, `Root.attempts`). If it succeeds, it logs
their recovery (`recoveries.py`); if it fails, it leaves them with its own to the next attempt.
"""

from __future__ import annotations

from collections.abc import Sequence

from coagent_langchain.capture.run import MAX_FAILURES, NOTHING, Failure, Run, failures_lock
from coagent_langchain.latest import keep_latest

FALLBACKS = "RunnableWithFallbacks"


def note_attempt(run: Run, repeat_key: int | str | None) -> None:
    """Note which failed sibling a call repeats, and number it if it is another attempt with the same model or tool."""
    run.repeat_key = repeat_key
    parent = run.parent
    # Branches run beside each other; a run with fallbacks logs the recovery of all its children itself.
    if parent is None or not parent.failures or run.is_branch or parent.name == FALLBACKS:
        return
    with failures_lock:
        if (failure := _repeated_by(run, parent.failures)) is None:
            return
        _take_over(run, failure)
    same = sum(are_alike(run, failed) for failed in run.repeats.values())
    if same and not run.attempt:
        run.attempt = same + 1


def _repeated_by(run: Run, failures: Sequence[Failure]) -> Failure | None:
    """The failure of a sibling that a call repeats, of the same model or tool if possible.

    If several with the same text run at once, each failed one is repeated by only one other.
    """
    candidates = [each for each in failures
                  if each.run.parent is run.parent and each.error_id and not each.run.is_repeated
                  and is_repetition(run, each.run)]  # fmt: skip
    alike = [each for each in candidates if are_alike(run, each.run)]
    return next(iter(alike or candidates), None)


def _take_over(run: Run, failure: Failure) -> None:
    """Note that a call repeats a failed one, and the calls which that one repeated."""
    failed = failure.run
    failed.is_repeated = True
    run.repeats = dict([*failed.repeats.items(), (failure.error_id, failed)][-MAX_FAILURES:])
    failed.repeats = NOTHING  # moved on, else each call would keep all earlier ones alive


def is_repetition(run: Run, failed: Run) -> bool:
    """Whether a run makes the call of one that had failed before it began.

    The same call is a model with the same text, a tool for one tool call, or the same node. Models that are asked the
    same in several threads are asked beside each other, unless LangChain says that one is another attempt.
    """
    if run.repeat_key is None or (run.kind, run.repeat_key) != (failed.kind, failed.repeat_key):
        return False
    beside = run.kind == "llm" and not run.attempt and run.began_in != failed.began_in
    return not beside and run.started_ns > failed.failed_ns


def is_attempt(run: Run, failed: Run) -> bool:
    """Whether a run is another attempt at the call that had failed: with the same model, not with a fallback."""
    return is_repetition(run, failed) and are_alike(run, failed)


def are_alike(run: Run, other: Run) -> bool:
    """Whether both are runs of the same model or tool."""
    return (run.name, run.parameters) == (other.name, other.parameters)


# -- nodes


def note_node_attempt(run: Run) -> None:
    """Number a node's attempt if it has failed before: its graph runs it again (its own retry policy)."""
    parent = run.parent
    if parent is not None and parent.node_attempts and run.framework and run.is_node:
        namespace = run.framework.get("checkpoint_ns", "")
        before = parent.node_attempts.get(namespace)
        if before:
            run.attempt = before + 1
            note_attempt(run, namespace)


def note_failed_node(run: Run) -> None:
    """Note at the parent that this node did not finish: the graph may run it again.

    A node that its own timeout has stopped leaves no failure, so its attempts are counted apart from failures.
    """
    parent, namespace = run.parent, (run.framework or NOTHING).get("checkpoint_ns")
    if parent is not None and namespace and run.is_node:
        run.repeat_key = namespace
        with failures_lock:  # nodes beside each other may fail at once
            parent.node_attempts = parent.node_attempts or {}
            keep_latest(parent.node_attempts, namespace, max(run.attempt, 1), MAX_FAILURES)
