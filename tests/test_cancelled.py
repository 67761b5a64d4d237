"""Cancelled and interrupted runs: calls that go on in threads, timeouts, batches, and graphs that are stopped."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import Field

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import ScriptedChat, Silent, calls, chat
from tests.reading import EMPTY, of_type, state_of
from tests.tools import add


class Slow(ScriptedChat):
    """A model that is `asked` and then answers once it is `released`."""

    asked: Any = Field(default_factory=threading.Event)
    released: Any = Field(default_factory=threading.Event)

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        self.asked.set()
        self.released.wait(10)
        return super()._generate(*args, **kwargs)


def cancel_while_asked(model: Slow, work: Coroutine[Any, Any, Any]) -> None:
    """Cancel `work` while its model is asked in a thread, which ends afterwards."""

    async def main() -> None:
        task = asyncio.create_task(work)
        await asyncio.to_thread(model.asked.wait, 10)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        model.released.set()

    asyncio.run(main())  # waits for the thread


def test_call_that_begins_while_its_run_is_cancelled_ends_by_itself(log: MemoryDelivery) -> None:
    """A cancelled function continues in its thread, which may be in the middle of a hook."""
    begins, cancelled = threading.Event(), threading.Event()

    def redact(entry: dict[str, Any]) -> dict[str, Any]:
        if entry["event_type"] == "user_input":  # the inputs are empty, so the model's hook logs it
            begins.set()
            cancelled.wait(10)
        return entry

    handler = CoagentCallbackHandler(delivery=log, redact=redact)

    async def main() -> None:
        model = chat("late")
        task = asyncio.create_task(RunnableLambda(lambda _: model.invoke("q")).ainvoke({}, {"callbacks": [handler]}))
        await asyncio.to_thread(begins.wait, 10)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        cancelled.set()

    asyncio.run(main())

    assert sorted(kind for kind, _, _ in log.sequence) == [
        "info", "llm_call", "llm_response", "session_start", "user_input",
    ]  # fmt: skip
    assert (log.entries[-1]["llm_response"]["response"], state_of(handler)) == ("late", EMPTY)


def test_call_in_a_thread_outlasts_the_cancellation_of_its_run(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A node that is a plain function continues in its thread: its calls end with what they return."""
    model = Slow(script=[calls(("add", {"a": 1, "b": 2}, "c1"))])

    def ask(state: MessagesState) -> MessagesState:
        asked = model.invoke(state["messages"])
        return {"messages": [asked, add.invoke(asked.tool_calls[0])]}

    graph = StateGraph(MessagesState).add_node("ask", ask).add_edge(START, "ask").compile()

    cancel_while_asked(model, graph.ainvoke({"messages": [("user", "1 + 2?")]}, {"callbacks": [handler]}))

    told = [(e["event_type"], e["meta"].get("outcome"), e.get("llm_response", {}).get("total_tokens"))
            for e in log.entries[2:]]  # fmt: skip
    assert told == [
        ("component_enter", None, None),
        ("llm_call", None, None),
        ("component_exit", "cancelled", None),
        ("llm_response", None, 14),
        ("tool_call", None, None),
        ("tool_response", None, None),
    ]
    assert state_of(handler) == EMPTY


