"""Token usage comes from one source, includes cached tokens, and is absent if unknown."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st
from langchain_anthropic import ChatAnthropic
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, GenerationChunk, LLMResult
from langchain_ollama import ChatOllama, OllamaLLM
from langchain_openai import ChatOpenAI
from openai.types import CompletionUsage

from coagent_langchain.testing import OllamaStandIn
from coagent_langchain.values.answers import answer_of
from coagent_langchain.values.provider_usage import from_raw
from coagent_langchain.values.tokens import Usage, cache_tokens

OPENAI = {
    "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 8, "audio_tokens": 2},
}  # fmt: skip
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}, "logprobs": None}
ANTHROPIC = {
    "input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 200,
    "cache_creation": {"ephemeral_5m_input_tokens": 150, "ephemeral_1h_input_tokens": 50},
}  # fmt: skip


def usage(result: Any, batch_size: int = 1) -> Usage | None:
    """The tokens of the answer in a result."""
    return answer_of(result, batch_size).usage


def chat(
    standard: Any = None, metadata: Any = None, info: Any = None, output: Any = None, further: Any = None
) -> LLMResult:
    """A chat result with usage in the given places."""
    message = AIMessage("hi", response_metadata=metadata or {}, additional_kwargs=further or {})
    message.usage_metadata = standard
    return LLMResult(generations=[[ChatGeneration(message=message, generation_info=info)]], llm_output=output)


def openai(**more: Any) -> LLMResult:
    """A result as langchain-openai creates it from an API response."""
    model = ChatOpenAI(model="gpt-4o", api_key="x")
    response = {
        "id": "1",
        "created": 1,
        "object": "chat.completion",
        "model": "gpt-4o",
        "choices": [CHOICE],
        "usage": OPENAI,
    }
    made = model._create_chat_result({**response, **more})
    return LLMResult(generations=[[*made.generations]], llm_output=made.llm_output)


def anthropic() -> LLMResult:
    """A result as langchain-anthropic creates it from an API response."""
    response = Message.model_validate({
        "id": "1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": "end_turn",
        "stop_sequence": None, "content": [{"type": "text", "text": "hi"}], "usage": ANTHROPIC,
    })  # fmt: skip
    made = ChatAnthropic.model_validate({"model": "claude-sonnet-4-5", "api_key": "x"})._format_output(response)
    return LLMResult(generations=[[*made.generations]], llm_output=made.llm_output)


def numbers(found: Usage | None) -> tuple[Any, ...]:
    """Input, output and total tokens."""
    assert found is not None
    return found.input_tokens, found.output_tokens, found.total_tokens


def test_openais_input_includes_what_was_cached() -> None:
    """OpenAI's input includes the cached part; details are kept unchanged."""
    found = usage(openai())

    assert numbers(found) == (100, 20, 120)
    assert found.details == {
        "input_token_details": {"audio": 3, "cache_read": 64},
        "output_token_details": {"audio": 2, "reasoning": 8},
    }
    assert not found.cached


@pytest.mark.parametrize("tier", ["flex", "priority"])
def test_keys_of_openais_service_tiers_are_kept(tier: str) -> None:
    """A service tier's keys are kept, and its cached input is recognised."""
    found = usage(openai(service_tier=tier))

    assert numbers(found) == (100, 20, 120)
    assert found.details["input_token_details"] == {"audio": 3, f"{tier}_cache_read": 64, tier: 36}
    assert cache_tokens(found.details["input_token_details"]) == 64


def test_openais_tokens_of_several_candidates_are_counted_once() -> None:
    """Each candidate repeats the response's tokens, which are counted once."""
    assert numbers(usage(openai(choices=[CHOICE, {**CHOICE, "index": 1}]))) == (100, 20, 120)


def test_candidates_of_different_calls_are_summed() -> None:
    """Candidates with different usage are added up, including details; of what is no number, the first is kept."""
    parts: Any = [{"input_tokens": 1, "output_tokens": n, "total_tokens": 1 + n,
                   "output_token_details": {"reasoning": n, "audio": a}} for n, a in ((2, 4), (3, None))]  # fmt: skip
    messages = [AIMessage(""), AIMessage("")]
    for message, part in zip(messages, parts, strict=True):
        message.usage_metadata = part
    result = LLMResult(generations=[[ChatGeneration(message=message) for message in messages]])

    found = usage(result)

    assert numbers(found) == (2, 5, 7)
    assert found.details == {"output_token_details": {"reasoning": 5, "audio": 4}}


