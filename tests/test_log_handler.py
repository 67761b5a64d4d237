"""Records of Python's logging as events."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

from coagent_langchain import CoagentCallbackHandler, CoagentLogHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import chat
from tests.reading import types


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger of the application's, for all levels."""
    kitchen = logging.getLogger("kitchen")
    kitchen.setLevel(logging.DEBUG)
    yield kitchen
    kitchen.setLevel(logging.NOTSET)
    kitchen.handlers.clear()


def test_log_records_become_events_of_the_run(log: MemoryDelivery, logger: logging.Logger) -> None:
    """Records of four levels become events with the numbers of the run that logged them."""
    handler = CoagentCallbackHandler("s", delivery=log)
    logger.addHandler(CoagentLogHandler(handler, level="DEBUG"))

    def cook(food: str) -> str:
        logger.debug("cutting %s", food)
        logger.info("cooking")
        logger.warning("hot")
        try:
            raise ValueError("burnt")
        except ValueError:
            logger.exception("failed")
        return food

    RunnableLambda(cook).invoke("leek", {"callbacks": [handler]})

    said = [(e["event_type"], e.get("output_data", {}).get("message")) for e in log.entries[2:]]
    assert said == [("debug", "cutting leek"), ("info", "cooking"), ("warning", "hot"), ("error", None)]
    assert log.entries[-1]["error_info"]["error_message"] == "failed: burnt"
    assert {e["meta"]["trace"]["name"] for e in log.entries[2:]} == {"cook"}
    assert [(e["meta"]["logger"], e["meta"]["level"]) for e in log.entries[2:]] == [
        ("kitchen", level) for level in ("DEBUG", "INFO", "WARNING", "ERROR")
    ]


def test_exception_that_is_logged_and_raised_on_is_one_error(log: MemoryDelivery, logger: logging.Logger) -> None:
    """`logger.exception()` reports it; tool, chain and session do not report it again."""
    handler = CoagentCallbackHandler(delivery=log)
    logger.addHandler(CoagentLogHandler(handler))

    @tool
    def cook(food: str) -> str:
        """Cook."""
        try:
            raise ValueError("burnt")
        except ValueError:
            logger.exception("failed")
            raise

    with pytest.raises(ValueError, match="burnt"), handler.session("Dinner"):
        (RunnableLambda(lambda food: {"food": food}) | cook).invoke("leek", {"callbacks": [handler]})

    assert types(log) == [
        "session_start", "user_input", "tool_call", "error", "tool_response", "session_end",
    ]  # fmt: skip
    assert log.entries[4]["meta"]["error_id"] == log.entries[3]["event_id"]
    assert log.entries[-1]["meta"]["errors"] == 1


def test_error_record_is_as_severe_as_its_level(log: MemoryDelivery) -> None:
    """A level of the application's own between the two counts as the lower one."""
    forward = CoagentLogHandler(CoagentCallbackHandler(delivery=log))
    for level in (logging.ERROR, logging.CRITICAL - 1, logging.CRITICAL):
        forward.emit(logging.LogRecord("kitchen", level, "", 0, "burnt", None, None))

    assert [e["error_info"]["error_severity"] for e in log.entries[1:]] == ["high", "high", "critical"]


def test_formatter_of_the_log_handler_writes_the_message(log: MemoryDelivery) -> None:
    """As with any handler of `logging`; without one, the message is the record's alone."""
    forward = CoagentLogHandler(CoagentCallbackHandler(delivery=log))
    forward.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    forward.emit(logging.LogRecord("kitchen", logging.INFO, "", 0, "%s is hot", ("soup",), None))

    assert log.entries[1]["output_data"] == {"message": "kitchen: soup is hot"}


@pytest.mark.parametrize("formatter", [None, logging.Formatter()])
def test_exception_of_a_warning_is_logged_with_it(formatter: logging.Formatter | None, log: MemoryDelivery) -> None:
    """Its stack trace follows the message, once, as in the application's own log."""
    forward = CoagentLogHandler(CoagentCallbackHandler(delivery=log))
    forward.setFormatter(formatter)
    try:
        raise TimeoutError("no answer")
    except TimeoutError:
        forward.emit(logging.LogRecord("kitchen", logging.WARNING, "", 0, "again", None, sys.exc_info()))

    first, *_, last = log.entries[1]["output_data"]["message"].splitlines()
    assert (log.entries[1]["event_type"], first, last) == ("warning", "again", "TimeoutError: no answer")
    assert str(log.entries[1]).count("TimeoutError: no answer") == 1