@pytest.mark.parametrize("fails", ["before", "after"])
def test_tool_in_a_thread_whose_run_is_cancelled_is_no_second_error(
    fails: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A run in it raises the exception, in a chain that counts as cancelled: the tool only passes it on."""
    model = Slow(script=[ValueError("down")] if fails == "after" else ["late"])

    def check(task: str) -> str:
        if fails == "before":
            raise ValueError("down")
        return task

    def clean_up(task: str) -> str:
        try:
            return str(RunnableLambda(check, name="check").invoke(task))
        finally:
            model.invoke(task)

    @tool
    def delegate(task: str) -> str:
        """Ask another agent."""
        return str(RunnableLambda(clean_up).invoke(task))

    agent = RunnableLambda(str, afunc=lambda task: delegate.ainvoke({"task": task}))
    cancel_while_asked(model, agent.ainvoke("go", {"callbacks": [handler]}))

    assert [e["error_info"]["error_message"] for e in of_type(log, "error")] == ["down"]
    assert state_of(handler) == EMPTY


def test_call_in_a_chain_that_a_timeout_cancels_ends_with_that(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangChain reports no end of the model; what the application does next comes after it."""
    slow = Silent() | StrOutputParser()

    async def serve(question: str) -> Any:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(slow.ainvoke(question), 0.05)
        return await chat("soup").ainvoke(question)

    asyncio.run(RunnableLambda(serve).ainvoke("q", {"callbacks": [handler]}))

    assert [(e["event_type"], e["meta"].get("outcome")) for e in log.entries if e["event_type"].startswith("llm")] == [
        ("llm_call", None), ("llm_response", "cancelled"), ("llm_call", None), ("llm_response", None),
    ]  # fmt: skip


def test_batch_that_is_interrupted_says_of_each_input_that_it_was_cancelled(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The program gets an answer to none of them, even if only one was being worked on."""

    def interrupt_at_two(question: str) -> str:
        if question == "two":
            raise KeyboardInterrupt  # as by Ctrl-C, or a notebook's button
        return question

    chain = (RunnableLambda(interrupt_at_two) | chat("fine")).with_config(run_name="ask")
    with pytest.raises(KeyboardInterrupt):
        chain.batch(["one", "two", "three"], {"callbacks": [handler], "max_concurrency": 1})

    cancelled = {"message": "ask was cancelled"}
    assert [(e["prompt_number"], e["output_data"], e["meta"]["outcome"]) for e in of_type(log, "info")] == [
        (1, cancelled, "cancelled"), (2, cancelled, "cancelled"), (3, cancelled, "cancelled"),
    ]  # fmt: skip


def test_run_is_said_to_be_cancelled_though_a_call_in_it_goes_on_in_its_thread(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """That call ends like any other: nothing else says that the program got no answer."""
    model = Slow(script=["late"])

    chain = RunnableLambda(lambda question: model.invoke(question))
    cancel_while_asked(model, chain.ainvoke("q", {"callbacks": [handler]}))

    assert [(e["event_type"], e["meta"].get("outcome")) for e in log.entries[2:]] == [
        ("llm_call", None), ("info", "cancelled"), ("llm_response", None),
    ]  # fmt: skip


async def ask_in_vain(_: Any) -> Any:
    """A step that goes on without its model's answer."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(Silent().ainvoke("q"), 0.01)
    return {"messages": []}


async def plan_in_vain(_: Any) -> Any:
    """A step that goes on without the answer of another graph."""
    graph = StateGraph(MessagesState).add_node("think", ask_for_ever).add_edge(START, "think").compile()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(graph.ainvoke({"messages": []}), 0.05)
    return {"messages": []}


async def ask_for_ever(_: Any) -> Any:
    """A step that is not done before its graph is cancelled."""
    await asyncio.Event().wait()


@pytest.mark.parametrize("step", [ask_in_vain, plan_in_vain])
@pytest.mark.parametrize("outcome", ["abandoned", "cancelled"])
def test_run_that_is_stopped_says_so_although_a_step_had_stopped_a_call_before(
    outcome: str, step: Any, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """That step returned, so what it stopped does not tell that the program got no answer."""
    graph = StateGraph(MessagesState).add_node("ask", step).add_node("cook", lambda state: {"messages": []})
    config: Any = {"callbacks": [handler]}
    app = graph.add_edge(START, "ask").add_edge("ask", "cook").compile()

    async def leave() -> None:
        stream: Any = app.astream({"messages": []}, config, stream_mode="updates")
        await anext(stream)
        await stream.aclose()

    async def cancel() -> None:
        async def serve(_: Any) -> None:
            await app.ainvoke({"messages": []})
            working.set()
            await asyncio.Event().wait()

        working = asyncio.Event()
        serving = asyncio.create_task(RunnableLambda(serve).with_config(run_name="LangGraph").ainvoke("q", config))
        await working.wait()
        serving.cancel()
        await asyncio.wait([serving])

    asyncio.run(leave() if outcome == "abandoned" else cancel())

    assert [(e["output_data"]["message"], e["meta"]["outcome"]) for e in of_type(log, "info")] == [
        (f"LangGraph was {outcome}", outcome)
    ]


def test_call_that_is_cut_off_holds_nothing_up(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """LangChain reports no end of a bare model that a timeout cancels: later runs decide the session's status."""

    async def cut_off() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(Silent().ainvoke("q", {"callbacks": [handler]}), 0.01)

    session = handler.session("s", session_id="s")
    with session:
        asyncio.run(cut_off())
        chat("fine").invoke("later", {"callbacks": [handler]})
        assert session.state.running == 0

    cut, _ = sorted(of_type(log, "llm_response"), key=lambda e: e["prompt_number"])
    assert (cut["meta"]["outcome"], cut["llm_response"]) == ("unknown", {})
    assert (log.entries[-1]["meta"]["status"], log.entries[-1]["output_data"]) == ("completed", {"response": "fine"})
