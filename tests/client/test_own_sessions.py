"""Sessions that a program logs with `client.start_session`, without LangChain."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator

import pytest

from coagent_langchain import CoagentClient


def kinds(client: CoagentClient, session_id: str) -> list[tuple[str, int, int]]:
    """Type, prompt and turn of each event."""
    return [(str(e.event_type), e.prompt_number, e.turn_number) for e in client.get_logs(session_id)]


def test_session_around_a_block(client: CoagentClient) -> None:
    """Start, prompts and end are numbered; entries logged by hand are between them."""
    with client.start_session("Plan", session_id="block", meta={"version": 1}) as session:
        for question in ("Where?", "When?"):
            with session.prompt(question) as prompt:
                client.log_llm_call("block", question, prompt.number, 1)
                client.log_llm_response("block", "Rome", prompt.number, 1)

    assert kinds(client, "block") == [
        ("session_start", 1, 0),
        ("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1),
        ("user_input", 2, 0), ("llm_call", 2, 1), ("llm_response", 2, 1),
        ("session_end", 2, 0),
    ]  # fmt: skip


def test_session_around_a_block_says_what_it_is_for(client: CoagentClient) -> None:
    """Its start has the task and the meta, whatever values that contains."""
    with client.start_session("Plan", session_id="said", meta={"version": 1, "at": datetime.date(2026, 1, 2)}):
        pass
    start = client.get_logs("said")[0]

    assert (start.prompt, start.meta) == ("Plan", {"version": 1, "at": "2026-01-02"})


def test_decorated_function_passes_results_and_exceptions_through(client: CoagentClient) -> None:
    """The session's status follows the call's outcome."""

    @client.start_session("Divide", session_id="divide")
    def divide(a: int, b: int) -> float:
        return a / b

    with pytest.raises(ZeroDivisionError):
        divide(1, 0)
    failed = client.session("divide").status

    assert (divide(6, 3), failed, client.session("divide").status) == (2.0, "failed", "completed")
    assert sorted(client.get_logs("divide")[-1]["meta"]) == ["elapsed_time_ms", "status"]


def test_async_generator_is_a_session(client: CoagentClient) -> None:
    """The session lasts from the first item to the last, and is cancelled if the generator is closed early."""

    @client.start_session("Count", session_id="count")
    async def count(end: int) -> AsyncIterator[int]:
        for number in range(end):
            yield number

    async def use() -> list[int]:
        numbers = [number async for number in count(3)]
        leaving = count(3)
        await anext(leaving)
        await leaving.aclose()  # type: ignore[attr-defined]
        return numbers

    numbers = asyncio.run(use())
    statuses = [e["meta"]["status"] for e in client.get_logs("count") if e.event_type == "session_end"]

    assert (numbers, statuses) == ([0, 1, 2], ["completed", "cancelled"])


def test_session_without_a_server_costs_nothing() -> None:
    """The wrapped function runs, and its events wait in the spool."""
    with CoagentClient("http://127.0.0.1:9/api/v1") as client:
        result = client.start_session("Add")(lambda a, b: a + b)(2, 3)

    assert result == 5
