"""Tool calls, tool results and retrieved documents as plain values."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from types import NoneType
from typing import Any

from coagent_langchain.exceptions import without_secrets
from coagent_langchain.values.commands import is_command
from coagent_langchain.values.content import joined, plain_content
from coagent_langchain.values.encoding import as_json
from coagent_langchain.values.fields import fields_of, members_of, type_in
from coagent_langchain.values.snapshot import snapshot
from coagent_langchain.values.updates import updates_of
from coagent_langchain.wire import JsonObject

_MAX_DOCUMENTS = 50
_MAX_PAGE = 2_000  # characters of one document that the event keeps
_MAX_METADATA = 100  # entries of one document's metadata, which may hold its vector
_MAX_ARTIFACT = 1_000  # entries of an artifact
_MAX_LITERAL = 100_000  # characters of an argument text that is read as a Python literal
# A dict of arguments as `repr` writes it. For other texts, Python's parser may issue warnings to the application: about
# an invalid escape in a string, or a letter directly after a number. It may also overflow the stack of a small thread,
# which ends the process: a chain of signs or calls nests too deep. So a comma, a colon or a closing bracket follows
# each value. No part is tried again, so that it is linear.
_DICT = re.compile(
    r"""\{(?:(?:'(?:[^'\\]|\\[\\'"nrtxuU])*+' | "(?:[^"\\]|\\[\\'"nrtxuU])*+"
        | -?\d++(?:\.\d++)?(?:e[+-]?\d++)?(?:[+-]\d++(?:\.\d++)?(?:e[+-]?\d++)?)?j?(?!\w) | None | True | False
        | set\(\) | [)\]}])(?=\s*+(?:[,:)\]}]|\Z)) | [\s({\[,:])*+""",
    re.VERBOSE,
)


@dataclass(slots=True)
class ToolResult:
    """What a tool returned; `message` says why it failed, without secrets (which stay in `result`, as content)."""

    result: JsonObject
    failed: bool = False
    message: str = ""
    tool_call_id: str | None = None


def tool_arguments(inputs: Any, input_str: Any) -> Any:
    """The arguments of a tool: the dict if LangChain passes one, else the dict in its text, else that text."""
    if isinstance(inputs, Mapping):
        return inputs
    if isinstance(input_str, str) and len(input_str) <= _MAX_LITERAL and _DICT.fullmatch(input_str):
        try:
            found = ast.literal_eval(input_str)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return input_str
        if isinstance(found, dict):
            return found
    return input_str


def tool_result(output: Any, tool_call_id: str | None = None) -> ToolResult:
    """Read a tool's output: a `ToolMessage` with its status and artifact, a `Command`, a list of them, or any object.

    Content blocks that hold only text, as MCP tools return, become one text.
    """
    if type_in(fields_of(output)) == "tool":
        return read_tool_message(output)
    if is_command(output):
        return _commanded(output, tool_call_id)
    if isinstance(output, list) and output and all(map(_is_for_graph, output)):
        found = _of_parts([tool_result(each, tool_call_id) for each in output], tool_call_id)
        if found.result:  # else none of them answers the call
            return found
    return ToolResult({"output": snapshot(output)})


def read_tool_message(answer: Any) -> ToolResult:
    """Read a message that answers a tool call: a `ToolMessage`, or the dict that LangGraph accepts in its place."""
    fields = members_of(answer)
    content = fields.get("content")
    said = snapshot(content) if type(content) is str else plain_content(content, None)
    result: JsonObject = {"output": said}
    if fields.get("artifact") is not None:
        result["artifact"] = snapshot(fields["artifact"], _MAX_PAGE, _MAX_ARTIFACT)
    failed = fields.get("status") == "error"
    call_id = fields.get("tool_call_id")
    message = failure_text(said) if failed else ""
    return ToolResult(result, failed, message, call_id if isinstance(call_id, str) else None)


def failure_text(output: Any) -> str:
    """The text of a failed tool's plain output, without secrets."""
    return without_secrets(output if isinstance(output, str) else joined(output, "\n") or as_json(output))


def _is_for_graph(part: Any) -> bool:
    return is_command(part) or type_in(fields_of(part)) == "tool"


def _of_parts(parts: Sequence[ToolResult], tool_call_id: str | None) -> ToolResult:
    """One result of several: the message that answers the call, and what all the commands do."""
    answers = (part for part in parts if "output" in part.result and tool_call_id in (None, part.tool_call_id))
    said = next(answers, ToolResult({}))
    done = [command for part in parts if (command := part.result.get("command"))]
    output = {name: value for name, value in said.result.items() if name != "command"}
    return replace(said, result={**output, "command": done[0] if len(done) == 1 else done} if done else output)


def _commanded(command: Any, tool_call_id: str | None) -> ToolResult:
    """Read a tool's `Command`: its answer and what else it does to the graph; other messages have their own events."""
    (update,) = updates_of(command)
    goto = command.goto
    targets = list(goto) if isinstance(goto, (list, tuple)) else [goto]
    states = [update, *(getattr(target, "arg", None) for target in targets)]
    parts = [_target(target) for target in targets]
    facts = {
        "graph": command.graph,
        "goto": parts if isinstance(goto, (list, tuple)) else parts[0],
        "update": _without_messages(update),
    }
    done = {name: fact for name, fact in facts.items() if not isinstance(fact, (tuple, list, dict, NoneType)) or fact}
    said = next(filter(None, (_said_in(state, tool_call_id) for state in states)), ToolResult({}))
    if said.result and not done:  # it only answers
        return said
    return replace(said, result={**said.result, "command": snapshot(done)})


def _target(target: Any) -> Any:
    """One target of a command: a node's name, or a `Send` to one, as a dict."""
    if not hasattr(target, "arg"):
        return target
    return {"node": target.node, "arg": _without_messages(target.arg)}


def _without_messages(state: Any) -> Any:
    return {k: v for k, v in dict.items(state) if k != "messages"} if isinstance(state, dict) else state


def _said_in(state: Any, tool_call_id: str | None) -> ToolResult | None:
    """The message in a state that answers the tool call; the state may hold a whole conversation."""
    messages = dict.get(state, "messages") if isinstance(state, dict) else None
    for message in reversed(messages) if isinstance(messages, list) else ():
        if tool_call_id is not None and members_of(message).get("tool_call_id") == tool_call_id:
            return read_tool_message(message)
    return None


def documents_summary(found: Any) -> JsonObject:
    """Summarize retrieved documents: how many, and the beginning and metadata of the first ones."""
    if not issubclass(type(found), Sequence):
        return {"output": snapshot(found)}
    kept = []
    for document in islice(found, _MAX_DOCUMENTS):
        fields = fields_of(document)
        item = {"page_content": snapshot(fields.get("page_content", document), _MAX_PAGE)}
        for name in ("id", "metadata"):
            if fields.get(name):
                item[name] = snapshot(fields[name], _MAX_PAGE, _MAX_METADATA)
        kept.append(item)
    return {"count": len(found), "documents": kept}
