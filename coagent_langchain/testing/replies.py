"""The replies of a scripted stand-in, and the requests that it receives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from coagent_langchain.wire import JsonObject


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool call in the stand-in's answer."""

    name: str
    arguments: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the stand-in; a plain string is an `Answer` with that text.

    Attributes:
        thinking: reasoning, sent before the text.
        reason: `done_reason`, e.g. "stop" or "length".
    """

    text: str = ""
    tools: tuple[ToolUse, ...] = ()
    thinking: str = ""
    reason: str = "stop"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error instead of an answer.

    Attributes:
        after: when None, respond with the status; else stream this many pieces of `text`, then cut the connection. A
            client that does not stream gets no piece.
        text: what is streamed before the cut.
    """

    message: str = "a scripted failure"
    status: int = 500
    after: int | None = None
    text: str = "An answer that breaks off in the middle of its sentence"


@dataclass(frozen=True, slots=True)
class OllamaRequest:
    """A client's request: one call of `/api/chat` or `/api/generate`.

    Attributes:
        body: the JSON as received.
        messages: for `/api/generate`, system and prompt as messages.
    """

    path: str
    body: JsonObject
    messages: list[JsonObject]

    @property
    def prompt(self) -> str:
        """The text of the last user message."""
        return next((m.get("content") or "" for m in reversed(self.messages) if m.get("role") == "user"), "")

    @property
    def tools(self) -> list[str]:
        """The names of the tools offered."""
        return [tool["function"]["name"] for tool in self.body.get("tools") or []]


Reply = str | Mapping[str, Any] | BaseModel | ToolUse | Answer | Failure
Script = Callable[[OllamaRequest], Reply] | Iterable[Reply]


def as_answer(reply: Reply) -> Answer | Failure:
    """Convert a reply of any kind to what is sent.

    Raises:
        TypeError: it is not a valid reply.
    """
    match reply:
        case Answer() | Failure():
            return reply
        case str():
            return Answer(reply)
        case ToolUse():
            return Answer(tools=(reply,))
        case BaseModel():
            return Answer(reply.model_dump_json())
        case Mapping():
            return Answer(json.dumps(dict(reply), ensure_ascii=False))
        case _:
            raise TypeError(f"a reply must be a str, mapping, pydantic model, ToolUse, Answer or Failure: {reply!r}")


def as_answers(replies: Iterable[Reply]) -> list[Answer | Failure]:
    """Convert each reply of a list to what is sent.

    Raises:
        TypeError: one is invalid, or a single reply is given instead of a list, such as a string, which is iterable.
    """
    if isinstance(replies, str | Mapping | BaseModel | ToolUse | Answer | Failure):
        raise TypeError(f"the script must be a list of replies, or a function: [{replies!r:.80}]")
    return [as_answer(reply) for reply in replies]


def told(script: Callable[[OllamaRequest], Reply], request: OllamaRequest) -> Answer | Failure:
    """A function's reply to a request; a failure that says so if the function raises."""
    try:
        return as_answer(script(request))
    except Exception as error:  # noqa: BLE001 - a user's function: the client under test shall see what is wrong with it
        return Failure(f"the script raised {type(error).__name__}: {error}")
