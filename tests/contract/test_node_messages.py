"""What a node says itself, without a model, and what stands in the place of a message."""

from __future__ import annotations

import operator
from typing import Annotated, Any

import langgraph.types
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import before_model
from langchain_core.messages import AIMessage, ChatMessage, RemoveMessage, SystemMessage, ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES, add_messages
from pydantic import BaseModel
from typing_extensions import TypedDict

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import calls, chat
from tests.reading import of_type, types


class Incomparable:
    """Raises when it is compared, as an array does whose truth value is ambiguous."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]


def test_what_stands_in_the_place_of_a_role_is_not_compared(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A pair may be a message, or two values of any kind, both in a chain's input and in a node's output."""
    graph = StateGraph(dict).add_node("first", lambda state: {"messages": [(Incomparable(), 1)]})
    app = graph.add_edge(START, "first").compile()
    app.invoke({"messages": [(Incomparable(), 1)]}, {"callbacks": [handler]})

    assert types(log) == ["session_start", "component_enter", "component_exit", "user_input"]


def node_messages(log: MemoryDelivery) -> list[tuple[str, list[Any]]]:
    """What each node said itself, in the order in which the nodes ended."""
    return [
        (e["target_component"]["name"], [m["content"] for m in e["output_data"]["messages"]])
        for e in of_type(log, "component_exit")
        if "messages" in e.get("output_data", {})
    ]


