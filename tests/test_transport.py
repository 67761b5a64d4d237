"""One POST, and what its response means."""

from __future__ import annotations

import contextlib
import gzip
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme

from coagent_langchain.delivery.transport import KEPT_S, Transport
from coagent_langchain.delivery.verdict import Meaning, Verdict, judge
from coagent_langchain.http import Reply
from coagent_langchain.server import launch
from coagent_langchain.wire import BATCH_BYTES
from tests.delivery_parts import TOKEN, line
from tests.faulty_server import Answer, FaultyServer, first

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
MATRIX = {
    Meaning.STORED: [200, 201, 202, 204, 207],
    Meaning.PAUSE: [301, 302, 307, 308, 401, 403, 404, 405, 412, 415],
    Meaning.SPLIT: [413],
    Meaning.REFUSED: [400, 409, 418, 422],
    Meaning.RETRY: [101, 103, 408, 425, 429, 500, 501, 502, 503, 504, 599],
}


@pytest.mark.parametrize(("status", "meaning"), [(s, m) for m, statuses in MATRIX.items() for s in statuses])
def test_status_matrix(status: int, meaning: Meaning) -> None:
    """Each status has one meaning for a batch."""
    with FaultyServer(lambda request: Answer(status, b"" if status in (204, 301) else b"{}")) as server:
        reply = Transport(server.base_url).post(b"[{},{}]")

    assert (reply.status, judge(reply, 2).meaning) == (status, meaning)


def test_connection_that_has_rested_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may close an idle connection just as it is used again; an active one is reused, however old it is."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with FaultyServer() as server:
        transport = Transport(server.base_url)
        for rest in 0.0, KEPT_S - 1, KEPT_S - 1, KEPT_S + 1, KEPT_S - 1:
            clock[0] += rest
            assert transport.post(b"[{}]").status == 200
    ports = [request.port for request in server.requests]

    assert [ports.index(port) for port in ports] == [0, 0, 0, 3, 3]


def test_connection_is_not_used_again_after_an_informational_response() -> None:
    """The response that follows a 102 or 103 would be taken for that to the next request, whose events were lost."""
    with FaultyServer(first(1, Answer(103, b""))) as server:
        transport = Transport(server.base_url)
        statuses = [transport.post(b"[{}]").status for _ in range(3)]
    ports = [request.port for request in server.requests]

    assert (statuses, [ports.index(port) for port in ports]) == ([103, 200, 200], [0, 1, 1])


def test_every_status_means_what_the_docs_say() -> None:
    """The table of docs/delivery.md matches `judge` for a batch, for each status from 100 to 599."""
    text = (Path(__file__).parent.parent / "docs" / "delivery.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (\d[^|]+) \|", text, re.MULTILINE)
    means = [Meaning.STORED, Meaning.REFUSED, Meaning.REFUSED, Meaning.SPLIT, Meaning.RETRY, Meaning.PAUSE]
    table = dict.fromkeys(range(400, 500), Meaning.REFUSED)  # "other 4xx"
    for cell, meaning in zip(cells, means, strict=True):
        for named in re.findall(r"(?<!other )\b\d(?:\d\d|xx)\b", cell):
            table |= dict.fromkeys(range(int(named.replace("x", "0")), int(named.replace("x", "9")) + 1), meaning)

    assert {status: judge(Reply(status, "{}"), 2).meaning for status in range(100, 600)} == table


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        ('{"success": true}', Meaning.STORED),
        ("", Meaning.STORED),
        ("null", Meaning.STORED),
        ('{"success": false, "message": "no"}', Meaning.REFUSED),
        ('{"success": true, "errors": [{"index": 1, "message": "bad"}]}', Meaning.REFUSED),
        ('{"success": true, "errors": 1}', Meaning.STORED),
        ("<html>Sign in to the hotel</html>", Meaning.PAUSE),
        ("\x00\xff garbage", Meaning.PAUSE),
    ],
)
def test_success_is_what_the_body_says(body: str, meaning: Meaning) -> None:
    """A 200 counts only if the body does not contradict it."""
    assert judge(Reply(200, body), 2).meaning is meaning


@pytest.mark.parametrize(
    "said",
    [
        "<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>",  # nginx
        "Client sent an HTTP request to an HTTPS server.\n",  # Go: Caddy, Traefik
        "<p>Reason: You're speaking plain HTTP to an SSL-enabled server port.<br /></p>",  # Apache
    ],
)
def test_address_with_http_for_a_port_with_tls_refuses_no_entry(said: str) -> None:
    """Such a server responds with 400, as to invalid entries, but it is the address that is wrong."""
    verdict = judge(Reply(400, said), 2)
    advice = " (the server uses TLS: its address begins with https://, not http://)"

    assert (verdict.meaning, verdict.reason.endswith(advice)) == (Meaning.PAUSE, True)