def test_log_records_of_our_own_are_no_events(log: MemoryDelivery) -> None:
    """Nor are those of libraries in the sending thread: failing delivery must not create more events."""
    handler = CoagentCallbackHandler(delivery=log)
    for name, thread in (("coagent_langchain", "MainThread"), ("urllib3", "coagent-delivery"), ("urllib3", None)):
        record = logging.LogRecord(name, logging.WARNING, "", 0, name, None, None)
        record.threadName = thread
        CoagentLogHandler(handler).emit(record)

    assert [(e["event_type"], e.get("meta", {}).get("logger")) for e in log.entries] == [
        ("session_start", None),
        ("warning", "urllib3"),
    ]


def test_log_records_of_redact_itself_are_no_events(log: MemoryDelivery, logger: logging.Logger) -> None:
    """Otherwise each would be redacted and logged again, without end."""

    def redact(entry: dict[str, Any]) -> dict[str, Any]:
        logger.info("redacted")
        return entry

    logger.addHandler(CoagentLogHandler(CoagentCallbackHandler(delivery=log, redact=redact)))
    logger.info("hello")

    assert [e.get("output_data") for e in log.entries] == [None, {"message": "hello"}]


class Waiter(MemoryDelivery):
    """A delivery of the application's own, which logs."""

    def append(self, lines: bytes, count: int = 1) -> None:
        """Say so, and keep the entries."""
        logging.getLogger("kitchen").info("served")
        super().append(lines, count)


def test_log_records_of_the_delivery_of_an_application_are_no_events(logger: logging.Logger) -> None:
    """Otherwise each would be delivered and logged again, without end."""
    log = Waiter()
    logger.addHandler(CoagentLogHandler(CoagentCallbackHandler(delivery=log)))
    logger.info("hello")

    assert [e.get("output_data") for e in log.entries] == [None, {"message": "hello"}]


def test_log_record_of_the_delivery_of_an_application_begins_no_prompt_of_its_own(logger: logging.Logger) -> None:
    """It comes while the chain's first run is about to get its prompt, and belongs to that."""
    log = Waiter()
    handler = CoagentCallbackHandler(delivery=log)
    logger.addHandler(CoagentLogHandler(handler))
    (RunnableLambda(lambda x: x) | chat("soup")).invoke("hello", {"callbacks": [handler]})

    told = [(e["prompt_number"], e["event_type"]) for e in log.entries if e["event_type"] != "info"]
    assert told == [(1, "session_start"), (1, "user_input"), (1, "llm_call"), (1, "llm_response")]
    assert {e["prompt_number"] for e in log.entries} == {1}


def test_record_whose_arguments_do_not_fit_is_logged_with_both(log: MemoryDelivery) -> None:
    """An application's wrong arguments neither lose the message nor count as an internal error."""
    handler = CoagentCallbackHandler(delivery=log)
    record = logging.LogRecord("kitchen", logging.INFO, "", 0, "two %s %s", ("one",), None)
    with handler.session("Cook"):
        CoagentLogHandler(handler).emit(record)

    assert log.entries[1]["output_data"]["message"] == "two %s %s ('one',)"


def test_log_records_outside_a_run_belong_to_the_session_around(log: MemoryDelivery) -> None:
    """A record in `with handler.session(...)` is an event of that session."""
    handler = CoagentCallbackHandler(delivery=log)
    record = logging.LogRecord("kitchen", logging.INFO, "", 0, "hello", None, None)
    with handler.session("Cook", session_id="s"):
        CoagentLogHandler(handler).emit(record)

    assert [(e["session_id"], e["event_type"]) for e in log.entries] == [
        ("s", "session_start"),
        ("s", "info"),
        ("s", "session_end"),
    ]
