"""Responses of models are read correctly in every provider's format."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, LLMResult

from coagent_langchain.values.answers import Answer, answer_of
from coagent_langchain.values.content import reasoning_of, text_of
from tests.fakes import CALL
from tests.reading import DIGEST

SOURCED = {"type": "text", "text": "b", "annotations": [{"type": "url_citation", "url": "https://b.example"}]}


def chat(*messages: AIMessage, **output: Any) -> LLMResult:
    """A chat model's result with a candidate for each message."""
    return LLMResult(generations=[[ChatGeneration(message=m) for m in messages]], llm_output=output or None)


@pytest.mark.parametrize(
    "message",
    [
        AIMessage([{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "a"}]),
        AIMessage([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}]),
        AIMessageChunk(
            content=["", {"type": "thinking", "thinking": [{"type": "text", "text": "hm", "index": 0}]}, "a"]
        ),
        AIMessage([{"type": "reasoning", "reasoning": "hm"}]),
        AIMessage([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}]),
        AIMessage([{"type": "reasoning_content", "reasoning_content": {"text": "hm", "signature": "x"}}]),
        AIMessage("a", additional_kwargs={"reasoning_content": "hm"}),
        AIMessage("a", additional_kwargs={"reasoning": {"summary": [{"type": "summary_text", "text": "hm"}]}}),
    ],
)
def test_reasoning_is_found(message: AIMessage) -> None:
    """Reasoning is found wherever a provider puts it, and is not part of the text."""
    assert (reasoning_of(message), answer_of(chat(message)).reasoning) == ("hm", "hm")
    assert text_of(message) in ("a", "")


def test_an_answer_has_everything() -> None:
    """Text, calls, reasoning, finish reason, model, other blocks and other candidates are read."""
    first = AIMessage(
        [
            {"type": "reasoning", "reasoning": "hm"},
            {"type": "text", "text": "It is "},
            {"type": "text", "text": "sunny."},
            {"type": "image", "base64": "aGVsbG8=", "mime_type": "image/png"},
        ],
        tool_calls=[CALL],
        response_metadata={"finish_reason": "stop", "model_name": "gpt-4o"},
    )

    found = answer_of(chat(first, AIMessage("or not", tool_calls=[CALL])))

    assert (found.text, found.tool_calls, found.reasoning) == ("It is sunny.", [CALL], "hm")
    assert (found.finish_reason, found.model) == ("stop", "gpt-4o")
    assert found.blocks == [{"type": "image", "base64": DIGEST, "mime_type": "image/png"}]
    assert found.alternatives == [{"text": "or not", "tool_calls": [CALL]}]


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("", additional_kwargs={"refusal": "I cannot."}),
        AIMessage([{"type": "refusal", "refusal": "I cannot.", "id": "msg_1"}]),
        AIMessage("", additional_kwargs={"audio": {"id": "audio_1", "transcript": "I cannot."}, "refusal": None}),
    ],
)
def test_a_refusal_and_a_voice_are_the_answers_text(message: AIMessage) -> None:
    """If an OpenAI response has no content, its refusal or its audio transcript is the text."""
    found = answer_of(chat(message))

    assert (found.text, found.tool_calls) == ("I cannot.", [])


PAINTED = {"type": "image_generation_call", "id": "1", "output_format": "png"}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (AIMessage([{"type": "text", "text": "a", "annotations": []}, SOURCED]), [SOURCED]),
        (
            AIMessage("a", additional_kwargs={"citations": ["https://a.example"], "images": [], "related": ["b?"]}),
            [{"type": "citations", "citations": ["https://a.example"]}],
        ),
        (
            AIMessage("a", response_metadata={"grounding_metadata": {"web_search_queries": ["b"]}}),
            [{"type": "grounding_metadata", "web_search_queries": ["b"]}],
        ),
        (
            AIMessage("", additional_kwargs={"audio": {"id": "1", "data": "aGVsbG8=", "transcript": "a"}}),
            [{"type": "audio", "id": "1", "data": {**DIGEST, "mime": "audio"}, "transcript": "a"}],
        ),
        (
            AIMessage("a", additional_kwargs={"tool_outputs": [{**PAINTED, "result": "aGVsbG8="}]}),
            [{"type": "tool_outputs", "tool_outputs": [{**PAINTED, "result": DIGEST}]}],
        ),
    ],
)
def test_sources_sound_and_server_tools_are_kept_beside_the_text(message: AIMessage, expected: list[Any]) -> None:
    """Citations, audio and what a provider's own tools did are kept, whether in the content or beside it."""
    found = answer_of(chat(message))

    assert (found.text, found.blocks) == (text_of(message), expected)


