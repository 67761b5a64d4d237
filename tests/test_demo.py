"""`coagent-langchain demo`, with Ollama and without, as a process of its own."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from coagent_langchain import CoagentClient
from coagent_langchain.cli.demo_model import answer
from coagent_langchain.cli.text import own_command
from coagent_langchain.server import launch
from coagent_langchain.testing import Failure, OllamaRequest, OllamaStandIn, ToolUse
from coagent_langchain.testing.replies import Reply

EVENTS = [
    ["1", "0", "session_start", "user"],
    ["1", "0", "user_input", "user"],
    ["1", "1", "llm_call", "recipe_agent"],
    ["1", "1", "llm_response", "llama3.2"],
    ["1", "2", "llm_call", "recipe_agent"],
    ["1", "2", "llm_response", "llama3.2"],
    ["1", "2", "tool_call", "calories"],
    ["1", "2", "tool_response", "calories"],
    ["2", "0", "user_input", "user"],
    ["2", "1", "llm_call", "recipe_agent"],
    ["2", "1", "llm_response", "llama3.2"],
    ["2", "0", "session_end"],
]
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment without Ollama, with a data folder of its own."""
    return {**os.environ, "XDG_DATA_HOME": str(tmp_path), "OLLAMA_HOST": NOBODY, "COLUMNS": "120"}