@pytest.mark.parametrize("status", [400, 409, 418, 422])
def test_page_refuses_no_entry(status: int) -> None:
    """A proxy's page says nothing about the entries, whatever its status."""
    verdict = judge(Reply(status, "\n<html>No required SSL certificate was sent</html>"), 1)

    assert verdict == Verdict(
        Meaning.PAUSE,
        f"not a response of a CoAgent server: HTTP {status}: No required SSL certificate was sent",
        status=status,
    )


def test_named_entries_are_taken_from_the_answer() -> None:
    """`errors` names entries by index, with field and message on one line; invalid indexes are ignored."""
    named = r'{"index": 0}, {"index": 2, "field": "event_id", "message": "is\n\u001b[1mmissing"}'
    body = f'{{"errors": [{named}, {{"index": 3}}, {{"index": -1}}, {{"index": "1"}}, {{"index": true}}, 7]}}'

    assert judge(Reply(400, body), 3).refused == {0: "refused", 2: "event_id: is [1mmissing"}


def test_answer_that_leaves_everything_waiting_keeps_its_status() -> None:
    """A command's advice depends on it: a page without a reason is not an absent server."""
    answers = [Reply(200, "<html>"), Reply(302), Reply(401, "{}"), Reply(503), Reply(None, "refused")]

    assert [judge(answer, 2).status for answer in answers] == [200, 302, 401, 503, None]


@pytest.mark.parametrize(("reply", "reason"), [
    (Reply(502, "<html>\r\n<style>a {\n}</style><h1>Bad\nGateway</h1>\r\n<hr>nginx"), "HTTP 502: Bad Gateway nginx"),
    (Reply(502, f"<title>Bad Gateway</title><svg {'d' * 2000}></svg>"), "HTTP 502: Bad Gateway"),
    (Reply(502, f"<title>Bad Gateway</title><style>{'a {}' * 500}</style>"), "HTTP 502: Bad Gateway"),
    (Reply(500, '{"message": "a\\nb"}'), "HTTP 500: a b"),
    (Reply(500, "1 <b> 2"), "HTTP 500: 1 <b> 2"),
    (Reply(500, "\x1b[31mred\u202e"), "HTTP 500: [31mred"),
    (Reply(404, "<title></title>"), "HTTP 404: no reason given (does base_url end with /api/v1?)"),
    (Reply(401, "no"), "HTTP 401: no (set COAGENT_AUTH_TOKEN, or auth_token=, to this server's token)"),
    (Reply(401, "<h1>401 Authorization Required</h1>"), "HTTP 401: 401 Authorization Required "
     "(a proxy in front asks for a password: https://user:password@… in the server's address)"),
    (Reply(413, "<h1>413 Request Entity Too Large</h1>"), "HTTP 413: 413 Request Entity Too Large "
     "(a proxy in front refuses bodies of this size: nginx needs client_max_body_size 10m)"),
    (Reply(413, '{"message": "a body has at most 9 bytes"}'), "HTTP 413: a body has at most 9 bytes"),
    (Reply(502, "ProxyError: refused"), "HTTP 502: ProxyError: refused"),
    (Reply(None, "ConnectionError: refused"), "ConnectionError: refused"),
    (Reply(None, "ProxyError: refused"), "ProxyError: refused "
     "(HTTP_PROXY or HTTPS_PROXY sets the proxy, NO_PROXY the servers to reach without it)"),
    (Reply(None, "SSLError: [SSL: WRONG_VERSION_NUMBER]"), "SSLError: [SSL: WRONG_VERSION_NUMBER] "
     "(the server does not use TLS: its address begins with http://, not https://)"),
])  # fmt: skip
def test_reason_is_one_line_that_says_what_to_do(reply: Reply, reason: str) -> None:
    """A page is reduced to its text; if the mistake is clear, the remedy follows."""
    assert judge(reply, 2).reason == reason


