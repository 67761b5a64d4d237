"""Complete flows as applications have them: sessions that go on or are shared, threads, sampling, totals."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import pickle
import random
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda, RunnableParallel, RunnablePassthrough
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from coagent_langchain import CoagentCallbackHandler, CoagentClient, server
from coagent_langchain.http import backoff
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import calls, chat
from tests.reading import EMPTY, ONE_CALL, of_type, sessions, state_of, types
from tests.threads import at_once
from tests.tools import add


def run_with_arguments_alone(call: Any, config: Any) -> ToolMessage:
    """Run the tool without the id of its call, as older tutorials do."""
    return ToolMessage(str(add.invoke(call["args"], config)), tool_call_id=call["id"])


def run_in_a_step(given: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """Run the tool in a step of its own, which is given the call in some form."""

    def run(call: Any, config: Any) -> Any:
        return RunnableLambda(lambda _: add.invoke(call)).invoke(given(call), config)

    return run


@pytest.mark.parametrize("run", [
    add.invoke, run_with_arguments_alone, run_in_a_step(lambda call: call), run_in_a_step(lambda call: [call]),
    run_in_a_step(lambda call: AIMessage("", tool_calls=[call])),
])  # fmt: skip
@pytest.mark.parametrize("prompt", [RunnableLambda(lambda asked: asked["messages"]), RunnablePassthrough()])
def test_loop_of_the_applications_own_is_a_prompt_for_each_question(
    prompt: Any, run: Any, log: MemoryDelivery, handler: CoagentCallbackHandler
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
            messages += [answer, *(run(call, config) for call in answer.tool_calls)]

    told = [(e["event_type"], e["prompt_number"], e["turn_number"]) for e in log.entries]
    tool = ["tool_call", "tool_response"]
    steps = [("user_input", 0), *((kind, 1) for kind in ["llm_call", "llm_response", *tool, *tool]), ("llm_call", 2),
             ("llm_response", 2)]  # fmt: skip
    assert told[1:] == [(kind, number, turn) for number in (1, 2) for kind, turn in steps]
    assert [e["prompt"] for e in of_type(log, "user_input")] == ["1 + 1?", "2 + 2?"]


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


@pytest.mark.parametrize("pickled", [False, True])
def test_resume_continues_the_servers_numbers(pickled: bool, caplog: pytest.LogCaptureFixture) -> None:
    """With `resume=True` a process begins a session that the server has not, and the next one continues it."""
    with server.launch() as running:
        for _ in range(2):
            handler = CoagentCallbackHandler("s", base_url=running.base_url, spool_dir="off", resume=True)
            handler = pickle.loads(pickle.dumps(handler)) if pickled else handler  # a worker resumes where it is
            chat("soup").invoke("q", {"callbacks": [handler]})
            assert handler.flush(10)
            forget_sessions(handler)
        logged = CoagentClient(running.base_url).get_logs("s")

    assert [(e.event_type, e.prompt_number) for e in logged] == [
        ("session_start", 1), *[(kind, number) for number in (1, 2) for kind in ONE_CALL[1:]],
    ]  # fmt: skip
    assert caplog.messages == []


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
    graph = graph.add_node("then", step).add_edge(START, "first").add_edge("first", "then")
    app, question = graph.compile(checkpointer=InMemorySaver()), {"messages": [("user", "q")]}
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
    assert [(e.event_type, e.prompt_number, e.turn_number) for e in logged if e.event_type in kinds] == [
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


def test_resume_goes_on_in_no_earlier_prompt_when_another_has_begun_here() -> None:
    """The last prompt that the server named is then not the last one: the answer has a prompt of its own."""
    run_id = UUID(int=1)
    with server.launch() as running:
        client = CoagentClient(running.base_url)
        client.log_user_input("s", "q", 1)
        handler = CoagentCallbackHandler("s", base_url=running.base_url, spool_dir="off", resume=True)
        chat("soup").invoke("q", {"callbacks": [handler]})
        handler.on_chain_start({}, Command(resume="yes"), run_id=run_id, metadata={"thread_id": "t"})
        handler.on_chain_end({}, run_id=run_id)
        assert handler.flush(10)
        logged = client.get_logs("s")

    kinds = ("user_input", "human_oversight")
    assert [(e.event_type, e.prompt_number) for e in logged if e.event_type in kinds] == [
        ("user_input", 1),
        ("user_input", 2),
        ("human_oversight", 3),
    ]


def forget_sessions(handler: CoagentCallbackHandler) -> None:
    """Make the process forget its sessions, as if it were another one."""
    handler._sessions._open.clear()
    handler._sessions._last_numbers.clear()


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


def test_roots_that_start_together_share_the_handlers_session() -> None:
    """Runs without a session id that begin concurrently in many threads are prompts of one session."""
    for _ in range(20):
        log = MemoryDelivery()
        config: Any = {"callbacks": [CoagentCallbackHandler(delivery=log)]}
        at_once(*[functools.partial(chat("soup").invoke, "q", config)] * 6)

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
    assert again._handler_sessions.explicit_id == "s"


def test_way_to_another_node_is_told_once(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """By the node, not by the function in it that has made the command."""
    decide = RunnableLambda(lambda state: Command(goto="last"), name="decide")
    graph = StateGraph(MessagesState).add_node("first", lambda state: decide.invoke(state), destinations=("last",))
    app = graph.add_node("last", lambda state: None).add_edge(START, "first").compile()
    app.invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})

    assert [e["meta"]["source_component"] for e in of_type(log, "routing")] == ["first"]


def test_the_applications_random_numbers_are_left_alone(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """An application that seeds `random` gets the same numbers with the handler, even while delivery is retried."""
    random.seed(7)
    expected = random.getstate()
    chat("soup").invoke("q", {"callbacks": [handler]})
    backoff(3)
    handler.close()

    assert random.getstate() == expected
