"""A server started and closed within a program: its address, its threads, and requests in progress."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from coagent_langchain import server
from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.store import Store
from coagent_langchain.server.store.sqlite_file import connect, transaction
from tests.server.files import opened
from tests.server.samples import entry, event_ids, put
from tests.waiting import until


def test_taken_port_is_named() -> None:
    """The message says how to find the process that uses it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf":{port}: Address already in use.*ss -ltnp.*another port"):
            server.launch(port=port)


@pytest.mark.parametrize("host", ["nosuchhost.invalid", "192.0.2.1"])
def test_host_that_is_none_of_ours_is_named(host: str) -> None:
    """The advice is about the host, not the port; the reason is in the system's words."""
    with pytest.raises(ConfigurationError) as raised:
        server.launch(host=host, port=3006, token="t")
    fault, _, advice = str(raised.value).partition(". The ")

    assert fault.startswith(f"cannot listen on {host}:3006: ")
    assert advice == "host must be a name or an address of this machine"


@pytest.mark.parametrize("port", [-1, 65536, "3000"])
def test_port_that_is_none_is_named(port: Any) -> None:
    """A variable's value, for example, is a string."""
    with pytest.raises(ConfigurationError, match=rf"^cannot listen on 127.0.0.1:{port}: "):
        server.launch(port=port)


def test_wrong_store_is_told_before_a_taken_port() -> None:
    """Another port would not make the store valid."""
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigurationError, match="a store is"):
        server.launch("coagent.db", port=other.getsockname()[1])


@pytest.mark.parametrize("mistaken", [Path("/tmp/coagent.db"), 3000])
def test_store_that_is_a_path_or_a_port_is_refused(mistaken: Path | int) -> None:
    """Both are likely mistakes; the message says what a store is."""
    with pytest.raises(ConfigurationError, match=f"a store is sqlite:///PATH, .* not '{mistaken}'"):
        server.launch(mistaken)


def test_store_that_was_given_outlives_a_failed_start(address: str) -> None:
    """The caller who opened it may try another port."""
    with opened(address) as store:
        with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigurationError):
            server.launch(store, port=other.getsockname()[1])
        put(store, entry(event_id="e1"))

        assert event_ids(store.entries("s")) == ["e1"]


def test_failed_start_leaves_the_store_free(address: str) -> None:
    """A store that was opened for a server that failed to start can be opened again."""
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigurationError):
        server.launch(address, port=other.getsockname()[1])
    server.open_store(address).close()


def test_launch_leaves_signals_and_logging_alone() -> None:
    """A host that embeds the server keeps its signal handlers and logging configuration."""
    import logging

    before = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), list(logging.getLogger().handlers))
    with server.launch() as running:
        requests.get(running.url, timeout=10)
        during = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), list(logging.getLogger().handlers))

    assert during == before


def test_closing_ends_every_thread(address: str) -> None:
    """No thread of the server remains, nor of those that read for it, and closing twice does nothing."""
    before = set(threading.enumerate())

    def threads() -> list[str]:
        return sorted({each.name for each in set(threading.enumerate()) - before})

    running = server.launch(address)
    requests.post(f"{running.base_url}/logs", json=entry(), timeout=10)
    requests.get(f"{running.base_url}/runs", timeout=10)
    started = threads()
    running.close()
    running.close()

    assert started == ["AnyIO worker thread", "coagent-server", "coagent-store-index", "coagent-store-writer"]
    until(lambda: threads() == [])


def seconds_to_close() -> float:
    """How long it takes to close a server with an open keep-alive connection of a client."""
    with requests.Session() as client, server.launch() as running:
        client.get(f"{running.base_url}/runs", timeout=10)
        began = time.monotonic()
        running.close()
        return time.monotonic() - began


def test_closing_waits_for_nothing_where_no_request_is_under_way() -> None:
    """At least one of several times, since the machine may be busy; uvicorn alone always pauses for 0.1 s or more."""
    assert any(seconds_to_close() < 0.1 for _ in range(20))


