"""The requests of `CoagentClient`: retries, a server that is away, threads and processes that share it."""

from __future__ import annotations

import logging
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from coagent_langchain import CoagentClient, CoagentClientError, ConfigurationError, connection
from coagent_langchain.client import SETTLE_TIMEOUT
from coagent_langchain.log_methods import LogResult
from coagent_langchain.server.running import Running
from tests.client.samples import patient
from tests.faulty_server import Answer, FaultyServer, Request, answering, first


def test_many_threads_share_a_client(client: CoagentClient) -> None:
    """No event is lost, logged twice or mixed up."""
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: client.log_info(f"threads-{n % 4}", f"{n:03}"), range(200)))
    found = [sorted(e["output_data"]["message"] for e in client.get_logs(f"threads-{n}")) for n in range(4)]

    assert all(r.success for r in results)
    assert found == [[f"{n:03}" for n in range(first, 200, 4)] for first in range(4)]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 503, 520, 599, None])
def test_what_may_pass_is_tried_again_with_the_same_event(status: int | None) -> None:
    """A retried entry keeps its id, so the server stores it once."""
    with FaultyServer(first(2, Answer(status))) as server, patient(server.base_url) as client:
        result = client.log_info("s", "hello")
    tried = [request.entries for request in server.requests]

    assert (result.success, tried) == (True, [tried[0]] * 3)


@pytest.mark.parametrize(("status", "said"), [
    (301, "no"), (400, "no"), (404, "no (does base_url end with /api/v1?)"), (422, "no"),
    (401, "no (set COAGENT_AUTH_TOKEN, or auth_token=, to this server's token)"),
])  # fmt: skip
def test_what_will_not_pass_is_tried_once(status: int, said: str) -> None:
    """A refusal is reported in the server's words; a wrong path or token with a hint on what to check."""
    refusal = answering({"success": False, "message": "no"}, status)
    with FaultyServer(refusal) as server, patient(server.base_url) as client:
        result = client.log_info("s", "hello")

    assert (result.success, len(server.requests)) == (False, 1)
    assert re.search(rf"failed after 1 try in [\d.]+ s: HTTP {status}: {re.escape(said)}$", result.message)


@pytest.mark.parametrize(("location", "told"), [
    ("https://logs.example.org/api/v1/logs",
     "it redirects to https://logs.example.org/api/v1/logs, and redirects are not followed"),
    ("http://[not an address", "ValueError"),
])  # fmt: skip
def test_redirect_is_told_with_the_address_that_it_leads_to(location: str, told: str) -> None:
    """It is not followed: the token goes only to `base_url`. A write returns a result, whatever the server says."""
    answer = Answer(308, headers={"Location": location})
    with FaultyServer(lambda request: answer) as server, patient(server.base_url) as client:
        result = client.log_info("s", "hello", max_retries=0)

    assert (result.success, result.message.endswith(told)) == (False, True)


