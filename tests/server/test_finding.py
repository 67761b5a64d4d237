"""How every store finds sessions and entries."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import orjson
import pytest
import requests

from coagent_langchain.server.intake import parse
from coagent_langchain.server.running import Running
from coagent_langchain.server.store import MAX_FACETS, Store, connection_pool, search, sql
from coagent_langchain.server.store.records import Page, Query
from tests.server.samples import T0, entry, hits, holding, put


def some_sessions(store: Store) -> None:
    """Three sessions that differ in everything that can be searched for."""
    put(store,
        entry("session_start", 0, "a", prompt="Bake bread!", meta={"tags": ["kitchen"]}),
        entry("session_end", 90, "a"),
        entry("llm_call", 100, "b", prompt="Plan a trip",
              meta={"model": "gpt-4o", "tools_offered": ["book_flight"], "context": {"tags": ["travel"]}}),
        entry("error", 110, "b"),
        entry("llm_call", 200, "c", prompt="100% _sure_", meta={"model": "llama3"}),
        entry("llm_response", 201, "c", llm_response={"total_tokens": 50, "response": "Zürich bleibt"}),
        )  # fmt: skip


QUERIES = [
    (Query(), "cba"),
    (Query(ascending=True), "abc"),
    (Query(sort="duration"), "abc"),
    (Query(sort="total_tokens", limit=1), "c"),
    (Query(limit=1, offset=1), "b"),
    (Query(status="completed"), "a"),
    (Query(status="no end"), "cb"),
    (Query(status="running"), ""),
    (Query(type="error"), "b"),
    (Query(model="llama3"), "c"),
    (Query(tag="kitchen"), "a"),
    (Query(tag="travel", model="llama3"), ""),
    (Query(since_ms=T0 + 110), "cb"),
    (Query(since_ms=T0 + 202), ""),
    (Query(text="bread BAKE"), "a"),
    (Query(text="read"), "a"),
    (Query(text="read!"), "a"),
    (Query(text='"bake bread"'), "a"),
    (Query(text='"bread bake"'), ""),
    (Query(text='trip "plan a"'), "b"),
    (Query(text="0% _s"), "c"),
    (Query(text="zürich"), "c"),
    (Query(text="%"), "c"),
    (Query(text="b_ke"), ""),
    (Query(text="nothing"), ""),
    (Query(text="book_flight"), ""),  # offered, but not used
]


def test_sessions_are_found(store: Store) -> None:
    """Each filter, sort and page of the session list."""
    some_sessions(store)
    found = [(query, "".join(each.session_id for each in store.sessions(query).sessions)) for query, _ in QUERIES]

    assert found == QUERIES


def test_sessions_without_a_figure_come_last(store: Store) -> None:
    """Unknown is neither more nor less than a known figure, not even than 0."""
    put(store, entry(session_id="a"))
    for name, tokens, cost in (("b", 1, 0.5), ("c", 0, 0.25)):
        put(store, entry("llm_response", session_id=name, llm_response={"input_tokens": tokens},
                         performance_metrics={"cost": cost}))  # fmt: skip

    def order(sort: str, ascending: bool) -> str:
        found = store.sessions(Query(sort=sort, ascending=ascending)).sessions
        return "".join(session.session_id for session in found)

    assert [order("cost", True), order("total_tokens", True)] == ["cba", "cba"]
    assert [order("cost", False), order("total_tokens", False)] == ["bca", "bca"]


def test_page_knows_how_many_there_are(store: Store) -> None:
    """The total does not depend on the page."""
    some_sessions(store)

    assert store.sessions(Query(limit=1, status="no end")).total == 2


def spend(store: Store) -> None:
    """Three sessions of two users: one without a price for a call, one without any figure."""

    def used(name: str, user: str, tokens: int | None, cost: float | None) -> dict[str, Any]:
        return entry("llm_response", session_id=name, llm_response={"total_tokens": tokens} if tokens else {},
                     performance_metrics={"cost": cost} if cost else {}, meta={"tags": [user]})  # fmt: skip

    put(store, used("a", "ada", 1_200, 0.25), used("a", "ada", 30, None), used("trip", "ada", 4, 0.5),
        used("c", "bob", None, None))  # fmt: skip


SPENT = [
    (Query(tag="ada", limit=1), (2, 1_234, 0.75, 1)),
    (Query(text="rip"), (1, 4, 0.5, 0)),  # in the middle of an id
    (Query(tag="bob"), (1, None, None, 0)),
    (Query(tag="cid"), (0, None, None, 0)),
    (Query(), (3, None, None, 0)),
]


def test_page_knows_what_the_sessions_of_a_filter_used(store: Store) -> None:
    """The sums do not depend on the page. Without a filter there are none: a whole store takes too long to add up."""
    spend(store)
    pages = [(query, store.sessions(query)) for query, _ in SPENT]

    assert [(query, (page.total, page.total_tokens, page.cost, page.unpriced_calls)) for query, page in pages] == SPENT


def test_list_says_what_the_sessions_of_a_filter_used(running: Running) -> None:
    """Below the list, next to their number."""
    spend(running.store)

    def foot(query: str) -> str:
        html = requests.get(f"{running.url}/?{query}", timeout=10).text.partition('<div class="foot">')[2]
        return " ".join(re.sub("<[^>]+>", "", html.partition("</div>")[0]).split()).removeprefix("Compare two ")

    assert [foot(query) for query in ("tag=ada", "tag=bob", "sort=cost")] == [
        "1–2 of 2 · 1,234 tokens · $0.7500+",
        "1–1 of 1",
        "1–3 of 3",
    ]


COUNTS: list[tuple[Query, dict[str, dict[str, int]]]] = [
    (Query(type="error", count_facets=True, limit=1), {
        "type": {"llm_call": 1, "error": 1}, "model": {"gpt-4o": 1}, "tag": {"travel": 1}}),
    (Query(text="a", count_facets=True, limit=1), {
        "type": {"session_start": 1, "session_end": 1, "llm_call": 1, "error": 1},
        "model": {"gpt-4o": 1}, "tag": {"kitchen": 1, "travel": 1}}),
    (Query(tag="nothing", count_facets=True), {"type": {}, "model": {}, "tag": {}}),
    (Query(count_facets=True), {}),
    (Query(type="error"), {}),
]  # fmt: skip


def test_page_knows_what_the_sessions_of_a_filter_have(store: Store) -> None:
    """How many have each type, model and tag: of all pages, if that is asked for."""
    some_sessions(store)
    put(store, entry("error", 120, "b", meta={"tags": ["travel"]}))

    assert [(query, store.sessions(query).facet_counts) for query, _ in COUNTS] == COUNTS


def test_counts_of_very_many_sessions_are_left_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would take seconds."""
    some_sessions(store)
    monkeypatch.setattr(sql, "COUNTED", 1)
    pages = [store.sessions(Query(count_facets=True, type=name)) for name in ("llm_call", "llm_response")]

    assert [(page.total, page.facet_counts.get("model")) for page in pages] == [(2, None), (1, {"llama3": 1})]


