"""A real HTTP server on the loopback interface that answers, or misbehaves, as the test asks."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import requests

OK = b'{"success": true, "message": "All log entries stored successfully"}'


@dataclass
class Request:
    """A request that came in.

    Attributes:
        entries: the entries of the body, in either form; empty if it is not JSON.
        array: whether the body was an array.
        number: the request's number, from 1.
        size: the body's, in bytes.
        path: the path that was asked for.
        port: the client's port, which identifies its connection.
    """

    entries: list[dict[str, Any]]
    array: bool
    number: int
    size: int
    path: str
    headers: dict[str, str]
    port: int


@dataclass
class Answer:
    """The answer to a request.

    Attributes:
        status: HTTP status; None resets the connection instead.
        stores: whether the entries are stored (before the answer); None if the status decides.
        hangs: whether to wait until the server closes before answering.
    """

    status: int | None = 200
    body: bytes = OK
    headers: dict[str, str] = field(default_factory=dict)
    stores: bool | None = None
    hangs: bool = False

    @property
    def keeps(self) -> bool:
        return self.stores if self.stores is not None else self.status is not None and self.status < 300


Behaviour = Callable[[Request], Answer]


def healthy(request: Request) -> Answer:
    """Accept everything."""
    return Answer()


def naming(request: Request) -> Answer:
    """Refuse a request that contains `e5`, and name it by index."""
    for index, entry in enumerate(request.entries):
        if entry["event_id"] == "e5":
            body = b'{"success": false, "errors": [{"index": %d, "field": "x", "message": "bad"}]}' % index
            return Answer(400, body, stores=False)
    return Answer()


def answering(content: object, status: int = 200) -> Behaviour:
    """Answer everything with this JSON."""
    return lambda request: Answer(status, json.dumps(content).encode())


def first(number: int, answer: Answer) -> Behaviour:
    """Give `answer` to the first `number` requests, then be healthy."""
    return lambda request: answer if request.number <= number else Answer()


class FaultyServer:
    """Answer every GET and POST as `behave` says; a context manager.

    Parameters:
        behave: returns the answer to a request.
        behind: API address of a real server to which stored entries are forwarded.
        tls: makes it speak HTTPS.

    Attributes:
        requests: the requests, in order of arrival.
        stored: event ids that were stored, in order, with repetitions.
        behave: may be replaced at any time.
    """

    def __init__(
        self, behave: Behaviour = healthy, behind: str | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.behave = behave
        self._behind = behind
        self.requests: list[Request] = []
        self.stored: list[str] = []
        self.ended = threading.Event()
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self.port = self._server.server_port
        self.base_url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/api/v1"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def wait_for(self, condition: Callable[[], bool], timeout: float = 20.0) -> bool:
        """Wait until `condition` holds, checked after each request; the timeout is below a client's own, 30 s."""
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    def take(self, handler: BaseHTTPRequestHandler, body: bytes) -> Answer:
        """Record a request and decide on the answer."""
        try:
            content = json.loads(body)
        except ValueError:
            content = []
        entries = content if isinstance(content, list) else [content]
        with self._changed:
            request = Request(entries, isinstance(content, list), len(self.requests) + 1, len(body), handler.path,
                              dict(handler.headers), handler.client_address[1])  # fmt: skip
            self.requests.append(request)
            self._changed.notify_all()
        answer = self.behave(request)
        if answer.keeps and self._behind:
            headers = {"Content-Type": "application/json"}
            passed = requests.post(f"{self._behind}/logs", data=body, headers=headers, timeout=30)
            if passed.status_code != 200:
                return Answer(passed.status_code, passed.content, stores=False)
        with self._changed:
            if answer.keeps:
                self.stored += [entry["event_id"] for entry in entries if "event_id" in entry]
            if self._behind:
                entries.clear()  # they are on the server behind; a long run would fill the memory
            self._changed.notify_all()
        return answer

    def close(self) -> None:
        """Stop, and release the requests that hang."""
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    owner: FaultyServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that disconnected."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        answer = self.server.owner.take(self, body)
        if answer.hangs:
            self.server.owner.ended.wait(60)
        if answer.status is None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            nowhere: Any = open("/dev/null", "r+b", buffering=0)  # noqa: SIM115 - the base class closes it
            self.rfile = self.wfile = nowhere
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""
