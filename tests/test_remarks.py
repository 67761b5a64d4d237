"""What is logged beside runs: by the application with `log` and `log_error`, and by LangChain's custom events."""

from __future__ import annotations

import contextlib
import logging
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.callbacks import dispatch_custom_event
from langchain_core.runnables import RunnableLambda

from coagent_langchain import CoagentCallbackHandler, CoagentLogHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import chat
from tests.reading import of_type, types


def test_remark_stands_in_the_turn_that_it_was_made_in(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """This also holds for a component that has no turn of its own."""

    def cook(food: str) -> str:
        chat("soup").invoke(food)
        handler.log("info", "cooked")
        return food

    def salt(food: str) -> str:
        handler.log("info", "salted")
        return food

    def serve(food: str) -> None:
        dispatch_custom_event("served", food)

    (RunnableLambda(cook) | RunnableLambda(salt) | RunnableLambda(serve)).invoke("leek", {"callbacks": [handler]})

    told = [(e["output_data"]["message"], e["prompt_number"], e["turn_number"]) for e in of_type(log, "info")]
    assert told == [("cooked", 1, 1), ("salted", 1, 1), ("served", 1, 1)]


def test_remark_in_a_prompts_block_stands_in_its_latest_turn(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Even if another prompt has begun since; outside of all prompts, it has no turn."""
    with handler.session("Cook") as session:
        with session.prompt("Soup?"):
            chat("leek").invoke("q", {"callbacks": [handler]})
            with session.prompt("Cake?"):
                pass
            handler.log("info", "cooked")
        handler.log("info", "served")

    told = [(e["output_data"]["message"], e["prompt_number"], e["turn_number"]) for e in of_type(log, "info")]
    assert told == [("cooked", 1, 1), ("served", 2, 0)]


def test_remarks_beside_a_run_say_what_they_were_given(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Each has its level, and the numbers and texts that the application or LangChain passed."""
    run_id = uuid4()
    failed = SimpleNamespace(failed=True, exception=lambda: TimeoutError("slow"))
    handler.on_chain_start({}, "q", run_id=run_id)
    handler.on_agent_action(AgentAction("cook", "leek", "hungry"), run_id=run_id)
    handler.on_agent_finish(AgentFinish({}, "full"), run_id=run_id)
    handler.on_text("Prompt:\n\x1b[32;1m\x1b[1;3mtext\x1b[0m", run_id=run_id)
    handler.on_retry(SimpleNamespace(attempt_number=2, outcome=failed), run_id=run_id)
    for level in ("debug", "warning", "error"):
        handler.on_custom_event("progress", {"level": level}, run_id=run_id)

    found = [
        (e["event_type"], e["output_data"]["message"], {key: e["meta"][key] for key in e["meta"] if key != "trace"})
        for e in log.entries[2:]
    ]
    assert found == [
        ("debug", "agent action: cook", {"name": "agent_action", "log": "hungry"}),
        ("debug", "agent finish", {"name": "agent_finish", "log": "full"}),
        ("debug", "Prompt:\ntext", {"name": "text"}),
        ("warning", "retry after attempt 2: TimeoutError: slow", {"name": "retry", "attempt": 2}),
        ("debug", "progress", {"name": "progress", "value": {"level": "debug"}}),
        ("warning", "progress", {"name": "progress", "value": {"level": "warning"}}),
        ("info", "progress", {"name": "progress", "value": {"level": "error"}}),
    ]


@pytest.mark.internal_errors
def test_level_that_does_not_exist_is_told_once(
    log: MemoryDelivery, handler: CoagentCallbackHandler, caplog: pytest.LogCaptureFixture
) -> None:
    """The event is logged as `info`: an error logged in this way would count as none, and nobody would know."""
    for level in ("debug", "info", "warning", "error", "WARNING"):
        handler.log(level, "burnt")

    assert types(log) == ["session_start", "debug", "info", "warning", "info", "info"]
    assert [r.getMessage() for r in caplog.records if r.name == "coagent_langchain"] == [
        "handler.log has the levels debug, info and warning, and logs others as info; for errors: log_error"
    ]


def test_level_that_is_an_array_is_no_level(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A custom event's `level` may be a loudness or a water level; comparing an array to strings gives no boolean."""

    class Array:
        def __eq__(self, other: object) -> Any:
            return self

        def __bool__(self) -> bool:
            raise ValueError("the truth value of an array is ambiguous")

        __hash__ = None  # type: ignore[assignment]

    RunnableLambda(lambda _: dispatch_custom_event("heard", {"level": Array()})).invoke("q", {"callbacks": [handler]})

    assert [e["output_data"]["message"] for e in of_type(log, "info")] == ["heard"]


def test_exception_may_stand_for_the_message(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """`log_error(error)` works: the message and type are those of the exception; its place is the application."""
    handler.log_error(KeyError("k"))
    handler.log_error("no exception at all")

    errors = [e["error_info"] for e in log.entries[-2:]]
    assert [e["error_id"] for e in errors] == [e["event_id"] for e in log.entries[-2:]]
    assert [(e["error_type"], e["error_message"], e["component_id"]) for e in errors] == [
        ("KeyError", "'k'", "application"), ("Error", "no exception at all", "application"),
    ]  # fmt: skip


def test_message_of_an_error_that_the_application_logs_has_no_secrets(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """As in the message of an exception, which it often repeats."""
    handler.log_error("cannot connect: password=hunter2")
    record = logging.LogRecord("kitchen", logging.ERROR, "", 0, "cannot connect: password=hunter2", None, None)
    CoagentLogHandler(handler).emit(record)

    said = [e["error_info"]["error_message"] for e in log.entries[1:]]
    assert said == ["cannot connect: password=[redacted]"] * 2


def test_logged_error_without_an_exception_hides_none(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """An exception that a run has already reported is not logged again where it leaves the block."""

    def cook() -> None:
        try:
            chat(ValueError("down")).invoke("q", {"callbacks": [handler]})
        except ValueError:
            handler.log_error("gave up")
            raise

    with pytest.raises(ValueError, match="down"), handler.session("s"):
        cook()

    assert [e["error_info"]["error_message"] for e in of_type(log, "error")] == ["down", "gave up"]


@pytest.mark.parametrize("goes_on", [True, False])
def test_exception_that_a_run_logs_itself_is_told_once(
    goes_on: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """If the exception is raised again, it is no second error; if the run continues, no recovery is logged."""

    def cook(food: str) -> str:
        error = ValueError("burnt")
        handler.log_error("no soup", error)
        if goes_on:
            return food
        raise error

    with contextlib.suppress(ValueError), handler.session():
        RunnableLambda(cook).invoke("leek", {"callbacks": [handler]})

    assert types(log) == ["session_start", "user_input", "error", "session_end"]
