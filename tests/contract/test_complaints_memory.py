"""What users of other handlers complain about: memory that grows and runs that never end (24 to 29)."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
import tracemalloc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

import coagent_langchain
from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.capture import run_tree
from coagent_langchain.capture.handler_sessions import HandlerSessions
from coagent_langchain.capture.run import Run
from coagent_langchain.capture.run_hooks import RunHooks
from coagent_langchain.capture.run_tree import RunTree
from coagent_langchain.delivery import Stats
from coagent_langchain.outlet import Outlet
from coagent_langchain.sessions.open_sessions import OpenSessions
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import ScriptedChat, calls, chat
from tests.reading import EMPTY, of_type, state_of, types
from tests.tools import add

PACKAGE = str(Path(coagent_langchain.__file__).parent)


class Nowhere:
    """A delivery that discards everything."""

    def append(self, lines: bytes, count: int = 1) -> None:
        """Discard the entry."""

    def flush(self, timeout: float) -> bool:
        """Nothing to send."""
        return True

    def close(self) -> None:
        """Nothing to close."""

    def stats(self) -> Stats:
        """Nothing to count."""
        return Stats()


def ours() -> int:
    """Bytes allocated by our own modules."""
    gc.collect()
    found = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, f"{PACKAGE}/*")])
    return sum(statistic.size for statistic in found.statistics("filename"))


def test_hundreds_of_runs_leave_no_growth() -> None:
    """24 comet-ml/opik#7516: after the first runs, hundreds more take no more memory."""
    handler = CoagentCallbackHandler(delivery=Nowhere())
    chain = RunnableLambda(lambda x: x) | chat("soup " * 200)
    config: Any = {"callbacks": [handler]}
    tracemalloc.start()
    for _ in range(600):  # fills the record of ended runs
        chain.invoke("question " * 200, config)
    before = ours()
    for _ in range(600):
        chain.invoke("question " * 200, config)
    after = ours()
    tracemalloc.stop()

    assert state_of(handler) == EMPTY
    assert after - before < 12_000  # bytes: less than one object per run


def test_nothing_of_ours_waits_for_the_garbage_collector() -> None:
    """24 comet-ml/opik#7516: what ends is freed at once, and leaves nothing to the garbage collector."""
    handler = CoagentCallbackHandler(delivery=Nowhere())
    agent = create_agent(chat(calls(("add", {"a": 1, "b": 2}, "c1")), "3"), [add])
    chain = RunnableLambda(lambda x: x) | chat("soup")
    config: Any = {"callbacks": [handler]}
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(300):
            chain.invoke("question", config)
        agent.invoke({"messages": [("user", "1 + 2?")]}, config)
        gc.collect()
        found = {type(each).__name__ for each in gc.garbage if type(each).__module__.startswith("coagent_langchain")}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()

    assert found == set()


def test_the_garbage_collector_runs_no_more_often_for_us() -> None:
    """24 comet-ml/opik#7516: in the long run our hooks free as much as they allocate: no extra collections."""
    handler = CoagentCallbackHandler(delivery=Nowhere())
    chain = RunnableLambda(lambda x: x) | chat("soup")
    config: Any = {"callbacks": [handler]}
    for _ in range(600):  # fills the record of ended runs
        chain.invoke("question", config)
    before = gc.get_stats()[0]["collections"]
    for _ in range(600):
        chain.invoke("question", config)

    assert gc.get_stats()[0]["collections"] - before <= 1


def test_handlers_per_request_start_no_threads(log: MemoryDelivery) -> None:
    """25 langfuse/langfuse#2974: a handler per request starts no thread, and is freed after the request."""
    chat("a").invoke("q", {"callbacks": [CoagentCallbackHandler("s", delivery=log)]})
    before = threading.active_count()
    gone = []
    for _ in range(50):
        handler = CoagentCallbackHandler("s", delivery=log)
        chat("a").invoke("q", {"callbacks": [handler]})
        gone.append(weakref.ref(handler))
    del handler
    gc.collect()

    assert threading.active_count() == before
    # The session of the first one is open: its outlet is kept, but no handler.
    assert [reference() for reference in gone] == [None] * 50