def test_openais_stream_gives_the_same_numbers() -> None:
    """Merged chunks, the last with the usage, give the same numbers without any llm_output."""
    model = ChatOpenAI(model="gpt-4o", api_key="x")
    chunks = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "model": "gpt-4o"},
        {"choices": [], "usage": OPENAI},
    ]
    parts = [model._convert_chunk_to_generation_chunk(chunk, AIMessageChunk, {}) for chunk in chunks]
    merged = parts[0] + parts[1] + parts[2]

    found = usage(LLMResult(generations=[[merged]]))

    assert numbers(found) == (100, 20, 120)
    assert found.details["input_token_details"]["cache_read"] == 64


def test_anthropics_input_includes_what_was_cached() -> None:
    """Anthropic's input includes the cached part; cache writes by lifetime are kept even if their total is 0."""
    found = usage(anthropic())

    assert numbers(found) == (1205, 7, 1212)
    assert found.details["input_token_details"] == {
        "cache_read": 1000, "cache_creation": 0, "ephemeral_5m_input_tokens": 150, "ephemeral_1h_input_tokens": 50,
    }  # fmt: skip
    assert cache_tokens(found.details["input_token_details"]) == 1200


def test_anthropic_raw_is_made_inclusive_and_not_merged() -> None:
    """The provider's own numbers exclude the cache: they are made inclusive, or ignored beside LangChain's."""
    result = anthropic()
    both = usage(result)
    result.generations[0][0].message.usage_metadata = None
    alone = usage(result)

    assert numbers(both) == numbers(alone) == (1205, 7, 1212)
    assert alone.details["input_token_details"]["cache_read"] == 1000
    assert alone.details["raw"]["input_tokens"] == 5


