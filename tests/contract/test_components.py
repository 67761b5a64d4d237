"""Components: agents inside tools and graphs, tasks, their names, paths and turns."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from pydantic import BaseModel

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.server.presentation.bars import Bar
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import Silent, calls, chat
from tests.reading import EMPTY, ONE_CALL, ONE_CALL_SEQUENCE, of_type, state_of, types
from tests.server.drawing import timeline
from tests.tools import add


def test_an_agent_as_a_tool(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The inner agent's calls take the next turns; the outer tool's call and response keep theirs.

    The inner graph's own run has no event: `within_run_id` skips it, and the timeline draws the agent inside its tool.
    """
    inner = create_agent(chat(calls(("add", {"a": 1, "b": 2}, "i1")), "three"), [add], name="inner")

    @tool
    def ask_inner(question: str) -> str:
        """Ask the inner agent."""
        return str(inner.invoke({"messages": [("user", question)]})["messages"][-1].content)

    outer = create_agent(chat(calls(("ask_inner", {"question": "1+2"}, "o1")), "it is three"), [ask_inner])
    outer.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    kinds = ("llm_call", "llm_response", "tool_call", "tool_response")
    assert [(e["event_type"], e["turn_number"]) for e in log.entries if e["event_type"] in kinds] == [
        ("llm_call", 1),
        ("llm_response", 1),
        ("tool_call", 1),
        ("llm_call", 2),
        ("llm_response", 2),
        ("tool_call", 2),
        ("tool_response", 2),
        ("llm_call", 3),
        ("llm_response", 3),
        ("tool_response", 1),
        ("llm_call", 4),
        ("llm_response", 4),
    ]
    assert (types(log).count("user_input"), state_of(handler)) == (1, EMPTY)
    traces = [e["meta"]["trace"] for e in of_type(log, "component_enter")]
    over = [trace["within_run_id"] for trace in traces if "within_run_id" in trace]
    asked = next(e for e in of_type(log, "tool_call") if e["meta"]["tool_call_id"] == "o1")
    assert set(over) == {asked["meta"]["trace"]["run_id"]}
    assert outline(timeline(log.entries).roots[0]) == [
        ("Turn 1", [MODEL_NODE, ("tools", [("ask_inner", [MODEL_NODE, ("tools", [("add", [])]), MODEL_NODE])])]),
        MODEL_NODE,
    ]


MODEL_NODE = ("model", [("scripted-1", [])])


def outline(bar: Bar) -> list[tuple[str, Any]]:
    """The tree below a bar, by label."""
    return [(child.label, outline(child)) for child in bar.children]


