"""The command line beside a server with two sessions, or beside an empty one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from coagent_langchain import CoagentClient
from coagent_langchain.cli import main
from coagent_langchain.server import launch
from tests.cli.samples import ENTRIES, Run


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """The address of a server with two sessions."""
    with launch() as server, CoagentClient(server.base_url) as client:
        assert client.store_logs(ENTRIES).success
        yield server.base_url


@pytest.fixture
def time_zone() -> Iterator[Callable[[str], None]]:
    """Set the time zone, which is UTC at first; the C library reads the variable again only if told to."""
    with pytest.MonkeyPatch.context() as patch:

        def use(name: str) -> None:
            patch.setenv("TZ", name)
            time.tzset()

        use("UTC")
        yield use
    time.tzset()


@pytest.fixture
def run(base_url: str, time_zone: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command that must succeed; returns its output."""
    monkeypatch.setenv("COAGENT_BASE_URL", base_url)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> str:
        assert main(arguments) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def own(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[CoagentClient]:
    """A client of a server without sessions, to which `run` then connects."""
    with launch() as server, CoagentClient(server.base_url) as client:
        monkeypatch.setenv("COAGENT_BASE_URL", server.base_url)
        yield client