@pytest.mark.parametrize(
    ("raw", "expected", "details"),
    [
        (OPENAI, (100, 20, 120), {"cache_read": 64, "audio": 3}),
        ({"prompt_tokens": 9, "completion_tokens": 1}, (9, 1, 10), None),
        ({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 9}, (9, 1, 10), None),
        ({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 15}, (9, 1, 15), None),
        (
            {"input_tokens": 9, "output_tokens": 1, "input_tokens_details": {"cached_tokens": 4}},
            (9, 1, 10), {"cache_read": 4},
        ),
        ({"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 4}, (9, 1, 10), {"cache_read": 4}),
        (
            {"inputTokens": 5, "outputTokens": 7, "totalTokens": 1212, "cacheReadInputTokens": 1000,
             "cacheWriteInputTokens": 200},
            (1205, 7, 1212), {"cache_read": 1000, "cache_creation": 200},
        ),
        (
            {"inputTokenCount": 5, "outputTokenCount": 7, "cacheReadInputTokenCount": 10},
            (15, 7, 22), {"cache_read": 10},
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 60, "cache_read_input_tokens": 1000,
             "cache_write_input_tokens": 200, "total_tokens": 1270},
            (1210, 60, 1270), {"cache_read": 1000, "cache_creation": 200},
        ),
        (
            {"prompt_tokens": 1210, "completion_tokens": 60, "cache_read_input_tokens": 1000,
             "cache_creation_input_tokens": 200, "total_tokens": 1270},
            (1210, 60, 1270), {"cache_read": 1000, "cache_creation": 200},
        ),
        ({"inputTokenCount": [2, 3], "outputTokenCount": [7]}, (5, 7, 12), None),
        (
            {"prompt_token_count": 10, "candidates_token_count": 5, "thoughts_token_count": 3,
             "cached_content_token_count": 4, "total_token_count": 18},
            (10, 8, 18), {"cache_read": 4},
        ),
        (
            {"prompt_token_count": 10, "candidates_token_count": 5, "tool_use_prompt_token_count": 2,
             "total_token_count": 17},
            (12, 5, 17), None,
        ),
        ({"input_token_count": 6, "generated_token_count": 2}, (6, 2, 8), None),
        ({"prompt_eval_count": 6, "eval_count": 2}, (6, 2, 8), None),
        ({"total_tokens": 6}, (None, None, 6), None),
        (6, (None, None, 6), None),
        ({"prompt_tokens": 6.0, "completion_tokens": 2.5}, (6, None, None), None),
        ({"prompt_tokens": 6, "completion_tokens": 2.0**54}, (6, None, None), None),
    ],
)  # fmt: skip
def test_raw_numbers_of_each_provider(raw: Any, expected: tuple[Any, ...], details: Any) -> None:
    """Each provider's numbers become inclusive, and are kept as they were under `raw`."""
    found = from_raw(raw)

    assert numbers(found) == expected
    assert found.details.get("input_token_details") == details
    assert found.details["raw"] == (raw if isinstance(raw, dict) else {"total_tokens": raw})


@pytest.mark.parametrize(
    "place",
    [
        {"info": {"usage_metadata": {"prompt_token_count": 6, "candidates_token_count": 2}}},
        {"info": {"usage_metadata": {"input_tokens": 6, "output_tokens": 2, "input_token_details": {"audio": 1}}}},
        {"metadata": {"token_usage": {"prompt_tokens": 6, "completion_tokens": 2}}},
        {"metadata": {"usage": {"input_tokens": 6, "output_tokens": 2}}},
        {"metadata": {"x_groq": {"usage": {"prompt_tokens": 6, "completion_tokens": 2}}}},
        {"metadata": {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 6, "outputTokenCount": 2}}},
        {"info": {"prompt_eval_count": 6, "eval_count": 2}},
        {"output": {"token_usage": {"prompt_tokens": 6, "completion_tokens": 2}}},
        {"output": {"usage": {"prompt_tokens": 6, "completion_tokens": 2}}},
        {"metadata": {"token_usage": CompletionUsage(prompt_tokens=6, completion_tokens=2, total_tokens=8)}},
        {"metadata": {"usage": {"prompt_tokens": "6", "completion_tokens": "2"}}},
        {"metadata": {"tokenUsage": {"promptTokens": 6, "completionTokens": 2}}},
        {"info": {"usageMetadata": {"promptTokenCount": 6, "candidatesTokenCount": 2}}},
        {"metadata": {"token_count": {"input_tokens": 6, "output_tokens": 2}}},
        {"metadata": {"prompt_tokens": 6, "completion_tokens": 2}},
        {"further": {"usage": {"prompt_tokens": 6, "completion_tokens": 2}}},
        {"output": {"input_tokens": 6, "output_tokens": 2}},
    ],
)
def test_each_place_is_read(place: dict[str, Any]) -> None:
    """Usage is found wherever a provider puts it."""
    assert numbers(usage(chat(**place))) == (6, 2, 8)


def test_providers_own_numbers_are_taken_in_order() -> None:
    """Of several places, the first counts, and nothing is merged."""
    places = {
        "output": {"usage": {"input_tokens": 4, "output_tokens": 1}},
        "info": {"usage": {"input_tokens": 3, "output_tokens": 1}},
        "metadata": {"usage": {"input_tokens": 2, "output_tokens": 1}},
    }
    first = {"info": places["info"] | {"usage_metadata": {"input_tokens": 1, "output_tokens": 1}}}

    assert [numbers(usage(chat(**each))) for each in (places | first, places)] == [(1, 1, 2), (2, 1, 3)]


@pytest.mark.parametrize(
    "result",
    [
        chat(),
        chat({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}),
        chat(output={"token_usage": {}}),
        chat(output={"token_usage": {"prompt_tokens": 0, "completion_tokens": 0}}),
        LLMResult(generations=[]),
        LLMResult(generations=[[]]),
        None,
    ],
)
def test_unknown_is_absent(result: Any) -> None:
    """Without any usage, the result is None, not zero tokens."""
    assert usage(result) is None


@pytest.mark.parametrize("side", ["input", "output"])
def test_langchains_own_form_is_known_in_another_place_by_either_of_its_details(side: str) -> None:
    """Details of only one side are kept, too."""
    own = {"input_tokens": 6, "output_tokens": 2, "total_tokens": 8, f"{side}_token_details": {"audio": 1}}

    assert usage(chat(info={"usage_metadata": own})) == Usage(6, 2, 8, {f"{side}_token_details": {"audio": 1}})