def test_tasks_of_the_functional_api_are_components(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """An entrypoint and its tasks are in the tree as a graph's nodes are; what runs in a task is below it."""

    @task
    def draft(topic: str) -> str:
        return str((RunnableLambda(str, name="draft") | chat("text")).invoke(topic).content)

    @entrypoint()
    def write(topic: str) -> str:
        return draft(topic).result()

    write.invoke("soup", {"callbacks": [handler]})

    kinds = types(log)
    names = [e["target_component"]["name"] for e in of_type(log, "component_enter")]
    inner, outer = of_type(log, "component_enter")[1], of_type(log, "component_enter")[0]
    assert (kinds.count("component_exit"), names) == (2, ["write", "draft"])
    assert inner["target_component"]["component_type"] == "node"
    assert inner["meta"]["trace"]["parent_run_id"] == outer["meta"]["trace"]["run_id"]
    assert of_type(log, "llm_call")[0]["llm_call"]["issuer"] == "write.draft"


def test_conversation_that_an_entrypoint_saves_is_not_repeated(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The functional API has no state, so a chat saves its messages for the next run, and what else it needs."""
    model = chat("Hello", "Bye")

    @entrypoint(checkpointer=InMemorySaver())
    def talk(said: list[AnyMessage], *, previous: Any = None) -> Any:
        answer = model.invoke(known := [*(previous or []), *said])
        return entrypoint.final(value=answer, save=[*known, answer])

    @entrypoint(checkpointer=InMemorySaver())
    def count(number: int, *, previous: Any = None) -> Any:
        return entrypoint.final(value="counted", save=(previous or 0) + number)

    config: RunnableConfig = {"configurable": {"thread_id": "t"}, "callbacks": [handler]}
    talk.invoke([HumanMessage("Hi")], config)
    talk.invoke([HumanMessage("And?")], config)
    count.invoke(3, config)

    exits = of_type(log, "component_exit")
    assert [exit.get("output_data") for exit in exits] == [None, None, {"value": "counted", "save": 3}]
    assert [exit["meta"].get("messages") for exit in exits] == [3, 5, None]


class Article(BaseModel):
    """An article."""

    title: str
    content: str


def test_result_of_a_task_is_logged_though_it_has_a_content(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """It was taken for a message, which has an event of its own."""

    @task
    def draft(topic: str) -> Article:
        return Article(title=topic, content="Leek.")

    @entrypoint()
    def write(topic: str) -> str:
        return draft(topic).result().content

    write.invoke("soup", {"callbacks": [handler]})

    told = [e["output_data"] for e in of_type(log, "component_exit")]
    assert told == [{"value": {"title": "soup", "content": "Leek."}}, {"value": "Leek."}]


def test_an_agent_that_is_cancelled_in_a_tool_takes_its_call_along(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """What a cancelled run was waiting for ends with it, and before it, though the enclosing run continues."""
    inner = create_agent(Silent(), [], name="inner")

    @tool
    async def ask_inner(question: str) -> str:
        """Ask the inner agent, but not for long."""
        try:
            await asyncio.wait_for(inner.ainvoke({"messages": [("user", question)]}), 0.05)
        except TimeoutError:
            return "no answer"
        return "answered"

    outer = create_agent(chat(calls(("ask_inner", {"question": "1+2"}, "o1")), "sorry"), [ask_inner], name="outer")
    asyncio.run(outer.ainvoke({"messages": [("user", "go")]}, {"callbacks": [handler]}))

    assert [(e["event_type"], e["turn_number"], e["meta"].get("outcome")) for e in log.entries[9:13]] == [
        ("llm_call", 2, None),
        ("llm_response", 2, "cancelled"),
        ("component_exit", 2, "cancelled"),
        ("tool_response", 1, None),
    ]
    assert state_of(handler) == EMPTY


@pytest.mark.parametrize("checkpointer", [None, True])
def test_path_of_an_agent_that_is_called_again(
    checkpointer: Any, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A node that calls an agent twice has the same path each time, even if the agent keeps its state.

    The count of calls in LangGraph's namespace is not a name, and a node above such an agent has a name without an id.
    """
    agent = create_agent(chat("a", "b"), [], name="alice", checkpointer=checkpointer)
    graph = StateGraph(MessagesState)
    graph.add_node("ask", lambda state: agent.invoke(agent.invoke(state)))
    graph.add_edge(START, "ask")
    config: Any = {"callbacks": [handler], "configurable": {"thread_id": "t"}}
    graph.compile(checkpointer=InMemorySaver()).invoke({"messages": [("user", "go")]}, config)

    assert [e["meta"]["framework"]["path"] for e in of_type(log, "llm_call")] == [["ask", "model"], ["ask", "model"]]


@pytest.mark.parametrize(("components", "names"), [("all", ["mine"]), ("nodes", []), ("none", [])])
def test_components_can_be_chosen(components: str, names: list[str], log: MemoryDelivery) -> None:
    """`components="all"` logs every runnable except plumbing, `"none"` no component; calls are always logged."""
    handler = CoagentCallbackHandler(delivery=log, components=components)
    (RunnableLambda(lambda x: x).with_config(run_name="mine") | chat("soup")).invoke("q", {"callbacks": [handler]})

    assert [e["target_component"]["name"] for e in of_type(log, "component_enter")] == names
    assert [kind for kind in types(log) if kind in ONE_CALL] == ONE_CALL


def test_component_that_returns_no_dict_tells_its_value(log: MemoryDelivery) -> None:
    """A list is one value. Messages are counted, and not repeated there."""
    handler = CoagentCallbackHandler(delivery=log, components="all")
    chain = RunnableLambda(str.upper, name="upper") | RunnableLambda(lambda word: AIMessage(word), name="message")
    (chain | RunnableLambda(lambda message: message.content.split(), name="split")).invoke(
        "leek soup", {"callbacks": [handler]}
    )

    told = [(e["target_component"]["name"], e["meta"].get("messages"), e["output_data"])
            for e in of_type(log, "component_exit")]  # fmt: skip
    assert told == [
        ("upper", None, {"value": "LEEK SOUP"}),
        ("message", 1, {"messages": [{"role": "assistant", "content": "LEEK SOUP"}]}),
        ("split", None, {"value": ["LEEK", "SOUP"]}),
    ]


def test_runnable_that_is_hidden_is_no_component(log: MemoryDelivery) -> None:
    """LangChain's tag for plumbing applies to everything that has it."""
    handler = CoagentCallbackHandler(delivery=log, components="all")
    hidden = RunnableLambda(str.upper, name="hidden").with_config(tags=["langsmith:hidden"])
    (hidden | RunnableLambda(str.lower, name="shown")).invoke("q", {"callbacks": [handler]})

    assert [e["target_component"]["name"] for e in of_type(log, "component_enter")] == ["shown"]


def test_turn_and_place_are_known_at_any_depth(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A model and tools below very many chains, in one branch or in two."""

    def begin_chains(branch: int) -> list[UUID]:
        ids = [UUID(int=1_000 * branch + depth) for depth in range(100)]
        for parent, run_id in zip([root, *ids], ids, strict=False):
            handler.on_chain_start({}, {}, run_id=run_id, parent_run_id=parent)
        return ids

    root = UUID(int=1)
    handler.on_chain_start({"name": "root"}, "q", run_id=root)
    first, second = begin_chains(1), begin_chains(2)
    handler.on_chat_model_start({}, [[HumanMessage("q")]], run_id=UUID(int=2), parent_run_id=first[-1])
    for number, parent in enumerate((first[0], first[-1], second[-1]), 3):
        handler.on_tool_start({}, "", run_id=UUID(int=number), parent_run_id=parent)

    assert [entry for entry in log.sequence if entry[0] != "session_start"] == [
        ("user_input", 1, 0), ("llm_call", 1, 1), *[("tool_call", 1, 1)] * 3,
    ]  # fmt: skip
    assert {e["meta"]["trace"]["within_run_id"] for e in of_type(log, "tool_call")} == {str(root)}


def test_way_to_another_node_has_the_turn_before_it(log: MemoryDelivery) -> None:
    """Without components, too, a node that calls no model is in the latest turn."""
    handler = CoagentCallbackHandler(delivery=log, components="none")
    graph = StateGraph(MessagesState).add_node("ask", lambda state: {"messages": chat("yes").invoke(state["messages"])})
    graph.add_node("route", lambda state: Command(goto="last")).add_node("last", lambda state: {})
    graph.add_edge(START, "ask").add_edge("ask", "route")
    graph.compile().invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    assert log.sequence == [*ONE_CALL_SEQUENCE, ("routing", 1, 1)]


def test_way_to_another_node_is_told_without_components(log: MemoryDelivery) -> None:
    """Routing is not the beginning or end of a component."""
    handler = CoagentCallbackHandler(delivery=log, components="none")
    graph = StateGraph(MessagesState).add_node("first", lambda state: Command(goto="last"), destinations=("last",))
    app = graph.add_node("last", lambda state: None).add_edge(START, "first").compile()
    app.invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})

    assert types(log) == ["session_start", "user_input", "routing"]
    assert of_type(log, "routing")[0]["meta"]["goto"] == ["last"]
