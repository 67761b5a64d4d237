"""What `CoagentClient` writes: every method, entries of one's own, batches."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from coa_dev_coagent.logapi import LogEntry as PublishedEntry
from coa_dev_coagent.logapi import TestStatus as PublishedStatus

from coagent_langchain import CoagentCallbackHandler, CoagentClient
from coagent_langchain.events import LogEntry
from coagent_langchain.log_methods import LogResult
from coagent_langchain.server.running import Running
from tests.client.samples import published
from tests.fakes import chat
from tests.faulty_server import Answer, FaultyServer, answering


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


def test_entries_of_coagents_own_client_are_stored(client: CoagentClient) -> None:
    """They are stored as that client would send them: absent fields omitted, additional properties at the top level."""
    one, two = published("published"), published("published")
    client.store_log(one)
    client.store_logs([two])

    assert [e.raw for e in client.get_logs("published")] == [one.to_dict(), two.to_dict()]


def test_entry_that_cannot_say_what_it_is_is_stored_by_its_fields(client: CoagentClient) -> None:
    """CoAgent's own client raises here, because its entry needs an `EventType`."""
    result = client.store_log(PublishedEntry("by-fields", 1, 0, "info"))

    assert (result.success, client.get_logs("by-fields")[0].event_type) == (True, "info")


def test_status_of_tests_may_be_that_of_coagents_own_client(client: CoagentClient) -> None:
    """An enumeration is logged as its value."""
    client.log_test_result_new("status", 1, 0, PublishedStatus.SKIPPED, 3, 0)

    assert client.get_logs("status")[0]["test_result"] == {"status": "skipped", "total_tests": 3, "passed_tests": 0}


def test_objects_that_json_does_not_know_become_text(client: CoagentClient) -> None:
    """Whatever the application puts into meta, the event is stored."""
    meta: Any = {"path": os.getcwd, 3: {"a", "b"}, "half": "\ud800"}
    result = client.log_info("odd", "x", meta=meta)

    assert (result.success, sorted(client.get_logs("odd")[0]["meta"])) == (True, ["3", "half", "path"])


def test_batch_is_stored_in_order(client: CoagentClient) -> None:
    """A batch may have more entries than fit into one request."""
    entry = {"session_id": "batch", "prompt_number": 1, "event_type": "info"}
    result = client.store_logs(entry | {"turn_number": n, "timestamp": n} for n in range(1200))

    assert (result.success, result.message) == (True, "1,200 log entries stored")
    assert [e.turn_number for e in client.get_logs("batch")] == list(range(1200))


def test_copy_of_an_event_is_the_same_event(server: Running, client: CoagentClient) -> None:
    """Sessions that are copied back, for example from an export, are not stored twice: the text is the same."""
    handler = CoagentCallbackHandler(session_id="copied", base_url=server.base_url)
    chat("a").invoke("q", {"callbacks": [handler]})
    handler.close()
    before = client.get_logs_json("copied")
    result = client.store_logs(event.raw for event in client.get_logs("copied"))

    assert (result.success, client.get_logs_json("copied")) == (True, before)


def test_bad_entries_of_a_batch_are_named(client: CoagentClient) -> None:
    """The good entries are stored; the result names the bad ones by their index."""
    entry = {"session_id": "partly", "prompt_number": 1, "turn_number": 0, "event_type": "info"}
    entries = [entry] * 700 + [entry | {"prompt_number": -1}] + [entry]
    result = client.store_logs(entries)

    assert (result.success, [(e["index"], e["field"]) for e in result.errors]) == (False, [(700, "prompt_number")])
    assert len(client.get_logs("partly")) == 701
    assert result.message.startswith("701 log entries stored; POST ")


def test_many_entries_go_in_few_requests() -> None:
    """A request has up to 1,000 entries or a megabyte."""
    entry = {"session_id": "many", "prompt_number": 1, "turn_number": 0, "event_type": "info"}
    with FaultyServer() as server, CoagentClient(server.base_url) as client:
        client.store_logs([entry] * 1200)
        client.store_logs([entry | {"prompt": "x" * 400_000}] * 5)

    assert [len(request.entries) for request in server.requests] == [1000, 200, 2, 2, 1]


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
    many, one, unlisted = client.store_logs([entry, 5, entry]), client.store_log(5), client.store_logs(entry)  # type: ignore[list-item]

    assert (many.success, [e["index"] for e in many.errors], len(client.get_logs("values"))) == (False, [1], 2)
    assert (one.success, "object" in one.message) == (False, True)
    assert (unlisted.success, unlisted.message) == (False, "store_logs takes a list of entries; store_log takes one")


@pytest.mark.parametrize("given", [None, 5, "an entry", LogEntry.model_construct(session_id="an entry")])
def test_what_is_no_list_of_entries_is_refused_by_the_result(client: CoagentClient, given: Any) -> None:
    """Nothing raises, as when a server refuses an entry."""
    refused = client.store_logs(given)

    assert (refused.success, refused.message) == (False, "store_logs takes a list of entries; store_log takes one")


@pytest.mark.parametrize("errors", [3, {"index": 0}, ["index"], [{"index": None}]])
def test_answer_whose_errors_name_nothing_is_a_result(errors: object) -> None:
    """Writing never raises because of a server, whatever a server that is not ours returns."""
    refusal = answering({"success": False, "message": "no", "errors": errors}, 400)
    with FaultyServer(refusal) as server, CoagentClient(server.base_url, max_retries=0) as client:
        result = client.log_info("odd", "hello")

    assert (result.success, result.errors) == (False, ())


@pytest.mark.parametrize(("answer", "success", "message"), [
    ({"success": False, "message": "the disk is full"}, False, "the disk is full"), ([1], True, "stored"),
    ({"success": True, "errors": [{"index": 0, "message": "no"}]}, False, "refused"),
])  # fmt: skip
def test_answer_says_what_became_of_the_event(
    caplog: pytest.LogCaptureFixture, answer: object, success: bool, message: str
) -> None:
    """The body of a 200 decides; if it says nothing, the event counts as stored. Whatever is not is logged."""
    with FaultyServer(answering(answer)) as server, CoagentClient(server.base_url) as client:
        result = client.log_info("s", "hello")

    assert (result.success, result.message) == (success, message)
    assert caplog.messages == ([] if success else [f"not stored: 1 log entry: {message}"])


def test_success_that_names_refused_entries_is_none(caplog: pytest.LogCaptureFixture) -> None:
    """A server may report the result of each entry in a 207; delivery reads it the same way."""
    partly = answering({"errors": [{"index": 1, "message": "no"}]}, 207)
    with FaultyServer(partly) as server, CoagentClient(server.base_url) as client:
        result = client.store_logs([{"session_id": "s"}] * 3)

    assert result == LogResult(False, "2 log entries stored; refused", ({"index": 1, "message": "no"},))
    assert caplog.messages == ["not stored: 1 log entry: refused"]


@pytest.mark.parametrize("answer", [Answer(204, b""), Answer(200, b""), Answer(200, b"null")])
def test_success_that_says_nothing_is_a_success(answer: Answer) -> None:
    """Delivery takes it as one, too; a server of the application's own may answer so."""
    with FaultyServer(lambda request: answer) as server, CoagentClient(server.base_url) as client:
        results = client.log_info("s", "hello"), client.store_logs([{"session_id": "s"}] * 2)

    assert [(r.success, r.message) for r in results] == [(True, "stored"), (True, "2 log entries stored")]


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
