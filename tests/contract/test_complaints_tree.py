"""What users of other handlers complain about: wrong parents (13 to 20) and context that breaks (21 to 23)."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langgraph.graph import START, MessagesState, StateGraph

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.capture import ambient
from coagent_langchain.sessions import scope
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import chat
from tests.reading import EMPTY, ONE_CALL, of_type, sessions, state_of, types

CHAIN = RunnableLambda(lambda x: x) | chat("soup")


def parents(log: MemoryDelivery) -> dict[str, str | None]:
    """The parent run id of every run that has an entry."""
    return {e["meta"]["trace"]["run_id"]: e["meta"]["trace"].get("parent_run_id") for e in log.entries}


def test_shared_handler_in_parallel_keeps_runs_apart(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """15 langfuse/langfuse#3491: many concurrent runs of one handler: each call is under its own root and input."""

    async def main() -> None:
        await asyncio.gather(
            *(CHAIN.ainvoke(f"q{n}", {"callbacks": [handler], "metadata": {"thread_id": f"t{n}"}}) for n in range(50))
        )

    asyncio.run(main())

    assert sessions(log) == {f"t{n}": ONE_CALL for n in range(50)}
    assert {(e["session_id"], e["prompt"]) for e in of_type(log, "llm_call")} == {(f"t{n}", f"q{n}") for n in range(50)}


@pytest.mark.parametrize("way", ["batch", "abatch"])
def test_runs_of_a_batch_are_not_nested(way: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """16 langfuse/langfuse#10163: each input of a batch is a root and a prompt of its own."""
    config: Any = {"callbacks": [handler], "max_concurrency": 3}
    inputs = [f"q{n}" for n in range(8)]
    CHAIN.batch(inputs, config) if way == "batch" else asyncio.run(CHAIN.abatch(inputs, config))

    roots = [e["meta"]["trace"] for e in of_type(log, "user_input")]
    assert len({trace["root_run_id"] for trace in roots}) == 8
    assert sorted(e["prompt_number"] for e in of_type(log, "llm_response")) == list(range(1, 9))


def test_nested_graphs_keep_their_levels(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """17 langfuse/langfuse#8854: with graphs nested in graphs, each node is below the node that contains it."""

    def graph_of(name: str, inner: Any) -> Any:
        graph = StateGraph(MessagesState)
        graph.add_node(name, inner)
        graph.add_edge(START, name)
        return graph.compile()

    def cook(state: Any) -> Any:
        return {"messages": [chat("soup").invoke(state["messages"])]}

    graph_of("a", graph_of("b", graph_of("c", cook))).invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    entered = [
        (e["target_component"]["name"], e["meta"]["framework"].get("path")) for e in of_type(log, "component_enter")
    ]
    assert entered == [("a", None), ("b", ["a", "b"]), ("c", ["a", "b", "c"])]
    assert of_type(log, "llm_call")[0]["meta"]["framework"]["path"] == ["a", "b", "c"]


def test_consecutive_calls_do_not_nest(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """18 braintrustdata/braintrust-sdk-python#621: consecutive calls in one task are roots, not ever deeper."""

    async def main() -> None:
        for _ in range(5):
            await CHAIN.ainvoke("q", {"callbacks": [handler]})

    asyncio.run(main())

    assert [e["prompt_number"] for e in of_type(log, "llm_call")] == [1, 2, 3, 4, 5]
    assert len({e["meta"]["trace"]["root_run_id"] for e in log.entries}) == 5


def test_shielded_end_callbacks_find_their_run(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """20 langchain-ai/langchain#31398: core runs end callbacks in a copied context; runs are found by id alone."""

    async def main() -> None:
        parallel = RunnableParallel(a=CHAIN, b=CHAIN)
        await asyncio.gather(*(parallel.ainvoke("q", {"callbacks": [handler]}) for _ in range(10)))

    asyncio.run(main())

    starts, ends = of_type(log, "llm_call"), of_type(log, "llm_response")
    assert {e["meta"]["trace"]["run_id"] for e in starts} == {e["meta"]["trace"]["run_id"] for e in ends}
    assert (len(starts), state_of(handler)) == (20, EMPTY)


def test_streams_closed_in_another_context_are_quiet(
    log: MemoryDelivery, handler: CoagentCallbackHandler, caplog: pytest.LogCaptureFixture
) -> None:
    """21 traceloop/openllmetry#3231: a generator that is closed in another context neither crashes nor warns."""
    stream = CHAIN.stream("q", {"callbacks": [handler]})
    next(stream)
    thread = threading.Thread(target=stream.close)  # type: ignore[attr-defined]
    thread.start()
    thread.join()

    assert (caplog.records, types(log)[:3]) == ([], ONE_CALL[:3])


def test_no_context_of_ours_is_left_behind(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """22 langfuse/langfuse#8780: hooks set no context variable, so nothing needs detaching and nothing leaks."""
    import contextvars

    before = dict(contextvars.copy_context())
    CHAIN.invoke("q", {"callbacks": [handler]})
    left = {v.name for v, value in contextvars.copy_context().items() if before.get(v) is not value}

    assert left == set()
    assert (scope.current(), ambient.config_around()) == (None, None)


def test_many_calls_log_nothing_on_their_own(
    log: MemoryDelivery, handler: CoagentCallbackHandler, caplog: pytest.LogCaptureFixture
) -> None:
    """23 openlit/openlit#861: no traceback or warning per invocation, in sync, async and streamed runs."""
    caplog.set_level(logging.DEBUG)

    async def main() -> None:
        for _ in range(20):
            await CHAIN.ainvoke("q", {"callbacks": [handler]})
            async for _chunk in CHAIN.astream("q", {"callbacks": [handler]}):
                pass

    asyncio.run(main())
    CHAIN.invoke("q", {"callbacks": [handler]})

    assert [record for record in caplog.records if record.name != "asyncio"] == []
