"""Without content, no field of any event has anything that anybody said; redaction fails closed."""

from __future__ import annotations

import contextlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, SystemMessage, ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel
from tenacity import Future

from coagent_langchain import CoagentCallbackHandler, CoagentLogHandler, EventType
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import USAGE, calls, chat
from tests.reading import of_type, types

SECRET = "zanzibar"
HANDLER_TYPES = {"session_start", "session_end", "user_input", "llm_call", "llm_response", "tool_call",
                 "tool_response", "error", "recovery", "human_oversight", "routing", "component_enter",
                 "component_exit", "info", "warning", "debug"}  # fmt: skip


class Library(BaseRetriever):
    """Finds one document."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document(SECRET, metadata={"source": SECRET})]


class Recipe(BaseModel):
    """The schema of a model's answer."""

    name: str


@tool
def bad(food: str) -> str:
    """Fail."""
    raise ToolException(f"no {SECRET}")


@tool
def ask(question: str) -> str:
    """Ask a human."""
    return str(interrupt({"question": SECRET}))


def everything(handler: CoagentCallbackHandler) -> None:
    """Run flows that produce every type of event, with the secret wherever somebody may say it."""
    config: Any = {"callbacks": [handler], "metadata": {"note": SECRET}, "tags": [SECRET],
                   "configurable": {"thread_id": "t"}}  # fmt: skip
    lenient = bad.model_copy(update={"handle_tool_error": True})
    answer = AIMessage(
        [{"type": "thinking", "thinking": SECRET}, {"type": "text", "text": SECRET}, {"type": "odd", "x": SECRET}],
        usage_metadata=USAGE,
        response_metadata={"finish_reason": "stop"},
    )
    model = chat(calls(("bad", {"food": SECRET}, "c1")), calls(("ask", {"question": SECRET}, "c2")), answer)
    agent = create_agent(model, [lenient, ask], system_prompt=SECRET, checkpointer=InMemorySaver())
    with handler.session(SECRET, session_id="s", meta={"note": SECRET}) as session:
        agent.invoke({"messages": [("user", SECRET)]}, config)
        agent.invoke(Command(resume=SECRET), config)
        chat(ValueError(SECRET)).with_fallbacks([chat(SECRET)]).invoke([SystemMessage(SECRET)], config)
        Library().invoke(SECRET, config)
        graph = StateGraph(MessagesState)
        graph.add_node("first", lambda state: Command(goto="second", update={"messages": [("ai", SECRET)]}))
        graph.add_node("second", lambda state: {"messages": []})
        graph.add_edge(START, "first")
        graph.compile().invoke({"messages": [("user", SECRET)]}, config)
        run_id = uuid4()
        handler.on_chain_start(None, SECRET, run_id=run_id, name="outer")
        handler.on_text(SECRET, run_id=run_id)
        attempt = Future(1)
        attempt.set_exception(ValueError(SECRET))
        handler.on_retry(SimpleNamespace(attempt_number=1, outcome=attempt), run_id=run_id)
        handler.on_custom_event("progress", {"note": SECRET}, run_id=run_id)
        handler.on_chain_end({"output": SECRET}, run_id=run_id)
        handler.log("debug", SECRET, meta={"note": SECRET})
        handler.log_error(SECRET, ValueError(SECRET), meta={"note": SECRET})
        record = logging.LogRecord("kitchen", logging.ERROR, "", 0, SECRET, None, None)
        CoagentLogHandler(handler).emit(record)
        RunnableLambda(lambda x: {"answer": SECRET}).invoke({"question": SECRET, "more": SECRET}, config)
        with session.prompt(SECRET, meta={"note": SECRET}):
            pass