class Blocked(StrEnum):
    """Block reasons as in Google's SDK."""

    PROHIBITED = "PROHIBITED_CONTENT"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "max_output_tokens"),
        ({"status": "incomplete", "incomplete_details": None}, "incomplete"),
        ({"status": "completed", "incomplete_details": None}, "completed"),
        ({"prompt_feedback": {"block_reason": Blocked.PROHIBITED, "block_reason_message": None}}, "PROHIBITED_CONTENT"),
    ],
)
def test_a_reason_says_why_an_answer_is_not_whole(metadata: dict[str, Any], expected: str) -> None:
    """OpenAI's Responses API and Gemini have fields of their own for why an answer is incomplete or missing."""
    assert answer_of(chat(AIMessage("", response_metadata=metadata))).finish_reason == expected


def test_a_text_models_answer_is_read() -> None:
    """A text model's generation has the text and the finish reason."""
    result = LLMResult(generations=[[Generation(text="a", generation_info={"done_reason": "stop", "model": "llama3"})]])

    found = answer_of(result)

    assert (found.text, found.finish_reason, found.model) == ("a", "stop", "llama3")


@pytest.mark.parametrize("result", [LLMResult(generations=[]), LLMResult(generations=[[]]), None, object()])
def test_an_empty_result_is_an_empty_answer(result: Any) -> None:
    """Without a candidate, the text is unknown, not empty."""
    found = answer_of(result)

    assert (found.text, found.tool_calls) == (None, [])


def test_a_candidate_without_message_is_read() -> None:
    """A chat generation without a message still gives its text."""
    broken = ChatGeneration.model_construct(message=None, text="a", generation_info=None)

    found = answer_of(LLMResult.model_construct(generations=[[broken]], llm_output=None))

    assert found == Answer("a")


def test_a_streamed_answer_is_read_as_a_whole_one() -> None:
    """Merged chunks give text, calls and finish reason once, though merging repeats the reason."""
    pieces = [
        AIMessageChunk(content="Let me ", response_metadata={"finish_reason": "tool_calls", "model_name": "gpt-4o"}),
        AIMessageChunk(content="see", response_metadata={"finish_reason": "tool_calls", "model_name": "gpt-4o"}),
        AIMessageChunk(
            content="", tool_call_chunks=[{"index": 0, "id": "call_1", "name": "weather", "args": '{"city": '}]
        ),
        AIMessageChunk(content="", tool_call_chunks=[{"index": 0, "id": None, "name": None, "args": '"Paris"}'}]),
    ]
    merged = ChatGenerationChunk(message=pieces[0])
    for piece in pieces[1:]:
        merged += ChatGenerationChunk(message=piece)

    found = answer_of(LLMResult(generations=[[merged]]))

    assert merged.message.response_metadata["finish_reason"] == "tool_callstool_calls"
    assert (found.text, found.tool_calls) == ("Let me see", [CALL])
    assert (found.finish_reason, found.model) == ("tool_calls", "gpt-4o")


UNKNOWN = "FINISH_REASON_UNSPECIFIED"


@pytest.mark.parametrize(("last", "expected"), [("MAX_TOKENS", "MAX_TOKENS"), (UNKNOWN, UNKNOWN)])
def test_a_stream_that_has_a_reason_only_at_its_end_has_that_one(last: str, expected: str) -> None:
    """Vertex AI's chunks say until the last that they have none; merging puts all of it in front of the reason."""
    merged = ChatGenerationChunk(message=AIMessageChunk("a", response_metadata={"finish_reason": UNKNOWN}))
    for reason in [*[UNKNOWN] * 50, last]:
        merged += ChatGenerationChunk(message=AIMessageChunk("a", response_metadata={"finish_reason": reason}))

    assert answer_of(LLMResult(generations=[[merged]])).finish_reason == expected
