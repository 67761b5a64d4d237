"""Decision models: LangChain reports such a call as a chain of type `llm`, with typed questions in and answers out."""

from __future__ import annotations

from typing import Any

from coagent_langchain.capture.content import fields_of
from coagent_langchain.capture.messages import Answer, Conversation
from coagent_langchain.capture.provider_usage import from_raw
from coagent_langchain.capture.snapshot import encode_safely, snapshot
from coagent_langchain.capture.tokens import Usage
from coagent_langchain.texts import MAX_FIELD, text


def asked(request: Any) -> Conversation:
    """What the model is asked: text or state with its questions, as JSON."""
    return Conversation(_json(request))


def decided(response: Any) -> tuple[Answer, Usage | None]:
    """The answers as JSON, the model that gave them, and the tokens."""
    fields = fields_of(response)
    answer = Answer(_json(fields.get("answers", response)))
    if isinstance(model := fields.get("model"), str):
        answer.model = model
    return answer, from_raw(fields.get("usage"), cached=False)


def _json(value: Any) -> str:
    return text(encode_safely(snapshot(value)).decode().rstrip(), MAX_FIELD)
