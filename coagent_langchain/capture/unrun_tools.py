"""Tool calls answered without running a tool: the model made it up, or a middleware refused or answered the call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from coagent_langchain.capture.content import fields_of, tool_calls_of
from coagent_langchain.capture.recorder import Recorder
from coagent_langchain.capture.root import Root
from coagent_langchain.capture.run import Run
from coagent_langchain.capture.tools import failure_text, tool_result
from coagent_langchain.capture.updates import messages_in

_ABSENT = object()


def log_unrun_tools(recorder: Recorder, node: Run, updates: Sequence[Any]) -> None:
    """Log the tool calls that a graph node answers itself: as LangChain ran no tool, no hook reports them.

    Parameters:
        node: the node that ends.
        updates: what it returned, from `updates_of`.
    """
    root = node.root
    if root.prompt is None or root.prompt.course.pending.tool_calls.all_ran:
        return
    for update in updates:
        messages = messages_in(update)
        structured = dict.get(update, "structured_response", _ABSENT) if isinstance(update, dict) else _ABSENT
        for message in messages:
            # A structured response comes as a call of a tool that does not exist; None is one that the agent rejected.
            failed = structured is None or fields_of(message).get("status") == "error"
            if (failed or structured is _ABSENT) and _is_unrun(root, message):
                name, arguments = _asked(root, message, messages)
                if name not in root.unasked_tools:
                    _log(recorder, node, message, name, arguments, failed)


def _is_unrun(root: Root, answer: Any) -> bool:
    """Whether a message answers a known call for which no tool has run so far."""
    call_id = fields_of(answer).get("tool_call_id")
    return isinstance(call_id, str) and root.calls_with(call_id).has_not_run(call_id)


def _log(recorder: Recorder, node: Run, answer: Any, name: str, arguments: Any, failed: bool) -> None:
    run = recorder.tree.start(uuid4(), "tool", name, node)
    if run is None:
        return
    run.framework, run.context, run.late = node.framework, node.context, True
    found = tool_result(answer)
    run.tool_call_id = found.tool_call_id
    recorder.tool_started(run, arguments)
    error = failure_text(found.result["output"]) if failed else None
    outcome = "not run" if failed else "answered by node"
    recorder.tool_ended(run, found.result, success=not failed, error=error, meta={"outcome": outcome})
    recorder.tree.end(run.run_id)


def _asked(root: Root, answer: Any, beside: list[Any]) -> tuple[str, Any]:
    """The name and arguments of a call: as noted in this run, else from the requesting message, if it is there too."""
    fields = fields_of(answer)
    call_id, name = fields["tool_call_id"], fields.get("name")
    call = root.calls_with(call_id).call(call_id)
    if call is None:
        asked = (call for message in beside for call in tool_calls_of(message))
        call = next((call for call in asked if call.get("id") == call_id), {})
    name = name or call.get("name")
    return name if isinstance(name, str) else "tool", call.get("args")
