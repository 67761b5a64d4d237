"""Validation agrees with the wire model, and nothing that is posted breaks the server."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import orjson
import pydantic
import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from coagent_langchain.events import LogEntry
from coagent_langchain.server.intake import parse
from coagent_langchain.server.jsontext import split
from coagent_langchain.server.running import Running
from coagent_langchain.server.store.records import Query
from coagent_langchain.server.validation import faults
from coagent_langchain.wire import ENVELOPE, EventType
from tests.server.samples import entry

ALL = frozenset(EventType)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(SCALARS | st.text(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner,
                      max_size=3), max_leaves=8)  # fmt: skip
MODELS = [option for field in LogEntry.model_fields.values() for option in getattr(field.annotation, "__args__", ())
          if isinstance(option, type) and issubclass(option, pydantic.BaseModel)]  # fmt: skip
PARTS = sorted({name for model in MODELS for name in model.model_fields})
FIELDS = st.dictionaries(st.sampled_from(sorted(LogEntry.model_fields)), VALUES | st.dictionaries(
    st.sampled_from(PARTS), VALUES, max_size=4) | st.sampled_from(["high", "info", "s", 1, 0]), max_size=5)  # fmt: skip


def model_faults(content: dict[str, Any]) -> set[str]:
    """The fields that the wire model rejects in strict mode; `version` is required here."""
    found = set() if "version" in content else {"version"}
    try:
        LogEntry.model_validate_json(orjson.dumps(content), strict=True)
    except pydantic.ValidationError as error:
        found |= {location(e["loc"]) for e in error.errors()}
    return found


def location(loc: tuple[Any, ...]) -> str:
    """A pydantic location as the server names it: without unions and list positions."""
    kinds = {"str", "int", "float", "bool", "dict[str,any]", "list[any]"}
    return ".".join(part for part in loc if isinstance(part, str) and part not in kinds)


@settings(max_examples=300, deadline=None)
@given(FIELDS, st.sets(st.sampled_from(ENVELOPE), max_size=1))
@example({"agent_stack": ["a", 1]}, set())
@example({"error_info": {"error_severity": "worst"}}, set())
@example({"performance_metrics": {"cost": 1}}, set())
@example({"turn_number": True}, set())
@example({"session_id": ""}, set())
@example({"timestamp": 2**53 + 1}, set())
def test_validation_agrees_with_the_wire_model(fields: dict[str, Any], missing: set[str]) -> None:
    """The hand-written checks and pydantic reject the same fields."""
    content = {name: value for name, value in (entry() | fields).items() if name not in missing}

    assert {name for name, _ in faults(content, orjson.dumps(content), ALL)} == model_faults(content)


@settings(max_examples=300, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=6), st.sampled_from([None, 1]), st.booleans())
def test_split_finds_the_text_of_each_element(values: list[Any], indent: int | None, escape: bool) -> None:
    """However an array is written, its parts are the texts between the commas."""
    texts = [json.dumps(value, indent=indent, ensure_ascii=escape) for value in values]

    assert split(f"[ {' , '.join(texts)}\n]".encode()) == [text.encode() for text in texts]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["meta", "x", "event_id"]), VALUES, max_size=2), max_size=5),
       st.sampled_from([",", ", ", " ,\n"]), st.booleans(), st.booleans())  # fmt: skip
@example([{}, {"x": [{"version": 1}, {"version": 2}]}], ",", True, False)  # entries' beginning inside an entry
@example([{}, {"x": [{"version": 1}, {"version": 2}]}], ", ", False, False)
@example([{"x": '},{"version"'}, {"x": '}, {"version"'}], ",", True, False)
def test_each_entry_keeps_its_own_text(fields: list[dict[str, Any]], comma: str, compact: bool, first: bool) -> None:
    """However the entries of a batch look and are separated, each valid one has its text between the commas."""
    entries = [one | entry() if first and number % 2 else entry() | one for number, one in enumerate(fields)]
    texts = [json.dumps(one, separators=(",", ":") if compact else None).encode() for one in entries]
    expected = [text for text in texts if not faults(orjson.loads(text), text, ALL)]
    batch = parse(b"[" + comma.encode().join(texts) + b"\n]", ALL)

    assert [(body, orjson.loads(body)) for body in expected] == [(one.body, one.fields) for one in batch.entries]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text(alphabet='[]{}",:1ae\\u\n ', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """A body is a batch or an `HTTPException`, never another exception."""
    try:
        batch = parse(body, ALL)
    except HTTPException:
        return

    assert batch.entries or batch.faults or orjson.loads(body) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.builds(lambda a, b: entry() | a | b, FIELDS, st.dictionaries(st.text(), VALUES, max_size=3)), max_size=4
    )
)
def test_nothing_that_is_posted_breaks_the_server(running: Running, entries: list[dict[str, Any]]) -> None:
    """It is stored or refused with a reason; what was stored can be read, listed, filtered and found."""
    body = orjson.dumps(entries)
    answer = requests.post(
        f"{running.base_url}/logs", data=body, headers={"Content-Type": "application/json"}, timeout=10
    )
    bad = {fault["index"] for fault in answer.json().get("errors", [])}
    good = [content for index, content in enumerate(orjson.loads(body)) if index not in bad]

    assert answer.status_code == (400 if bad else 200)
    for content in good:
        path = quote(content["session_id"], safe="").replace(".", "%2E")
        assert content in requests.get(f"{running.base_url}/logs/{path}", timeout=10).json()
    running.store.sessions(Query(text="a"))


@pytest.mark.parametrize("number", ["1.0", "1e2", "-0", "4294967295", "4294967296", "-1", "12345678901234567890123"])
def test_counters_are_integers_in_range(number: str) -> None:
    """A number that is not a plain 32-bit integer is not a counter."""
    body = orjson.dumps(entry(turn_number=77)).replace(b":77", f":{number}".encode())

    assert [fault["field"] for fault in parse(body, ALL).faults] == (
        [] if number in ("-0", "4294967295") else ["turn_number"]
    )


def test_types_that_the_database_lacks_are_refused_by_name() -> None:
    """A store of the 17 published types refuses the three others per entry, with a clear error."""
    published = frozenset(list(EventType)[:17])
    batch = parse(orjson.dumps([entry("info"), entry("llm_call")]), published)

    assert (len(batch.entries), batch.faults) == (1, [{
        "index": 0, "field": "event_type", "message": "info is not an event type of this server's database",
    }])  # fmt: skip


@pytest.mark.parametrize("alike", [True, False])
def test_batch_has_a_thousand_entries_at_most(alike: bool) -> None:
    """However they are written, and no matter whether they begin alike; one more is told from a faulty entry."""
    first = entry("info") if alike else {"message": "x"} | entry("info")
    bodies = [orjson.dumps([first] + [entry("info")] * more) for more in (999, 1_000)]
    with pytest.raises(HTTPException, match="a batch has at most 1000 entries, this one has 1001") as refused:
        parse(bodies[1], ALL)

    assert (len(parse(bodies[0], ALL).entries), refused.value.status_code) == (1_000, 413)


def test_entry_of_today_may_have_a_field_of_yesterday() -> None:
    """Only an entry that has no `event_type` is of the deprecated format."""
    fields = [entry("info", log_type="INFO"), {"log_type": "INFO"}]

    assert [[name for name, _ in faults(each, orjson.dumps(each), ALL)] for each in fields] == [[], ["log_type"]]
