"""Titled parts of an entry's content: texts, values, answers, and whatever several event types share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from markupsafe import Markup

from coagent_langchain.server.presentation import formats
from coagent_langchain.server.presentation.blocks import media
from coagent_langchain.server.presentation.entries import of_a_handler, own_words
from coagent_langchain.server.presentation.jsonview import INLINE, parsed, rest, shown, tree
from coagent_langchain.server.presentation.prose import prose
from coagent_langchain.server.presentation.values import mapping, text
from coagent_langchain.wire import JsonObject, JsonPath

MAX_WORDS = 40  # how many of a node's own messages are shown


@dataclass(slots=True)
class Part:
    """A titled piece of content.

    Attributes:
        kind: text, prose, json, code, bad or button.
        path: where the copy button finds the whole text; None if there is no button.
        brief: the line that is shown while it is folded: its beginning, or the tools that it calls.
        alike: for an error, the words to search for similar errors in all sessions.
    """

    title: str
    content: Markup
    kind: str = "text"
    path: str | None = None
    folded: bool = False
    brief: str = ""
    alike: str = ""


def of_text(title: str, value: str, ref: str, path: JsonPath, kind: str = "text", *, folded: bool = False) -> Part:
    """Make a part from a text."""
    return Part(title, shown(value, ref, path), kind, orjson.dumps(path).decode(), folded, formats.brief(value))


def of_value(title: str, value: Any, ref: str, path: JsonPath) -> Part:
    """Make a part from any JSON value, including one that was logged as text."""
    inner = parsed(value) if isinstance(value, str) else value
    if isinstance(value, str) and inner is None:
        return of_text(title, value, ref, path)
    return Part(title, tree(inner, ref, path), "json", orjson.dumps(path).decode(), brief=formats.brief(value))


def of_answer(title: str, value: str, ref: str, path: JsonPath) -> Part:
    """Make a part from the answer of a model or session: like any value, but with text as prose."""
    part = of_value(title, value, ref, path)
    if part.kind == "text":
        part.kind, part.content = "prose", prose(value[:INLINE]) + rest(value, ref, path)
    return part


def of_words(fields: JsonObject, ref: str) -> list[Part]:
    """Make parts from a node's own messages, which its exit contains."""
    words = own_words(fields)
    said = [
        of_answer("Says", message, ref, ["output_data", "messages", place, "content"])
        for place, message in enumerate(words[:MAX_WORDS])
        if message
    ]
    return said + unshown("Says", words, MAX_WORDS)


def unshown(title: str, values: Sequence[Any], most: int) -> list[Part]:
    """Make a part that says that values beyond `most` are only in Raw; nothing if there are none."""
    left = len(values) - most
    return [Part(title, Markup('<p class="muted">… {} more, see Raw</p>').format(left))] if left > 0 else []


def chips(value: Any) -> Markup:
    """The images and files in a value, as chips below its text; empty if there are none."""
    found = Markup("").join(Markup('<span class="chip">{}</span>').format(name) for name in media(value))
    return found and Markup('<div class="chips">{}</div>').format(found)


def of_result(result: Any, ref: str) -> list[Part]:
    """Make parts from a tool's result: the output with its images and files, the artifact and the command."""
    path: JsonPath = ["tool_response", "result"]
    if not of_a_handler(result):
        return [of_value("Result", result, ref, path)]
    titles = {"output": "Result", "artifact": "Artifact", "command": "Command"}
    parts = [of_value(title, result[name], ref, [*path, name]) for name, title in titles.items() if name in result]
    parts[0].content += chips(result["output"])
    return parts


def of_reasoning(fields: JsonObject, ref: str) -> list[Part]:
    """Make a part from a model's reasoning, if it gave any."""
    reasoning = text(mapping(fields.get("meta")).get("reasoning"))
    return [of_text("Reasoning", reasoning, ref, ["meta", "reasoning"], folded=True)] if reasoning else []


def of_stack(fields: JsonObject, ref: str) -> list[Part]:
    """Make a part from an error's stack trace, if it has one."""
    trace = text(mapping(fields.get("error_info")).get("stack_trace"))
    return [of_text("Stack trace", trace, ref, ["error_info", "stack_trace"], "code")] if trace else []


def of_partial(fields: JsonObject, ref: str) -> list[Part]:
    """Make a part from what a model had answered before its stream broke off."""
    arrived = text(mapping(fields.get("output_data")).get("partial_response"))
    return [of_answer("Partial answer", arrived, ref, ["output_data", "partial_response"])] if arrived else []
