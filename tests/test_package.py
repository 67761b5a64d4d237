"""The wheel: its files, and how it works in a clean environment, without extras and with each."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from coagent_langchain import CoagentClient
from coagent_langchain.server import launch
from tests.programs import STRICT, new_environment

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "coagent_langchain"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the working tree with the installed build tools."""
    folder = tmp_path_factory.mktemp("wheel")
    code = f"from hatchling.build import build_wheel; build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    """It has modules, templates, styles, scripts and the typing marker, and nothing else."""
    wanted = {
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert found == wanted
    assert {"coagent_langchain/py.typed", "coagent_langchain/server/templates/session.html"} <= found


def test_wheel_has_the_example_as_a_file(wheel: Path) -> None:
    """The demo's program is a copy of the example, not a link to it."""
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.read("coagent_langchain/recipe_agent.py").decode()

    assert packed == (ROOT / "examples" / "recipe_agent.py").read_text(encoding="utf-8")


class Environment:
    """A virtual environment with only the wheel, its extra and their dependencies."""

    def __init__(self, folder: Path, wheel: Path, extra: str) -> None:
        self.bin = folder / "bin"
        self._variables = {
            name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")
        } | {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "OLLAMA_HOST": "http://127.0.0.1:9"}
        wanted = f"{wheel}[{extra}]" if extra else str(wheel)
        new_environment(folder, "--constraint", str(ROOT / ".ci" / "constraints.txt"), wanted)

    def run(self, command: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment, outside of the repository."""
        return subprocess.run(
            [str(self.bin / command), *arguments], cwd=self.bin, env=self._variables | variables,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    """The wheel without extras."""
    return Environment(tmp_path_factory.mktemp("bare"), wheel, "")


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """The address of a server outside the environment, with a session."""
    with launch() as server, CoagentClient(server.base_url) as client:
        client.log_session_start("elsewhere", "Hello")
        yield server.base_url


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_core_works_without_extras(bare: Environment, base_url: str) -> None:
    """A chain is logged to a server outside, and read back."""
    code = """
from coagent_langchain import CoagentCallbackHandler, CoagentClient
from langchain_core.language_models import FakeListChatModel
handler = CoagentCallbackHandler()
with handler.session("Ask", session_id="bare"):
    FakeListChatModel(responses=["42"]).invoke("Why?", {"callbacks": [handler]})
assert handler.flush(10)
print([e.event_type.value for e in CoagentClient().get_logs("bare")])
"""
    result = bare.run("python", *STRICT, "-c", code, COAGENT_BASE_URL=base_url)

    assert (result.stdout, result.stderr) == (
        "['session_start', 'user_input', 'llm_call', 'llm_response', 'session_end']\n",
        "",
    )


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_command_line_works_without_extras(bare: Environment, base_url: str) -> None:
    """Commands that only read need no extra."""
    commands = ("runs --ids", "show elsewhere", "export elsewhere", "completion bash", "spool status")
    results = [bare.run("coagent-langchain", *words.split(), COAGENT_BASE_URL=base_url) for words in commands]

    assert [(r.returncode, r.stderr) for r in results] == [(0, "")] * 5
    assert "elsewhere" in results[0].stdout


@pytest.mark.heavy
@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", ["serve", "demo"])
def test_what_needs_an_extra_says_which(bare: Environment, command: str) -> None:
    """The error is one line to copy, without a traceback."""
    result = bare.run("coagent-langchain", command)

    assert result.returncode == 1
    assert (len(result.stderr.splitlines()), "Traceback" in result.stderr) == (1, False)
    assert "pip install 'coagent-langchain[server" in result.stderr


PROBES = {
    "server": """
import urllib.request
from coagent_langchain.server import launch
with launch() as server, urllib.request.urlopen(server.url) as page:
    assert b"<title>" in page.read()
""",
    "ollama": """
from langchain_ollama import ChatOllama
from coagent_langchain.testing import OllamaStandIn
with OllamaStandIn(["42"]) as ollama:
    assert ChatOllama(model="llama3.2", base_url=ollama.url).invoke("Why?").content == "42"
""",
    "clickhouse": """
import clickhouse_connect
from coagent_langchain.server.store import clickhouse
""",
    "cost": """
from coagent_langchain.values.cost import cost
from coagent_langchain.values.tokens import Usage
assert cost("openai", "gpt-4o", Usage(1, 1))
""",
}


@pytest.mark.heavy
@pytest.mark.timeout(300)
@pytest.mark.parametrize("extra", PROBES)
def test_each_extra_brings_what_it_is_for(tmp_path: Path, wheel: Path, extra: str) -> None:
    """Each extra is installed in an environment of its own."""
    result = Environment(tmp_path / extra, wheel, extra).run("python", *STRICT, "-c", PROBES[extra])

    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_demo_works_from_the_wheel_with_all_extras(tmp_path: Path, wheel: Path) -> None:
    """Templates, styles and the example are in the wheel."""
    result = Environment(tmp_path / "all", wheel, "all").run("coagent-langchain", "demo", "--port", "0", "--no-serve")

    assert (result.returncode, result.stderr) == (0, "")
    assert "session_end" in result.stdout