def test_details_without_anything_in_them_are_no_details() -> None:
    """OpenAI's details are empty if nothing was read from a cache."""
    own = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, "input_token_details": {}}

    assert usage(chat(own)) == Usage(1, 2, 3)


def test_zeros_do_not_hide_another_source() -> None:
    """If a message reports only zeros, the next place with numbers is used."""
    zeros = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}

    assert numbers(usage(chat(zeros, output={"token_usage": OPENAI}))) == (100, 20, 120)


def test_output_beside_its_reasoning_is_corrected() -> None:
    """Output that excludes reasoning, which the total includes, is made inclusive: xAI with `ChatOpenAI`."""
    parts = {"output_token_details": {"reasoning": 20}}

    found = usage(chat({"input_tokens": 1200, "output_tokens": 30, "total_tokens": 1250, **parts}))

    assert numbers(found) == (1200, 50, 1250)
    assert found.details == {**parts, "output_tokens_without_reasoning": 30}


class Ends(BaseCallbackHandler):
    """Reads usage where the handler does: at the end of each model run."""

    def __init__(self) -> None:
        self.found: list[Usage | None] = []

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Keep the result of `usage`."""
        self.found.append(usage(response))


def test_a_cached_answer_without_tokens_is_told_too() -> None:
    """A cache hit with unknown tokens is still a cache hit."""
    assert usage(chat({"total_cost": 0})) == Usage(details={"total_cost": 0}, cached=True)
    assert usage(chat({"total_cost": 0}, {"token_usage": OPENAI})).cached  # the numbers are the provider's


@pytest.fixture
def ollama() -> Iterator[OllamaStandIn]:
    """A stand-in with Ollama's API."""
    with OllamaStandIn(["It is sunny."] * 4) as server:
        yield server


@pytest.mark.parametrize("kind", [ChatOllama, OllamaLLM])
def test_ollamas_chat_and_text_models_report_their_tokens(ollama: OllamaStandIn, kind: Any) -> None:
    """Ollama's chat and text models report their tokens, streamed or not."""
    model, ends = kind(model="llama3.2", base_url=ollama.url), Ends()

    model.invoke("What is the weather?", config={"callbacks": [ends]})
    list(model.stream("What is the weather?", config={"callbacks": [ends]}))

    whole, streamed = ends.found
    assert numbers(whole) == numbers(streamed)
    assert all(tokens and tokens > 0 for tokens in numbers(whole))


def test_text_streams_are_read() -> None:
    """Merged text chunks have Bedrock's metrics."""
    metrics = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 6, "outputTokenCount": 2}}
    merged = GenerationChunk(text="a") + GenerationChunk(text="b", generation_info=metrics)

    assert numbers(usage(LLMResult(generations=[[merged]]))) == (6, 2, 8)


def test_the_result_is_left_alone() -> None:
    """Reading does not change what the application gets."""
    result = anthropic()
    before = copy.deepcopy(result)
    usage(result)

    assert result == before


GARBAGE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just(math.nan)),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "input_tokens", "output_tokens", "total_tokens", "usage", "token_usage", "x_groq", "input_token_details",
            "cache_read", "cache_creation", "ephemeral_5m_input_tokens", "prompt_tokens", "prompt_tokens_details",
            "cached_tokens", "total_cost", "usage_metadata", "eval_count", "amazon-bedrock-invocationMetrics",
        ]) | st.integers(),
        inner, max_size=6,
    ),
    max_leaves=20,
)  # fmt: skip


@given(GARBAGE, GARBAGE, GARBAGE, GARBAGE)
def test_garbage_never_raises(standard: Any, metadata: Any, info: Any, output: Any) -> None:
    """Whatever is in place of the numbers, usage is integers, non-negative and inclusive, or None."""
    message = AIMessage.model_construct(content="", usage_metadata=standard, response_metadata=metadata)
    generation = ChatGeneration.model_construct(message=message, generation_info=info, text="")

    found = usage(LLMResult.model_construct(generations=[[generation]], llm_output=output))

    assert found is None or all(n is None or (type(n) is int and n >= 0) for n in numbers(found))
    if found and found.input_tokens is not None:
        assert found.input_tokens >= cache_tokens(found.details.get("input_token_details"))
