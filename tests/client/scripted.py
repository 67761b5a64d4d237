"""Shared by the tests of the client: a server that gives scripted answers, and what clients send."""

from __future__ import annotations

import http.server
import threading
from typing import Any

import orjson
from coa_dev_coagent.logapi import LogEntry as PublishedEntry
from coa_dev_coagent.logapi import create_tool_call_log

from coagent_langchain import CoagentClient


def published(session_id: str) -> PublishedEntry:
    """A tool call as code for CoAgent's own client logs it, by an entry because that client has no method for it."""
    entry = create_tool_call_log(session_id, 1, 1, "trains", {"to": "Rome"})
    entry.additional_properties = {"carriage": 7}
    return entry


class Scripted:
    """A server that gives scripted answers: a status, or None to close the connection; then 200."""

    def __init__(self, *script: tuple[int | None, dict[str, str]]) -> None:
        self.script = list(script)
        self.answer: object = None
        self.bodies: list[bytes] = []
        self.ports: list[int] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                outer.ports.append(self.client_address[1])
                outer.bodies.append(self.rfile.read(int(self.headers["Content-Length"] or 0)))
                status, headers = outer.script.pop(0) if outer.script else (200, {})
                if status is None:
                    self.close_connection = True
                    return
                body = orjson.dumps(outer.answer or {"success": status == 200, "message": "scripted"})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/api/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def patient(base_url: str, **arguments: Any) -> CoagentClient:
    """A client with short retry delays."""
    return CoagentClient(base_url, retry_backoff_factor=0.001, **arguments)
