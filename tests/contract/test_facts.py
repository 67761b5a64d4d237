"""What LangChain and LangGraph really do (facts F1 to F23), and that the handler handles each of them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import gc
import pickle
import threading
import time
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, wrap_tool_call
from langchain.agents.structured_output import ToolStrategy
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler, dispatch_custom_event
from langchain_core.callbacks.manager import CallbackManager
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import ToolException
from langchain_core.tracers import _streaming
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from pydantic import BaseModel

from coagent_langchain import CoagentCallbackHandler, tracing
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import ScriptedChat, ScriptedText, Silent, calls, chat
from tests.reading import EMPTY, ONE_CALL, of_type, recoveries, sessions, state_of, types
from tests.tools import ask, asking_agent, bad


class Other(BaseCallbackHandler):
    """Another handler of the application."""

    run_inline = True


class OtherAsync(AsyncCallbackHandler):
    """Another handler of the application, asynchronous."""


async def cancelled(run: Any, model: Silent) -> None:
    """Start `run` and cancel it once the model has been called."""
    task = asyncio.create_task(run)
    await model.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("others", [[], [Other()], [OtherAsync()], [Other(), OtherAsync()]])
def test_async_text_call_has_its_start_beside_any_other_handler(
    others: list[Any], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """F1, 38 langchain-ai/langchain#39633: an inline handler takes `on_llm_start` from the others; ours is inline."""
    asyncio.run(ScriptedText(script=["soup"]).ainvoke("cook", {"callbacks": [*others, handler]}))

    (call,) = of_type(log, "llm_call")
    assert (types(log), call["prompt"], "late" in call["meta"]) == (ONE_CALL, "cook", False)


