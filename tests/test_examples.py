"""Each example runs with its one documented command, and its events are on the server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from coagent_langchain import CoagentClient
from coagent_langchain.cli.demo_model import answer
from coagent_langchain.server import launch
from coagent_langchain.testing import OllamaStandIn
from tests.programs import STRICT

ROOT = Path(__file__).parent.parent
Sequence = list[tuple[str, int, int]]


@pytest.fixture(scope="module")
def client() -> Iterator[CoagentClient]:
    """A client of the server that the examples log to."""
    with launch() as server, CoagentClient(server.base_url) as client:
        yield client


def run(name: str, client: CoagentClient, **environ: str) -> str:
    """Run `python examples/NAME`; returns its output."""
    # asyncio's debug mode would tell on stderr how slow the machine is
    environment = {**os.environ, "PYTHONASYNCIODEBUG": "", "COAGENT_BASE_URL": client.base_url, **environ}
    command = [sys.executable, *STRICT, f"examples/{name}.py"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def sequence(client: CoagentClient, session_id: str) -> Sequence:
    """Type, prompt and turn of each event of a session."""
    return [(str(e.event_type), e.prompt_number, e.turn_number) for e in client.get_logs(session_id)]


def sessions(output: str) -> list[str]:
    """The session ids that an example prints."""
    return re.findall(r"(?:coagent-langchain show|session) (\S+)", output)


CALL: Sequence = [("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1)]


def framed(*inner: tuple[str, int, int], last: int = 1) -> Sequence:
    """A session's start and end, with events between them."""
    return [("session_start", 1, 0), *inner, ("session_end", last, 0)]


def test_recipe_agent(client: CoagentClient) -> None:
    """The reference's worked example, with a tool."""
    with OllamaStandIn(answer) as ollama:
        output = run("recipe_agent", client, OLLAMA_HOST=ollama.url)

    assert sequence(client, sessions(output)[-1]) == framed(
        *CALL, ("llm_call", 1, 2), ("llm_response", 1, 2), ("tool_call", 1, 2), ("tool_response", 1, 2),
        ("user_input", 2, 0), ("llm_call", 2, 1), ("llm_response", 2, 1), last=2,
    )  # fmt: skip


def test_recipe_agent_without_ollama_says_how_to_go_on(client: CoagentClient) -> None:
    """It prints one line instead of a traceback."""
    environment = {**os.environ, "COAGENT_BASE_URL": client.base_url, "OLLAMA_HOST": "http://127.0.0.1:9"}
    command = [sys.executable, "examples/recipe_agent.py"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert (result.returncode, re.sub(r"\[Errno \d+\] ", "", result.stderr)) == (
        1,
        "Needs an Ollama with llama3.2: Connection refused. 'coagent-langchain demo' has a stand-in for it.\n",
    )


def test_langgraph_agent(client: CoagentClient) -> None:
    """Three turns, two tools, and the human in between, all in one prompt."""
    output = run("langgraph_agent", client)
    events = client.get_logs(sessions(output)[0])
    kinds = [str(e.event_type) for e in events if not str(e.event_type).startswith("component")]
    turns = [e.turn_number for e in events if e.event_type == "llm_call"]

    assert "Asked: Send 100.0 to Ada?\nAgent: Done: Ada has the money." in output
    assert (turns, {e.prompt_number for e in events}) == ([1, 2, 3], {1})
    assert [e["meta"]["status"] for e in events if e.event_type == "human_oversight"] == ["interrupted", "resumed"]
    assert kinds.count("tool_call") == kinds.count("tool_response")
    assert "error" not in kinds


def test_streaming(client: CoagentClient) -> None:
    """One response is complete and has its usage; the abandoned one has what had arrived."""
    session_id = sessions(run("streaming", client))[0]
    whole, left = [e.raw for e in client.get_logs(session_id) if e.event_type == "llm_response"]

    assert sequence(client, session_id) == framed(*CALL, ("user_input", 2, 0), ("llm_call", 2, 1),
                                                  ("llm_response", 2, 1), last=2)  # fmt: skip
    assert (whole["llm_response"]["output_tokens"], "time_to_first_token_ms" in whole["meta"]) == (11, True)
    assert (left["meta"]["outcome"], left["llm_response"]["response"].split()) == (
        "abandoned",
        ["Once", "upon", "a", "time"],
    )


def test_rag(client: CoagentClient) -> None:
    """The retriever's documents come before the model's call."""
    session_id = sessions(run("rag", client))[0]
    found = next(e.raw for e in client.get_logs(session_id) if e.event_type == "tool_response")

    assert [kind for kind, _, _ in sequence(client, session_id)] == [
        "session_start", "user_input", "tool_call", "tool_response", "llm_call", "llm_response", "session_end",
    ]  # fmt: skip
    assert (found["meta"]["kind"], found["tool_response"]["result"]["count"]) == ("retriever", 2)


def test_service(client: CoagentClient) -> None:
    """Each conversation is a session, and its questions are its prompts."""
    ada, bob = sessions(run("service", client))
    second: Sequence = [("user_input", 2, 0), ("llm_call", 2, 1), ("llm_response", 2, 1)]

    assert sorted(sequence(client, ada)) == sorted(framed(*CALL, *second, last=2))
    assert sequence(client, bob) == framed(*CALL)


def test_worker_fork(client: CoagentClient) -> None:
    """Parent and children each have a whole session and report that they are done, even into a pipe."""
    output = run("worker_fork", client, PYTHONUNBUFFERED="")
    first = sessions(output)[0]

    assert output.splitlines()[:-1] == ["Job 1 is done.", "Job 2 is done.", "Job 3 is done."]
    assert [sequence(client, first[:-1] + n) for n in "123"] == [framed(*CALL)] * 3


def test_plain_functions(client: CoagentClient) -> None:
    """The context manager and the decorator work without a chain."""
    well, failed = sessions(run("plain_functions", client))

    assert sequence(client, well) == framed(*CALL)
    assert sequence(client, failed) == framed(("error", 1, 0))
    assert client.session(failed).status == "failed"


def test_python_logging(client: CoagentClient) -> None:
    """The records come before the model's call, with their logger."""
    session_id = sessions(run("python_logging", client))[0]
    said = [(e["output_data"]["message"], e["meta"]["logger"]) for e in client.get_logs(session_id)
            if e.event_type in ("info", "warning")]  # fmt: skip

    assert said == [("checking 22 characters", "kitchen"), ("raw chicken was mentioned", "kitchen")]


def test_redaction(client: CoagentClient) -> None:
    """No mail address is on the server, but the application sees its own."""
    output = run("redaction", client)
    logged = str([e.raw for e in client.get_logs(sessions(output)[0])])

    assert "I wrote to ada@example.org." in output
    assert ("ada@example.org" in logged, logged.count("<mail>") >= 3) == (False, True)


def test_every_example_is_in_the_table() -> None:
    """The examples' README.md lists each file."""
    listed = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    files = {path.stem for path in (ROOT / "examples").glob("*.py")} - {"scripted_model"}

    assert {name for name in files if f"`python examples/{name}.py`" in listed} == files