def test_what_a_node_says_itself_is_told_at_its_exit(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """No model event has it; messages of a model or a human are counted, and not repeated."""

    def say(state: MessagesState) -> dict[str, Any]:
        said = chat("soup").invoke("q")
        return {"messages": [said, AIMessage("a"), ("ai", "b"), {"role": "assistant", "content": "c"}, ("user", "d")]}

    graph = StateGraph(MessagesState).add_node("say", say).add_edge(START, "say").compile()
    graph.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    (left,) = of_type(log, "component_exit")
    assert left["meta"]["messages"] == 5
    assert left["output_data"] == {"messages": [{"role": "assistant", "content": content} for content in "abc"]}


@pytest.mark.parametrize("as_dict", [False, True])
def test_what_a_node_says_in_place_of_the_conversation_is_told(
    as_dict: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangGraph's `Overwrite` holds the messages that it writes: the node's own, and its answer to a call."""
    if (overwrite := getattr(langgraph.types, "Overwrite", None)) is None:
        pytest.skip("this langgraph has no Overwrite")

    def refuse(state: MessagesState) -> dict[str, Any]:
        refused = ToolMessage("refused", tool_call_id="1", status="error")
        messages = [*state["messages"], refused, AIMessage("I may not")]
        return {"messages": {"__overwrite__": messages} if as_dict else overwrite(messages)}

    graph = StateGraph(MessagesState).add_edge(START, "model").add_edge("model", "refuse").add_node("refuse", refuse)
    graph.add_node("model", lambda state: {"messages": [chat(calls(("pay", {}, "1"))).invoke(state["messages"])]})
    graph.compile().invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    assert node_messages(log) == [("refuse", ["I may not"])]
    assert [e["meta"].get("messages") for e in of_type(log, "component_exit")] == [1, 4]
    assert [e["meta"]["outcome"] for e in of_type(log, "tool_response")] == ["not run"]


def test_call_that_a_node_makes_itself_is_told(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A node that decides without a model which tool is called next returns a message with that call alone."""
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "c1", "type": "tool_call"}
    said = AIMessage("", tool_calls=[call])
    graph = StateGraph(MessagesState).add_node("say", lambda _: {"messages": [said]}).add_edge(START, "say").compile()
    graph.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    (left,) = of_type(log, "component_exit")
    calls_made = [{"id": "c1", "name": "add", "args": {"a": 1, "b": 2}}]
    assert left["output_data"] == {"messages": [{"role": "assistant", "content": "", "tool_calls": calls_made}]}


def test_message_that_names_its_role_is_whose_it_says(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A `ChatMessage` of the user is the prompt; one of the assistant that no model produced is the node's own."""
    said = ChatMessage(content="soup", role="assistant")
    graph = StateGraph(MessagesState).add_node("say", lambda _: {"messages": [said]}).add_edge(START, "say").compile()
    graph.invoke({"messages": [ChatMessage(content="Lunch?", role="user")]}, {"callbacks": [handler]})

    assert [e["prompt"] for e in of_type(log, "user_input")] == ["Lunch?"]
    assert node_messages(log) == [("say", ["soup"])]


class Conversation(BaseModel):
    """A graph state that is not a dict."""

    messages: Annotated[list[Any], add_messages] = []
    asked: int = 0


def test_state_that_is_an_object_is_told_as_its_fields(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A node may return the whole state: its messages are counted, and not repeated, as with a dict."""

    def ask(state: Conversation) -> Conversation:
        return Conversation(messages=[*state.messages, chat("soup").invoke("q"), AIMessage("a")], asked=1)

    graph = StateGraph(Conversation).add_node("ask", ask).add_edge(START, "ask").compile()
    graph.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    (left,) = of_type(log, "component_exit")
    assert left["meta"]["messages"] == 3
    assert left["output_data"] == {"asked": 1, "messages": [{"role": "assistant", "content": "a"}]}


def test_message_that_langgraph_has_given_an_id_is_the_nodes_own(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """For example if the node merges messages itself before it returns them."""

    def say(state: MessagesState) -> dict[str, Any]:
        return {"messages": add_messages([], [AIMessage("a")])}

    graph = StateGraph(MessagesState).add_node("say", say).add_edge(START, "say").compile()
    graph.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    assert node_messages(log) == [("say", ["a"])]


def test_words_of_a_model_that_a_node_returns_as_its_own_are_not_repeated(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """For example an agent that puts its name on a response."""

    def say(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(chat("soup").invoke("q").content, name="cook")]}

    graph = StateGraph(MessagesState).add_node("say", say).add_edge(START, "say").compile()
    graph.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    assert node_messages(log) == []


def test_what_a_node_says_is_told_once(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The enclosing graphs return it again, as does a later run that receives the whole conversation."""
    inner = StateGraph(MessagesState).add_node(
        "say", lambda state: {"messages": [AIMessage(str(len(state["messages"])))]}
    )
    app = StateGraph(MessagesState).add_node("agent", inner.add_edge(START, "say").compile())
    app = app.add_node("all", lambda state: state).add_edge(START, "agent").add_edge("agent", "all")
    graph = app.compile(checkpointer=InMemorySaver())
    for _ in range(2):
        graph.invoke({"messages": [("user", "go")]}, {"callbacks": [handler], "configurable": {"thread_id": "t"}})

    assert node_messages(log) == [("say", ["1"]), ("say", ["3"])]


def keep_all(state: Any) -> dict[str, Any]:
    """A node that returns the whole state with a model's answer."""
    return {"messages": [*state["messages"], chat("rice").invoke(state["messages"])]}


def keep_latest(state: MessagesState) -> dict[str, Any]:
    """A node that drops all messages but the latest."""
    return {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), *state["messages"][-2:]]}


class PlainState(TypedDict):
    """A state whose messages are replaced by what a node returns."""

    messages: list[Any]


@pytest.mark.parametrize("in_chain", [False, True])
@pytest.mark.parametrize(("state", "node"), [
    (MessagesState, keep_all), (PlainState, keep_all), (MessagesState, keep_latest),
])  # fmt: skip
def test_history_that_a_graph_is_given_is_not_said_again(
    log: MemoryDelivery, handler: CoagentCallbackHandler, state: Any, node: Any, in_chain: bool
) -> None:
    """A service without a checkpointer passes the whole conversation each time, or a chain looks it up."""
    graph = StateGraph(state).add_node("node", node).add_edge(START, "node").compile()
    history = [("user", "Lunch?"), ("ai", "soup"), {"role": "user", "content": "More?"}, AIMessage("bread")]
    look_up = RunnableLambda(lambda question: {"messages": [*history, ("user", question)]})
    run, question = (look_up | graph, "And then?") if in_chain else (graph, look_up.invoke("And then?"))
    run.invoke(question, {"callbacks": [handler]})

    assert node_messages(log) == []


@before_model
def trim(state: Any, runtime: Any) -> dict[str, Any]:
    """A middleware that returns the messages to keep, here all."""
    return {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), *state["messages"]]}


