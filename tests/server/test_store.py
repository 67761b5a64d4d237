"""What every store does, whatever its database."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from coagent_langchain.server.store import PAGE, Cursor, NewEntry, Session, Store, Summary, Unavailable, every_entry
from coagent_langchain.server.store.query import Query
from coagent_langchain.server.timelines import Timelines
from coagent_langchain.unended import NO_END
from coagent_langchain.wire import now_ms
from tests.server.samples import T0, bodies, entry, event_ids, holding, new, put
from tests.server.sessions import restarted


def rich_session() -> list[dict[str, Any]]:
    """One of everything that a roll-up counts."""
    usage = {"input_token_details": {"cache_read": 40}}
    tokens = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
    return [
        entry("session_start", 0, prompt="Find  me\na recipe", meta={"tags": ["nightly"]}),
        entry("user_input", 1, prompt="Find me a recipe"),
        entry("llm_call", 2, turn_number=1, prompt="Find", meta={"model": "gpt-4o", "context": {"tags": ["a", "b"]}}),
        entry("llm_response", 5, turn_number=1, llm_response=tokens, meta={"model": "gpt-4o", "usage": usage},
              performance_metrics={"cost": 0.25}),
        entry("tool_call", 6, turn_number=1, tool_call={"tool_name": "search"}),
        entry("tool_call", 6, turn_number=1, tool_call={"tool_name": "fetch"}),
        entry("tool_response", 6, turn_number=1),
        entry("error", 6, turn_number=1, error_info={"error_message": "not yet"}),
        entry("error", 7, turn_number=1, error_info={"error_message": "no"},
              llm_response={"input_tokens": 1_000, "output_tokens": 2}),
        entry("recovery", 8, turn_number=1),
        entry("llm_call", 9, prompt_number=2, turn_number=3, prompt="Again", meta={"model": "llama3"}),
        entry("llm_response", 11, prompt_number=2, turn_number=3, performance_metrics={"cost": 0.5},
              llm_response={"input_tokens": 7, "output_tokens": 3}),
        entry("llm_response", 12, prompt_number=2, turn_number=3, llm_response=tokens, meta={"cached": True}),
        entry("session_end", 20, prompt_number=2, meta={"status": "failed"}),
    ]  # fmt: skip


ROLLED_UP = Session(
    "s", T0, T0 + 20, "failed", "Find me a recipe", "no", entries=14, prompts=2, turns=4, llm_calls=2, tool_calls=2,
    errors=2, recoveries=1, input_tokens=1107, output_tokens=25, total_tokens=1132, cached_tokens=40, cost=0.75,
    unpriced_calls=1,
    types={"session_start": 1, "user_input": 1, "llm_call": 2, "llm_response": 3, "tool_call": 2, "tool_response": 1,
           "error": 2, "recovery": 1, "session_end": 1},
    models=("gpt-4o", "llama3"), tags=("a", "b", "nightly"),
)  # fmt: skip


def test_entry_comes_back_byte_for_byte(store: Store) -> None:
    """Number formats, key order, unknown fields and white space are kept."""
    body = (
        b'{"x": 1.50, "z":{"b":1e3,"a":null, "e":{}},  "version":"2.0.0","session_id":"s","prompt_number":1,'
        b'"turn_number":0,"event_id":"e","event_type":"info","timestamp":5, "n": 12345678901234567890123}'
    )
    store.append([NewEntry(orjson.loads(body), body)]).result(timeout=10)

    assert [found.body for found in store.entries("s")] == [body]


def test_many_tags_and_many_sessions_at_once(store: Store) -> None:
    """More values than one statement takes: an entry with very many tags, and very many sessions in one commit."""
    tags = [f"tag-{number:05d}" for number in range(20_000)]
    many = [entry(session_id=f"s{number}") for number in range(2_000)]
    parts = [new(entry(meta={"tags": tags})), new(*many[:1_000]), new(*many[1_000:])]
    store.append([each for part in parts for each in part]).result(timeout=60)

    found = store.session("s")
    assert found is not None
    assert (list(found.tags), len(store.session_ids())) == (tags, 2_001)


def test_copy_is_kept_once(store: Store) -> None:
    """The same entry again, in the same batch or a later one, is not stored again."""
    one, two = entry(at=1), entry(at=2)
    put(store, one, two, one)
    put(store, two, one)

    assert bodies(store) == [one, two]


def test_large_batch_that_comes_again_is_stored_once(store: Store) -> None:
    """As large as a batch may be, with a new entry among those that are stored."""
    entries = [entry(at=number) for number in range(1_001)]
    put(store, *entries[:-1])
    put(store, *entries[1:])

    assert (store.session("s").entries, bodies(store, limit=2_000)) == (1_001, entries)


def test_event_id_used_for_another_event_loses_nothing(store: Store) -> None:
    """Two different entries with one event id are both kept; a query by id returns the earlier."""
    late, early = entry(at=2, event_id="same", prompt="b"), entry(at=1, event_id="same", prompt="a")
    put(store, late, early)

    assert bodies(store) == [early, late]
    assert orjson.loads(store.entry("s", "same").body) == early


def test_same_event_id_in_another_session_is_another_entry(store: Store) -> None:
    """Ids are unique only within their session."""
    put(store, entry(session_id="a", event_id="x"), entry(session_id="b", event_id="x"))

    assert [orjson.loads(store.entry(s, "x").body)["session_id"] for s in "ab"] == ["a", "b"]
    assert store.entry("a", "y") is None


def test_ids_that_the_index_takes_for_one_another_are_told_apart(store: Store) -> None:
    """The two ids have the same CRC-32."""
    put(store, entry(at=1, event_id="plumless"), two := entry(at=2, event_id="buckeroo"))

    assert orjson.loads(store.entry("s", "buckeroo").body) == two


def test_entries_come_by_time_then_arrival(store: Store) -> None:
    """A late entry is inserted at its time; equal times keep the order of arrival."""
    first, second, third, fourth = entry(at=5), entry(at=1), entry(at=5), entry(at=3)
    put(store, first, second)
    put(store, third, fourth)

    assert bodies(store) == [second, fourth, first, third]


def test_pages_join_without_gap_or_overlap(store: Store) -> None:
    """Paging returns every entry once, even if many share a timestamp, and whichever arrived first."""
    put(store, *(entry(at=number * 3 % 7) for number in range(40)))
    pages, after = [], None
    while page := store.entries("s", after=after, limit=6):
        pages += page
        after = page[-1].cursor

    assert pages == store.entries("s", limit=100)
    assert len(pages) == 40


def test_place_before_every_arrival(store: Store) -> None:
    """A hand-made address may ask for it: it is the place before the first entry of its millisecond."""
    put(store, entry(at=1), entry(at=2))

    assert store.entries("s", after=Cursor(T0 + 1, -1)) == store.entries("s")


def test_unknown_session_is_empty(store: Store) -> None:
    """It is empty, and nothing fails."""
    assert store.entries("none") == []
    assert store.session("none") is None
    assert list(every_entry(store, "none")) == []


def test_roll_up_counts_everything(store: Store) -> None:
    """A session's figures if its entries arrive in order."""
    put(store, *rich_session())

    assert store.session("s") == ROLLED_UP


