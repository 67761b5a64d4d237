"""Tool calls that were answered without a tool: the model made the tool up, say, or a middleware refused the call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from coagent_langchain.capture.content import fields_of, tool_calls_of
from coagent_langchain.capture.recorder import Recorder
from coagent_langchain.capture.root import Root
from coagent_langchain.capture.run import Run
from coagent_langchain.capture.tools import tool_result


def log_unrun_tools(recorder: Recorder, node: Run, updates: Sequence[Any]) -> None:
    """Log what a graph node answers with an error in a tool's place: no hook tells, for no tool has run.

    Parameters:
        node: the node that ends.
        updates: what it returned, as of `updates_of`.
    """
    root = node.root
    if root.prompt is None or root.prompt.course.pending.tool_calls.all_ran:
        return
    for update in updates:
        given = dict.get(update, "messages") if isinstance(update, dict) else None
        messages = given if isinstance(given, list) else [given]
        refused = isinstance(update, dict) and dict.get(update, "structured_response", messages) is None
        for message in messages:
            if _is_unrun(root, fields_of(message), refused):
                _log(recorder, node, message, messages)


def _is_unrun(root: Root, fields: dict[str, Any], refused: bool) -> bool:
    """Whether a message says what went wrong in place of a tool that has not run.

    That is also how an agent refuses a structured answer, which comes as the call of a tool that does not exist.
    """
    call_id = fields.get("tool_call_id")
    failed = refused or fields.get("status") == "error"
    return failed and isinstance(call_id, str) and root.calls_with(call_id).has_not_run(call_id)


def _log(recorder: Recorder, node: Run, answer: Any, beside: list[Any]) -> None:
    name = fields_of(answer).get("name")
    run = recorder.tree.start(uuid4(), "tool", name if isinstance(name, str) else "tool", node)
    if run is None:
        return
    run.framework, run.context, run.late = node.framework, node.context, True
    found = tool_result(answer)
    recorder.tool_started(run, _arguments(run.root, found.tool_call_id or "", beside), found.tool_call_id)
    message = found.message or str(found.result["output"])
    recorder.tool_ended(run, found.result, success=False, error=message, meta={"outcome": "not run"})
    recorder.tree.end(run.run_id)


def _arguments(root: Root, call_id: str, messages: list[Any]) -> Any:
    """The arguments of a call: known from this run, or read from the message that asked, if the node returns it too."""
    if (known := root.calls_with(call_id).arguments_of(call_id)) is not None:
        return known
    asked = (call for message in messages for call in tool_calls_of(message))
    return next((call.get("args") for call in asked if call.get("id") == call_id), None)
