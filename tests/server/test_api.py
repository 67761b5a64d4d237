"""The JSON API over loopback, as any client uses it."""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
import zlib
from typing import Any
from urllib.parse import quote

import pytest
import requests
from coa_dev_coagent import CoagentClient as PublishedClient
from coa_dev_coagent.logapi import TestStatus as PublishedStatus
from coa_dev_coagent.logapi import create_error_log, create_tool_call_log

from coagent_langchain.server import openapi
from coagent_langchain.server.intake import MAX_BODY
from coagent_langchain.server.running import Running
from tests.server.samples import T0, entry


def post(running: Running, content: Any) -> requests.Response:
    """POST something as JSON to `/logs`."""
    return requests.post(f"{running.base_url}/logs", json=content, timeout=10)


def get(running: Running, path: str, **parameters: str) -> Any:
    """GET below `/api/v1`, parsed."""
    answer = requests.get(f"{running.base_url}/{path}", params=parameters, timeout=10)

    assert answer.status_code == 200, answer.text
    return answer.json()


def test_one_entry_and_an_array_are_stored(running: Running) -> None:
    """The two requests of the API tutorial, word for word."""
    one, two, three = entry(), entry(at=1), entry(at=2)

    assert post(running, one).json() == {"success": True, "message": "Log entry stored successfully"}
    assert post(running, [two, three]).json() == {"success": True, "message": "All log entries stored successfully"}
    assert get(running, "logs/s") == [one, two, three]


def test_unknown_session_is_an_empty_array(running: Running) -> None:
    """As the tutorial says."""
    assert get(running, "logs/nobody") == []
    assert get(running, "filter_logs/nobody", pre="[].prompt") == []


def test_runs_and_their_summaries(running: Running) -> None:
    """Ids, or a summary of each session."""
    post(running, [entry("session_start", 5, "b", prompt="Plan", meta={"tags": ["prod"]}), entry(session_id="a", at=7),
                   entry("error", 8, "b"), entry("session_end", 9, "b"),
                   entry("error", 10, "c", error_info={"error_type": "ValueError", "error_message": "no"}),
                   entry("session_end", 11, "c", meta={"status": "failed"})])  # fmt: skip

    assert get(running, "runs") == ["b", "a", "c"]
    assert get(running, "runs", summarize="1") == [
        {"run_id": "b", "log_count": 3, "start_timestamp": T0 + 5, "end_timestamp": T0 + 9,
         "status": "completed", "title": "Plan", "total_tokens": None, "cost": None, "errors": 1, "failure": "",
         "models": [], "tags": ["prod"]},
        {"run_id": "a", "log_count": 1, "start_timestamp": T0 + 7, "end_timestamp": T0 + 7,
         "status": "no end", "title": "", "total_tokens": None, "cost": None, "errors": 0, "failure": "",
         "models": [], "tags": []},
        {"run_id": "c", "log_count": 2, "start_timestamp": T0 + 10, "end_timestamp": T0 + 11,
         "status": "failed", "title": "", "total_tokens": None, "cost": None, "errors": 1, "failure": "ValueError: no",
         "models": [], "tags": []},
    ]  # fmt: skip
    assert [each["run_id"] for each in get(running, "runs", summarize="1", newest="2")] == ["a", "c"]
    assert len(get(running, "runs", summarize="1", newest="two")) == 3


@pytest.mark.parametrize("session_id", ["a/b", "a:b+c", "smolagents-2025-10-31T17:24:18.219940+00:00", "ü 中🎉", "%2F",
                                        "a?b#c", "..", "logs/", "two\nlines\r\n"])  # fmt: skip
def test_ids_travel_in_paths(running: Running, session_id: str) -> None:
    """Whatever an id contains, its session is found by the quoted path."""
    one = entry(session_id=session_id)
    post(running, one)
    path = quote(session_id, safe="")
    # no client quotes dots, and `..` would be resolved on the way
    path = path.replace(".", "%2E")

    assert get(running, f"logs/{path}") == [one]
    assert get(running, f"filter_logs/{path}", pre="all") == [one]


def test_line_break_at_the_end_of_an_id_counts(running: Running) -> None:
    """An id that ends with one is another session than the id without it."""
    post(running, entry(session_id="trip"))

    assert get(running, "logs/trip%0A") == []


def test_both_shapes_of_additional_properties_come_back(running: Running) -> None:
    """Nested as the tutorial posts them, or flat as the published client does."""
    nested = entry(additional_properties={"team": "a", "n": {"m": [1, None]}})
    flat = entry(at=1, team="a", session="x", **{"$weird key": None})
    post(running, [nested, flat])

    assert get(running, "logs/s") == [nested, flat]


