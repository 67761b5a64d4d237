"""A test double of a ClickHouse server: its HTTP dialect in front of the real engine in this process (chdb).

No ClickHouse server can be installed from a package index. The engine here is the real one; the network side (sessions,
users, compression, limits, asynchronous inserts) is missing.
"""

from __future__ import annotations

import re
import threading
from base64 import b64decode
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


class Door:
    """A server on a free port of 127.0.0.1; a context manager.

    Parameters:
        path: the engine's folder; one per process.

    Attributes:
        failures: what to do with each of the next requests: an HTTP status to respond with, "hang up" without a
            response, "stall" until `moving` is set and then respond, "swallow" the response and hang up; 0 responds.
        always: the same for all requests.
        moving: cleared while stalled requests must wait.
        asked_by: user and password of the last request; None if it has none.
    """

    def __init__(self, path: str) -> None:
        import chdb  # late: only heavy tests need it

        self.failures: list[int | str] = []
        self.always: int | str | None = None
        self.moving = threading.Event()
        self.moving.set()
        self.asked_by: tuple[str, str] | None = None
        self._engine = chdb.connect(path)
        self._one_at_a_time = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.moving.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._engine.close()

    def run(self, query: str, body: bytes, parameters: dict[str, str]) -> bytes:
        """Run a query, followed by its data."""
        text = f"{query}\n{body.decode()}" if query else body.decode()
        with self._one_at_a_time:
            result: bytes = self._engine.query(text, "TabSeparated", params=parameters or None).bytes()
        return result

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # otherwise each answer, written in two parts, waits 40 ms for an ACK

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                said = (self.headers.get("Authorization") or "").removeprefix("Basic ")
                user, _, password = b64decode(said).decode().partition(":")
                door.asked_by = (user, password) if said else None
                given = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if (self.headers.get("Content-Type") or "").startswith("multipart/form-data"):
                    given, body = given | _form(self.headers["Content-Type"], body), b""
                failure = door.failures.pop(0) if door.failures else door.always
                if failure == "stall":
                    door.moving.wait()
                if failure == "hang up":
                    self.hang_up()
                elif isinstance(failure, int) and failure:
                    self.answer(failure, b"Code: 202. DB::Exception: Too many simultaneous queries", code="202")
                else:
                    self.query(given, body, swallow=failure == "swallow")

            def hang_up(self) -> None:
                self.connection.close()
                self.close_connection = True

            def query(self, given: dict[str, str], body: bytes, swallow: bool) -> None:
                parameters = {name[6:]: value for name, value in given.items() if name.startswith("param_")}
                # The engine takes the settings of an insert inside the statement; the others are of the network side.
                settings = [f"{name} = {value}" for name, value in given.items() if name.startswith("input_format_")]
                asked = given.get("query", "")
                if settings:
                    asked = asked.replace(" FORMAT ", f" SETTINGS {', '.join(settings)} FORMAT ", 1)
                try:
                    answer = door.run(asked, body, parameters)
                    self.hang_up() if swallow else self.answer(200, answer)
                except RuntimeError as error:
                    code = re.search(r"Code: (\d+)", str(error))
                    self.answer(500, str(error).encode(), code=code[1] if code else "1")

            def answer(self, status: int, content: bytes, code: str = "") -> None:
                self.send_response(status)
                if code:
                    self.send_header("X-ClickHouse-Exception-Code", code)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        return Handler


def _form(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a form, as the client sends a query with long parameters."""
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    return {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True).decode()
        for part in message.iter_parts()
    }
