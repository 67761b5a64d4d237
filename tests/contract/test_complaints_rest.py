"""What users of other handlers complain about: crashes, duplicates, delivery, size (42 to 53)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.callbacks import BaseCallbackManager, CallbackManager
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph

from coagent_langchain import CoagentCallbackHandler, CoagentClient, server, tracing
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import ScriptedChat, calls, chat
from tests.reading import EMPTY, ONE_CALL, of_type, sessions, state_of, types


def test_unknown_runs_are_no_noise(
    log: MemoryDelivery, handler: CoagentCallbackHandler, caplog: pytest.LogCaptureFixture
) -> None:
    """42 langfuse/langfuse#808: ends, tokens and events of unknown runs log nothing and break nothing."""
    for _ in range(100):
        handler.on_chain_end({}, run_id=uuid4())
        handler.on_llm_new_token("x", run_id=uuid4())
        handler.on_text("x", run_id=uuid4())
        handler.on_custom_event("x", {}, run_id=uuid4())
        handler.on_agent_finish(AgentFinish({}, ""), run_id=uuid4())

    assert (types(log), caplog.records, state_of(handler)) == ([], [], EMPTY)


def test_agent_hooks_open_and_close_nothing(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """43 langfuse/langfuse#8718: `on_agent_action` and `on_agent_finish` carry the id of the chain, which continues."""
    run_id, call_id = uuid4(), uuid4()
    handler.on_chain_start({"name": "agent"}, {"input": "q"}, run_id=run_id)
    handler.on_agent_action(AgentAction("add", {"a": 1}, "thinking"), run_id=run_id)
    handler.on_agent_finish(AgentFinish({"output": "done"}, "log"), run_id=run_id)
    handler.on_chat_model_start({}, [[HumanMessage("q")]], run_id=call_id, parent_run_id=run_id)
    handler.on_llm_end(None, run_id=call_id)
    handler.on_chain_end({"output": "done"}, run_id=run_id)

    assert types(log) == ["session_start", "user_input", "debug", "debug", "llm_call", "llm_response"]
    assert {e["meta"]["trace"]["root_run_id"] for e in log.entries} == {str(run_id)}


class Raising:
    """An object that raises on any access."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    __hash__ = None  # type: ignore[assignment]


def cyclic() -> Any:
    """A dict that contains itself."""
    own: dict[str, Any] = {"a": 1}
    own["self"] = own
    return own


class RaisingDict(dict[str, Any]):
    """A dict whose methods raise."""

    def get(self, *args: Any) -> Any:
        raise RuntimeError("get")

    items = values = keys = get


HOSTILE: dict[str, Any] = {
    "cyclic": cyclic(),
    "bytes": b"\xff\x00",
    "nan": float("nan"),
    "set": {1, "a", None},
    "lock": threading.Lock(),
    "surrogate": "lone \ud83d",
    "huge": "x" * 3_000_000,
    "deep": json.loads("[" * 500 + "]" * 500),
    "raising": Raising(),
    "raising dict": RaisingDict(a=1),
    "generator": (n for n in range(3)),
    "object": object(),
    "type": int,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_any_object_can_go_in_and_out(kind: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """45 langfuse/langfuse#948: no object costs an event, as input or output of chains, nodes or tools."""
    value = HOSTILE[kind]

    @tool
    def give(what: str) -> Any:
        """Return the value."""
        return value

    class Out(dict[str, Any]):
        pass

    graph = StateGraph(dict).add_node("node", lambda state: Out(value=value)).add_edge(START, "node")
    config: Any = {"callbacks": [handler]}
    RunnableLambda(lambda x: x).invoke(value, config)
    RunnableLambda(lambda x: {"messages": [x], "output": x}).invoke({"messages": [value], "input": value}, config)
    give.invoke({"what": "x"}, config)
    graph.compile().invoke({"value": value}, config)
    handler.log("info", "note", meta={"value": value})

    assert types(log).count("user_input") == 4
    assert [types(log).count(name) for name in ("tool_call", "tool_response", "component_exit", "info")] == [1] * 4
    assert max(len(json.dumps(entry)) for entry in log.entries) < 5_000_000


@pytest.mark.parametrize("kind", ["text", "cause", "property", "notes", "group"])
def test_any_exception_is_logged(kind: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """45 langfuse/langfuse#948: an exception that cannot even be printed is still an error event."""

    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

        @property
        def status_code(self) -> int:
            raise RuntimeError("no status")

    class Unreadable(Exception):
        @property
        def __notes__(self) -> list[str]:  # type: ignore[override]
            raise RuntimeError("no notes")

    def step(value: Any) -> Any:
        if kind == "text":
            raise Odd
        if kind == "property":
            raise Odd("x")
        if kind == "notes":
            raise Unreadable
        if kind == "cause":
            error = ValueError("a")
            error.__cause__ = error
            raise error
        raise ExceptionGroup("many", [ValueError(str(n)) for n in range(1_000)])

    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
        RunnableLambda(step).invoke("q", {"callbacks": [handler]})

    (error,) = of_type(log, "error")
    assert error["error_info"]["error_type"] == type(caught.value).__name__
    assert len(error["error_info"]["stack_trace"]) < 110_000


def test_iterators_are_not_consumed(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """46 langchain-ai/deepagents#140: cyclic state causes no recursion, and an iterator in it is not advanced."""
    iterator: Iterator[int] = iter(range(3))
    state: dict[str, Any] = {"iterator": iterator, "stream": (n for n in range(3))}
    state["self"] = state
    result = RunnableLambda(lambda x: x).invoke(state, {"callbacks": [handler]})

    assert (list(result["iterator"]), list(result["stream"])) == ([0, 1, 2], [0, 1, 2])
    assert types(log) == ["session_start", "user_input"]


def test_media_are_described_not_sent(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """47 comet-ml/opik#605: a large base64 image becomes type, size and digest, and the text beside it stays."""
    image = os.urandom(300_000)
    encoded = base64.b64encode(image).decode()
    content: Any = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}},
        {"type": "image", "base64": encoded, "mime_type": "image/png"},
    ]
    chat("soup").invoke([HumanMessage(content)], {"callbacks": [handler]})

    (call,) = of_type(log, "llm_call")
    assert call["prompt"] == "what is this?"
    assert json.dumps(call).count(hashlib.sha256(image).hexdigest()) == 2
    assert max(len(json.dumps(entry)) for entry in log.entries) < 5_000


@pytest.mark.parametrize("start", ["", "data:image/png;base64,"])
def test_image_as_the_only_input_is_described(start: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """47 comet-ml/opik#605: a template may put an image into the message, as in LangChain's guide to such prompts."""
    image = os.urandom(30_000)
    url = "{image_data}" if start else "data:image/png;base64,{image_data}"
    template = ChatPromptTemplate([("user", [{"type": "image_url", "image_url": {"url": url}}])])
    chain = template | chat("soup")
    chain.invoke({"image_data": start + base64.b64encode(image).decode()}, {"callbacks": [handler]})

    seen = {"mime": "image/png" if start else "application/octet-stream", "bytes": 30_000}
    assert [json.loads(e["prompt"]) for e in of_type(log, "user_input")] == [
        {"image_data": {**seen, "sha256": hashlib.sha256(image).hexdigest()}}
    ]


def test_too_long_fields_are_cut_one_by_one(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """47 comet-ml/opik#605: a field over the limit is cut and marked; the rest of the event is complete."""
    chat("short").invoke("x" * 2_000_000, {"callbacks": [handler]})

    (call,), (answer,) = of_type(log, "llm_call"), of_type(log, "llm_response")
    assert call["prompt"].endswith("… [cut: 1,000,000 of 2,000,000 characters]")
    assert (answer["llm_response"]["response"], call["meta"]["model"]) == ("short", "scripted-1")


def test_a_forked_worker_logs(log: MemoryDelivery) -> None:
    """48 langfuse/langfuse#7414: a handler made before a fork sends from the child; the parent ends what it started."""
    with server.launch() as running:
        handler = CoagentCallbackHandler("s", base_url=running.base_url)
        run_id = uuid4()
        handler.on_chat_model_start({}, [[HumanMessage("parent")]], run_id=run_id)
        child = os.fork()
        if child == 0:
            chat("child").invoke("child", {"callbacks": [handler]})
            handler.on_llm_end(None, run_id=run_id)  # the parent's call; the child has a copy
            handler.close()
            os._exit(0 if handler.flush(10) else 1)
        status = os.waitpid(child, 0)[1]
        handler.on_llm_end(None, run_id=run_id)
        handler.close()
        events = [e.event_type for e in CoagentClient(running.base_url).get_logs("s")]

    assert (status, events.count("llm_call"), events.count("llm_response")) == (0, 2, 2)
    assert (events.count("session_start"), events.count("session_end")) == (1, 1)


def test_time_to_the_first_token_is_not_the_whole_time(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """49 langfuse/langfuse#3554: the first chunk with content counts, not an empty one, and not the end."""

    class Paced(ScriptedChat):
        def _stream(self, *args: Any, **kwargs: Any) -> Any:
            for text, pause in (("", 0.03), ("one", 0.06), ("", 0.0)):
                yield ChatGenerationChunk(message=AIMessageChunk(content=text))
                time.sleep(pause)

    list(Paced(script=[]).stream("q", {"callbacks": [handler]}))

    (response,) = of_type(log, "llm_response")
    first, whole = response["meta"]["time_to_first_token_ms"], response["llm_response"]["execution_time_ms"]
    assert 30 <= first <= whole - 60


def test_first_token_may_be_a_tool_call(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """49 langfuse/langfuse#3554: a streamed tool call is content too; without streaming there is no such time."""
    model = chat(calls(("add", {"a": 1, "b": 2}, "c1")))
    list(model.stream("q", {"callbacks": [handler]}))
    model.invoke("q", {"callbacks": [handler]})

    streamed, whole = of_type(log, "llm_response")
    assert ("time_to_first_token_ms" in streamed["meta"], "time_to_first_token_ms" in whole["meta"]) == (True, False)
    assert streamed["llm_response"]["tool_calls"]["calls"] == [{"id": "c1", "name": "add", "args": {"a": 1, "b": 2}}]


def test_first_token_may_be_reasoning_beside_the_content(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """49 langfuse/langfuse#3554: DeepSeek, xAI and Groq stream reasoning in `additional_kwargs`, which also counts."""

    class Thinking(ScriptedChat):
        def _stream(self, *args: Any, **kwargs: Any) -> Any:
            yield ChatGenerationChunk(message=AIMessageChunk(content="", additional_kwargs={"reasoning_content": "hm"}))
            time.sleep(0.06)
            yield ChatGenerationChunk(message=AIMessageChunk(content="one"))

    list(Thinking(script=[]).stream("q", {"callbacks": [handler]}))

    (response,) = of_type(log, "llm_response")
    first, whole = response["meta"]["time_to_first_token_ms"], response["llm_response"]["execution_time_ms"]
    assert (first <= whole - 60, response["llm_response"]["response"], response["meta"]["reasoning"]) == (
        True, "one", "hm",
    )  # fmt: skip


def rows(number: int) -> dict[str, Any]:
    """Inputs with this many rows."""
    return {"rows": [{"n": n, "text": "row " * 20, "more": list(range(20))} for n in range(number)]}


@pytest.mark.parametrize(
    "make", [lambda: rows(20_000), lambda: rows(200_000), lambda: [1] * 2_000_000,
             lambda: dict.fromkeys(map(str, range(1_000_000))),
             lambda: {"found": SimpleNamespace(**dict.fromkeys(map("n{}".format, range(200_000))))}],
    ids=["rows", "ten times the rows", "numbers", "entries", "attributes"],
)  # fmt: skip
def test_large_inputs_do_not_block_the_event_loop(
    make: Callable[[], Any], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """51 langchain-ai/langsmith-sdk#882: reading is bounded: ten times the input blocks the loop no longer."""
    given = make()
    best = 9.9
    for _ in range(3):
        run_id = uuid4()
        before = time.thread_time()  # of this thread alone, whatever else the machine is doing
        handler.on_chain_start(None, given, run_id=run_id)
        handler.on_chain_end(given, run_id=run_id)
        best = min(best, time.thread_time() - before)

    assert best < 0.3
    assert max(len(json.dumps(entry)) for entry in log.entries) < 1_000_000


def test_callback_managers_are_left_alone() -> None:
    """52 mlflow/mlflow#14533: attaching the handler, to a run or process-wide, patches nothing in LangChain."""
    before = {name: vars(cls).copy() for name, cls in (("m", CallbackManager), ("b", BaseCallbackManager))}
    with tracing(CoagentCallbackHandler(delivery=MemoryDelivery())) as handler:
        chat("a").invoke("q", {"callbacks": [handler]})

    assert before == {"m": dict(vars(CallbackManager)), "b": dict(vars(BaseCallbackManager))}


@pytest.mark.parametrize("way", ["astream_events", "astream", "stream"])
def test_events_reach_the_application_unchanged(way: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """52 mlflow/mlflow#14533: the application's stream is the same with and without the handler."""
    agent = create_agent(chat("one two three"), [])
    given: Any = {"messages": [HumanMessage("go", id="h")]}

    async def consume(config: Any) -> list[str]:
        if way == "stream":
            return [kind for kind, _ in agent.stream(given, config, stream_mode=["messages", "updates"])]
        if way == "astream":
            return [kind async for kind, _ in agent.astream(given, config, stream_mode=["messages", "updates"])]
        return [event["event"] async for event in agent.astream_events(given, config, version="v2")]

    without = asyncio.run(consume({}))
    assert asyncio.run(consume({"callbacks": [handler]})) == without
    assert types(log).count("llm_response") == 1


@pytest.mark.parametrize("mode", ["values", "updates", "messages", "debug", "custom", "tasks"])
def test_every_stream_mode_is_logged(mode: Any, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """53 langfuse/langfuse#10934: a graph with callbacks bound by `with_config` is logged in every stream mode."""
    agent = create_agent(chat("soup"), []).with_config(callbacks=[handler])
    list(agent.stream({"messages": [("user", "go")]}, stream_mode=mode))

    assert list(sessions(log).values()) == [[*ONE_CALL[:2], "component_enter", *ONE_CALL[2:], "component_exit"]]


def test_logging_of_the_application_is_untouched(log: MemoryDelivery) -> None:
    """23 openlit/openlit#861: creating and using a handler adds no log handler and changes no level."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.lastResort)
    chat("a").invoke("q", {"callbacks": [CoagentCallbackHandler(delivery=log)]})

    assert (list(root.handlers), root.level, logging.lastResort) == before