@pytest.mark.parametrize("how", ["ends", "fails", "handled"])
def test_nothing_of_the_application_is_kept(how: str) -> None:
    """26 traceloop/openllmetry#2790: no message and no exception outlives its run, not even in a session."""
    kept: list[weakref.ref[Any]] = []

    class Failure(Exception):
        pass

    def step(value: Any) -> Any:
        message = HumanMessage("big " * 100)
        kept.append(weakref.ref(message))
        if how == "fails" or how == "handled":
            failure = Failure("no")
            kept.append(weakref.ref(failure))
            raise failure
        return chat("soup").invoke([message]).content

    handler = CoagentCallbackHandler(delivery=Nowhere())
    runnable: Any = RunnableLambda(step)
    if how == "handled":
        runnable = runnable.with_fallbacks([RunnableLambda(lambda x: "ok")])

    def run() -> None:
        try:
            with handler.session("one"):
                runnable.invoke("q", {"callbacks": [handler]})
        except Failure:
            pass

    run()
    gc.collect()

    assert [reference() for reference in kept] == [None] * len(kept)


def test_stream_of_a_fallback_that_is_left_is_closed(handler: CoagentCallbackHandler) -> None:
    """28 maximhq/maxim-py#142: the error before it refers to the stream, and the handler keeps neither alive."""
    closed = []

    class Failure(Exception):
        pass

    class Streaming(ScriptedChat):
        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            try:
                yield from super()._stream(*args, **kwargs)
            finally:
                closed.append(True)

    def fail(value: Any) -> Any:
        raise Failure("no")

    runnable = RunnableLambda(fail).with_fallbacks([Streaming(script=["a b c"])])
    for _ in runnable.stream("q", {"callbacks": [handler]}):
        break
    gc.collect()

    assert closed == [True]


