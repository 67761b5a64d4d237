"""What users of other handlers complain about: LangChain's contract changes under them (36 to 41)."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import warnings
from typing import Any
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableLambda

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import USAGE, calls, chat
from tests.reading import EMPTY, ONE_CALL, of_type, sessions, state_of, types
from tests.tools import add

ANSWER = LLMResult(generations=[[ChatGeneration(message=AIMessage("soup", usage_metadata=USAGE))]])
HOOKS = sorted(name for name in dir(BaseCallbackHandler) if name.startswith("on_"))


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
@pytest.mark.parametrize(("shape", "key"), [
    ("chain", "session_id"), ("nested", "thread_id"), ("fallback", "conversation_id"),
])  # fmt: skip
def test_session_of_configurable_without_metadata(
    shape: str, key: str, way: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """F2, 36 langchain-ai/langchain#37373: `configurable` is no longer in metadata; the session is still found."""
    chain: Any = RunnableLambda(lambda x: x) | chat("soup")
    if shape == "nested":
        chain = RunnableLambda(lambda x: x) | chain
    elif shape == "fallback":
        chain = chain.with_fallbacks([chat("other")])
    config: Any = {"callbacks": [handler], "configurable": {key: "mine"}}
    chain.invoke("q", config) if way == "invoke" else asyncio.run(chain.ainvoke("q", config))

    assert sessions(log) == {"mine": ONE_CALL}


