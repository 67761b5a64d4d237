"""Tools that the agents of several tests use, a node that runs tools, and agents and graphs that ask a person."""

from __future__ import annotations

import warnings
from typing import Any

from langchain.agents import create_agent
from langchain_core.tools import BaseTool, ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from coagent_langchain import CoagentCallbackHandler
from tests.fakes import calls, chat


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool
def bad(food: str) -> str:
    """Fail."""
    raise ToolException("no stock")


@tool
def ask(question: str) -> str:
    """Ask a person."""
    return str(interrupt({"question": question}))


def tool_node(*tools: BaseTool, **options: Any) -> Any:
    """LangGraph's node that runs tools, whose oldest supported version warns that it has moved."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from langgraph.prebuilt import ToolNode
    return ToolNode(tools, **options)


def asking_agent() -> Any:
    """An agent whose tool asks a person, then says that it is done."""
    model = chat(calls(("ask", {"question": "ok?"}, "c1")), "done")
    return create_agent(model, [ask], checkpointer=InMemorySaver())


def in_thread(handler: CoagentCallbackHandler, thread: str, **further: Any) -> Any:
    """The config of a run in one of LangGraph's threads."""
    return {"callbacks": [handler], "configurable": {"thread_id": thread}, **further}


def asking_graph(*names: str, **compiled: Any) -> Any:
    """A graph with parallel nodes, each of which asks a person."""
    graph: Any = StateGraph(MessagesState)
    for name in names:
        graph.add_node(name, lambda _, name=name: {"messages": [("ai", str(interrupt(f"{name}?")))]})
        graph.add_edge(START, name)
    return graph.compile(checkpointer=InMemorySaver(), **compiled)