def test_bytes_come_back_as_they_were_posted(running: Running) -> None:
    """An array with white space, escapes and odd numbers: each entry is returned byte for byte."""
    first, second = (json.dumps(entry(at=n, text='comma, ] } "quote\\" ü', big=10**30), indent=2) for n in range(2))
    second = second.replace("2.0.0", "2.0\\u002e0")
    body = f" [ {first} ,\n{second}\t] ".encode()
    requests.post(f"{running.base_url}/logs", data=body, headers={"Content-Type": "application/json"}, timeout=10)

    assert requests.get(f"{running.base_url}/logs/s", timeout=10).text == f"[{first},{second}]"


def test_a_long_session_comes_piece_by_piece(running: Running) -> None:
    """Megabytes are never held at once: the response is chunked, and complete."""
    entries = [entry(at=number, text="x" * 1000) for number in range(900)]
    post(running, entries)

    answer = requests.get(f"{running.base_url}/logs/s", timeout=10, stream=True)

    assert ("Content-Length" in answer.headers, answer.json()) == (False, entries)


def test_partly_bad_batch_stores_the_good_and_names_the_bad(running: Running) -> None:
    """The index and field of each fault are named; the valid entries are stored."""
    good, also_good = entry(), entry(at=1)
    bad = entry() | {"timestamp": "now", "llm_response": {"input_tokens": 1.5}}
    answer = post(running, [good, bad, 7, also_good, entry("party")])

    assert answer.status_code == 400
    assert [(e["index"], e["field"]) for e in answer.json()["errors"]] == [
        (1, "timestamp"), (1, "llm_response.input_tokens"), (2, ""), (4, "event_type"),
    ]  # fmt: skip
    assert answer.json()["message"].startswith("entry 1: timestamp must be an integer")
    assert get(running, "logs/s") == [good, also_good]


def test_missing_fields_are_named(running: Running) -> None:
    """Each required field that is missing."""
    answer = post(running, {"version": "2.0.0", "session_id": "s"}).json()

    assert [error["field"] for error in answer["errors"]] == [
        "prompt_number", "turn_number", "event_id", "event_type", "timestamp",
    ]  # fmt: skip


def test_deprecated_shape_gets_a_clear_answer(running: Running) -> None:
    """`log_type` entries are refused with what to send instead."""
    answer = post(running, {"log_type": "run_start", "run_id": "r", "prompt": "hi"})

    assert answer.status_code == 400
    assert answer.json()["message"] == (
        'log_type belongs to the deprecated format; send event_type and the other fields of version "2.0.0" instead'
    )


@pytest.mark.parametrize(("body", "status"), [
    (b"", 400), (b"{", 400), (b"null", 400), (b'"text"', 400), (b"[1", 400), (b"\xff\xfe", 400), (b'{"a": NaN}', 400),
    (b'{"a": 1e999}', 400), (b'{"a": "\\ud800"}', 400), (b"[" * 3000, 400), (b"[" + b"1," * 1000 + b"1]", 413),
])  # fmt: skip
def test_bodies_that_cannot_be_read(running: Running, body: bytes, status: int) -> None:
    """Each gets an error that says what is wrong, never a 500."""
    answer = requests.post(
        f"{running.base_url}/logs", data=body, headers={"Content-Type": "application/json"}, timeout=10
    )

    assert (answer.status_code, answer.json()["success"]) == (status, False)


def test_gzip_is_unpacked(running: Running) -> None:
    """A compressed body is stored like any other."""
    one = entry()
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    requests.post(f"{running.base_url}/logs", data=gzip.compress(json.dumps(one).encode()), headers=headers, timeout=10)

    assert get(running, "logs/s") == [one]


@pytest.mark.parametrize(("encoding", "body", "status"), [
    ("gzip", b"no gzip", 400), ("gzip", gzip.compress(b"{}")[:-4], 400), ("br", b"{}", 415),
    ("gzip", gzip.compress(b"{}") + b"more", 400),
], ids=["no gzip", "cut off", "unknown", "with more"])  # fmt: skip
def test_wrong_encodings_are_refused(running: Running, encoding: str, body: bytes, status: int) -> None:
    """Compression that is broken or unknown."""
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}

    assert requests.post(f"{running.base_url}/logs", data=body, headers=headers, timeout=10).status_code == status