@pytest.mark.parametrize("odd", [None, {}, {"id": None}, {"id": []}, {"id": [7]}, {"name": 7}, "text", 7])
def test_odd_serialized_is_no_matter(odd: Any, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """37 langchain-ai/langchain#26773: `serialized=None`, or any other value, crashes no start hook."""
    for hook, payload in (
        ("on_chain_start", {"a": 1}),
        ("on_chat_model_start", [[]]),
        ("on_llm_start", ["q"]),
        ("on_tool_start", "{}"),
        ("on_retriever_start", "q"),
    ):
        getattr(handler, hook)(odd, payload, run_id=uuid4())
    handler.close()

    assert [types(log).count(name) for name in ("llm_call", "tool_call")] == [2, 2]


@pytest.mark.internal_errors
@pytest.mark.parametrize("hook", sorted(name for name in dir(CoagentCallbackHandler) if name.startswith("on_")))
def test_hook_without_any_argument_is_quiet(hook: str, handler: CoagentCallbackHandler) -> None:
    """38 langchain-ai/langchain#39633: an argument that LangChain omits raises nothing into the application."""
    getattr(handler, hook)()

    assert state_of(handler) == EMPTY


def test_end_without_a_start_is_logged_in_full(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """38 langchain-ai/langchain#39633: a call whose start another handler silenced still gets call and response."""
    run_id = uuid4()
    handler.on_llm_end(ANSWER, run_id=run_id)
    handler.on_llm_end(ANSWER, run_id=run_id)

    call, response = of_type(log, "llm_call")[0], of_type(log, "llm_response")[0]
    assert types(log) == ONE_CALL
    assert (call["meta"]["late"], response["llm_response"]["total_tokens"]) == (True, 14)
    assert "execution_time_ms" not in response["llm_response"]


@pytest.mark.parametrize("kind", ["llm", "tool", "retriever", "chain"])
def test_error_without_a_start_is_logged(kind: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """38 langchain-ai/langchain#39633: an error of a run that was never started is an error event, once."""
    run_id = uuid4()
    for _ in range(2):
        getattr(handler, f"on_{kind}_error")(ValueError("no"), run_id=run_id)

    assert [e["error_info"]["error_message"] for e in of_type(log, "error")] == ["no"]
    assert [e["meta"].get("kind") for e in of_type(log, "tool_call")] == {"tool": [None], "retriever": [kind]}.get(
        kind, []
    )
    assert state_of(handler) == EMPTY


def test_component_without_a_start_is_logged(log: MemoryDelivery) -> None:
    """38 langchain-ai/langchain#39633: the same holds for a component, with its enter and exit events."""
    handler = CoagentCallbackHandler(delivery=log, components="all")
    root = uuid4()
    handler.on_chain_start({}, "q", run_id=root)
    handler.on_chain_error(ValueError("no"), run_id=uuid4(), parent_run_id=root)

    assert types(log) == ["session_start", "user_input", "component_enter", "error", "component_exit"]


def test_graph_hooks_are_there_with_and_without_langgraph(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """39 mlflow/mlflow#26025: `on_interrupt` and `on_resume` always exist and accept any event."""
    for event in (None, object(), "text"):
        handler.on_interrupt(event)
        handler.on_resume(event)

    assert types(log) == []


def test_first_token_without_on_llm_new_token(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """40 langfuse/langfuse#15615: `on_stream_event` marks the first token; events without content do not."""
    run_id = uuid4()
    handler.on_chat_model_start({}, [[]], run_id=run_id)
    for event in ("message-start", "content-block-start"):
        handler.on_stream_event({"event": event}, run_id=run_id)
    waiting = state_of(handler)["streams"]
    handler.on_stream_event({"event": "content-block-delta", "delta": {"text": "s"}}, run_id=run_id)
    handler.on_llm_end(ANSWER, run_id=run_id)

    assert (waiting, "time_to_first_token_ms" in of_type(log, "llm_response")[0]["meta"]) == (1, True)


@pytest.mark.filterwarnings("ignore:astream_events version='v1'")
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_astream_events_logs_the_same(version: Any, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """40 langfuse/langfuse#15615: with `astream_events` v1 and v2 the run is complete, with time to first token."""

    async def main() -> None:
        chain = RunnableLambda(lambda x: x) | chat("one two")
        async for _ in chain.astream_events("q", {"callbacks": [handler]}, version=version):
            pass

    asyncio.run(main())

    assert types(log) == ONE_CALL
    assert "time_to_first_token_ms" in of_type(log, "llm_response")[0]["meta"]


def test_parallel_calls_of_one_tool_are_told_apart(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """41 langchain-ai/langchain#34168, 50 PostHog/posthog-python#725: each call has its response, with its id."""
    asked = [("add", {"a": n, "b": n}, f"c{n}") for n in range(5)]
    create_agent(chat(calls(*asked), "done"), [add]).invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    given = {e["meta"]["tool_call_id"]: e["tool_call"]["parameters"]["a"] for e in of_type(log, "tool_call")}
    answered = {e["meta"]["tool_call_id"]: e["tool_response"] for e in of_type(log, "tool_response")}
    assert given == {f"c{n}": n for n in range(5)}
    assert all(told.pop("execution_time_ms") >= 0 for told in answered.values())
    assert answered == {
        f"c{n}": {"tool_name": "add", "result": {"output": str(2 * n)}, "success": True} for n in range(5)
    }


def test_tool_call_id_of_the_message_where_the_start_had_none(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """41 langchain-ai/langchain#34168: if the start has no id, it is taken from the tool's message."""
    run_id = uuid4()
    handler.on_tool_start({"name": "add"}, "{'a': 1}", run_id=run_id)
    handler.on_tool_end(ToolMessage("2", tool_call_id="c1"), run_id=run_id)

    assert of_type(log, "tool_call")[0]["tool_call"]["parameters"] == {"a": 1}
    assert of_type(log, "tool_response")[0]["meta"]["tool_call_id"] == "c1"


@pytest.mark.parametrize("given", [
    r"{'pattern': '\d+'}", "{width: 5in}", "{'width': 5in}", r"{'code': '\xZZ'}", "{'a', 'b'}",
])  # fmt: skip
def test_reading_a_tools_text_warns_nobody(given: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """41 langchain-ai/langchain#34168: an invalid escape or number must not make Python's parser warn on stderr."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        handler.on_tool_start({"name": "find"}, given, run_id=uuid4())

    assert (said, of_type(log, "tool_call")[0]["tool_call"]["parameters"]) == ([], {"input": given})


DEEP_TEXT = """
import threading
from uuid import uuid4
from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery

log, given = MemoryDelivery(), "{1: " + "-+" * 5000 + "1}"
handler = CoagentCallbackHandler(delivery=log)
threading.stack_size(512 * 1024)
thread = threading.Thread(target=lambda: handler.on_tool_start({"name": "find"}, given, run_id=uuid4()))
thread.start()
thread.join()
print(log.entries[-1]["tool_call"]["parameters"] == {"input": given})
"""


def test_reading_a_tools_text_does_not_overflow_a_small_stack() -> None:
    """41 langchain-ai/langchain#34168: Python's parser ends the process if a model's text nests too deep for it."""
    program = subprocess.run([sys.executable, "-c", DEEP_TEXT], capture_output=True, text=True, check=False)

    assert (program.returncode, program.stdout) == (0, "True\n")


@pytest.mark.parametrize("hook", HOOKS)
def test_parameter_names_are_cores(hook: str) -> None:
    """37 langchain-ai/langchain#26773: every hook uses core's parameter names, and accepts any new keyword."""
    core = inspect.signature(getattr(BaseCallbackHandler, hook)).parameters
    own = inspect.signature(getattr(CoagentCallbackHandler, hook)).parameters

    assert {name: own[name].kind for name in core} == {name: core[name].kind for name in core}
    assert any(p.kind is inspect.Parameter.VAR_KEYWORD for p in own.values())