def test_request_under_way_is_answered_before_the_server_has_closed(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No new request is accepted meanwhile; what is acknowledged is stored."""
    monkeypatch.setattr("coagent_langchain.server.running.GRACE", 30)  # for a busy machine
    running = server.launch(address)
    with ThreadPoolExecutor() as threads:
        with contextlib.closing(connect(tmp_path / "coagent.db")) as other, transaction(other):
            answer = threads.submit(requests.post, f"{running.base_url}/logs", json=entry(), timeout=60)
            until(lambda: bool(running._server.server_state.tasks))
            closing = threads.submit(running.close)
            until(lambda: not listens(running.url))
        closing.result()
    with opened(address) as store:
        kept = len(event_ids(store.entries("s")))

    assert (answer.result().status_code, kept) == (200, 1)


def listens(url: str) -> bool:
    """Whether anything accepts connections at an address."""
    try:
        socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)).close()
    except ConnectionError:  # refused, or reset if the socket closes at that moment
        return False
    return True


def test_request_that_waits_for_the_database_is_told_to_come_again(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server waits for a while before it stops, and its log has no traceback."""
    monkeypatch.setattr("coagent_langchain.server.running.GRACE", 0)
    running = server.launch(address)
    with ThreadPoolExecutor() as threads:
        with contextlib.closing(connect(tmp_path / "coagent.db")) as other, transaction(other):
            asked = threads.submit(requests.post, f"{running.base_url}/logs", json=entry(), timeout=10)
            until(lambda: bool(running._server.server_state.tasks))
            closing = threads.submit(running.close)
            answer = asked.result()
        closing.result()

    said = {"success": False, "message": "the server is shutting down"}
    assert (answer.status_code, answer.headers["Retry-After"], answer.json()) == (503, "1", said)
    assert "Traceback" not in caplog.text


def test_connection_that_comes_while_the_server_closes_is_closed() -> None:
    """Neither does its client wait on, nor does a socket stay open; several times, since few come at that moment."""
    for _ in range(20):
        running, clients = server.launch(), list[socket.socket]()
        connecting = threading.Thread(target=connect_until_refused, args=(running.url, clients))
        connecting.start()
        until(lambda clients=clients: len(clients) > 50)
        running.close()
        connecting.join()

        assert [is_closed(client) for client in clients] == [True] * len(clients)


def connect_until_refused(url: str, clients: list[socket.socket]) -> None:
    """Open connections to a server, one after the other, and keep the latest: `ulimit -n` may be low.

    Once in a while, a response shows that the server has got to them: it might fall behind by thousands.
    """
    address = "127.0.0.1", urlsplit(url).port or 0
    with contextlib.suppress(ConnectionError):
        while True:
            clients.append(socket.create_connection(address, timeout=10))
            if len(clients) > 300:
                with socket.create_connection(address, timeout=10) as asking:
                    asking.sendall(b"GET /static/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    asking.recv(1)
                for _ in range(200):
                    clients.pop(0).close()


def is_closed(client: socket.socket) -> bool:
    """Whether the server closes a connection on which no request is sent, within the connection's timeout."""
    with client:
        try:
            client.send(b"G")  # else the system does not tell a client that its full queue has forgotten
            return client.recv(1) == b""
        except (ConnectionResetError, BrokenPipeError):  # it was never accepted, or is closed
            return True
        except TimeoutError:
            return False


def test_connection_of_a_client_that_does_not_read_is_closed_with_the_server(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system does not take of the response is given up."""
    monkeypatch.setattr("coagent_langchain.server.running.GRACE", 0)
    put(store, *(entry(event_id=f"e{number}", content={"prompt": "x" * 1_000_000}) for number in range(12)))
    with server.launch(store) as running, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", urlsplit(running.url).port or 0))
        client.sendall(b"GET /api/v1/logs/s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        until(lambda: bool(running._server.server_state.tasks))
        until(lambda: any(connection.flow.write_paused for connection in running._server.server_state.connections))
        running.close()

        assert running._server.server_state.connections == set()


def test_program_that_does_not_close_its_server_ends() -> None:
    """No thread of the server keeps the program running."""
    code = "from coagent_langchain import server; server.launch()"

    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=30).returncode == 0
