"""Where a call was made: its issuer, and its place in a framework."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import PROMPT, calls, chat
from tests.reading import of_type


@pytest.mark.parametrize("name", [None, "kitchen"])
def test_events_say_where_in_their_framework_they_stand(
    log: MemoryDelivery, handler: CoagentCallbackHandler, name: str | None
) -> None:
    """A chain is LangChain's; a graph is LangGraph's, whatever its name, and its nodes have their place in it."""
    model = chat("a")
    graph = StateGraph(MessagesState).add_node("cook", lambda state: {"messages": [model.invoke(state["messages"])]})
    compiled = graph.set_entry_point("cook").compile(name=name)
    compiled.invoke({"messages": [("user", "q")]}, {"callbacks": [handler], "metadata": {"session_id": "graph"}})
    (PROMPT | model).invoke({"food": "leek"}, {"callbacks": [handler], "metadata": {"session_id": "chain"}})

    told = [e["meta"].get("framework") for event in ("session_start", "llm_call") for e in of_type(log, event)]
    assert told[2].pop("checkpoint_ns").startswith("cook:")
    node = {"name": "langgraph", "node": "cook", "step": 1}
    assert told == [{"name": "langgraph"}, {"name": "langchain"}, node, None]


def test_call_of_an_agent_with_a_name_says_where_in_it_it_is(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Node, step and agent are in `framework`; the issuer is the agent's node."""
    agent = create_agent(chat("done"), [], name="chef")
    agent.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    (call,) = of_type(log, "llm_call")
    framework = call["meta"]["framework"]
    assert framework.pop("checkpoint_ns").startswith("model:")
    assert framework == {"name": "langgraph", "node": "model", "step": 1, "agent": "chef"}
    assert call["llm_call"]["issuer"] == "chef.model"


def graph_of_a_chain(name: str | None) -> Any:
    """A graph whose node is a chain that ends with a model."""
    builder = StateGraph(MessagesState).add_edge(START, "model")
    builder.add_node(
        "model", RunnableLambda(lambda state: "what?") | chat("soup") | (lambda answer: {"messages": answer})
    )
    return builder.compile(name=name)


@pytest.mark.parametrize(
    ("cook", "issuer"),
    [
        (create_agent(chat("soup"), name="cook"), "cook.model"),
        (graph_of_a_chain("cook"), "cook.model"),
        (graph_of_a_chain(None), "chef.model"),
    ],
)
def test_issuer_is_the_agent_that_was_called_with_the_config_of_another(
    cook: Any, issuer: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Tools often pass their config on, which brings the other agent's name along; the graph's own name is nearer."""

    @tool
    def ask_cook(question: str, config: RunnableConfig) -> str:
        """Ask the cook."""
        return str(cook.invoke({"messages": [("user", question)]}, config)["messages"][-1].content)

    agent = create_agent(chat(calls(("ask_cook", {"question": "what?"}, "c1")), "soup"), [ask_cook], name="chef")
    agent.invoke({"messages": [("user", "go")]}, {"callbacks": [handler], "run_name": "request"})

    assert [e["llm_call"]["issuer"] for e in of_type(log, "llm_call")] == ["chef.model", issuer, "chef.model"]


def test_issuers_in_graphs_with_the_same_nodes_differ(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A supervisor's agents without names of their own, such as prebuilt ones: the issuer is the subgraph's node."""
    graph = StateGraph(MessagesState).add_edge(START, "maths").add_edge("maths", "poet")
    for name in ("maths", "poet"):
        graph.add_node(name, create_agent(chat("done"), []))
    graph.compile().invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    told = [(e["llm_call"]["issuer"], e["meta"]["framework"]["path"]) for e in of_type(log, "llm_call")]
    assert told == [("maths.model", ["maths", "model"]), ("poet.model", ["poet", "model"])]


@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_issuer_inside_a_history_has_a_name_of_the_users(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The issuer is the history, not the chain that LangChain creates inside it."""
    model = RunnableLambda(lambda messages: messages) | chat("soup")
    memory = RunnableWithMessageHistory(model, lambda _: InMemoryChatMessageHistory())
    memory.invoke("q", {"callbacks": [handler], "configurable": {"session_id": "s"}})

    assert [e["llm_call"]["issuer"] for e in of_type(log, "llm_call")] == ["RunnableWithMessageHistory"]


def test_model_that_is_called_again_is_not_its_own_issuer(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """`with_retry` wraps a model in a chain with the model's name: the issuer is the chain around that."""
    model = chat(ConnectionError("down"), "Soup").with_retry(wait_exponential_jitter=False)
    (PROMPT | model).with_config(run_name="cook").invoke({"food": "carrots"}, {"callbacks": [handler]})

    assert [e["llm_call"]["issuer"] for e in of_type(log, "llm_call")] == ["cook", "cook"]


@pytest.mark.parametrize(
    ("serialized", "name"),
    [({"name": "grill", "id": ["kitchen", "Grill"]}, "grill"), ({"id": ["kitchen", "Grill"]}, "Grill"), ({}, "tool")],
)
def test_run_without_a_name_has_that_of_its_class(
    serialized: Any, name: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Or else that of its kind."""
    handler.on_tool_start(serialized, "leek", run_id=uuid4())

    assert [e["tool_call"]["tool_name"] for e in of_type(log, "tool_call")] == [name]


@pytest.mark.parametrize(("metadata", "name"), [({"ls_model_name": "leek-1"}, "leek-1"), ({}, "model")])
def test_model_without_a_class_has_the_name_of_its_model(
    metadata: dict[str, str], name: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangChain need not say how a model is serialized."""
    handler.on_chat_model_start({}, [[]], run_id=uuid4(), metadata=metadata)

    assert [e["meta"]["trace"]["name"] for e in of_type(log, "llm_call")] == [name]