def test_title_is_the_beginning_of_the_first_prompt(store: Store) -> None:
    """On one line, at most 200 characters, however long the prompt is."""
    put(store, entry("user_input", 0, prompt="Plan \n" + "x" * 500), entry("user_input", 1, prompt="and then?"))

    assert store.session("s").title == "Plan " + "x" * 195


@pytest.mark.parametrize("blank", ["", " \n", "\u3000"])
def test_title_is_the_first_prompt_with_words(store: Store, blank: str) -> None:
    """A prompt of white space alone, in any script, is skipped."""
    put(store, entry("session_start", 0, prompt=blank))
    put(store, entry("user_input", 1, prompt="\u3000Plan\u2028it\xa0"))

    assert store.session("s").title == "Plan it"


@pytest.mark.parametrize("kind", ["session_start", "user_input"])
def test_title_is_a_prompt_that_stands_among_the_inputs(store: Store, kind: str) -> None:
    """As a third-party client may log it; an input of another type is ignored."""
    put(store, entry("session_start", input_data={"prompt": ["no text"]}), entry("user_input", 1, input_data=None))
    put(store, entry(kind, 2, prompt="", input_data={"prompt": "Plan \nit"}))

    assert store.session("s").title == "Plan it"


def test_title_of_one_moment_is_the_prompt_of_the_session(store: Store) -> None:
    """A run that begins in the same millisecond as its session does not change it, whatever its prompt."""
    put(store, entry("session_start", prompt="Weekly report"), entry("user_input", prompt="How many?"),
        entry("llm_call", prompt="Answer: how many?"))  # fmt: skip

    assert store.session("s").title == "Weekly report"


