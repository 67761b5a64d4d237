"""Requests to a CoAgent server in the calling thread, with retries."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from typing import TYPE_CHECKING, Any

import orjson

from coagent_langchain import clock
from coagent_langchain.config import public_url
from coagent_langchain.errors import CoagentClientError, logger
from coagent_langchain.http import MAX_BACKOFF_S, Reply, backoff, environment_settings, hint, is_retryable
from coagent_langchain.texts import counted

if TYPE_CHECKING:
    import requests

DOWN_FOR = 10.0  # seconds for which writes make a single attempt, after all attempts of one have failed


class Connection:
    """A server, reached over persistent connections; thread-safe. The parameters are those of `CoagentClient`.

    Attributes:
        base_url: the address without a user name and password, safe to show.
    """

    def __init__(
        self, base_url: str, auth_token: str | None, *, timeout: float, max_retries: int, backoff: float, debug: bool
    ) -> None:
        self.base_url = public_url(base_url)
        self._address = base_url
        self._token = auth_token
        self._timeout = timeout
        self._max_retries = max_retries
        self._backoff = backoff
        self._debug = debug
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._session: requests.Session | None = None
        self._pid = os.getpid()
        self._down_until = 0.0

    @property
    def down(self) -> bool:
        """Whether all attempts of a write failed to reach the server less than `DOWN_FOR` seconds ago."""
        return clock.monotonic() < self._down_until

    def close(self) -> None:
        """Close the connections; a pause between two attempts ends at once."""
        self._closed.set()
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None

    def get(self, path: str, params: dict[str, str] | None = None) -> tuple[Any, str]:
        """Get the JSON at `path`, parsed and as text; a `CoagentClientError` if there was no usable response."""
        return self._request("GET", path, self._max_retries, params=params)

    def post(self, path: str, body: bytes, max_retries: int | None = None) -> Any:
        """Post JSON, with retries; a `CoagentClientError` if there was no usable response.

        If the server was down a moment ago, there is a single attempt, so that an application that logs often is not
        held up each time.
        """
        retries = self._max_retries if max_retries is None else max_retries
        if not isinstance(retries, int):
            raise CoagentClientError(f"max_retries must be a whole number, not {retries!r}", attempts=0)
        try:
            answer, _ = self._request("POST", path, 0 if self.down else retries, data=body)
        except CoagentClientError as error:
            if error.status is None:
                self._down_until = clock.monotonic() + DOWN_FOR
            raise
        self._down_until = 0.0
        return answer

    def _request(self, method: str, path: str, retries: int, **content: Any) -> tuple[Any, str]:
        if self._closed.is_set():
            raise CoagentClientError("the client is closed; create a new one", attempts=0)
        started = clock.monotonic()
        request, session = self._prepared(method, path, **content), self._connected()
        environment = environment_settings(session, f"{request.url}")
        for attempt in itertools.count():
            reply = self._send(session, request, environment)
            status = reply.status
            if self._debug:
                logger.debug("%s %s: %s (try %d)", method, path, status or reply.body, attempt + 1)
            if _succeeded(status):
                if method == "POST" and not reply.body.strip():  # e.g. 204: stored, as for delivery
                    return None, ""
                with contextlib.suppress(ValueError):
                    return orjson.loads(reply.body), reply.body
            pause = max(backoff(attempt, self._backoff), min(reply.wait, MAX_BACKOFF_S))
            if not is_retryable(status) or attempt >= retries or self._closed.wait(pause):
                break
        tries = f"{counted(attempt + 1, 'try')} in {clock.monotonic() - started:.1f} s"
        raise CoagentClientError(
            f"{method} {self.base_url}{path} failed after {tries}: {_reason(reply)}",
            status=status, attempts=attempt + 1, answer=reply.answer,
        )  # fmt: skip

    def _prepared(self, method: str, path: str, **content: Any) -> requests.PreparedRequest:
        import requests  # late: it is slow to import

        headers = {"Accept": "application/json"}
        if method == "POST":
            headers["Content-Type"] = "application/json"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        # Prepared without the session, which would replace the token with a .netrc entry.
        return requests.Request(method, self._address + path, headers=headers, **content).prepare()

    def _send(self, session: requests.Session, request: requests.PreparedRequest, environment: dict[str, Any]) -> Reply:
        try:
            answer = session.send(request, timeout=self._timeout, allow_redirects=False, **environment)
        except (OSError, ValueError) as error:  # those of requests are OSErrors; a redirect may lead to no address
            return Reply.failed(error, self._token)
        # After a 1xx, or from a broken server, another response may follow: the next request would take it for its own.
        # A 4xx is common, and to reconnect costs all threads their connections.
        if not 200 <= answer.status_code < 500:
            session.close()  # it reconnects
        reads = request.method == "GET" and answer.status_code < 300  # and returns what was logged, as it is
        return Reply.of(answer, answer.text, None if reads else self._token)

    def _connected(self) -> requests.Session:
        import requests

        if self._pid != os.getpid():  # a forked child needs its own connections, and a lock that no parent thread holds
            self._lock, self._session, self._pid = threading.Lock(), None, os.getpid()
        with self._lock:
            if self._session is None:
                self._session = requests.Session()
            return self._session


def _succeeded(status: int | None) -> bool:
    return status is not None and 200 <= status < 300


def _reason(reply: Reply) -> str:
    """Why a response is not usable, and what to do about it."""
    if _succeeded(reply.status):
        return f"HTTP {reply.status}, but not JSON; is it a CoAgent server?"
    return reply.reason + hint(reply.status, reply.reason)
