"""Access control for every route: who may send requests, from where, and what a browser may do with the response."""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coagent_langchain.server.responses import error_response
from coagent_langchain.server.templating import for_a_person, render

OPEN = ("/static/viewer.css", "/static/icon.svg")  # needed by the page that asks for the token; not secret
_OWN = re.compile(r"/(?![/\\])[!-~]*")  # a path on this server: to a browser, `//x` and `/\x` name another host
_MISDIRECTED = (
    "without a token, this server accepts only host names of its own machine (Host header): start it with --token, "
    "or have the proxy send 'Host: localhost'"
)
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Security:
    """ASGI middleware for HTTP scopes only: checks host, origin, content type and token; sets response headers.

    Parameters:
        hosts: host names that the Host header may name, without port; any if empty.
        token: bearer token that every request must have, or None.
    """

    def __init__(self, app: ASGIApp, *, hosts: tuple[str, ...] = LOOPBACK, token: str | None = None) -> None:
        self._app = app
        self._hosts = hosts
        self._token = token
        self._cookie = secrets.token_urlsafe(32)  # a new secret at each start
        self._tickets: set[str] = set()

    def ticket(self) -> str:
        """Issue a single-use ticket for the viewer: `/?ticket=...` exchanges it for the cookie."""
        ticket = secrets.token_urlsafe(32)
        self._tickets.add(ticket)
        return ticket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        answered = False

        async def send_with_headers(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refuse(scope, Headers(scope=scope))
        try:
            await (refusal or self._app)(scope, receive, send_with_headers)
        except asyncio.CancelledError:  # the server is stopping and no longer waits for a hanging database
            if not answered:
                answer = error_response("the server is shutting down", 503, {"Retry-After": "1"})
                await answer(scope, receive, send_with_headers)

    def _refuse(self, scope: Scope, headers: Headers) -> Response | None:
        if self._hosts and _host(headers)[0] not in self._hosts:
            return error_response(_MISDIRECTED, 421)  # not 400: the entries are valid, and the client keeps them
        reads = scope["method"] in ("GET", "HEAD")
        if not _same_origin(headers) and not (reads and _shown(headers)):
            return error_response(f"pages of another origin may not {'read' if reads else 'write'} here", 403)
        if scope["method"] == "POST" and not _is_json(headers):
            return error_response("Content-Type must be application/json", 415)
        return self._identify(scope, headers) if self._token else None

    def _identify(self, scope: Scope, headers: Headers) -> Response | None:
        kind, _, sent = headers.get("authorization", "").partition(" ")
        given = sent.strip() if kind.lower() == "bearer" else ""  # any other kind is the password of a proxy in front
        if given and _equal(given, self._token or ""):
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"))
        tickets, tokens = query.pop("ticket", []), query.pop("token", [])
        asked = _asked(scope["raw_path"].decode("latin-1"), query)
        if scope["method"] == "GET" and self._opens(scope["path"], tickets, tokens):
            return self._welcome(asked, _cookie_name(headers), secure=scope["scheme"] == "https")
        if _equal(cookie_parser(headers.get("cookie", "")).get(_cookie_name(headers), ""), self._cookie):
            return None
        if scope["method"] in ("GET", "HEAD") and scope["path"] in OPEN:
            return None
        wrong = given or (tokens and scope["path"] == "/")
        problem = "the token is wrong" if wrong else "a token is required"
        challenge = {"WWW-Authenticate": "Bearer"}
        if for_a_person(scope["method"], headers):
            return render("locked.html", 401, challenge, problem=problem.capitalize(), asked=asked)
        return error_response(f"{problem}: Authorization: Bearer <token>", 401, challenge)

    def _opens(self, path: str, tickets: list[str], tokens: list[str]) -> bool:
        """Whether an address logs a browser in: with a single-use ticket, or at `/` with the token itself."""
        for ticket in tickets:
            if ticket in self._tickets:
                self._tickets.discard(ticket)
                return True
        return path == "/" and any(_equal(token, self._token or "") for token in tokens)

    def _welcome(self, asked: str, cookie: str, *, secure: bool) -> Response:
        response = RedirectResponse(asked, 303)
        response.set_cookie(cookie, self._cookie, httponly=True, samesite="strict", path="/", secure=secure)
        return response


def _asked(path: str, query: dict[str, list[str]]) -> str:
    """The page to show after login: `next` of the address, otherwise the address itself; `/` if not a valid path."""
    given = query.pop("next", [path + ("?" + urlencode(query, doseq=True) if query else "")])[0]
    return given if _OWN.fullmatch(given) else "/"


def _cookie_name(headers: Headers) -> str:
    """The name of the cookie, with the port in it: a browser sends a host's cookies to all servers on that host."""
    return f"coagent_session_{_host(headers)[1]}".rstrip("_")


def _host(headers: Headers) -> tuple[str, str]:
    """The name and port of the Host header; the port is "" if it has none."""
    host = headers.get("host", "").lower()
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and port.isdecimal() else (host, "")


def _is_json(headers: Headers) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def _same_origin(headers: Headers) -> bool:
    """Whether a request comes from a page of this server, by a browser's headers, or from another program."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2].lower() == headers.get("host", "").lower()


def _shown(headers: Headers) -> bool:
    """Whether the response becomes a page of its own, such as by a link; programs and old browsers do not say.

    What another page embeds or fetches, the browser keeps from it, but not how long the response takes: a search that
    finds nothing takes a tenth of the time.
    """
    return headers.get("sec-fetch-dest", "document") == "document"


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
