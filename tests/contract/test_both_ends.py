"""The contract also holds at the old end of the supported range; the other tests use the newest versions."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.programs import new_environment

ROOT = Path(__file__).parents[2]
OLDEST = ["langgraph==1.0.0", "langgraph-prebuilt==1.0.0", "langchain==1.0.0"]
TOOLS = ["pytest>=8.3", "pytest-timeout", "hypothesis>=6.100"]


def floor_of_core() -> str:
    """The oldest langchain-core that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (core,) = [each for each in project["dependencies"] if each.startswith("langchain-core")]
    found = re.search(r">=([\d.]+)", core)
    assert found is not None
    return f"langchain-core=={found.group(1)}"


@pytest.fixture(scope="module")  # before the test's environment: pip may need the developer's proxy
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python interpreter with the oldest versions, installed by pip."""
    folder = tmp_path_factory.mktemp("oldest")
    new_environment(folder, f"{ROOT}[server]", floor_of_core(), *OLDEST, *TOOLS)
    return folder / "bin" / "python"


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_contract_holds_with_the_oldest_versions(oldest: Path) -> None:
    """All contract tests pass with the oldest langchain-core, langgraph and langchain."""
    names = [p for p in sorted(Path(__file__).parent.glob("test_*.py")) if p.name != Path(__file__).name]
    command = [oldest, "-m", "pytest", "-p", "no:cacheprovider", *names]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout[-5_000:] + result.stderr[-2_000:]
