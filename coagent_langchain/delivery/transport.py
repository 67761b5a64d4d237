"""POST requests to the server; each returns a `Reply` and never raises."""

from __future__ import annotations

import queue
import re
import time
import traceback
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from coagent_langchain.config import is_loopback
from coagent_langchain.delivery.verdict import Reply, redirect

if TYPE_CHECKING:
    import requests

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
KEPT_S = 4.0  # uvicorn and Node close a connection that is idle for 5 s; a request at that moment fails
PIECE_BYTES = 64 << 10  # at least this much must get through within the time to connect, which limits each write
SHORTEST_SECRET = 6  # characters of a token: a shorter one is no secret, and may be part of any answer, such as `true`
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
        self._used = time.monotonic()

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
            if time.monotonic() - self._used > KEPT_S:
                self._hang_up()
            answer = self._adapter.send(request, stream=True, timeout=self.timeout, **self._environment)
            try:
                text = answer.raw.read(MAX_ANSWER_BYTES, decode_content=True).decode("utf-8", "replace")
            finally:
                answer.close()
                self._used = time.monotonic()
        except self._failures as error:
            return Reply(None, without_token(what_failed(error), token))
        if answer.is_redirect:
            text = redirect(answer.headers["Location"])
        return Reply(answer.status_code, without_token(text, token), answer.headers.get("Retry-After"))


def _pieces(body: tuple[bytes | bytearray, ...]) -> list[memoryview]:
    """The parts of a body, cut for a slow line."""
    return [memoryview(part)[at : at + PIECE_BYTES] for part in body for at in range(0, len(part), PIECE_BYTES)]


def environment_settings(session: requests.Session, url: str) -> dict[str, Any]:
    """Proxies and certificates for an address, from the usual variables; no proxy is used for this machine itself."""
    settings = session.merge_environment_settings(url, {}, None, None, None)
    near = is_loopback(urlsplit(url).hostname or "")
    return {"verify": settings["verify"], "proxies": {} if near else settings["proxies"]}


def without_token(text: str, token: str | None) -> str:
    """Mask the token in a server's or library's message, where it may be escaped for JSON, HTML or an address."""
    if token is None or len(token) < SHORTEST_SECRET:
        return text
    written = "".join(each if each.isalnum() else _escaped(each) for each in token)
    return re.sub(written, "***", text)


def _escaped(character: str) -> str:
    r"""A pattern for a character as it is, or e.g. as `\+`, `\u002B`, `%2B` or `&#43;`."""
    code = f"{ord(character):02x}"
    return rf"(?:\\?{re.escape(character)}|(?i:\\u00{code}|%{code})|&#?\w+;)"


def what_failed(error: BaseException) -> str:
    """The kind of failure and its root cause: the layers between repeat addresses, maybe with a proxy's password.

    The frames of all layers are cleared: they refer to each other and to the connection pool, which would otherwise
    stay open until the next garbage collection.
    """
    cause = error
    traceback.clear_frames(cause.__traceback__)
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
        traceback.clear_frames(cause.__traceback__)
    told = isinstance(cause, OSError | HTTPException)  # any other may repeat an address too
    return f"{type(error).__name__}: {cause}" if told else type(error).__name__
