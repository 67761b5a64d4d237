"""The answer in an exception: OpenAI's client raises `LengthFinishReasonError` if a structured one was cut off."""

from __future__ import annotations

from coagent_langchain.texts import bounded
from coagent_langchain.values.answers import Answer
from coagent_langchain.values.content import fields_of
from coagent_langchain.values.provider_usage import from_raw


def add_unparsed(told: Answer, error: BaseException) -> None:
    """Add the model, text and tokens of the answer that an exception carries to what is known of it, if it does."""
    completion = fields_of(fields_of(error).get("completion"))
    used = from_raw(completion.get("usage"), cached=False)
    if used is None:
        return
    told.usage = used
    model, choices = completion.get("model"), completion.get("choices")
    if isinstance(model, str):
        told.model = model
    if isinstance(choices, list) and choices:
        said = fields_of(fields_of(choices[0]).get("message")).get("content")
        if isinstance(said, str):
            told.text = bounded(said)
