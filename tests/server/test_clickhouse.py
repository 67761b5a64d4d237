"""What only ClickHouse does: traps of its JSON type, tables of published servers, an unavailable database."""

from __future__ import annotations

import contextlib
import itertools
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from coagent_langchain import server
from coagent_langchain.cli import main
from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.store import Store
from coagent_langchain.server.store import clickhouse_schema as schema
from coagent_langchain.server.store.clickhouse_rows import Numbers
from coagent_langchain.server.store.records import NewEntry, Pruned
from tests.server.clickhouse_door import Door
from tests.server.samples import T0, bodies, entry, hits, holding, new, put
from tests.waiting import until

pytestmark = pytest.mark.heavy
_names = (f"special{number}" for number in itertools.count(1))
PUBLISHED = """CREATE TABLE {db}.log_entries (log_id String, timestamp DateTime64(3), version String, session_id String,
    prompt_number UInt32, turn_number UInt32, event_id String, event_type Enum8('session_start' = 1, 'session_end' = 2,
    'user_input' = 3, 'component_enter' = 4, 'component_exit' = 5, 'routing' = 6, 'consensus_success' = 7,
    'consensus_failure' = 8, 'tool_call' = 9, 'tool_response' = 10, 'error' = 11, 'recovery' = 12,
    'performance_degradation' = 13, 'human_oversight' = 14, 'test_result' = 15, 'llm_call' = 16, 'llm_response' = 17),
    event_data JSON, agent_stack Array(String), prompt Nullable(String), conversation_context Nullable(JSON),
    meta Nullable(JSON), custom_metadata Nullable(JSON), additional_properties Nullable(JSON))
    ENGINE = MergeTree PARTITION BY toYYYYMM(timestamp) ORDER BY (session_id, timestamp, event_id)"""


@pytest.fixture
def opened(door: Door) -> Iterator[Callable[[str], Store]]:
    """Opens stores by database name, and closes them."""
    stores: list[Store] = []

    def open_one(database: str) -> Store:
        stores.append(server.open_store(f"clickhouse://me:secret@127.0.0.1:{door.port}/{database}"))
        return stores[-1]

    yield open_one
    door.always = None
    door.failures.clear()
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[[str], Store]) -> Store:
    """A store in a database of its own."""
    return opened(next(_names))


def sql(door: Door, text: str) -> str:
    """Query the engine directly, beside the store."""
    return door.run(text, b"", {}).decode().strip()


@pytest.mark.parametrize("fields", [
    {"meta": {"a.b": 1, "a": {"b": 2}}},
    {"meta": {"z": None, "e": {}, "a": [None, {}, []]}},
    {"meta": {"n": 2**63, "m": -(2**63), "f": 1e300}},
    {"llm_response": {"input_tokens": 3}, "custom_metadata": {"": {"": 1}}},
    {"input_data": {f"key{n}": n for n in range(3000)}},
    {"output_data": {"mixed": [1, "a", None, {"b": [1.5, True]}], "nul": "\x00", "emoji": "🎉"}},
    {"additional_properties": {"team": "a"}, "team": "b", "raw": "mine", "words": "mine", "log_id": 5},
    {"additional_properties": ["no", "object"], "odd": None},
    {"timestamp": 0}, {"timestamp": 5}, {"timestamp": 2**53}, {"timestamp": 253_402_300_800_000},
    {"prompt_number": 2**32 - 1, "turn_number": 2**32 - 1},
    {"session_id": "s", "prompt": "tab\tnew\nline 'quote' \\ back"},
])  # fmt: skip
def test_traps_of_the_json_type(store: Store, fields: dict[str, Any]) -> None:
    """Values that ClickHouse would change, reorder or refuse come back byte for byte, and so do entries beside them."""
    body = orjson.dumps(entry() | fields)
    neighbours = new(entry(at=-1), entry(at=1))
    store.append([neighbours[0], NewEntry(orjson.loads(body), body), neighbours[1]]).result(timeout=10)

    assert {found.body for found in store.entries("s")} == {body, *(one.body for one in neighbours)}


