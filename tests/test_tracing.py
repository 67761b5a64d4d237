"""The handler on every chain, by context manager, variable or command; and Python's logging."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

from coagent_langchain import CoagentCallbackHandler, CoagentClient, CoagentLogHandler, server, tracing
from coagent_langchain.capture.tracing import enable
from coagent_langchain.errors import ConfigurationError
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import chat
from tests.reading import of_type, types

PROGRAM = """
import sys, threading
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

chain = RunnableLambda(lambda x: x + 1).with_config(run_name="adder")
thread = threading.Thread(target=chain.invoke, args=(int(sys.argv[1]),))
thread.start()
thread.join()
sys.exit(3)
"""


def test_tracing_logs_chains_of_all_threads(log: MemoryDelivery) -> None:
    """In the block, every chain is logged, even in a plain thread; outside, none is."""
    model = chat("a")
    with tracing(CoagentCallbackHandler(delivery=log)):
        model.invoke("here")
        thread = threading.Thread(target=model.invoke, args=("there",))
        thread.start()
        thread.join()
    model.invoke("outside")

    assert [e["prompt"] for e in of_type(log, "user_input")] == ["here", "there"]


@pytest.mark.parametrize("place", [lambda given: tracing(given).__enter__(), CoagentLogHandler])
@pytest.mark.parametrize("given", ["session-1", logging.INFO, CoagentCallbackHandler])
def test_what_is_no_handler_is_refused_at_once(place: Callable[[Any], object], given: object) -> None:
    """An id, a level or the class as `handler` raises, instead of failing in each run."""
    with pytest.raises(ConfigurationError, match=r"handler must be a CoagentCallbackHandler\(\), not .*"):
        place(given)


def test_variable_that_is_no_truth_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with an invalid value raises at once, with its name."""
    monkeypatch.setenv("COAGENT_TRACING", "maybe")
    with pytest.raises(ConfigurationError, match="COAGENT_TRACING must be true or false"):
        enable()


@pytest.mark.parametrize("way", ["variable", "command"])
def test_program_is_logged_without_a_change(way: str, tmp_path: Path) -> None:
    """A program that does not use this package is logged, by variable or command, and keeps its exit status."""
    script = tmp_path / "app.py"
    script.write_text(PROGRAM if way == "command" else "import coagent_langchain\n" + PROGRAM)
    with server.launch() as running:
        environment = {**os.environ, "COAGENT_BASE_URL": running.base_url}
        if way == "variable":
            environment["COAGENT_TRACING"] = "true"
        command = [sys.executable, *(["-m", "coagent_langchain", "run"] if way == "command" else []), str(script), "41"]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        client = CoagentClient(running.base_url)
        events = [event.event_type for event in client.get_logs(client.get_runs()[0])]

    assert (result.returncode, result.stderr, result.stdout) == (3, "", "")
    told = ["error"] if way == "command" else []  # from the command, which sees how the program ends
    assert events == ["session_start", "user_input", *told, "session_end"]


def test_end_of_the_block_does_not_wait_for_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session ends; waiting events are delivered by the worker or at exit."""
    monkeypatch.setenv("COAGENT_BASE_URL", "http://127.0.0.1:9/api/v1")
    monkeypatch.setenv("COAGENT_SPOOL_DIR", str(tmp_path))
    with tracing() as handler:
        RunnableLambda(str).invoke("q")
        began = time.monotonic()
    took = time.monotonic() - began

    assert (handler.stats().waiting, len(handler._sessions)) == (3, 0)
    assert took < handler._settings.exit_timeout


def test_exception_that_is_logged_and_raised_on_is_one_error(log: MemoryDelivery) -> None:
    """`logger.exception()` reports it; tool, chain and session do not report it again."""
    handler = CoagentCallbackHandler(delivery=log)
    logger = logging.getLogger("kitchen")
    forward = CoagentLogHandler(handler)
    logger.addHandler(forward)

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
    logger.removeHandler(forward)

    assert types(log) == [
        "session_start", "user_input", "tool_call", "error", "tool_response", "session_end",
    ]  # fmt: skip
    assert log.entries[4]["meta"]["error_id"] == log.entries[3]["event_id"]
    assert log.entries[-1]["meta"]["errors"] == 1


def test_log_records_become_events_of_the_run(log: MemoryDelivery) -> None:
    """Records of four levels become events with the numbers of the run that logged them."""
    handler = CoagentCallbackHandler("s", delivery=log)
    logger = logging.getLogger("kitchen")
    logger.setLevel(logging.DEBUG)
    forward = CoagentLogHandler(handler, level="DEBUG")
    logger.addHandler(forward)

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
    logger.removeHandler(forward)

    said = [(e["event_type"], e.get("output_data", {}).get("message")) for e in log.entries[2:]]
    assert said == [("debug", "cutting leek"), ("info", "cooking"), ("warning", "hot"), ("error", None)]
    assert log.entries[-1]["error_info"]["error_message"] == "failed: burnt"
    assert {e["meta"]["trace"]["name"] for e in log.entries[2:]} == {"cook"}
    assert [(e["meta"]["logger"], e["meta"]["level"]) for e in log.entries[2:]] == [
        ("kitchen", level) for level in ("DEBUG", "INFO", "WARNING", "ERROR")
    ]


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


def test_log_records_of_redact_itself_are_no_events(log: MemoryDelivery) -> None:
    """Otherwise each would be redacted and logged again, without end."""
    logger = logging.getLogger("kitchen")
    logger.setLevel(logging.INFO)

    def redact(entry: dict[str, Any]) -> dict[str, Any]:
        logger.info("redacted")
        return entry

    forward = CoagentLogHandler(CoagentCallbackHandler(delivery=log, redact=redact))
    logger.addHandler(forward)
    logger.info("hello")
    logger.removeHandler(forward)

    assert [e.get("output_data") for e in log.entries] == [None, {"message": "hello"}]


class Waiter(MemoryDelivery):
    """A delivery of the application's own, which logs."""

    def append(self, lines: bytes, count: int = 1) -> None:
        """Say so, and keep the entries."""
        logging.getLogger("kitchen").info("served")
        super().append(lines, count)


def test_log_records_of_the_delivery_of_an_application_are_no_events() -> None:
    """Otherwise each would be delivered and logged again, without end."""
    logger = logging.getLogger("kitchen")
    logger.setLevel(logging.INFO)
    log = Waiter()
    forward = CoagentLogHandler(CoagentCallbackHandler(delivery=log))
    logger.addHandler(forward)
    logger.info("hello")
    logger.removeHandler(forward)

    assert [e.get("output_data") for e in log.entries] == [None, {"message": "hello"}]


def test_log_record_of_the_delivery_of_an_application_begins_no_prompt_of_its_own() -> None:
    """It comes while the chain's first run is about to get its prompt, and belongs to that."""
    logger = logging.getLogger("kitchen")
    logger.setLevel(logging.INFO)
    log = Waiter()
    handler = CoagentCallbackHandler(delivery=log)
    forward = CoagentLogHandler(handler)
    logger.addHandler(forward)
    (RunnableLambda(lambda x: x) | chat("soup")).invoke("hello", {"callbacks": [handler]})
    logger.removeHandler(forward)

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
