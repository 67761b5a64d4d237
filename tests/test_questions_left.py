"""Streams and runs that are left at a question to a person, or cancelled after it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.reading import of_type, questions, recoveries, without_nodes
from tests.tools import asking_graph, in_thread


@pytest.mark.parametrize("way", ["stream", "astream", "cancelled", "in a chain"])
def test_stream_that_is_left_at_a_question_waits_for_the_answer(
    way: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A reader that stops at the question has not cancelled the run."""
    graph = StateGraph(MessagesState).add_node("book", lambda state: {"messages": [("ai", interrupt("Book it?"))]})
    app = graph.add_edge(START, "book").compile(checkpointer=InMemorySaver())
    chain: Any = RunnableLambda(lambda text: {"messages": [("user", text)]}) | app if way == "in a chain" else app
    asked = "go" if way == "in a chain" else {"messages": [("user", "go")]}

    async def read() -> None:
        stream = chain.astream(asked, in_thread(handler, "t"))
        async for chunk in stream:
            if "__interrupt__" in chunk:
                break
        if way == "cancelled":  # as the end of the event loop does from Python 3.13 on
            with contextlib.suppress(asyncio.CancelledError):
                await stream.athrow(asyncio.CancelledError())

    if way in ("astream", "cancelled"):
        asyncio.run(read())
    else:
        next(chunk for chunk in chain.stream(asked, in_thread(handler, "t")) if "__interrupt__" in chunk)
    handler.close()

    statuses = [e["meta"]["status"] for e in log.entries if e["event_type"] in ("human_oversight", "session_end")]
    assert statuses == ["interrupted", "interrupted"]


def test_stream_that_is_left_at_a_question_may_be_closed_after_the_answer(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """An event loop closes a stream that was left when it gets to run: nothing of the run is stopped by that."""
    graph = asking_graph("hotel")

    async def converse() -> None:
        async for chunk in graph.astream({"messages": [("user", "go")]}, in_thread(handler, "t")):
            if "__interrupt__" in chunk:
                break
        async for _ in graph.astream(Command(resume="yes"), in_thread(handler, "t")):
            pass

    asyncio.run(converse())
    handler.close()

    assert [kind for kind, _, _ in without_nodes(log)] == [
        "session_start",
        "user_input",
        "human_oversight",
        "human_oversight",
        "session_end",
    ]
    assert log.entries[-1]["meta"]["status"] == "completed"


def test_stream_that_is_left_at_a_question_may_be_closed_after_the_next_question(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A variable may keep the stream: it says nothing of what the run with the answer asks."""
    builder: Any = StateGraph(MessagesState)
    for name in ("hotel", "flight"):
        builder.add_node(name, lambda _, name=name: {"messages": [("ai", interrupt(f"{name}?"))]})
    graph = builder.add_edge(START, "hotel").add_edge("hotel", "flight").compile(InMemorySaver())
    left = graph.stream({"messages": [("user", "go")]}, in_thread(handler, "t"))
    next(chunk for chunk in left if "__interrupt__" in chunk)
    graph.invoke(Command(resume="Ritz"), in_thread(handler, "t"))
    left.close()
    handler.close()

    assert questions(log) == [(0, "interrupted", "hotel?"), (0, "resumed", "Ritz"), (1, "interrupted", "flight?")]
    assert log.entries[-1]["meta"]["status"] == "interrupted"


def test_failed_graph_whose_stream_is_left_at_a_question_has_recovered(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """It has continued from its last checkpoint, and got past the failure."""
    failures = [ValueError("down")]

    def book(_: Any) -> dict[str, Any]:
        if failures:
            raise failures.pop()
        return {"messages": [("ai", interrupt("hotel?"))]}

    graph = StateGraph(MessagesState).add_node("book", book).add_edge(START, "book").compile(InMemorySaver())
    with contextlib.suppress(ValueError):
        graph.invoke({"messages": [("user", "go")]}, in_thread(handler, "t"))
    next(chunk for chunk in graph.stream(None, in_thread(handler, "t")) if "__interrupt__" in chunk)

    assert recoveries(log) == [(0, "LangGraph", "retry", "the graph continued from its last checkpoint")]


def test_stream_that_is_left_at_a_question_while_another_node_runs_is_cancelled(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The graph could have gone further without an answer."""

    async def search(_: MessagesState) -> None:
        await asyncio.Event().wait()

    builder = StateGraph(MessagesState).add_node("book", lambda _: interrupt("Book it?")).add_node("search", search)
    graph = builder.add_edge(START, "book").add_edge(START, "search").compile(checkpointer=InMemorySaver())

    async def read() -> None:
        stream: Any = graph.astream({"messages": [("user", "go")]}, in_thread(handler, "t"))
        async for chunk in stream:
            if "__interrupt__" in chunk:
                break
        await stream.aclose()

    asyncio.run(read())
    handler.close()

    assert questions(log) == [(0, "interrupted", "Book it?")]
    assert log.entries[-1]["meta"]["status"] == "cancelled"


def test_run_that_is_cancelled_after_the_answer_to_its_question_is_cancelled(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """It waited for nothing any more."""
    graph, answered = asking_graph("hotel"), asyncio.Event()

    async def converse(text: str) -> None:
        config = {"configurable": {"thread_id": "t"}}
        await graph.ainvoke({"messages": [("user", text)]}, config)
        await graph.ainvoke(Command(resume="yes"), config)
        answered.set()
        await asyncio.Event().wait()

    async def cancel() -> None:
        task = asyncio.create_task(RunnableLambda(converse).ainvoke("go", in_thread(handler, "t")))
        await answered.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    handler.close()

    assert [e["meta"]["outcome"] for e in of_type(log, "info")] == ["cancelled"]
    assert log.entries[-1]["meta"]["status"] == "cancelled"