def test_entries_that_the_json_type_refuses_are_counted_as_others_are(store: Store) -> None:
    """A key that is a duplicate to ClickHouse, somewhere in the user's own metadata, hides no figure and no status."""
    twice = {"user": {"id": 1}, "user.id": 2}
    events: list[tuple[str, dict[str, Any]]] = [
        ("session_start", {"input_data": {"prompt": "Plan it"}, "meta": {"tags": ["nightly"]}}),
        ("llm_call", {"meta": {"model": "gpt-4o", "context": {"tags": ["eu", twice]}}}),
        ("llm_response", {"llm_response": {"input_tokens": 3, "output_tokens": 2}, "performance_metrics": {"cost": 0.5},
                          "meta": {"usage": {"input_token_details": {"cache_read": 1}}}}),
        ("llm_response", {"llm_response": {"total_tokens": 9}}),
        ("llm_response", {"llm_response": {"total_tokens": 7}, "meta": {"cached": True}}),
        ("error", {"error_info": {"error_type": "ValueError", "error_message": "no city"},
                   "meta": {"execution_time_ms": 7}}),
        ("recovery", {"error_info": {"recovery_successful": False}, "meta": {"model": twice}}),
        ("session_end", {"meta": {"status": "failed"}}),
    ]  # fmt: skip
    for name, odd in (("s", {}), ("refused", {"custom_metadata": twice})):
        put(store, *(entry(kind, at, name, **fields, **odd) for at, (kind, fields) in enumerate(events)))

    assert store.session("refused") == replace(store.session("s"), session_id="refused")


def test_depth_up_to_the_limit_stays_readable(store: Store) -> None:
    """An entry of 100 levels is stored, and every read of its session works."""
    deep: Any = 1
    for _ in range(97):
        deep = {"d": deep}
    put(store, one := entry("llm_call", meta={"deep": deep}, llm_call={"history": deep}))

    assert bodies(store) == [one]
    assert store.session("s").llm_calls == 1


def test_timestamps_are_never_multiplied(store: Store, door: Door) -> None:
    """The column holds the time that was sent, as a date of its year."""
    put(store, entry(timestamp=1_725_379_200_123))
    database = store._db  # type: ignore[attr-defined]

    assert sql(door, f"SELECT toString(timestamp, 'UTC') FROM {database}.log_entries") == "2024-09-03 16:00:00.123"


def test_our_table_is_the_published_one_and_more(store: Store, door: Door) -> None:
    """Same columns in the same order, the 17 types with their numbers, then our additions."""
    where = f"database = '{store._db}' AND table = 'log_entries'"  # type: ignore[attr-defined]

    assert sql(door, f"SELECT name FROM system.columns WHERE {where} ORDER BY position").split() == [
        "log_id", "timestamp", "version", "session_id", "prompt_number", "turn_number", "event_id", "event_type",
        "event_data", "agent_stack", "prompt", "conversation_context", "meta", "custom_metadata",
        "additional_properties", "raw", "seq", "words",
    ]  # fmt: skip
    assert len(store.event_types) == 20


def test_columns_have_what_another_server_reads(store: Store, door: Door) -> None:
    """Each field is where a published server would have put it."""
    envelope = {"version": "2.0.0", "session_id": "s", "prompt_number": 2, "turn_number": 3, "event_id": "e1"}
    columns = {"agent_stack": ["a::1", "b::2"], "prompt": "Plan", "conversation_context": {"topic": "trips"},
               "meta": {"model": "gpt-4o"}, "custom_metadata": {"team": "a"}}  # fmt: skip
    event = {"llm_response": {"response": "Hi"}, "performance_metrics": {"cost": 0.5}}
    others = {"issuer": "planner", "additional_properties": {"region": "eu"}}
    put(store, entry("llm_response", **envelope | columns | event | others))
    stored = f"SELECT * EXCEPT (log_id, timestamp, raw, seq, words) FROM {store._db}.log_entries FORMAT JSONEachRow"  # type: ignore[attr-defined]

    assert orjson.loads(sql(door, stored)) == {
        **envelope, **columns, "event_type": "llm_response", "event_data": event,
        "additional_properties": {"issuer": "planner", "region": "eu"},
    }  # fmt: skip


