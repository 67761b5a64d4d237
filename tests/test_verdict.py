"""What a response means for a batch."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coagent_langchain.delivery.transport import Transport
from coagent_langchain.delivery.verdict import Meaning, Verdict, judge
from coagent_langchain.http import Reply
from tests.faulty_server import Answer, FaultyServer

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(("status", "body"), [(101, b"{}"), (103, b"{}"), (204, b""), (301, b""), (599, b"{}")])
def test_status_that_a_server_sends_is_the_one_that_is_judged(status: int, body: bytes) -> None:
    """Also if it is none that ends an exchange, or one without a body."""
    with FaultyServer(lambda request: Answer(status, body)) as server:
        reply = Transport(server.base_url).post(b"[{},{}]")

    assert (reply.status, judge(reply, 2).meaning) == (status, judge(Reply(status, "{}"), 2).meaning)


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
    (Reply(401), "HTTP 401: no reason given (set COAGENT_AUTH_TOKEN, or auth_token=, to this server's token; "
     "if a proxy in front asks for a password: https://user:password@… in the server's address)"),
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
