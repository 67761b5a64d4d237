"""`coagent-langchain demo`, with and without Ollama; in a separate process if its start or end matters."""

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
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from coagent_langchain import CoagentClient
from coagent_langchain.cli import main
from coagent_langchain.cli.demo import EXPECTED
from coagent_langchain.cli.demo_model import answer
from coagent_langchain.cli.text import own_command
from coagent_langchain.server import launch
from coagent_langchain.testing import Failure, OllamaRequest, OllamaStandIn, ToolUse
from coagent_langchain.testing.replies import Reply
from tests.cli.terminals import terminal
from tests.reading import ONE_CALL

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


class Ended(NamedTuple):
    """How a demo ended, and its output."""

    status: int
    stdout: str
    stderr: str


class Demo(Protocol):
    """Run the demo to its end in this process, with environment variables."""

    def __call__(self, *arguments: str, **environ: str) -> Ended: ...


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set up a separate data folder and no Ollama; restore `NO_PROXY`, which the demo itself sets."""
    variables = {
        "XDG_DATA_HOME": str(tmp_path),
        "OLLAMA_HOST": NOBODY,
        "COLUMNS": "120",
        "NO_PROXY": "",
        "no_proxy": "",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def ollama() -> Iterator[OllamaStandIn]:
    """A stand-in for an Ollama that has the model."""
    with OllamaStandIn(answer, models=["llama3.2:latest"]) as server:
        yield server


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Demo:
    """Return a function that runs the demo without a terminal, on a free port unless the arguments name one."""

    def run(*arguments: str, **environ: str) -> Ended:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return Ended(main(["demo", "--no-serve", *(arguments or ("--port", "0"))]), *capsys.readouterr())

    return run


def demo_process(*arguments: str, **environ: str) -> Ended:
    """Run the demo in a separate process, without a terminal."""
    command = [sys.executable, "-m", "coagent_langchain", "demo", *arguments]
    result = subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False
    )
    return Ended(result.returncode, result.stdout, result.stderr)


def rows(output: str) -> list[list[str]]:
    """The rows of the printed table: prompt, turn, type and issuer."""
    cells = [line.split() for line in output.splitlines() if re.match(r" +\d+ +\d+  [a-z]", line)]
    return [[word for word in row[:4] if not word[0].isdigit() or row.index(word) < 2] for row in cells]


def test_demo_without_ollama_names_its_stand_in() -> None:
    """All events of the worked example are read back from the server, in order; the stand-in is named.

    The page ends with the demo, so it prints the command that serves the stored session.
    """
    result = demo_process("--port", "0")

    assert (result.status, result.stderr) == (0, "")
    assert rows(result.stdout) == EVENTS
    assert re.findall(r"\d+→\d+", result.stdout) == ["13→86", "41→6", "57→85"]
    assert f"stand-in for Ollama, no model behind it (no Ollama found at {NOBODY})" in result.stdout
    assert re.sub("agent-[0-9a-f]{8}", "agent-…", result.stdout.splitlines()[-1]) == (
        f"To see session recipe-agent-…: {sys.executable} -m coagent_langchain serve"
    )


@pytest.mark.parametrize(("started", "path", "told"), [
    ("/{}/coagent-langchain", "/bin", "/{}/coagent-langchain"),
    ("/{}/coagent-langchain", "/{}", "coagent-langchain"),
    ("/{}/coagent-langchain", "/{}/other", "/{}/coagent-langchain"),
    ("/{}/__main__.py", "/{}", f"{sys.executable} -m coagent_langchain"),
])  # fmt: skip
def test_command_is_told_as_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: str, path: str, told: str
) -> None:
    """It is given by name only if that is on the PATH: `make demo` starts one that is not, beside an older one."""
    (tmp_path / "other").mkdir()
    for script in (tmp_path / "coagent-langchain", tmp_path / "other" / "coagent-langchain"):
        script.touch(mode=0o755)
    folder = str(tmp_path)[1:]
    monkeypatch.setattr(sys, "argv", [started.format(folder)])
    monkeypatch.setenv("PATH", path.format(folder))

    assert own_command() == told.format(folder)


def test_demo_names_its_store_if_serve_uses_another_one(demo: Demo, tmp_path: Path) -> None:
    """The demo's session is always in the user's own store."""
    result = demo(COAGENT_STORE=f"sqlite://{tmp_path}/other.db")

    assert result.stdout.endswith(f"{own_command()} serve --store sqlite://{tmp_path}/coagent-langchain/coagent.db\n")


def test_demo_uses_the_ollama_that_answers(demo: Demo, ollama: OllamaStandIn) -> None:
    """A server at OLLAMA_HOST that has the model is used and named."""
    result = demo(OLLAMA_HOST=ollama.url)

    assert (result.status, rows(result.stdout), len(ollama.requests)) == (0, EVENTS, 3)
    assert f"Ollama at {ollama.url}\n" in result.stdout


def test_demo_tells_how_to_get_the_model(demo: Demo) -> None:
    """An Ollama without the model is not used; the output says what to do."""
    with OllamaStandIn([], models=["qwen3:8b"]) as other:
        result = demo(OLLAMA_HOST=other.url)

    assert (result.status, rows(result.stdout)) == (0, EVENTS)
    assert "has no llama3.2; get it with: ollama pull llama3.2" in result.stdout


@pytest.mark.parametrize("address", ["localhost:abc", "http://[::1"])
def test_demo_tells_an_address_of_ollama_that_is_none(address: str) -> None:
    """Ollama's client raises on import; the command names the variable."""
    result = demo_process("--no-serve", OLLAMA_HOST=address)

    assert (result.status, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"coagent-langchain: OLLAMA_HOST must be an address, not {address!r}: ")