def test_columns_keep_texts_that_look_like_times(store: Store, door: Door) -> None:
    """What a tool said is what another server reads, in the form and to the digit in which it was said."""
    result = {"now": "2026-01-01T08:30:00+02:00", "today": "2026-01-01", "holidays": ["2026-01-01 00:00:00"]}
    put(store, entry("tool_response", tool_response={"result": result}))
    stored = f"SELECT toJSONString(event_data) FROM {store._db}.log_entries"  # type: ignore[attr-defined]

    assert orjson.loads(sql(door, stored)) == {"tool_response": {"result": result}}


def published_table(door: Door, database: str) -> None:
    """A database as a published server left it: a session with a duplicate entry, another with one id for two."""
    sql(door, f"CREATE DATABASE {database}")
    sql(door, PUBLISHED.format(db=database))
    rows = [
        {"log_id": "a1", "timestamp": "1760000000.000", "version": "2.0.0", "session_id": "old", "prompt_number": 1,
         "turn_number": 0, "event_id": "e1", "event_type": "session_start", "event_data": {}, "prompt": "Hello",
         "meta": {"tags": ["x"]}, "agent_stack": ["langchain::1"]},
        {"log_id": "a2", "timestamp": "1760000000.500", "version": "2.0.0", "session_id": "old", "prompt_number": 1,
         "turn_number": 1, "event_id": "e2", "event_type": "llm_response",
         "event_data": {"llm_response": {"response": "Hi there", "input_tokens": 4, "output_tokens": 2}},
         "additional_properties": {"team": "a", "raw": "its own"}},
    ]  # fmt: skip
    twin = rows[0] | {"log_id": "b1", "session_id": "twin"}
    rows += [rows[1] | {"log_id": "a3"}, twin, twin | {"log_id": "b2", "event_data": {"output_data": {"n": 2}}}]
    lines = "\n".join(orjson.dumps(row).decode() for row in rows)
    sql(door, f"INSERT INTO {database}.log_entries FORMAT JSONEachRow {lines}")


def test_data_of_published_servers_can_be_read(door: Door, opened: Callable[[str], Store]) -> None:
    """Entries, roll-up and text are found, though our columns are missing."""
    published_table(door, database := next(_names))
    store = opened(database)
    session = store.session("old")

    assert bodies(store, "old") == [
        {"version": "2.0.0", "session_id": "old", "prompt_number": 1, "turn_number": 0, "event_id": "e1",
         "event_type": "session_start", "timestamp": T0, "agent_stack": ["langchain::1"], "prompt": "Hello",
         "meta": {"tags": ["x"]}},
        {"version": "2.0.0", "session_id": "old", "prompt_number": 1, "turn_number": 1, "event_id": "e2",
         "event_type": "llm_response", "timestamp": T0 + 500, "team": "a",
         "raw": "its own", "llm_response": {"response": "Hi there", "input_tokens": 4, "output_tokens": 2}},
    ]  # fmt: skip
    assert (session.entries, session.title, session.total_tokens, session.tags) == (2, "Hello", 6, ("x",))
    assert [(each.run_id, each.log_count) for each in store.summaries()] == [("old", 2), ("twin", 2)]
    assert (hits(store, "old", "hi there"), holding(store, "hi there")) == (["e2"], ["old"])


def test_published_tables_take_new_entries_byte_for_byte(door: Door, opened: Callable[[str], Store]) -> None:
    """Without our columns the text is kept in `additional_properties`; duplicates are still recognized."""
    published_table(door, database := next(_names))
    store = opened(database)
    one = entry("llm_call", at=900, session_id="old", meta={"z": None, "a": 1}, team="b")
    put(store, one)
    put(store, one)

    assert store.entries("old")[-1].body == orjson.dumps(one)
    assert (store.session("old").entries, store.session("old").llm_calls) == (3, 1)
    assert [store.has_news("old", seq, store.latest()) for seq in (store.latest() - 1, store.latest())] == [True, False]


