"""Decision models: LangChain reports these model calls as chains, with typed questions in and typed answers out."""

from __future__ import annotations

from typing import Any

import orjson

from coagent_langchain.capture.content import fields_of
from coagent_langchain.capture.messages import Answer, Conversation
from coagent_langchain.capture.provider_usage import from_raw
from coagent_langchain.capture.snapshot import snapshot
from coagent_langchain.capture.tokens import Usage
from coagent_langchain.texts import MAX_FIELD, text


def is_model_call(named: dict[str, Any]) -> bool:
    """Whether a chain, by its start hook's further arguments, is the call of a model."""
    return named.get("run_type") == "llm"


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
    return text(orjson.dumps(snapshot(value)).decode(), MAX_FIELD)
