"""`CoagentClient` against a real server, and against servers that misbehave."""

from __future__ import annotations

import contextlib
import http.server
import json
import logging
import os
import re
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
from coa_dev_coagent.logapi import LogEntry as PublishedEntry
from coa_dev_coagent.logapi import TestStatus as PublishedStatus
from coa_dev_coagent.logapi import create_tool_call_log
from langchain_core.runnables import RunnableLambda

from coagent_langchain import (
    CoagentCallbackHandler,
    CoagentClient,
    CoagentClientError,
    ConfigurationError,
    LoggedEvent,
)
from coagent_langchain.capture import resume
from coagent_langchain.client import SETTLE_TIMEOUT
from coagent_langchain.eventlog import LogResult
from coagent_langchain.events import LogEntry
from coagent_langchain.server import launch
from coagent_langchain.server.running import Running
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import chat
from tests.faulty_server import Answer, FaultyServer


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """An embedded server with its own store."""
    with launch() as running:
        yield running


@pytest.fixture
def client(server: Running) -> Iterator[CoagentClient]:
    """A client of that server."""
    with CoagentClient(server.base_url) as client:
        yield client


def without_ids(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry without the fields that differ from run to run."""
    return {k: v for k, v in entry.items() if k not in ("version", "session_id", "event_id", "timestamp")}


def test_session_start_and_end_by_position(client: CoagentClient) -> None:
    """Positional arguments in the documented order work; the elapsed time goes into meta."""
    results = [
        client.log_session_start("position", "Analyze feedback", 1, 0, {"version": "1.2.0"}),
        client.log_session_end("position", "5 insights", 1, 0, 1200, {"insights": 5}),
    ]

    assert [(r.success, r.message) for r in results] == [(True, "Log entry stored successfully")] * 2
    assert [without_ids(e.raw) for e in client.get_logs("position")] == [
        {
            "prompt_number": 1,
            "turn_number": 0,
            "event_type": "session_start",
            "prompt": "Analyze feedback",
            "meta": {"version": "1.2.0"},
        },
        {
            "prompt_number": 1,
            "turn_number": 0,
            "event_type": "session_end",
            "output_data": {"response": "5 insights"},
            "meta": {"insights": 5, "elapsed_time_ms": 1200},
        },
    ]


def test_elapsed_time_needs_no_meta_beside_it(client: CoagentClient) -> None:
    """Without other meta, the elapsed time is all that the meta of `session_end` contains."""
    client.log_session_end("elapsed", "done", 1, elapsed_time_ms=1200)

    assert [e.meta for e in client.get_logs("elapsed")] == [{"elapsed_time_ms": 1200}]


def test_every_method_takes_meta(client: CoagentClient) -> None:
    """Each method stores whatever the application passes besides the documented fields."""
    sid = "meta"
    client.log_session_start(sid, "Why?", meta={"n": 1})
    client.log_user_input(sid, "Why?", 1, meta={"n": 2})
    client.log_llm_call_new(sid, "Why?", 1, 1, meta={"n": 3})
    client.log_llm_response(sid, "Because.", 1, 1, meta={"n": 4})
    client.log_tool_call(sid, "search", 1, 1, meta={"n": 5})
    client.log_tool_response(sid, "search", 1, 1, meta={"n": 6})
    client.log_error(sid, 1, 1, "boom", meta={"n": 7})
    client.log_info(sid, "one", meta={"n": 8})
    client.log_warning(sid, "two", meta={"n": 9})
    client.log_debug(sid, "three", meta={"n": 10})
    client.log_test_result_new(sid, 1, 0, "passed", 1, 1, meta={"n": 11})
    client.log_session_end(sid, "Because.", 1, meta={"n": 12})

    assert [e.meta for e in client.get_logs(sid)] == [{"n": number} for number in range(1, 13)]


def test_every_method_writes_its_event(client: CoagentClient) -> None:
    """Each method's event omits what is unknown."""
    sid = "every-method"
    client.log_user_input(sid, "Why?", 2)
    client.log_llm_call_new(sid, "Why?", 2, 1, "analyst", {"messages": ["hi"]}, "Be brief")
    client.log_llm_call(sid, "Why?", 2, 2)
    client.log_llm_response(sid, "Because.", 2, 1, {"tools_used": ["search"]}, 10, 2, 12, execution_time_ms=9)
    client.log_tool_call(sid, "search", 2, 1, {"q": "why"})
    client.log_tool_response(sid, "search", 2, 1, "nothing", execution_time_ms=7)
    client.log_tool_response(sid, "search", 2, 1, {"found": 0}, parameters={"q": "why"})
    client.log_tool_response(sid, "search", 2, 1, error_message="offline")
    client.log_error(sid, 2, 1, "boom", "ValueError", "Traceback…")
    client.log_test_result_new(sid, 2, 0, "failed", 3, 2)
    client.log_info(sid, "one", 2)
    client.log_warning(sid, "two", 2, 1)
    client.log_debug(sid, "three", 2, 1, {"level": 10})
    written = [without_ids(e.raw) for e in client.get_logs(sid)]
    bodies = [{k: v for k, v in e.items() if not k.endswith("_number")} for e in written]

    assert bodies == [
        {"event_type": "user_input", "prompt": "Why?", "input_data": {"prompt": "Why?"}},
        {
            "event_type": "llm_call",
            "prompt": "Why?",
            "llm_call": {"issuer": "analyst", "history": {"messages": ["hi"]}, "system_prompt": "Be brief"},
        },
        {"event_type": "llm_call", "prompt": "Why?", "llm_call": {}},
        {
            "event_type": "llm_response",
            "llm_response": {
                "response": "Because.",
                "tool_calls": {"tools_used": ["search"]},
                "input_tokens": 10,
                "output_tokens": 2,
                "total_tokens": 12,
                "execution_time_ms": 9,
            },
        },
        {"event_type": "tool_call", "tool_call": {"tool_name": "search", "parameters": {"q": "why"}}},
        {
            "event_type": "tool_response",
            "tool_response": {
                "tool_name": "search",
                "result": {"output": "nothing"},
                "success": True,
                "execution_time_ms": 7,
            },
        },
        {
            "event_type": "tool_response",
            "tool_response": {
                "tool_name": "search",
                "parameters": {"q": "why"},
                "result": {"found": 0},
                "success": True,
            },
        },
        {
            "event_type": "tool_response",
            "tool_response": {"tool_name": "search", "error_message": "offline", "success": False},
        },
        {
            "event_type": "error",
            "error_info": {"error_message": "boom", "error_type": "ValueError", "stack_trace": "Traceback…"},
        },
        {"event_type": "test_result", "test_result": {"status": "failed", "total_tests": 3, "passed_tests": 2}},
        {"event_type": "info", "output_data": {"message": "one"}},
        {"event_type": "warning", "output_data": {"message": "two"}},
        {"event_type": "debug", "output_data": {"message": "three"}, "meta": {"level": 10}},
    ]
    assert [e["turn_number"] for e in written] == [0, 1, 2, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize(("log", "fields"), [
    (lambda c: c.log_error("s", "disk full", 1, 1), ["prompt_number", "error_info.error_message"]),
    (lambda c: c.log_info(None, "hello"), ["session_id"]),
    (lambda c: c.log_user_input("s", "hello", "x"), ["prompt_number"]),
    (lambda c: c.log_tool_call("s", "search", 1, 1, "not a dict"), ["tool_call.parameters"]),
    (lambda c: c.log_session_end("s", "bye", 1, elapsed_time_ms=5, meta="not a dict"), ["meta"]),
])  # fmt: skip
def test_values_that_the_server_refuses_are_named_and_raise_nothing(
    client: CoagentClient, caplog: pytest.LogCaptureFixture, log: Callable[[Any], LogResult], fields: list[str]
) -> None:
    """A model may have produced them, and must not stop the agent: the result and the logger name the field."""
    result = log(client)

    assert (result.success, [error["field"] for error in result.errors]) == (False, fields)
    assert f"{fields[0]} must be" in caplog.text


def test_events_read_back_are_typed_and_keep_what_is_unknown(client: CoagentClient) -> None:
    """An event has typed fields, and the JSON as the server has it."""
    entry = {"session_id": "kept", "prompt_number": 1, "turn_number": 1, "event_type": "llm_response"}
    client.store_log(entry | {"llm_response": {"response": "Hi", "mood": "good"}, "colour": {"r": 1}})
    event = client.get_logs("kept")[0]

    assert event.llm_response is not None
    assert (event.llm_response.response, event.model_extra, event["llm_response"]["mood"], event.get("none")) == (
        "Hi",
        {"colour": {"r": 1}},
        "good",
        None,
    )


def test_event_has_the_fields_that_its_json_has(client: CoagentClient) -> None:
    """As in the dict of CoAgent's own client, absent known fields are not in the event; unknown ones are."""
    entry = {"session_id": "has", "prompt_number": 1, "turn_number": 1, "event_type": "info", "colour": "red"}
    client.store_log(entry)
    event = client.get_logs("has")[0]

    assert [name in event for name in ("session_id", "colour", "prompt", "mood")] == [True, True, False, False]


@pytest.mark.parametrize("entry", [
    {"event_type": "made_up"}, {"event_type": "error", "meta": ["x"]}, {}, {"cls": 1, "session_id": 5},
    {"_fields_set": 1}, {"_raw": 1, "__dict__": 2},
])  # fmt: skip
def test_events_that_are_not_as_they_should_be_are_read_all_the_same(entry: dict[str, Any]) -> None:
    """A newer server's types or another client's mistakes do not prevent reading."""
    event = LoggedEvent.read(entry)
    fields = {name: getattr(event, name) for name in entry if name in LoggedEvent.model_fields}

    assert (event.raw, fields | (event.model_extra or {})) == (entry, entry)


@pytest.mark.parametrize("entry", [[], None, "text", 5])
def test_entry_that_is_no_object_is_an_event_without_fields(entry: object) -> None:
    """One malformed entry does not prevent reading the others."""
    assert LoggedEvent.read(entry).raw == {}


def test_event_shows_what_it_has(client: CoagentClient) -> None:
    """The repr omits absent fields, for notebooks and failing tests."""
    client.store_log({"session_id": "shown", "prompt_number": 1, "turn_number": 1, "event_id": "e", "timestamp": 5,
                      "event_type": "llm_response", "llm_response": {"response": "Rome."}})  # fmt: skip

    assert repr(client.get_logs("shown")[0]) == (
        "LoggedEvent(version='2.0.0', session_id='shown', prompt_number=1, turn_number=1, event_id='e', "
        "event_type=<EventType.LLM_RESPONSE: 'llm_response'>, timestamp=5, llm_response=LlmResponse(response='Rome.'))"
    )


def test_log_entry_objects_are_stored(client: CoagentClient) -> None:
    """A `LogEntry` is stored as it is, with the caller's own id and time."""
    entry = LogEntry(session_id="typed", prompt_number=1, turn_number=0, event_id="own", event_type="routing",
                     timestamp=5)  # fmt: skip
    client.store_log(entry)

    assert client.get_logs("typed")[0].raw == entry.model_dump(mode="json", exclude_none=True)


def test_log_entry_may_hold_what_json_does_not_know(client: CoagentClient) -> None:
    """Like a dict, it raises nothing, and the event is stored."""
    entry = LogEntry(session_id="odd-entry", prompt_number=1, turn_number=0, event_id="own", event_type="info",
                     timestamp=5, meta={"error": os.getcwd, "path": b"\xff"})  # fmt: skip
    result = client.store_log(entry)

    assert (result.success, sorted(client.get_logs("odd-entry")[0]["meta"])) == (True, ["error", "path"])


def published(session_id: str) -> PublishedEntry:
    """A tool call as code for CoAgent's own client logs it, by an entry because that client has no method for it."""
    entry = create_tool_call_log(session_id, 1, 1, "trains", {"to": "Rome"})
    entry.additional_properties = {"carriage": 7}
    return entry


def test_entries_of_coagents_own_client_are_stored(client: CoagentClient) -> None:
    """They are stored as that client would send them: absent fields omitted, additional properties at the top level."""
    one, two = published("published"), published("published")
    client.store_log(one)
    client.store_logs([two])

    assert [e.raw for e in client.get_logs("published")] == [one.to_dict(), two.to_dict()]


def test_entry_that_cannot_say_what_it_is_is_stored_by_its_fields(client: CoagentClient) -> None:
    """CoAgent's own client raises here, because its entry needs an `EventType`."""
    result = client.store_log(PublishedEntry("by-fields", 1, 0, "info"))  # type: ignore[arg-type]

    assert (result.success, client.get_logs("by-fields")[0].event_type) == (True, "info")


def test_status_of_tests_may_be_that_of_coagents_own_client(client: CoagentClient) -> None:
    """An enumeration is logged as its value."""
    client.log_test_result_new("status", 1, 0, PublishedStatus.SKIPPED, 3, 0)

    assert client.get_logs("status")[0]["test_result"] == {"status": "skipped", "total_tests": 3, "passed_tests": 0}


def test_objects_that_json_does_not_know_become_text(client: CoagentClient) -> None:
    """Whatever the application puts into meta, the event is stored."""
    result = client.log_info("odd", "x", meta={"path": os.getcwd, 3: {"a", "b"}, "half": "\ud800"})

    assert (result.success, sorted(client.get_logs("odd")[0]["meta"])) == (True, ["3", "half", "path"])


def test_batch_is_stored_in_order(client: CoagentClient) -> None:
    """A batch may have more entries than fit into one request."""
    entry = {"session_id": "batch", "prompt_number": 1, "event_type": "info"}
    result = client.store_logs(entry | {"turn_number": n, "timestamp": n} for n in range(1200))

    assert (result.success, result.message) == (True, "1,200 log entries stored")
    assert [e.turn_number for e in client.get_logs("batch")] == list(range(1200))


def test_bad_entries_of_a_batch_are_named(client: CoagentClient) -> None:
    """The good entries are stored; the result names the bad ones by their index."""
    entry = {"session_id": "partly", "prompt_number": 1, "turn_number": 0, "event_type": "info"}
    entries = [entry] * 700 + [entry | {"prompt_number": -1}] + [entry]
    result = client.store_logs(entries)

    assert (result.success, [(e["index"], e["field"]) for e in result.errors]) == (False, [(700, "prompt_number")])
    assert len(client.get_logs("partly")) == 701
    assert result.message.startswith("701 log entries stored; POST ")


def test_many_entries_go_in_few_requests() -> None:
    """A request has up to 500 entries or a megabyte."""
    entry = {"session_id": "many", "prompt_number": 1, "turn_number": 0, "event_type": "info"}
    with FaultyServer() as server, CoagentClient(server.base_url) as client:
        client.store_logs([entry] * 1200)
        client.store_logs([entry | {"prompt": "x" * 400_000}] * 5)

    assert [len(request.entries) for request in server.requests] == [500, 500, 200, 2, 2, 1]


def test_entry_that_is_larger_than_a_request_should_be_goes_alone() -> None:
    """An empty batch makes no request."""
    entry = {"session_id": "large", "prompt_number": 1, "turn_number": 0, "event_type": "info"}
    with FaultyServer() as server, CoagentClient(server.base_url) as client:
        results = [client.store_logs(each) for each in ([entry | {"prompt": "x" * 1_100_000}, entry], [])]

    assert [len(request.entries) for request in server.requests] == [1, 1]
    assert [(r.success, r.message) for r in results] == [(True, "2 log entries stored"), (True, "0 log entries stored")]


def test_no_request_is_larger_than_a_proxy_takes() -> None:
    """Nginx refuses more than 1 MiB, including brackets and commas."""
    entry = {"session_id": "large", "prompt_number": 1, "turn_number": 0, "event_type": "info"}
    with FaultyServer() as server, CoagentClient(server.base_url) as client:
        for size in range(1800, 2100, 20):
            client.store_logs([entry | {"prompt": "x" * size}] * 501)

    assert max(request.size for request in server.requests) <= 1 << 20


def test_value_that_is_no_entry_costs_nothing_else(client: CoagentClient) -> None:
    """In a batch, its index is named; alone, or for an entry instead of a list, the message says what is wrong."""
    entry = {"session_id": "values", "prompt_number": 1, "turn_number": 0, "event_type": "info"}
    many, one, unlisted = client.store_logs([entry, 5, entry]), client.store_log(5), client.store_logs(entry)  # type: ignore[list-item,arg-type]

    assert (many.success, [e["index"] for e in many.errors], len(client.get_logs("values"))) == (False, [1], 2)
    assert (one.success, "object" in one.message) == (False, True)
    assert (unlisted.success, unlisted.message) == (False, "store_logs takes a list of entries; store_log takes one")


@pytest.mark.parametrize("given", [None, 5, "an entry", LogEntry.model_construct(session_id="an entry")])
def test_what_is_no_list_of_entries_is_refused_by_the_result(client: CoagentClient, given: Any) -> None:
    """Nothing raises, as when a server refuses an entry."""
    refused = client.store_logs(given)

    assert (refused.success, refused.message) == (False, "store_logs takes a list of entries; store_log takes one")


def test_runs_summaries_and_filters(client: CoagentClient) -> None:
    """The three ways to find sessions and events work with any id."""
    client.log_session_start("found/with space?", "Hello", 1)
    client.log_error("found/with space?", 1, 0, "boom")
    summary = next(s for s in client.summarize() if s.run_id == "found/with space?")

    assert "found/with space?" in client.get_runs()
    assert (summary.log_count, summary.end_timestamp >= summary.start_timestamp) == (2, True)
    assert client.filter_logs("found/with space?", "[?event_type=='error'].error_info.error_message") == ["boom"]


@pytest.mark.parametrize("expression", ["[0].nothing", "max([].nothing)"])
def test_filter_that_finds_nothing_gives_none(client: CoagentClient, expression: str) -> None:
    """The server's response is `null`, which is valid JSON."""
    client.log_info("null", "hello")

    assert client.filter_logs("null", expression) is None


def test_last_prompt_number(client: CoagentClient) -> None:
    """It is the highest number, whichever came last, and 0 for an unknown session."""
    for number in (1, 3, 2):
        client.log_info("numbered", "hello", number)

    assert [client.last_prompt_number(session_id) for session_id in ("numbered", "unknown")] == [3, 0]


@pytest.mark.parametrize(("before", "number"), [(0, 1), (2, 3)])
def test_handler_resumes_a_session_where_it_ended(
    client: CoagentClient, caplog: pytest.LogCaptureFixture, before: int, number: int
) -> None:
    """Prompts continue the server's numbers, or start at 1 if it has none, without a warning."""
    session_id, log = f"resumed-{before}", MemoryDelivery()
    for prompt_number in range(1, before + 1):
        client.log_user_input(session_id, "hello", prompt_number)
    handler = CoagentCallbackHandler(session_id, base_url=client.base_url, resume=True, delivery=log)
    RunnableLambda(str).invoke("hello", {"callbacks": [handler]})

    assert ({entry["prompt_number"] for entry in log.entries}, caplog.messages) == ({number}, [])


def test_decorated_function_resumes_a_session_where_it_ended(client: CoagentClient) -> None:
    """The first call continues the session; the next ones start new ones with the next numbers."""
    client.log_user_input("again", "before", 4)
    log = MemoryDelivery()
    handler = CoagentCallbackHandler("again", base_url=client.base_url, resume=True, delivery=log)
    cook = handler.session("Cook")(lambda: RunnableLambda(str).invoke("q", {"callbacks": [handler]}))
    cook()
    cook()

    assert [(e["event_type"], e["prompt_number"]) for e in log.entries] == [
        ("user_input", 5), ("session_end", 5), ("session_start", 6), ("user_input", 6), ("session_end", 6),
    ]  # fmt: skip


def test_server_that_hangs_holds_up_one_resuming_handler_alone(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a handler per request, the later handlers do not ask, and there is one warning."""
    monkeypatch.setattr(resume, "ASK_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as hung:
        base_url = f"http://127.0.0.1:{hung.getsockname()[1]}/api/v1"
        for session_id in ("first", "second"):
            CoagentCallbackHandler(session_id, base_url=base_url, resume=True, delivery=MemoryDelivery())
        hung.settimeout(0.0)
        asked = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                hung.accept()[0].close()
                asked += 1

    assert (asked, [message.partition(":")[0] for message in caplog.messages]) == (
        1, ["cannot resume session first, its numbering starts at 1"],
    )  # fmt: skip


def test_text_of_a_session_has_every_number_as_the_server_has_it(client: CoagentClient) -> None:
    """What was logged as 1.0 is not read as 1, and long integers keep their digits."""
    numbers = [1.0, 1, 18446744073709551615]
    client.log_info("numbers", "hello", meta={"numbers": numbers})
    text = client.get_logs_json("numbers")

    assert (json.loads(text)[0]["meta"]["numbers"], "[1.0,1,18446744073709551615]" in text) == (numbers, True)


def test_many_threads_share_a_client(client: CoagentClient) -> None:
    """No event is lost or mixed up."""
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: client.log_info(f"threads-{n % 4}", str(n)), range(200)))
    messages = {e["output_data"]["message"] for n in range(4) for e in client.get_logs(f"threads-{n}")}

    assert all(r.success for r in results)
    assert messages == {str(n) for n in range(200)}


class Scripted:
    """A server that gives scripted answers: a status, or None to close the connection; then 200."""

    def __init__(self, *script: tuple[int | None, dict[str, str]]) -> None:
        self.script = list(script)
        self.answer: object = None
        self.bodies: list[bytes] = []
        self.ports: list[int] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                outer.ports.append(self.client_address[1])
                outer.bodies.append(self.rfile.read(int(self.headers["Content-Length"] or 0)))
                status, headers = outer.script.pop(0) if outer.script else (200, {})
                if status is None:
                    self.close_connection = True
                    return
                body = orjson.dumps(outer.answer or {"success": status == 200, "message": "scripted"})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/api/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.mark.parametrize("errors", [3, {"index": 0}, ["index"], [{"index": None}]])
def test_answer_whose_errors_name_nothing_is_a_result(errors: object) -> None:
    """Writing never raises because of a server, whatever a server that is not ours returns."""
    with Scripted((400, {})) as server, CoagentClient(server.base_url, max_retries=0) as client:
        server.answer = {"success": False, "message": "no", "errors": errors}
        result = client.log_info("odd", "hello")

    assert (result.success, result.errors) == (False, ())


@pytest.mark.parametrize(("answer", "success", "message"), [
    ({"success": False, "message": "the disk is full"}, False, "the disk is full"), ([1], True, "stored"),
])  # fmt: skip
def test_answer_says_what_became_of_the_event(answer: object, success: bool, message: str) -> None:
    """The body of a 200 decides; if it says nothing, the event counts as stored."""
    with Scripted() as server, CoagentClient(server.base_url) as client:
        server.answer = answer
        result = client.log_info("s", "hello")

    assert (result.success, result.message) == (success, message)


def patient(base_url: str, **arguments: Any) -> CoagentClient:
    """A client with short retry delays."""
    return CoagentClient(base_url, retry_backoff_factor=0.001, **arguments)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 503, 520, 599, None])
def test_what_may_pass_is_tried_again_with_the_same_event(status: int | None) -> None:
    """A retried entry keeps its id, so the server stores it once."""
    with Scripted((status, {}), (status, {})) as scripted, patient(scripted.base_url) as client:
        result = client.log_info("s", "hello")

    assert result.success
    assert (len(scripted.bodies), len(set(scripted.bodies))) == (3, 1)


@pytest.mark.parametrize(("status", "said"), [
    (301, "scripted"), (400, "scripted"), (404, "scripted (does base_url end with /api/v1?)"), (422, "scripted"),
    (401, "scripted (set COAGENT_AUTH_TOKEN, or auth_token=, to this server's token)"),
])  # fmt: skip
def test_what_will_not_pass_is_tried_once(status: int, said: str) -> None:
    """A refusal is reported in the server's words; a wrong path or token with a hint on what to check."""
    with Scripted((status, {})) as scripted, patient(scripted.base_url) as client:
        result = client.log_info("s", "hello")

    assert (result.success, len(scripted.bodies)) == (False, 1)
    assert re.search(rf"failed after 1 try in [\d.]+ s: HTTP {status}: {re.escape(said)}$", result.message)


def test_redirect_is_told_with_the_address_that_it_leads_to() -> None:
    """It is not followed: the token goes only to `base_url`."""
    headers = {"Location": "https://logs.example.org/api/v1/logs"}
    with Scripted((308, headers)) as scripted, patient(scripted.base_url) as client:
        message = client.log_info("s", "hello").message

    told = "it redirects to https://logs.example.org/api/v1/logs, and redirects are not followed"
    assert message.endswith(f"HTTP 308: {told}")


def test_no_proxy_leads_to_this_machine(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's proxy does not know the server on the user's own machine."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with CoagentClient(server.base_url) as client:
        assert client.log_info("near", "hello").success


def test_retries_come_to_an_end() -> None:
    """`max_retries` of the client, or of the call, limits the tries."""
    with Scripted(*[(503, {})] * 10) as scripted, patient(scripted.base_url, max_retries=2) as client:
        first = client.log_info("s", "hello")
        tries = len(scripted.bodies)
        client.log_info("s", "hello", max_retries=0)

    assert (first.success, tries, len(scripted.bodies)) == (False, 3, 4)
    assert "failed after 3 tries" in first.message


def test_fewer_than_no_retries_are_one_try() -> None:
    """A negative number in a logging call must not stop the application."""
    with Scripted(*[(503, {})] * 2) as scripted, patient(scripted.base_url) as client:
        result = client.log_info("s", "hello", max_retries=-1)

    assert (result.success, "failed after 1 try" in result.message, len(scripted.bodies)) == (False, True, 1)


@pytest.mark.parametrize("odd", ["3", 1.5])
def test_retries_that_are_no_number_are_refused_by_the_result(
    client: CoagentClient, caplog: pytest.LogCaptureFixture, odd: Any
) -> None:
    """They are refused at the first call, not by an exception when the server is away for the first time."""
    result = client.log_info("s", "hello", max_retries=odd)

    assert result == LogResult(False, f"max_retries must be a whole number, not {odd!r}")
    assert result.message in caplog.text


def test_retry_after_is_obeyed() -> None:
    """The delay is as long as the server asks."""
    with Scripted((429, {"Retry-After": "1"})) as scripted, patient(scripted.base_url) as client:
        started = time.monotonic()
        result = client.log_info("s", "hello")

    assert result.success
    assert time.monotonic() - started >= 1


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
    script: list[tuple[int | None, dict[str, str]]] = [(None, {}), (None, {}), (200, {}), (None, {})]
    with Scripted(*script) as scripted, patient(scripted.base_url, max_retries=1) as client:
        results = [client.log_info("s", "hello") for _ in range(3)]

    assert ([r.success for r in results], len(scripted.bodies)) == ([False, True, True], 5)


def test_server_that_answers_is_not_away() -> None:
    """After a failed call with 503 responses, the next one is retried as usual."""
    with Scripted(*[(503, {})] * 3) as scripted, patient(scripted.base_url, max_retries=1) as client:
        results = [client.log_info("s", "hello") for _ in range(2)]

    assert ([r.success for r in results], len(scripted.bodies)) == ([False, True], 4)


def test_calls_do_not_wait_for_sessions_while_the_server_is_away() -> None:
    """Events of the client's sessions are sent first, but not if the last call could not reach the server."""
    with patient("http://127.0.0.1:9/api/v1") as client:
        client.log_info("s", "hello")
        with client.start_session("Plan", session_id="s"):
            started = time.monotonic()
            client.log_info("s", "hello")
            took = time.monotonic() - started

    assert took < SETTLE_TIMEOUT


def test_session_of_a_client_claims_no_totals(server: Running) -> None:
    """The session does not count what the client logs by itself: its `session_end` omits totals instead of saying 0."""
    with CoagentClient(server.base_url) as client:
        with client.start_session("Plan", session_id="counted"):
            client.log_llm_response("counted", "hi", 1, 1, input_tokens=10, output_tokens=3, total_tokens=13)
        client.log_info("counted", "after")
        read = client.session("counted")

    end = next(e for e in read.events if e.event_type == "session_end")
    assert (sorted(end.meta or {}), read.totals["total_tokens"]) == (["elapsed_time_ms", "status"], 13)


def test_session_of_a_client_counts_what_a_handler_logs_in_it(server: Running) -> None:
    """The calls of a LangChain handler inside are counted."""
    with CoagentClient(server.base_url) as client:
        with client.start_session("Plan", session_id="both"):
            handler = CoagentCallbackHandler(base_url=server.base_url)
            chat("Rome").invoke("Where?", {"callbacks": [handler], "metadata": {"session_id": "both"}})
        end = client.get_logs("both")[-1]

    assert (end.event_type, end["meta"]["llm_calls"]) == ("session_end", 1)


def test_reading_from_a_server_that_is_away_says_what_was_tried() -> None:
    """Reading raises, with the address, the tries and the cause."""
    with patient("http://127.0.0.1:9/api/v1") as client, pytest.raises(CoagentClientError) as caught:
        client.get_runs()

    assert re.fullmatch(
        r"GET http://127\.0\.0\.1:9/api/v1/runs failed after 4 tries in [\d.]+ s: "
        r"ConnectionError: (\[Errno \d+\] )?Connection refused", str(caught.value),
    )  # fmt: skip
    assert (caught.value.status, caught.value.attempts) == (None, 4)


def test_a_server_that_is_something_else() -> None:
    """A response that is not JSON gets an error with the likely cause."""
    page = Answer(200, b"<h1>Welcome</h1>")
    with FaultyServer(lambda _: page) as server, CoagentClient(server.base_url) as client:
        message = client.log_info("s", "hello").message

    assert re.sub(" in .* s:", ":", message) == (
        f"POST {server.base_url}/logs failed after 1 try: HTTP 200, but not JSON; is it a CoAgent server?"
    )


@pytest.mark.parametrize("read", [CoagentClient.get_runs, CoagentClient.summarize, lambda c: c.get_logs("x")])
def test_answer_that_is_no_list_is_told(read: Callable[[CoagentClient], object]) -> None:
    """A server that returns other JSON is probably not a CoAgent server."""
    with Scripted() as scripted, patient(scripted.base_url) as client, pytest.raises(CoagentClientError) as caught:
        read(client)

    said = str(caught.value)
    assert re.fullmatch(rf"GET {client.base_url}/\S+ did not return a list; is it a CoAgent server\?", said)
    assert (caught.value.status, caught.value.answer) == (200, {"success": True, "message": "scripted"})


def test_last_prompt_number_that_is_none_is_told() -> None:
    """Another server's filter may return anything."""
    with Scripted() as scripted, patient(scripted.base_url) as client, pytest.raises(CoagentClientError) as caught:
        client.last_prompt_number("x")

    assert str(caught.value) == f"the filter of {client.base_url} did not return a number; is it a CoAgent server?"


@pytest.mark.parametrize("odd", [[None, None], ["a", "b"], [1], "abc", 7])
def test_handler_that_cannot_resume_starts_at_one(odd: object, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever another server returns, the handler is created, and the log says why numbering starts at 1."""
    log = MemoryDelivery()
    with Scripted() as scripted:
        scripted.answer = odd
        handler = CoagentCallbackHandler("s", base_url=scripted.base_url, resume=True, delivery=log)
    RunnableLambda(str).invoke("hello", {"callbacks": [handler]})

    assert {entry["prompt_number"] for entry in log.entries} == {1}
    assert ["cannot resume session s, its numbering starts at 1" in said for said in caplog.messages] == [True]


@pytest.mark.parametrize("read", [CoagentClient.get_logs, CoagentClient.get_logs_json, CoagentClient.session,
                                  CoagentClient.last_prompt_number])  # fmt: skip
@pytest.mark.parametrize("session_id", [None, 5, uuid.UUID(int=5)])
def test_id_to_read_that_is_no_text_is_told(
    client: CoagentClient, read: Callable[[CoagentClient, Any], object], session_id: object
) -> None:
    """The message names the argument."""
    message = f"session_id must be a string of 1 to 512 characters, not {session_id!r}"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        read(client, session_id)


@pytest.mark.parametrize("session_id", ["half \ud800", "\ud83d\ude00", "a/b?c#d%2e", "line\nbreak"])
def test_what_is_logged_under_an_id_is_read_under_it(client: CoagentClient, session_id: str) -> None:
    """This includes an id that has no UTF-8 form, which is logged as an escaped text."""
    client.log_info(session_id, "hello")
    query = f"[?session_id!='{session_id}']"

    assert [len(client.get_logs(session_id)), client.last_prompt_number(session_id)] == [1, 1]
    assert client.filter_logs(session_id, query) == []


@pytest.mark.parametrize("query", [None, 5])
def test_filter_that_is_no_text_is_told(client: CoagentClient, query: Any) -> None:
    """The message names the argument."""
    with pytest.raises(ConfigurationError, match=f"jmespath_query must be a string, not {query}"):
        client.filter_logs("s", query)


@pytest.mark.parametrize("odd", ["x", {}, {"run_id": "r", "log_count": 1, "start_timestamp": "x", "end_timestamp": 2}])
def test_list_of_something_else_than_sessions_is_told(odd: object) -> None:
    """Another server's list raises the client's own error, with the response."""
    with Scripted() as scripted, patient(scripted.base_url) as client:
        scripted.answer = [odd]
        with pytest.raises(CoagentClientError) as caught:
            client.summarize()

    assert (str(caught.value), caught.value.status, caught.value.answer) == (
        f"GET {client.base_url}/runs did not return a list of sessions; is it a CoAgent server?", 200, [odd],
    )  # fmt: skip


def test_closing_ends_a_pause() -> None:
    """`close` from another thread does not wait for the next retry."""
    with Scripted(*[(503, {"Retry-After": "25"})] * 4) as scripted:
        client = patient(scripted.base_url)
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(client.log_info, "s", "hello")
            while not scripted.bodies:
                pass
            client.close()
            result = future.result(timeout=5)
        late = client.log_info("s", "late")

    assert (result.success, late.success, late.message) == (False, False, "the client is closed; create a new one")


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
    with Scripted((503, {}), (None, {})) as scripted:
        for debug in (True, False):
            with patient(scripted.base_url, debug=debug) as client:
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


@pytest.mark.parametrize("body", [b"who is to/ken-4711?", rb'{"message": "who is to\/ken-4711?"}'])
def test_token_that_the_server_repeats_is_not_shown(body: bytes) -> None:
    """A refusal is reported without the token, however the server has written it."""
    with FaultyServer(lambda _: Answer(403, body)) as server, CoagentClient(server.base_url, "to/ken-4711") as client:
        refused = client.log_info("s", "hi").message

    assert re.sub(" in .* s:", ":", refused) == f"POST {server.base_url}/logs failed after 1 try: HTTP 403: who is ***?"


def test_what_is_read_is_what_was_logged() -> None:
    """Nothing is redacted from it, even if it happens to be the token."""
    with Scripted() as scripted, CoagentClient(scripted.base_url, "hello") as client:
        scripted.answer = [{"session_id": "s", "output_data": {"message": "hello"}}]

        assert client.get_logs("s")[0].output_data == {"message": "hello"}


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


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({"base_url": "localhost"}, "base_url"), ({"timeout": 0}, "timeout"), ({"max_retries": -1}, "max_retries"),
     ({"max_retries": 1.5}, "max_retries"), ({"retry_backoff_factor": float("nan")}, "retry_backoff_factor")],
)  # fmt: skip
def test_wrong_settings_are_told_at_once(arguments: dict[str, Any], name: str) -> None:
    """The message names the argument."""
    with pytest.raises(ConfigurationError, match=name):
        CoagentClient(**arguments)


def test_content_is_not_sent_where_it_must_not(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """`COAGENT_CAPTURE_CONTENT=false` applies to the client, too."""
    monkeypatch.setenv("COAGENT_CAPTURE_CONTENT", "false")
    with CoagentClient(server.base_url) as client:
        client.log_llm_response("private", "the secret", 1, 1, input_tokens=3)
        event = client.get_logs("private")[0]

    assert (event["llm_response"], event["meta"]) == ({"input_tokens": 3}, {"content": "not captured"})


@pytest.mark.parametrize("entry", [published("objects"), PublishedEntry("objects", 1, 1, "info", prompt="Rome")])  # type: ignore[arg-type]
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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_has_a_connection_of_its_own() -> None:
    """A connection is reused from call to call, but a child process shares neither it nor the threads' locks."""
    with Scripted() as scripted, patient(scripted.base_url) as client:
        results = [client.log_info("s", "parent"), client.log_info("s", "parent")]
        with client._connection._lock:  # as if a thread had just begun a request
            if (pid := os.fork()) == 0:
                signal.alarm(10)
                os._exit(0 if client.log_info("s", "child").success else 1)
            _, status = os.waitpid(pid, 0)
        results.append(client.log_info("s", "parent"))
    parent, again, child, last = scripted.ports

    assert ([r.success for r in results], status) == ([True] * 3, 0)
    assert (parent == again == last, child != parent) == (True, True)