def test_fields_named_as_ours_do_not_take_the_place_of_the_text(door: Door, opened: Callable[[str], Store]) -> None:
    """In a published table, where both are in `additional_properties`."""
    published_table(door, database := next(_names))
    store = opened(database)
    both = [entry("llm_call", raw="mine"), entry("llm_call", 1, additional_properties={"raw": "mine"})]
    put(store, *both)
    put(store, *both)

    assert bodies(store) == both
    assert store.session("s").entries == 2


@pytest.mark.parametrize(("prompt", "word"), [
    ("ΣΊΣΥΦΟΣ", "σίσυφος"), ("DİYARBAKIR", "di̇yarbakir"), ("\u212aelvin", "kelvin"), ("ZÜRICH", "zürich"),
])  # fmt: skip
def test_published_table_finds_words_in_capitals(
    door: Door, opened: Callable[[str], Store], prompt: str, word: str
) -> None:
    """Even those that ClickHouse makes lowercase in another way than the search."""
    published_table(door, database := next(_names))
    store = opened(database)
    put(store, entry("llm_call", event_id="e1", prompt=prompt), entry("llm_call", event_id="e2", prompt="other"))

    assert (hits(store, "s", word), holding(store, word)) == (["e1"], ["s"])


def test_arrival_numbers_grow_though_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """No number is assigned twice."""
    numbers = Numbers()
    given = [*numbers.take(3)]
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    given += [*numbers.take(2), *numbers.take(1)]

    assert given == [given[0] + 1000 * n for n in range(6)]


def test_types_that_a_published_table_lacks_are_refused_per_event(door: Door, opened: Callable[[str], Store]) -> None:
    """`info` is refused with a clear error; the entry beside it is stored."""
    published_table(door, database := next(_names))
    with server.launch(opened(database)) as running:
        good = entry("llm_call", session_id="new")
        answer = requests.post(f"{running.base_url}/logs", json=[entry("info"), good], timeout=10)

        assert answer.status_code == 400
        assert answer.json()["errors"] == [{
            "index": 0, "field": "event_type", "message": "info is not an event type of this server's database",
        }]  # fmt: skip
        assert requests.get(f"{running.base_url}/logs/new", timeout=10).json() == [good]


@pytest.mark.parametrize("failure", [503, 500, "hang up"])
def test_database_that_is_away_answers_503(door: Door, store: Store, failure: int | str) -> None:
    """Every request says when to retry, and nothing is lost or duplicated when the client does."""
    with server.launch(store) as running:
        one = entry()
        door.always = failure
        refused = [requests.post(f"{running.base_url}/logs", json=one, timeout=30),
                   requests.get(f"{running.base_url}/runs", timeout=30)]  # fmt: skip
        door.always = None
        accepted = requests.post(f"{running.base_url}/logs", json=one, timeout=30)
        found = requests.get(f"{running.base_url}/logs/s", timeout=30).json()

    assert [(answer.status_code, answer.headers["Retry-After"]) for answer in refused] == [(503, "1")] * 2
    assert (accepted.status_code, found) == (200, [one])


def test_insert_that_was_broken_off_before_it_was_counted_is_counted_when_it_comes_again(
    opened: Callable[[str], Store], door: Door
) -> None:
    """The figures are right again, including those of the session's other entries and of sessions without a gap."""
    database = next(_names)
    store = opened(database)
    first, second = (entry("llm_response", at, llm_response={"total_tokens": 5}) for at in (0, 1))
    put(store, first, entry(session_id="whole"))
    sql(door, f"DROP VIEW {database}.coagent_sessions_view")
    put(store, second, other := entry(session_id="other"))
    sql(door, schema.VIEW.format(db=database))
    put(store, second, other, third := entry(at=2))

    assert bodies(store) == [first, second, third]
    assert [(each.run_id, each.log_count, each.total_tokens) for each in store.summaries()] == [
        ("other", 1, None), ("s", 3, 10), ("whole", 1, None),
    ]  # fmt: skip


