"""What every store tells of a session as a whole: title, status, error and figures."""

from __future__ import annotations

import random
from typing import Any

import pytest

from coagent_langchain.server.store import Store
from coagent_langchain.server.store.records import Query, Session
from coagent_langchain.server.timeline_cache import TimelineCache
from coagent_langchain.wire import now_ms
from tests.server.samples import T0, entry, put
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


def test_roll_up_counts_everything(store: Store) -> None:
    """A session's figures if its entries arrive in order."""
    put(store, *rich_session())

    assert store.session("s") == ROLLED_UP


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
    listed = sorted(store.summaries(), key=lambda summary: summary.run_id)
    return [(store.session(summary.run_id).failure, summary.failure) for summary in listed]


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


def test_prompts_of_several_processes_count_all(store: Store) -> None:
    """Each numbers from 1, with turns, and the list is sorted by the sum; without user input the numbers count."""
    put(store, *restarted("processes"))
    put(store, *(entry("llm_call", number, "numbers", prompt_number=number) for number in (1, 2, 3)))
    found = store.sessions(Query(sort="prompts", ascending=True)).sessions

    assert [(each.session_id, each.prompts, each.turns) for each in found] == [("numbers", 3, 0), ("processes", 4, 4)]
    assert [bar.prompt for bar in TimelineCache(store).get(found[1]).roots if bar.kind == "prompt"] == [1, 2, 1, 2]


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

    assert {found.run_id: found.cost for found in store.summaries()} == {"free": 0, "unknown": None, "silent": None}


def test_large_and_odd_figures_do_no_harm(store: Store) -> None:
    """Impossible token counts are ignored, and so is an odd `meta`: a number is not a model."""
    put(store, entry("llm_response", llm_response={"input_tokens": 2**62, "output_tokens": -5},
                     meta={"usage": [], "tags": "x", "model": 7, "context": []}))  # fmt: skip

    found = store.session("s")
    assert (found.input_tokens, found.output_tokens, found.models, found.tags) == (None, None, (), ())


def test_only_texts_are_tags(store: Store) -> None:
    """Anything else in a list of tags is ignored, not converted, and so is an empty text, also as a model."""
    tags = ["a", 1, 2.5, None, True, {"x": "y"}, ["z"], ""]
    put(store, entry(meta={"model": "", "tags": tags, "context": {"tags": [7, 'é"b']}}))

    assert (store.session("s").models, store.session("s").tags) == ((), ("a", 'é"b'))


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
