"""Completion in bash and fish, by the shells themselves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from coagent_langchain import CoagentClient
from tests.cli.samples import Run


def on_the_path(folder: Path, base_url: str) -> dict[str, str]:
    """An environment with `coagent-langchain` as a command."""
    (folder / "coagent-langchain").write_text(f'#!/bin/sh\nexec {sys.executable} -m coagent_langchain "$@"\n')
    (folder / "coagent-langchain").chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "COAGENT_BASE_URL": base_url}


def complete(base_url: str, folder: Path, words: str, begun: str = "") -> list[str]:
    """What bash's completion offers after `words` for the partial word `begun`, split as bash splits it."""
    broken = re.split("([:@])", begun)
    script = f"""
        eval "$(coagent-langchain completion bash)"
        COMP_LINE="{words} {begun}" COMP_POINT={len(words) + 1 + len(begun)}
        COMP_WORDS=({words} {" ".join(broken) or '""'}) COMP_CWORD={len(words.split()) + len(broken) - 1}
        _coagent_langchain
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environment = on_the_path(folder, base_url)
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert result.stderr == ""
    return result.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_in_bash(base_url: str, tmp_path: Path) -> None:
    """It offers commands, a command's options and fixed words, and session ids."""
    commands = ["demo", "serve", "prune", "delete", "run", "runs", "show", "export", "spool", "completion"]

    assert complete(base_url, tmp_path, "coagent-langchain") == commands
    assert complete(base_url, tmp_path, "coagent-langchain runs") == [
        "--base-url", "--help", "--ids", "--json", "--limit",
    ]  # fmt: skip
    assert complete(base_url, tmp_path, "coagent-langchain spool") == [
        "--help", "discard", "flush", "rejected", "status",
    ]  # fmt: skip
    assert [
        {"trip", "other"} <= set(complete(base_url, tmp_path, f"coagent-langchain {command}"))
        for command in ("show", "export", "delete", "runs")
    ] == [True, True, True, False]
    assert complete(base_url, tmp_path, "coagent-langchain show", "--f") == ["--follow"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(("begun", "offered"), [
    ("us", ["user:42", "user:43"]), ("user:4", ["42", "43"]), ("ada@ex", ["example.org"]), ("us:4", []),
])  # fmt: skip
def test_completion_in_bash_goes_on_inside_an_id(
    begun: str, offered: list[str], own: CoagentClient, tmp_path: Path
) -> None:
    """Bash treats the part after the last colon or at sign as the word, and replaces only that."""
    for session_id in ("user:42", "user:43", "ada@example.org"):
        own.log_session_start(session_id, "Hello")
    words = complete(own.base_url, tmp_path, "coagent-langchain show", begun)

    assert sorted(words) == offered


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_runs_nothing_that_a_log_says(own: CoagentClient, tmp_path: Path) -> None:
    """A session's id is untrusted text, and bash would expand what it completes."""
    own.log_session_start(f"$(touch {tmp_path}/harm)", "Hello")
    own.log_session_start("harmless", "Hello")
    words = complete(own.base_url, tmp_path, "coagent-langchain show")

    assert (words, (tmp_path / "harm").exists()) == (["harmless"], False)


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_completion_in_fish(base_url: str, tmp_path: Path) -> None:
    """Fish gets the same completions."""
    environment = on_the_path(tmp_path, base_url)
    script = "coagent-langchain completion fish | source; complete -C 'coagent-langchain {}'"
    offered = [
        subprocess.run(
            ["fish", "-c", script.format(words)], capture_output=True, text=True, env=environment, check=True
        )
        for words in ("", "runs --", "show ")
    ]
    first, options, sessions = [{line.split()[0] for line in each.stdout.splitlines()} for each in offered]

    assert {"demo", "serve", "runs", "show"} <= first
    assert {"--ids", "--json", "--limit"} <= options
    assert {"trip", "other"} <= sessions


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_sound(shell: str, run: Run) -> None:
    """Each installed shell parses its script without complaint."""
    script = run("completion", shell)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")

    assert subprocess.run([shell, "-n"], input=script, text=True, capture_output=True, check=True).stderr == ""