def test_demo_takes_another_port_when_its_own_is_taken(ollama: OllamaStandIn) -> None:
    """The message names both ports."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        script = f"from coagent_langchain import cli; cli.demo.PORT = {port}; cli.main(['demo', '--no-serve'])"
        command = [sys.executable, "-c", script]
        environment = os.environ | {"OLLAMA_HOST": ollama.url}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert (result.returncode, rows(result.stdout)) == (0, EVENTS)
    assert re.search(rf"Port {port} is taken: serving at http://127\.0\.0\.1:\d+ instead\.", result.stdout)


def test_demo_asks_no_proxy(demo: Demo, ollama: OllamaStandIn) -> None:
    """All of the demo runs on this machine."""
    result = demo(OLLAMA_HOST=ollama.url, HTTP_PROXY=NOBODY, NO_PROXY="example.org")

    assert (result.status, rows(result.stdout)) == (0, EVENTS)


def test_demo_fails_when_the_port_that_was_asked_for_is_taken(demo: Demo) -> None:
    """A port that the user names is not replaced by another."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        result = demo("--port", str(port))

    assert (result.status, result.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in result.stderr


def test_demo_beside_a_server_that_has_the_store(demo: Demo, ollama: OllamaStandIn, tmp_path: Path) -> None:
    """A running server keeps its store to itself: the demo uses a temporary one."""
    with launch(f"sqlite://{tmp_path}/coagent-langchain/coagent.db"):
        result = demo(OLLAMA_HOST=ollama.url)

    assert (result.status, rows(result.stdout)) == (0, EVENTS)
    assert "a store has one server at a time. This run goes into a temporary store" in result.stdout
    assert "--store" not in result.stdout
    assert "To see session" not in result.stdout


def test_demo_in_a_home_that_takes_no_store(demo: Demo, ollama: OllamaStandIn, tmp_path: Path) -> None:
    """The demo says so, and still shows the run."""
    (tmp_path / "file").write_text("")
    result = demo(OLLAMA_HOST=ollama.url, XDG_DATA_HOME=f"{tmp_path}/file/data")

    assert (result.status, rows(result.stdout)) == (0, EVENTS)
    told = f"{tmp_path}/file/data cannot hold a store: Not a directory. This run goes into a temporary store."
    assert told in result.stdout


def test_demo_fails_with_the_model(demo: Demo) -> None:
    """The demo shows what there was until then, and says why it ended, in one line."""

    def dies(request: OllamaRequest) -> Reply:
        return Failure("out of memory:\n8 GB needed") if "vegetarian" in request.prompt else answer(request)

    with OllamaStandIn(dies) as failing:
        result = demo(OLLAMA_HOST=failing.url)

    assert (result.status, rows(result.stdout)) == (1, [*EVENTS[:10], ["2", "1", "error", "llama3.2"], EVENTS[-1]])
    assert result.stderr.splitlines() == [
        "coagent-langchain: the model failed: out of memory: 8 GB needed (status code: 500)"
    ]


def test_demo_fails_when_an_event_is_missing(
    demo: Demo, ollama: OllamaStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It compares what the server received with what the agent does, and names what is not there."""
    monkeypatch.setitem(EXPECTED, ("tool_response", 2, 1), 1)

    result = demo(OLLAMA_HOST=ollama.url)

    assert (result.status, rows(result.stdout)) == (1, EVENTS)
    assert result.stderr.splitlines() == [
        "coagent-langchain: events are missing on the server: tool_response (prompt 2, turn 1)"
    ]


def test_small_model_that_forgets_the_tool_still_shows_one(demo: Demo) -> None:
    """The agent calls the tool itself."""

    def forgetful(request: OllamaRequest) -> Reply:
        reply = answer(request)
        return "I know them by heart." if isinstance(reply, ToolUse) else reply

    with OllamaStandIn(forgetful) as small:
        result = demo(OLLAMA_HOST=small.url)

    assert (result.status, rows(result.stdout)) == (0, EVENTS)


def test_small_model_that_calls_the_tool_with_other_arguments_is_told_so(demo: Demo) -> None:
    """Small models often pass a string instead of a list. The demo continues, and shows an error and its recovery."""

    def careless(request: OllamaRequest) -> Reply:
        reply = answer(request)
        return ToolUse("calories", {"ingredients": "chicken"}) if isinstance(reply, ToolUse) else reply

    with OllamaStandIn(careless) as small:
        result = demo(OLLAMA_HOST=small.url)

    handled = [["1", "2", "error"], ["1", "2", "recovery"]]
    assert (result.status, rows(result.stdout)) == (0, [*EVENTS[:7], *handled, *EVENTS[7:]])


def test_demo_that_is_interrupted_leaves_a_cancelled_session(tmp_path: Path) -> None:
    """On Ctrl-C during a model call, there is no output, everything is delivered, and every call is closed."""
    command = [sys.executable, "-m", "coagent_langchain", "demo", "--port", "0"]
    asked, interrupted = threading.Event(), threading.Event()

    def waits(request: OllamaRequest) -> Reply:
        asked.set()
        interrupted.wait(30)
        return answer(request)

    with OllamaStandIn(waits) as slow:
        environment = os.environ | {"OLLAMA_HOST": slow.url}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            assert asked.wait(60)  # on a busy machine too
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=60)[1]
        interrupted.set()
    with (
        launch(f"sqlite://{tmp_path}/coagent-langchain/coagent.db") as server,
        CoagentClient(server.base_url) as client,
    ):
        session = client.session(client.get_runs()[0])

    assert (process.returncode, said, session.status) == (130, b"", "cancelled")
    assert [e.event_type for e in session] == [*ONE_CALL, "session_end"]


def test_demo_serves_until_interrupted_in_a_terminal(ollama: OllamaStandIn) -> None:
    """In a terminal, the page is served until Ctrl-C."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "coagent_langchain", "demo", "--port", "0"]
    environment = os.environ | {"OLLAMA_HOST": ollama.url, "NO_COLOR": "1"}
    written = b""
    with subprocess.Popen(command, env=environment, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        try:
            while b"Ctrl-C" not in written:
                written += os.read(master, 65536)
            page = re.search(r"page: (http://\S+)", written.decode())
            assert page is not None
            with urllib.request.urlopen(page[1]) as response:
                html = response.read().decode()
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(timeout=60)
            os.close(master)

    assert (code, "Generate three recipes using" in html) == (0, True)


def test_demo_that_is_not_to_serve_ends_in_a_terminal_too(ollama: OllamaStandIn) -> None:
    """With `--no-serve` it says how to see the session later."""
    assert "To see session" in terminal("", "demo", "--port", "0", "--no-serve", OLLAMA_HOST=ollama.url)