@pytest.mark.parametrize("seed", range(5))
def test_roll_up_does_not_depend_on_order_or_copies(store: Store, seed: int) -> None:
    """Late, duplicate, out of order, in any batches: the figures are the same."""
    shuffle = random.Random(seed)
    entries = rich_session() * 2
    shuffle.shuffle(entries)
    while entries:
        size = shuffle.randint(1, 7)
        put(store, *entries[:size])
        entries = entries[size:]

    assert store.session("s") == ROLLED_UP


def test_status_of_the_end(store: Store) -> None:
    """A session's end has its status; an unknown one counts as completed."""
    put(store, entry("session_start", 0, "without"), entry("session_end", 9, "without"))
    for name, status in {"idle": "idle", "cancelled": "cancelled", "unknown": "sunny", "number": 5}.items():
        put(store, entry("session_start", 0, name), entry("session_end", 9, name, meta={"status": status}))

    assert {summary.session_id: summary.status for summary in store.sessions(Query()).sessions} == {
        "without": "completed",
        "idle": "idle",
        "cancelled": "cancelled",
        "unknown": "completed",
        "number": "completed",
    }


def failures(store: Store) -> list[tuple[str, str]]:
    """Each session's failure, alone and in the list, by the sessions' ids."""
    listed = sorted(store.summaries(), key=lambda summary: summary.session_id)
    return [(store.session(summary.session_id).failure, summary.failure) for summary in listed]


FAILURES = [
    ({"error_type": "ValueError", "error_message": "no such\n  city"}, "ValueError: no such city"),
    ({"error_type": "TimeoutError", "error_message": ""}, "TimeoutError"), ({"error_message": "no"}, "no"),
    ({"error_type": "TimeoutError", "error_message": "TimeoutError"}, "TimeoutError"),
    ({"error_type": "E", "error_message": "x" * 500}, "E: " + "x" * 197), ({}, ""), (None, ""),
]  # fmt: skip


def test_failed_session_tells_its_last_error(store: Store) -> None:
    """On one line, at most 200 characters, wherever in the session it is and in whatever order it arrives."""
    for number, (info, _) in enumerate(FAILURES):
        name = f"s{number}"
        put(store, entry("session_end", 9, name, meta={"status": "failed"}), entry("error", 5, name, error_info=info))
        put(store, entry("error", 3, name, error_info={"error_type": "Zero", "error_message": "an earlier one"}))

    assert failures(store) == [(failure, failure) for _, failure in FAILURES]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("step", [1, -1])
def test_ends_and_errors_of_one_moment_tell_the_same_in_any_order(store: Store, together: bool, step: int) -> None:
    """The greater text counts, whichever arrived first, in one batch or in several."""
    entries = [entry("error", 5, error_info={"error_message": text}) for text in ("no", "yes")]
    entries += [entry("session_end", 9, meta={"status": status}) for status in ("cancelled", "failed")]
    for batch in [entries[::step]] if together else [[one] for one in entries[::step]]:
        put(store, *batch)

    assert [store.session("s").status, store.session("s").failure] == ["failed", "yes"]


