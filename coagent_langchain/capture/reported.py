"""What is known of an exception that a run raises: whether it is reported already, and what it was raised from."""

from __future__ import annotations

from collections.abc import Sequence

from coagent_langchain.capture.run import MAX_CLIMB, MAX_FAILURES, Failure, Run
from coagent_langchain.exceptions import is_same
from coagent_langchain.sessions import scope

MAX_SIBLINGS = 1_000  # open runs that are searched for a sibling


def reported_among(error: BaseException, failures: Sequence[Failure]) -> str | None:
    """The id under which `error` was reported, if it was; a group is reported if all its exceptions are."""
    for failure in reversed(failures):
        if is_same(failure.error(), error):
            return failure.error_id
    if failures and isinstance(error, BaseExceptionGroup):
        known = [reported_among(each, failures) for each in error.exceptions[-MAX_FAILURES:]]
        return None if None in known else known[0]
    return None


def reported_beside(run: Run, error: BaseException) -> str | None:
    """The id under which a sibling of `run` reported `error`, or that of a run above.

    What one step of a stream raises, all of them raise; and LangGraph reports a subgraph in a node that is a chain
    as a child of the chain around the whole graph.
    """
    above = run.parent if run.kind == "chain" else None
    for _ in range(MAX_CLIMB):
        if above is None:
            break
        for failure in above.failures or ():
            if failure.error() is error and failure.run.failed_ns > run.started_ns:
                return failure.error_id
        above = above.parent
    return None


def raised_below_sibling(run: Run, error: BaseException) -> Failure | None:
    """The failure that raised `error` below an open sibling of `run`: a batch ends all its inputs with the first one's.

    LangChain does so in the order of the inputs, so that the one that failed may come last.
    """
    if run.parent is None or run.kind != "chain":
        return None
    for each in list(run.root.open.values())[:MAX_SIBLINGS]:
        if each.parent is run.parent:
            for failure in each.failures or ():
                if failure.error() is error:
                    return failure
    return None


def reported_in_prompt(run: Run, error: BaseException) -> bool:
    """Whether a run in the same prompt's block has reported `error`: a batch ends all its inputs with one error."""
    if run.kind != "chain" or run.parent is not None or run.prompt is None or scope.current() is not run.prompt:
        return False
    return any(is_same(each(), error) for each in list(run.prompt.session_state.reported))


def cause(error: BaseException, failures: Sequence[Failure]) -> Failure | None:
    """The failure that `error` was raised from, or during whose handling it was raised."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error.__cause__, None if error.__suppress_context__ else error.__context__]
    while todo:
        each = todo.pop()
        if each is None or id(each) in seen or len(seen) > MAX_FAILURES:
            continue
        for failure in failures:
            if is_same(failure.error(), each):
                return failure
        seen.add(id(each))
        todo += [each.__cause__, each.__context__]
    return None