@pytest.mark.parametrize("in_prompt", [False, True])
def test_an_open_run_holds_no_payload(in_prompt: bool, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """27 langchain-ai/langsmith-sdk#2097: of an open call, or a run of a prompt, only ids, names and times are kept."""
    message = HumanMessage("big " * 100)
    reference = weakref.ref(message)
    with handler.session("s").prompt("cook") if in_prompt else contextlib.nullcontext():
        start = handler.on_chain_start if in_prompt else handler.on_chat_model_start
        start({}, {"messages": [message]} if in_prompt else [[message]], run_id=uuid4())
        del message
        gc.collect()

        assert (reference(), state_of(handler)["open"]) == (None, 1)
    handler.close()
    assert state_of(handler) == EMPTY


def test_calls_that_no_tool_of_langchain_answers_are_not_kept() -> None:
    """24 comet-ml/opik#7516: tool calls that the application runs itself are not kept after the run."""
    handler = CoagentCallbackHandler(delivery=Nowhere())
    tracemalloc.start()
    for number in range(100):
        chat(calls(("save", {"text": f"{number}" * 50_000}, f"c{number}"))).invoke("q", {"callbacks": [handler]})
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert kept < 1_000_000


@pytest.mark.parametrize("exit_path", ["abandoned", "cancelled", "failed", "failed root call", "ended"])
def test_every_way_out_leaves_no_state(exit_path: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """28 maximhq/maxim-py#142: however a run is left, nothing of it remains open."""
    config: Any = {"callbacks": [handler]}
    chain = RunnableLambda(lambda x: x) | chat("one two three")

    async def cancel() -> None:
        reads = asyncio.Event()

        async def consume() -> None:
            async for _ in chain.astream("q", config):
                reads.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(consume())
        await reads.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    if exit_path == "abandoned":
        stream = chain.stream("q", config)
        next(stream)
        del stream
        gc.collect()
    elif exit_path == "cancelled":
        asyncio.run(cancel())
        gc.collect()
    elif exit_path.startswith("failed"):
        failing: Any = chat(ValueError("no"))
        runnable = failing if exit_path.endswith("call") else RunnableLambda(lambda x: x) | failing
        with pytest.raises(ValueError, match="no"):
            runnable.invoke("q", config)
    else:
        chain.invoke("q", config)

    assert state_of(handler) == EMPTY
    assert len(of_type(log, "llm_response")) + len(of_type(log, "error")) == 1


def hooks_with(tree: RunTree, log: MemoryDelivery) -> RunHooks:
    """Hooks on a run tree with its own clock."""
    outlet = Outlet(log)
    sessions = HandlerSessions(OpenSessions(), outlet, session_id="s", after=(0, 0))
    return RunHooks(tree, sessions, outlet, components="nodes", sample_rate=1.0)


def test_call_that_fails_again_and_again_is_bounded(log: MemoryDelivery) -> None:
    """28 maximhq/maxim-py#142: a node that keeps calling a broken model keeps only the latest failures."""
    handler = CoagentCallbackHandler(delivery=Nowhere())

    def insist(question: str) -> str:
        for _ in range(700):
            with contextlib.suppress(ValueError):
                chat(ValueError("no")).invoke(question, {"callbacks": [handler]})
        return str(sum(issubclass(type(each), Run) for each in gc.get_objects()))

    alive = int(RunnableLambda(insist).invoke("q", {"callbacks": [handler]}))

    assert alive < 600  # the record of ended runs, and 64 failures


def test_error_logged_after_its_run_is_not_kept(log: MemoryDelivery) -> None:
    """26 traceloop/openllmetry#2790: an exception that a task logs after the end of its run is not kept."""
    handler = CoagentCallbackHandler(delivery=Nowhere())
    kept: list[weakref.ref[Exception]] = []

    class Late(Exception):
        pass

    def report() -> None:
        error = Late("late")
        kept.append(weakref.ref(error))
        handler.log_error("late", error)

    later: list[contextvars.Context] = []
    RunnableLambda(lambda _: later.append(contextvars.copy_context())).invoke("q", {"callbacks": [handler]})
    later[0].run(report)
    gc.collect()

    assert kept[0]() is None


def test_runs_that_never_end_are_bounded(log: MemoryDelivery, monkeypatch: pytest.MonkeyPatch) -> None:
    """28 maximhq/maxim-py#142: beyond the limit of open runs the oldest are dropped, each call closed once."""
    monkeypatch.setattr(run_tree, "MAX_OPEN", 20)
    monkeypatch.setattr(run_tree, "MAX_ENDED", 10)
    handler = CoagentCallbackHandler(delivery=log)
    tree = handler._tree
    for number in range(100):
        handler.on_chat_model_start({}, [[HumanMessage("q")]], run_id=UUID(int=number))
        root = UUID(int=1_000 + number)
        handler.on_chain_start({}, "q", run_id=root)
        handler.on_chain_end("a", run_id=root)

    assert 18 <= len(tree.open) <= 20
    assert len(of_type(log, "llm_response")) == 100 - len(tree.open)
    assert {e["meta"]["outcome"] for e in of_type(log, "llm_response")} == {"unknown"}
    assert len(tree._ended) == len(tree._ended_order) == 10


def test_runs_left_out_that_never_end_are_bounded(log: MemoryDelivery, monkeypatch: pytest.MonkeyPatch) -> None:
    """28 maximhq/maxim-py#142: sampling keeps the ids of open runs, of which LangChain reports not every end."""
    monkeypatch.setattr(run_tree, "MAX_OPEN", 20)
    handler = CoagentCallbackHandler(delivery=log, sample_rate=0.5)
    for number in range(100):
        left_out, logged = UUID(int=(number << 64) + 0xFFFFFFFF), UUID(int=(number << 64) + 1)
        handler.on_chat_model_start({}, [[HumanMessage("q")]], run_id=left_out)
        handler.on_chain_start({}, "q", run_id=logged)
        handler.on_chain_end("a", run_id=logged)

    assert 18 <= len(handler._tree.open) <= 20
    assert of_type(log, "llm_response") == []


def test_what_outlives_its_root_is_closed_after_a_while(log: MemoryDelivery) -> None:
    """28 maximhq/maxim-py#142: a call may outlive its root for a while, and is then closed."""
    now = [0]
    tree = RunTree(clock=lambda: now[0])
    hooks = hooks_with(tree, log)
    root, early, late = UUID(int=1), UUID(int=2), UUID(int=3)
    hooks.on_chain_start({}, "q", run_id=root)
    for run_id in (early, late):
        hooks.on_chat_model_start({}, [[HumanMessage("q")]], run_id=run_id, parent_run_id=root)
    hooks.on_chain_end(None, run_id=root)
    hooks.on_llm_end(None, run_id=early)
    now[0] = int(59e9)
    hooks._endings.sweep()
    before = len(of_type(log, "llm_response"))
    now[0] = int(61e9)
    hooks._endings.sweep()
    hooks.on_llm_end(None, run_id=late)

    assert (before, [e["meta"].get("outcome") for e in of_type(log, "llm_response")]) == (1, [None, "unknown"])


def test_what_starts_after_its_root_is_closed_after_a_while(log: MemoryDelivery) -> None:
    """28 maximhq/maxim-py#142: a task that outlives its run may call a model whose end is never reported."""
    now = [1]
    tree = RunTree(clock=lambda: now[0])
    hooks = hooks_with(tree, log)
    root = UUID(int=1)
    hooks.on_chain_start({}, "q", run_id=root)
    hooks.on_chain_end(None, run_id=root)
    hooks.on_chat_model_start({}, [[HumanMessage("q")]], run_id=UUID(int=2), parent_run_id=root)
    now[0] = int(61e9)
    hooks._endings.sweep()

    assert ([e["meta"].get("outcome") for e in of_type(log, "llm_response")], tree.open) == (["unknown"], {})


def test_every_start_hook_has_its_end_and_its_error() -> None:
    """29 confident-ai/deepeval#3303: the handler has an end and an error hook for every start hook of LangChain."""
    core = {name for name in dir(BaseCallbackHandler) if name.startswith("on_")}
    starts = {name.removesuffix("_start") for name in core if name.endswith("_start")} - {"on_chat_model"}
    needed = core | {f"{start}_{end}" for start in starts for end in ("end", "error")}

    assert {n for n in needed if getattr(CoagentCallbackHandler, n) is getattr(BaseCallbackHandler, n, None)} == set()


def test_failed_runs_are_complete(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """29 confident-ai/deepeval#3303: a run that fails, in a chain or in a tool, is logged completely."""

    @tool
    def bad(food: str) -> str:
        """Fail."""
        raise ValueError(food)

    with pytest.raises(ValueError, match="leek"):
        (RunnableLambda(lambda x: {"food": x}) | bad).invoke("leek", {"callbacks": [handler]})
    handler.close()

    assert types(log) == ["session_start", "user_input", "tool_call", "error", "tool_response", "session_end"]
    assert log.entries[-1]["meta"]["status"] == "failed"


def test_an_answer_of_many_messages_is_not_kept(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """26 traceloop/openllmetry#2790: outputs are read when the run ends, and then released."""
    outputs = {"messages": [AIMessage("soup " * 50)]}
    reference = weakref.ref(outputs["messages"][0])
    RunnableLambda(lambda _: outputs.copy()).invoke("q", {"callbacks": [handler]})
    outputs.clear()
    gc.collect()

    assert reference() is None
