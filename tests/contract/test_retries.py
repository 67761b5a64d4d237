"""Attempts: what is repeated, replaced or gone on with after a failure, and what only looks like that."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy, interrupt

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import calls, chat
from tests.reading import of_type, recoveries, types


def test_tool_that_a_middleware_calls_again(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A failed call that is repeated and succeeds is recovered by a retry, and carries its attempt number."""
    tries: list[int] = []

    @tool
    def flaky(a: int) -> int:
        """Fail once."""
        tries.append(a)
        if len(tries) < 2:
            raise ValueError("not yet")
        return a

    model = chat(calls(("flaky", {"a": 1}, "c1")), "done")
    retry = ToolRetryMiddleware(max_retries=2, initial_delay=0.0, jitter=False)
    create_agent(model, [flaky], middleware=[retry]).invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    assert [e["meta"].get("attempt") for e in of_type(log, "tool_call")] == [None, 2]
    assert [e["tool_response"]["success"] for e in of_type(log, "tool_response")] == [False, True]
    assert recoveries(log) == [(0, "flaky", "retry", "attempt 2 succeeded")]


def test_tool_that_is_called_again_and_answers_with_an_error(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A second attempt that returns an error message makes up for nothing: the agent continues with both errors."""
    tries: list[int] = []

    @tool
    def flaky(a: int) -> int:
        """Fail each time, the second time with a message for the model."""
        tries.append(a)
        raise ValueError("not yet") if len(tries) < 2 else ToolException("never")

    flaky.handle_tool_error = True
    model = chat(calls(("flaky", {"a": 1}, "c1")), "sorry")
    retry = ToolRetryMiddleware(max_retries=2, initial_delay=0.0, jitter=False)
    create_agent(model, [flaky], middleware=[retry]).invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    assert recoveries(log) == [
        (1, "flaky", "handled", "the tool answered with an error message"), (0, "tools", "handled", "tools continued"),
    ]  # fmt: skip


def test_retry_of_a_graph_node(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A node that LangGraph's own retry policy repeats: one error, one recovery by retry, numbered attempts."""
    graph = StateGraph(MessagesState)
    model = chat(ConnectionError("down"), "soup")
    policy = RetryPolicy(initial_interval=0.001, max_attempts=3, jitter=False)
    graph.add_node("cook", lambda state: {"messages": [model.invoke("q")]}, retry_policy=policy)
    graph.add_edge(START, "cook")
    graph.compile().invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    assert types(log) == [
        "session_start",
        "user_input",
        "component_enter",
        "llm_call",
        "error",
        "component_exit",
        "component_enter",
        "llm_call",
        "llm_response",
        "component_exit",
        "recovery",
    ]
    assert recoveries(log) == [(0, "cook", "retry", "attempt 2 succeeded")]
    assert [e["meta"].get("attempt") for e in of_type(log, "component_enter")] == [None, 2]


def test_retry_of_a_node_is_told_whatever_comes_later(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A node that succeeds at the second attempt has recovered, even in a graph that asks a human or fails later."""
    graph = StateGraph(MessagesState)
    model = chat(ConnectionError("down"), "soup", ValueError("burnt"))
    policy = RetryPolicy(initial_interval=0.001, max_attempts=2, jitter=False, retry_on=ConnectionError)
    graph.add_node("cook", lambda state: {"messages": [model.invoke("q")]}, retry_policy=policy)
    graph.add_node("burn", lambda state: {"messages": [model.invoke("q")]})
    graph.add_edge(START, "cook")
    graph.add_edge("cook", "burn")
    with pytest.raises(ValueError, match="burnt"):
        graph.compile().invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    assert [kind for kind in types(log) if kind in ("error", "recovery")] == ["error", "recovery", "error"]
    assert recoveries(log) == [(0, "cook", "retry", "attempt 2 succeeded")]


@pytest.mark.parametrize("then", ["asks", "hands over"])
def test_node_that_gets_to_a_question_or_another_graph_when_it_is_run_again_has_recovered(
    then: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The second attempt succeeds, though it ends with an exception of LangGraph."""
    model = chat(ConnectionError("down"), "soup")

    def step(state: MessagesState) -> Command[str]:
        model.invoke("q")
        if then == "asks":
            interrupt("ok?")
        return Command(goto="last", graph=Command.PARENT)

    policy = RetryPolicy(initial_interval=0.001, max_attempts=2, jitter=False)
    inner = StateGraph(MessagesState).add_node("step", step, retry_policy=policy).add_edge(START, "step").compile()
    graph = StateGraph(MessagesState).add_node("inner", inner, destinations=("last",)).add_edge(START, "inner")
    app = graph.add_node("last", lambda state: None).compile(checkpointer=InMemorySaver())
    app.invoke({"messages": [("user", "q")]}, {"callbacks": [handler], "configurable": {"thread_id": "t"}})

    assert recoveries(log) == [(0, "step", "retry", "attempt 2 succeeded")]


def test_a_node_that_another_one_stands_in_for_is_no_retry(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """If every attempt of a node fails and its error handler continues, the last error is handled, none retried."""
    if "error_handler" not in inspect.signature(StateGraph.add_node).parameters:
        pytest.skip("this langgraph has no error handlers")
    graph = StateGraph(MessagesState)
    policy = RetryPolicy(initial_interval=0.001, max_attempts=2, jitter=False)
    stand_in: Any = {"error_handler": lambda state: {"messages": [AIMessage("bread")]}}
    model = chat(ConnectionError("down"))
    graph.add_node("cook", lambda state: {"messages": [model.invoke("q")]}, retry_policy=policy, **stand_in)
    graph.add_edge(START, "cook")
    graph.compile().invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    assert (len(of_type(log, "error")), recoveries(log)) == (2, [(1, "LangGraph", "handled", "LangGraph continued")])


def test_nodes_that_are_tried_again_beside_each_other_have_their_own_attempts(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Two nodes fail in the same step, and each succeeds the second time."""
    both, failed = threading.Barrier(2), set[str]()

    def work(name: str) -> None:
        if name not in failed:
            both.wait(10)
            failed.add(name)
            raise ConnectionError(name)

    policy, graph = RetryPolicy(initial_interval=0.05, max_attempts=2, jitter=False), StateGraph(MessagesState)
    for name in ("boil", "fry"):
        graph.add_node(name, lambda _, name=name: work(name), retry_policy=policy).add_edge(START, name)
    graph.compile().invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    entered = [(e["target_component"]["name"], e["meta"].get("attempt")) for e in of_type(log, "component_enter")]
    assert sorted(entered, key=str) == [("boil", 2), ("boil", None), ("fry", 2), ("fry", None)]


def test_fallbacks_that_all_fail_recover_nothing(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Two failed models are two errors; the exception that leaves the run is not a third."""
    model = chat(ValueError("1")).with_fallbacks([chat(KeyError("2"))])
    with pytest.raises(ValueError, match="1"):
        model.invoke("q", {"callbacks": [handler]})

    assert [e["error_info"]["error_type"] for e in of_type(log, "error")] == ["ValueError", "KeyError"]
    assert of_type(log, "recovery") == []


def test_input_of_a_batch_that_fails_in_all_attempts_is_not_recovered_by_a_retry(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """`with_retry` in a batch within a chain: one input succeeds at the second attempt, the other one never does."""
    model = chat(ValueError("a"), ValueError("b"), ValueError("a"), "ok")
    retrying = model.with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    both = RunnableLambda(
        lambda _: len(retrying.batch(["a", "b"], {"max_concurrency": 1}, return_exceptions=True)), name="both"
    )
    both.invoke("go", {"callbacks": [handler]})

    assert [e["error_info"]["error_message"] for e in of_type(log, "error")] == ["a", "b", "a"]
    assert [e["meta"].get("attempt") for e in of_type(log, "recovery")] == [2, None]
    assert recoveries(log) == [
        (1, "ScriptedChat", "retry", "attempt 2 succeeded"), (2, "both", "handled", "both continued"),
    ]  # fmt: skip


def test_all_inputs_of_a_batch_that_fail_are_recovered_with_it(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangChain ends each sequence of a batch with the exception of the first one, whatever failed in it."""
    begun = threading.Barrier(2, timeout=30)

    def fail(question: str) -> None:
        begun.wait()
        raise ValueError(question)

    def both(_: object) -> None:
        with contextlib.suppress(ValueError):
            (RunnablePassthrough() | RunnableLambda(fail)).batch(["a", "b"])

    RunnableLambda(both).invoke("go", {"callbacks": [handler]})

    assert sorted(e["error_info"]["error_message"] for e in of_type(log, "error")) == ["a", "b"]
    assert sorted(recoveries(log)) == [(place, "both", "handled", "both continued") for place in (0, 1)]


def test_failure_in_a_cancelled_step_is_recovered_with_it(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """What continues without a step that it has cancelled has recovered from what failed in the step before, too."""
    going_on = asyncio.Event()

    def fail(_: object) -> None:
        raise ValueError("early")

    async def step(_: object) -> None:
        with contextlib.suppress(ValueError):
            await RunnableLambda(fail).ainvoke("q")
        going_on.set()
        await asyncio.Event().wait()

    async def limited(_: object) -> None:
        task = asyncio.ensure_future(RunnableLambda(step).ainvoke("q"))
        await going_on.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(RunnableLambda(limited).ainvoke("go", {"callbacks": [handler]}))

    assert [e["error_info"]["error_message"] for e in of_type(log, "error")] == ["early"]
    assert recoveries(log) == [(0, "limited", "handled", "limited continued")]


def test_attempts_of_a_batch_in_a_node_are_not_those_of_the_node(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangChain reports what `with_retry` runs in a batch as children of the node around it."""
    model = chat(ValueError("a"), "ok", "ok")
    retrying = model.with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    fails = iter([True, False])

    def cook(state: object) -> None:
        retrying.batch(["q"])
        if next(fails):
            raise ConnectionError("down")

    policy = RetryPolicy(initial_interval=0.001, max_attempts=2, jitter=False)
    graph = StateGraph(MessagesState).add_node("cook", cook, retry_policy=policy).add_edge(START, "cook")
    graph.compile().invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    shown = ("component_enter", "llm_call", "error", "recovery")
    assert [(e["event_type"], e["meta"].get("attempt")) for e in log.entries if e["event_type"] in shown] == [
        ("component_enter", None),
        ("llm_call", None),
        ("error", None),
        ("llm_call", 2),
        ("recovery", 2),
        ("error", None),
        ("component_enter", 2),
        ("llm_call", None),
        ("recovery", 2),
    ]


def test_failure_that_a_later_attempt_goes_on_without_is_handled(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The second attempt of a function makes up for the first one, but not for what fails in it."""
    first = iter([True, False])

    def fail(_: object) -> None:
        raise ValueError("no salt")

    def cook(question: str) -> str:
        if next(first):
            raise ConnectionError("down")
        with contextlib.suppress(ValueError):
            RunnableLambda(fail).invoke(question)
        return "soup"

    RunnableLambda(cook).with_retry(wait_exponential_jitter=False).invoke("q", {"callbacks": [handler]})

    assert [e["error_info"]["error_message"] for e in of_type(log, "error")] == ["down", "no salt"]
    assert recoveries(log) == [(1, "cook", "handled", "cook continued"), (0, "cook", "retry", "attempt 2 succeeded")]


def test_parts_of_a_node_are_no_attempts_of_each_other(log: MemoryDelivery) -> None:
    """What runs after a failure in the same node is not a recovery, and only the node is a node."""

    def fail(_: object) -> None:
        raise ValueError("down")

    def work(state: object) -> None:
        try:
            RunnableLambda(fail).invoke(state)
        finally:
            RunnableLambda(str).with_config(run_name="tidy up").invoke(state)

    handler = CoagentCallbackHandler(delivery=log, components="all")
    app = StateGraph(MessagesState).add_node("work", work).add_edge(START, "work").compile()
    with pytest.raises(ValueError, match="down"):
        app.invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})

    named = [(e["event_type"], e["target_component"]["name"], e["target_component"]["component_type"],
              e["meta"].get("attempt")) for e in log.entries if "target_component" in e]  # fmt: skip
    assert named == [
        ("component_enter", "work", "node", None),
        ("component_enter", "fail", "orchestrator", None),
        ("component_exit", "fail", "orchestrator", None),
        ("component_enter", "tidy up", "orchestrator", None),
        ("component_exit", "tidy up", "orchestrator", None),
        ("component_exit", "work", "node", None),
    ]
    assert [kind for kind in types(log) if kind in ("error", "recovery")] == ["error"]
