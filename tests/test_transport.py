"""One POST: its connection, its headers, and what becomes of it if something goes wrong."""

from __future__ import annotations

import contextlib
import gzip
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from coagent_langchain import clock
from coagent_langchain.delivery.transport import KEPT_S, Transport
from coagent_langchain.delivery.verdict import Meaning, Verdict, judge
from coagent_langchain.http import Reply
from coagent_langchain.server import launch
from coagent_langchain.wire import BATCH_BYTES
from tests.delivery_parts import TOKEN, line
from tests.faulty_server import Answer, FaultyServer, first


def test_connection_that_has_rested_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may close an idle connection just as it is used again; an active one is reused, however old it is."""
    now = [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    with FaultyServer() as server:
        transport = Transport(server.base_url)
        for rest in 0.0, KEPT_S - 1, KEPT_S - 1, KEPT_S + 1, KEPT_S - 1:
            now[0] += rest
            assert transport.post(b"[{}]").status == 200
    ports = [request.port for request in server.requests]

    assert [ports.index(port) for port in ports] == [0, 0, 0, 3, 3]


@pytest.mark.parametrize("status", [103, 302, 404, 500])
def test_connection_is_not_used_again_after_another_response_than_success(status: int) -> None:
    """A response that follows it would be taken for that to the next request, whose events were lost.

    One follows a 102 or 103; and a 500 may itself be the second response to a request, from a broken server.
    """
    with FaultyServer(first(1, Answer(status, b""))) as server:
        transport = Transport(server.base_url)
        statuses = [transport.post(b"[{}]").status for _ in range(3)]
    ports = [request.port for request in server.requests]

    assert (statuses, [ports.index(port) for port in ports]) == ([status, 200, 200], [0, 1, 1])


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


def test_package_import_stays_light() -> None:
    """Importing the package `delivery` does not import `requests`."""
    code = "import sys, coagent_langchain.delivery; print('requests' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed == "False\n"
