"""Titled parts of an entry's content: texts, values, answers, and whatever several event types share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from coagent_langchain.server.presentation import formats
from coagent_langchain.server.presentation.blocks import media
from coagent_langchain.server.presentation.entries import is_handler_result
from coagent_langchain.server.presentation.jsonview import INLINE, parsed, rest, shown, tree
from coagent_langchain.server.presentation.prose import prose
from coagent_langchain.server.presentation.values import Value

MAX_WORDS = 40  # how many of a node's own messages are shown


@dataclass(slots=True)
class Part:
    """A titled piece of content.

    Attributes:
        kind: text, prose, json, code, bad or button.
        source: the value that it shows, which the copy button fetches as a whole; None if there is no button.
        brief: the line that is shown while it is folded: its beginning, or the tools that it calls.
        alike: for an error, the words to search for similar errors in all sessions.
    """

    title: str
    content: Markup
    kind: str = "text"
    source: Value | None = None
    folded: bool = False
    brief: str = ""
    alike: str = ""

    @property
    def path(self) -> str | None:
        """The path of its source, as JSON."""
        return self.source.where if self.source else None


def of_text(title: str, value: Value, kind: str = "text", *, folded: bool = False) -> Part:
    """Make a part from a text."""
    return Part(title, shown(value), kind, value, folded, formats.brief(value.text))


def of_value(title: str, value: Value) -> Part:
    """Make a part from any JSON value, including one that was logged as text."""
    inner = parsed(value.text)
    if inner is None and isinstance(value.value, str):
        return of_text(title, value)
    content = tree(replace(value, value=inner or value.value))
    return Part(title, content, "json", value, brief=formats.brief(value.value))


def of_answer(title: str, value: Value) -> Part:
    """Make a part from the answer of a model or session: like any value, but with text as prose."""
    part = of_value(title, value)
    if part.kind == "text":
        part.kind, part.content = "prose", prose(value.text[:INLINE]) + rest(value)
    return part


def of_words(entry: Value) -> list[Part]:
    """Make parts from a node's own messages, which its exit contains."""
    words = [message.at("content") for message in entry.at("output_data", "messages").each]
    said = [of_answer("Says", each) for each in words[:MAX_WORDS] if each.text]
    return said + omitted("Says", words, MAX_WORDS)


def remark(words: str) -> Markup:
    """The viewer's own words in the place of content, in a colour that tells them from what was logged."""
    return Markup('<p class="muted">{}</p>').format(words)


def omitted(title: str, values: Sequence[Any], most: int) -> list[Part]:
    """Make a part that says that values beyond `most` are only in Raw; nothing if there are none."""
    left = len(values) - most
    return [Part(title, remark(f"… {left} more, see Raw"))] if left > 0 else []


def chips(value: Any) -> Markup:
    """The images and files in a value, as chips below its text; empty if there are none."""
    found = Markup("").join(Markup('<span class="chip">{}</span>').format(name) for name in media(value))
    return found and Markup('<div class="chips">{}</div>').format(found)


def of_result(result: Value) -> list[Part]:
    """Make parts from a tool's result: the output with its images and files, the artifact and the command."""
    if not is_handler_result(result.value):
        return [of_value("Result", result)]
    titles = {"output": "Result", "artifact": "Artifact", "command": "Command"}
    parts = [of_value(title, result.at(name)) for name, title in titles.items() if name in result.value]
    parts[0].content += chips(result.value["output"])
    return parts


def of_reasoning(entry: Value) -> list[Part]:
    """Make a part from a model's reasoning, if it gave any."""
    reasoning = entry.at("meta", "reasoning")
    return [of_text("Reasoning", reasoning, folded=True)] if reasoning.text else []


def of_stack(entry: Value) -> list[Part]:
    """Make a part from an error's stack trace, if it has one."""
    trace = entry.at("error_info", "stack_trace")
    return [of_text("Stack trace", trace, "code")] if trace.text else []


def of_partial(entry: Value) -> list[Part]:
    """Make a part from what a model had answered before its stream broke off."""
    arrived = entry.at("output_data", "partial_response")
    return [of_answer("Partial answer", arrived)] if arrived.text else []