@pytest.mark.parametrize(("inline", "heard"), [(True, []), (False, ["on_llm_start", "on_llm_end"])])
def test_who_needs_the_start_of_async_text_calls_makes_ours_not_inline(
    inline: bool, heard: list[str], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """F1: beside an inline handler, LangChain passes that start neither to others nor to `astream_events`."""
    handler.run_inline = inline

    async def names() -> list[str]:
        model = ScriptedText(script=["soup"])
        return [each["event"] async for each in model.astream_events("cook", {"callbacks": [handler]}, version="v2")]

    assert (asyncio.run(names()), types(log)) == (heard, ONE_CALL)


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
def test_ambient_configurable_is_found_in_every_way_to_run(
    way: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """F3: the enclosing config is available in sync and async callbacks, and empty at the start of the root."""
    chain = RunnableLambda(lambda x: x) | chat("soup")
    config: Any = {"callbacks": [handler], "configurable": {"thread_id": "thread-7"}}

    async def consume() -> None:
        async for _ in chain.astream("cook", config):
            pass

    match way:
        case "invoke":
            chain.invoke("cook", config)
        case "stream":
            list(chain.stream("cook", config))
        case "ainvoke":
            asyncio.run(chain.ainvoke("cook", config))
        case _:
            asyncio.run(consume())

    assert sessions(log) == {"thread-7": ONE_CALL}


def test_interrupt_that_rises_through_levels_is_asked_once(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """F4, 33 PostHog/posthog-js#4345: raised once per nesting level, an interrupt is one question with its path."""
    agent = create_agent(chat(calls(("ask", {"question": "ok?"}, "c1")), "done"), [ask])
    graph = StateGraph(MessagesState).add_node("inner", agent).add_edge(START, "inner")
    compiled = graph.compile(checkpointer=InMemorySaver())
    config: Any = {"callbacks": [handler], "configurable": {"thread_id": "t"}}
    for given in ({"messages": [("user", "go")]}, Command(resume="yes")):
        compiled.invoke(given, config)

    asked, answered = of_type(log, "human_oversight")
    assert [(e["meta"]["status"], e["input_data"]["value"]) for e in (asked, answered)] == [
        ("interrupted", {"question": "ok?"}), ("resumed", "yes"),
    ]  # fmt: skip
    assert asked["meta"]["path"] == ["LangGraph", "inner", "LangGraph", "tools", "ask"]
    assert of_type(log, "error") == []


@pytest.mark.parametrize("way", ["explicit", "hook"])
def test_interrupt_is_logged_with_and_without_the_graphs_own_hooks(way: str, log: MemoryDelivery) -> None:
    """F5: `on_interrupt` reaches explicit handlers only; a handler attached process-wide logs the interrupt too."""
    agent = asking_agent()
    handler = CoagentCallbackHandler(delivery=log)
    config: Any = {"configurable": {"thread_id": "t"}}
    if way == "explicit":
        agent.invoke({"messages": [("user", "go")]}, {**config, "callbacks": [handler]})
    else:
        with tracing(handler):
            agent.invoke({"messages": [("user", "go")]}, config)

    assert [e["input_data"]["value"] for e in of_type(log, "human_oversight")] == [{"question": "ok?"}]


def test_interrupted_tool_goes_on_in_its_turn(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """F6: a resumed tool starts again with its `tool_call_id`: same turn; the first start is closed as interrupted."""
    agent = asking_agent()
    config: Any = {"callbacks": [handler], "configurable": {"thread_id": "t"}}
    agent.invoke({"messages": [("user", "go")]}, config)
    agent.invoke(Command(resume="yes"), config)

    assert [at for at in log.sequence if not at[0].startswith("component_")] == [
        ("session_start", 1, 0), ("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1),
        ("tool_call", 1, 1), ("human_oversight", 1, 1), ("tool_response", 1, 1), ("human_oversight", 1, 1),
        ("tool_call", 1, 1), ("tool_response", 1, 1), ("llm_call", 1, 2), ("llm_response", 1, 2),
    ]  # fmt: skip
    assert [e["meta"].get("outcome") for e in of_type(log, "tool_response")] == ["interrupted", None]
    assert [e["meta"]["tool_call_id"] for e in of_type(log, "tool_call")] == ["c1", "c1"]
    assert [(e["meta"]["status"], e["input_data"]["value"]) for e in of_type(log, "human_oversight")] == [
        ("interrupted", {"question": "ok?"}),
        ("resumed", "yes"),
    ]


@pytest.mark.parametrize("what", ["model", "chain"])
def test_abandoned_stream_is_an_outcome_with_what_arrived(
    what: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """F7: a consumer that stops early ends the parent before the child, by `GeneratorExit`: no error, text kept."""
    model = chat("one two three")
    runnable: Any = model if what == "model" else RunnableLambda(lambda x: x) | model
    stream = runnable.stream("q", {"callbacks": [handler]})
    next(stream)
    stream.close()
    del stream
    gc.collect()

    (response,) = of_type(log, "llm_response")
    assert (response["llm_response"]["response"], response["meta"]["outcome"]) == ("one ", "abandoned")
    assert (of_type(log, "error"), state_of(handler)) == ([], EMPTY)


def test_abandoned_async_stream_is_an_outcome(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """F7: an async generator that is not exhausted ends when it is collected, and is closed once."""

    async def main() -> None:
        stream = (RunnableLambda(lambda x: x) | chat("one two three")).astream("q", {"callbacks": [handler]})
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())
    gc.collect()

    assert (types(log), log.entries[-1]["meta"]["outcome"]) == (ONE_CALL, "abandoned")
    assert state_of(handler) == EMPTY


def test_call_without_an_end_is_closed_with_its_root(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """F8: a cancelled model call has no end event: the end of its root closes it."""

    async def main() -> None:
        model = Silent()
        await cancelled((RunnableLambda(lambda x: x) | model).ainvoke("q", {"callbacks": [handler]}), model)

    asyncio.run(main())

    assert (types(log), log.entries[-1]["meta"]["outcome"]) == (ONE_CALL, "cancelled")
    assert state_of(handler) == EMPTY


def test_cancelled_root_call_is_closed_with_its_session(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """F8: if a cancelled model call is itself the root, no end event follows at all: the session's end closes it."""

    async def main() -> None:
        model = Silent()
        async with handler.session("cook"):
            await cancelled(model.ainvoke("q", {"callbacks": [handler]}), model)

    asyncio.run(main())

    assert types(log) == [*ONE_CALL, "session_end"]
    assert [e["meta"].get("outcome") or e["meta"]["status"] for e in log.entries[-2:]] == ["unknown", "cancelled"]
    assert (log.entries[-1]["output_data"], state_of(handler)) == ({"response": "cancelled"}, EMPTY)


def test_runs_that_generate_forgets_are_closed(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """F8: `generate([a, bad, c])` starts three calls and ends one: `close` ends the others."""
    model = chat("a", ValueError("bad"), "c")
    with pytest.raises(ValueError, match="bad"):
        model.generate([[HumanMessage("a")], [HumanMessage("b")], [HumanMessage("c")]], callbacks=[handler])
    handler.close()

    closed = [e["meta"]["trace"]["run_id"] for e in log.entries if e["event_type"] in ("llm_response", "error")]
    assert sorted(closed) == sorted(e["meta"]["trace"]["run_id"] for e in of_type(log, "llm_call"))
    assert state_of(handler) == EMPTY


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream"])
@pytest.mark.parametrize("place", ["root", "inside"])
def test_fallback_is_one_prompt(place: str, way: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """F9, 13 langchain-ai/langchain#36072: what `with_fallbacks` runs arrives as siblings or roots, but is below it."""
    fallback: Any = chat(ValueError("down")).with_fallbacks([chat("ok")])
    runnable = fallback if place == "root" else (RunnableLambda(lambda x: x) | fallback).with_config(run_name="outer")
    config: Any = {"callbacks": [handler]}
    match way:
        case "invoke":
            runnable.invoke("q", config)
        case "ainvoke":
            asyncio.run(runnable.ainvoke("q", config))
        case _:
            list(runnable.stream("q", config))

    steps = [(e["event_type"], e["turn_number"]) for e in log.entries]
    assert steps == [
        ("session_start", 0),
        ("user_input", 0),
        ("llm_call", 1),
        ("error", 1),
        ("llm_call", 2),
        ("llm_response", 2),
        ("recovery", 2),
    ]
    trace = of_type(log, "recovery")[0]["meta"]["trace"]
    assert recoveries(log) == [(0, trace["name"], "fallback", "a fallback succeeded")]
    assert trace["name"] == "RunnableWithFallbacks"
    assert {e["meta"]["trace"]["parent_run_id"] for e in of_type(log, "llm_call")} == {trace["run_id"]}


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
@pytest.mark.parametrize("again", [True, False])
def test_handler_passed_again_opens_no_second_prompt(
    again: bool, way: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """F10, F11, 14 comet-ml/opik#2839, 19 mlflow/mlflow#18216: its true parent is the run around it."""
    config: Any = {"callbacks": [handler]}

    def node(state: Any) -> Any:
        return {"messages": [chat("soup").invoke(state["messages"], config if again else None)]}

    async def async_node(state: Any) -> Any:
        await asyncio.sleep(0)
        return {"messages": [await chat("soup").ainvoke(state["messages"], config if again else None)]}

    graph = StateGraph(MessagesState).add_node("cook", node if way == "invoke" else async_node)
    cook, asked = graph.add_edge(START, "cook").compile(), {"messages": [("user", "go")]}
    cook.invoke(asked, config) if way == "invoke" else asyncio.run(cook.ainvoke(asked, config))

    (call,), (enter,) = of_type(log, "llm_call"), of_type(log, "component_enter")
    assert types(log) == [*ONE_CALL[:2], "component_enter", *ONE_CALL[2:], "component_exit"]
    assert call["meta"]["trace"]["parent_run_id"] == enter["meta"]["trace"]["run_id"]
    assert len({e["meta"]["trace"]["root_run_id"] for e in log.entries[1:]}) == 1


@pytest.mark.parametrize("way", ["list", "bound", "manager", "everywhere"])
def test_the_same_handler_twice_logs_once(way: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """F12, 44 cognizant-ai-lab/neuro-san-studio#1292: it gets every event twice, and logs each once."""

    def step(value: str) -> str:
        dispatch_custom_event("progress", {"done": 1})
        dispatch_custom_event("progress", {"done": 1})
        return value

    chain: Any = RunnableLambda(step) | chat("soup")
    if way == "list":
        chain.invoke("q", {"callbacks": [handler, handler]})
    elif way == "manager":
        chain.invoke("q", {"callbacks": CallbackManager([handler], inheritable_handlers=[handler, handler])})
    else:
        with tracing(handler) if way == "everywhere" else contextlib.nullcontext():
            chain.with_config(callbacks=[handler]).invoke("q", {"callbacks": [handler]})

    assert types(log) == ["session_start", "user_input", "info", "info", "llm_call", "llm_response"]


@pytest.mark.parametrize("way", ["dict", "messages"])
def test_inputs_are_logged_as_they_were_given(way: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """F13: a run that changes its inputs changes no event, though its session is known only at its end."""

    def answer(inputs: Any) -> str:
        if way == "dict":
            inputs["input"] = "what else?"
        else:
            inputs.append(HumanMessage("what else?"))
        return "soup"

    inputs = {"input": "what?"} if way == "dict" else [HumanMessage("what?")]
    RunnableLambda(answer).invoke(inputs, {"callbacks": [handler]})

    assert [(e["event_type"], e["prompt"]) for e in log.entries] == [
        ("session_start", "what?"),
        ("user_input", "what?"),
    ]


def test_hooks_run_in_the_callers_thread(log: MemoryDelivery) -> None:
    """F14: the handler is inline: no executor thread is started for its hooks, not even for tokens."""
    seen: set[str] = set()

    class Watching(CoagentCallbackHandler):
        def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
            seen.add(threading.current_thread().name)
            super().on_llm_new_token(*args, **kwargs)

    async def main() -> None:
        async for _ in chat("one two three").astream("q", {"callbacks": [Watching(delivery=log)]}):
            pass

    asyncio.run(main())

    assert (CoagentCallbackHandler.run_inline, seen) == (True, {threading.main_thread().name})


@pytest.mark.internal_errors
def test_nothing_that_breaks_in_the_handler_reaches_the_application(internal_errors: list[Exception]) -> None:
    """F15: LangChain lets some exceptions of handlers through; our hooks raise none."""

    class Broken(MemoryDelivery):
        def append(self, lines: bytes, count: int = 1) -> None:
            raise OSError("disk on fire")

    answer = (RunnableLambda(lambda x: x) | chat("soup")).invoke(
        "q", {"callbacks": [CoagentCallbackHandler(delivery=Broken())]}
    )

    assert answer.content == "soup"
    assert {str(error) for error in internal_errors} == {"disk on fire"}


def test_process_wide_tracing_reaches_plain_threads(log: MemoryDelivery) -> None:
    """F16: a context variable is invisible in a plain thread; our attachment is not, and ends with its block."""
    with tracing(CoagentCallbackHandler(delivery=log)):
        thread = threading.Thread(target=contextvars.Context().run, args=(chat("soup").invoke, "q"))
        thread.start()
        thread.join()
    chat("soup").invoke("outside")

    assert types(log) == ONE_CALL


def test_threads_inside_a_node_are_logged_by_process_wide_tracing(log: MemoryDelivery) -> None:
    """F17: a thread without a copied context has no callbacks, unless a handler is attached process-wide."""

    def node(value: str) -> str:
        thread = threading.Thread(target=chat("soup").invoke, args=("inner",))
        thread.start()
        thread.join()
        return value

    with tracing(CoagentCallbackHandler("s", delivery=log)):
        RunnableLambda(node).invoke("outer")

    assert [(e["prompt_number"], e["prompt"]) for e in of_type(log, "user_input")] == [(1, "outer"), (2, "inner")]
    assert [e["prompt_number"] for e in of_type(log, "llm_response")] == [2]


def test_agent_and_middleware_are_named(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """F18: `create_agent` puts the agent's name into metadata; its middleware hooks are nodes."""

    class Counting(AgentMiddleware):
        def before_model(self, state: Any, runtime: Any) -> Any:
            return None

    agent = create_agent(chat("done"), [], name="chef", middleware=[Counting()])
    agent.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    (call,) = of_type(log, "llm_call")
    entered = [e["target_component"]["name"] for e in of_type(log, "component_enter")]
    assert entered == ["Counting.before_model", "model"]
    assert call["llm_call"]["issuer"].endswith("model")


def test_structured_output_call_is_marked(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """F18: `ToolStrategy` answers its own tool call without running a tool: the node's exit names the call."""

    class Recipe(BaseModel):
        """A recipe."""

        name: str

    agent = create_agent(chat(calls(("Recipe", {"name": "soup"}, "c1"))), [], response_format=ToolStrategy(Recipe))
    agent.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    (left,) = of_type(log, "component_exit")
    assert left["meta"]["structured_output_calls"] == ["c1"]
    assert of_type(log, "tool_call") == []


@pytest.mark.parametrize(("way", "severity", "by"), [
    ("middleware", "medium", ("tools", "handled", "tools continued")),
    ("handle_tool_error", "low", ("bad", "handled", "the tool answered with an error message")),
])  # fmt: skip
def test_rescued_tool_error_is_an_error_and_a_recovery(
    way: str, severity: str, by: tuple[str, str, str], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """F19, 34 langfuse/langfuse-python#1718: a rescued failure may arrive as an end, with status error: two events."""

    @wrap_tool_call
    def rescue(request: Any, call: Any) -> Any:
        try:
            return call(request)
        except ToolException as error:
            return ToolMessage(str(error), tool_call_id=request.tool_call["id"], status="error")

    lenient = bad.model_copy(update={"handle_tool_error": True})
    model = chat(calls(("bad", {"food": "leek"}, "c1")), "sorry")
    agent: Any = (
        create_agent(model, [bad], middleware=[rescue]) if way == "middleware" else create_agent(model, [lenient])
    )
    agent.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    (error,), (response,) = of_type(log, "error"), of_type(log, "tool_response")
    assert (error["error_info"]["error_severity"], error["error_info"]["error_id"]) == (severity, error["event_id"])
    told = response["tool_response"]
    assert (told["success"], told["error_message"], response["meta"]["error_id"]) == (
        False, "no stock", error["event_id"],
    )  # fmt: skip
    assert recoveries(log) == [(0, *by)]


def test_attempts_of_with_retry_are_numbered(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """F20: attempts are child runs with a tag, without `on_retry`: each, even with the same exception, has a number."""
    error = ValueError("down")
    model = chat(error, error, "ok").with_retry(wait_exponential_jitter=False)
    model.invoke("q", {"callbacks": [handler]})

    assert [(e["event_type"], e["meta"].get("attempt")) for e in log.entries[2:]] == [
        ("llm_call", None),
        ("error", None),
        ("llm_call", 2),
        ("error", 2),
        ("llm_call", 3),
        ("llm_response", None),
        ("recovery", 3),
        ("recovery", 3),
    ]
    assert recoveries(log) == [(place, "ScriptedChat", "retry", "attempt 3 succeeded") for place in (0, 1)]


def test_first_token_of_stream_events_v3(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """F21: `stream_events(version="v3")` reports tokens by `on_stream_event` alone, which gives time to first token."""
    model = chat("one two three")
    if not hasattr(model, "stream_events"):
        pytest.skip("this langchain-core has no stream_events(version='v3')")
    for event in model.stream_events("q", {"callbacks": [handler]}, version="v3"):
        if event["event"] == "content-block-delta":
            time.sleep(0.02)  # a slow consumer: the model continues after each token

    (response,) = of_type(log, "llm_response")
    assert response["llm_response"]["response"] == "one two three"
    assert 0 <= response["meta"]["time_to_first_token_ms"] <= response["llm_response"]["execution_time_ms"] - 40


def test_first_token_of_stream_events_v3_may_begin_a_tool_call(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """F21: a call without arguments, like an image, has a `content-block-start` but no `content-block-delta`."""

    class Calling(ScriptedChat):
        def _stream(self, *args: Any, **kwargs: Any) -> Any:
            call: Any = {"name": "save", "args": "", "id": "c1", "index": 0}
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[call]))

    model = Calling(script=[])
    if not hasattr(model, "stream_events"):
        pytest.skip("this langchain-core has no stream_events(version='v3')")
    events = [event["event"] for event in model.stream_events("q", {"callbacks": [handler]}, version="v3")]

    assert "content-block-delta" not in events
    assert [e["meta"].get("time_to_first_token_ms", -1) >= 0 for e in of_type(log, "llm_response")] == [True]


def test_stream_events_v3_that_breaks_keeps_what_arrived(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """F21: `on_llm_error` of such a stream gets no text: the error has the text that was streamed before."""

    class Broken(ScriptedChat):
        def _stream(self, *args: Any, **kwargs: Any) -> Any:
            yield from list(super()._stream(*args, **kwargs))[:2]
            raise ConnectionError("broken off")

    model = Broken(script=["one two three"])
    if not hasattr(model, "stream_events"):
        pytest.skip("this langchain-core has no stream_events(version='v3')")
    with pytest.raises(ConnectionError):
        list(model.stream_events("q", {"callbacks": [handler]}, version="v3"))

    assert [error["output_data"] for error in of_type(log, "error")] == [{"partial_response": "one two "}]


def test_handler_can_be_copied_and_pickled() -> None:
    """F22: copying returns the handler itself; unpickling returns a new one with the same settings."""
    handler = CoagentCallbackHandler(
        "s", base_url="http://localhost:1/api/v1", auth_token="token", spool_dir="off", capture_content=False,
        redact=dict, components="all", sample_rate=0.5,
    )  # fmt: skip
    again = pickle.loads(pickle.dumps(handler))

    def settings(of: CoagentCallbackHandler) -> tuple[object, ...]:
        starter = of._run_starter
        return (
            of._handler_sessions.explicit_id,
            of._settings,
            of._outlet._redact,
            starter._components,
            starter._threshold,
        )

    assert copy.copy(handler) is handler
    assert copy.deepcopy({"callbacks": [handler]})["callbacks"][0] is handler
    assert (settings(again), again is handler) == (settings(handler), False)


def test_pickled_handler_keeps_its_delivery(log: MemoryDelivery) -> None:
    """F22: what it logs, for example in a worker, goes to a copy of its delivery, never to a default server."""
    again = pickle.loads(pickle.dumps(CoagentCallbackHandler(delivery=log)))
    again.log("info", "from the worker")

    assert (type(again._delivery), log.entries) == (MemoryDelivery, [])
    assert again._delivery.sequence == [("session_start", 1, 0), ("info", 1, 0)]


def test_invoke_stays_invoke(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """F23: some handlers turn the application's `invoke` into streaming; ours does not."""
    streamed: list[int] = []

    class Watching(ScriptedChat):
        def _stream(self, *args: Any, **kwargs: Any) -> Any:
            streamed.append(1)
            yield from super()._stream(*args, **kwargs)

    Watching(script=["soup"]).invoke("q", {"callbacks": [handler]})

    assert streamed == []
    assert not isinstance(handler, _streaming._StreamingCallbackHandler)
    assert not hasattr(handler, "tap_output_iter")
