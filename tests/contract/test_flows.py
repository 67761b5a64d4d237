"""Complete flows as applications have them: nested agents, structured output, sampling, resumed sessions, threads."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
import pickle
import random
import threading
from typing import Annotated, Any
from uuid import UUID

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware, wrap_tool_call
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, RetryPolicy, interrupt
from pydantic import BaseModel, ValidationError

from coagent_langchain import CoagentCallbackHandler, CoagentClient, server
from coagent_langchain.delivery.backoff import backoff
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import Silent, calls, chat
from tests.reading import EMPTY, ONE_CALL, of_type, sessions, state_of, types
from tests.server.drawing import timeline
from tests.tools import add, tool_node


class Recipe(BaseModel):
    """A recipe."""

    name: str


def test_an_agent_as_a_tool(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The inner agent's calls take the next turns; the outer tool's call and response keep theirs."""
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


def test_an_agent_as_a_tool_is_drawn_inside_its_tool(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The inner graph's own run has no event: `within_run_id` skips it, and the timeline follows."""
    inner = create_agent(chat("three"), [], name="inner")

    @tool
    def ask_inner(question: str) -> str:
        """Ask the inner agent."""
        return str(inner.invoke({"messages": [("user", question)]})["messages"][-1].content)

    outer = create_agent(
        chat(calls(("ask_inner", {"question": "1+2"}, "o1")), "it is three"), [ask_inner], name="outer"
    )
    outer.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    (call,) = of_type(log, "tool_call")
    traces = [e["meta"]["trace"] for e in of_type(log, "component_enter")]
    over = [trace["within_run_id"] for trace in traces if "within_run_id" in trace]
    assert over == [call["meta"]["trace"]["run_id"]]
    prompt = timeline(log.entries).roots[0]
    assert outline(prompt) == [
        ("Turn 1", [MODEL_NODE, ("tools", [("ask_inner", [MODEL_NODE])])]),
        MODEL_NODE,
    ]


MODEL_NODE = ("model", [("scripted-1", [])])


def outline(bar: timeline.Bar) -> list[tuple[str, Any]]:
    """The tree below a bar, by label."""
    return [(child.label, outline(child)) for child in bar.children]


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

    (error,), (recovery,) = of_type(log, "error"), of_type(log, "recovery")
    assert [e["meta"].get("attempt") for e in of_type(log, "tool_call")] == [None, 2]
    assert [e["tool_response"]["success"] for e in of_type(log, "tool_response")] == [False, True]
    assert recovery["error_info"] == {
        "error_id": error["event_id"],
        "component_id": "flaky",
        "recovery_strategy": "retry",
        "recovery_actions": ["attempt 2 succeeded"],
        "recovery_successful": True,
    }


def test_tasks_of_the_functional_api_are_components(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """An entrypoint and its tasks are in the tree as a graph's nodes are; what runs in a task is below it."""

    @task
    def draft(topic: str) -> str:
        return str((RunnableLambda(str, name="draft") | chat("text")).invoke(topic).content)

    @entrypoint()
    def write(topic: str) -> str:
        return draft(topic).result()

    write.invoke("soup", {"callbacks": [handler]})

    kinds = [e["event_type"] for e in log.entries]
    names = [e["target_component"]["name"] for e in of_type(log, "component_enter")]
    inner, outer = of_type(log, "component_enter")[1], of_type(log, "component_enter")[0]
    assert (kinds.count("component_exit"), names) == (2, ["write", "draft"])
    assert inner["meta"]["trace"]["parent_run_id"] == outer["meta"]["trace"]["run_id"]
    assert of_type(log, "llm_call")[0]["llm_call"]["issuer"] == "draft"


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

    agents = {city: RunnableLambda(lambda _, city=city: agent(city)) for city in ("Rome", "Oslo")}  # type: ignore[misc]
    RunnableParallel(agents).invoke("go", {"callbacks": [handler]})

    asked = {e["prompt"]: e["turn_number"] for e in of_type(log, "llm_call")}
    called = {e["tool_call"]["parameters"]["city"]: e["turn_number"] for e in of_type(log, "tool_call")}
    assert (called, sorted(asked.values())) == (asked, [1, 2])


def test_threads_of_one_session_are_resumed_each_for_itself(log: MemoryDelivery) -> None:
    """A human's answer belongs to the question of its own thread, and continues that prompt."""
    handler = CoagentCallbackHandler("s", delivery=log)

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(interrupt("sure?"))]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    graph = builder.compile(checkpointer=InMemorySaver())
    for thread in ("a", "b"):
        config = {"configurable": {"thread_id": thread}, "callbacks": [handler]}
        graph.invoke({"messages": [("user", thread)]}, config)
    for thread in ("a", "b"):
        graph.invoke(Command(resume=f"yes {thread}"), {"configurable": {"thread_id": thread}, "callbacks": [handler]})

    asked = of_type(log, "human_oversight")
    assert [(e["prompt_number"], e["meta"]["status"], e["input_data"]["value"]) for e in asked] == [
        (1, "interrupted", "sure?"),
        (2, "interrupted", "sure?"),
        (1, "resumed", "yes a"),
        (2, "resumed", "yes b"),
    ]


@pytest.mark.parametrize("prompt", [RunnableLambda(lambda asked: asked["messages"]), RunnablePassthrough()])
def test_loop_of_the_applications_own_is_a_prompt_for_each_question(
    prompt: Any, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Its tools, and the calls that receive their results, are roots: they stay in the prompt that requested them."""
    config: Any = {"callbacks": [handler]}
    asking = [calls(("add", {"a": n, "b": n}, f"c{n}"), ("add", {"a": n, "b": 0}, f"d{n}")) for n in (1, 2)]
    agent = prompt | chat(asking[0], "two", asking[1], "four")
    messages: list[Any] = []
    for question in ("1 + 1?", "2 + 2?"):
        messages.append(HumanMessage(question))
        while isinstance(messages[-1], (HumanMessage, ToolMessage)):
            given = {"messages": messages} if isinstance(prompt, RunnableLambda) else messages
            answer = agent.invoke(given, config)
            messages += [answer, *(add.invoke(call, config) for call in answer.tool_calls)]

    told = [(e["event_type"], e["prompt_number"], e["turn_number"]) for e in log.entries]
    tool = ["tool_call", "tool_response"]
    steps = [("user_input", 0), *((kind, 1) for kind in ["llm_call", "llm_response", *tool, *tool]), ("llm_call", 2),
             ("llm_response", 2)]  # fmt: skip
    assert told[1:] == [(kind, number, turn) for number in (1, 2) for kind, turn in steps]
    assert [e["prompt"] for e in of_type(log, "user_input")] == ["1 + 1?", "2 + 2?"]


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


def test_nested_agents_are_named(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Each call carries the agent and node that made it, and its path through the graphs."""
    graph = StateGraph(MessagesState)
    for name, answer in (("alice", "a"), ("bob", "b")):
        graph.add_node(name, create_agent(chat(answer), [], name=name))
    graph.add_edge(START, "alice")
    graph.add_edge("alice", "bob")
    graph.compile().invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    assert [e["meta"]["framework"]["path"] for e in of_type(log, "llm_call")] == [["alice", "model"], ["bob", "model"]]


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


def test_structured_output_of_a_model_is_marked(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A call that `with_structured_output` requests is marked in the response: no tool will answer it."""
    model = chat(calls(("Recipe", {"name": "soup"}, "c1"))).with_structured_output(Recipe)
    result = model.invoke("q", {"callbacks": [handler]})

    (call,) = of_type(log, "llm_response")[0]["llm_response"]["tool_calls"]["calls"]
    assert (result, call["structured_output"]) == (Recipe(name="soup"), True)


def test_call_names_the_schema_of_its_answer(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The schema of `with_structured_output`, however the model receives it."""
    chat("soup").with_structured_output(Recipe).invoke("q", {"callbacks": [handler]})

    assert [e["meta"]["structured_output"] for e in of_type(log, "llm_call")] == ["Recipe"]


def test_structured_output_beside_real_tools(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """With `ToolStrategy` and tools, the node's exit names only the call that no tool answers."""
    model = chat(calls(("add", {"a": 1, "b": 2}, "c1")), calls(("Recipe", {"name": "soup"}, "c2")))
    agent = create_agent(model, [add], response_format=ToolStrategy(Recipe))
    agent.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    named = [e["meta"].get("structured_output_calls") for e in of_type(log, "component_exit")]
    assert named == [None, None, ["c2"]]
    assert [e["meta"]["tool_call_id"] for e in of_type(log, "tool_call")] == ["c1"]


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
    info = of_type(log, "recovery")[0]["error_info"]
    assert (info["error_id"], info["recovery_strategy"]) == (of_type(log, "error")[0]["event_id"], "retry")
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

    told = [e for e in log.entries if e["event_type"] in ("error", "recovery")]
    ids = [e["error_info"]["error_id"] for e in told]
    assert [(e["event_type"], e["error_info"]["component_id"]) for e in told] == [
        ("error", "ScriptedChat"),
        ("recovery", "cook"),
        ("error", "ScriptedChat"),
    ]
    assert (ids[0] == ids[1], told[1]["error_info"]["recovery_strategy"]) == (True, "retry")


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

    (error,), (recovery,) = of_type(log, "error"), of_type(log, "recovery")
    assert recovery["error_info"] == {
        "error_id": error["event_id"],
        "component_id": "step",
        "recovery_strategy": "retry",
        "recovery_actions": ["attempt 2 succeeded"],
        "recovery_successful": True,
    }


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

    errors, recoveries = of_type(log, "error"), of_type(log, "recovery")
    told = [(e["error_info"]["error_id"], e["error_info"]["recovery_strategy"]) for e in recoveries]
    assert (len(errors), told) == (2, [(errors[1]["event_id"], "handled")])


def test_fallbacks_that_all_fail_recover_nothing(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Two failed models are two errors; the exception that leaves the run is not a third."""
    model = chat(ValueError("1")).with_fallbacks([chat(KeyError("2"))])
    with pytest.raises(ValueError, match="1"):
        model.invoke("q", {"callbacks": [handler]})

    assert [e["error_info"]["error_type"] for e in of_type(log, "error")] == ["ValueError", "KeyError"]
    assert of_type(log, "recovery") == []


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_sampling_decides_per_root(rate: float, log: MemoryDelivery) -> None:
    """A root is logged completely or not at all, decided by its id; what is left out leaves no state."""
    handler = CoagentCallbackHandler(delivery=log, sample_rate=rate)
    chain = RunnableLambda(lambda x: x) | chat("soup").with_fallbacks([chat("other")])
    for number in range(200):
        # Ids whose low 32 bits are evenly distributed, as in random ones.
        low = (2 * number + 1) * 0xFFFFFFFF // 400
        chain.invoke("q", {"callbacks": [handler], "run_id": UUID(int=(7 << 64) + (number << 33) + low)})

    logged = types(log).count("llm_response")
    assert (logged, types(log).count("user_input")) == (round(200 * rate), round(200 * rate))
    assert state_of(handler) == EMPTY


def test_resume_continues_the_servers_numbers() -> None:
    """With `resume=True` a new process continues with the next prompt, and does not start the session again."""
    with server.launch() as running:
        for resume in (False, True):
            handler = CoagentCallbackHandler("s", base_url=running.base_url, spool_dir="off", resume=resume)
            chat("soup").invoke("q", {"callbacks": [handler]})
            assert handler.flush(10)
            forget_sessions(handler)
        logged = CoagentClient(running.base_url).get_logs("s")

    assert [(e.event_type.value, e.prompt_number) for e in logged] == [
        ("session_start", 1),
        ("user_input", 1),
        ("llm_call", 1),
        ("llm_response", 1),
        ("user_input", 2),
        ("llm_call", 2),
        ("llm_response", 2),
    ]


@pytest.mark.parametrize("stops", ["to ask", "in an error"])
def test_resume_continues_the_prompt_whose_graph_goes_on(stops: str) -> None:
    """With `resume=True` a new process continues its last prompt and turn if there is no new request."""

    def step(state: MessagesState) -> MessagesState:
        if stops == "to ask":
            interrupt("ok?")
        elif not failed:
            failed.append(True)
            raise ValueError("no")
        return {"messages": [model.invoke(state["messages"])]}

    model, failed = chat("soup", "bread", "cheese"), list[bool]()
    graph = StateGraph(MessagesState).add_node("first", lambda state: {"messages": [model.invoke(state["messages"])]})
    app = graph.add_node("then", step).add_edge(START, "first").add_edge("first", "then")
    app, question = app.compile(checkpointer=InMemorySaver()), {"messages": [("user", "q")]}
    with server.launch() as running:
        for resume, asked in ((False, question), (True, Command(resume="yes") if stops == "to ask" else None)):
            handler = CoagentCallbackHandler("s", base_url=running.base_url, spool_dir="off", resume=resume)
            with contextlib.suppress(ValueError):
                app.invoke(asked, {"callbacks": [handler], "configurable": {"thread_id": "t"}})
            assert handler.flush(10)
            forget_sessions(handler)
        chat("more").invoke("q", {"callbacks": [handler]})
        assert handler.flush(10)
        logged = CoagentClient(running.base_url).get_logs("s")

    kinds = ("user_input", "llm_call", "human_oversight", "error")
    stop = ("human_oversight", 1, 1) if stops == "to ask" else ("error", 1, 1)
    assert [(e.event_type.value, e.prompt_number, e.turn_number) for e in logged if e.event_type in kinds] == [
        ("user_input", 1, 0),
        ("llm_call", 1, 1),
        stop,
        *([("human_oversight", 1, 1)] if stops == "to ask" else []),
        ("llm_call", 1, 2),
        ("user_input", 2, 0),
        ("llm_call", 2, 1),
    ]


def test_resume_goes_on_in_the_prompt_that_the_application_names() -> None:
    """The application knows which of its prompts asked; the server knows only the last one."""
    run_id, metadata = UUID(int=1), {"thread_id": "t", "prompt_number": 2}
    with server.launch() as running:
        client = CoagentClient(running.base_url)
        for number in (1, 2, 3):
            client.log_user_input("s", "q", number)
        handler = CoagentCallbackHandler("s", base_url=running.base_url, spool_dir="off", resume=True)
        handler.on_chain_start({}, Command(resume="yes"), run_id=run_id, metadata=metadata)
        handler.on_chain_end({}, run_id=run_id)
        assert handler.flush(10)
        logged = client.get_logs("s")

    assert [e.prompt_number for e in logged if e.event_type == "human_oversight"] == [2]


def forget_sessions(handler: CoagentCallbackHandler) -> None:
    """Make the process forget its sessions, as if it were another one."""
    handler._sessions._open.clear()
    handler._sessions._last_prompts.clear()


def test_branches_that_start_together_are_one_prompt(log: MemoryDelivery) -> None:
    """Branches that start concurrently in several threads find one session and one prompt, each time."""
    barrier = threading.Barrier(4, timeout=10)

    def wait(value: Any) -> Any:
        barrier.wait()
        return chat("soup").invoke(value)

    for _ in range(20):
        branches: Any = {f"b{n}": RunnableLambda(wait) for n in range(4)}
        handler = CoagentCallbackHandler(delivery=log)
        RunnableParallel(branches).invoke("q", {"callbacks": [handler], "configurable": {"thread_id": "t"}})

    assert [e["prompt_number"] for e in of_type(log, "user_input")] == list(range(1, 21))
    assert {tuple(kinds[:2]) for kinds in sessions(log).values()} == {("session_start", "user_input")}
    for number in range(1, 21):
        turns = [e["turn_number"] for e in of_type(log, "llm_call") if e["prompt_number"] == number]
        assert sorted(turns) == [1, 2, 3, 4]


def test_roots_that_start_together_share_the_handlers_session(log: MemoryDelivery) -> None:
    """Runs without a session id that begin concurrently in many threads are prompts of one session."""
    for _ in range(20):
        handler = CoagentCallbackHandler(delivery=MemoryDelivery())
        log = handler._delivery  # type: ignore[assignment]
        barrier = threading.Barrier(6, timeout=10)

        def ask(handler: Any = handler, barrier: Any = barrier) -> None:
            barrier.wait()
            chat("soup").invoke("q", {"callbacks": [handler]})

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(e["prompt_number"] for e in of_type(log, "user_input")) == [1, 2, 3, 4, 5, 6]
        assert types(log).count("session_start") == 1


def test_a_task_that_outlives_its_run_is_a_run_of_its_own(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A chain that begins in the background after the enclosing run has ended is a prompt of its own."""
    later: list[asyncio.Task[Any]] = []
    ended = asyncio.Event()

    async def spawn(value: str) -> str:
        async def work() -> None:
            await ended.wait()
            await chat("late").ainvoke("late", {"callbacks": [handler]})

        later.append(asyncio.create_task(work()))
        return value

    async def main() -> None:
        await RunnableLambda(spawn).ainvoke("first", {"callbacks": [handler]})
        ended.set()
        await asyncio.gather(*later)

    asyncio.run(main())

    assert [(e["prompt_number"], e["prompt"]) for e in of_type(log, "user_input")] == [(1, "first"), (2, "late")]
    assert state_of(handler) == EMPTY


def test_totals_of_a_whole_conversation(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The end of a session counts prompts, turns, calls, tools, errors, recoveries and tokens."""
    agent = create_agent(chat(calls(("add", {"a": 1, "b": 2}, "c1")), "three"), [add])
    with handler.session("sums", session_id="s"):
        for _ in range(2):
            agent.invoke({"messages": [("user", "1+2")]}, {"callbacks": [handler]})
        chat(ValueError("down")).with_fallbacks([chat("ok")]).invoke("q", {"callbacks": [handler]})

    meta = log.entries[-1]["meta"]
    meta.pop("elapsed_time_ms")
    assert meta == {
        "status": "completed",
        "prompts": 3,
        "turns": 6,
        "llm_calls": 6,
        "tool_calls": 2,
        "errors": 1,
        "recoveries": 1,
        "input_tokens": 50,
        "output_tokens": 20,
        "total_tokens": 70,
    }


@pytest.mark.parametrize("how", ["cancelled", "failed", "completed"])
def test_status_of_a_session_is_its_last_runs(how: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A handler that is closed after a cancelled run ends its session as cancelled, after a failed run as failed."""

    async def main() -> None:
        started = asyncio.Event()

        async def step(value: str) -> str:
            started.set()
            if how == "failed":
                raise ValueError("no")
            if how == "cancelled":
                await asyncio.Event().wait()
            return value

        task = asyncio.create_task(RunnableLambda(step).ainvoke("q", {"callbacks": [handler]}))
        await started.wait()
        if how == "cancelled":
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    handler.close()

    assert log.entries[-1]["meta"]["status"] == how


class Mine(CoagentCallbackHandler):
    """An application's subclass of the handler."""


def test_a_subclass_survives_pickling() -> None:
    """An application's subclass is unpickled as that class."""
    again = pickle.loads(pickle.dumps(Mine("s", spool_dir="off")))

    assert isinstance(again, Mine)
    assert again._binding._session_id == "s"


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


def own_words(log: MemoryDelivery) -> list[tuple[str, list[Any]]]:
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


def test_message_that_names_its_role_is_whose_it_says(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A `ChatMessage` of the user is the prompt; one of the assistant that no model produced is the node's own."""
    said = ChatMessage("soup", role="assistant")
    graph = StateGraph(MessagesState).add_node("say", lambda _: {"messages": [said]}).add_edge(START, "say").compile()
    graph.invoke({"messages": [ChatMessage("Lunch?", role="user")]}, {"callbacks": [handler]})

    assert [e["prompt"] for e in of_type(log, "user_input")] == ["Lunch?"]
    assert own_words(log) == [("say", ["soup"])]


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

    assert own_words(log) == [("say", ["a"])]


def test_words_of_a_model_that_a_node_returns_as_its_own_are_not_repeated(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """For example an agent that puts its name on a response."""

    def say(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(chat("soup").invoke("q").content, name="cook")]}

    graph = StateGraph(MessagesState).add_node("say", say).add_edge(START, "say").compile()
    graph.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    assert own_words(log) == []


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

    assert own_words(log) == [("say", ["1"]), ("say", ["3"])]


def test_components_can_be_chosen(log: MemoryDelivery) -> None:
    """`components="all"` logs every runnable except plumbing, `"none"` no component; calls are always logged."""
    for components, expected in (("all", True), ("none", False)):
        own = MemoryDelivery()
        handler = CoagentCallbackHandler(delivery=own, components=components)
        (RunnableLambda(lambda x: x).with_config(run_name="mine") | chat("soup")).invoke("q", {"callbacks": [handler]})
        names = [e["target_component"]["name"] for e in of_type(own, "component_enter")]

        assert (names == ["mine"], [t for t in types(own) if t in ONE_CALL]) == (expected, ONE_CALL)


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


def test_way_to_another_node_is_told_without_components(log: MemoryDelivery) -> None:
    """Routing is not the beginning or end of a component."""
    handler = CoagentCallbackHandler(delivery=log, components="none")
    graph = StateGraph(MessagesState).add_node("first", lambda state: Command(goto="last"), destinations=("last",))
    app = graph.add_node("last", lambda state: None).add_edge(START, "first").compile()
    app.invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})

    assert types(log) == ["session_start", "user_input", "routing"]
    assert of_type(log, "routing")[0]["meta"]["goto"] == ["last"]


def test_the_applications_random_numbers_are_left_alone(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """An application that seeds `random` gets the same numbers with the handler, even while delivery is retried."""
    random.seed(7)
    expected = random.getstate()
    chat("soup").invoke("q", {"callbacks": [handler]})
    backoff(3)
    handler.close()

    assert random.getstate() == expected


def answers(log: MemoryDelivery) -> list[tuple[Any, ...]]:
    """The tool responses: turn, id, name, success and outcome."""
    return [
        (e["turn_number"], e["meta"]["tool_call_id"], e["tool_response"]["tool_name"], e["tool_response"]["success"],
         e["meta"].get("outcome"))
        for e in of_type(log, "tool_response")
    ]  # fmt: skip


@pytest.mark.parametrize("components", ["nodes", "none"])
def test_tool_that_the_model_has_made_up_is_a_call_that_failed(components: str, log: MemoryDelivery) -> None:
    """LangGraph answers it without a hook; a call that reuses the id later is another one."""
    handler = CoagentCallbackHandler(delivery=log, components=components)
    model = chat(calls(("magic", {}, "1"), ("add", {"a": 1, "b": 2}, "2")), calls(("magic", {}, "2")), "done")
    agent = create_agent(model, [add])
    graph = StateGraph(MessagesState).add_node("agent", agent).add_edge(START, "agent").compile()
    graph.invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})

    assert sorted(answers(log)) == [
        (1, "1", "magic", False, "not run"),
        (1, "2", "add", True, None),
        (2, "2", "magic", False, "not run"),
    ]
    assert [e["meta"]["tool_call_id"] for e in of_type(log, "tool_call") if e["tool_call"]["tool_name"] == "magic"] == [
        "1", "2",
    ]  # fmt: skip
    assert (of_type(log, "error"), state_of(handler)) == ([], EMPTY)


def test_tool_that_failed_beside_a_made_up_one_is_no_call_of_its_own(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """One node answers both with an error; hooks reported the one that ran."""
    model = chat(calls(("magic", {}, "1"), ("add", {"a": "many"}, "2")))
    graph = StateGraph(MessagesState).add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    app = (
        graph.add_node("tools", tool_node(add, handle_tool_errors=True))
        .add_edge(START, "model")
        .add_edge("model", "tools")
        .compile()
    )
    app.invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})

    assert [each[1:3] for each in answers(log)] == [("2", "add"), ("1", "magic")]


TEXTS = [{"type": "text", "text": "two rows", "id": "lc_1"}, {"type": "text", "text": "3, 4", "id": "lc_2"}]
IMAGE = {"type": "image", "base64": "aGVsbG8=", "mime_type": "image/png"}
DESCRIBED = {**IMAGE, "base64": {"mime": "image/png", "bytes": 5, "sha256": hashlib.sha256(b"hello").hexdigest()}}


@pytest.mark.parametrize(("content", "status", "output", "message"), [
    (TEXTS, "success", "two rows\n3, 4", None),
    (TEXTS, "error", "two rows\n3, 4", "two rows\n3, 4"),
    ([TEXTS[0], IMAGE], "success", [TEXTS[0], DESCRIBED], None),
    ([TEXTS[0], IMAGE], "error", [TEXTS[0], DESCRIBED], "two rows"),
    ([{"type": "json"}], "error", [{"type": "json"}], '[{"type":"json"}]'),
    ("", "error", "", ""),
])  # fmt: skip
def test_answer_in_content_blocks_reads_as_its_text(
    log: MemoryDelivery, handler: CoagentCallbackHandler, content: Any, status: Any, output: Any, message: str | None
) -> None:
    """As tools of MCP servers respond; blocks are kept if there is more than text."""

    @tool
    def read(table: str) -> Any:
        """Read a table."""
        return ToolMessage(content, tool_call_id="1", status=status, artifact={"rows": [3, 4]})

    read.invoke({"name": "read", "args": {"table": "t"}, "id": "1", "type": "tool_call"}, {"callbacks": [handler]})
    told = of_type(log, "tool_response")[0]["tool_response"]

    assert (told["result"], told.get("error_message")) == ({"output": output, "artifact": {"rows": [3, 4]}}, message)


@pytest.mark.parametrize("content", ["no more calls", [{"type": "text", "text": "no more calls"}]])
def test_call_that_a_node_refuses_has_failed(
    log: MemoryDelivery, handler: CoagentCallbackHandler, content: Any
) -> None:
    """For example by LangChain's limit of tool calls, which answers in place of the tool."""
    model = chat(calls(("add", {"a": 1, "b": 2}, "1")))

    def limit(state: MessagesState) -> MessagesState:
        return {"messages": [ToolMessage(content, name="add", tool_call_id="1", status="error")]}

    graph = StateGraph(MessagesState).add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    app = graph.add_node("limit", limit).add_edge(START, "model").add_edge("model", "limit").compile()
    app.invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})

    assert answers(log) == [(1, "1", "add", False, "not run")]
    assert [e["tool_call"] for e in of_type(log, "tool_call")] == [{"tool_name": "add", "parameters": {"a": 1, "b": 2}}]
    assert of_type(log, "tool_response")[0]["tool_response"]["error_message"] == "no more calls"


def test_call_that_is_answered_without_its_tool_is_told(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A middleware may know the answer already: no tool runs, so no hook reports it."""

    @wrap_tool_call
    def cached(request: Any, run: Any) -> ToolMessage:
        return ToolMessage("3", tool_call_id=request.tool_call["id"])

    agent = create_agent(chat(calls(("add", {"a": 1, "b": 2}, "1")), "done"), [add], middleware=[cached])
    agent.invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})

    assert answers(log) == [(1, "1", "add", True, "answered by node")]
    assert [e["tool_call"] for e in of_type(log, "tool_call")] == [{"tool_name": "add", "parameters": {"a": 1, "b": 2}}]
    assert [e["tool_response"] for e in of_type(log, "tool_response")] == [
        {"tool_name": "add", "result": {"output": "3"}, "success": True}
    ]
    assert state_of(handler) == EMPTY


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


def test_a_structured_answer_beside_messages_of_an_sdk(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A node that calls a provider's SDK returns messages with calls in another form: its exit is logged."""
    sdk = pytest.importorskip("openai.types.chat")  # not among the oldest versions
    function = {"id": "c1", "type": "function", "function": {"name": "Recipe", "arguments": "{}"}}
    message = sdk.ChatCompletionMessage.model_validate({"role": "assistant", "tool_calls": [function]})
    graph = StateGraph(dict).add_node("cook", lambda state: {"messages": [message], "structured_response": "soup"})
    graph.add_edge(START, "cook").compile().invoke({}, {"callbacks": [handler]})

    (left,) = of_type(log, "component_exit")
    assert (left["output_data"], left["meta"]["messages"]) == ({"structured_response": "soup"}, 1)


class Weather(BaseModel):
    """The schema of an agent's answer."""

    city: str
    degrees: int


def test_structured_answer_that_is_refused_is_a_call_that_failed(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangChain tells the model what is wrong and asks again: no hook reports it, and it costs tokens."""
    script = [calls(("Weather", {"city": "Rome", "degrees": warm}, str(warm))) for warm in ("hot", 30)]
    agent = create_agent(chat(*script), [], response_format=ToolStrategy(Weather))
    agent.invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})
    if "structured_response" not in of_type(log, "component_exit")[0].get("output_data", {}):
        pytest.skip("this langchain does not tell a refused answer from any other")

    assert answers(log) == [(1, "hot", "Weather", False, "not run")]
    assert [e["tool_call"]["parameters"] for e in of_type(log, "tool_call")] == [{"city": "Rome", "degrees": "hot"}]
    assert "Input should be a valid integer" in of_type(log, "tool_response")[0]["tool_response"]["error_message"]


def test_old_errors_in_a_conversation_are_not_told_again(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A node may pass on the whole conversation: what was answered in it before is not the node's answer."""

    def handed_on(state: MessagesState) -> MessagesState:
        return {"messages": state["messages"]}

    model = chat(calls(("magic", {}, "1")), "done", "again")
    graph = StateGraph(MessagesState).add_node("agent", create_agent(model, [add])).add_node("next", handed_on)
    app = graph.add_edge(START, "agent").add_edge("agent", "next").compile(checkpointer=InMemorySaver())
    for _ in range(2):
        app.invoke({"messages": [("user", "q")]}, {"callbacks": [handler], "configurable": {"thread_id": "t"}})

    assert answers(log) == [(1, "1", "magic", False, "not run")]