def test_entries_with_one_id_are_all_counted_when_the_roll_up_is_made(
    opened: Callable[[str], Store], door: Door
) -> None:
    """Even if they have no prompt."""
    database = next(_names)
    put(opened(database), *(entry("info", event_id="e", output_data={"n": number}) for number in (1, 2)))
    sql(door, f"DROP VIEW {database}.coagent_sessions_view")
    sql(door, f"TRUNCATE TABLE {database}.coagent_sessions")

    assert opened(database).session("s").entries == 2


def test_two_servers_share_one_database(opened: Callable[[str], Store]) -> None:
    """Each shows what the other stores, and stores no duplicate of it."""
    database = next(_names)
    one, other = opened(database), opened(database)
    put(one, shared := entry())
    one.latest()
    put(other, shared, mine := entry(at=1))
    until(lambda: one.latest() == other.latest())

    assert bodies(one) == bodies(other) == [shared, mine]
    assert one.session("s") == other.session("s")


def test_roll_up_of_an_earlier_version_is_brought_up_to_date(opened: Callable[[str], Store], door: Door) -> None:
    """A roll-up that did not count open calls counts them from now on, and keeps its other figures."""
    database = next(_names)
    put(opened(database), entry("llm_call"))
    for statement in (
        "DROP VIEW {db}.coagent_sessions_view",
        "ALTER TABLE {db}.coagent_sessions DROP COLUMN open_calls",
        re.sub(r"toInt64\(sum\(.*? AS open_calls, ", "", schema.VIEW),
    ):
        sql(door, statement.format(db=database))
    store = opened(database)
    put(store, entry("llm_call"), entry("tool_call"), entry("llm_response"))

    assert (store.session("s").open_calls, store.session("s").entries) == (1, 4)


def test_roll_up_of_an_earlier_version_can_be_counted_anew(opened: Callable[[str], Store], door: Door) -> None:
    """Its columns are in another order."""
    database = next(_names)
    opened(database)
    sql(door, f"ALTER TABLE {database}.coagent_sessions DROP COLUMN open_calls")
    store = opened(database)
    put(store, one := entry("llm_call", meta={"tags": ["eu"]}))
    sql(door, f"TRUNCATE TABLE {database}.coagent_sessions")
    put(store, one)

    assert (store.session("s").open_calls, store.session("s").entries, store.session("s").tags) == (1, 1, ("eu",))


def test_group_commit_makes_few_inserts(store: Store, door: Door) -> None:
    """300 concurrent appends are stored in a few parts."""
    futures = [store.append(new(entry(at=n))) for n in range(300)]
    for future in futures:
        future.result(timeout=30)
    written = sql(door, f"SELECT count() FROM system.parts WHERE database = '{store._db}' AND table = 'log_entries'")  # type: ignore[attr-defined]

    assert store.session("s").entries == 300
    assert int(written) < 30


@pytest.mark.parametrize(
    "address", ["clickhouse://", "clickhouse://host:x/db", "clickhouse://h/db;drop", "clickhouse://[::1/db", "chdb://x/y",
                "chdb:///", "clickhouse://me:hunter2@host:x/db", "clickhouse://me:hun@ter2@host:x/db"]
)  # fmt: skip
def test_wrong_addresses_are_refused_without_the_password(address: str) -> None:
    """The message says what an address looks like."""
    with pytest.raises(ConfigurationError, match="clickhouse://user:password@host:8123/coagent") as refused:
        server.open_store(address)

    assert "ter2" not in str(refused.value)


