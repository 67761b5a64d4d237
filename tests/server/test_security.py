"""Everything but the token that protects a server which a browser on the same machine can reach."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import socket
import sys
from urllib.parse import urlsplit

import pytest
import requests
from starlette.types import Message, Receive, Scope, Send

from coagent_langchain import server
from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server import protocol
from coagent_langchain.server.running import Running
from coagent_langchain.server.security import Security
from coagent_langchain.server.store import Store
from tests.server.asking import TOKEN, ask, post
from tests.server.network import skip_without_ipv6
from tests.server.samples import entry, holding, put


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:3000", "[::1]:3000", "[::1]"])
def test_loopback_names_are_served(running: Running, host: str) -> None:
    """All names of this machine."""
    assert ask(running, Host=host).status_code == 200


@pytest.mark.parametrize("host", ["evil.com", "localhost.evil.com", "127.0.0.1.nip.io", "localhost.", "",
                                  "evil.com:3000", "localhost:80@evil.com", "::1"])  # fmt: skip
def test_other_names_are_refused(running: Running, host: str) -> None:
    """A page that rebinds its own name to 127.0.0.1 can read nothing."""
    assert ask(running, Host=host).status_code == 421


@pytest.mark.parametrize(("headers", "status"), [
    ({}, 200),
    ({"Origin": "http://127.0.0.1:{port}"}, 200),
    ({"Sec_Fetch_Site": "same-origin"}, 200),
    ({"Sec_Fetch_Site": "none"}, 200),
    ({"Sec_Fetch_Site": "cross-site"}, 403),
    ({"Sec_Fetch_Site": "same-site", "Origin": "http://127.0.0.1:{port}"}, 403),
    ({"Origin": "https://evil.com"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://127.0.0.1:1"}, 403),
])  # fmt: skip
def test_pages_of_other_origins_cannot_write(running: Running, headers: dict[str, str], status: int) -> None:
    """The browser's own headers about the sender decide; programs send none and may write."""
    port = str(urlsplit(running.url).port)

    assert post(running, **{name: value.format(port=port) for name, value in headers.items()}) == status


@pytest.mark.parametrize(("headers", "status"), [
    ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty"}, 200),
    ({"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"}, 200),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}, 200),
    ({"Origin": "https://evil.com"}, 200),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "empty"}, 403),
    ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "image"}, 403),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}, 403),
])  # fmt: skip
def test_pages_of_other_origins_can_link_but_not_measure(
    running: Running, headers: dict[str, str], status: int
) -> None:
    """They could not read a response, but how long a search takes says whether the log has a word."""
    assert requests.get(f"{running.url}/?q=soup", headers=headers, timeout=10).status_code == status


@pytest.mark.parametrize(("content_type", "status"), [
    ("application/json", 200), ("application/json; charset=utf-8", 200), ("APPLICATION/JSON", 200),
    ("text/plain", 415), ("application/x-www-form-urlencoded", 415), ("", 415), ("application/jsonp", 415),
])  # fmt: skip
def test_only_json_is_taken(running: Running, content_type: str, status: int) -> None:
    """A form or plain text, which a page may send to any origin without asking, is refused."""
    assert post(running, Content_Type=content_type) == status


def test_no_cors(running: Running) -> None:
    """No response allows another origin, not even to a preflight."""
    answers = [ask(running, Origin="https://evil.com"), ask(running, "OPTIONS", Origin="https://evil.com",
               Access_Control_Request_Method="POST")]  # fmt: skip

    assert [name for answer in answers for name in answer.headers if name.lower().startswith("access-control")] == []
    assert answers[1].status_code == 403


@pytest.mark.parametrize("path", ["/", "/api/v1/runs", "/nothing", "/api/v1/logs/x"])
def test_every_answer_has_the_headers(running: Running, path: str) -> None:
    """Content policy and the other security headers, errors included."""
    headers = ask(running, path=path).headers

    assert {name: headers.get(name) for name in EXPECTED} == EXPECTED


EXPECTED = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": None,
}


@pytest.mark.parametrize(("host", "address"), [("localhost", "http://127.0.0.1"), ("::1", "http://[::1]")])
def test_own_names_of_the_machine_need_no_token(host: str, address: str) -> None:
    """Only this machine can reach them; the reported address works."""
    if ":" in host:
        skip_without_ipv6()
    with server.launch(host=host) as running:
        assert (ask(running).status_code, running.url.rpartition(":")[0]) == (200, address)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has 127.0.0.1 alone")
def test_every_loopback_address_is_reached_by_its_own_name() -> None:
    """A server on another address than 127.0.0.1 responds at the address that it reports."""
    with server.launch(host="127.0.0.2") as running:
        codes = [
            ask(running).status_code,
            *(ask(running, Host=host).status_code for host in ("localhost", "127.0.0.3")),
        ]

    assert codes == [200, 200, 421]


