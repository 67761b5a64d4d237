"""A handler that only a part of a graph has: LangGraph runs the part's task again, with the input of the first time."""

from __future__ import annotations

import contextlib
import contextvars
from typing import Any

from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy, Send

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import calls, chat
from tests.reading import of_type, recoveries, without_nodes
from tests.tools import ask

CONFIG: Any = {"configurable": {"thread_id": "t1"}}
QUESTION = calls(("ask", {"question": "ok?"}, "c1"))


def around(agent: Any, handler: CoagentCallbackHandler, **options: Any) -> Any:
    """A graph whose node calls an agent with a handler that the graph itself does not have."""

    def node(state: MessagesState, config: RunnableConfig) -> Any:
        # In a context of its own: else newer versions tell the graph's own handlers first.
        return contextvars.Context().run(agent.invoke, state, {**config, "callbacks": [handler]})

    builder = StateGraph(MessagesState).add_node("shop", node, **options).add_edge(START, "shop")
    return builder.compile(checkpointer=InMemorySaver())


def test_subgraph_goes_on_with_the_answer(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A human's answer reaches the graph around it alone, whose task then asks no more: it is the same prompt."""
    graph = around(create_agent(chat(QUESTION, "done", "hello"), [ask]), handler)
    for given in ({"messages": [("user", "Buy it")]}, Command(resume="yes"), {"messages": [("user", "Hi")]}):
        graph.invoke(given, CONFIG)
    handler.close()

    assert without_nodes(log) == [
        ("session_start", 1, 0), ("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1),
        ("tool_call", 1, 1), ("human_oversight", 1, 1), ("tool_response", 1, 1), ("human_oversight", 1, 1),
        ("tool_call", 1, 1), ("tool_response", 1, 1), ("llm_call", 1, 2), ("llm_response", 1, 2),
        ("user_input", 2, 0), ("llm_call", 2, 1), ("llm_response", 2, 1), ("session_end", 2, 0),
    ]  # fmt: skip
    asked, answered = of_type(log, "human_oversight")
    assert (asked["meta"]["status"], answered["meta"]["status"]) == ("interrupted", "resumed")
    assert answered["input_data"] == {"interrupt_id": asked["meta"]["interrupt_id"], "value": None}
    assert log.entries[-1]["meta"]["status"] == "completed"


def test_tool_goes_on_with_the_answer(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A tool that alone has the handler runs twice for one call, in one prompt."""
    asking = ask.model_copy(update={"callbacks": [handler]})
    agent = create_agent(chat(QUESTION, "done"), [asking], checkpointer=InMemorySaver())
    agent.invoke({"messages": [("user", "Buy it")]}, CONFIG)
    agent.invoke(Command(resume="yes"), CONFIG)
    handler.close()

    assert without_nodes(log) == [
        ("session_start", 1, 0), ("user_input", 1, 0), ("tool_call", 1, 0), ("human_oversight", 1, 0),
        ("tool_response", 1, 0), ("human_oversight", 1, 0), ("tool_call", 1, 0), ("tool_response", 1, 0),
        ("session_end", 1, 0),
    ]  # fmt: skip
    assert [e["meta"]["status"] for e in of_type(log, "human_oversight")] == ["interrupted", "resumed"]
    assert [e["meta"]["tool_call_id"] for e in of_type(log, "tool_call")] == ["c1", "c1"]


def test_subgraph_is_retried(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The retry policy of the node around it runs it again: that is no other prompt, and the failure is recovered."""
    policy = RetryPolicy(max_attempts=2, initial_interval=0, jitter=False, retry_on=ValueError)
    graph = around(create_agent(chat(ValueError("down"), "done"), []), handler, retry_policy=policy)
    graph.invoke({"messages": [("user", "Buy it")]}, CONFIG)

    assert without_nodes(log) == [
        ("session_start", 1, 0), ("user_input", 1, 0), ("llm_call", 1, 1), ("error", 1, 1), ("llm_call", 1, 2),
        ("llm_response", 1, 2), ("recovery", 1, 2),
    ]  # fmt: skip


def test_part_that_calls_nothing_is_retried(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A branch of `Send` whose part fails first recovers in its own prompt, beside another branch."""
    failing = [ValueError("down")]

    def check(food: str) -> str:
        if failing:
            raise failing.pop()
        return food

    def branch(state: Any) -> Any:
        return {"messages": [("ai", RunnableLambda(check).invoke(state["food"], {"callbacks": [handler]}))]}

    policy = RetryPolicy(max_attempts=2, initial_interval=0, jitter=False, retry_on=ValueError)
    builder = StateGraph(MessagesState).add_node("shop", branch, retry_policy=policy)
    builder.add_conditional_edges(START, lambda _: [Send("shop", {"food": food}) for food in ("egg", "ham")], ["shop"])
    builder.compile().invoke({"messages": [("user", "Buy it")]}, {"max_concurrency": 1})

    assert without_nodes(log) == [
        ("session_start", 1, 0), ("user_input", 1, 0), ("error", 1, 0), ("recovery", 1, 0), ("user_input", 2, 0),
    ]  # fmt: skip


def test_other_input_is_no_retry(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A node that calls a part for one input after another logs each, also after one has failed."""

    def check(food: str) -> str:
        if food == "egg":
            raise ValueError("rotten")
        return food

    def node(_: Any) -> Any:
        for food in ("egg", "ham", "rice"):
            with contextlib.suppress(ValueError):
                RunnableLambda(check).invoke(food, {"callbacks": [handler]})

    StateGraph(MessagesState).add_node("shop", node).add_edge(START, "shop").compile().invoke({"messages": []})

    assert [e["input_data"]["prompt"] for e in of_type(log, "user_input")] == ["egg", "ham", "rice"]
    assert of_type(log, "recovery") == []


def test_answer_goes_to_the_part_that_asked(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A node runs all its parts again for an answer: the one before the question has asked nothing."""
    agent = create_agent(chat("ham", QUESTION, "ham", "bought"), [ask])

    def node(_: Any) -> Any:
        for text in ("What?", "Buy it"):
            agent.invoke({"messages": [("user", text)]}, {"callbacks": [handler]})

    builder = StateGraph(MessagesState).add_node("shop", node).add_edge(START, "shop")
    graph = builder.compile(checkpointer=InMemorySaver())
    for given in ({"messages": [("user", "Shop")]}, Command(resume="yes")):
        graph.invoke(given, CONFIG)

    asked_at = [(e["meta"]["status"], e["prompt_number"]) for e in of_type(log, "human_oversight")]
    assert asked_at == [("interrupted", 2), ("resumed", 2)]
    assert [e["input_data"]["prompt"] for e in of_type(log, "user_input")] == ["What?", "Buy it", "What?"]


def test_graph_with_its_own_thread_goes_on_in_another_task(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """What a node asks of a graph with another `thread_id` is answered by `Command(resume=…)` in a later task."""
    agent = create_agent(chat(QUESTION, "done"), [ask], checkpointer=InMemorySaver())
    config: Any = {"callbacks": [handler], "configurable": {"thread_id": "own", "checkpoint_ns": ""}}

    def node(state: MessagesState) -> Any:
        text = state["messages"][-1].content
        agent.invoke(Command(resume=text) if text == "yes" else {"messages": [("user", text)]}, config)

    graph = StateGraph(MessagesState).add_node("shop", node).add_edge(START, "shop").compile()
    for text in ("Buy it", "yes"):
        graph.invoke({"messages": [("user", text)]})

    answers = [
        (e["prompt_number"], e["meta"]["status"], e["input_data"]["value"]) for e in of_type(log, "human_oversight")
    ]
    assert answers == [(1, "interrupted", {"question": "ok?"}), (1, "resumed", "yes")]


def test_retry_that_asks_is_a_recovery(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """What asks a human has got past the failure before it: the error must not stay open after the answer."""
    policy = RetryPolicy(max_attempts=2, initial_interval=0, jitter=False, retry_on=ValueError)
    graph = around(create_agent(chat(ValueError("down"), QUESTION, "done"), [ask]), handler, retry_policy=policy)
    for given in ({"messages": [("user", "Buy it")]}, Command(resume="yes")):
        graph.invoke(given, CONFIG)

    kinds = [kind for kind, _, _ in without_nodes(log) if kind in ("error", "recovery", "human_oversight")]
    assert kinds == ["error", "human_oversight", "recovery", "human_oversight"]
    assert recoveries(log) == [(0, "LangGraph", "retry", "LangGraph was called again")]


def test_answer_is_told_by_the_handler_of_the_graph(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """If the graph around it has a handler too, question and answer are logged once, the answer with its value."""
    outer = CoagentCallbackHandler(delivery=log)
    graph = around(create_agent(chat(QUESTION, "done"), [ask]), handler)
    for given in ({"messages": [("user", "Buy it")]}, Command(resume="yes")):
        graph.invoke(given, {**CONFIG, "callbacks": [outer]})

    assert [(e["meta"]["status"], e["input_data"]["value"]) for e in of_type(log, "human_oversight")] == [
        ("interrupted", {"question": "ok?"}),
        ("resumed", "yes"),
    ]
