"""Tool calls that are answered although no hook reports a tool run: by a graph's node, or by the application itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any
from uuid import uuid4

from coagent_langchain.capture.error_recorder import ErrorRecorder
from coagent_langchain.capture.recorder import Recorder
from coagent_langchain.capture.recoveries import Recoveries
from coagent_langchain.capture.requested_calls import calls_with
from coagent_langchain.capture.run import Run
from coagent_langchain.sessions.prompt import Prompt
from coagent_langchain.values.content import tool_calls_of
from coagent_langchain.values.fields import members_of
from coagent_langchain.values.tools import failure_text, read_tool_message
from coagent_langchain.values.updates import messages_in
from coagent_langchain.wire import JsonObject

_BY_APPLICATION: JsonObject = {"outcome": "answered by application"}
_ABSENT = object()


def log_unrun_tools(recorder: Recorder, node: Run, updates: Sequence[Any]) -> None:
    """Log the tool calls that a graph node answers itself: the model made up the tool, or a middleware answers."""
    root = node.root
    if root.prompt is None or (pending := root.prompt.session_state.pending.tool_calls).all_ran:
        return
    for update in updates:
        messages = messages_in(update)
        structured = dict.get(update, "structured_response", _ABSENT) if isinstance(update, dict) else _ABSENT
        for message in filter(_is_answer, messages):
            failed = members_of(message).get("status") == "error"
            failed = failed or structured is None  # None: the agent has rejected a structured response
            if not failed and structured is not _ABSENT:  # it comes as a call of a tool that does not exist
                call_id = members_of(message)["tool_call_id"]
                for calls in (calls_with(root, call_id), pending):
                    calls.ran(call_id)
                continue
            if run := _called(recorder, node, node, message, messages):
                found = read_tool_message(message)
                error = failure_text(found.result["output"]) if failed else None
                outcome = "not run" if failed else "answered by node"
                recorder.tool_ended(run, found.result, success=not failed, error=error, meta={"outcome": outcome})
                recorder.tree.end(run.run_id)


def log_answers_to_model(
    recorder: Recorder, errors: ErrorRecorder, recoveries: Recoveries, model: Run, messages: Sequence[Any]
) -> None:
    """Log the tool calls that the application answers in a loop of its own: only the next model call shows it.

    If a tool that it has run failed, an answer shows that it has handled the error.
    """
    if model.prompt is None:
        return
    pending = model.prompt.session_state.pending
    if pending.tool_calls.all_ran and not pending.failures:
        return
    answers = list(takewhile(_is_answer, reversed(messages)))
    for message in reversed(answers):
        if attempts := pending.failures.take(members_of(message)["tool_call_id"]):
            recoveries.tool_call_answered(model, attempts[-1])
        if run := _called(recorder, model, model.parent, message, messages):
            found = read_tool_message(message)
            if found.failed:
                errors.handled(run, found, _BY_APPLICATION)
            else:
                recorder.tool_ended(run, found.result, success=True, meta=_BY_APPLICATION)
            recorder.tree.end(run.run_id)


def _is_answer(message: Any) -> bool:
    return isinstance(members_of(message).get("tool_call_id"), str)


def _is_of_other_branch(place: tuple[Prompt, int] | None, beside: Run) -> bool:
    """Whether a branch parallel to that of `beside` requested a call in its latest turn: ids may repeat."""
    if place is None or place[1] == beside.latest_turn():
        return False
    opened = list(beside.root.open.values())
    others = [run for run in opened if (run.prompt, run.turn) == place and run.turn != run.first_turn]
    return any(not (run is beside or beside.is_below(run) or run.is_below(beside)) for run in others)


def _called(recorder: Recorder, beside: Run, parent: Run | None, answer: Any, messages: Sequence[Any]) -> Run | None:
    """Log the call that a message answers as a tool run below `parent`, or as a root, with the place of `beside`.

    None if the message answers no known call, or one that is logged already.
    """
    fields = members_of(answer)
    call_id = fields["tool_call_id"]
    calls = calls_with(beside.root, call_id)
    if not calls.waits(call_id) or _is_of_other_branch(calls.requested_in(call_id), beside):
        return None
    noted = calls.ran(call_id)
    if noted is None:  # meanwhile, in another thread
        return None
    requested = (call for message in reversed(messages) for call in tool_calls_of(message))  # backwards: ids may repeat
    call = next((call for call in requested if call.get("id") == call_id), noted)
    name = call.get("name") or fields.get("name")
    run = recorder.tree.start(uuid4(), "tool", name if isinstance(name, str) else "tool", parent)
    if run is not None:
        run.prompt, run.framework, run.context, run.untimed = beside.prompt, beside.framework, beside.context, True
        run.tool_call_id = call_id
        recorder.tool_started(run, call.get("args"))
    return run
