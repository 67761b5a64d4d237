"""POST requests to the server; each returns a `Reply` and never raises."""

from __future__ import annotations

import queue
from typing import Any

from coagent_langchain import clock
from coagent_langchain.http import Reply, environment_settings

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
KEPT_S = 4.0  # uvicorn and Node close a connection that is idle for 5 s; a request at that moment fails
PIECE_BYTES = 64 << 10  # at least this much must get through within the time to connect, which limits each write
MAX_ANSWER_BYTES = 1 << 20  # a response names the refused entries; a longer one is not from a CoAgent server


class Transport:
    """Posts to `<base_url>/logs` over one connection, kept open while it is in use; for one thread at a time.

    TLS is verified. Proxies and certificates come from the usual variables (`HTTPS_PROXY`, `NO_PROXY`,
    `REQUESTS_CA_BUNDLE`), read once. Redirects are not followed: the token is sent to `base_url` only.

    Attributes:
        timeout: seconds to wait for a connection, and for the response: the `longest` at most.
        token: the bearer token; any thread may replace it, and the next request uses the new one.
    """

    def __init__(self, base_url: str, auth_token: str | None = None, longest: float = READ_TIMEOUT_S) -> None:
        import requests  # late, because it is slow to import; here and not in the worker, because a fork during
        import urllib3  # an import leaves the child with a lock that is never released

        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        self.timeout = (min(CONNECT_TIMEOUT_S, longest), min(READ_TIMEOUT_S, longest))
        self.token = auth_token
        # Prepared without a session, which would replace the token with a .netrc entry.
        self._request = requests.Request("POST", f"{base_url}/logs", headers=headers).prepare()
        self._failures = (urllib3.exceptions.HTTPError, OSError, ValueError)  # those of requests are OSErrors
        self._connect()

    def _connect(self) -> None:
        import requests

        self._environment = environment_settings(requests.Session(), f"{self._request.url}")
        # Sending through the session would follow a redirect halfway: parse its address, and read its body to the end.
        self._adapter: Any = requests.adapters.HTTPAdapter()
        self._pool: Any = None
        self._used = clock.monotonic()

    def renew(self) -> None:
        """Use a new connection, after a fork.

        The parent's pool is reinitialized in place: emptying it, as happens at interpreter exit, would take a lock that
        a thread of the parent may have held at the moment of the fork.
        """
        if self._pool is not None:
            self._hang_up()  # the child's end only: the parent's stays open
            queue.LifoQueue.__init__(self._pool.pool)
        self._connect()

    def _hang_up(self) -> None:
        for connection in self._pool.pool.queue:
            if connection is not None:
                connection.close()  # it reconnects by itself

    def post(self, *body: bytes | bytearray) -> Reply:
        """Send the parts of a body, which together are JSON, and wait for the response."""
        request, token = self._request.copy(), self.token
        if token:
            request.headers.setdefault("Authorization", f"Bearer {token}")  # a password in the address takes precedence
        request.body = _pieces(body)  # type: ignore[assignment]  # an iterable of known length: nothing is copied
        request.headers["Content-Length"] = str(sum(map(len, body)))
        try:
            if self._pool is None:  # the one that `send` will use, needed after a fork
                self._pool = self._adapter.get_connection_with_tls_context(request, **self._environment)
            if clock.monotonic() - self._used > KEPT_S:
                self._hang_up()
            answer = self._adapter.send(request, stream=True, timeout=self.timeout, **self._environment)
            try:
                text = answer.raw.read(MAX_ANSWER_BYTES, decode_content=True).decode("utf-8", "replace")
            finally:
                answer.close()
                self._used = clock.monotonic()
            if not 200 <= answer.status_code < 300:  # after a 1xx, or from a broken server, another response follows
                self._hang_up()  # it would be taken for that to the next request
        except self._failures as error:
            return Reply.failed(error, token)
        return Reply.of(answer, text, token)


def _pieces(body: tuple[bytes | bytearray, ...]) -> list[memoryview]:
    """The parts of a body, cut for a slow line."""
    return [memoryview(part)[at : at + PIECE_BYTES] for part in body for at in range(0, len(part), PIECE_BYTES)]