def test_no_proxy_leads_to_this_machine(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's proxy does not know the server on the user's own machine."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with CoagentClient(server.base_url) as client:
        assert client.log_info("near", "hello").success


def test_retries_come_to_an_end() -> None:
    """`max_retries` of the client, or of the call, limits the tries; a negative number stops no application."""
    with FaultyServer(lambda request: Answer(503)) as server, patient(server.base_url, max_retries=2) as client:
        result = client.log_info("s", "hello")
        tries = [len(server.requests)]
        for retries in (0, -1):
            client.log_info("s", "hello", max_retries=retries)
            tries.append(len(server.requests))
        client.store_logs([{"session_id": "s"}], max_retries=1)
        tries.append(len(server.requests))

    assert (result.success, tries) == (False, [3, 3 + 1, 3 + 2, 3 + 2 + 2])
    assert "failed after 3 tries" in result.message


@pytest.mark.parametrize("odd", ["3", 1.5])
def test_retries_that_are_no_number_are_refused_by_the_result(
    client: CoagentClient, caplog: pytest.LogCaptureFixture, odd: Any
) -> None:
    """They are refused at the first call, not by an exception when the server is away for the first time."""
    result = client.log_info("s", "hello", max_retries=odd)

    assert result == LogResult(False, f"max_retries must be a whole number, not {odd!r}")
    assert result.message in caplog.text


@pytest.mark.parametrize(("status", "connections"), [(103, [0, 1, 1]), (422, [0, 0, 0]), (500, [0, 1, 1])])
def test_connection_is_not_used_again_after_a_response_that_another_may_follow(
    status: int, connections: list[int]
) -> None:
    """A response that follows it would be taken for that to the next request; a 4xx is common, and seldom followed."""
    with FaultyServer(first(1, Answer(status, b""))) as server, patient(server.base_url) as client:
        results = [client.log_info("s", "hello", max_retries=0) for _ in range(3)]
    ports = [request.port for request in server.requests]

    assert ([r.success for r in results], [ports.index(port) for port in ports]) == ([False, True, True], connections)
    assert results[0].message.endswith(f": HTTP {status}: no reason given")


def test_retry_after_is_obeyed() -> None:
    """The delay is as long as the server asks."""
    busy = Answer(429, headers={"Retry-After": "1"})
    with FaultyServer(first(1, busy)) as server, patient(server.base_url) as client:
        started = time.monotonic()
        result = client.log_info("s", "hello")

    assert result.success
    assert time.monotonic() - started >= 1


def test_retry_after_is_obeyed_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The application waits for the call, so a server cannot hold it up for as long as it likes."""
    monkeypatch.setattr(connection, "MAX_BACKOFF_S", 0.1)
    busy = Answer(429, headers={"Retry-After": "20"})
    with FaultyServer(first(1, busy)) as server, patient(server.base_url) as client:
        started = time.monotonic()
        result = client.log_info("s", "hello")

    assert result.success
    assert time.monotonic() - started < 20


def test_server_that_is_away_costs_the_host_neither_exception_nor_time(caplog: pytest.LogCaptureFixture) -> None:
    """The first call retries, the next ones try once; the result and one log line for each say so."""
    with patient("http://127.0.0.1:9/api/v1") as client, caplog.at_level(logging.WARNING):
        results = [client.log_info("s", "hello") for _ in range(3)]

    assert [r.success for r in results] == [False] * 3
    assert ["4 tries" in r.message for r in results] == [True, False, False]
    assert re.search(r": ConnectionError: (\[Errno \d+\] )?Connection refused$", results[0].message)
    assert caplog.messages == [f"not stored: 1 log entry: {r.message}" for r in results]


def test_many_entries_for_a_server_that_is_away_are_told_of_once() -> None:
    """If three requests fail, the cause is given once."""
    entry = {"session_id": "many", "prompt_number": 1, "turn_number": 0, "event_type": "info"}
    with patient("http://127.0.0.1:9/api/v1") as client:
        result = client.store_logs([entry] * 1200)

    assert (result.success, result.message.count("Connection refused")) == (False, 1)
    assert result.message.startswith("0 log entries stored; POST ")


def test_server_that_comes_back_is_tried_as_often_as_before() -> None:
    """The limit of one try per call ends when the server is reached again."""

    def resets(request: Request) -> Answer:
        return Answer(None if request.number in (1, 2, 4) else 200)

    with FaultyServer(resets) as server, patient(server.base_url, max_retries=1) as client:
        results = [client.log_info("s", "hello") for _ in range(3)]

    assert ([r.success for r in results], len(server.requests)) == ([False, True, True], 5)


def test_server_that_answers_is_not_away() -> None:
    """After a failed call with 503 responses, the next one is retried as usual."""
    with FaultyServer(first(3, Answer(503))) as server, patient(server.base_url, max_retries=1) as client:
        results = [client.log_info("s", "hello") for _ in range(2)]

    assert ([r.success for r in results], len(server.requests)) == ([False, True], 4)


def test_call_does_not_overtake_what_its_session_has_logged() -> None:
    """Events of the client's sessions go through the spool, and would arrive later."""
    with FaultyServer() as server, CoagentClient(server.base_url) as client:
        with client.start_session("Plan", session_id="s"):
            client.log_info("s", "hello")
        came = [entry["event_type"] for request in server.requests for entry in request.entries]

    assert came[:2] == ["session_start", "info"]


def test_session_of_a_client_does_not_bring_an_old_token_back() -> None:
    """Another client of the same server may have a newer one, with which everything is sent."""
    with FaultyServer() as server, CoagentClient(server.base_url, "old") as old:
        with old.start_session("Plan", session_id="first"):
            pass
        with CoagentClient(server.base_url, "new") as new, new.start_session("Plan", session_id="renewed"):
            pass
        with old.start_session("Plan", session_id="later"):
            pass
        old.log_info("other", "hello")  # waits until the session has been sent
    sent = [each.headers["Authorization"] for each in server.requests if "later" in str(each.entries)]

    assert {*sent} == {"Bearer new"}


def test_calls_do_not_wait_for_sessions_while_the_server_is_away() -> None:
    """Events of the client's sessions are sent first, but not if the last call could not reach the server."""
    with patient("http://127.0.0.1:9/api/v1") as client:
        client.log_info("s", "hello")
        with client.start_session("Plan", session_id="s"):
            started = time.monotonic()
            client.log_info("s", "hello")
            took = time.monotonic() - started

    assert took < SETTLE_TIMEOUT


def test_closing_ends_a_pause() -> None:
    """`close` from another thread does not wait for the next retry."""
    with FaultyServer(lambda request: Answer(503, headers={"Retry-After": "25"})) as server:
        client = patient(server.base_url)
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(client.log_info, "s", "hello")
            assert server.wait_for(lambda: bool(server.requests))
            client.close()
            result = future.result(timeout=5)
        late = client.log_info("s", "late")

    assert (result.success, late.success, late.message) == (False, False, "the client is closed; create a new one")


def test_closed_client_has_made_no_attempt() -> None:
    """`with` closes it; the error says what to do, and that nothing was sent."""
    with CoagentClient() as client:
        pass
    with pytest.raises(CoagentClientError, match="the client is closed; create a new one") as refused:
        client.get_runs()

    assert (refused.value.attempts, refused.value.status) == (0, None)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({"base_url": "localhost"}, "base_url"), ({"timeout": 0}, "timeout"), ({"max_retries": -1}, "max_retries"),
     ({"max_retries": 1.5}, "max_retries"), ({"retry_backoff_factor": float("nan")}, "retry_backoff_factor")],
)  # fmt: skip
def test_wrong_settings_are_told_at_once(arguments: dict[str, Any], name: str) -> None:
    """The message names the argument."""
    with pytest.raises(ConfigurationError, match=name):
        CoagentClient(**arguments)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_has_a_connection_of_its_own() -> None:
    """A connection is reused from call to call, but a child process shares neither it nor the threads' locks."""
    with FaultyServer() as server, patient(server.base_url) as client:
        results = [client.log_info("s", "parent"), client.log_info("s", "parent")]
        with client._connection._lock:  # as if a thread had just begun a request
            if (pid := os.fork()) == 0:
                signal.alarm(10)
                os._exit(0 if client.log_info("s", "child").success else 1)
            _, status = os.waitpid(pid, 0)
        results.append(client.log_info("s", "parent"))
    parent, again, child, last = (request.port for request in server.requests)

    assert ([r.success for r in results], status) == ([True] * 3, 0)
    assert (parent == again == last, child != parent) == (True, True)
