"""Hooks in an event loop with a detector of blocking calls, like that of LangGraph's development server."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from blockbuster import BlockBuster
from langchain.agents import create_agent

from coagent_langchain import CoagentCallbackHandler, CoagentClient
from coagent_langchain.server import launch
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import calls, chat
from tests.reading import types
from tests.tools import add
from tests.waiting import until

# What `langgraph dev` allows, according to `langgraph_runtime_inmem.queue` (0.36), besides all of `os.path`.
ALLOWED = ("os.stat", "os.listdir", "os.remove", "io.BufferedReader.read", "io.BufferedWriter.write",
           "io.TextIOWrapper.read", "io.TextIOWrapper.write", "threading.Lock.acquire")  # fmt: skip


@contextmanager
def detector(allowed: Collection[str]) -> Iterator[None]:
    """Make each blocking call in an event loop raise, except those that are allowed."""
    made = BlockBuster()
    for name in list(made.functions):
        if name in allowed or (allowed and name.startswith("os.path.")):
            del made.functions[name]
    made.activate()
    try:
        yield
    finally:
        made.deactivate()


async def ask(handler: CoagentCallbackHandler, allowed: Collection[str]) -> None:
    """Run an agent as a service does."""
    agent = create_agent(chat(calls(("add", {"a": 1, "b": 2}, "1")), "three"), [add])
    with detector(allowed):
        await agent.ainvoke({"messages": [("user", "1+2?")]}, {"callbacks": [handler]})


@pytest.mark.parametrize("allowed", [ALLOWED, ()], ids=["langgraph dev", "nothing allowed"])
def test_detector_of_blocking_calls_costs_no_event(
    tmp_path: Path, log: MemoryDelivery, handler: CoagentCallbackHandler, allowed: Collection[str]
) -> None:
    """No event is lost, even if the spool's folder must be created by our own thread."""
    asyncio.run(ask(handler, ()))
    handler.close()
    with launch() as server:
        sending = CoagentCallbackHandler("s", base_url=server.base_url, spool_dir=tmp_path / "state" / "spool")
        asyncio.run(ask(sending, allowed))
        until(lambda: len([*tmp_path.rglob("*.jsonl")]) == 1)
        sending.close()
        with CoagentClient(server.base_url) as client:
            arrived = [event.event_type for event in client.session("s")]

    assert arrived == types(log)
