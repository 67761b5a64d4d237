"""Never run: mypy checks it like a user's program, so that the public types are what they promise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

from coagent_langchain import (
    CoagentCallbackHandler,
    CoagentClient,
    EventType,
    LoggedEvent,
    LoggedSession,
    LogResult,
    Prompt,
    Session,
    tracing,
)
from coagent_langchain.server import launch
from coagent_langchain.testing import Answer, Failure, MemoryDelivery, OllamaRequest, OllamaStandIn, ToolUse

handler = CoagentCallbackHandler("session", base_url="http://localhost:3000/api/v1", spool_dir="off", redact=dict)
assert_type(handler.flush(10), bool)
handler.close()

with handler.session("task", session_id="s", meta={"version": 1}) as session:
    assert_type(session, Session)
    assert_type(session.session_id, str)
    with session.prompt("question") as prompt:
        assert_type(prompt, Prompt)
        assert_type(prompt.number, int)


async def in_async_code() -> None:
    """Sessions and prompts in async code."""
    async with handler.session("task") as opened, opened.prompt("question"):
        pass


@handler.session("task")
def plain(number: int) -> str:
    """A decorated function keeps its type."""
    return str(number)


@handler.session("task")
async def coroutine(number: int) -> str:
    """A decorated coroutine keeps its type."""
    return str(number)


@handler.session("task")
def generator(number: int) -> Iterator[int]:
    """A decorated generator keeps its type."""
    yield number


@handler.session("task")
async def async_generator(number: int) -> AsyncIterator[int]:
    """A decorated async generator keeps its type."""
    yield number


async def results() -> None:
    """The results of the decorated functions."""
    assert_type(plain(1), str)
    assert_type(await coroutine(1), str)
    assert_type(generator(1), Iterator[int])
    assert_type(async_generator(1), AsyncIterator[int])


with tracing() as attached:
    assert_type(attached, CoagentCallbackHandler)

with launch() as server, CoagentClient(server.base_url, None, 30.0, 3, 0.3, False) as client:
    assert_type(client.log_session_start("s", "p", 1, 0, {"a": 1}), LogResult)
    assert_type(client.log_llm_call_new("s", "p", 1, 1, "me", {"messages": []}, "be brief"), LogResult)
    assert_type(client.log_llm_call("s", "p", 1, 1).success, bool)
    assert_type(client.store_logs([{"session_id": "s"}]).message, str)
    assert_type(client.get_runs(), list[str])
    assert_type(client.get_logs("s"), list[LoggedEvent])
    assert_type(client.get_logs_json("s"), str)
    assert_type(client.filter_logs("s", "[]"), Any)
    assert_type(client.session("s"), LoggedSession)
    assert_type(client.start_session("task"), Session)
    for event in client.session("s"):
        assert_type(event.event_type, EventType | str)
        if event.llm_response:
            assert_type(event.llm_response.total_tokens, int | None)


def reply(request: OllamaRequest) -> str | ToolUse | Answer | Failure:
    """A script for the stand-in server."""
    return request.prompt


with OllamaStandIn(reply) as ollama:
    assert_type(ollama.url, str)
assert_type(MemoryDelivery().sequence, list[tuple[str, int, int]])
