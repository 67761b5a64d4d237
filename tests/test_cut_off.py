"""Streams that are left or that break: what had arrived is kept, and no run stays open."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableGenerator, RunnableLambda, RunnableParallel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from openai import LengthFinishReasonError
from openai.types.chat import ChatCompletion

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.server.store.rollup import roll_up
from coagent_langchain.testing import MemoryDelivery
from coagent_langchain.values.cost import cost
from coagent_langchain.values.tokens import Usage
from tests.fakes import ScriptedChat, calls, chat
from tests.reading import EMPTY, of_type, recoveries, state_of
from tests.server.drawing import timeline
from tests.tools import add


@pytest.mark.parametrize("components", ["nodes", "all"])
def test_stream_that_breaks_is_one_error(components: Any, log: MemoryDelivery) -> None:
    """The steps after the model raise its exception again, but the error is logged for the model only."""

    class Broken(ScriptedChat):
        def _stream(self, *args: Any, **kwargs: Any) -> Any:
            yield next(super()._stream(*args, **kwargs))
            raise ConnectionError("broken off")

    handler = CoagentCallbackHandler(delivery=log, components=components)

    def upper(words: Iterator[str]) -> Iterator[str]:
        for word in words:
            yield word.upper()

    chain = Broken(script=["one two"]) | StrOutputParser() | RunnableGenerator(upper)

    def read(question: str) -> None:
        with contextlib.suppress(ConnectionError):
            list(chain.stream(question))

    RunnableLambda(read).invoke("q", {"callbacks": [handler]})

    (error,) = of_type(log, "error")
    assert (error["error_info"]["component_id"], error["output_data"]) == ("Broken", {"partial_response": "one "})
    assert recoveries(log) == [(0, "read", "handled", "read continued")]


class BrokenOff(ConnectionError):
    """Unlike a built-in exception, it can be referred to weakly."""


def break_after_leaving(handler: CoagentCallbackHandler, *fallbacks: Any) -> None:
    """Leave the stream of a chain whose model breaks when LangChain, having ended the chain, reads the rest."""

    class Broken(ScriptedChat):
        def _stream(self, *args: Any, **kwargs: Any) -> Any:
            yield next(super()._stream(*args, **kwargs))
            raise BrokenOff("broken off")

    chain: Any = RunnableLambda(str) | Broken(script=["one two"]) | StrOutputParser()
    pieces = (chain.with_fallbacks(fallbacks) if fallbacks else chain).stream("q", {"callbacks": [handler]})
    next(pieces)
    del pieces


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # that is how Python reports it
@pytest.mark.parametrize("fallbacks", [[], [RunnableLambda(str)]])
def test_stream_that_breaks_after_it_was_left_is_one_error(
    fallbacks: list[Any], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """What the model raises, the parser raises, too."""
    break_after_leaving(handler, *fallbacks)

    assert [error["error_info"]["component_id"] for error in of_type(log, "error")] == ["Broken"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_function_that_leaves_a_stream_has_recovered_from_what_it_raises_then(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """It needs only the beginning, and its run succeeds: LangChain has ended the chain when the model breaks."""
    RunnableLambda(lambda _: break_after_leaving(handler), name="begin").invoke("q", {"callbacks": [handler]})

    assert [e["error_info"]["component_id"] for e in of_type(log, "error")] == ["Broken"]
    assert recoveries(log) == [(0, "begin", "handled", "begin continued")]


def test_chain_that_was_left_lets_go_of_what_was_raised_when_its_last_step_has_ended(
    log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception holds on to the application's data. (pytest's hook would keep it as well.)"""
    raised: list[weakref.ref[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda given: raised.append(weakref.ref(given.exc_value)))
    break_after_leaving(handler)
    gc.collect()

    assert [type(each()) for each in raised] == [type(None)]
    assert state_of(handler) == EMPTY


class CountsAtOnce(ScriptedChat):
    """A model that reports its input tokens before its first word, as Anthropic's do."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="", usage_metadata={"input_tokens": 10, "output_tokens": 0, "total_tokens": 10}
            )
        )
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk


def test_model_in_a_chain_whose_stream_is_left_keeps_its_tokens(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangChain ends the model after the chain around it, with the tokens reported until then."""

    async def leave() -> None:
        chain = RunnableLambda(lambda food: food) | CountsAtOnce(script=["one two three"])
        async for chunk in chain.astream("q", {"callbacks": [handler]}):
            if chunk.content:
                break

    asyncio.run(leave())

    (response,) = of_type(log, "llm_response")
    assert (response["llm_response"]["response"], response["meta"]["outcome"]) == ("one ", "abandoned")
    assert (response["llm_response"]["input_tokens"], handler._tree.lingering) == (10, {})


class Hanging(ScriptedChat):
    """A model that streams one token and then hangs."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        yield next(self._stream(*args, **kwargs))
        await asyncio.Event().wait()


@pytest.mark.parametrize(("left", "outcome"), [("chain", "abandoned"), ("agent", "cancelled")])
def test_stream_that_is_left_keeps_what_had_arrived(
    left: str, outcome: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """When a reader leaves, LangChain hands over a partial answer only for bare models; otherwise tokens are used."""
    config: Any = {"callbacks": [handler]}

    async def read() -> None:
        stream: Any
        model = Hanging(script=["one two three four"])
        if left == "chain":
            stream = (RunnableLambda(lambda x: x) | model).astream("q", config)
        else:
            agent = create_agent(model, [])
            stream = agent.astream({"messages": [("user", "q")]}, config, stream_mode="messages")
        async for _ in stream:
            break
        await stream.aclose()

    asyncio.run(read())
    handler.close()

    (response,) = of_type(log, "llm_response")
    assert (response["llm_response"]["response"], response["meta"]["outcome"]) == ("one ", outcome)


class Thinking(ScriptedChat):
    """A model that streams its thoughts as content blocks, as Anthropic's do, and is not done with them."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for piece in ("Leek ", "or carrot?"):
            block = {"type": "thinking", "thinking": piece, "index": 0}
            yield ChatGenerationChunk(message=AIMessageChunk(content=[block]))
        await asyncio.Event().wait()


def test_thoughts_in_a_stream_that_is_cancelled_are_kept(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Who stops an agent while its model thinks has only the thoughts to see why it took so long."""

    async def read() -> None:
        stream: Any = create_agent(Thinking(script=[]), []).astream(
            {"messages": [("user", "q")]}, {"callbacks": [handler]}, stream_mode="messages"
        )
        async with asyncio.timeout(0.2):
            async for _ in stream:
                pass

    with contextlib.suppress(TimeoutError):
        asyncio.run(read())

    (response,) = of_type(log, "llm_response")
    assert (response["meta"]["reasoning"], response["meta"]["outcome"]) == ("Leek or carrot?", "cancelled")


def test_failed_stream_is_not_cancelled_by_what_is_left_beside_the_failure(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangChain abandons the other branches of an `astream` after the chain itself has failed."""

    async def run() -> None:
        async for _ in both.astream("q", {"callbacks": [handler]}):
            pass

    both: Any = RunnableParallel(failing=chat(ValueError("down")), beside=chat("one two"))
    with pytest.raises(ValueError, match="down"):
        asyncio.run(run())
    handler.close()

    assert [e["meta"]["outcome"] for e in of_type(log, "llm_response")] == ["abandoned"]
    assert log.entries[-1]["meta"]["status"] == "failed"


@pytest.mark.parametrize("what", ["graph", "chain"])
@pytest.mark.parametrize("way", ["close", "drop"])
def test_stream_that_is_left_is_not_completed(
    way: str, what: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Its session is cancelled, and does not end with the answer of an earlier prompt."""
    agent = create_agent(chat("first", calls(("add", {"a": 1, "b": 2}, "c1")), "3"), [add])
    chain = RunnableLambda(lambda food: food) | chat("first", "one two")
    run, given = (agent, {"messages": [("user", "q")]}) if what == "graph" else (chain, "q")
    with handler.session("s", session_id="s"):
        run.invoke(given, {"callbacks": [handler]})
        stream = run.stream(given, {"callbacks": [handler]})
        next(stream)
        stream.close() if way == "close" else None
        del stream

    assert (log.entries[-1]["meta"]["status"], log.entries[-1]["output_data"]) == (
        "cancelled",
        {"response": "cancelled"},
    )


def test_call_that_never_ends_in_a_stream_that_was_left_is_abandoned(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Its outcome is unknown, but the reason that it has no end is known."""
    root, call = UUID(int=1), UUID(int=2)
    handler.on_chain_start({}, "q", run_id=root)
    handler.on_chat_model_start({}, [[]], run_id=call, parent_run_id=root)
    handler.on_chain_error(GeneratorExit(), run_id=root)
    handler.close()

    assert [e["meta"]["outcome"] for e in of_type(log, "llm_response")] == ["abandoned"]


@pytest.mark.parametrize(("first", "said"), [("plan", ["LangGraph was abandoned"]), ("ask", [])])
def test_graph_whose_stream_is_left_between_its_nodes_says_so(
    first: str, said: list[str], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Not if it is left where the graph asks a human: it could not go further."""
    graph = StateGraph(MessagesState)
    graph.add_node("plan", lambda state: {"messages": []})
    graph.add_node("ask", lambda state: interrupt("go on?"))
    graph.add_node("cook", lambda state: {"messages": []})
    graph.add_edge(START, first)
    graph.add_edge(first, "cook")
    config: Any = {"callbacks": [handler], "configurable": {"thread_id": "t"}}
    for _ in graph.compile(checkpointer=InMemorySaver()).stream({"messages": []}, config, stream_mode="updates"):
        break

    assert [(e["output_data"]["message"], e["meta"]["outcome"]) for e in of_type(log, "info")] == [
        (message, "abandoned") for message in said
    ]


def test_tokens_of_a_stream_that_breaks_are_counted(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Tokens reported before the error are in the error event, the session's totals, the list and the timeline."""

    class Breaking(ScriptedChat):
        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            used: Any = {"input_tokens": 1_000, "output_tokens": 0, "total_tokens": 1_000,
                         "input_token_details": {"audio": 9}}  # fmt: skip
            told = {"model_name": "gpt-4o-mini", "model_provider": "openai"}
            yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=used, response_metadata=told))
            yield ChatGenerationChunk(message=AIMessageChunk(content="Once"))
            raise ConnectionError("overloaded")

    with handler.session("s", session_id="s"), contextlib.suppress(ConnectionError):
        list(Breaking(script=[]).stream("q", {"callbacks": [handler]}))

    (error,) = of_type(log, "error")
    used = {"input_tokens": 1_000, "output_tokens": 0, "total_tokens": 1_000}
    priced = cost("openai", "gpt-4o-mini", Usage(1_000, 0))
    assert priced
    assert (error["llm_response"], error["performance_metrics"]) == (used, {"tokens_used": 1_000, "cost": priced})
    assert error["meta"]["usage"] == {"input_token_details": {"audio": 9}}
    totals = log.entries[-1]["meta"]
    assert {name: totals[name] for name in used} == used
    (listed,) = roll_up(log.entries)
    drawn = timeline(log.entries)
    assert (listed.counts["input_tokens"], [bar.input for bar in drawn.models]) == (1_000, [1_000])


def test_structured_answer_that_was_cut_off_is_in_its_error(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """OpenAI's client raises instead of returning the answer, whose text and tokens only the exception has."""
    used = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    choice = {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": '{"na'}}
    told = {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-08-06", "choices": [choice],
            "usage": used}  # fmt: skip
    error = LengthFinishReasonError(completion=ChatCompletion.model_validate(told))
    with contextlib.suppress(LengthFinishReasonError):
        chat(error).invoke("q", {"callbacks": [handler]})
    handler.close()

    (logged,) = of_type(log, "error")
    assert logged["output_data"] == {"partial_response": '{"na'}
    assert logged["llm_response"] == {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    assert (logged["meta"]["model"], log.entries[-1]["meta"]["total_tokens"]) == ("gpt-4o-2024-08-06", 15)


@pytest.mark.parametrize("choices", [
    [], [{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": None}}],
])  # fmt: skip
def test_text_that_was_streamed_before_an_error_with_tokens_is_kept(
    choices: list[Any], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The answer in the exception adds its tokens to what had arrived; it need not have a text."""
    used = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    told = {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": choices, "usage": used}

    class Breaking(ScriptedChat):
        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            yield ChatGenerationChunk(message=AIMessageChunk(content="Once"))
            raise LengthFinishReasonError(completion=ChatCompletion.model_validate(told))

    with contextlib.suppress(LengthFinishReasonError):
        list(Breaking(script=[]).stream("q", {"callbacks": [handler]}))

    (error,) = of_type(log, "error")
    assert (error["output_data"], error["llm_response"]["total_tokens"]) == ({"partial_response": "Once"}, 15)