def test_proxy_may_keep_the_name_that_the_client_asked_for(closed: Running) -> None:
    """With a token, which a page that rebinds its own name lacks; over TLS the cookie is `Secure`."""
    served = ask(closed, path="/api/v1/runs", Host="logs.example.com", Authorization=f"Bearer {TOKEN}")
    welcome = ask(closed, path=f"/?token={TOKEN}", Host="logs.example.com", X_Forwarded_Proto="https")

    assert (served.status_code, welcome.status_code) == (200, 303)
    assert "Secure" in welcome.headers["Set-Cookie"].split("; ")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_addresses_need_a_token(host: str) -> None:
    """Listening beyond this machine without a token is refused, with advice."""
    with pytest.raises(ConfigurationError, match=r"--token or COAGENT_AUTH_TOKEN; in Python, token="):
        server.launch(host=host)


def test_with_a_token_it_listens_anywhere(store: Store) -> None:
    """On all addresses, under any name, for clients with the token."""
    with server.launch(store, host="0.0.0.0", token=TOKEN) as opened:
        port = urlsplit(opened.url).port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/api/v1/runs", headers={"Host": "my.machine", "Authorization": f"Bearer {TOKEN}"})

        assert connection.getresponse().status == 200
        connection.close()


def test_bodies_are_never_logged(
    running: Running, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither a valid body nor an invalid one appears in logs, at any level, or in output."""
    caplog.set_level(logging.DEBUG)
    for content in (entry(prompt="secret-word"), entry(prompt="secret-word") | {"timestamp": "secret-word"}):
        requests.post(f"{running.base_url}/logs", json=content, timeout=10)

    assert "secret-word" not in caplog.text + "".join(capfd.readouterr())


def test_request_that_breaks_off_is_no_error_of_the_server(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """For example of a program that was killed: the server's log has no traceback."""
    with server.launch(store) as opened:
        address = urlsplit(opened.url)
        with socket.create_connection((address.hostname, address.port)) as connection:
            head = f"POST /api/v1/logs HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: 9\r\n\r\n[".encode())
        requests.get(f"{opened.base_url}/runs", timeout=10)

    assert caplog.text == ""


def test_search_text_is_no_query_language(store: Store) -> None:
    """Whatever FTS5 or SQL would make of it, it is searched as words."""
    put(store, entry(prompt="plain AND simple"))
    texts = ['"', "a OR b", "NEAR(a b)", "col:x", "^a", "a*", "-a", "'; --", "(", "\\", "%", "AND", "*", "a\x00b"]

    assert [len(store.search("s", text, 100)) for text in texts] == [0] * 11 + [1, 0, 0]
    assert [len(holding(store, text)) for text in texts] == [0] * 11 + [1, 0, 0]


@pytest.mark.parametrize(("begun", "answered"), [
    (False, ["http.response.start", "http.response.body"]), (True, ["http.response.start"]),
])  # fmt: skip
def test_request_that_is_cut_off_is_answered_once(begun: bool, answered: list[str]) -> None:
    """A server that stops no longer waits for it: a response that has begun cannot begin again."""
    sent: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise asyncio.CancelledError

    async def send(message: Message) -> None:
        sent.append(message["type"])

    async def receive() -> Message:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost")]}
    asyncio.run(Security(app)(scope, receive, send))

    assert sent == answered


@pytest.mark.parametrize(("begin", "piece"), [
    (b"GET /", b"a" * 100_000),
    (b"GET / HTTP/1.1\r\nX: ", b"a" * 100_000),
    (b"GET / HTTP/1.1\r\n", b"X: a\r\n" * 20_000),
    (b"POST /api/v1/logs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"a" * 100_000),
], ids=["address", "header", "headers", "trailer"])  # fmt: skip
def test_head_that_does_not_end_is_refused(closed: Running, begin: bytes, piece: bytes) -> None:
    """It would take memory and the event loop's time, even from somebody without a token."""
    address = urlsplit(closed.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(begin)
        with pytest.raises(ConnectionError):
            connection.sendall(piece * 100)


@pytest.mark.parametrize("sent", [
    b"", b"GET / HTTP/1.1\r\nX: a", b"POST /api/v1/logs HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n[",
], ids=["nothing", "head", "body without a token"])  # fmt: skip
def test_connection_that_only_waits_is_closed(closed: Running, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """Anyone could open as many as the server may open files; a request that is being answered may take longer."""
    monkeypatch.setattr(protocol, "MAX_WAIT", 1.0)  # a busy machine may take half of it to send a head
    address = urlsplit(closed.url)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with (
        requests.get(f"{closed.url}/view/live", headers=headers, stream=True, timeout=10) as live,
        socket.create_connection((address.hostname, address.port), timeout=10) as connection,
    ):
        connection.sendall(sent)
        while connection.recv(65_536):
            with contextlib.suppress(OSError):
                connection.sendall(b" ")  # more than uvicorn allows for in a connection that is kept alive
        stream = live.iter_content(None)
        next(stream)
        requests.post(f"{closed.base_url}/logs", json=[entry()], headers=headers, timeout=10)
        changed = next(stream)

    assert b"data:" in changed


def test_head_may_be_as_long_as_a_filter_needs(closed: Running) -> None:
    """And a body as long as it may be, in any number of pieces."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", "X": "a" * 30_000}
    body = iter([b" " * 90_000] * 20 + [b"[]"])

    assert requests.get(f"{closed.url}/?q={'a' * 20_000}", headers=headers, timeout=10).status_code == 200
    assert requests.post(f"{closed.base_url}/logs", data=body, headers=headers, timeout=10).status_code == 200
