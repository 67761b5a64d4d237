"""What `CoagentClient` reads: events, sessions and filters, and the number from which a handler resumes."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda

from coagent_langchain import CoagentCallbackHandler, CoagentClient, CoagentClientError, ConfigurationError, LoggedEvent
from coagent_langchain.capture import last_turn
from coagent_langchain.testing import MemoryDelivery
from tests.client.samples import patient
from tests.faulty_server import Answer, FaultyServer, answering


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


def test_runs_summaries_and_filters(client: CoagentClient) -> None:
    """The three ways to find sessions and events work with any id."""
    client.log_session_start("found/with space?", "Hello", 1)
    client.log_error("found/with space?", 1, 0, "boom")
    paid = {"performance_metrics": {"cost": 0.25}, "prompt_number": 1, "turn_number": 1}
    client.store_log({"session_id": "found/with space?", "event_type": "llm_response", "llm_response": {}, **paid})
    summary = next(s for s in client.summarize() if s.run_id == "found/with space?")

    assert "found/with space?" in client.get_runs()
    assert (summary.log_count, summary.cost, summary.end_timestamp >= summary.start_timestamp) == (3, 0.25, True)
    assert client.filter_logs("found/with space?", "[?event_type=='error'].error_info.error_message") == ["boom"]


@pytest.mark.parametrize("expression", ["[0].nothing", "max([].nothing)"])
def test_filter_that_finds_nothing_gives_none(client: CoagentClient, expression: str) -> None:
    """The server's response is `null`, which is valid JSON."""
    client.log_info("null", "hello")

    assert client.filter_logs("null", expression) is None


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
    monkeypatch.setattr(last_turn, "ASK_S", 0.2)
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
    odd = {"ok": True}
    with (
        FaultyServer(answering(odd)) as server,
        patient(server.base_url) as client,
        pytest.raises(CoagentClientError) as caught,
    ):
        read(client)

    said = str(caught.value)
    assert re.fullmatch(rf"GET {client.base_url}/\S+ did not return a list; is it a CoAgent server\?", said)
    assert (caught.value.status, caught.value.answer) == (200, odd)


@pytest.mark.parametrize("odd", [[None, None], ["a", "b"], [1], "abc", 7])
def test_handler_that_cannot_resume_starts_at_one(odd: object, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever another server returns, the handler is created, and the log says why numbering starts at 1."""
    log = MemoryDelivery()
    with FaultyServer(answering(odd)) as server:
        handler = CoagentCallbackHandler("s", base_url=server.base_url, resume=True, delivery=log)
    RunnableLambda(str).invoke("hello", {"callbacks": [handler]})

    assert {entry["prompt_number"] for entry in log.entries} == {1}
    assert ["cannot resume session s, its numbering starts at 1" in said for said in caplog.messages] == [True]


@pytest.mark.parametrize("read", [CoagentClient.get_logs, CoagentClient.get_logs_json, CoagentClient.session,
                                  lambda client, session_id: client.filter_logs(session_id, "[]")])  # fmt: skip
@pytest.mark.parametrize("session_id", [None, 5, uuid.UUID(int=5)])
def test_id_to_read_that_is_no_text_is_told(
    client: CoagentClient, read: Callable[[CoagentClient, Any], object], session_id: object
) -> None:
    """The message names the argument."""
    message = f"session_id must be a string of 1 to 512 characters, not {session_id!r}"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        read(client, session_id)


@pytest.mark.parametrize("session_id", ["half \ud800", "\ud83d\ude00", "a/b?c#d%2e", "line\nbreak", ".", ".."])
def test_what_is_logged_under_an_id_is_read_under_it(client: CoagentClient, session_id: str) -> None:
    """This includes ids that are no part of a path, and one without a UTF-8 form, which is logged as escaped text."""
    client.log_info(session_id, "hello")
    query = f"[?session_id!='{session_id}']"

    assert [len(client.get_logs(session_id)), client.filter_logs(session_id, "length(@)")] == [1, 1]
    assert client.filter_logs(session_id, query) == []


@pytest.mark.parametrize(("session_id", "written"), [("a/b c", "a%2Fb%20c"), ("ü?#", "%C3%BC%3F%23")])
def test_session_id_is_one_part_of_the_path(session_id: str, written: str) -> None:
    """Whatever characters it has: a slash would lead elsewhere."""
    with FaultyServer(answering([])) as server, CoagentClient(server.base_url) as client:
        client.get_logs(session_id)

    assert [request.path for request in server.requests] == [f"/api/v1/logs/{written}"]


@pytest.mark.parametrize("query", [None, 5])
def test_filter_that_is_no_text_is_told(client: CoagentClient, query: Any) -> None:
    """The message names the argument."""
    with pytest.raises(ConfigurationError, match=f"jmespath_query must be a string, not {query}"):
        client.filter_logs("s", query)


@pytest.mark.parametrize("odd", ["x", {}, {"run_id": "r", "log_count": 1, "start_timestamp": "x", "end_timestamp": 2}])
def test_list_of_something_else_than_sessions_is_told(odd: object) -> None:
    """Another server's list raises the client's own error, with the response."""
    with (
        FaultyServer(answering([odd])) as server,
        patient(server.base_url) as client,
        pytest.raises(CoagentClientError) as caught,
    ):
        client.summarize()

    assert (str(caught.value), caught.value.status, caught.value.answer) == (
        f"GET {client.base_url}/runs did not return a list of sessions; is it a CoAgent server?", 200, [odd],
    )  # fmt: skip


def test_sessions_come_in_the_order_in_which_they_started() -> None:
    """The newest are the last ones, also of a server that returns all of them, in its own order."""
    sessions = [{"run_id": str(at), "log_count": 1, "start_timestamp": at, "end_timestamp": 9} for at in (3, 1, 4, 2)]
    with FaultyServer(answering(sessions)) as server, patient(server.base_url) as client:
        newest, every = client.summarize(newest=2), client.summarize()

    assert [[each.run_id for each in some] for some in (newest, every)] == [["3", "4"], ["1", "2", "3", "4"]]


def test_number_of_sessions_that_is_none_is_told(client: CoagentClient) -> None:
    """The message names the argument."""
    with pytest.raises(ConfigurationError, match="newest must be a whole number, 0 or more, not -1"):
        client.summarize(newest=-1)


def test_what_is_read_is_what_was_logged() -> None:
    """Nothing is redacted from it, even if it happens to be the token."""
    entry = {"session_id": "s", "output_data": {"message": "hello"}}
    with FaultyServer(answering([entry])) as server, CoagentClient(server.base_url, "hello") as client:
        assert client.get_logs("s")[0].output_data == {"message": "hello"}
