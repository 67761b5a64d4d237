"""HTTP: what the requests of delivery and of the client have in common, and how a reply is read."""

from __future__ import annotations

import random
import re
import traceback
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import orjson

from coagent_langchain.config import is_loopback
from coagent_langchain.wire import JsonObject

if TYPE_CHECKING:
    import requests

MAX_RETRY_AFTER_S = 300.0
MAX_BACKOFF_S = 30.0
_RETRY = {408, 425, 429}
SHORTEST_SECRET = 6  # characters of a token: a shorter one is no secret, and may be part of any answer, such as `true`
_TOKEN = "set COAGENT_AUTH_TOKEN, or auth_token=, to this server's token"
_PASSWORD = "a proxy in front asks for a password: https://user:password@… in the server's address"
# What to do, by status (None: there was no answer) and, if any are given, by words of which the reason contains one.
_ADVICE = (
    # OpenSSL's messages for a response in plain HTTP.
    (None, ("WRONG_VERSION_NUMBER", "record layer failure"),
     "the server does not use TLS: its address begins with http://, not https://"),
    # The proxy is unavailable, or its address is invalid.
    (None, ("ProxyError", "InvalidProxyURL", "ProxySchemeUnknown", "InvalidURL", "LocationParseError", "SOCKS"),
     "HTTP_PROXY or HTTPS_PROXY sets the proxy, NO_PROXY the servers to reach without it"),
    # An authority that is not trusted, no such file, a file without certificates.
    (None, ("signed certificate", "unable to get local issuer", "CA certificate bundle", "NO_CERTIFICATE_OR_CRL_FOUND"),
     "REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names the file of the certificates to trust"),
    # What nginx, Go (Caddy, Traefik) and Apache say to plain HTTP on a port for TLS.
    (400, ("plain HTTP request was sent to HTTPS port", "sent an HTTP request to an HTTPS server",
           "speaking plain HTTP to an SSL-enabled server port"),
     "the server uses TLS: its address begins with https://, not http://"),
    # What nginx, Apache and HAProxy say without their password.
    (401, ("Authorization Required", "could not verify", "valid user and password"), _PASSWORD),
    # What Caddy (nothing) and Traefik say without theirs, but perhaps also another server without its token.
    (401, ("no reason given", "401 Unauthorized"),
     f"{_TOKEN}; if {_PASSWORD}"),
    (401, (), _TOKEN),
    (404, (), "does base_url end with /api/v1?"),
    (405, (), "does base_url end with /api/v1?"),
    # What nginx and Apache say; our server says how large a body may be.
    (413, ("Entity Too Large",), "a proxy in front refuses bodies of this size: nginx needs client_max_body_size 10m"),
)  # fmt: skip
_MARKUP = re.compile(r"<(style|script)\b.*?(?:</\1>|\Z)|<[^>]*(?:>|\Z)", re.DOTALL | re.IGNORECASE)
_random = random.SystemRandom()  # not the module's generator: an application that seeds it relies on its numbers
_PAGE = 2000  # characters of an answer that are examined: the gist comes first; a tag may be cut off at the end