def test_conflict_on_one_entry_means_stored_before() -> None:
    """A 409 says nothing about the entries of a batch, but that a single entry is already stored."""
    assert [judge(Reply(409), count).meaning for count in (1, 2)] == [Meaning.STORED, Meaning.REFUSED]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("100000", 300.0),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 12:00:30 -0000", 30.0),
        ("Sun, 22 Nov 2026 14:00:30 +0200", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Mon, 23 Nov 2026 12:00:00 GMT", 300.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("Sun, 22 Nov 99999999999 12:00:30 GMT", 0.0),
        (None, 0.0),
    ],
)
def test_retry_after_in_both_forms(header: str | None, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds and dates are read, anything else is ignored, and the maximum is five minutes."""
    monkeypatch.setattr(time, "time", NOW.timestamp)

    assert Reply(503, retry_after=header).wait == seconds


def test_refused_connection_is_a_reply() -> None:
    """A refused connection is a reply to retry, not an exception."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    reply = Transport(f"http://127.0.0.1:{port}/api/v1").post(b"{}")

    assert (reply.status, "refused" in reply.body) == (None, True)


def test_reset_is_a_reply() -> None:
    """A connection reset during the request is a reply to retry."""
    with FaultyServer(lambda request: Answer(None)) as server:
        reply = Transport(server.base_url).post(b"{}")

    assert (reply.status, judge(reply, 1).meaning) == (None, Meaning.RETRY)


def test_silence_is_a_reply() -> None:
    """No response within the timeout is a reply to retry."""
    with FaultyServer(lambda request: Answer(hangs=True)) as server:
        transport = Transport(server.base_url)
        transport.timeout = (1.0, 0.1)
        reply = transport.post(b"{}")

    assert (reply.status, reply.body) == (None, "ReadTimeout: timed out")


def reply_to(said: bytes) -> Reply:
    """The reply of a post to a server that says this, whatever it is asked, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            while not connection.recv(1000).endswith(b"{}"):  # a connection closed with a rest unread is reset
                pass
            connection.sendall(said)
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        return Transport(f"http://127.0.0.1:{listening.getsockname()[1]}/api/v1").post(b"{}")


def test_something_that_is_no_http_is_a_reply() -> None:
    """Garbage instead of HTTP is a reply to retry; the reason has its beginning, on one line."""
    verdict = judge(reply_to(b"220 mail.example.org ESMTP " + b"x" * 10_000 + b"\r\n"), 1)

    assert (verdict.meaning, verdict.reason[:45]) == (Meaning.RETRY, "ConnectionError: 220 mail.example.org ESMTP x")
    assert (len(verdict.reason), verdict.reason.isprintable()) == (300, True)


def test_answer_that_is_cut_short_is_a_reply() -> None:
    """What is missing may be the refusal of an entry, so it acknowledges nothing."""
    reply = reply_to(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

    assert reply == Reply(None, "ProtocolError: IncompleteRead(1 bytes read, 99 more expected)")


def test_time_to_connect_does_not_limit_the_upload() -> None:
    """Over a slow line a full batch takes longer: it could never be sent."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)

        def read_slowly() -> None:
            connection, _ = listening.accept()
            with connection:
                while not connection.recv(1 << 16).endswith(b"]"):
                    time.sleep(0.1)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        threading.Thread(target=read_slowly, daemon=True).start()
        transport = Transport(f"http://127.0.0.1:{listening.getsockname()[1]}/api/v1")
        little = (socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)  # else the system takes the whole batch at once
        transport._adapter.poolmanager.connection_pool_kw["socket_options"] = [little]
        transport.timeout = (1.0, 20.0)
        reply = transport.post(b"[", b"x" * BATCH_BYTES, b"]")

    assert reply == Reply(200, "{}")


def test_request_says_that_it_is_json() -> None:
    """Some servers refuse a request, or answer with a page, unless its headers say so."""
    with FaultyServer() as server:
        Transport(server.base_url).post(b"{}")

    sent = server.requests[0].headers
    assert (sent["Content-Type"], sent["Accept"]) == ("application/json", "application/json")


def test_token_is_sent_as_bearer() -> None:
    """The token goes into the Authorization header, whatever .netrc says."""
    with FaultyServer() as server:
        Transport(server.base_url, TOKEN).post(b"{}")

    assert server.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"


def test_answer_that_a_proxy_has_compressed_is_read() -> None:
    """nginx compresses with `gzip on` if JSON is among its types."""
    body = gzip.compress(b'{"success": true}')
    with FaultyServer(lambda request: Answer(200, body, {"Content-Encoding": "gzip"})) as server:
        reply = Transport(server.base_url).post(b"{}")

    assert reply == Reply(200, '{"success": true}')


def test_redirect_is_not_followed() -> None:
    """A redirect does not send the token and the entries elsewhere."""
    with FaultyServer() as elsewhere:
        location = {"Location": f"{elsewhere.base_url}/logs"}
        with FaultyServer(lambda request: Answer(307, headers=location)) as server:
            reply = Transport(server.base_url, TOKEN).post(b"{}")

    assert (reply.status, elsewhere.requests) == (307, [])


def test_redirect_is_told_without_its_query() -> None:
    """The reason has the redirect's address, such as https:// for http://; a query may contain secrets."""
    location = {"Location": "https://logs.example.org/api/v1/logs?state=secret#there"}
    with FaultyServer(lambda request: Answer(308, headers=location)) as server:
        reply = Transport(server.base_url).post(b"{}")

    told = "it redirects to https://logs.example.org/api/v1/logs, and redirects are not followed"
    assert reply == Reply(308, told)


class _Endless(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(302)
        self.send_header("Location", "http://[not an address")
        self.end_headers()
        with contextlib.suppress(OSError):  # until the client hangs up
            while True:
                self.wfile.write(b"x" * 10_000)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_redirect_is_not_followed_halfway() -> None:
    """Its address may be no address, and its body have no end, which would fill the application's memory."""
    with HTTPServer(("127.0.0.1", 0), _Endless) as server:
        threading.Thread(target=server.handle_request).start()
        reply = Transport(f"http://127.0.0.1:{server.server_port}/api/v1").post(b"{}")

    assert reply == Reply(302, "it redirects to http://[not an address, and redirects are not followed")


def test_token_does_not_come_back_in_an_outcome() -> None:
    """A token that the server repeats does not get into a reason or a log line."""
    with FaultyServer(lambda request: Answer(401, f"bad token {TOKEN}".encode())) as server:
        reply = Transport(server.base_url, TOKEN).post(b"{}")

    assert reply == Reply(401, "bad token ***")


@pytest.mark.parametrize("token", ["t", "true", "1"])
def test_token_that_is_part_of_any_answer_leaves_the_answer_readable(token: str) -> None:
    """With so short a token, the entries are stored and refused as with any other."""
    with launch(token=token) as server:
        transport = Transport(server.base_url, token)
        stored = judge(transport.post(line("e1")), 1)
        partly = judge(transport.post(b"[", line("e2"), b",[]]"), 2)

    assert (stored, partly.refused) == (Verdict(Meaning.STORED), {1: "an entry must be a JSON object"})


@pytest.fixture
def secured() -> Iterator[tuple[str, str]]:
    """A server with a certificate from an unknown authority; yields its address and the authority's file."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FaultyServer(tls=context) as server, authority.cert_pem.tempfile() as path:
        yield server.base_url, path


def test_unknown_certificate_is_not_accepted(secured: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS is verified by default."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)

    reply = Transport(secured[0]).post(b"{}")

    assert (reply.status, reply.body.partition(":")[0]) == (None, "SSLError")


@pytest.mark.parametrize("bundle", ["", "/missing.pem", __file__])
def test_certificates_that_do_not_vouch_for_the_server_are_named_as_the_cause(
    bundle: str, secured: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown authority, a missing file, and one without certificates have the same remedy."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    reason = judge(Transport(secured[0]).post(b"{}"), 1).reason

    assert reason.endswith(" (REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names the file of the certificates to trust)")


def test_custom_authority_by_the_usual_variable(secured: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`REQUESTS_CA_BUNDLE` sets a custom authority."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", secured[1])

    assert Transport(secured[0]).post(b"{}").status == 200


def test_proxy_by_the_usual_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """`HTTP_PROXY` is used, and its errors do not show the proxy's password."""
    monkeypatch.setenv("http_proxy", "http://user:hush@127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")

    reply = Transport("http://coagent.example/api/v1").post(b"{}")

    assert (reply.body.partition(":")[0], "hush" in reply.body) == ("ProxyError", False)


@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:1", "http://", "http://[", "ftp://localhost", "socks5://localhost"]
)
def test_proxy_that_cannot_be_used_is_named_as_the_cause(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries' errors for it have many names, and few of them mention a proxy."""
    monkeypatch.setenv("http_proxy", proxy)
    reason = judge(Transport("http://coagent.example/api/v1").post(b"{}"), 1).reason

    assert reason.endswith(" (HTTP_PROXY or HTTPS_PROXY sets the proxy, NO_PROXY the servers to reach without it)")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_proxy_leads_to_this_machine(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds even if only `HTTP_PROXY` is set: the proxy's localhost is another machine."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with FaultyServer() as server:
        reply = Transport(server.base_url.replace("127.0.0.1", host)).post(b"{}")

    assert reply.status == 200


def test_package_import_stays_light() -> None:
    """Importing the package `delivery` does not import `requests`."""
    code = "import sys, coagent_langchain.delivery; print('requests' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed == "False\n"