def test_session_that_has_not_failed_tells_no_failure(store: Store) -> None:
    """It ended well although it had an error."""
    put(store, entry("error", error_info={"error_message": "no"}), entry("session_end", 1))

    assert store.session("s").failure == ""


STOPPED = [
    ([], "no"), ([("llm_response", 5)], "no"), ([("error", 5)], "again"), ([("error", 5), ("recovery", 5)], "again"),
    ([("recovery", 5)], ""), ([("user_input", 5)], ""), ([("llm_call", 6)], ""), ([("session_end", 5)], ""),
]  # fmt: skip


def test_session_without_an_end_tells_the_error_that_it_stopped_at(store: Store) -> None:
    """Until something is done again, or if nothing has made up for it: a service's sessions end much later."""
    for number, (later, _) in enumerate(STOPPED):
        name = f"s{number}"
        put(store, entry("llm_call", 4, name), entry("error", 4, name, error_info={"error_message": "no"}))
        put(store, *(entry(kind, at, name, error_info={"error_message": "again"}) for kind, at in later))

    assert failures(store) == [(failure, failure) for _, failure in STOPPED]


@pytest.mark.parametrize("kind", ["session_start", "user_input", "llm_call", "tool_call"])
def test_activity_after_the_end_means_running(store: Store, kind: str) -> None:
    """A session that continues is running again until its next end, however it continues."""
    now = now_ms()
    put(store, entry("session_end", timestamp=now, meta={"status": "failed"}))
    put(store, entry(kind, timestamp=now + 3))
    running = store.session("s").status
    put(store, entry("session_end", timestamp=now + 4))

    assert [running, store.session("s").status] == ["running", "completed"]


def test_session_that_ends_in_the_moment_of_its_last_activity_has_ended(store: Store) -> None:
    """A fast session may take no millisecond."""
    put(store, entry("session_end", 9), entry("llm_call", 9))

    assert store.session("s").status == "completed"


def test_session_that_waits_for_a_person_is_interrupted(store: Store) -> None:
    """Once a human was asked the session is interrupted, however long it takes, until an answer or other activity."""
    asked = now_ms() - 31 * 60_000
    put(store, entry("llm_call", timestamp=asked - 1))
    put(store, entry("human_oversight", timestamp=asked, meta={"status": "interrupted"}))
    put(store, entry("component_exit", timestamp=asked + 1))
    waiting = store.session("s").status
    listed = [s.session_id for s in store.sessions(Query(status="interrupted")).sessions]
    put(store, entry("human_oversight", timestamp=now_ms(), meta={"status": "resumed"}))

    assert (waiting, listed, store.session("s").status) == ("interrupted", ["s"], "running")


def test_oversight_that_says_nothing_of_a_question_changes_no_status(store: Store) -> None:
    """An event logged by hand may have no `meta`."""
    put(store, entry("human_oversight", 9))
    put(store, entry("session_end", 8, meta={"status": "failed"}))

    assert store.session("s").status == "failed"


def test_silent_session_without_an_end_is_told_from_a_running_one(store: Store) -> None:
    """Half an hour after its last event a session has no end; the filter uses the status that is shown."""
    put(store, entry("llm_call", session_id="silent", timestamp=now_ms() - 31 * 60_000))
    put(store, entry("llm_call", session_id="running", timestamp=now_ms() - 29 * 60_000))
    found = {status: [(s.session_id, s.status) for s in store.sessions(Query(status=status)).sessions]
             for status in ("no end", "running")}  # fmt: skip

    assert found == {"no end": [("silent", "no end")], "running": [("running", "running")]}
    assert [store.session(name).status for name in ("silent", "running")] == ["no end", "running"]