def test_counts_of_many_tags_leave_room_for_a_rare_type(store: Store) -> None:
    """Each kind has its own most common values."""
    tags = [f"user:{number:03}" for number in range(MAX_FACETS)]
    put(store, *(entry(session_id=name, meta={"tags": tags}) for name in ("a", "b")), entry("error", session_id="a"))

    assert store.sessions(Query(tag=tags[0], count_facets=True)).facet_counts == {
        "type": {"info": 2, "error": 1},
        "model": {},
        "tag": dict.fromkeys(tags, 2),
    }


def test_choices_of_the_filters(store: Store) -> None:
    """Every model and tag in the store."""
    some_sessions(store)

    assert (store.facets("model"), store.facets("tag")) == (["gpt-4o", "llama3"], ["kitchen", "travel"])


def test_choices_are_what_most_sessions_have(store: Store) -> None:
    """If there are too many, rare ones are omitted, however often one session names them."""
    rare = [f"rare {number:03}" for number in range(MAX_FACETS)]
    put(store, *(entry(session_id="a", at=at, meta={"tags": [tag]}) for at, tag in enumerate(rare)))
    put(store, *(entry(session_id="a", at=at, meta={"tags": rare[-1:]}) for at in range(300, 309)))
    put(store, *(entry(session_id=name, meta={"tags": ["usual"]}) for name in ("b", "c")))

    assert store.facets("tag") == [*rare[:-1], "usual"]


