"""A model's response as plain values: text, tool calls, reasoning, tokens, whatever the provider."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from coagent_langchain.texts import bounded
from coagent_langchain.values.content import (
    BESIDE_CONTENT,
    calls_in,
    other_blocks,
    reasoning_of,
    said_beside,
    text_of,
    tool_calls_of,
)
from coagent_langchain.values.fields import as_dict, fields_of
from coagent_langchain.values.provider_usage import from_raw
from coagent_langchain.values.usage import usage

if TYPE_CHECKING:
    from langchain_core.outputs import LLMResult

    from coagent_langchain.values.tokens import Usage

_MORE = BESIDE_CONTENT | {"reasoning_content", "reasoning"}  # in `additional_kwargs`, often just `{"refusal": None}`


@dataclass(slots=True)
class Answer:
    """A model's response.

    Attributes:
        text: the first candidate's text; "" when it only called tools, None when there is no candidate.
        tool_calls: `{id, name, args}` each; one that could not be parsed has `invalid` and keeps its arguments as text.
        message_id: the id of the first candidate's message.
        reasoning: the model's reasoning, if the provider returns it.
        finish_reason: in the provider's words.
        model: the model that answered, in the provider's words.
        provider: of that model, as its integration names it.
        blocks: other content of the first candidate (images, audio, citations, server tools), media described.
        alternatives: the other candidates, as `{text, tool_calls?}`.
        usage: the tokens, if known.
    """

    text: str | None = None
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    message_id: Any = None
    reasoning: str | None = None
    finish_reason: str | None = None
    model: str | None = None
    provider: str | None = None
    blocks: list[Any] = field(default_factory=list)
    alternatives: list[dict[str, Any]] = field(default_factory=list)
    usage: Usage | None = None


def answer_of(result: LLMResult, batch_size: int = 1) -> Answer:
    """A chat or text model's response, streamed or not; of an empty or malformed result, what can be read.

    Parameters:
        result: as given to `on_llm_end` or `on_llm_error`.
        batch_size: prompts of the call.
    """
    candidates, output = _generations_of(result), as_dict(getattr(result, "llm_output", None))
    answer = _of_candidate(candidates[0], output) if candidates else Answer(model=_first_text(_MODEL_KEYS, output))
    answer.usage = usage(result, candidates, batch_size)
    if len(candidates) > 1:
        answer.alternatives = [_alternative(generation) for generation in candidates[1:]]
    return answer


def _of_candidate(generation: Any, output: dict[Any, Any]) -> Answer:
    """The response that a generation holds; `output` is what the provider says of the whole result."""
    message = getattr(generation, "message", None)
    fields = fields_of(message)
    info = as_dict(getattr(generation, "generation_info", None))
    metadata = as_dict(fields.get("response_metadata"))
    content = fields.get("content")
    said = content if type(content) is str else _text(generation)
    extra, more = fields.get("additional_kwargs"), type(content) is list
    if extra and isinstance(extra, dict):
        said = said or said_beside(extra)
        more = more or not _MORE.isdisjoint(extra)
    answer = Answer(bounded(said), calls_in(fields), fields.get("id"))
    answer.finish_reason = _first_text(_FINISH_KEYS, info, metadata, output)
    if metadata and answer.finish_reason in (None, "incomplete"):
        answer.finish_reason = _why_not(metadata) or answer.finish_reason
    answer.model = _first_text(_MODEL_KEYS, metadata, output, info)
    provider = metadata.get("model_provider")
    if isinstance(provider, str):
        answer.provider = provider
    if more:
        answer.reasoning = reasoning_of(message)
    if more or (metadata and not BESIDE_CONTENT.isdisjoint(metadata)):
        answer.blocks = other_blocks(fields, answer.tool_calls)
    return answer


def add_answer_in_error(answer: Answer, error: BaseException) -> None:
    """Add what an exception carries of the answer: OpenAI's client raises if a structured one was cut off."""
    completion = fields_of(fields_of(error).get("completion"))  # of a `LengthFinishReasonError`
    used = from_raw(completion.get("usage"))
    if used is None:
        return
    answer.usage = used
    model, choices = completion.get("model"), completion.get("choices")
    if isinstance(model, str):
        answer.model = model
    if isinstance(choices, list) and choices:
        said = fields_of(fields_of(choices[0]).get("message")).get("content")
        if isinstance(said, str):
            answer.text = bounded(said)


def _generations_of(result: Any) -> list[Any]:
    """All candidates of a result, in order; an empty list for anything that is not a result."""
    outer = getattr(result, "generations", None)
    if type(outer) is list and len(outer) == 1:
        inner = outer[0]
        if type(inner) is list and len(inner) == 1 and inner[0] is not None:
            return inner  # nearly always
    if not isinstance(outer, (list, tuple)):
        return []
    return [g for inner in outer for g in (inner if isinstance(inner, (list, tuple)) else [inner]) if g is not None]


def _text(generation: Any) -> str:
    message = getattr(generation, "message", None)
    if message is not None:
        return text_of(message)
    own = getattr(generation, "text", "")
    return own if isinstance(own, str) else ""


def _alternative(generation: Any) -> dict[str, Any]:
    calls = tool_calls_of(getattr(generation, "message", None))
    return {"text": bounded(_text(generation)), **({"tool_calls": calls} if calls else {})}


_FINISH_KEYS = ("finish_reason", "stop_reason", "stopReason", "done_reason", "status")
_NO_REASON_YET = "FINISH_REASON_UNSPECIFIED"  # in all of Vertex AI's chunks but the last
_MODEL_KEYS = ("model_name", "model", "model_id", "modelId", "ls_model_name")


def _why_not(metadata: dict[Any, Any]) -> str | None:
    """Why the response is incomplete: from OpenAI's Responses API, or from Gemini when it blocks a prompt."""
    incomplete, blocked = as_dict(metadata.get("incomplete_details")), as_dict(metadata.get("prompt_feedback"))
    return _first_text(("reason", "block_reason"), incomplete, blocked)


def _first_text(keys: tuple[str, ...], *places: dict[Any, Any]) -> str | None:
    """The first text under one of the keys; only once if merged chunks repeated it (`stopstop`)."""
    for place in places:
        for key in keys if place else ():
            value = place.get(key)
            if value and isinstance(value, str):
                said = value.replace(_NO_REASON_YET, "") or value
                again = (said + said).find(said, 1)
                return bounded(said[:again], 1000)
    return None