@pytest.mark.parametrize(("given", "user"), [
    ("me:secret@", ("me", "secret")),
    ("an%40a:s%2Fe%3Acret%25@", ("an@a", "s/e:cret%")),
    ("", ("default", "")),
])  # fmt: skip
def test_database_is_asked_by_the_user_of_the_address(door: Door, given: str, user: tuple[str, str]) -> None:
    """Special characters are percent-encoded in the address; without a user it is ClickHouse's default user."""
    server.open_store(f"clickhouse://{given}127.0.0.1:{door.port}/{next(_names)}").close()

    assert door.asked_by == user


def test_database_to_delete_from_is_not_made(door: Door, tmp_path: Path) -> None:
    """A mistyped name or folder is reported, and nothing is created."""
    mistyped = f"clickhouse://me:secret@127.0.0.1:{door.port}/coagnet", f"chdb://{tmp_path}/coagnet"
    said = []
    for address in mistyped:
        with pytest.raises(ConfigurationError) as refused:
            server.open_beside(address)
        said.append(str(refused.value))

    assert said == ["there is no store in the ClickHouse database coagnet", f"there is no store at {tmp_path}/coagnet"]
    assert ("coagnet" in sql(door, "SHOW DATABASES"), list(tmp_path.iterdir())) == (False, [])


def test_command_that_finds_no_session_tells_no_password(
    door: Door, opened: Callable[[str], Store], capsys: pytest.CaptureFixture[str]
) -> None:
    """The database is named without its user."""
    opened(database := next(_names))
    code = main(["delete", "nobody", "--store", f"clickhouse://me:secret@127.0.0.1:{door.port}/{database}"])

    assert (code, capsys.readouterr().err) == (
        1,
        f"coagent-langchain: no session 'nobody' in clickhouse://127.0.0.1:{door.port}/{database}\n",
    )


def test_database_of_another_server_can_be_deleted_from(door: Door) -> None:
    """A database that has only a published server's table."""
    database = next(_names)
    sql(door, f"CREATE DATABASE {database}")
    sql(door, PUBLISHED.format(db=database))
    with contextlib.closing(server.open_beside(f"clickhouse://me:secret@127.0.0.1:{door.port}/{database}")) as store:
        assert (store.summaries(), store.prune(T0)) == ([], Pruned(0, 0))


def test_address_that_asks_for_tls_is_not_asked_without(door: Door) -> None:
    """No password is sent to a database that does not speak TLS."""
    door.asked_by = None
    with pytest.raises(ConfigurationError, match="cannot be used"):
        server.open_store(f"clickhouse://me:secret@127.0.0.1:{door.port}/{next(_names)}?secure=true")

    assert door.asked_by is None


def test_database_has_a_name_of_its_own_without_one_in_the_address(door: Door) -> None:
    """Not ClickHouse's own default database."""
    with contextlib.closing(server.open_store(f"clickhouse://127.0.0.1:{door.port}")) as store:
        put(store, entry(session_id="in coagent"))

    assert sql(door, "SELECT event_type FROM coagent.log_entries WHERE session_id = 'in coagent'") == "info"


def test_engine_that_cannot_start_is_told_on_one_line() -> None:
    """Without the engine's own stack trace."""
    command = [sys.executable, "-m", "coagent_langchain", "serve", "--port", "0", "--store", "chdb:///proc/x"]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert "No such file or directory" in failed.stderr


def test_engine_in_the_process_keeps_what_it_is_given(engine: str) -> None:
    """A store in a folder, without a ClickHouse server."""
    one = entry(session_id="in the process")
    for _ in range(2):
        with contextlib.closing(server.open_store(f"chdb://{engine}")) as store:
            put(store, one)

    with contextlib.closing(server.open_store(f"chdb://{engine}")) as store:
        assert bodies(store, "in the process") == [one]


def test_unreachable_database_is_named(door: Door) -> None:
    """At the start it is a configuration error, whose message has no password."""
    with pytest.raises(ConfigurationError, match="cannot be used") as raised:
        server.open_store("clickhouse://me:hunter2@127.0.0.1:1/coagent")

    assert "hunter2" not in str(raised.value)
