"""The handler on every chain, by context manager, variable or command."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda

from coagent_langchain import CoagentCallbackHandler, CoagentClient, CoagentLogHandler, server, tracing
from coagent_langchain.capture.tracing import enable
from coagent_langchain.errors import ConfigurationError

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