WORDS = {
    "e1": {"prompt": "Start the deployment"},
    "e2": {"meta": {"model": "gpt-4o"}},
    "e3": {"output_data": {"deep": [{"text": "Reise to Zürich"}]}},
    "e4": {"prompt": 'deploy quo"te\nnewline'},
    "e5": {"prompt": "DİYARBAKIR"},
    "e6": {"prompt": "\u212aelvin"},
    "e7": {"tool_call": {"tool_name": "book_flight"}},
    "e8": {"prompt": "ÄPFEL"},
    "e9": {"tool_call": {"parameters": {"order": 4711, "paid": True}}, "meta": {"context": {"user": 318}}},
    "e10": {"llm_response": {"output_tokens": 429, "tool_calls": [{"args": {"order": 4711}}]}},
    "e11": {"meta": {"usage": [429]}},
}
FOUND = {  # what finds which entries
    "deploy": ["e4", "e1"],
    "DEPLOYMENT": ["e1"],
    "ploy": [],
    "zürich": ["e3"],
    "gpt-4o": ["e2"],
    "4o gpt": ["e2"],
    "to zürich": ["e3"],
    '"zürich to"': [],
    '"to zürich"': ["e3"],
    "prompt": [],
    '"info start"': [],  # a phrase is in a single value
    "flight": ["e7"],
    "e4": ["e4"],
    'quo"te': ["e4"],
    "newline": ["e4"],
    "DİYARBAKIR": ["e5"],
    "kelvin": ["e6"],
    "äpfel": ["e8"],
    "471": ["e10", "e9"],
    "318": ["e9"],
    "429": [],  # figures are not searched
}


def test_search_finds_words(store: Store) -> None:
    """Prefixes of words and whole numbers in any value, but not field names or figures; newest arrival first."""
    put(store, *(entry(event_id=name, **fields) for name, fields in WORDS.items()))

    assert {text: hits(store, "s", text) for text in FOUND} == FOUND


def test_search_finds_letters_that_were_posted_as_escapes(store: Store) -> None:
    """JSON may write any letter as an escape."""
    body = orjson.dumps(entry(event_id="e1", prompt="deploy")).replace(b"deploy", b"\\u0064eploy")
    store.append(parse(body, store.event_types).entries).result(timeout=10)

    assert hits(store, "s", "deploy") == ["e1"]


def test_search_finds_words_beside_an_absent_meta(store: Store) -> None:
    """A client may post null for what it does not know."""
    put(store, entry(event_id="e1", meta=None, prompt="deploy"))

    assert (hits(store, "s", "deploy"), holding(store, "deploy")) == (["e1"], ["s"])


def test_list_finds_sessions_by_the_same_words(store: Store) -> None:
    """Whatever finds an entry in its session also finds the session in the list."""
    put(store, *(entry(session_id=f"in {name}", event_id=name, **fields) for name, fields in WORDS.items()))

    assert {text: holding(store, text) for text in FOUND} == {
        text: sorted(f"in {name}" for name in names) for text, names in FOUND.items()
    }


def test_list_finds_sessions_whatever_their_ids_hold(store: Store) -> None:
    """By a word of their events, even if SQLite's functions would truncate the id; by the id in letters of any case."""
    ids = ["a\x00b", 'a"b', "a'b", "ü", "Trip-4F"]
    put(store, *(entry(session_id=name, output_data={"message": "everywhere"}) for name in ids))

    assert (holding(store, "everywhere"), holding(store, "trip-4f")) == (sorted(ids), ["Trip-4F"])


