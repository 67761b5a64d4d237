"""The end of a process with several deliveries: all are closed, within one exit timeout."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from coagent_langchain.config import Settings
from coagent_langchain.delivery.deliveries import Deliveries
from coagent_langchain.errors import ConfigurationError
from tests.delivery_parts import line
from tests.faulty_server import Answer, FaultyServer, first


def test_server_that_hangs_does_not_use_up_the_exit_of_the_others(tmp_path: Path) -> None:
    """All send at the same time, also one that has paused: its last chance does not come after the timeout."""
    deliveries = Deliveries()
    with FaultyServer(lambda request: Answer(hangs=True)) as hung, FaultyServer(first(1, Answer(404))) as other:
        for server in hung, other:
            deliveries.get(Settings(base_url=server.base_url, spool_dir=tmp_path, exit_timeout=1.0)).append(line("a"))
        assert hung.wait_for(lambda: bool(hung.requests))
        assert other.wait_for(lambda: bool(other.requests))
        deliveries.close_all()

    assert other.stored == ["a"]


def test_each_server_that_hangs_adds_no_wait_of_its_own(tmp_path: Path) -> None:
    """After the timeout nothing can be sent any more, so the threads that are still in a request are left alone."""
    deliveries = Deliveries()
    with FaultyServer(lambda request: Answer(hangs=True)) as hung:
        for each in range(10):
            deliveries.get(Settings(f"{hung.base_url}/{each}", spool_dir=tmp_path, exit_timeout=0.1)).append(line("a"))
        assert hung.wait_for(lambda: len(hung.requests) == 10)
        started = time.monotonic()
        deliveries.close_all()

    assert time.monotonic() - started < 1


def test_end_of_the_process_tells_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    """Events that are only in memory end with it: the log says how many, for each server."""
    deliveries, addresses = Deliveries(), [f"http://127.0.0.1:{port}/api/v1" for port in (1, 2)]
    for address in addresses:
        deliveries.get(Settings(base_url=address, spool_dir=None, exit_timeout=0.0)).append(line("a"))
    deliveries.close_all()

    told = [message.partition(" at exit")[0] for message in caplog.messages if "at exit" in message]
    assert told == [f"delivery to {address}: 1 event lost" for address in addresses]


def in_uwsgi(
    monkeypatch: pytest.MonkeyPatch, options: Mapping[str, object], worker: int = 0, spooler: bool = False
) -> None:
    """Stand in for the module that uWSGI gives to its programs: only uWSGI has it, and it takes a compiler to install.

    Parameters:
        options: as in its configuration; a value is True on the command line, and bytes in a file.
        worker: the worker's number; 0 in the process that is going to be forked, and in a spooler.
        spooler: whether the process is a spooler, which runs tasks.
    """
    count = int(str(options.get("processes", 1)))
    module = SimpleNamespace(opt=options, numproc=count, worker_id=lambda: worker, mule_id=lambda: 0)
    module.i_am_the_spooler = lambda: spooler or None
    monkeypatch.setitem(sys.modules, "uwsgi", module)


@pytest.mark.parametrize("options", [
    {"processes": 2}, {"master": True}, {"master": True, "lazy-apps": b"False"},
    {"master": True, "py-call-osafterfork": True},  # only the hooks for the child, which then releases locks in vain
])  # fmt: skip
def test_uwsgi_that_forks_without_hooks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    """Its workers would write to one file and send nothing: the error names the option that helps."""
    in_uwsgi(monkeypatch, options)

    with pytest.raises(ConfigurationError, match="add py-call-uwsgi-fork-hooks = true"):
        Deliveries().get(Settings(spool_dir=tmp_path))


@pytest.mark.parametrize(
    ("options", "worker", "spooler"),
    [
        ({"master": b"False"}, 0, False),
        ({"master": True, "processes": 2, "py-call-uwsgi-fork-hooks": True}, 0, False),
        ({"master": b"true", "processes": 2, "lazy-apps": b"true"}, 0, False),
        ({"master": True, "processes": 2}, 1, False),
        ({"master": True, "processes": 2}, 0, True),
    ],
    ids=["no fork", "hooks", "loaded after the fork", "in a worker", "in a spooler"],
)
def test_uwsgi_whose_workers_have_a_delivery_of_their_own_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object], worker: int, spooler: bool
) -> None:
    """It does not fork, runs the hooks, or has forked before the handler was created."""
    in_uwsgi(monkeypatch, options, worker, spooler)

    Deliveries().get(Settings(spool_dir=tmp_path))


def test_application_in_a_file_named_uwsgi_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gunicorn uwsgi:app` imports the application under the name of uWSGI's module."""
    monkeypatch.setitem(sys.modules, "uwsgi", ModuleType("uwsgi"))

    Deliveries().get(Settings(spool_dir=tmp_path))