def test_every_type_of_event_is_tried(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The flows of this file produce every type of event that the handler writes, with the secret in most of them."""
    everything(handler)

    assert set(types(log)) == HANDLER_TYPES
    assert {each.value for each in EventType} >= HANDLER_TYPES
    with_secret = {e["event_type"] for e in log.entries if SECRET in json.dumps(e)}
    assert with_secret >= HANDLER_TYPES - {"recovery"}


def test_without_content_nothing_said_is_written(log: MemoryDelivery) -> None:
    """With `capture_content=False` the secret is in no field of any event."""
    everything(CoagentCallbackHandler(delivery=log, capture_content=False))

    assert set(types(log)) == HANDLER_TYPES
    assert [e for e in log.entries if SECRET in json.dumps(e)] == []
    assert all(e["meta"]["content"] == "not captured" for e in log.entries)
    response = of_type(log, "llm_response")[0]
    assert (response["llm_response"]["total_tokens"], response["meta"]["model"]) == (14, "scripted-1")
    assert {"execution_time_ms", "input_tokens"} <= response["llm_response"].keys()
    assert log.entries[-1]["meta"]["total_tokens"] == 56


def fields(log: MemoryDelivery) -> set[str]:
    """Field names of the entries, one level deep."""
    inside = {f"{name}.{key}" for e in log.entries for name in e if isinstance(e[name], dict) for key in e[name]}
    return inside | {name for e in log.entries for name in e if not isinstance(e[name], dict)}


def test_without_content_everything_else_is_written(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Only what humans, models and tools said and what the application attached is left out."""
    bare = MemoryDelivery()
    for each in (handler, CoagentCallbackHandler(delivery=bare, capture_content=False)):
        everything(each)

    assert sorted(fields(log) - fields(bare)) == [
        "error_info.error_message", "error_info.recovery_actions", "error_info.stack_trace",
        "input_data.interrupt_id", "input_data.prompt", "input_data.value",
        "llm_call.history", "llm_call.system_prompt", "llm_response.response", "llm_response.tool_calls",
        "meta.blocks", "meta.context", "meta.goto", "meta.messages", "meta.name", "meta.note",
        "meta.reasoning", "meta.value",
        "output_data.message", "output_data.messages", "output_data.response", "prompt",
        "tool_call.parameters", "tool_response.error_message", "tool_response.result",
    ]  # fmt: skip
    assert fields(bare) - fields(log) == {"meta.content"}


def test_without_content_errors_name_their_cause_and_calls_their_schema(log: MemoryDelivery) -> None:
    """The cause is an id, and the schema is a name like those of the offered tools."""
    handler = CoagentCallbackHandler(delivery=log, capture_content=False)

    def fail(_: str) -> None:
        try:
            chat(ValueError(SECRET)).with_structured_output(Recipe).invoke(SECRET)
        except ValueError as error:
            raise KeyError(SECRET) from error

    with pytest.raises(KeyError):
        RunnableLambda(fail).invoke(SECRET, {"callbacks": [handler]})

    first, second = of_type(log, "error")
    assert second["meta"]["caused_by"] == first["error_info"]["error_id"]
    assert [e["meta"]["structured_output"] for e in of_type(log, "llm_call")] == ["Recipe"]


def test_without_content_the_versions_of_the_libraries_are_written(log: MemoryDelivery) -> None:
    """A session that begins with its first run says which they are; nobody has said that."""
    chat(SECRET).invoke(SECRET, {"callbacks": [CoagentCallbackHandler(delivery=log, capture_content=False)]})

    assert any(each.startswith("langchain-core::") for each in of_type(log, "session_start")[0]["agent_stack"])


def test_without_content_the_figures_of_a_response_are_written(log: MemoryDelivery) -> None:
    """How fast it came, what its tokens were, and that it came from a cache."""
    details = {"input_token_details": {"cache_read": 3}}
    usage: Any = {**USAGE, **details}
    model = chat(AIMessage(SECRET, usage_metadata=usage)).model_copy(update={"cache": InMemoryCache()})
    config: Any = {"callbacks": [CoagentCallbackHandler(delivery=log, capture_content=False)]}
    list(model.stream(SECRET, config))
    for _ in range(2):
        model.invoke(SECRET, config)

    streamed, _, cached = (response["meta"] for response in of_type(log, "llm_response"))
    assert (streamed["usage"], "time_to_first_token_ms" in streamed, cached["cached"]) == (details, True, True)


def redact(entry: dict[str, Any]) -> dict[str, Any]:
    """Replace the secret everywhere."""
    found: dict[str, Any] = json.loads(json.dumps(entry).replace(SECRET, "…"))
    return found


def test_redactor_sees_every_event(log: MemoryDelivery) -> None:
    """A redactor is given every event before it is written: what it removes is in no field."""
    everything(CoagentCallbackHandler(delivery=log, redact=redact))

    assert set(types(log)) == HANDLER_TYPES
    assert [e for e in log.entries if SECRET in json.dumps(e)] == []


@pytest.mark.internal_errors
@pytest.mark.parametrize(("how", "fault"), [
    ("raises", "raised"), ("raises for some", "raised"), ("second raises", "raised"),
    ("returns nothing", "returned None instead of the entry as a dict"),
    ("returns text", "returned a value of type str instead of the entry as a dict"),
])  # fmt: skip
def test_redactor_that_fails_costs_the_content(
    how: str, fault: str, log: MemoryDelivery, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the entry, and no more: it fails closed. The log says once what the user's function did."""

    def broken(entry: dict[str, Any]) -> Any:
        if fault != "raised":
            return json.dumps(entry) if how == "returns text" else None
        if how == "raises for some" and entry["event_type"] not in ("llm_call", "user_input"):
            return redact(entry)
        raise RuntimeError("broken")

    redactors: Any = [redact, broken] if how == "second raises" else broken
    everything(CoagentCallbackHandler(delivery=log, redact=redactors))

    assert set(types(log)) == HANDLER_TYPES
    assert [e for e in log.entries if SECRET in json.dumps(e)] == []
    assert {e["meta"]["content"] for e in of_type(log, "llm_call")} == {"redact failed"}
    told = [(r.getMessage(), r.exc_info and r.exc_info[0]) for r in caplog.records if r.name == "coagent_langchain"]
    assert told == [
        (f"the redact function {fault}; such events are logged without their content",
         RuntimeError if fault == "raised" else None),
    ]  # fmt: skip


def test_redactor_cannot_change_the_application(log: MemoryDelivery) -> None:
    """A redactor that empties its argument empties the event, not the application's objects."""

    def empty(entry: dict[str, Any]) -> dict[str, Any]:
        entry.get("tool_call", {}).get("parameters", {}).clear()
        return entry

    given = {"food": "leek"}
    handler = CoagentCallbackHandler(delivery=log, redact=empty)
    handler.on_tool_start({"name": "t"}, "x", run_id=uuid4(), inputs=given)

    assert (given, of_type(log, "tool_call")[0]["tool_call"]["parameters"]) == ({"food": "leek"}, {})


def test_keys_and_headers_are_never_written(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Model parameters are an allow-list: no event has a key, a header or an address with a password."""
    key = "sk-" + "a1b2" * 8
    run_id = uuid4()
    handler.on_chat_model_start(
        {"kwargs": {"api_key": key}}, [[]], run_id=run_id,
        invocation_params={"api_key": key, "headers": {"Authorization": key}, "temperature": 0.1, "token": key},
    )  # fmt: skip
    handler.on_llm_error(RuntimeError(f"401 for {key}, Authorization: Bearer {key}"), run_id=run_id)

    assert key not in json.dumps(log.entries)
    assert of_type(log, "llm_call")[0]["meta"]["parameters"] == {"temperature": 0.1}


def test_error_that_a_tool_answers_with_has_no_keys_where_it_is_told_as_an_error(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The tool's response is content, which the model receives too: it is unchanged."""
    key = "sk-" + "a1b2" * 8

    @tool
    def refused(food: str) -> ToolMessage:
        """Fail."""
        return ToolMessage(f"401 for {key}", tool_call_id="1", status="error")

    refused.invoke({"food": "leek"}, {"callbacks": [handler]})

    (error,), (response,) = of_type(log, "error"), of_type(log, "tool_response")
    assert (error["error_info"]["error_message"], response["tool_response"]["error_message"]) == (
        "401 for [redacted]", "401 for [redacted]",
    )  # fmt: skip
    assert response["tool_response"]["result"] == {"output": f"401 for {key}"}


def test_metadata_named_like_a_secret_is_left_out(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A key or password in a run's metadata is not written; the rest of the metadata is, in its own order."""
    metadata = {"openai_api_key": "sk-1", "tenant": "acme", "db_password": "hunter2", "region": "eu"}
    chat("a").invoke("q", {"callbacks": [handler], "metadata": metadata})

    (call,) = of_type(log, "llm_call")
    ((name, kept),) = call["meta"]["context"].items()
    assert (name, [*kept.items()]) == ("metadata", [("tenant", "acme"), ("region", "eu")])


def test_without_content_the_users_own_meta_is_not_written(log: MemoryDelivery) -> None:
    """The `meta` given to a session, a prompt or a log call is content, whatever its keys are called."""
    handler = CoagentCallbackHandler(delivery=log, capture_content=False)
    with handler.session("task", meta={"model": "secret"}) as session, session.prompt("go", meta={"kind": "secret"}):
        handler.log("info", "cooked", meta={"status": "secret", "level": "secret"})
        handler.log_error("burnt", meta={"path": "secret", "logger": "secret"})

    assert ("secret" in str(log.entries), len(log.entries)) == (False, 5)


def test_without_content_a_log_record_keeps_its_logger_and_level(log: MemoryDelivery) -> None:
    """They are names; its text is content."""
    forward = CoagentLogHandler(CoagentCallbackHandler(delivery=log, capture_content=False))
    forward.emit(logging.LogRecord("kitchen", logging.ERROR, "", 0, SECRET, None, None))

    said = log.entries[1]
    assert said["meta"] == {"logger": "kitchen", "level": "ERROR", "content": "not captured"}
    assert (said["error_info"]["component_id"], SECRET in str(log.entries)) == ("kitchen", False)


@pytest.mark.internal_errors
@pytest.mark.parametrize("raises", [True, False])
def test_redactor_that_fails_costs_the_users_own_meta(raises: bool, log: MemoryDelivery) -> None:
    """Without content, whatever its keys are called, also within a run. The handler's own fields are kept."""

    def broken(entry: dict[str, Any]) -> Any:
        if raises:
            raise RuntimeError("broken")

    def step(text: str) -> str:
        handler.log("warning", "cooking", meta={"status": "secret"})
        handler.log_error("burning", meta={"kind": "secret"})
        return text

    handler = CoagentCallbackHandler(delivery=log, redact=broken)
    with handler.session("task", meta={"model": "secret"}) as session, session.prompt("go", meta={"kind": "secret"}):
        handler.log("info", "cooked", meta={"status": "secret", "level": "secret"})
        handler.log_error("burnt", meta={"path": "secret", "logger": "secret"})
        RunnableLambda(step).invoke("x", {"callbacks": [handler]})

    assert ("secret" in str(log.entries), len(log.entries)) == (False, 7)
    assert ["trace" in e["meta"] for e in log.entries] == [False] * 4 + [True, True, False]


@pytest.mark.parametrize("rule", [{"redact": redact}, {"capture_content": False}], ids=["redact", "no content"])
@pytest.mark.parametrize("way", ["same id", "block", "block that fails"])
def test_a_handlers_rule_holds_in_a_session_of_anothers(way: str, rule: dict[str, Any], log: MemoryDelivery) -> None:
    """Whoever began the session and logs its end: the content of a run leaves only through the run's own handler."""
    open_one, careful = CoagentCallbackHandler("s", delivery=log), CoagentCallbackHandler("s", delivery=log, **rule)
    model = chat(ValueError(SECRET)) if way == "block that fails" else chat(SECRET)
    chain = RunnableLambda(str) | model
    if way == "same id":
        chat("plain").invoke("plain", {"callbacks": [open_one]})
        chain.invoke(SECRET, {"callbacks": [careful]})
        chat("plain").invoke("plain", {"callbacks": [open_one]})
        open_one.close()
    else:
        with contextlib.suppress(ValueError), open_one.session("plain", session_id="s"):
            chain.invoke(SECRET, {"callbacks": [careful]})

    assert (len(of_type(log, "session_end")), [e["event_type"] for e in log.entries if SECRET in json.dumps(e)]) == (
        1,
        [],
    )


def test_block_around_a_careful_handlers_session_repeats_no_answer(log: MemoryDelivery) -> None:
    """A block that ends a session which another handler began does not know its rule, so it repeats no response."""
    open_one, careful = CoagentCallbackHandler(delivery=log), CoagentCallbackHandler("s", delivery=log, redact=redact)
    (RunnableLambda(str) | chat(SECRET)).invoke("q", {"callbacks": [careful]})
    with open_one.session("plain", session_id="s"):
        pass

    assert [e["event_type"] for e in log.entries if SECRET in json.dumps(e)] == []
    assert log.entries[-1]["output_data"] == {"response": "completed"}


def test_careful_handlers_block_around_anothers_run_repeats_its_answer(log: MemoryDelivery) -> None:
    """It leaves through the block's own rule, which hides more than the run's does."""
    open_one, careful = CoagentCallbackHandler(delivery=log), CoagentCallbackHandler(delivery=log, redact=redact)
    with careful.session("plain"):
        (RunnableLambda(str) | chat(f"Rome {SECRET}")).invoke("q", {"callbacks": [open_one]})

    assert log.entries[-1]["output_data"] == redact({"response": f"Rome {SECRET}"})


def test_an_exception_of_a_careful_handlers_run_is_named_by_its_type_alone(log: MemoryDelivery) -> None:
    """If it leaves the block of a session that another handler began."""
    open_one, careful = CoagentCallbackHandler(delivery=log), CoagentCallbackHandler(delivery=log, redact=redact)
    with contextlib.suppress(RuntimeError), open_one.session("plain"):
        chat("a").invoke("q", {"callbacks": [careful]})
        raise RuntimeError(SECRET)

    (error,) = of_type(log, "error")
    assert (error["error_info"]["error_message"], error["error_info"]["stack_trace"]) == ("RuntimeError", "")
    assert SECRET not in json.dumps(log.entries)


@pytest.mark.parametrize("how", ["in the run", "with the handler", "in a thread with its context", "by a remark"])
def test_what_a_redactor_does_has_no_events(how: str, log: MemoryDelivery) -> None:
    """A `redact` that asks a model, or logs, is not asked about that in turn, without end."""
    asked: list[str] = []
    model = chat("no")

    def redact(entry: dict[str, Any]) -> dict[str, Any]:
        asked.append(entry["event_type"])
        if how == "by a remark":
            handler.log("info", "redacting")
        elif how == "in a thread with its context":
            with ThreadPoolExecutor() as pool:
                pool.submit(copy_context().run, model.invoke, "is this secret?", {"callbacks": [handler]})
        else:
            model.invoke("is this secret?", {"callbacks": [handler]} if how == "with the handler" else None)
        return entry

    handler = CoagentCallbackHandler(delivery=log, redact=redact)
    (RunnableLambda(lambda x: x) | chat("soup")).invoke("hello", {"callbacks": [handler]})
    handler.close()

    assert types(log) == asked == ["session_start", "user_input", "llm_call", "llm_response", "session_end"]
    assert log.entries[-1]["meta"]["llm_calls"] == 1
