"""The answer in an exception: OpenAI's client raises `LengthFinishReasonError` if a structured one was cut off."""

from __future__ import annotations

from coagent_langchain.capture.content import fields_of
from coagent_langchain.capture.messages import Answer
from coagent_langchain.capture.provider_usage import from_raw
from coagent_langchain.texts import text


def unparsed(error: BaseException) -> Answer | None:
    """The model, text and tokens of the answer that an exception carries; None if it carries none."""
    completion = fields_of(fields_of(error).get("completion"))
    used = from_raw(completion.get("usage"), cached=False)
    if used is None:
        return None
    model, choices = completion.get("model"), completion.get("choices")
    found = Answer(model=model if isinstance(model, str) else None, usage=used)
    if isinstance(choices, list) and choices:
        said = fields_of(fields_of(choices[0]).get("message")).get("content")
        found.text = text(said) if isinstance(said, str) else None
    return found
