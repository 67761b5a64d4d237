"""Which call of a model each tool run answers: ids that repeat, and tools that run without an id."""

from __future__ import annotations

import functools
import threading
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_tool_call
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import ValidationError

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import calls, chat
from tests.reading import of_type, tool_answers
from tests.threads import at_once, switching_often
from tests.tools import add


def test_tool_calls_with_the_same_id_keep_their_prompts(log: MemoryDelivery) -> None:
    """Some servers number the calls of each response from 0: in a batch every tool belongs to its own prompt."""
    handler = CoagentCallbackHandler("s", delivery=log)

    def run(city: str) -> str:
        message = chat(calls(("visit", {"city": city}, "0"))).invoke(city)
        return str(visit.invoke(message.tool_calls[0]).content)

    @tool
    def visit(city: str) -> str:
        """Visit a city."""
        return city

    RunnableLambda(run).batch(["Rome", "Oslo", "Bern"], {"callbacks": [handler]})

    asked = {e["prompt"]: e["prompt_number"] for e in of_type(log, "user_input")}
    called = {e["tool_call"]["parameters"]["city"]: e["prompt_number"] for e in of_type(log, "tool_call")}
    assert (called, sorted(asked.values())) == (asked, [1, 2, 3])


def test_tool_calls_with_the_same_id_in_branches_keep_their_turns(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Two parallel agents of one run, with a server that numbers both their calls from 0: each tool has its turn."""
    both_have_asked = threading.Barrier(2)

    @tool
    def visit(city: str) -> str:
        """Visit a city."""
        return city

    def agent(city: str) -> str:
        message = chat(calls(("visit", {"city": city}, "0"))).invoke(city)
        both_have_asked.wait(10)
        return str(visit.invoke(message.tool_calls[0]).content)

    agents = {city: RunnableLambda(lambda _, city=city: agent(city)) for city in ("Rome", "Oslo")}
    RunnableParallel(agents).invoke("go", {"callbacks": [handler]})

    asked = {e["prompt"]: e["turn_number"] for e in of_type(log, "llm_call")}
    called = {e["tool_call"]["parameters"]["city"]: e["turn_number"] for e in of_type(log, "tool_call")}
    assert (called, sorted(asked.values())) == (asked, [1, 2])


def test_tool_calls_with_the_same_id_in_parallel_agents_are_told_once(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """What one agent's tool answers is no answer to the other agent's call, which has the same id and still waits."""
    one_visits, both_have_asked, one_has_ended = (threading.Event() for _ in range(3))

    @tool
    def visit(city: str) -> str:
        """Visit a city."""
        one_visits.set()
        both_have_asked.wait(10)
        return city

    @wrap_tool_call
    def wait(request: Any, run: Any) -> Any:
        both_have_asked.set()
        one_has_ended.wait(10)
        return run(request)

    def later(state: Any) -> Any:
        one_visits.wait(10)
        return state

    def agent(city: str, *middleware: Any) -> Any:
        return create_agent(chat(calls(("visit", {"city": city}, "0")), city), [visit], middleware=middleware)

    first = agent("Rome") | RunnableLambda(lambda _: one_has_ended.set())
    second = RunnableLambda(later) | agent("Oslo", wait)
    RunnableParallel(first=first, second=second).invoke({"messages": []}, {"callbacks": [handler]})

    called = [(e["turn_number"], e["tool_call"]["parameters"]["city"]) for e in of_type(log, "tool_call")]
    assert called == [(1, "Rome"), (2, "Oslo")]
    assert tool_answers(log) == [(1, "0", "visit", True, None), (2, "0", "visit", True, None)]


def test_tool_that_no_model_has_asked_for_is_a_prompt(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Neither before a model asks for it, nor if the only call for it was left waiting in an earlier prompt."""
    config: Any = {"callbacks": [handler]}
    add.invoke({"a": 1, "b": 1}, config)
    chat(calls(("add", {"a": 2, "b": 2}, "c1"))).invoke("2 + 2?", config)
    chat("soup").invoke("cook", config)
    add.invoke({"a": 3, "b": 3}, config)

    assert [(e["prompt_number"], e["turn_number"]) for e in of_type(log, "tool_call")] == [(1, 0), (4, 0)]


def test_tool_that_an_application_runs_is_told_once_though_an_earlier_call_for_it_waits(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A call that was left waiting in an earlier prompt does not stand in for the one that the latest prompt made."""
    config: Any = {"callbacks": [handler]}
    chat(calls(("add", {"a": 2, "b": 2}, "c1"))).invoke("2 + 2?", config)
    asked = chat(calls(("add", {"a": 3, "b": 3}, "c2"))).invoke("3 + 3?", config)
    answer = ToolMessage(str(add.invoke({"a": 3, "b": 3}, config)), tool_call_id="c2")
    chat("six").invoke([HumanMessage("3 + 3?"), asked, answer], config)

    told = [(e["event_type"], e["prompt_number"], e["turn_number"]) for e in log.entries[4:]]
    assert told == [("user_input", 2, 0), ("llm_call", 2, 1), ("llm_response", 2, 1), ("tool_call", 2, 1),
                    ("tool_response", 2, 1), ("llm_call", 2, 2), ("llm_response", 2, 2)]  # fmt: skip


def test_graph_that_is_given_a_models_calls_stays_in_its_prompt(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """For example a graph of tools alone: its input ends with the model's tool calls."""
    config: Any = {"callbacks": [handler]}
    graph = StateGraph(MessagesState)
    graph.add_node("tools", lambda state: {"messages": [add.invoke(c) for c in state["messages"][-1].tool_calls]})
    graph.add_edge(START, "tools")
    asked = chat(calls(("add", {"a": 2, "b": 2}, "c1"))).invoke("2 + 2?", config)
    graph.compile().invoke({"messages": [HumanMessage("2 + 2?"), asked]}, config)

    told = [(e["event_type"], e["prompt_number"], e["turn_number"]) for e in log.entries[1:]]
    assert told == [("user_input", 1, 0), *((kind, 1, 1) for kind in ("llm_call", "llm_response", "component_enter",
                    "tool_call", "tool_response", "component_exit"))]  # fmt: skip


def test_answer_of_a_tool_that_nobody_is_known_to_have_asked_for(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """If another process called the model, a call with the tool's result is a prompt of its own."""
    chat("soup").invoke("cook", {"callbacks": [handler]})
    asked = [HumanMessage("2 + 2?"), calls(("add", {"a": 2, "b": 2}, "c1")), ToolMessage("4", tool_call_id="c1")]
    chat("four").invoke(asked, {"callbacks": [handler]})

    assert [(e["prompt_number"], e["prompt"]) for e in of_type(log, "user_input")] == [(1, "cook"), (2, "2 + 2?")]


@pytest.mark.parametrize("wrapped", [False, True])
def test_tool_that_the_application_runs_without_its_call_is_told_once(
    wrapped: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The message that it makes of the result is no second call, not even if the model asks for the tool again."""
    model = chat(calls(("add", {"a": 1, "b": 2}, "1")), calls(("add", {"a": 3, "b": 3}, "2")), "done")

    def loop(question: str, config: RunnableConfig) -> Any:
        messages: list[Any] = [HumanMessage(question)]
        while (asked := model.invoke(messages, config)).tool_calls:
            (call,) = asked.tool_calls
            result = add.invoke(call["args"], config) if call["id"] == "1" else 6
            messages += [asked, ToolMessage(str(result), tool_call_id=call["id"])]
        return asked

    config: RunnableConfig = {"callbacks": [handler]}
    _ = RunnableLambda(loop).invoke("q", config) if wrapped else loop("q", config)

    assert [e["meta"].get("outcome") for e in of_type(log, "tool_response")] == [None, "answered by application"]


def test_tool_that_is_run_without_its_call_has_the_call_with_its_arguments(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """41 langchain-ai/langchain#34168: without an id, it is the call of the same name and arguments that waits."""
    model = chat(calls(("add", {"a": 1, "b": 2}, "c1"), ("add", {"a": 3, "b": 4}, "c2")), "done")

    def loop(question: str) -> None:
        model.invoke(question)
        model.invoke("think")
        for arguments in ({"a": 3, "b": 4}, {"a": 1, "b": 2}, {"a": 1, "b": 2}):
            add.invoke(arguments)

    RunnableLambda(loop).invoke("q", {"callbacks": [handler]})

    told = [(e["event_type"], e["meta"].get("tool_call_id"), e["turn_number"])
            for e in log.entries if e["event_type"].startswith("tool")]  # fmt: skip
    ran = [("c2", 1), ("c1", 1), (None, 2)]
    assert told == [(kind, *each) for each in ran for kind in ("tool_call", "tool_response")]


def test_equal_calls_that_are_run_at_once_without_their_ids_have_one_each() -> None:
    """Each of several tools that begin in parallel, with the same arguments, is another call."""
    told = []
    equal = [("add", {"a": 1, "b": 2}, f"c{number}") for number in range(4)]
    with switching_often():
        for _ in range(20):
            log = MemoryDelivery()

            def loop(question: str, config: RunnableConfig) -> None:
                asked = chat(calls(*equal)).invoke(question, config)
                at_once(*[functools.partial(add.invoke, call["args"], config) for call in asked.tool_calls])

            RunnableLambda(loop).invoke("q", {"callbacks": [CoagentCallbackHandler(delivery=log)]})
            told.append(sorted(e["meta"].get("tool_call_id", "") for e in of_type(log, "tool_call")))

    assert told == [["c0", "c1", "c2", "c3"]] * 20


@pytest.mark.parametrize("wrapped", [False, True])
def test_tool_that_is_run_with_the_arguments_alone_has_the_turn_of_its_request(
    wrapped: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Even if the tool before it has asked a model, in a run or in a prompt's block."""

    @tool
    def ask(a: int) -> str:
        """Ask a model."""
        return chat(str(a)).invoke("a?").text

    def loop(question: str, config: RunnableConfig) -> Any:
        asked = chat(calls(("ask", {"a": 1}, "1"), ("add", {"a": 1, "b": 2}, "2"))).invoke(question, config)
        for each, call in zip((ask, add), asked.tool_calls, strict=True):
            each.invoke(call["args"], config)
        return asked

    config: RunnableConfig = {"callbacks": [handler]}
    with handler.session("s") as session, session.prompt("q"):
        _ = RunnableLambda(loop).invoke("q", config) if wrapped else loop("q", config)

    turns = [(e["event_type"], e["turn_number"]) for e in log.entries if e["turn_number"]]
    assert turns == [
        ("llm_call", 1), ("llm_response", 1), ("tool_call", 1), ("llm_call", 2), ("llm_response", 2),
        ("tool_response", 1), ("tool_call", 1), ("tool_response", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("arguments", [{"a": 1, "b": 2}, {"a": 1}])
def test_tool_that_a_node_runs_without_its_call_is_told_once(
    log: MemoryDelivery, handler: CoagentCallbackHandler, arguments: dict[str, int]
) -> None:
    """The node answers the call itself, with the tool's result or with its error."""
    model = chat(calls(("add", arguments, "1")))

    def tools(state: MessagesState) -> MessagesState:
        try:
            message = ToolMessage(add.invoke(arguments), tool_call_id="1")
        except ValidationError:
            message = ToolMessage("wrong", tool_call_id="1", status="error")
        return {"messages": [message]}

    graph = StateGraph(MessagesState).add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    app = graph.add_node("tools", tools).add_edge(START, "model").add_edge("model", "tools").compile()
    app.invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})

    assert [e["meta"].get("outcome") for e in of_type(log, "tool_response")] == [None]