def demo(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end, without a terminal."""
    command = [sys.executable, "-m", "coagent_langchain", "demo", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def rows(output: str) -> list[list[str]]:
    """The printed table: prompt, turn, type and who."""
    cells = [line.split() for line in output.splitlines() if re.match(r" +\d+ +\d+  [a-z]", line)]
    return [[word for word in row[:4] if not word.isdigit() or row.index(word) < 2] for row in cells]


def test_demo_without_ollama_names_its_stand_in(environment: dict[str, str]) -> None:
    """All events of the worked example, in order, read back from the server; the stand-in is named."""
    result = demo(environment, "--port", "0", "--no-serve")

    assert (result.returncode, result.stderr) == (0, "")
    assert rows(result.stdout) == EVENTS
    assert f"stand-in for Ollama, no model behind it (no Ollama answers at {NOBODY})" in result.stdout


def test_demo_that_ends_says_how_to_see_its_session(environment: dict[str, str]) -> None:
    """No address of a page that ends with it, but the command that serves what was kept."""
    last = demo(environment, "--port", "0").stdout.splitlines()[-1]

    assert re.sub("agent-[0-9a-f]{8}", "agent-…", last) == (
        f"To see session recipe-agent-…: {sys.executable} -m coagent_langchain serve"
    )


@pytest.mark.parametrize(("started", "path", "told"), [
    ("/{}/coagent-langchain", "/bin", "/{}/coagent-langchain"),
    ("/{}/coagent-langchain", "/{}", "coagent-langchain"),
    ("/{}/__main__.py", "/{}", f"{sys.executable} -m coagent_langchain"),
])  # fmt: skip
def test_command_is_told_as_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: str, path: str, told: str
) -> None:
    """By its name alone only where that is on the PATH: `make demo` starts one that is not."""
    (tmp_path / "coagent-langchain").touch(mode=0o755)
    folder = str(tmp_path)[1:]
    monkeypatch.setattr(sys, "argv", [started.format(folder)])
    monkeypatch.setenv("PATH", path.format(folder))

    assert own_command() == told.format(folder)


def test_demo_uses_the_ollama_that_answers(environment: dict[str, str]) -> None:
    """A server at OLLAMA_HOST that has the model is taken, and named."""
    with OllamaStandIn(answer, models=["llama3.2:latest"]) as ollama:
        result = demo(environment | {"OLLAMA_HOST": ollama.url}, "--port", "0", "--no-serve")

    assert (result.returncode, rows(result.stdout), len(ollama.requests)) == (0, EVENTS, 3)
    assert f"Ollama at {ollama.url}\n" in result.stdout


def test_demo_tells_how_to_get_the_model(environment: dict[str, str]) -> None:
    """An Ollama without the model is not used; the output says what to do."""
    with OllamaStandIn([], models=["qwen3:8b"]) as ollama:
        result = demo(environment | {"OLLAMA_HOST": ollama.url}, "--port", "0", "--no-serve")

    assert (result.returncode, rows(result.stdout)) == (0, EVENTS)
    assert "has no llama3.2; get it with: ollama pull llama3.2" in result.stdout


@pytest.mark.parametrize("address", ["localhost:abc", "http://[::1"])
def test_demo_tells_an_address_of_ollama_that_is_none(environment: dict[str, str], address: str) -> None:
    """Its client raises where it is imported; the command names the variable."""
    result = demo(environment | {"OLLAMA_HOST": address}, "--no-serve")

    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"coagent-langchain: OLLAMA_HOST must be an address, not {address!r}: ")


def test_demo_takes_another_port_when_its_own_is_taken(environment: dict[str, str]) -> None:
    """The message names both."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        script = f"from coagent_langchain import cli; cli.demo.PORT = {port}; cli.main(['demo', '--no-serve'])"
        command = [sys.executable, "-c", script]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert (result.returncode, rows(result.stdout)) == (0, EVENTS)
    assert re.search(rf"Port {port} is taken: serving at http://127\.0\.0\.1:\d+ instead\.", result.stdout)


def test_demo_asks_no_proxy(environment: dict[str, str]) -> None:
    """All of it happens on this machine."""
    result = demo(environment | {"HTTP_PROXY": NOBODY, "NO_PROXY": "example.org"}, "--port", "0", "--no-serve")

    assert (result.returncode, rows(result.stdout)) == (0, EVENTS)


def test_demo_fails_when_the_port_that_was_asked_for_is_taken(environment: dict[str, str]) -> None:
    """Who names a port wants that one."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        result = demo(environment, "--port", str(port), "--no-serve")

    assert (result.returncode, result.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in result.stderr


def test_demo_beside_a_server_that_has_the_store(environment: dict[str, str], tmp_path: Path) -> None:
    """The store of a server that runs already is left to it."""
    with launch(f"sqlite://{tmp_path}/coagent-langchain/coagent.db"):
        result = demo(environment, "--port", "0", "--no-serve")

    assert (result.returncode, rows(result.stdout)) == (0, EVENTS)
    assert "a store has one server at a time. This run goes into a temporary store" in result.stdout
    assert "--store" not in result.stdout
    assert "To see session" not in result.stdout


def test_demo_in_a_home_that_takes_no_store(environment: dict[str, str], tmp_path: Path) -> None:
    """It is told, and the run is shown all the same."""
    (tmp_path / "file").write_text("")
    result = demo(environment | {"XDG_DATA_HOME": f"{tmp_path}/file/data"}, "--port", "0", "--no-serve")

    assert (result.returncode, rows(result.stdout)) == (0, EVENTS)
    told = f"{tmp_path}/file/data cannot hold a store: Not a directory. This run goes into a temporary store."
    assert told in result.stdout


def test_demo_fails_when_an_event_is_missing(environment: dict[str, str]) -> None:
    """A model that fails leaves its prompt without a response: the demo says which, and why."""

    def dies(request: OllamaRequest) -> Reply:
        return Failure("out of memory") if "vegetarian" in request.prompt else answer(request)

    with OllamaStandIn(dies) as ollama:
        result = demo(environment | {"OLLAMA_HOST": ollama.url}, "--port", "0", "--no-serve")

    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "coagent-langchain: the model failed: out of memory (status code: 500); "
        "events are missing on the server: llm_response (prompt 2, turn 1)"
    )


def test_small_model_that_forgets_the_tool_still_shows_one(environment: dict[str, str]) -> None:
    """The agent looks the calories up itself."""

    def forgetful(request: OllamaRequest) -> Reply:
        reply = answer(request)
        return "I know them by heart." if isinstance(reply, ToolUse) else reply

    with OllamaStandIn(forgetful) as ollama:
        result = demo(environment | {"OLLAMA_HOST": ollama.url}, "--port", "0", "--no-serve")

    assert (result.returncode, rows(result.stdout)) == (0, EVENTS)


def test_demo_that_is_interrupted_leaves_a_cancelled_session(environment: dict[str, str], tmp_path: Path) -> None:
    """Ctrl-C in the middle of a model call: quiet, everything delivered, every call closed."""
    command = [sys.executable, "-m", "coagent_langchain", "demo", "--port", "0"]
    asked, interrupted = threading.Event(), threading.Event()

    def waits(request: OllamaRequest) -> Reply:
        asked.set()
        interrupted.wait(30)
        return answer(request)

    with OllamaStandIn(waits) as ollama:
        environment |= {"OLLAMA_HOST": ollama.url, "COAGENT_SPOOL_DIR": str(tmp_path / "spool")}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert asked.wait(30)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[1]
        interrupted.set()
    with (
        launch(f"sqlite://{tmp_path}/coagent-langchain/coagent.db") as server,
        CoagentClient(server.base_url) as client,
    ):
        session = client.session(client.get_runs()[0])

    assert (process.returncode, said, session.status) == (130, b"", "cancelled")
    assert [e.event_type for e in session] == [
        "session_start",
        "user_input",
        "llm_call",
        "llm_response",
        "session_end",
    ]


def test_demo_serves_until_interrupted_in_a_terminal(environment: dict[str, str]) -> None:
    """In a terminal the page stays there until Ctrl-C."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "coagent_langchain", "demo", "--port", "0"]
    process = subprocess.Popen(command, env=environment | {"NO_COLOR": "1"}, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    written = b""
    while b"Ctrl-C" not in written:
        written += os.read(master, 65536)
    page = re.search(r"page: (http://\S+)", written.decode())
    assert page is not None
    try:
        with urllib.request.urlopen(page[1]) as response:
            html = response.read().decode()
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=30)
        os.close(master)

    assert (code, "Generate three recipes using" in html) == (0, True)
