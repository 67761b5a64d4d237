"""Every Python example of CoAgent's event logging reference runs with only the import changed."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coagent_langchain import CoagentClient
from coagent_langchain.server import launch
from coagent_langchain.server.running import Running
from coagent_langchain.testing import OllamaStandIn

TEXT = (Path(__file__).parent / "reference_examples.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^## (.+?)\n\n```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """The server that the examples log to, on its own port."""
    with launch() as running:
        yield running


def run(heading: str, server: Running, names: dict[str, Any]) -> dict[str, Any]:
    """Execute the example under `heading` with the given names; returns them with its own."""
    code = EXAMPLES[heading].replace("from coa_dev_coagent import", "from coagent_langchain import")
    exec(compile(code.replace("http://localhost:3000", server.url), heading, "exec"), names)
    return names


def events(server: Running, session_id: str) -> list[tuple[str, int, int]]:
    """Type, prompt and turn of the session's events."""
    with CoagentClient(server.base_url) as client:
        return [(str(e.event_type), e.prompt_number, e.turn_number) for e in client.get_logs(session_id)]


def failing(data: object) -> None:
    """The reference's agent function, failing."""
    raise ValueError("no data")


def test_single_events(server: Running) -> None:
    """Session start and end, model call and response, and error work as in the examples, in one session."""
    usage = SimpleNamespace(input_tokens=10, output_tokens=20, total_tokens=30)
    response = SimpleNamespace(usage=usage, content="Insights")
    names: dict[str, Any] = {
        "llm": SimpleNamespace(generate=lambda prompt: response), "llm_response": response, "prompt": "Summarize",
        "agent": SimpleNamespace(process=failing), "data": None, "traceback": traceback, "time": time,
    }  # fmt: skip
    run("1. SessionStart - Initialize Agent Run Tracking", server, names)
    run("3. LlmCall - Track LLM Request Details", server, names)
    run("4. LlmResponse - Capture LLM Output and Token Usage", server, names)
    with pytest.raises(ValueError, match="no data"):
        run("7. Error - Record Agent Failures and Exceptions", server, names)
    run("2. SessionEnd - Complete Agent Run Tracking", server, names)

    assert events(server, names["session_id"]) == [
        ("session_start", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1), ("error", 1, 2), ("session_end", 1, 0),
    ]  # fmt: skip


def test_complete_recipe_example(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole example runs through LangChain's real Ollama client."""
    with OllamaStandIn(["Three recipes.", "With calories.", "Without meat."], models=["llama2"]) as ollama:
        monkeypatch.setenv("OLLAMA_HOST", ollama.url)
        names = run("Complete Integration Example", server, {})

    assert events(server, names["session_id"]) == [
        ("session_start", 1, 0),
        ("llm_call", 1, 1), ("llm_response", 1, 1), ("llm_call", 1, 2), ("llm_response", 1, 2),
        ("llm_call", 2, 1), ("llm_response", 2, 1),
        ("session_end", 2, 0),
    ]  # fmt: skip


def test_complete_recipe_example_when_the_model_fails(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's own error handling is logged."""
    with OllamaStandIn([], models=["another"]) as ollama:
        monkeypatch.setenv("OLLAMA_HOST", ollama.url)
        names = run("Complete Integration Example", server, {})

    assert events(server, names["session_id"]) == [
        ("session_start", 1, 0), ("llm_call", 1, 1), ("error", 1, 1), ("session_end", 1, 0),
    ]  # fmt: skip


def test_metadata_example(server: Running) -> None:
    """The example's meta is read back as it was logged."""
    meta = run("Metadata Best Practices", server, {})["meta"]
    with CoagentClient(server.base_url) as client:
        client.log_session_start("with-meta", "Analyze", meta=meta)
        logged = client.get_logs("with-meta")[0].meta

    assert logged == meta


@pytest.fixture
def names(server: Running) -> Iterator[dict[str, Any]]:
    """The names that the pattern examples assume."""
    import uuid

    with CoagentClient(server.base_url) as client:
        yield {"client": client, "uuid": uuid, "time": time, "process_documents": lambda session_id: None}


def test_decorator_pattern(server: Running, names: dict[str, Any]) -> None:
    """Each call of a decorated function is a session."""
    seen: list[str] = []
    run("Decorator Pattern", server, names)
    names["log_agent_run"](lambda data, session_id: seen.append(session_id))("data")
    names["analyze_data"]("data")

    assert events(server, seen[0]) == [("session_start", 1, 0), ("session_end", 1, 0)]


def test_decorator_pattern_without_a_server(names: dict[str, Any], server: Running) -> None:
    """The agent's function runs, whatever happens to its events."""
    with CoagentClient("http://127.0.0.1:9/api/v1", retry_backoff_factor=0.01) as client:
        names["client"] = client
        run("Decorator Pattern", server, names)
        result = names["log_agent_run"](lambda data, session_id: data * 2)(21)

    assert result == 42


def test_context_manager_pattern(server: Running, names: dict[str, Any]) -> None:
    """The block is a session, with an error if the block raises one."""
    run("Context Manager Pattern", server, names)
    with pytest.raises(ValueError, match="broken"), names["logged_session"](names["client"], "Break") as broken:
        raise ValueError("broken")

    assert events(server, names["session_id"]) == [("session_start", 1, 0), ("session_end", 1, 0)]
    assert events(server, broken) == [("session_start", 1, 0), ("error", 1, 0), ("session_end", 1, 0)]


def test_no_example_is_left_out() -> None:
    """Each example of the reference is in a test above."""
    own = Path(__file__).read_text(encoding="utf-8")

    assert [heading for heading in EXAMPLES if f'"{heading}"' not in own] == []
