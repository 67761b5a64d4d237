"""What an answer means for the entries of a request: the status matrix, as one pure function.

| answer | meaning |
|---|---|
| 2xx | stored; with `success: false` as 400; with something other than JSON: not our server, as 404 |
| 409 on one entry | stored before; a page: as 404 |
| 413 | too much at once: split |
| 400, 409, 422, other 4xx | entries are refused: those that `errors` names, else search for them; a page: as 404 |
| 1xx, 408, 425, 429, 5xx, no answer | retry later |
| 3xx, 401, 403, 404 and the like | the set-up is wrong: keep everything, retry slowly |
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from coagent_langchain.wire import JsonObject

MAX_RETRY_AFTER_S = 300.0
_RETRY = {408, 425, 429}
_SETUP = {401, 402, 403, 404, 405, 406, 407, 410, 411, 412, 415, 417, 421, 426, 428, 431, 451}
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
    (401, ("Authorization Required", "could not verify", "valid user and password"),
     "a proxy in front asks for a password: https://user:password@… in the server's address"),
    (401, (), "set COAGENT_AUTH_TOKEN, or auth_token=, to this server's token"),
    (404, (), "does base_url end with /api/v1?"),
    (405, (), "does base_url end with /api/v1?"),
    # What nginx and Apache say; our server says how large a body may be.
    (413, ("Entity Too Large",), "a proxy in front refuses bodies of this size: nginx needs client_max_body_size 10m"),
)  # fmt: skip
_MARKUP = re.compile(r"<(style|script)\b.*?(?:</\1>|\Z)|<[^>]*(?:>|\Z)", re.DOTALL | re.IGNORECASE)
_NOT_OURS = "not a response of a CoAgent server"
_PAGE = 2000  # characters of an answer that are examined: the gist comes first; a tag may be cut off at the end


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of one POST.

    Attributes:
        status: HTTP status, or None if there was no answer.
        body: the answer's body, or why there was no answer.
        retry_after: the header of that name.
    """

    status: int | None
    body: str = ""
    retry_after: str | None = None

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


class Meaning(enum.Enum):
    """What to do with the entries of a request."""

    STORED = enum.auto()
    SPLIT = enum.auto()
    REFUSED = enum.auto()
    RETRY = enum.auto()
    PAUSE = enum.auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The meaning of an answer.

    Attributes:
        meaning: what to do.
        reason: in the server's words if it gave any.
        refused: index and reason of each entry that the server named.
        wait: seconds that the server asks to wait.
        status: HTTP status, if the entries are to be sent again; None also if there was no answer.
    """

    meaning: Meaning
    reason: str = ""
    refused: dict[int, str] = field(default_factory=dict)
    wait: float = 0.0
    status: int | None = None

    @property
    def again(self) -> bool:
        """Whether the same request must be repeated later: nothing is settled."""
        return self.meaning in (Meaning.RETRY, Meaning.PAUSE)


def judge(reply: Reply, count: int) -> Verdict:
    """Determine what the answer to a request with `count` entries, at least one, means."""
    status, reason = reply.status, reply.reason
    advice = hint(status, reason)
    if status is None or is_retryable(status):
        return Verdict(Meaning.RETRY, reason + advice, wait=reply.wait, status=status)
    if status < 300:
        return _judge_success(reply, count)
    if status < 400 or status in _SETUP:
        return Verdict(Meaning.PAUSE, reason + advice, status=status)
    if status == 413:
        return Verdict(Meaning.SPLIT, reason + advice)
    if _is_page(reply.body) or advice:
        return Verdict(Meaning.PAUSE, f"{_NOT_OURS}: {reason}{advice}", status=status)
    if status == 409 and count == 1:
        return Verdict(Meaning.STORED, reason)
    return Verdict(Meaning.REFUSED, reason, _named(reply.answer, count))


def is_retryable(status: int | None) -> bool:
    """Whether the same request may succeed later; None is a request without an answer, and 1xx is not one yet."""
    return status is None or not 200 <= status < 500 or status in _RETRY


def _said(body: str, answer: Any) -> str:
    """What an answer says, on one line: its JSON's message, the text between the tags of a page, or all of it."""
    if isinstance(answer, dict) and answer.get("message"):
        body = str(answer["message"])
    elif _is_page(body):
        body = _MARKUP.sub(" ", body[:_PAGE])
    return _on_one_line(body[:_PAGE])[:300] or "no reason given"


def _is_page(body: str) -> bool:
    """Whether this is HTML, which only a proxy or another server sends in response to entries."""
    return body.lstrip().startswith("<")


def _on_one_line(said: str) -> str:
    """The text without characters that would garble a log or a terminal."""
    return "".join(filter(str.isprintable, " ".join(said.split())))


def redirect(location: str) -> str:
    """Describe a redirect: where it leads, without the query, which may contain a secret."""
    return f"it redirects to {re.split('[?#]', location)[0]}, and redirects are not followed"


def hint(status: int | None, reason: str) -> str:
    """What to do about an answer that says this, or about the lack of one for this reason, if that is clear."""
    for known, words, advice in _ADVICE:
        if status == known and (not words or any(each in reason for each in words)):
            return f" ({advice})"
    return ""


def _judge_success(reply: Reply, count: int) -> Verdict:
    answer, reason = reply.answer, reply.reason
    if reply.body.strip() and answer is None:
        return Verdict(Meaning.PAUSE, f"{_NOT_OURS}: {reason}", status=reply.status)
    refused = _named(answer, count)
    if refused or (isinstance(answer, dict) and answer.get("success") is False):
        return Verdict(Meaning.REFUSED, reason, refused)
    return Verdict(Meaning.STORED)


def errors_in(answer: Any) -> tuple[JsonObject, ...]:
    """The items of an answer's `errors` that refer to single entries by `index`."""
    errors = answer.get("errors") if isinstance(answer, dict) else None
    listed = errors if isinstance(errors, list) else []
    return tuple(error for error in listed if isinstance(error, dict) and isinstance(error.get("index"), int))


def _named(answer: Any, count: int) -> dict[int, str]:
    """The entries that the answer's `errors` name, each with what is wrong with it."""
    named = {}
    for error in errors_in(answer):
        if 0 <= error["index"] < count:
            said = ": ".join(str(error[key]) for key in ("field", "message") if error.get(key))
            named[error["index"]] = _on_one_line(said) or "refused"
    return named
