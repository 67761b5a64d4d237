"""Each error is logged once, where it arose, with the errors that led to it."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Future
from typing import Any
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import ToolException
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.server.store.rollup import roll_up
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import calls, chat
from tests.reading import ONE_CALL_SEQUENCE, of_type, recoveries
from tests.tools import bad
from tests.waiting import until


def test_branches_that_fail_beside_each_other_have_an_error_each(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """This also holds if one fails while the other is still running."""

    def burn(_: str) -> str:
        raise ValueError("burnt")

    def spill(_: str) -> str:
        until(lambda: bool(of_type(log, "error")))
        raise KeyError("spilt")

    with pytest.raises((ValueError, KeyError)):
        RunnableParallel(slow=RunnableLambda(spill), quick=burn).invoke("q", {"callbacks": [handler]})

    errors = [e["error_info"] for e in of_type(log, "error")]
    assert [(e["error_type"], e["component_id"]) for e in errors] == [("ValueError", "burn"), ("KeyError", "spill")]


def test_what_failed_is_not_open(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The server counts calls minus ends: a model's error ends its call, but a tool has a response beside its error."""
    agent = create_agent(chat(calls(("bad", {"food": "egg"}, "c1")), ValueError("down")), [bad])
    for run in (agent, chat(ValueError("down"))):
        with contextlib.suppress(ValueError, ToolException):
            run.invoke({"messages": [("user", "q")]} if run is agent else "q", {"callbacks": [handler]})

    assert len(of_type(log, "error")) >= 2
    assert [session.counts["open_calls"] for session in roll_up(log.entries)] == [0]