SILENCES = [
    (["llm_call", "llm_response"], 40, "idle"),
    (["llm_call", "llm_response"], 31 * 60, "no end"),
    (["llm_call", "tool_call", "llm_response"], 40, "running"),
    (["component_enter", "tool_call", "tool_response"], 40, "running"),
    (["component_enter", "tool_call", "tool_response", "component_exit"], 40, "idle"),
    (["llm_call", "failed llm_call"], 40, "idle"),
    (["llm_call", "tool_call", "error", "tool_response"], 40, "running"),
    (["user_input"], 40, "idle"),
    (["llm_call", "llm_response"], 20, "running"),  # stored last: a busy machine has ten seconds
]


def test_session_in_which_nothing_is_open_is_idle(store: Store) -> None:
    """It is running while a call or node is open and half a minute longer: between calls, or while a user thinks."""
    expected = {f"s{number}": status for number, (_, _, status) in enumerate(SILENCES)}
    for name, (kinds, silent_s, _) in zip(expected, SILENCES, strict=True):
        for kind in reversed(kinds):  # whatever the order of arrival
            meta = {"meta": {"execution_time_ms": 7}} if kind == "failed llm_call" else {}
            put(store, entry("error" if meta else kind, 0, name, timestamp=now_ms() - silent_s * 1000, **meta))
    listed = [store.sessions(Query(status=status)).sessions for status in ("running", "idle", "no end")]

    assert {name: store.session(name).status for name in expected} == expected
    assert {summary.session_id: summary.status for found in listed for summary in found} == expected


@pytest.mark.parametrize("ascending", [True, False])
def test_sorted_by_the_duration_that_is_shown(store: Store, ascending: bool) -> None:
    """A running session's duration lasts until now; if nothing is open, until its last event."""
    now = now_ms()
    put(store, entry("llm_call", session_id="pauses", timestamp=now - 605_000),
        entry("llm_response", session_id="pauses", timestamp=now - 10_000))  # fmt: skip
    put(store, entry("llm_call", session_id="runs", timestamp=now - 600_000))
    for name, begun in (("longer", 900_000), ("shorter", 100_000)):
        put(store, entry("llm_call", session_id=name, timestamp=now - begun),
            entry("session_end", session_id=name, timestamp=now))  # fmt: skip
    found = store.sessions(Query(sort="duration", ascending=ascending)).sessions
    names, durations = [s.session_id for s in found], [s.duration_ms for s in found]

    assert names[:: 1 if ascending else -1] == ["shorter", "pauses", "runs", "longer"]
    assert {s.session_id: s.status for s in found}["pauses"] == "running"
    assert durations == sorted(durations, reverse=not ascending)


@pytest.mark.parametrize("ascending", [True, False])
def test_sessions_with_the_same_figure_are_sorted_by_time(store: Store, ascending: bool) -> None:
    """As without a sort: ids are often random."""
    for place, name in enumerate(["c", "a", "b"]):
        put(store, entry("error", session_id=name, timestamp=T0 + place))
    found = store.sessions(Query(sort="errors", ascending=ascending)).sessions

    assert [each.session_id for each in found][:: 1 if ascending else -1] == ["c", "a", "b"]


def test_prompts_of_several_processes_count_all(store: Store) -> None:
    """Each numbers from 1, with turns, and the list is sorted by the sum; without user input the numbers count."""
    put(store, *restarted("processes"))
    put(store, *(entry("llm_call", number, "numbers", prompt_number=number) for number in (1, 2, 3)))
    found = store.sessions(Query(sort="prompts", ascending=True)).sessions

    assert [(each.session_id, each.prompts, each.turns) for each in found] == [("numbers", 3, 0), ("processes", 4, 4)]
    assert [bar.prompt for bar in Timelines(store).get(found[1]).timeline.roots if bar.kind == "prompt"] == [1, 2, 1, 2]


