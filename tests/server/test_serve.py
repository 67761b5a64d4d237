"""`coagent-langchain serve`: a process that runs until it gets a signal."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

import coagent_langchain
from coagent_langchain import server
from coagent_langchain.cli import main
from coagent_langchain.errors import ConfigurationError
from tests.server.network import skip_without_ipv6
from tests.server.samples import entry


@pytest.mark.parametrize("token", ["a b", "é", "a\nb"])
def test_token_that_clients_refuse_is_refused(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No client could send it: `launch` raises, and the command line calls it wrong usage."""
    with pytest.raises(ConfigurationError, match="token must be a string of printable ASCII characters"):
        server.launch(token=token)
    with pytest.raises(SystemExit) as left:
        main(["serve", "--token", token])

    assert left.value.code == 2
    assert "argument --token: it must be a string of printable ASCII characters" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
def test_wrong_port_is_wrong_usage(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is reported before anything starts."""
    with pytest.raises(SystemExit) as raised:
        main(["serve", "--port", port])

    assert raised.value.code == 2
    assert capsys.readouterr().err.endswith(f"argument --port: port must be from 0 to 65535, not {port}\n")


def test_dead_clickhouse_is_one_line(tmp_path: Path) -> None:
    """Its library's own log does not appear beside the message."""
    line = [sys.executable, "-m", "coagent_langchain", "serve", "--port", "0", "--store",
            "clickhouse://127.0.0.1:9/coagent"]  # fmt: skip
    result = subprocess.run(line, capture_output=True, text=True, check=False)

    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert result.stderr.startswith("coagent-langchain: the ClickHouse database cannot be used: ")


def test_wrong_variable_of_the_token_is_one_line() -> None:
    """It names the variable, as every command that reads it does, and no option that nobody gave."""
    line = [sys.executable, "-m", "coagent_langchain", "serve", "--port", "0"]
    environ = {**os.environ, "COAGENT_AUTH_TOKEN": "a b"}
    result = subprocess.run(line, env=environ, capture_output=True, text=True, timeout=60, check=False)

    said = "coagent-langchain: COAGENT_AUTH_TOKEN must be a string of printable ASCII characters without spaces\n"
    assert (result.returncode, result.stderr) == (1, said)


@contextlib.contextmanager
def serving(folder: Path, *options: str, code: str = "", **pipes: Any) -> Iterator[subprocess.Popen[str]]:
    """`serve` in its own process, by the command or by the given code; it is killed after the test."""
    program = ["-c", code] if code else ["-m", "coagent_langchain"]
    line = [sys.executable, *program, "serve", "--port", "0", "--store", f"sqlite://{folder}/coagent.db", *options]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def printed(process: subprocess.Popen[str]) -> list[str]:
    """What a server prints when it has started: the addresses of its viewer, API and store."""
    assert process.stdout is not None
    return [process.stdout.readline().split()[-1] for _ in range(3)]


@pytest.mark.parametrize(("number", "arguments", "name"), [
    (signal.SIGINT, [], "127.0.0.1"),
    (signal.SIGTERM, ["--token", "abc", "--host", "0.0.0.0"], socket.gethostname()),
    (signal.SIGTERM, ["--token", "abc", "--host", "::"], socket.gethostname()),
])  # fmt: skip
def test_serve_runs_until_it_is_told(tmp_path: Path, number: int, arguments: list[str], name: str) -> None:
    """It prints its addresses, by the machine's name if others can reach it, and exits cleanly on a signal."""
    if "::" in arguments:
        skip_without_ipv6()
    with serving(tmp_path, *arguments) as process:
        told = printed(process)[:2]
        viewer, api = (address.replace(f"//{name}:", "//127.0.0.1:") for address in told)
        statuses = [requests.get(address, timeout=10).status_code for address in (viewer, f"{api}/runs")]
        process.send_signal(number)
        ended = process.wait(timeout=10)

    assert [address.rpartition(":")[0] for address in told] == [f"http://{name}"] * 2
    assert (statuses, ended) == ([200, 401 if arguments else 200], 0)


def test_serve_takes_its_token_from_the_variable(tmp_path: Path) -> None:
    """The other variables are for clients: a server starts even if one of them is wrong."""
    environ = {**os.environ, "COAGENT_AUTH_TOKEN": "abc", "COAGENT_BASE_URL": "nonsense"}
    with serving(tmp_path, env=environ) as process:
        _, api, _ = printed(process)
        statuses = [requests.get(f"{api}/runs", headers=headers, timeout=10).status_code
                    for headers in ({}, {"Authorization": "Bearer abc"})]  # fmt: skip

    assert statuses == [401, 200]


def test_serve_goes_on_while_an_upgrade_replaces_its_files(tmp_path: Path) -> None:
    """It shows its own pages until it is stopped: those of another version would not fit its code."""
    shutil.copytree(Path(coagent_langchain.__file__).parent, tmp_path / "coagent_langchain")
    with serving(tmp_path, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}) as process:
        viewer, api, _ = printed(process)
        requests.post(f"{api}/logs", json=entry(session_id="one"), timeout=10)
        requests.get(viewer, headers={"Accept": "text/html"}, timeout=10)
        shutil.rmtree(tmp_path / "coagent_langchain")
        statuses = {path: requests.get(viewer + path, timeout=10).status_code
                    for path in ("/", "/docs", "/sessions/one", "/view/overview/=one", "/static/list.js")}  # fmt: skip

    assert statuses == dict.fromkeys(statuses, 200)


