"""HTTP as uvicorn reads it, with limits on a request's head, which has none there, and without its warnings."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 65_536  # bytes of address and headers, besides the first or last piece that arrives: up to 256 KiB
MAX_WAIT = 60.0  # seconds for the whole head of a request, or for it to begin
# Requests are not logged: uvicorn warns of each that is not plain HTTP/1.1, such as every attempt to use TLS, and of
# each that offers another protocol, with advice to install one.
_log = logging.getLogger("uvicorn.error.coagent")
_log.setLevel(logging.ERROR)


class Protocol(HttpToolsProtocol):
    """Refuses a request whose head, or what follows its body, does not end.

    A header takes quadratic time: one of 50 MB stops the event loop for 14 seconds, and needs no token. Nor do
    connections on which no request ever comes, and the server can have as many as it may open files.
    """

    _unfinished = 0  # bytes since the last head or part of a body was complete

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.logger = _log

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(MAX_WAIT, self._close_if_waiting)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._deadline.cancel()
        self._deadline = self.loop.call_later(MAX_WAIT, self._close_if_waiting)

    def _close_if_waiting(self) -> None:
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response(f"address and headers have at most {MAX_HEAD} bytes")

    def on_headers_complete(self) -> None:
        self._unfinished = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unfinished = 0
        super().on_message_complete()
