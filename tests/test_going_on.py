"""What continues later in a session: graphs that failed or were stopped, calls whose tools run later."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentState, before_model
from langchain_core.messages import RemoveMessage
from langchain_core.runnables import RunnableParallel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphDrained
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.runtime import RunControl
from langgraph.types import Command

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.sessions import pending, tool_calls
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import ScriptedChat, calls, chat
from tests.reading import of_type, recoveries, without_nodes
from tests.threads import switching_often
from tests.tools import add, ask, in_thread


def test_graph_that_goes_on_from_where_it_failed(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """`invoke(None)` after a failure brings no new input: the prompt and its turns continue."""
    model = chat(calls(("add", {"a": 1, "b": 2}, "c1")), ValueError("down"), "3", "Welcome")
    agent = create_agent(model, [add], checkpointer=InMemorySaver())
    with pytest.raises(ValueError, match="down"):
        agent.invoke({"messages": [("user", "1 + 2?")]}, in_thread(handler, "t1"))
    agent.invoke(None, in_thread(handler, "t1"))
    agent.invoke({"messages": [("user", "Thanks")]}, in_thread(handler, "t2"))

    assert without_nodes(log) == [
        ("session_start", 1, 0), ("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1),
        ("tool_call", 1, 1), ("tool_response", 1, 1), ("llm_call", 1, 2), ("error", 1, 2), ("llm_call", 1, 3),
        ("llm_response", 1, 3), ("recovery", 1, 3), ("session_start", 1, 0), ("user_input", 1, 0),
        ("llm_call", 1, 1), ("llm_response", 1, 1),
    ]  # fmt: skip


def test_graph_that_goes_on_from_where_it_was_drained(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A service that is about to stop lets its graphs end their step: each is cancelled, and continues its prompt."""
    control = RunControl()
    builder = StateGraph(MessagesState).add_edge(START, "shop").add_edge("shop", "cook")
    builder.add_node("shop", lambda state: control.request_drain())
    builder.add_node("cook", lambda state: {"messages": [chat("soup").invoke("Dinner?")]})
    graph = builder.compile(checkpointer=InMemorySaver())
    for request, more in (({"messages": [("user", "Dinner?")]}, {"control": control}), (None, {})):
        with contextlib.suppress(GraphDrained), handler.session(session_id="t"):
            graph.invoke(request, in_thread(handler, "t"), **more)

    assert without_nodes(log) == [
        ("session_start", 1, 0), ("user_input", 1, 0), ("info", 1, 0), ("session_end", 1, 0),
        ("session_start", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1), ("session_end", 1, 0),
    ]  # fmt: skip
    assert [e["meta"]["outcome"] for e in of_type(log, "info")] == ["cancelled"]
    assert [e["meta"]["status"] for e in of_type(log, "session_end")] == ["cancelled", "completed"]


