"""A handler that only a part of a graph has: LangGraph runs the part's task again, with the input of the first time."""

from __future__ import annotations

import contextvars
from typing import Any

from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import calls, chat
from tests.reading import of_type
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


def told(log: MemoryDelivery) -> list[tuple[str, int, int]]:
    """The sequence without the events of graph nodes."""
    return [at for at in log.sequence if not at[0].startswith("component_")]


def test_subgraph_goes_on_with_the_answer(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A human's answer reaches the graph around it alone, whose task then asks no more: it is the same prompt."""
    graph = around(create_agent(chat(QUESTION, "done", "hello"), [ask]), handler)
    for given in ({"messages": [("user", "Buy it")]}, Command(resume="yes"), {"messages": [("user", "Hi")]}):
        graph.invoke(given, CONFIG)
    handler.close()

    assert told(log) == [
        ("session_start", 1, 0),
        ("user_input", 1, 0),
        ("llm_call", 1, 1),
        ("llm_response", 1, 1),
        ("tool_call", 1, 1),
        ("human_oversight", 1, 1),
        ("tool_response", 1, 1),
        ("human_oversight", 1, 1),
        ("tool_call", 1, 1),
        ("tool_response", 1, 1),
        ("llm_call", 1, 2),
        ("llm_response", 1, 2),
        ("user_input", 2, 0),
        ("llm_call", 2, 1),
        ("llm_response", 2, 1),
        ("session_end", 2, 0),
    ]
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

    assert told(log) == [
        ("session_start", 1, 0),
        ("user_input", 1, 0),
        ("tool_call", 1, 0),
        ("human_oversight", 1, 0),
        ("tool_response", 1, 0),
        ("human_oversight", 1, 0),
        ("tool_call", 1, 0),
        ("tool_response", 1, 0),
        ("session_end", 1, 0),
    ]
    assert [e["meta"]["status"] for e in of_type(log, "human_oversight")] == ["interrupted", "resumed"]
    assert [e["meta"]["tool_call_id"] for e in of_type(log, "tool_call")] == ["c1", "c1"]


def test_subgraph_is_retried(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The retry policy of the node around it runs it again: that is no other prompt, and the failure is recovered."""
    policy = RetryPolicy(max_attempts=2, initial_interval=0, jitter=False, retry_on=ValueError)
    graph = around(create_agent(chat(ValueError("down"), "done"), []), handler, retry_policy=policy)
    graph.invoke({"messages": [("user", "Buy it")]}, CONFIG)

    assert told(log) == [
        ("session_start", 1, 0),
        ("user_input", 1, 0),
        ("llm_call", 1, 1),
        ("error", 1, 1),
        ("llm_call", 1, 2),
        ("llm_response", 1, 2),
        ("recovery", 1, 2),
    ]


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