def test_tokens_are_unknown_until_an_entry_names_them(store: Store) -> None:
    """A reported zero is a zero, for each kind separately; a response from a cache counts as none."""
    put(store, entry("llm_response", llm_response={"response": "Hi"}))
    seen = [store.session("s")]
    put(store, entry("llm_response", 1, llm_response={"input_tokens": 0}))
    seen.append(store.session("s"))
    put(store, entry("llm_response", 2, llm_response={"output_tokens": 9}, meta={"cached": True}))
    seen.append(store.session("s"))

    assert [(found.input_tokens, found.output_tokens, found.cached_tokens) for found in seen if found] == [
        (None, None, None), (0, None, None), (0, 0, None),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["input_tokens", "output_tokens"])
def test_total_of_a_single_zero_is_known(store: Store, kind: str) -> None:
    """Whichever of the two was reported, for the session and in its summary."""
    put(store, entry("llm_response", llm_response={kind: 0}))

    assert (store.session("s").total_tokens, store.summaries()[0].total_tokens) == (0, 0)


def test_recovery_that_did_not_succeed_is_none(store: Store) -> None:
    """A recovery that does not say whether it succeeded counts."""
    put(store, *(entry("recovery", at, error_info=info) for at, info in enumerate(
        ({"recovery_successful": True}, {"recovery_successful": True}, {"recovery_successful": False},
         {"error_id": "e-1"}))))  # fmt: skip

    assert store.session("s").recoveries == 3


def test_calls_without_a_price_are_told_where_others_have_one(store: Store) -> None:
    """A response from a cache and one without tokens need none; a price of 0 is a price."""
    tokens = {"input_tokens": 3, "output_tokens": 1}
    put(store, entry("llm_response", llm_response=tokens), entry("llm_response", 1, llm_response={"total_tokens": 4}),
        entry("llm_response", 2, llm_response=tokens, meta={"cached": True}), entry("llm_response", 3),
        entry("llm_response", 4, llm_response={"input_tokens": 0}),
        entry("llm_response", 5, llm_response=tokens, performance_metrics={"cost": 0}))  # fmt: skip
    seen = [store.session("s")]
    put(store, entry("llm_response", 6, llm_response=tokens, performance_metrics={"cost": 0.5}))
    seen.append(store.session("s"))

    assert [(found.cost, found.unpriced_calls) for found in seen if found] == [(0.0, 2), (0.5, 2)]


def test_reported_cost_of_zero_is_no_unknown_cost(store: Store) -> None:
    """The session's cost is None only if no entry reports one."""
    for session_id, reported in (("free", {"cost": 0}), ("unknown", {"cost": None}), ("silent", {})):
        put(store, entry("llm_response", session_id=session_id, performance_metrics=reported))

    assert {found.session_id: found.cost for found in store.summaries()} == {"free": 0, "unknown": None, "silent": None}


def test_large_and_odd_figures_do_no_harm(store: Store) -> None:
    """Impossible token counts are ignored, and so is an odd `meta`: a number is not a model."""
    put(store, entry("llm_response", llm_response={"input_tokens": 2**62, "output_tokens": -5},
                     meta={"usage": [], "tags": "x", "model": 7, "context": []}))  # fmt: skip

    found = store.session("s")
    assert (found.input_tokens, found.output_tokens, found.models, found.tags) == (None, None, (), ())


def test_only_texts_are_tags(store: Store) -> None:
    """Anything else in a list of tags is ignored, not converted."""
    put(store, entry(meta={"tags": ["a", 1, 2.5, None, True, {"x": "y"}, ["z"], ""], "context": {"tags": [7, 'é"b']}}))

    assert store.session("s").tags == ("a", 'é"b')


