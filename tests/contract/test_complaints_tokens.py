"""What users of other handlers complain about: tokens lost (1 to 6) and counted wrongly (7 to 12)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import USAGE, ScriptedChat, ScriptedText, chat
from tests.reading import of_type


def response(log: MemoryDelivery, place: int = -1) -> dict[str, Any]:
    """The last response's own fields."""
    own: dict[str, Any] = of_type(log, "llm_response")[place]["llm_response"]
    return own


def tokens(log: MemoryDelivery, place: int = -1) -> tuple[Any, Any, Any]:
    """Input, output and total tokens of the last response."""
    own = response(log, place)
    return own.get("input_tokens"), own.get("output_tokens"), own.get("total_tokens")


def details(log: MemoryDelivery) -> dict[str, Any]:
    """The last response's token details."""
    own: dict[str, Any] = of_type(log, "llm_response")[-1]["meta"]["usage"]
    return own


class Streamed(ScriptedChat):
    """A model that streams the given chunks."""

    chunks: list[Any]

    def _stream(self, *args: Any, **kwargs: Any) -> Any:
        for chunk in self.chunks:
            yield ChatGenerationChunk(message=chunk)


def test_streamed_usage_is_read_from_the_message(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """1 langfuse/langfuse#2521, 4 langchain-ai/langchain#34057: the result of a streamed call has no `llm_output`."""
    list(chat("one two").stream("q", {"callbacks": [handler]}))

    assert tokens(log) == (10, 4, 14)


def test_unknown_usage_is_absent_not_zero(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """2 langfuse/langfuse#3265: a stream without usage has no token figures at all, neither 0 nor null."""
    list(Streamed(script=[], chunks=[AIMessageChunk(content="one")]).stream("q", {"callbacks": [handler]}))
    handler.close()

    assert tokens(log) == (None, None, None)
    assert not {"input_tokens", "output_tokens", "total_tokens"} & response(log).keys()
    assert "total_tokens" not in of_type(log, "session_end")[0]["meta"]


def test_usage_in_the_last_chunk_is_found(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """3 langfuse/langfuse#8625: usage that a provider puts into the last, otherwise empty chunk."""
    last = AIMessageChunk(content="", usage_metadata={"input_tokens": 7, "output_tokens": 2, "total_tokens": 9})
    list(Streamed(script=[], chunks=[AIMessageChunk(content="one"), last]).stream("q", {"callbacks": [handler]}))

    assert tokens(log) == (7, 2, 9)


@pytest.mark.parametrize(
    "output", [None, {}, {"token_usage": None}, {"usage": {"input_tokens": "many"}}, {"token_usage": ["odd"]}]
)
def test_odd_provider_dicts_cost_no_event(output: Any, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """5 langfuse/langfuse#1424: a missing or unexpected field of a provider's dict costs neither event nor text."""
    run_id = uuid4()
    handler.on_llm_start({}, ["q"], run_id=run_id)
    result = LLMResult(generations=[[ChatGeneration(message=AIMessage("soup"))]])
    result.llm_output = output
    handler.on_llm_end(result, run_id=run_id)

    assert (response(log)["response"], tokens(log)) == ("soup", (None, None, None))


@pytest.mark.parametrize("reported", [
    {"output_token_details": {"reasoning": 3, "audio": 1}, "input_token_details": {"audio": 2}},
    {"input_token_details": {"flex_cache_read": 4, "flex": 9, "ephemeral_5m_input_tokens": 2, "cache_creation": 0}},
], ids=["reasoning", "service tier"])  # fmt: skip
def test_token_details_are_carried_through(reported: Any, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """6 PostHog/posthog-python#268: details such as reasoning tokens are logged as the model reports them."""
    chat(AIMessage("soup", usage_metadata=USAGE | reported)).invoke("q", {"callbacks": [handler]})

    assert (tokens(log), details(log)) == ((10, 4, 14), reported)


def test_anthropic_input_includes_the_cache_once(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """7 PostHog/posthog#39901, 8 braintrustdata/braintrust-sdk-python#510: the input includes the cache, once."""
    message = AIMessage(
        "soup",
        usage_metadata={"input_tokens": 110, "output_tokens": 5, "total_tokens": 115,
                        "input_token_details": {"cache_read": 100, "cache_creation": 0}},
        response_metadata={"usage": {"input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": 5}},
    )  # fmt: skip
    for _ in range(2):
        chat(message).invoke("q", {"callbacks": [handler]})
    handler.close()

    assert (tokens(log), details(log)["input_token_details"]["cache_read"]) == ((110, 5, 115), 100)
    totals = log.entries[-1]["meta"]
    assert (totals["input_tokens"], totals["output_tokens"], totals["total_tokens"]) == (220, 10, 230)


def test_cache_larger_than_input_is_added(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """9 langchain-ai/langsmith-sdk#2519: an input below its own cached part cannot include it: they are added."""
    parts = {"input_token_details": {"cache_read": 100, "cache_creation": 20}}
    usage: Any = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, **parts}
    chat(AIMessage("soup", usage_metadata=usage)).invoke("q", {"callbacks": [handler]})

    assert (tokens(log), details(log)) == ((130, 5, 135), {**parts, "input_tokens_without_cache": 10})


def test_usage_in_two_places_is_counted_once(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """10 langfuse/langfuse#12306: message, metadata and `llm_output` have numbers: only the message's own are read."""
    run_id = uuid4()
    other = {"prompt_tokens": 900, "completion_tokens": 900, "prompt_tokens_details": {"cached_tokens": 900}}
    message = AIMessage("soup", usage_metadata=USAGE, response_metadata={"token_usage": other})
    generation = ChatGeneration(message=message, generation_info={"usage_metadata": other})
    handler.on_chat_model_start({}, [[]], run_id=run_id)
    handler.on_llm_end(LLMResult(generations=[[generation]], llm_output={"token_usage": other}), run_id=run_id)

    assert (tokens(log), "usage" in of_type(log, "llm_response")[0]["meta"]) == ((10, 4, 14), False)


def test_cache_hit_is_marked_and_not_summed(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """F13, 11 langfuse/langfuse#2112: the cached object changes later; the hit is marked, and is in no total."""
    model = chat("soup").model_copy(update={"cache": InMemoryCache()})
    for _ in range(3):
        model.invoke("q", {"callbacks": [handler]})
    handler.close()

    told = [(e["meta"].get("cached"), e["llm_response"]["response"]) for e in of_type(log, "llm_response")]
    assert (told, tokens(log, 0)) == ([(None, "soup"), (True, "soup"), (True, "soup")], (10, 4, 14))
    assert of_type(log, "session_end")[0]["meta"]["total_tokens"] == 14


def test_raw_usage_is_kept_beside_the_normalised(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """12 Arize-ai/openinference#2381: Bedrock's input below its cache is made inclusive; its own numbers are kept."""
    raw = {"inputTokens": 4, "cacheReadInputTokens": 90, "outputTokens": 5}
    chat(AIMessage("soup", response_metadata={"usage": raw})).invoke("q", {"callbacks": [handler]})

    assert (tokens(log), details(log)["raw"]) == ((94, 5, 99), raw)


def test_text_batch_is_counted_once(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """10 langfuse/langfuse#12306: a text batch reports its total on the first run, which is marked: summed once."""

    class Batch(ScriptedText):
        def _generate(self, prompts: Any, *args: Any, **kwargs: Any) -> LLMResult:
            result = super()._generate(prompts, *args, **kwargs)
            for (generation,) in result.generations:
                generation.generation_info = None
            result.llm_output = {"token_usage": {"prompt_tokens": 20, "completion_tokens": 8, "total_tokens": 28}}
            return result

    Batch(script=["a", "b"]).generate(["p", "q"], callbacks=[handler])
    handler.close()

    assert [tokens(log, place) for place in (0, 1)] == [(20, 8, 28), (None, None, None)]
    assert of_type(log, "llm_response")[0]["meta"]["usage"]["covers_prompts"] == 2
    assert of_type(log, "session_end")[0]["meta"]["total_tokens"] == 28