def environment_settings(session: requests.Session, url: str) -> dict[str, Any]:
    """Proxies and certificates for an address, from the usual variables; no proxy is used for this machine itself."""
    settings = session.merge_environment_settings(url, {}, None, None, None)
    near = is_loopback(urlsplit(url).hostname or "")
    return {"verify": settings["verify"], "proxies": {} if near else settings["proxies"]}


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of one request.

    Attributes:
        status: HTTP status, or None if there was no answer.
        body: the answer's body, or why there was no answer.
        retry_after: the header of that name.
    """

    status: int | None
    body: str = ""
    retry_after: str | None = None

    @classmethod
    def of(cls, response: requests.Response, body: str, token: str | None) -> Self:
        """The reply that a response is; without the token, which it may repeat."""
        if response.is_redirect:
            body = _redirect(response.headers["Location"])
        return cls(response.status_code, _without_token(body, token), response.headers.get("Retry-After"))

    @classmethod
    def failed(cls, error: BaseException, token: str | None) -> Self:
        """The lack of a response, because of `error`."""
        return cls(None, _without_token(_what_failed(error), token))

    @property
    def answer(self) -> Any:
        """The JSON in the body, or None if it is not JSON."""
        try:
            return orjson.loads(self.body)
        except ValueError:
            return None

    @property
    def reason(self) -> str:
        """What the answer says, or why there was none."""
        said = _said(self.body, self.answer)
        return f"HTTP {self.status}: {said}" if self.status else said

    @property
    def wait(self) -> float:
        """Seconds that the server asks to wait, 300 at most; 0 if it asks for nothing or cannot be understood."""
        if not self.retry_after:
            return 0.0
        from urllib3 import Retry  # late, like `requests`, which uses it
        from urllib3.exceptions import InvalidHeader

        try:
            return min(float(Retry().parse_retry_after(self.retry_after)), MAX_RETRY_AFTER_S)
        except (InvalidHeader, ValueError, OverflowError):
            return 0.0


def is_retryable(status: int | None) -> bool:
    """Whether the same request may succeed later; None is a request without an answer, and 1xx is not one yet."""
    return status is None or not 200 <= status < 500 or status in _RETRY


def backoff(attempt: int, base: float = 0.2) -> float:
    """Seconds to wait before the next attempt: random, from 0 to `base * 2**attempt`, at most `MAX_BACKOFF_S`."""
    return _random.uniform(0.0, min(MAX_BACKOFF_S, base * 2.0 ** min(attempt, 16)))


def errors_in(answer: Any) -> tuple[JsonObject, ...]:
    """The items of an answer's `errors` that refer to single entries by `index`."""
    errors = answer.get("errors") if isinstance(answer, dict) else None
    listed = errors if isinstance(errors, list) else []
    return tuple(error for error in listed if isinstance(error, dict) and type(error.get("index")) is int)


def _said(body: str, answer: Any) -> str:
    """What an answer says, on one line: its JSON's message, the text between the tags of a page, or all of it."""
    if isinstance(answer, dict) and answer.get("message"):
        body = str(answer["message"])
    elif is_page(body):
        body = _MARKUP.sub(" ", body[:_PAGE])
    return on_one_line(body[:_PAGE])[:300] or "no reason given"


def is_page(body: str) -> bool:
    """Whether this is HTML, which only a proxy or another server sends in response to entries."""
    return body.lstrip().startswith("<")


def on_one_line(said: str) -> str:
    """The text without characters that would garble a log or a terminal."""
    return "".join(filter(str.isprintable, " ".join(said.split())))


def _redirect(location: str) -> str:
    """Describe a redirect: where it leads, without the query, which may contain a secret."""
    return f"it redirects to {re.split('[?#]', location)[0]}, and redirects are not followed"


def hint(status: int | None, reason: str) -> str:
    """What to do about an answer that says this, or about the lack of one for this reason, if that is clear."""
    for known, words, advice in _ADVICE:
        if status == known and (not words or any(each in reason for each in words)):
            return f" ({advice})"
    return ""


def _without_token(text: str, token: str | None) -> str:
    """Mask the token in a server's or library's message, where it may be escaped for JSON, HTML or an address."""
    if token is None or len(token) < SHORTEST_SECRET:
        return text
    written = "".join(each if each.isalnum() else _escaped(each) for each in token)
    return re.sub(written, "***", text)


def _escaped(character: str) -> str:
    r"""A pattern for a character as it is, or e.g. as `\+`, `\u002B`, `%2B` or `&#43;`."""
    code = f"{ord(character):02x}"
    return rf"(?:\\?{re.escape(character)}|(?i:\\u00{code}|%{code})|&#?\w+;)"


def _what_failed(error: BaseException) -> str:
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
