"""What every command has in common: errors, exit codes, help, colours, and output that nobody reads."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from coagent_langchain import CoagentClient
from coagent_langchain.cli import main, session, text
from coagent_langchain.cli.text import cells
from coagent_langchain.config import VARIABLES
from coagent_langchain.server import launch
from tests.cli.samples import Run
from tests.cli.terminals import terminal


def test_errors_are_one_line_and_exit_code_1(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line says what failed and what to do, without a traceback."""
    codes = [main(["show", "nobody"]), main(["export", "nobody"])]
    monkeypatch.setenv("COAGENT_BASE_URL", "http://127.0.0.1:9/api/v1")
    codes.append(main(["runs"]))
    monkeypatch.setenv("COAGENT_BASE_URL", "localhost")
    codes.append(main(["runs"]))
    lines = capsys.readouterr().err.splitlines()

    assert (codes, len(lines), lines[0]) == ([1, 1, 1, 1], 4, lines[1])
    assert lines[0].startswith("coagent-langchain: no session 'nobody' on http://127.0.0.1:")
    assert "ConnectionError" in lines[2]
    assert "coagent-langchain serve" in lines[2]
    assert "COAGENT_BASE_URL must be an http or https address" in lines[3]


def test_refused_requests_say_what_to_set(
    base_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cases are a wrong path, a missing token, and another server's token."""
    monkeypatch.setenv("COAGENT_BASE_URL", base_url.removesuffix("/api/v1"))
    main(["runs"])
    with launch(token="secret") as server:
        monkeypatch.setenv("COAGENT_BASE_URL", server.base_url)
        main(["runs"])
        monkeypatch.setenv("COAGENT_AUTH_TOKEN", "another")
        main(["runs"])
    path, missing, wrong = capsys.readouterr().err.splitlines()

    assert path.endswith("(does base_url end with /api/v1?)")
    advice = "(set COAGENT_AUTH_TOKEN, or auth_token=, to this server's token)"
    assert missing.endswith(f"a token is required: Authorization: Bearer <token> {advice}")
    assert wrong.endswith(f"the token is wrong: Authorization: Bearer <token> {advice}")


@pytest.mark.parametrize(("environ", "advice"), [
    ({"COAGENT_BASE_URL": "{https}"}, "the server does not use TLS: its address begins with http://, not https://"),
    ({"COAGENT_BASE_URL": "http://coagent.example/api/v1", "http_proxy": "http://127.0.0.1:1"},
     "HTTP_PROXY or HTTPS_PROXY sets the proxy, NO_PROXY the servers to reach without it"),
    ({"COAGENT_BASE_URL": "https://127.0.0.1:1/api/v1", "REQUESTS_CA_BUNDLE": "/missing.pem"},
     "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names the file of the certificates to trust"),
], ids=["TLS", "proxy", "certificates"])  # fmt: skip
def test_what_is_in_the_way_to_a_server_is_told(
    environ: dict[str, str], advice: str, base_url: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The advice is not to start a server: there is one, or it is unknown whether there is."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value.format(https=base_url.replace("http:", "https:")))
    main(["runs"])

    assert capsys.readouterr().err.endswith(f" ({advice})\n")


def test_server_that_does_not_answer_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It soon says which server it waits for, and stops after at most twice the time that a response may take."""
    monkeypatch.setattr(text, "SILENCE", 0.1)
    monkeypatch.setattr(session, "ANSWER", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # the system accepts the connection, and nobody reads from it
        address = f"http://127.0.0.1:{mute.getsockname()[1]}/api/v1"
        code = main(["runs", "--base-url", address])
    said, why = capsys.readouterr().err.splitlines()

    assert (code, said) == (1, f"waiting for {address} to answer")
    assert re.match(rf"coagent-langchain: GET {address}/runs failed after 2 tries in \d+\.\d s: ReadTimeout: ", why)


@pytest.mark.parametrize("command", [["-m", "coagent_langchain"], ["{bin}/coagent-langchain"]])
@pytest.mark.parametrize(("words", "told"), [
    (["--version"], (0, "")),
    (["run", "app.py"], (1, "coagent-langchain: COAGENT_TRACING must be true or false, not 'maybe'\n")),
])  # fmt: skip
def test_wrong_variable_of_tracing_is_one_line(
    command: list[str], words: list[str], told: tuple[int, str], tmp_path: Path
) -> None:
    """For a program that imports the package, it raises; a command reports it, only if it needs the variable."""
    (tmp_path / "app.py").touch()
    folder = os.path.dirname(sys.executable)
    result = subprocess.run(
        [sys.executable, *(word.format(bin=folder) for word in command), *words],
        env={**os.environ, "COAGENT_TRACING": "maybe"}, cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip

    assert (result.returncode, result.stderr) == told


@pytest.mark.parametrize("arguments", [
    ["nonsense"], ["runs", "--limit", "-1"], ["show", "a", "b"], ["runs", "--base-url", "foo"],
    ["serve", "--store", "x.db"], ["runs", "--json", "--ids"], ["show", "--json", "--follow"],
    ["spool", "flush", "--from", "foo"],
])  # fmt: skip
def test_wrong_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """argparse says what is wrong, and shows the command's usage."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert "usage: coagent-langchain" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "rest"), [("run", ["app.py"]), ("spool flush", [])])
def test_unknown_option_shows_the_usage_of_its_command(
    command: str, rest: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The usage of all commands would not help."""
    with pytest.raises(SystemExit) as caught:
        main([*command.split(), "--foo", *rest])
    said = capsys.readouterr().err

    assert caught.value.code == 2
    assert said.startswith(f"usage: coagent-langchain {command} [-h]")
    assert said.endswith("unrecognized arguments: --foo\n")


def test_help_without_a_command_has_the_first_steps_and_every_variable(run: Run) -> None:
    """A new user sees the commands, and every setting that can come from the environment."""
    said = run()

    assert "first steps:" in said
    assert [name for name in VARIABLES.values() if name not in said] == []


every_command = pytest.mark.parametrize("command", [
    [], ["demo"], ["run"], ["serve"], ["prune"], ["delete"], ["runs"], ["show"], ["export"], ["completion"],
    ["spool"], ["spool", "status"], ["spool", "flush"], ["spool", "rejected"], ["spool", "discard"],
])  # fmt: skip


@every_command
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` shows usage and description, and exits with 0."""
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])

    usage, description, *_ = capsys.readouterr().out.split("\n\n")
    assert caught.value.code == 0
    assert usage.startswith(" ".join(["usage: coagent-langchain", *command, "[-h]"]))
    assert description.endswith(".")


@pytest.mark.parametrize("command", [["serve"], ["spool", "status"]])
def test_help_shows_a_folder_with_a_percent_sign(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sign means something to argparse."""
    for name in ("XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, f"{tmp_path}/50%")
    with pytest.raises(SystemExit) as left:
        main([*command, "--help"])

    assert (left.value.code, "/50%/coagent-langchain" in "".join(capsys.readouterr().out.split())) == (0, True)


@every_command
def test_help_fits_into_a_terminal_of_80_columns(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No line has to be wrapped by the terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*command, "--help"])

    assert [line for line in capsys.readouterr().out.splitlines() if cells(line) > 80] == []


@pytest.mark.parametrize(
    ("command", "example"),
    [("show", "coagent-langchain show recipe-agent-4f"),
     ("export", "coagent-langchain export | jq 'select(.event_type == \"error\")'")],
)  # fmt: skip
def test_examples_can_be_copied(
    command: str, example: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is on one line."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([command, "--help"])

    assert f"\n  {example}\n" in capsys.readouterr().out


def test_colours_in_a_terminal_only(base_url: str) -> None:
    """Errors are red in a terminal; with NO_COLOR, or in a terminal that shows no colours, there is only text."""
    coloured, plain = terminal(base_url, "show", "trip"), terminal(base_url, "show", "trip", NO_COLOR="1")
    dumb, followed = terminal(base_url, "show", "trip", TERM="dumb"), terminal(base_url, "show", "trip", "--follow")

    assert re.findall(r"\x1b\[31m(\w[\w ]*)", coloured) == ["failed", "1 error", "trains", "TrainError"]
    assert re.findall(r"\x1b\[31m(\w[\w ]*)", followed) == ["trains strike ", "TrainError strike"]
    assert "\x1b" not in plain
    assert [re.sub("\x1b\\[[0-9;]*m", "", coloured), dumb] == [plain, plain]


def test_id_for_a_program_commands_no_terminal(own: CoagentClient) -> None:
    """An id from a log may contain escape sequences; only a program gets them as they are."""
    own.log_session_start("tri\x1b[31mp", "Hello")

    assert terminal(own.base_url, "runs", "--ids") == "tri␛[31mp\r\n"


@pytest.mark.parametrize(
    ("command", "written"),
    [("export trip | head -c 1", b"{"), ("--help | true", b""), ("runs >&-", b"")],
)
def test_reader_that_has_seen_enough_is_no_error(command: str, written: bytes, base_url: str) -> None:
    """A command in `| head -1` exits silently, and so does one whose output is closed or never read."""
    script = f"set -o pipefail; {sys.executable} -m coagent_langchain {command}"
    environment = {**os.environ, "COAGENT_BASE_URL": base_url, "PYTHONUNBUFFERED": ""}
    result = subprocess.run(["bash", "-c", script], capture_output=True, env=environment, check=False)

    assert (result.returncode, result.stdout, result.stderr) == (0, written, b"")


@pytest.mark.parametrize(("command", "encoding", "said"), [
    ("runs > /dev/full", "utf-8", "[Errno 28] No space left on device"),
    ("show trip > /dev/full", "utf-8", "[Errno 28] No space left on device"),
    ("show trip | cat", "ascii",
     "the output cannot hold every character; set PYTHONIOENCODING=utf-8 (it is ascii)"),
    ("show --help | cat", "ascii",
     "the output cannot hold every character; set PYTHONIOENCODING=utf-8 (it is ascii)"),
])  # fmt: skip
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has /dev/full")
def test_output_that_cannot_be_written_is_told_in_one_line(
    command: str, encoding: str, said: str, base_url: str
) -> None:
    """The cases are a full disk, and an encoding without the tree's characters."""
    script = f"set -o pipefail; {sys.executable} -m coagent_langchain {command}"
    environment = {**os.environ, "COAGENT_BASE_URL": base_url, "PYTHONIOENCODING": encoding, "PYTHONUNBUFFERED": ""}
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=False)

    assert (result.returncode, result.stderr) == (1, f"coagent-langchain: {said}\n")