@pytest.mark.parametrize("explicit", [True, False])
def test_exception_raised_from_another_is_an_error_that_names_it(
    explicit: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Both exceptions are logged; if the application continues, it has recovered from both."""

    def wrap(value: str) -> str:
        try:
            return str(chat(ValueError("inner")).invoke(value, {"callbacks": [handler]}))
        except ValueError as error:
            if explicit:
                raise RuntimeError("outer") from error
            raise RuntimeError("outer")  # noqa: B904 - this is the case in question

    RunnableLambda(wrap).with_fallbacks([RunnableLambda(str)]).invoke("q", {"callbacks": [handler]})

    inner, outer = of_type(log, "error")
    assert [e["error_info"]["error_message"] for e in (inner, outer)] == ["inner", "outer"]
    assert ("caused_by" in inner["meta"], outer["meta"]["caused_by"]) == (False, inner["event_id"])
    made_up_for = [(place, "RunnableWithFallbacks", "fallback", "a fallback succeeded") for place in (0, 1)]
    assert recoveries(log) == made_up_for


def asking_too_long(given: Any) -> Any:
    """Ask a model that is too slow."""
    return chat(TimeoutError("too slow")).invoke("q")


@pytest.mark.parametrize("way", ["node", "task", "block"])
def test_timeout_of_which_futures_raise_a_copy_is_told_once(
    way: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Where code waits for a thread or for one of LangGraph's tasks, `TimeoutError` arrives as a new object."""
    config: Any = {"callbacks": [handler]}
    builder = StateGraph(MessagesState)
    builder.add_node("ask", asking_too_long)  # as it is no coroutine, an async graph runs it in a thread
    builder.add_edge(START, "ask")

    @entrypoint()
    async def flow(question: str) -> Any:
        return await task(asking_too_long)(question)

    async def run() -> None:
        if way == "node":
            await builder.compile().ainvoke({"messages": []}, config)
        elif way == "task":
            await flow.ainvoke("q", config)
        else:
            async with handler.session("s"):
                await asyncio.to_thread(RunnableLambda(asking_too_long).invoke, "q", config)

    with pytest.raises(TimeoutError):
        asyncio.run(run())

    assert [e["error_info"]["component_id"] for e in of_type(log, "error")] == ["ScriptedChat"]


@pytest.mark.parametrize("message", ["too slow", "too slow, twice"])
def test_timeout_raised_after_another_is_an_error_of_its_own(
    message: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """It is no copy if it was raised while another was handled, or says something else."""

    def ask(question: str) -> Any:
        with contextlib.suppress(TimeoutError):
            return asking_too_long(question)
        raise TimeoutError(message)

    def ask_again(question: str) -> Any:
        try:
            return asking_too_long(question)
        except TimeoutError:
            raise TimeoutError(message) from None

    with pytest.raises(TimeoutError):
        RunnableLambda(ask_again if message == "too slow" else ask).invoke("q", {"callbacks": [handler]})

    told = [e["error_info"]["error_message"] for e in of_type(log, "error")]
    assert told == ["too slow", message]


def test_timeout_of_which_a_future_copies_the_traceback_is_told_once(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """As futures do in newer versions of Python: the function that raised the first is then the copy's, too."""

    def ask(question: str) -> Any:
        found: list[TimeoutError] = []
        try:
            asking_too_long(question)
        except TimeoutError as error:
            found.append(error)
        raise TimeoutError(*found[0].args).with_traceback(found[0].__traceback__)

    with pytest.raises(TimeoutError):
        RunnableLambda(ask).invoke("q", {"callbacks": [handler]})

    assert [e["error_info"]["component_id"] for e in of_type(log, "error")] == ["ScriptedChat"]


def test_timeouts_without_a_message_that_one_function_raises_are_errors_of_their_own(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """`Future.result(timeout)` raises such ones: they differ in nothing, but a future does not copy its own."""

    def wait(question: Any) -> Any:
        return Future[str]().result(0)

    def ask(question: str) -> Any:
        with contextlib.suppress(TimeoutError):
            RunnableLambda(wait).invoke(question)
        return wait(question)

    def serve() -> None:
        with handler.session("s"):
            with contextlib.suppress(TimeoutError):
                RunnableLambda(ask).invoke("q", {"callbacks": [handler]})
            wait("q")

    with pytest.raises(TimeoutError):
        serve()

    assert [e["error_info"]["component_id"] for e in of_type(log, "error")] == ["wait", "ask", "session"]


@pytest.mark.parametrize("call", ["invoke", "stream"])
def test_error_of_a_graph_whose_parent_is_not_its_node_is_told_once(
    call: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangGraph names the chain around the outer graph as the parent of a graph in a node that is a chain itself."""

    def fail(state: MessagesState) -> MessagesState:
        raise ValueError("no stock")

    same: Any = RunnableLambda(lambda given: given)
    inner = StateGraph(MessagesState).add_node("inner", fail).add_edge(START, "inner").compile()
    outer = StateGraph(MessagesState).add_node("outer", same | inner).add_edge(START, "outer").compile()
    with pytest.raises(ValueError, match="no stock"):
        _ = list(getattr(same | outer, call)({"messages": [("user", "go")]}, {"callbacks": [handler]}))

    assert [entry["meta"]["path"][-1] for entry in of_type(log, "error")] == ["inner"]


@pytest.mark.parametrize("way", ["batch", "abatch"])
@pytest.mark.parametrize("bad", ["first", "last"])
def test_exception_that_ends_a_batch_inside_a_run_is_told_once(
    bad: str, way: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangChain ends all inputs of a sequence's batch with the exception of one, whichever that is."""

    def check(food: str) -> str:
        if food == bad:
            raise ValueError("spoilt")
        return food

    chain = RunnableLambda(check) | RunnableLambda(str.upper)
    foods = ["first", "second", "last"]
    cook = RunnableLambda(lambda _: chain.batch(foods), afunc=lambda _: chain.abatch(foods), name="cook")
    with contextlib.suppress(ValueError):
        if way == "batch":
            cook.invoke("go", {"callbacks": [handler]})
        else:
            asyncio.run(cook.ainvoke("go", {"callbacks": [handler]}))

    assert [e["meta"]["path"] for e in of_type(log, "error")] == [["cook", "RunnableSequence", "check"]]


@pytest.mark.parametrize("way", ["batch", "abatch"])
@pytest.mark.parametrize("bad", ["first", "last"])
def test_exception_that_ends_a_batch_inside_a_prompt_is_told_once(
    bad: str, way: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The inputs of a batch in `session.prompt(…)` share a prompt: that they end with one's exception is no news."""
    foods = ["first", "second", "last"]
    spoilt = [bad]

    def check(food: str) -> str:
        if food in spoilt:
            raise ValueError("spoilt")
        return food

    chain = RunnableLambda(check) | RunnableLambda(str.upper)
    with handler.session("Cook") as session, session.prompt("All of it"):
        for _ in range(2):
            with contextlib.suppress(ValueError):
                if way == "batch":
                    chain.batch(foods, {"callbacks": [handler]})
                else:
                    asyncio.run(chain.abatch(foods, {"callbacks": [handler]}))
            spoilt.clear()

    assert [e["meta"]["path"] for e in of_type(log, "error")] == [["RunnableSequence", "check"]]
    assert recoveries(log) == [(0, "RunnableSequence", "retry", "RunnableSequence was called again")]


def test_exception_names_the_error_at_the_beginning_of_its_chain(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """An exception in between that no run has raised is no error of its own."""

    def wrap(value: str) -> str:
        try:
            try:
                return str(chat(ValueError("inner")).invoke(value, {"callbacks": [handler]}))
            except ValueError as error:
                raise LookupError("between") from error
        except LookupError as error:
            raise RuntimeError("outer") from error

    with contextlib.suppress(RuntimeError):
        RunnableLambda(wrap).invoke("q", {"callbacks": [handler]})

    inner, outer = of_type(log, "error")
    assert [e["error_info"]["error_message"] for e in (inner, outer)] == ["inner", "outer"]
    assert outer["meta"]["caused_by"] == inner["event_id"]


def test_group_is_reported_with_what_is_in_it(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A group whose members were all reported is not logged again; one with a new member is."""

    def gather(value: str) -> str:
        failures: list[Exception] = []
        try:
            chat(ValueError("inner")).invoke(value, {"callbacks": [handler]})
        except ValueError as error:
            failures.append(error)
        raise ExceptionGroup("both", failures + [KeyError("own")] * (value == "more"))

    for value in ("one", "more"):
        with pytest.raises(ExceptionGroup):
            RunnableLambda(gather).invoke(value, {"callbacks": [handler]})

    told = [e["error_info"]["error_type"] for e in of_type(log, "error")]
    assert told == ["ValueError", "ValueError", "ExceptionGroup"]


def test_error_cut_off_from_its_cause_does_not_name_it(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """`raise … from None` says that the two exceptions are unrelated."""

    def wrap(value: str) -> str:
        try:
            return str(chat(ValueError("inner")).invoke(value, {"callbacks": [handler]}))
        except ValueError:
            raise RuntimeError("outer") from None

    with pytest.raises(RuntimeError, match="outer"):
        RunnableLambda(wrap).invoke("q", {"callbacks": [handler]})

    assert [e["meta"].get("caused_by") for e in of_type(log, "error")] == [None, None]


def test_tool_that_raises_has_one_error_and_a_failed_response(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A tool's exception is one error, and a response with `success` false that refers to it."""
    agent = create_agent(chat(calls(("bad", {"food": "leek"}, "c1"))), [bad])
    with pytest.raises(ToolException):
        agent.invoke({"messages": [("user", "cook")]}, {"callbacks": [handler]})

    (error,), (response,) = of_type(log, "error"), of_type(log, "tool_response")
    assert (response["tool_response"]["success"], response["tool_response"]["error_message"]) == (False, "no stock")
    assert (response["meta"]["error_id"], response["meta"]["tool_call_id"]) == (error["event_id"], "c1")
    assert of_type(log, "recovery") == []


@pytest.mark.parametrize(("given", "message"), [("no stock", "no stock"), (None, "Exception")])
def test_error_that_is_no_exception_ends_its_call(
    given: Any, message: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A program that calls the hooks itself may pass a string or None: the call has failed all the same."""
    run_id = uuid4()
    handler.on_chat_model_start({}, [[HumanMessage("q")]], run_id=run_id)
    handler.on_llm_error(given, run_id=run_id)
    handler.close()

    (error,), (end,) = of_type(log, "error"), of_type(log, "session_end")
    assert (error["error_info"]["error_type"], error["error_info"]["error_message"]) == ("Exception", message)
    assert end["meta"]["status"] == "failed"


def test_model_whose_error_was_reported_below_it_has_a_response(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """If a run inside the model's raised the exception, the call ends with a response, not a second error."""
    model, inner, error = uuid4(), uuid4(), ValueError("no")
    handler.on_llm_start({}, ["q"], run_id=model)
    handler.on_tool_start({"name": "t"}, "x", run_id=inner, parent_run_id=model)
    handler.on_tool_error(error, run_id=inner, parent_run_id=model)
    handler.on_llm_error(error, run_id=model)

    (response,) = of_type(log, "llm_response")
    assert len(of_type(log, "error")) == 1
    assert response["meta"]["outcome"] == "error"


@pytest.mark.parametrize("raises", [False, True])
def test_each_of_many_failures_is_told_once(raises: bool, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A run may have more failed children than it remembers: each is one error, the latest have recoveries."""

    def many(question: str) -> str:
        for number in range(100):
            try:
                chat(ValueError(f"down {number}")).invoke(f"{question} {number}")
            except ValueError as error:
                last = error
        if raises:
            raise last
        return "ok"

    with contextlib.suppress(ValueError):
        RunnableLambda(many).invoke("q", {"callbacks": [handler]})

    errors = [entry["event_id"] for entry in of_type(log, "error")]
    recovered = [entry["error_info"]["error_id"] for entry in of_type(log, "recovery")]
    assert (len(errors), recovered) == (100, [] if raises else errors[-64:])


def test_error_is_one_event_where_it_arose(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """An exception that propagates through a chain is logged once, with its path, and reaches the application."""
    chain = (RunnableLambda(lambda x: x) | chat(ValueError("no gas"))).with_config(run_name="cook")
    with pytest.raises(ValueError, match="no gas"):
        chain.invoke("soup", {"callbacks": [handler]})

    (error,) = of_type(log, "error")
    assert log.sequence == [*ONE_CALL_SEQUENCE[:3], ("error", 1, 1)]
    assert error["error_info"]["error_type"] == "ValueError"
    assert error["error_info"]["error_message"] == "no gas"
    assert error["meta"]["path"] == ["cook", "ScriptedChat"]