def test_serve_writes_its_log_to_standard_error(tmp_path: Path) -> None:
    """A timestamped line says why it refuses requests."""
    with serving(tmp_path, stderr=subprocess.PIPE) as process:
        _, api, _ = printed(process)
        (tmp_path / "coagent.db").unlink()
        requests.post(f"{api}/logs", json=entry(), timeout=10)
        process.terminate()
        said = process.communicate(timeout=10)[1]

    assert re.fullmatch(r"\S+ \S+ requests are answered with 503: the database's file was removed .*\n", said)


def test_request_of_another_protocol_is_no_line_of_its_log(tmp_path: Path) -> None:
    """The response says it: a page that another program left open on this port may ask every second."""
    upgrade = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade{}\r\nUpgrade: {}\r\n\r\n"
    protocols = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # how TLS begins, for a client with https://
        upgrade.format("", "websocket").encode(),
        upgrade.format(", HTTP2-Settings", "h2c").encode(),
    ]
    responses = []
    with serving(tmp_path, stderr=subprocess.PIPE) as process:
        address = urlsplit(printed(process)[1])
        for protocol in protocols:
            with socket.create_connection(("127.0.0.1", address.port or 0), timeout=10) as connection:
                connection.sendall(protocol)
                responses.append(connection.recv(1000)[:9])
        process.terminate()
        said = process.communicate(timeout=10)[1]

    assert (responses, said) == ([b"HTTP/1.1 "] * 3, "")


def test_more_connections_than_files_are_one_line_of_its_log(tmp_path: Path) -> None:
    """They wait, and are served when others have closed."""
    code = """
import resource, sys
from coagent_langchain import cli
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
sys.exit(cli.main(sys.argv[1:]))
"""
    log = tmp_path / "log"
    with log.open("w") as errors, serving(tmp_path, code=code, stderr=errors) as process:
        _, api, _ = printed(process)
        with contextlib.ExitStack() as connections:
            for _ in range(60):
                connections.enter_context(socket.create_connection(("127.0.0.1", urlsplit(api).port)))
            with pytest.raises(requests.Timeout):
                requests.get(f"{api}/runs", timeout=2.5)
        answer = requests.get(f"{api}/runs", timeout=10)
        process.terminate()
        process.communicate(timeout=10)

    assert answer.status_code == 200
    said = log.read_text()
    assert (said.count("connections are kept waiting: Too many open files"), said.count("Traceback")) == (1, 0), said


def test_many_signals_end_it_as_one_does(tmp_path: Path) -> None:
    """A second signal interrupts the handler of the first."""
    code = """
import sys
from coagent_langchain import cli
code = cli.main(sys.argv[1:])
sys.stdin.readline()  # the interpreter's exit gives signals their usual meaning back
sys.exit(code)
"""
    with serving(tmp_path, code=code, stdin=subprocess.PIPE) as process:
        printed(process)
        for _ in range(5000):
            process.send_signal(signal.SIGINT)
        process.communicate("leave\n", timeout=10)

    assert process.returncode == 0