def test_texts_that_look_like_times_are_shown_and_found_as_given(store: Store) -> None:
    """A tag, model, prompt or error that is nothing but a date or time is a text like any other."""
    time = "2026-01-01T08:30:00.250Z"
    put(
        store,
        entry("session_start", input_data={"prompt": time}, meta={"tags": [time], "model": time}),
        entry("error", 1, error_info={"error_message": time}),
        entry("session_end", 2, meta={"status": "failed"}),
    )

    (found,) = store.sessions(Query(model=time, tag=time)).sessions
    assert (found.title, found.failure, found.models, found.tags) == (time, time, (time,), (time,))


def test_long_models_and_tags_are_cut(store: Store) -> None:
    """They are choices of a filter, and found by the rest of them."""
    long = "ü" * 300
    put(store, entry("llm_call", meta={"model": long, "tags": [long], "context": {"tags": [long + "!"]}}))
    found = [(each.models, each.tags) for each in store.sessions(Query(model=long[:200], tag=long[:200])).sessions]

    assert found == [((long[:200],), (long[:200],))]


def test_runs_come_earliest_first(store: Store) -> None:
    """All ids, and a summary of each session, or only of those that started last."""
    put(store, entry("session_start", 10, "late", prompt="Plan"), entry(session_id="the first", at=5),
        entry("llm_response", 20, "late", llm_response={"total_tokens": 7}, performance_metrics={"cost": 0.5}),
        entry("error", 25, "late", error_info={"error_message": "no"}),
        entry("session_end", 30, "late", meta={"status": "failed"}))  # fmt: skip

    assert store.session_ids() == ["the first", "late"]
    assert store.summaries() == [
        Summary("the first", 1, T0 + 5, T0 + 5, NO_END, "", "", None, None, 0),
        Summary("late", 4, T0 + 10, T0 + 30, "failed", "Plan", "no", 7, 0.5, 1),
    ]
    assert [each.session_id for each in store.summaries(1)] == ["late"]


def test_unknown_sort_is_refused(store: Store) -> None:
    """An unknown sort never becomes part of the SQL."""
    with pytest.raises(ValueError, match="unknown sort 'id; --'"):
        store.sessions(Query(sort="id; --"))


def test_news_is_what_arrived_meanwhile(store: Store) -> None:
    """News goes by arrival, not by time; what arrives after the given moment is the next news."""
    put(store, entry(at=9), entry(session_id="other"))
    seen = store.latest()
    put(store, entry(at=1))
    latest = store.latest()
    put(store, entry(session_id="other"))

    assert [store.has_news(name, seen, latest) for name in ("s", "other", "none")] == [True, False, False]
    assert [store.has_news(name, latest, store.latest()) for name in ("s", "other")] == [False, True]


def test_append_that_fails_leaves_nothing(store: Store) -> None:
    """Neither its entry nor its figures; the next append is stored."""
    unknown = NewEntry(entry("unknown", session_id="failed"), b"{}")
    with pytest.raises((KeyError, Unavailable)):
        store.append([unknown]).result(timeout=10)
    put(store, entry())

    assert store.session_ids() == ["s"]


def test_export_reads_page_by_page(store: Store) -> None:
    """A large session is returned completely."""
    entries = [entry(at=number) for number in range(2 * PAGE + 3)]
    for start in range(0, len(entries), 1000):
        put(store, *entries[start : start + 1000])

    assert [orjson.loads(each.body) for each in every_entry(store, "s")] == entries


def test_large_entries_come_fewer_at_a_time(store: Store) -> None:
    """Whatever the limit, and even in one millisecond: a page has 16 MB at most, and an entry may have half as much."""
    put(store, *(entry(event_id=str(number), prompt="long " * 1_400_000) for number in range(3)))
    pages = [store.entries("s")]
    pages.append(store.entries("s", after=pages[0][-1].cursor))

    assert [event_ids(page) for page in pages] == [["0", "1"], ["2"]]
    assert event_ids(every_entry(store, "s")) == ["0", "1", "2"]


