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


def complete(base_url: str, folder: Path, *lines: str) -> list[list[str]]:
    """What bash's completion offers at the end of each line, whose last word is split as bash splits it."""
    script = 'eval "$(coagent-langchain completion bash)"'
    for line in lines:
        words, _, begun = line.rpartition(" ")
        broken = re.split("([:@])", begun)
        script += f"""
            COMP_LINE="{line}" COMP_POINT={len(line)}
            COMP_WORDS=({words} {" ".join(broken) or '""'}) COMP_CWORD={len(words.split()) + len(broken) - 1}
            _coagent_langchain
            printf '%s\\n' "${{COMPREPLY[*]}}"
        """
    environment = on_the_path(folder, base_url)
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert result.stderr == ""
    return [offered.split() for offered in result.stdout.splitlines()]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_in_bash(base_url: str, tmp_path: Path) -> None:
    """It offers commands, a command's options and fixed words, and session ids."""
    lines = ["", "runs ", "spool ", "show --f", "show ", "export ", "delete "]
    *words, show, export, delete = complete(base_url, tmp_path, *(f"coagent-langchain {line}" for line in lines))

    assert words == [
        ["demo", "serve", "prune", "delete", "run", "runs", "show", "export", "spool", "completion"],
        ["--base-url", "--help", "--ids", "--json", "--limit"],
        ["--help", "discard", "flush", "rejected", "status"],
        ["--follow"],
    ]
    assert [sorted(offered) for offered in (show, export, delete)] == [["other", "trip"]] * 3


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_in_bash_goes_on_inside_an_id(own: CoagentClient, tmp_path: Path) -> None:
    """Bash treats the part after the last colon or at sign as the word, and replaces only that."""
    for session_id in ("user:42", "user:43", "ada@example.org"):
        own.log_session_start(session_id, "Hello")
    begun = ["us", "user:4", "ada@ex", "us:4"]
    offered = complete(own.base_url, tmp_path, *(f"coagent-langchain show {word}" for word in begun))

    assert [sorted(each) for each in offered] == [["user:42", "user:43"], ["42", "43"], ["example.org"], []]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_runs_nothing_that_a_log_says(own: CoagentClient, tmp_path: Path) -> None:
    """A session's id is untrusted text, and bash would expand what it completes."""
    own.log_session_start(f"$(touch {tmp_path}/harm)", "Hello")
    own.log_session_start("harmless", "Hello")
    offered = complete(own.base_url, tmp_path, "coagent-langchain show ")

    assert (offered, (tmp_path / "harm").exists()) == ([["harmless"]], False)


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_completion_in_fish(base_url: str, tmp_path: Path) -> None:
    """Fish gets the same completions."""
    asked = "".join(f"complete -C 'coagent-langchain {words}'; echo;" for words in ("", "runs --", "show "))
    script = f"coagent-langchain completion fish | source; {asked}"
    environment = on_the_path(tmp_path, base_url)
    result = subprocess.run(["fish", "-c", script], capture_output=True, text=True, env=environment, check=True)
    offered = [{line.split()[0] for line in each.splitlines()} for each in result.stdout.split("\n\n")]
    first, options, sessions, _ = offered

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