def test_gzip_bomb_is_refused_in_little_memory(running: Running) -> None:
    """100 MB in 100 KB: decompression stops at the limit."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(b" " * 10_000_000) for _ in range(10)) + packer.flush()
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    tracemalloc.start()
    answer = requests.post(f"{running.base_url}/logs", data=bomb, headers=headers, timeout=60)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (answer.status_code, peak < 3 * MAX_BODY) == (413, True)


def test_too_large_bodies_are_refused(running: Running) -> None:
    """With a content length or in chunks."""
    headers = {"Content-Type": "application/json"}
    chunks = (b" " * 1_000_000 for _ in range(11))

    for body in (b" " * 10_000_001, chunks):
        assert requests.post(f"{running.base_url}/logs", data=body, headers=headers, timeout=10).status_code == 413


def test_entry_that_is_too_large_or_too_deep_is_refused_alone(running: Running) -> None:
    """Size and depth of one entry; the entry beside it is stored."""
    deep: Any = 1
    for _ in range(101):
        deep = [deep]
    answer = post(running, [entry(meta={"deep": deep}), entry(prompt="x" * 8_000_000), good := entry()])

    assert [error["index"] for error in answer.json()["errors"]] == [0, 1]
    assert get(running, "logs/s") == [good]
    assert post(running, entry(meta={"deep": deep})).json()["message"] == "an entry has at most 100 levels of nesting"


def test_many_objects_side_by_side_are_not_deep(running: Running) -> None:
    """However many there are, and whatever brackets their texts contain."""
    one = entry(input_data={"rows": [{"n": [n]} for n in range(200)], "text": "[{" * 200})

    assert post(running, one).status_code == 200


def test_unknown_paths_and_methods_answer_json(running: Running) -> None:
    """404 and 405, even without the content type that a body would need; the response names the allowed methods."""
    asked = [("GET", "nothing"), ("GET", "logs"), *((method, "logs/s") for method in ("DELETE", "PUT", "PATCH"))]
    answers = [requests.request(method, f"{running.base_url}/{path}", timeout=10) for method, path in asked]

    told = [
        (each.status_code, each.json()["success"], {*each.headers.get("Allow", "").split(", ")}) for each in answers
    ]
    assert told == [(404, False, {""}), (405, False, {"POST"}), *[(405, False, {"GET", "HEAD"})] * 3]


def test_openapi_names_every_route(running: Running) -> None:
    """The document has exactly the paths of the API, and each object that it refers to."""
    document = get(running, "openapi.json")
    schemas = document["components"]["schemas"]
    references = set(re.findall(r"'\$ref': '([^']+)'", str(document)))

    assert document == openapi.document()
    assert set(document["paths"]) == {"/logs", "/logs/{session_id}", "/runs", "/filter_logs/{session_id}"}
    assert references == {f"#/components/schemas/{name}" for name in schemas}


def test_openapi_names_every_refusal(running: Running, closed: Running) -> None:
    """What access control responds is documented for each request."""
    refused = [requests.get(f"{server.base_url}/runs", headers=headers, timeout=10) for server, headers in [
        (closed, {}), (running, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "empty"}), (running, {"Host": "a"}),
    ]]  # fmt: skip
    operations = [each for path in openapi.document()["paths"].values() for each in path.values()]

    assert [answer.status_code for answer in refused] == [401, 403, 421]
    assert [{"401", "403", "421"} - set(each["responses"]) for each in operations] == [set()] * 4


def test_published_client_works_unchanged(running: Running) -> None:
    """Every documented method of `coa-dev-coagent`, written and read back."""
    client = PublishedClient(base_url=running.base_url)
    results = [
        client.log_session_start("p", "Hello", prompt_number=1, turn_number=0, meta={"agent": "x"}),
        client.log_user_input("p", "Hello", 1),
        client.log_llm_call_new("p", "Hello", 1, 1, issuer="me", history={"messages": ["who"]}, system_prompt="S"),
        client.log_llm_response("p", "Hi", 1, 1, tool_calls={"tools_used": ["t"]}, input_tokens=3, output_tokens=2,
                                total_tokens=5),
        client.log_error("p", 1, 1, "bad", error_type="ValueError", stack_trace="…"),
        client.log_test_result_new("p", 1, 1, PublishedStatus.PASSED, 2, 2),
        client.store_log(create_tool_call_log("p", 1, 1, "search", {"q": "x"})),
        client.store_log(create_error_log("p", 1, 1, "worse")),
        client.log_session_end("p", "Bye", 1, elapsed_time_ms=12),
    ]  # fmt: skip
    entries = client.get_logs("p")

    assert [result.success for result in results] == [True] * 9
    assert sorted(found["event_type"] for found in entries) == sorted(
        ["session_start", "user_input", "llm_call", "llm_response", "error", "test_result", "tool_call", "error",
         "session_end"])  # fmt: skip
    assert client.get_runs() == ["p"]
    assert client.filter_logs("p", "[?event_type=='llm_response'].llm_response.total_tokens") == [5]
    assert running.store.session("p").total_tokens == 5
