"""What `CoagentClient` neither shows nor sends: tokens, passwords, and content where it must not; its debug lines."""

from __future__ import annotations

import logging
import re

import pytest
from coa_dev_coagent.logapi import LogEntry as PublishedEntry

from coagent_langchain import CoagentClient, CoagentClientError
from coagent_langchain.server import launch
from coagent_langchain.server.running import Running
from tests.client.samples import patient, published
from tests.faulty_server import Answer, FaultyServer, Request


def test_debug_touches_no_logging_setup(server: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """`debug=True` logs to the package's logger and leaves the root logger alone."""
    before = (logging.root.level, list(logging.root.handlers))
    with CoagentClient(server.base_url, debug=True) as client:
        client.log_info("debugged", "hello")

    assert (logging.root.level, logging.root.handlers) == before
    assert capsys.readouterr() == ("", "")


def test_debug_tells_of_each_try(caplog: pytest.LogCaptureFixture) -> None:
    """It logs the response, or why there was none; without `debug`, nothing is logged at any level."""
    caplog.set_level(logging.DEBUG, "coagent_langchain")

    def comes_back(request: Request) -> Answer:
        return Answer({1: 503, 2: None}.get(request.number, 200))

    with FaultyServer(comes_back) as server:
        for debug in (True, False):
            with patient(server.base_url, debug=debug) as client:
                client.log_info("s", "hello")

    assert [re.sub(r"[A-Z]\w+: .* \(", "… (", said) for said in caplog.messages] == [
        "POST /logs: 503 (try 1)", "POST /logs: … (try 2)", "POST /logs: 200 (try 3)",
    ]  # fmt: skip


def test_password_in_the_address_is_sent_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """A proxy in front of the server may need one; messages show the address without it."""
    with FaultyServer() as server:
        address = server.base_url.replace("//", "//me:hush@")
        with patient(address) as client:
            sent = client.log_info("s", "hello").success, server.requests[0].headers["Authorization"]
            shown = client.base_url
    with patient(address, max_retries=0) as client:
        message = client.log_info("s", "hello").message

    assert (sent, shown) == ((True, "Basic bWU6aHVzaA=="), server.base_url)
    assert (f"POST {server.base_url}/logs failed" in message, "hush" in message + caplog.text) == (True, False)


@pytest.mark.parametrize("proxy", ["http://me:hush@127.0.0.1:99999", "gopher://me:hush@127.0.0.1:1"])
def test_password_of_a_proxy_is_not_shown(
    proxy: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The HTTP library repeats a wrong proxy address; the message names the variable to check instead."""
    monkeypatch.setenv("http_proxy", proxy)
    with patient("http://coagent.example/api/v1", max_retries=0) as client:
        message = client.log_info("s", "hello").message

    assert re.sub(" in .* s:", ":", message) == (
        "POST http://coagent.example/api/v1/logs failed after 1 try: InvalidURL "
        "(HTTP_PROXY or HTTPS_PROXY sets the proxy, NO_PROXY the servers to reach without it)"
    )
    assert "hush" not in caplog.text


@pytest.mark.parametrize("body", [
    b"who is to/ken+4711?",
    rb'{"message": "who is to\/ken+4711?"}',
    rb'{"message": "who is to/ken\u002B4711?"}',
    b"<p>who is to&#x2F;ken&plus;4711?</p>",
    b"who is to%2fken%2B4711?",
])  # fmt: skip
def test_token_that_the_server_repeats_is_not_shown(body: bytes) -> None:
    """A refusal is reported without the token, however the server has written it."""
    with FaultyServer(lambda _: Answer(403, body)) as server, CoagentClient(server.base_url, "to/ken+4711") as client:
        refused = client.log_info("s", "hi").message

    assert re.sub(" in .* s:", ":", refused) == f"POST {server.base_url}/logs failed after 1 try: HTTP 403: who is ***?"


def test_token_that_a_refused_read_repeats_is_not_shown() -> None:
    """Nor is it in the traceback that the application logs."""

    def repeats(request: Request) -> Answer:
        return Answer(403, f"who is {request.headers['Authorization']}?".encode())

    with (
        FaultyServer(repeats) as server,
        CoagentClient(server.base_url, "token-4711") as client,
        pytest.raises(CoagentClientError) as refused,
    ):
        client.get_runs()

    assert str(refused.value).endswith("HTTP 403: who is Bearer ***?")
    assert "token-4711" not in repr(vars(refused.value))


def test_token_is_sent_and_not_shown() -> None:
    """The bearer token opens the server; without it, the response is 401."""
    with launch(token="secret-token") as running:
        with CoagentClient(running.base_url, "secret-token") as client:
            stored = client.log_info("s", "hello")
            shown = repr(client._settings)
        with CoagentClient(running.base_url) as client:
            refused = client.log_info("s", "hello")

    assert (stored.success, refused.success, "HTTP 401" in refused.message) == (True, False, True)
    assert "secret-token" not in shown


def test_client_without_a_token_sends_none() -> None:
    """A server, or a proxy in front of it, might refuse a header that means nothing."""
    with FaultyServer() as server, CoagentClient(server.base_url) as client:
        client.log_info("s", "hello")

    assert "Authorization" not in server.requests[0].headers


def test_content_is_not_sent_where_it_must_not(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """`COAGENT_CAPTURE_CONTENT=false` applies to the client, too."""
    monkeypatch.setenv("COAGENT_CAPTURE_CONTENT", "false")
    with CoagentClient(server.base_url) as client:
        client.log_llm_response("private", "the secret", 1, 1, input_tokens=3)
        event = client.get_logs("private")[0]

    assert (event["llm_response"], event["meta"]) == ({"input_tokens": 3}, {"content": "not captured"})


def test_result_of_a_test_is_no_content(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its figures are sent without content, too."""
    monkeypatch.setenv("COAGENT_CAPTURE_CONTENT", "false")
    with CoagentClient(server.base_url) as client:
        client.log_test_result_new("measured", 1, 1, "passed", 3, 3)
        event = client.get_logs("measured")[0]

    assert event["test_result"] == {"status": "passed", "total_tests": 3, "passed_tests": 3}


@pytest.mark.parametrize("entry", [published("objects"), PublishedEntry("objects", 1, 1, "info", prompt="Rome")])
def test_content_of_an_entry_that_is_an_object_is_not_sent_either(
    server: Running, monkeypatch: pytest.MonkeyPatch, entry: PublishedEntry
) -> None:
    """This applies to entries of CoAgent's own client, with or without a usable `to_dict`."""
    monkeypatch.setenv("COAGENT_CAPTURE_CONTENT", "false")
    with CoagentClient(server.base_url) as client:
        client.store_log(entry)
        text = client.get_logs_json("objects")

    assert (entry.event_id in text, "Rome" in text) == (True, False)


def test_session_s_content_is_not_sent_where_it_must_not(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The texts and meta of the session and its prompts are not sent."""
    monkeypatch.setenv("COAGENT_CAPTURE_CONTENT", "false")
    with CoagentClient(server.base_url) as client:
        session = client.start_session("the secret", session_id="quiet", meta={"secret": 1})
        with session, session.prompt("the secret"):
            pass
        text = client.get_logs_json("quiet")

    assert (text.count("event_id"), "secret" in text) == (3, False)