def test_prune_deletes_old_sessions_whole(store: Store, beside: Any) -> None:
    """A session is deleted if its last entry is too old; one that continued is kept complete."""
    put(store, entry(session_id="old", at=1, prompt="gone"), entry(session_id="old", at=50))
    put(store, entry(session_id="kept", at=2, prompt="here"), entry(session_id="kept", at=100))
    pruned = beside.prune(T0 + 100)

    assert (pruned.sessions, pruned.entries) == (1, 2)
    assert store.session_ids() == ["kept"]
    assert (holding(store, "gone"), holding(store, "here")) == ([], ["kept"])


def test_prune_deletes_very_many_sessions(store: Store, beside: Any) -> None:
    """More than are deleted in one step."""
    put(store, *(entry(session_id=f"old {n}") for n in range(999)), entry(session_id="kept", at=100))
    pruned = beside.prune(T0 + 100)

    assert (pruned.sessions, pruned.entries, store.session_ids()) == (999, 999, ["kept"])


def test_delete_takes_the_named_sessions_alone(store: Store, beside: Any) -> None:
    """Whatever is in an id; one that does not exist does not matter."""
    ids = ["a", "a'b", "a\x00b", "ü"]
    put(store, *(entry(session_id=name, at=at) for name in ids for at in (1, 2)))
    deleted = beside.delete([*ids[1:], "nobody"])

    assert (deleted.sessions, deleted.entries, store.session_ids()) == (3, 6, ["a"])


def test_what_was_pruned_can_come_again(store: Store, beside: Any) -> None:
    """A deleted entry is new when it is sent again."""
    one = entry(prompt="phoenix")
    put(store, one)
    beside.prune(T0 + 1)
    put(store, one)

    assert bodies(store) == [one]
    assert store.session("s").entries == 1


def test_session_takes_nothing_over_from_a_deleted_one(store: Store, beside: Any) -> None:
    """Not even a choice of the filters is left."""
    put(store, entry("llm_call", 1, "old", turn_number=2, meta={"model": "gpt-4o", "tags": ["nightly"]}))
    beside.prune(T0 + 2)
    left = store.facets("model"), store.facets("tag"), store.entries("old")
    put(store, entry(at=5))

    assert left == ([], [], [])
    assert store.session("s") == Session("s", T0 + 5, T0 + 5, "no end", entries=1, prompts=1, types={"info": 1})


def test_ids_of_any_characters(store: Store) -> None:
    """Slashes, quotes, control characters and other scripts in ids are harmless."""
    ids = ["a/b:c+d", "ü 中文 🎉", "'; DROP TABLE entries; --", "a\x00b", "%_", '"', "x" * 512]
    put(store, *(entry(session_id=name, event_id=name, at=n) for n, name in enumerate(ids)))

    assert store.session_ids() == ids
    assert [orjson.loads(store.entry(name, name).body)["event_id"] for name in ids] == ids


def test_many_sessions_in_one_append(store: Store) -> None:
    """A batch may have as many sessions as entries."""
    put(store, *(entry(session_id=f"s{n}", at=n) for n in range(1000)))

    assert store.sessions(Query(limit=1)).total == 1000


def test_appends_from_many_threads_all_arrive(store: Store) -> None:
    """Every acknowledged entry is stored, whichever thread sent it."""
    futures = [store.append(new(entry(session_id=f"s{n % 3}", at=n))) for n in range(300)]
    for future in futures:
        future.result(timeout=10)

    assert sum(summary.entries for summary in store.summaries()) == 300


def test_cursor_of_an_entry(store: Store) -> None:
    """The cursor of an entry is its time and arrival number."""
    put(store, entry(at=4))
    (found,) = store.entries("s")

    assert found.cursor == Cursor(T0 + 4, found.seq)


def test_seq_grows(store: Store) -> None:
    """Each stored entry has a higher number than those before it."""
    posted = [entry(at=-n) for n in range(5)]
    for one in posted:
        put(store, one)
    found = store.entries("s")

    assert event_ids(sorted(found, key=lambda one: one.seq)) == [one["event_id"] for one in posted]
    assert len({one.seq for one in found}) == 5
