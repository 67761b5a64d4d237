"""What every store does, whatever its database: entries are stored once, come back in order, and are deleted."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from coagent_langchain.server.store import PAGE, Store, Unavailable
from coagent_langchain.server.store.records import Cursor, NewEntry, Query, Session, Summary
from coagent_langchain.unended import NO_END
from coagent_langchain.wire import now_ms
from tests.server.samples import T0, bodies, entry, event_ids, holding, new, put


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

    assert (bodies(store), store.session("s").entries) == ([one, two], 2)


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
    assert list(store.every_entry("none")) == []


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


def test_runs_come_earliest_first(store: Store) -> None:
    """All ids, and a summary of each session, or only of those that started last."""
    put(store, entry("session_start", 10, "late", prompt="Plan", meta={"tags": ["v2", "prod"]}),
        entry(session_id="the first", at=5, meta={"model": "m,\"1\"", "tags": ["prod"]}),
        entry("llm_response", 20, "late", llm_response={"total_tokens": 7}, performance_metrics={"cost": 0.5}),
        entry("error", 25, "late", error_info={"error_message": "no"}),
        entry("session_end", 30, "late", meta={"status": "failed"}))  # fmt: skip

    assert store.session_ids() == ["the first", "late"]
    assert store.summaries() == [
        Summary("the first", 1, T0 + 5, T0 + 5, NO_END, "", "", None, None, 0, ['m,"1"'], ["prod"]),
        Summary("late", 4, T0 + 10, T0 + 30, "failed", "Plan", "no", 7, 0.5, 1, [], ["prod", "v2"]),
    ]
    assert [each.run_id for each in store.summaries(1)] == ["late"]


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

    assert [orjson.loads(each.body) for each in store.every_entry("s")] == entries


def test_large_entries_come_fewer_at_a_time(store: Store) -> None:
    """Whatever the limit, and even in one millisecond: a page has 16 MB at most, and an entry may have half as much."""
    put(store, *(entry(event_id=str(number), prompt="long " * 1_400_000) for number in range(3)))
    pages = [store.entries("s")]
    pages.append(store.entries("s", after=pages[0][-1].cursor))

    assert [event_ids(page) for page in pages] == [["0", "1"], ["2"]]
    assert event_ids(store.every_entry("s")) == ["0", "1", "2"]


def test_prune_deletes_old_sessions_whole(store: Store, beside: Any) -> None:
    """A session is deleted if its last entry is too old; one that continued is kept complete."""
    put(store, entry(session_id="old", at=1, prompt="gone"), entry(session_id="old", at=50))
    put(store, entry(session_id="kept", at=2, prompt="here"), entry(session_id="kept", at=100))
    pruned = beside.prune(T0 + 100)

    assert (pruned.sessions, pruned.entries) == (1, 2)
    assert store.session_ids() == ["kept"]
    assert (holding(store, "gone"), holding(store, "here")) == ([], ["kept"])


@pytest.mark.parametrize("later", [[], [entry(at=9)]], ids=["gone", "continued"])
def test_session_deleted_while_it_is_read_does_not_pass_for_whole(
    store: Store, beside: Any, later: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reader is told, also if the session has continued since."""
    monkeypatch.setattr("coagent_langchain.server.store.PAGE", 2)
    put(store, *(entry(at=number) for number in range(3)))
    reading = store.every_entry("s")
    next(reading)
    beside.prune(T0 + 3)
    put(store, *later)

    with pytest.raises(Unavailable, match="deleted while it was read"):
        list(reading)


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

    assert sum(summary.log_count for summary in store.summaries()) == 300


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