@pytest.mark.parametrize(("name", "run_name"), [("cook", None), (None, "lunch"), (None, None)])
def test_history_that_an_agent_is_given_is_not_said_again(
    log: MemoryDelivery, handler: CoagentCallbackHandler, name: str | None, run_name: str | None
) -> None:
    """A middleware may return the conversation that the application passes, whatever the agent's or run's name."""
    agent = create_agent(chat("rice"), [], middleware=[trim], name=name)
    config: RunnableConfig = {"callbacks": [handler], **({"run_name": run_name} if run_name else {})}
    agent.invoke({"messages": [("user", "Lunch?"), ("ai", "soup"), ("user", "And then?")]}, config)

    assert node_messages(log) == []


class TeamState(TypedDict, total=False):
    """A state with a conversation for each role."""

    messages: list[Any]
    chef_messages: Annotated[list[Any], operator.add]
    rules: list[Any]


def test_conversations_of_any_name_are_messages(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Research graphs have one for each role: counted, not repeated, and a node's answer to a call is a tool's.

    A list in which neither a model nor a tool speaks is in no other event for sure: it stays a value.
    """

    model, rules = chat(calls(("search", {"for": "soup"}, "c"))), [SystemMessage("Cook.")]
    history = [AIMessage("Hi"), AIMessage("Ho")]

    def look_up(state: TeamState) -> dict[str, Any]:
        return {"chef_messages": [ToolMessage("leek", tool_call_id="c"), AIMessage("Enough.")], "messages": []}

    graph = StateGraph(TeamState).add_node("ask", lambda _: {"chef_messages": [model.invoke("q")], "rules": rules})
    graph = graph.add_node("look_up", look_up).add_node("all", lambda state: state).add_edge(START, "ask")
    app = graph.add_edge("ask", "look_up").add_edge("look_up", "all").compile()
    app.invoke({"chef_messages": history}, {"callbacks": [handler]})

    exits = of_type(log, "component_exit")
    assert [(e["meta"]["messages"], e.get("output_data")) for e in exits] == [
        (1, {"rules": [{"role": "system", "content": "Cook."}]}),
        (2, {"messages": [{"role": "assistant", "content": "Enough."}]}),
        (5, {"rules": [{"role": "system", "content": "Cook."}]}),
    ]
    assert [(e["tool_response"]["tool_name"], e["meta"]["outcome"]) for e in of_type(log, "tool_response")] == [
        ("search", "answered by node"),
    ]


def guard(state: MessagesState) -> dict[str, Any]:
    """A node that replaces the latest message, under its id, and returns the whole state."""
    *others, last = state["messages"]
    return {"messages": [*others, last.model_copy(update={"content": "No."})]}


def test_node_that_replaces_a_models_answer_tells_its_own(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A guard: the user gets its words, in each run, and the model's are in the model's event alone."""
    graph = StateGraph(MessagesState).add_node("ask", lambda state: {"messages": chat("soup").invoke("q")})
    graph = graph.add_node("guard", guard).add_node("all", lambda state: state).add_edge(START, "ask")
    app = graph.add_edge("ask", "guard").add_edge("guard", "all").compile(checkpointer=InMemorySaver())
    for _ in range(2):
        app.invoke({"messages": [("user", "go")]}, {"callbacks": [handler], "configurable": {"thread_id": "t"}})

    assert node_messages(log) == [("guard", ["No."]), ("guard", ["No."])]


def test_node_may_say_again_what_is_in_the_history(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A guard that refuses a second time in the same words."""
    graph = StateGraph(MessagesState).add_node("guard", lambda _: {"messages": [AIMessage("No.")]})
    app = graph.add_edge(START, "guard").compile()
    app.invoke({"messages": [("user", "May I?"), ("ai", "No."), ("user", "Please!")]}, {"callbacks": [handler]})

    assert node_messages(log) == [("guard", ["No."])]
