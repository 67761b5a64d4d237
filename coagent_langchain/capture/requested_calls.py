"""Which prompt and turn requested a tool call: in the run itself, or before it in its session."""

from __future__ import annotations

from typing import Any

from coagent_langchain.capture.root import Root
from coagent_langchain.capture.run import Run
from coagent_langchain.sessions.prompt import Prompt
from coagent_langchain.sessions.session import Session
from coagent_langchain.sessions.tool_calls import ToolCalls
from coagent_langchain.values.chains import last_call
from coagent_langchain.wire import JsonObject


def tool_requested(root: Root, tool_call_id: str, call: dict[str, Any], prompt: Prompt, turn: int) -> None:
    """Note which turn requested a tool, for the run and for those that continue it after an interrupt."""
    if root.tool_calls is None:
        root.tool_calls = ToolCalls()
    root.tool_calls.request(tool_call_id, prompt, turn, call)
    prompt.session_state.pending.tool_calls.request(tool_call_id, prompt, turn, {"name": call["name"]})


def tool_began(run: Run, prompt: Prompt, arguments: JsonObject | None) -> tuple[str | None, tuple[Prompt, int] | None]:
    """Note that a tool or retriever begins: its call, if a model requested one, no longer waits.

    Returns:
        the id of its call, and the prompt and turn that requested it; None for what is not known.
    """
    root, pending = run.root, prompt.session_state.pending
    own, shared = root.tool_calls, pending.tool_calls
    if run.tool_call_id is None and run.kind == "tool" and own is not None:
        run.tool_call_id = own.ran_with(run.name, arguments)  # it is invoked with a call's arguments alone
    call_id = run.tool_call_id
    if call_id is None and run is root and run.kind == "tool":
        call_id = shared.ran_by_name(run.name, prompt.number)
    else:
        for calls in (shared,) if own is None else (shared, own):
            if call_id is not None:
                calls.ran(call_id)
            elif run.kind == "tool":
                calls.ran_by_name(run.name, prompt.number)
    if run is root and call_id is not None:
        root.take_failure(pending.failures, call_id)
    return call_id, None if call_id is None else _requested_in(root, call_id)


def _requested_in(root: Root, tool_call_id: str) -> tuple[Prompt, int] | None:
    """The prompt and turn that requested a tool call; None if unknown, or if several turns did so at once.

    A run that repeats an earlier prompt's calls from one of its checkpoints makes them in its own prompt, as the
    nodes around them are there. Only a call that has waited for a human stays in the prompt of the question.
    """
    own = root.tool_calls
    if own is not None and own.is_shared(tool_call_id):
        return None
    place = None if own is None else own.requested_in(tool_call_id)
    if place is None and root.prompt is not None:
        place = root.prompt.session_state.pending.tool_calls.requested_in(tool_call_id)
        prompts = {root.prompt, *(question.prompt for question in root.answered.values())}
        if place is not None and place[0] not in prompts:
            return None
    return place


def calls_with(root: Root, tool_call_id: str) -> ToolCalls:
    """The calls in which to look up a tool call: this run's, else its session's, from before an interrupt."""
    if root.tool_calls is not None and root.tool_calls.requested_in(tool_call_id) is not None:
        return root.tool_calls
    return root.prompt.session_state.pending.tool_calls if root.prompt is not None else ToolCalls()


def prompt_of_call(root: Root, session: Session, inputs: Any) -> Prompt | None:
    """The prompt in which a model requested the tool call that the root runs, or that its inputs end with.

    In an application that calls the model and tools in its own loop, each of these calls is a root. A tool that is
    invoked with the arguments alone is taken for a call of its name, if the latest prompt has one that has not run
    or has failed.
    """
    state = session.state
    calls = state.pending.tool_calls
    call_id = root.tool_call_id if root.kind == "tool" else last_call(inputs)
    by_name = root.kind == "tool" and call_id is None
    if by_name:
        call_id = calls.may_run(root.name, state.last_number)
    place = None if call_id is None or calls.is_shared(call_id) else calls.requested_in(call_id)
    if place is None or (by_name and place[0].number != state.last_number):
        return None
    prompt, root.turn = place
    return prompt