def test_search_in_one_session(store: Store) -> None:
    """Only entries of that session are found; beyond the limit, the newest."""
    put(store, *(entry(session_id=f"s{n % 2}", event_id=f"e{n}", at=-n, prompt="word") for n in range(8)))

    assert (hits(store, "s0", "word"), hits(store, "s0", "word", 2)) == (["e6", "e4", "e2", "e0"], ["e6", "e4"])


@pytest.mark.parametrize("text", ["", '" '])
def test_search_without_words_finds_nothing(store: Store, text: str) -> None:
    """A lone quotation mark finds nothing either."""
    put(store, entry())

    assert store.search("s", text, 100) == []


@pytest.mark.parametrize(("more", "cut"), [(0, ""), (1, "found")])
def test_search_finds_the_newest_hundred_sessions(store: Store, more: int, cut: str) -> None:
    """For a word in the events of very many sessions the list has the newest, and says that there are more."""
    ids = [f"s{n:03}" for n in range(100 + more)]
    put(store, *(entry(session_id=name, output_data={"message": "everywhere"}) for name in ids for _ in range(2)))
    page = store.sessions(Query(text="everywhere", limit=200))

    assert (sorted(session.session_id for session in page.sessions), page.total, page.cut) == (ids[more:], 100, cut)


@pytest.mark.parametrize("filters", [
    Query(tag="rare"), Query(type="warning"), Query(model="m-1"), Query(since_ms=T0 + 1),
])  # fmt: skip
def test_search_finds_the_newest_hundred_sessions_that_match_the_filters(store: Store, filters: Query) -> None:
    """The word is in the events of very many other sessions since: without a filter, the list says so."""
    put(store, entry("warning", session_id="old", at=1, output_data={"message": "everywhere"},
                     meta={"tags": ["rare"], "model": "m-1"}))  # fmt: skip
    put(store, *(entry(session_id=f"s{n:03}", output_data={"message": "everywhere"}) for n in range(101)))
    found = store.sessions(replace(filters, text="everywhere"))

    assert ([session.session_id for session in found.sessions], found.total, found.cut) == (["old"], 1, "")


def test_entries_without_the_words_are_none_of_the_hundred() -> None:
    """The index only says where they may be: the search goes on behind them."""
    ids = [f"s{n}" for n in range(search.FOUND)]

    assert search.newest_sessions([None, *ids[:-1], None, ids[-1], None, ids[0]]) == (ids, "")


def test_search_that_takes_too_long_stops(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symbols are in no index: the list shows what it found in time and says so; in one session everything is read."""
    put(store, entry(event_id="e1", prompt="a snowman ☃"))
    monkeypatch.setattr(search, "LONGEST", 0)

    assert store.sessions(Query(text="☃")) == Page([], 0, cut="time")
    assert hits(store, "s", "☃") == ["e1"]


def test_list_says_why_a_search_stopped(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A note below the list, and only if it did."""
    put(running.store, *(entry(session_id=f"s{n}", prompt="a snowman ☃") for n in range(100)))

    def noted() -> list[str]:
        return re.findall('role="note">(.+?)</span>', requests.get(f"{running.url}/?q=☃", timeout=10).text)

    all_of_them = noted()
    put(running.store, entry(session_id="one more", prompt="a snowman ☃"))
    too_many = noted()
    monkeypatch.setattr(search, "LONGEST", 0)
    too_long = noted()

    ending = ": older ones may be missing. Search for longer or rarer words."
    assert (all_of_them, too_many, too_long) == (
        [],
        [f"The search ended with the 100 newest sessions whose events contain the words{ending}"],
        [f"The search took too long and ended with the newest events{ending}"],
    )


def test_request_does_not_wait_for_ever_for_others_that_read(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """While all connections to the database are taken, the client is told to retry."""
    monkeypatch.setattr(connection_pool, "WAIT", 0.01)
    with ExitStack() as others:
        for _ in range(connection_pool.SIZE):
            others.enter_context(running.store._pool.connection())  # type: ignore[attr-defined]
        busy = requests.get(f"{running.base_url}/runs", timeout=10)

    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "1")
    assert requests.get(f"{running.base_url}/runs", timeout=10).status_code == 200
