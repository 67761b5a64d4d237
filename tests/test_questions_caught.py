"""Questions to a person whose exception the graph's own code catches, or that fail in another way."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_tool_call
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphInterrupt
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy, interrupt

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery, capture_events
from tests.fakes import calls, chat
from tests.reading import questions
from tests.tools import ask, asking_graph, in_thread


@wrap_tool_call
def answer_errors(request: Any, handler: Any) -> Any:
    """Give the model an answer in place of an exception: LangGraph's interrupts are exceptions, too."""
    try:
        return handler(request)
    except Exception:  # noqa: BLE001 - as people write it
        return ToolMessage("failed", tool_call_id=request.tool_call["id"])


@pytest.mark.parametrize("way", ["middleware", "fallback", "in a chain"])
def test_question_whose_exception_is_caught_is_unanswered(
    way: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The graph goes on without an answer: it waits for nothing."""
    if way == "middleware":
        model = chat(calls(("ask", {"question": "ok?"}, "c1")), "done")
        graph: Any = create_agent(model, [ask], middleware=[answer_errors], checkpointer=InMemorySaver())
    else:
        safe = asking_graph("hotel").with_fallbacks([RunnableLambda(lambda _: {})])
        graph = StateGraph(MessagesState).add_node("trip", safe).add_edge(START, "trip").compile(InMemorySaver())
    app: Any = RunnableLambda(lambda given: given) | graph if way == "in a chain" else graph
    app.invoke({"messages": [("user", "go")]}, in_thread(handler, "t"))
    handler.close()

    assert [status for _, status, _ in questions(log)] == ["interrupted", "unanswered"]
    assert log.entries[-1]["meta"]["status"] == "completed"


def test_question_in_place_of_which_a_node_raises_an_error_is_unanswered(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The node's next attempt asks nothing."""
    hotels = [asking_graph("hotel")]

    def book(state: MessagesState) -> dict[str, Any]:
        if hotels:
            with contextlib.suppress(GraphInterrupt):
                hotels.pop().invoke(state)
            raise ValueError("no hotel")
        return {}

    again = RetryPolicy(retry_on=ValueError, initial_interval=0, jitter=False)
    graph = StateGraph(MessagesState).add_node("trip", book, retry_policy=again).add_edge(START, "trip")
    graph.compile(InMemorySaver()).invoke({"messages": [("user", "go")]}, in_thread(handler, "t"))
    handler.close()

    assert [status for _, status, _ in questions(log)] == ["interrupted", "unanswered"]
    assert log.entries[-1]["meta"]["status"] == "completed"


def test_question_beside_which_a_subgraph_fails_is_unanswered(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """What the subgraph's other branch raises, and not the question, reaches the graph around it."""

    def fail(state: MessagesState) -> dict[str, Any]:
        asked.wait()
        raise ValueError("no train")

    def ask_person(state: MessagesState) -> dict[str, Any]:
        try:
            return {"messages": interrupt("hotel?")}
        finally:
            asked.set()

    asked = threading.Event()
    trip = StateGraph(MessagesState).add_node("hotel", ask_person).add_edge(START, "hotel")
    trip.add_node("train", fail).add_edge(START, "train")
    safe = trip.compile().with_fallbacks([RunnableLambda(lambda _: {})])
    graph = StateGraph(MessagesState).add_node("trip", safe).add_edge(START, "trip").compile(InMemorySaver())
    graph.invoke({"messages": [("user", "go")]}, in_thread(handler, "t"))
    handler.close()

    assert [status for _, status, _ in questions(log)] == ["interrupted", "unanswered"]
    assert log.entries[-1]["meta"]["status"] == "completed"


def test_question_whose_exception_is_caught_gives_its_id_to_the_next_one(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangGraph gives all questions of a node the same id: the answer is for the one that it presents."""
    safe = RunnableLambda(lambda _: interrupt("hotel?")).with_fallbacks([RunnableLambda(lambda _: None)])

    def book(state: MessagesState) -> dict[str, Any]:
        safe.invoke("a hotel")
        return {"messages": [("ai", interrupt("flight?"))]}

    graph = StateGraph(MessagesState).add_node("trip", book).add_edge(START, "trip").compile(InMemorySaver())
    graph.invoke({"messages": [("user", "go")]}, in_thread(handler, "t"))
    graph.invoke(Command(resume="09:12"), in_thread(handler, "t"))

    assert questions(log)[:4] == [
        (0, "interrupted", "hotel?"),
        (0, "unanswered", None),
        (0, "interrupted", "flight?"),
        (0, "resumed", "09:12"),
    ]


def test_question_whose_exception_is_caught_leaves_another_open(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A graph still waits for the answer to what another of its nodes has asked."""
    outer: Any = StateGraph(MessagesState).add_node("flight", lambda _: {"messages": [("ai", interrupt("flight?"))]})
    outer.add_node("trip", asking_graph("hotel").with_fallbacks([RunnableLambda(lambda _: {})]))
    graph = outer.add_edge(START, "flight").add_edge(START, "trip").compile(InMemorySaver())
    graph.invoke({"messages": [("user", "go")]}, in_thread(handler, "t"))
    graph.invoke(Command(resume="09:12"), in_thread(handler, "t"))
    handler.close()

    places = {value: at for at, status, value in questions(log) if status == "interrupted"}
    told = [(at, status) for at, status, _ in questions(log)][2:]
    assert told == [(places["hotel?"], "unanswered"), (places["flight?"], "resumed")]


def test_question_of_a_graph_with_a_thread_of_its_own_waits_although_the_node_that_called_it_returns(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangGraph raises no exception out of that graph: nobody has caught the question."""
    hotel = asking_graph("hotel")
    trip = RunnableLambda(lambda state: hotel.invoke(state, {"configurable": {"thread_id": "hotel"}}) and {})
    graph = StateGraph(MessagesState).add_node("trip", trip).add_edge(START, "trip").compile(InMemorySaver())
    graph.invoke({"messages": [("user", "go")]}, in_thread(handler, "t"))
    handler.close()

    assert questions(log) == [(0, "interrupted", "hotel?")]
    assert log.entries[-1]["meta"]["status"] == "interrupted"


def test_question_that_a_node_raises_waits_although_another_of_the_node_was_caught() -> None:
    """To LangGraph all questions of one task have the same id, and with `tracing()` it tells nothing of them itself."""
    hotel, flight = (RunnableLambda(lambda _, name=name: interrupt(name)) for name in ("hotel?", "flight?"))

    def book(state: MessagesState) -> dict[str, Any]:
        try:
            return {"messages": [("ai", hotel.invoke(state))]}
        except GraphInterrupt:
            flight.with_fallbacks([RunnableLambda(str)]).invoke(state)
            raise

    graph = StateGraph(MessagesState).add_node("trip", book).add_edge(START, "trip").compile(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    with capture_events() as log:
        graph.invoke({"messages": [("user", "go")]}, config)
        graph.invoke(Command(resume="Ritz"), config)

    assert questions(log) == [(0, "interrupted", "hotel?"), (0, "resumed", "Ritz")]
    assert log.entries[-1]["meta"]["status"] == "completed"