@pytest.mark.parametrize("in_block", [False, True])
def test_node_that_goes_on_from_where_it_failed_is_in_the_turn_of_its_failure(
    in_block: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Until a model begins the next turn, also where both runs are in one block."""
    agent = create_agent(chat(ValueError("down"), "soup"), [], checkpointer=InMemorySaver())
    with handler.session("t").prompt("Dinner?") if in_block else contextlib.nullcontext():
        for request in ({"messages": [("user", "Dinner?")]}, None):
            with contextlib.suppress(ValueError):
                agent.invoke(request, in_thread(handler, "t"))

    assert [at for at in log.sequence if at[0].startswith("component_")] == [
        ("component_enter", 1, 0), ("component_exit", 1, 1), ("component_enter", 1, 1), ("component_exit", 1, 2),
    ]  # fmt: skip


def test_graph_that_goes_on_in_a_prompt_of_its_own_begins_its_turns_there(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The new prompt is new user input: no event in it has a turn of the earlier prompt."""
    agent = create_agent(chat(ValueError("down"), "Welcome"), [add], checkpointer=InMemorySaver())
    with handler.session("s") as session:
        with contextlib.suppress(ValueError), session.prompt("Hello"):
            agent.invoke({"messages": [("user", "Hello")]}, in_thread(handler, "t"))
        with session.prompt("Once more"):
            agent.invoke(None, in_thread(handler, "t"))

    assert [at for at in log.sequence if at[1] == 2] == [
        ("user_input", 2, 0), ("component_enter", 2, 0), ("llm_call", 2, 1), ("llm_response", 2, 1),
        ("component_exit", 2, 1), ("recovery", 2, 1), ("session_end", 2, 0),
    ]  # fmt: skip


def test_each_thread_goes_on_in_its_own_prompt(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """If two threads of one session failed, each continues its prompt; what has succeeded is not continued."""
    model = chat(ValueError("a"), ValueError("b"), "ok a", "ok b", "again")
    agent = create_agent(model, [], checkpointer=InMemorySaver())
    with handler.session("s", session_id="s"):
        for thread in ("a", "b"):
            with contextlib.suppress(ValueError):
                agent.invoke({"messages": [("user", thread)]}, in_thread(handler, thread))
        for thread in ("a", "b"):
            agent.invoke(None, in_thread(handler, thread))
        before = next(state.config for state in agent.get_state_history(in_thread(handler, "b")) if state.next)
        agent.invoke(None, {**before, "callbacks": [handler]})

    assert [at for at in without_nodes(log) if at[0] in ("user_input", "llm_call")] == [
        ("user_input", 1, 0), ("llm_call", 1, 1), ("user_input", 2, 0), ("llm_call", 2, 1), ("llm_call", 1, 2),
        ("llm_call", 2, 2), ("user_input", 3, 0), ("llm_call", 3, 1),
    ]  # fmt: skip


def test_graph_goes_on_in_a_later_block_of_the_session(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A service may retry a failed request in another block."""
    agent = create_agent(chat(ValueError("down"), "up"), [], checkpointer=InMemorySaver())
    for request in ({"messages": [("user", "go")]}, None):
        with contextlib.suppress(ValueError), handler.session("chat", session_id="s"):
            agent.invoke(request, in_thread(handler, "t"))

    assert [at for at in without_nodes(log) if at[0] in ("user_input", "llm_call")] == [
        ("user_input", 1, 0),
        ("llm_call", 1, 1),
        ("llm_call", 1, 2),
    ]


def test_tool_that_has_run_is_not_answered_again_in_a_later_block(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A middleware that rewrites the conversation returns its messages, including old tool results."""
    down = [True]

    @before_model
    def shorten(state: AgentState[Any], runtime: Any) -> dict[str, Any]:
        if len(state["messages"]) > 1 and down:
            down.clear()
            raise ValueError("down")
        return {"messages": [RemoveMessage(id=REMOVE_ALL_MESSAGES), *state["messages"]]}

    model = chat(calls(("add", {"a": 1, "b": 2}, "c1")), "3")
    agent = create_agent(model, [add], middleware=[shorten], checkpointer=InMemorySaver())
    for request in ({"messages": [("user", "go")]}, None):
        with contextlib.suppress(ValueError), handler.session("chat", session_id="s"):
            agent.invoke(request, in_thread(handler, "t"))

    assert [e["meta"]["tool_call_id"] for e in of_type(log, "tool_call")] == ["c1"]


def test_graph_that_failed_goes_on_in_its_prompt_though_a_model_beside_it_failed_too(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The model's error is not the graph's, and nothing has recovered from it."""
    model = chat(ValueError("down"), "Welcome")
    agent = create_agent(model, [add], checkpointer=InMemorySaver())
    with contextlib.suppress(ValueError):
        agent.invoke({"messages": [("user", "Hello")]}, in_thread(handler, "t"))
    with contextlib.suppress(KeyError):
        chat(KeyError("no title")).invoke("A title?", {"callbacks": [handler], "metadata": {"thread_id": "t"}})
    agent.invoke(None, in_thread(handler, "t"))

    kinds = ("error", "llm_response", "recovery")
    assert [(kind, prompt) for kind, prompt, _ in without_nodes(log) if kind in kinds] == [
        ("error", 1), ("error", 2), ("llm_response", 1), ("recovery", 1),
    ]  # fmt: skip
    assert recoveries(log) == [(0, "LangGraph", "retry", "the graph continued from its last checkpoint")]


def test_graph_that_failed_twice_recovers_from_both(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A graph that resumes from its last checkpoint and succeeds has recovered from all its earlier errors, once."""
    agent = create_agent(chat(ValueError("a"), ValueError("b"), "ok", "ok"), [], checkpointer=InMemorySaver())
    go = {"messages": [("user", "go")]}
    with handler.session("Go") as session, session.prompt("go"):
        for request in (go, None, None, go):
            with contextlib.suppress(ValueError):
                agent.invoke(request, in_thread(handler, "t"))

    assert recoveries(log) == [
        (place, "LangGraph", "retry", "the graph continued from its last checkpoint") for place in (0, 1)
    ]
    assert (log.entries[-1]["meta"]["errors"], log.entries[-1]["meta"]["recoveries"]) == (2, 2)


def test_graph_recovers_from_all_that_failed_beside_each_other(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """If two nodes fail at the same time, LangGraph raises one of them; resuming runs both again."""
    both, down = threading.Barrier(2), [True, True]

    def node(number: int) -> Any:
        if down[number]:
            down[number] = False
            both.wait(5)
            raise ValueError(number)
        return {}

    graph: Any = StateGraph(MessagesState)
    for number in (0, 1):
        graph.add_node(f"node-{number}", lambda _, number=number: node(number))
        graph.add_edge(START, f"node-{number}")
    graph = graph.compile(checkpointer=InMemorySaver())
    with contextlib.suppress(ValueError):
        graph.invoke({"messages": [("user", "go")]}, in_thread(handler, "t"))
    graph.invoke(None, in_thread(handler, "t"))

    made_up_for = [(place, "LangGraph", "retry", "the graph continued from its last checkpoint") for place in (0, 1)]
    assert sorted(recoveries(log)) == made_up_for


def test_a_call_is_let_go_of_when_its_tool_has_run(handler: CoagentCallbackHandler) -> None:
    """Name and arguments are kept only for calls that may still be answered without their tool running."""
    known = tool_calls.ToolCalls()
    prompt = handler.session("q").prompt("q")
    for call_id in ("a", "b"):
        known.request(call_id, prompt, 1, {"id": call_id})
    known.ran("a")

    assert [known.ran(call_id) for call_id in ("a", "b")] == [None, {"id": "b"}]


def test_what_is_pending_is_taken_over_while_an_earlier_run_still_changes_it(handler: CoagentCallbackHandler) -> None:
    """The ended session may have runs in other threads that have not ended yet."""
    earlier, prompt = pending.Pending(), handler.session("q").prompt("q")
    over = threading.Event()

    def ask(number: int) -> None:
        earlier.tool_calls.request(str(number), prompt, 1, {})
        earlier.ask(str(number), pending.Question(prompt, "t", number))
        earlier.stop(number, pending.Stop(prompt, asking=False))

    def go_on_asking() -> None:
        for number in itertools.count(tool_calls.MAX_TOOL_CALLS):
            if over.is_set():
                return
            ask(number)

    for number in range(tool_calls.MAX_TOOL_CALLS):
        ask(number)
    with switching_often(), ThreadPoolExecutor() as pool:
        asking = pool.submit(go_on_asking)
        try:
            for _ in range(30):
                pending.Pending().take_over(earlier, lambda _: prompt)
        finally:
            over.set()

    assert asking.result() is None


def test_calls_for_tools_that_never_run_are_bounded(handler: CoagentCallbackHandler) -> None:
    """Only the latest are remembered, with their arguments."""
    known = tool_calls.ToolCalls()
    prompt = handler.session("q").prompt("q")
    asked = range(tool_calls.MAX_TOOL_CALLS + 2)
    for number in asked:
        known.request(str(number), prompt, number, {"id": str(number)})
        known.ran("0")

    assert len(known._waiting) == tool_calls.MAX_TOOL_CALLS
    calls = [(known.requested_in(each), known.ran(each)) for each in map(str, asked)]
    assert calls == [(None, None)] * 2 + [((prompt, each), {"id": str(each)}) for each in asked[2:]]


def test_graphs_that_never_go_on_are_bounded(
    log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session remembers only the latest of its failed threads."""
    monkeypatch.setattr(pending, "MAX_STOPPED", 2)
    agent = create_agent(chat(ValueError("down")), [], checkpointer=InMemorySaver())
    with handler.session("chat") as session:
        for thread in ("a", "b", "c"):
            with contextlib.suppress(ValueError):
                agent.invoke({"messages": [("user", "go")]}, in_thread(handler, thread))
        assert list(session.state.pending.stopped) == ["b", "c"]


def test_what_runs_beside_a_failure_goes_on_to_its_own_end(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """`gather` does not cancel the other branches: their responses and tokens are logged when they arrive."""

    class Slow(ScriptedChat):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            await failed.wait()
            return self._generate(*args, **kwargs)

    async def run() -> None:
        with pytest.raises(ValueError, match="down"):
            await both.ainvoke("q", {"callbacks": [handler]})
        failed.set()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    failed = asyncio.Event()
    both: Any = RunnableParallel(slow=Slow(script=["late"]), failing=chat(ValueError("down")))
    asyncio.run(run())

    (response,) = of_type(log, "llm_response")
    assert (response["llm_response"]["response"], response["meta"].get("outcome")) == ("late", None)


@pytest.mark.parametrize("answered", [True, False], ids=["answered", "asked again"])
def test_tools_that_run_again_from_a_checkpoint_are_in_the_prompt_of_their_node(
    answered: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A run from an earlier checkpoint of a graph is a prompt of its own, as are the tools that it runs again."""
    model = chat(calls(("ask", {"question": "ok?"}, "c1")), "done", "done again")
    agent = create_agent(model, [ask], checkpointer=InMemorySaver())
    agent.invoke({"messages": [("user", "go")]}, in_thread(handler, "t"))
    before = agent.get_state(in_thread(handler, "t")).config["configurable"]
    agent.invoke(Command(resume="yes"), in_thread(handler, "t"))
    log.entries.clear()
    if not answered:
        agent.invoke(None, in_thread(handler, "t") | {"configurable": before})
    agent.invoke(Command(resume="no"), in_thread(handler, "t") | ({"configurable": before} if answered else {}))

    asked = [
        ("tool_call", 2, 0), ("human_oversight", 2, 0), ("tool_response", 2, 0), ("user_input", 2, 0),
    ]  # fmt: skip
    assert without_nodes(log) == [
        *([] if answered else asked),
        ("human_oversight", 2, 0),
        ("tool_call", 2, 0),
        ("tool_response", 2, 0),
        ("llm_call", 2, 1),
        ("llm_response", 2, 1),
    ]
