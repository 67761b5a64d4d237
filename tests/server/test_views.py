"""The pages and what they fetch, over HTTP from a real server with SQLite."""

from __future__ import annotations

import contextlib
import csv
import html
import io
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import requests

from coagent_langchain import CoagentClient
from coagent_langchain.server import launch, live, open_store
from coagent_langchain.server.exports import table
from coagent_langchain.server.presentation.compare import figures, marked
from coagent_langchain.server.presentation.formats import compact, cost, duration
from coagent_langchain.server.presentation.inputs import in_words
from coagent_langchain.server.presentation.jsonview import parsed, tree
from coagent_langchain.server.presentation.prose import prose
from coagent_langchain.server.running import Running
from coagent_langchain.server.store import Session, Store, readers
from coagent_langchain.wire import MAX_TIMESTAMP, now_ms
from tests.server import samples, sessions
from tests.server.story import T0, Story

TRIP = quote("trip-planner/2026-11-22T13:04:18+00:00", safe="")
ACCEPT = "text/html,application/xhtml+xml,*/*;q=0.8"  # a browser's, for a page


def log(server: Running, entries: Iterable[dict[str, Any]]) -> None:
    """Log entries as a client does."""
    answer = requests.post(f"{server.base_url}/logs", json=list(entries), timeout=30)
    assert answer.status_code == 200, answer.text


def get(server: Running, path: str, accept: str = "*/*") -> requests.Response:
    """A page or fragment."""
    return requests.get(server.url + path, timeout=30, headers={"Accept": accept})


def titles(server: Running, query: str = "") -> list[str]:
    """The session ids of the list, from top to bottom."""
    page = get(server, f"/{query}")
    page.raise_for_status()
    return re.findall(r'name="s" value="([^"]*)"', page.text)


@pytest.fixture
def three(running: Running) -> Running:
    """A server with three sessions an hour apart: one completed, one failed, one without an end."""
    for hour, made in enumerate((sessions.recipe("recipe"), sessions.failed("broken"), sessions.running("live"))):
        for entry in made:
            entry["timestamp"] += hour * 3_600_000
        log(running, made)
    return running


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["live", "broken", "recipe"]),
        ("?sort=first", ["recipe", "broken", "live"]),
        ("?sort=-total_tokens", ["recipe", "broken", "live"]),
        ("?sort=nonsense&page=x&status=nonsense", ["live", "broken", "recipe"]),
        ("?status=failed", ["broken"]),
        ("?type=error", ["broken"]),
        ("?model=gemma3:4b", ["live", "recipe"]),
        ("?tag=staging", ["broken"]),
        ("?q=halloumi", ["recipe"]),
        ("?q=nothing+like+it", []),
        ("?period=30d", []),
    ],
)
def test_list_filters_and_sorts(three: Running, query: str, expected: list[str]) -> None:
    """As the address says; unknown values do not filter."""
    assert titles(three, query) == expected


def test_list_has_the_sessions_of_a_period(running: Running) -> None:
    """Those that had an event in it."""
    for name, minutes in (("recent", 30), ("older", 90), ("old", 25 * 60)):
        log(running, [samples.entry(session_id=name) | {"timestamp": now_ms() - minutes * 60_000}])

    assert [titles(running, f"?period={each}") for each in ("1h", "24h", "7d")] == [
        ["recent"], ["recent", "older"], ["recent", "older", "old"],
    ]  # fmt: skip


@pytest.mark.parametrize(("number", "written"), [
    (None, "–"), (0, "0"), (9_999_999, "9,999,999"), (10_000_000, "10.0 M"), (111_111_000, "111.1 M"),
    (999_949_999, "999.9 M"), (999_950_000, "1.0 B"), (123_456_789_012, "123.5 B"), (10**13, "10.0 T"),
    (10**16, "10000.0 T"),
])  # fmt: skip
def test_large_counts_are_short_in_columns(number: int | None, written: str) -> None:
    """Rounded before the unit is chosen."""
    assert compact(number) == written


@pytest.mark.parametrize(("ms", "written"), [
    (None, "–"), (-1, "–"), (0, "0 ms"), (999, "999 ms"), (59_949, "59.9 s"), (59_950, "1 min 00 s"),
    (7_500_000, "2 h 05 min"), (172_800_000, "2 d 0 h"), (273_600_000, "3 d 4 h"),
])  # fmt: skip
def test_durations_are_written_in_their_largest_units(ms: int | None, written: str) -> None:
    """Clocks of two machines may differ: a session that ends before it begins has no duration."""
    assert duration(ms) == written


@pytest.mark.parametrize(("dollars", "written"), [
    (None, "–"), (0, "$0.00"), (0.00009, "<$0.0001"), (0.0001, "$0.0001"), (0.99994, "$0.9999"), (1, "$1.00"),
    (1234.5, "$1,234.50"),
])  # fmt: skip
def test_costs_are_written_with_the_digits_that_tell(dollars: float | None, written: str) -> None:
    """Four decimals below a dollar, two above."""
    assert cost(dollars) == written


def test_list_says_what_it_did_not_understand(three: Running) -> None:
    """Unknown values in the address do not filter, and the page names them, but not the valid ones."""
    odd = get(three, "/?status=bogus&sort=-first&period=2h&type=&tag=nightly").text
    notes = [re.findall(r'role="note">(.*?)<', page) for page in (odd, get(three, "/?status=failed&sort=cost").text)]

    assert notes == [["Ignored as unknown: status=bogus, period=2h"], []]
    assert re.findall(r'class="choice by-(\w+) on"', odd) == ["tag"]


def test_filter_offers_few_tags_and_takes_any(running: Running) -> None:
    """There are two hundred; one that is in the address is offered too, and selected."""
    made = sessions.recipe("recipe")
    log(running, [*made, made[0] | {"event_id": "many", "meta": {"tags": [f"tag{n:03}" for n in range(300)]}}])
    choices, with_rare = (
        re.search(r'<select name="tag">(.*?)</select>', get(running, path).text)[1] for path in ("/", "/?tag=tag299")
    )

    assert choices.count("<option") == 201
    assert with_rare == choices.replace(" selected", "") + '<option value="tag299" selected>tag299</option>'
    assert titles(running, "?tag=tag299") == ["recipe"]


def test_list_shows_figures_of_a_session(three: Running) -> None:
    """Status as a word, title, why it failed, duration, counts, tokens, errors, model."""
    row = get(three, "/?status=failed").text.split("<tr data-href")[1].split(">", 1)[1].split("</tr>")[0]
    words = re.sub(r"\s+", " ", re.sub(r"<time.*?</time>|<[^>]+>", " ", row)).strip()

    assert words == (
        "failed Read invoice 4711.pdf and file it broken "
        "RateLimitError: 429: number of request tokens has exceeded your per-minute rate limit "
        "10.7 s 1 2 2 1 212 22 $0.0003 1 claude-haiku-4-5 staging"
    )


def test_session_without_an_end_says_why_it_is_called_so(three: Running) -> None:
    """In the list, which can be filtered by it, and on its page: a word, and its meaning in the tooltip."""
    pattern = r'class="status s-no-end" title="([^"]*)"'
    pages = [get(three, path).text for path in ("/?status=no+end", "/sessions/live")]

    assert titles(three, "?status=no+end") == ["live"]
    assert [re.findall(pattern, page) for page in pages] == [
        ["No session_end, and there has been no event for 30 minutes or longer"]
    ] * 2


def test_running_session_shows_the_time_since_its_start(running: Running) -> None:
    """In the list and on its page, even without scripts: not the time between its first and last event."""
    began = now_ms() - 7_500_000
    story = Story("live", began).ask("go").wait(7_400_000)
    story.call("go")
    log(running, story.entries)
    found = [re.findall(r'data-since="(\d+)">([^<]*)<', get(running, path).text) for path in ("/", "/sessions/live")]

    assert found == [[(str(began), "2 h 05 min")]] * 2


def test_duration_stops_where_nothing_is_open(running: Running) -> None:
    """The session is still running for a while: its next call may come at any moment."""
    story = Story("pauses", now_ms() - 9_000).ask("go")
    story.model("go", "gone", 4_000, (1, 1))
    log(running, story.entries)
    pages = [get(running, path).text for path in ("/", "/sessions/pauses")]

    assert [("s-running" in page, "data-since" in page, "4.0 s" in page) for page in pages] == [(True, False, True)] * 2


def test_list_has_pages(running: Running) -> None:
    """Fifty sessions per page; the second has the rest, and a way back."""
    for number in range(52):
        log(running, sessions.running(f"s{number:02}", T0 + number))
    second = get(running, "/?page=2").text

    assert titles(running, "?page=2") == ["s01", "s00"]
    assert re.findall(r'rel="(prev|next)" href="([^"]*)"', second) == [("prev", "/?page=1")]
    assert get(running, "/?page=99").text.replace("page=99&amp;", "page=2&amp;") == second


@pytest.mark.parametrize(("path", "status", "told"), [
    ("/sessions/nowhere", 404, ["Not found", "There is no session with this id.", "All sessions"]),
    ("/export/?id=nowhere&format=md", 404, ["Not found", "There is no session with this id.", "All sessions"]),
    ("/export/?id=recipe&format=pdf", 400, ["Bad request", "format must be one of jsonl, csv, md", "All sessions"]),
    ("/nowhere", 404, ["Not found", "All sessions"]),
])  # fmt: skip
def test_browser_that_is_answered_no_gets_a_page(three: Running, path: str, status: int, told: list[str]) -> None:
    """What is wrong, why, and a way back; other programs get JSON, and the API always responds with JSON."""
    page, data = get(three, path, ACCEPT), get(three, path)
    main = page.text.partition("<main")[2].partition("</main>")[0]

    assert (page.status_code, re.findall(">([^<]+)<", main)) == (status, told)
    assert (data.status_code, data.json()["success"]) == (status, False)
    assert get(three, "/api/v1/logs/no/where", ACCEPT).headers["Content-Type"] == "application/json"


def test_browser_is_told_that_the_store_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Like every error: as a page, with a `Retry-After`."""
    monkeypatch.setattr(readers, "WAIT", 0.01)
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    with launch(store) as running:
        store.close()
        page = get(running, "/", ACCEPT)

    assert (page.status_code, page.headers["Retry-After"]) == (503, "1")
    assert re.findall("<h1>(.*?)</h1>", page.text) == ["Service unavailable"]


def test_page_says_that_the_event_of_its_address_is_not_in_the_session(three: Running) -> None:
    """As text, whatever the address contains; a known event is not reported."""
    notes = [re.findall(r'id="unknown".*?>(.*?)<', get(three, f"/sessions/recipe{query}").text)
             for query in ("?event=%3Cb%3E", "?event=recipe-000003", "?event=", "")]  # fmt: skip

    assert notes == [["This session has no event &lt;b&gt;."], [], [], []]


def test_head_says_that_a_session_has_more_tags(running: Running) -> None:
    """It shows six, and all of them on hover."""
    tags = [f"tag{number}" for number in range(9)]
    log(running, Story("s").ask("x", {"context": {"tags": tags}}).entries)
    title, shown = re.findall(r'<dt>Tags</dt><dd title="(.*?)">(.*?)</dd>', get(running, "/view/head/=s").text)[0]

    assert title == ", ".join(tags)
    assert re.findall(">([^<]+)<", shown) == [*tags[:6], "+3"]


@pytest.mark.parametrize("path", ["/", "/?q=none", "/sessions/recipe", "/sessions/nowhere", "/compare", "/docs"])
def test_every_page_has_one_main_heading(three: Running, path: str) -> None:
    """Screen readers jump to it."""
    assert len(re.findall("<h1[ >]", get(three, path, ACCEPT).text)) == 1


@pytest.mark.parametrize("path", ["timeline", "overview", "events", "conversation", "raw", "find", "head", "detail",
                                  "earlier", "text"])  # fmt: skip
def test_fragments_of_an_unknown_session_are_404(running: Running, path: str) -> None:
    """For example what a page fetches of a session that was pruned meanwhile."""
    answer = get(running, f"/view/{path}/=nowhere?e=1-1")

    assert (answer.status_code, answer.json()["message"]) == (404, "There is no session with this id.")


@pytest.mark.parametrize("query", ["", "?e=", "?e=1-1", "?e=1-9999999999999999999", "?e=x-y", "?e=" + "9" * 40 + "-1"])
def test_unknown_event_is_404(three: Running, query: str) -> None:
    """No reference, a malformed one, one beyond all numbers."""
    assert get(three, f"/view/detail/=recipe{query}").status_code == 404


@pytest.mark.parametrize("path", ["x", "[9]", '["nope"]', '["meta", "a", "b"]', "7"])
def test_unknown_text_is_404(three: Running, path: str) -> None:
    """A path that leads nowhere in the entry."""
    assert get(three, f"/view/text/=recipe?e={T0}-1&path={quote(path)}").status_code == 404


def test_text_that_is_json_nested_too_deep_is_given_as_it_is_alone(running: Running) -> None:
    """Entries have limits, text in them has none: values inside such JSON cannot be serialized again."""
    log(running, [samples.entry(prompt="[" * 300 + "]" * 300)])
    url = f"/view/text/=s?e={samples.T0}-1&path="

    assert [get(running, url + path).status_code for path in ('["prompt"]', '["prompt",0]')] == [200, 404]


@pytest.mark.parametrize("query", ["offset=x", "limit=-5", "offset=-1&limit=99999", "from=-1", "from=" + "9" * 30,
                                   "from=" + "9" * 5000, "offset=" + "9" * 5000])  # fmt: skip
@pytest.mark.parametrize("name", ["events", "raw", "conversation"])
def test_odd_numbers_in_an_address_never_break_a_page(three: Running, name: str, query: str) -> None:
    """Pages beyond the end are empty, invalid numbers are refused."""
    assert get(three, f"/view/{name}/=recipe?{query}").status_code in (200, 400)


@pytest.mark.parametrize("page", ["-1", "x", "²", "9" * 30, "9" * 5000])
def test_odd_page_of_the_list_is_a_page(three: Running, page: str) -> None:
    """Beyond the end it is the last page, for an invalid number the first."""
    assert titles(three, f"?page={page}") == ["live", "broken", "recipe"]


def test_events_come_in_pages_and_by_type(three: Running) -> None:
    """By offset and limit; a type narrows; words find content."""

    def types(query: str) -> list[str]:
        return [row[2] for row in get(three, f"/view/events/=recipe?{query}").json()["rows"]]

    assert types("offset=2&limit=2") == ["llm_call", "llm_response"]
    assert types("type=session_end") == ["session_end"]
    assert types("q=halloumi") == ["llm_response"]


def test_events_of_a_type_may_stand_far_apart(running: Running) -> None:
    """Some adjacent, others between events of other types, all in the same millisecond."""
    kinds = ["debug", "info", "debug", "debug", "info", "error", "debug"]
    log(running, [samples.entry(kind, event_id=str(place)) for place, kind in enumerate(kinds)])

    assert [row[13] for row in get(running, "/view/events/=s?type=debug").json()["rows"]] == ["0", "2", "3", "6"]


def test_long_text_comes_in_pieces_that_join_to_the_whole(running: Running) -> None:
    """The concatenated pieces are the text; `whole` returns it at once."""
    answer = "".join(f"line {number}\n" for number in range(40_000))
    story = Story("long").ask("Write")
    story.model("Write", answer, 900, (1, 1))
    log(running, story.entries)
    place = next(row[13] for row in get(running, "/view/timeline/=long").json()["rows"] if row[1] == "model")
    url = f'/view/text/=long?e={place[2] + T0}-{place[3]}&path=["llm_response","response"]'
    pieces, start = [], "0"
    while start:
        piece = get(running, f"{url}&from={start}")
        pieces.append(piece.text)
        start = piece.headers.get("x-next", "")

    assert len(pieces) == 4
    assert "".join(pieces) == answer == get(running, f"{url}&whole=1").text


def test_json_that_was_logged_as_text_reads_as_a_tree(running: Running) -> None:
    """A tool's result in the details, in the conversation and as a message; copying gives the logged text."""
    value = {"city": "Rome", "days": [{"high": 24}], "report": "dry " * 1000}
    logged = orjson.dumps(value).decode()
    story = Story("s").ask("Rome?")
    story.tool("weather", {"city": "Rome"}, logged, 5, "c1")
    story.call("Rome?", history=[{"role": "tool", "content": logged}])
    log(running, story.entries)
    answer, call = (f"{story.entries[place - 1]['timestamp']}-{place}" for place in (4, 5))
    result, message = ["tool_response", "result", "output"], ["llm_call", "history", "messages", 0, "content"]
    texts = [get(running, f"/view/text/=s?e={answer}&whole=1&path={orjson.dumps(path).decode()}").text
             for path in (result, [*result, "report"])]  # fmt: skip

    assert [str(tree(value, ref, path)) in get(running, f"/view/{page}").text for page, ref, path in (
        (f"detail/=s?e={answer}", answer, result), ("conversation/=s", answer, result),
        (f"detail/=s?e={call}", call, message),
    )] == [True] * 3  # fmt: skip
    assert texts == [logged, value["report"]]


def test_large_field_leaves_room_for_those_after_it() -> None:
    """A tool's long table is cut, but not the figures after it; a list is cut at its end."""
    read = [re.sub("<[^>]+>", " ", tree(value, "1-1", ())).split() for value in (
        {"rows": [*range(1000)], "total": 7, "more": {"page": 2}}, [*range(1000)],
    )]  # fmt: skip

    assert " ".join(read[0][-10:]) == "… 618 more, see Raw total: 7 more: page: 2"
    assert " ".join(read[1][-5:]) == "… 601 more, see Raw"


def test_value_that_is_nested_too_deep_is_cut_and_says_so() -> None:
    """However deep it is; Raw shows all of it."""
    value: Any = {"last": 1, "of": 2}
    for _ in range(2_000):
        value = {"in": value}

    assert tree(value, "1-1", ()).count("<details") == 12
    assert tree(value, "1-1", ()).striptags().endswith("in: … 1 more, see Raw")


def test_answer_that_is_json_reads_as_a_tree(running: Running) -> None:
    """In the details, in the conversation and as the session's response; one that is not JSON stays text."""
    value = {"city": "Rome", "days": [{"high": 24}]}
    logged = orjson.dumps(value).decode()
    story = Story("s").ask("Rome?")
    story.model("Rome?", logged, 5, (1, 1))
    story.model("Rome?", "Warm.", 5, (1, 1))
    story.end(logged)
    log(running, story.entries)
    answer, end = (f"{story.entries[place - 1]['timestamp']}-{place}" for place in (4, 7))
    conversation = get(running, "/view/conversation/=s").text

    assert [str(tree(value, ref, path)) in get(running, f"/view/{page}").text for page, ref, path in (
        (f"detail/=s?e={answer}", answer, ["llm_response", "response"]),
        ("conversation/=s", answer, ["llm_response", "response"]),
        (f"detail/=s?e={end}", end, ["output_data", "response"]),
    )] == [True] * 3  # fmt: skip
    assert '<div class="text prose"><p dir="auto">Warm.</p>' in conversation


@pytest.mark.parametrize("text", ["{}", "[]", "[1] see below", '{"a": 1', "x" * 9, "[" * 5000, f'["{"x" * 100_000}"]'])
def test_what_is_no_json_or_too_long_for_a_tree_stays_text(text: str) -> None:
    """Exactly as it was logged."""
    assert parsed(text) is None


def test_agents_inside_agents_without_end_still_open(running: Running) -> None:
    """Two thousand tools, each inside the previous one: every page responds, the timeline has them all."""
    story = Story("deep").ask("go down")
    parent = story.root
    for number in range(2_000):
        parent = story.tool_call(f"level {number}", {}, f"c{number}", parent)
    log(running, story.entries[:1000])
    log(running, story.entries[1000:2000])
    log(running, story.entries[2000:])
    answers = [
        get(running, f"/view/{name}/=deep").status_code for name in ("conversation", "overview", "raw", "events")
    ]

    assert answers == [200] * 4
    assert get(running, "/view/timeline/=deep").json()["rows"][-1][0] == 2_001


def test_timeline_follows_late_entries(three: Running) -> None:
    """A session's cached timeline is rebuilt when an entry has arrived since."""
    before = get(three, "/view/timeline/=live").json()["entries"]
    log(three, [sessions.running("live")[0] | {"event_id": "late", "timestamp": T0 - 5}])

    assert get(three, "/view/timeline/=live").json()["entries"] == before + 1


def test_details_of_every_row_are_found_on_every_store(store: Store) -> None:
    """A row's references lead to its entries, however large the store's arrival numbers are."""
    with launch(store) as server:
        log(server, sessions.trip("trip"))
        timeline = get(server, "/view/timeline/=trip").json()
        found = []
        for row in timeline["rows"]:
            refs = [f"e={timeline['t0'] + at}-{seq}" for at, seq in zip(row[13][::2], row[13][1::2], strict=True)]
            found += [get(server, f"/view/detail/=trip?{'&'.join(refs)}").status_code] if refs else []
        words = get(server, "/view/find/=trip?q=courtyard").json()["seqs"]

    assert found == [200] * 24
    assert [seq for seq in words if seq in {seq for row in timeline["rows"] for seq in row[13][1::2]}] == words != []


def test_export_gives_back_what_was_posted(running: Running) -> None:
    """JSON lines: every entry as it was posted, in order."""
    log(running, sessions.trip())
    lines = get(running, f"/export/{TRIP}?format=jsonl").content.splitlines()

    assert [orjson.loads(line) for line in lines] == sessions.trip()


@pytest.mark.parametrize(("ending", "media"), [
    ("jsonl", "application/x-ndjson"), ("csv", "text/csv; charset=utf-8"), ("md", "text/markdown; charset=utf-8"),
])  # fmt: skip
def test_export_is_a_file_with_the_sessions_name(running: Running, ending: str, media: str) -> None:
    """Characters that are not safe in file names on every system are replaced."""
    log(running, sessions.trip())
    headers = get(running, f"/export/{TRIP}?format={ending}").headers

    assert (headers["Content-Type"], headers["Content-Disposition"]) == (
        media,
        f'attachment; filename="trip-planner_2026-11-22T13_04_18_00_00.{ending}"',
    )


def test_csv_runs_no_formula() -> None:
    """A cell that a spreadsheet would run begins with an apostrophe; quotes, commas and newlines stay in one cell."""
    texts = ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", " =1+1", 'a "b", c', "plain"]
    story = Story("s")
    for text in texts:
        story.log("tool_call", 1, tool_call={"tool_name": text, "parameters": {}})
    made = b"".join(table(Session("s", 0, 0), [orjson.dumps(entry) for entry in story.entries])).decode()

    assert [row["name"] for row in csv.DictReader(io.StringIO(made))] == [
        "'=HYPERLINK(1)", "'+1", "'-1", "'@SUM(A1)", "' =1+1", 'a "b", c', "plain",
    ]  # fmt: skip


def test_csv_leaves_unknown_figures_empty() -> None:
    """A missing figure is not a zero, a reported zero is one. A response from a cache is marked."""
    story = Story("s").ask("hello")
    story.model("hello", "hi", 5, (7, 0))
    story.entries[-1]["performance_metrics"] = {"cost": 0.0}
    story.model("hello", "hi", 5, (7, 0))
    story.entries[-1]["meta"]["cached"] = True
    made = b"".join(table(Session("s", 0, 0), [orjson.dumps(entry) for entry in story.entries])).decode()
    figures = ("event_type", "duration_ms", "input_tokens", "output_tokens", "cached_tokens", "cached", "cost")

    assert [[row[name] for name in figures] for row in csv.DictReader(io.StringIO(made))] == [
        ["session_start", "", "", "", "", "", ""],
        ["user_input", "", "", "", "", "", ""],
        ["llm_call", "", "", "", "", "", ""],
        ["llm_response", "5", "7", "0", "0", "", "0.0"],
        ["llm_call", "", "", "", "", "", ""],
        ["llm_response", "5", "7", "0", "0", "true", "0.0"],
    ]


def test_session_whose_id_has_a_line_break_is_shown(running: Running) -> None:
    """Its page, what the page fetches, and its export."""
    log(running, [samples.entry(session_id="two\nlines\n")])
    path = quote("two\nlines\n", safe="")
    pages = [f"/sessions/{path}", *(f"/view/{name}/={path}" for name in ("head", "timeline", "events", "raw")),
             f"/export/{path}"]  # fmt: skip

    assert [get(running, page).status_code for page in pages] == [200] * len(pages)


def test_event_of_the_last_moment_can_be_opened(running: Running) -> None:
    """The highest accepted timestamp finds its entry again."""
    log(running, [samples.entry(timestamp=MAX_TIMESTAMP)])
    timeline = get(running, "/view/timeline/=s").json()
    at, seq = timeline["rows"][-1][13]

    assert get(running, f"/view/detail/=s?e={timeline['t0'] + at}-{seq}").status_code == 200


def test_export_puts_an_entry_on_one_line_as_it_was_posted(running: Running) -> None:
    """Only line breaks between its values are removed: numbers stay as they were written."""
    body = (
        orjson.dumps(samples.entry()).replace(b",", b",\r\n")[:-1] + b',"meta":{"n":12345678901234567890123, "f":1.50}}'
    )
    post = requests.post(f"{running.base_url}/logs", body, headers={"Content-Type": "application/json"}, timeout=10)

    assert post.status_code == 200
    assert get(running, "/export/s?format=jsonl").content == body.replace(b"\r\n", b"  ") + b"\n"


def test_markdown_export_fences_what_has_fences(running: Running) -> None:
    """A response with a code block does not end the block that contains it."""
    story = Story("s").ask("code, please")
    story.model("code, please", "```python\nprint(1)\n```", 5, (1, 1))
    log(running, story.entries)

    assert "````\n```python\nprint(1)\n```\n````" in get(running, "/export/s?format=md").text


def test_unknown_export_format_is_refused(three: Running) -> None:
    """The error names the formats."""
    answer = get(three, "/export/recipe?format=exe")

    assert (answer.status_code, "jsonl, csv, md" in answer.text) == (400, True)


def test_compare_marks_the_words_that_differ() -> None:
    """Removed words on the left, added ones on the right; common words are not marked."""
    assert [str(side) for side in marked("two nights at Ronda", "two nights at <b>Fuster")] == [
        '<p dir="auto">two nights at <del>Ronda</del></p>',
        '<p dir="auto">two nights at <ins>&lt;b&gt;Fuster</ins></p>',
    ]


def test_compare_marks_words_inside_what_markdown_makes_of_them() -> None:
    """No mark spans the beginning of a list item or the end of bold text; JSON stays as it was logged."""
    assert [str(side) for side in marked("Take the **09:12 train**.", "Take:\n\n- the **10:40 train**")] == [
        '<p dir="auto"><del>Take </del>the <strong><del>09:12</del> train</strong><del>.</del></p>',
        '<p dir="auto"><ins>Take:</ins></p><ul dir="auto"><li>the <strong><ins>10:40</ins> train</strong></li></ul>',
    ]
    assert [str(side) for side in marked('{"a": "**1**"}', '{"a": "**2**"}')] == [
        "<pre>{&#34;a&#34;: <del>&#34;**1**&#34;}</del></pre>", "<pre>{&#34;a&#34;: <ins>&#34;**2**&#34;}</ins></pre>",
    ]  # fmt: skip


def test_answer_reads_as_prose_wherever_it_stands(running: Running) -> None:
    """In the details of its call and of the session's end, in the conversation, and in a comparison."""
    said = "Take the **09:12**:\n\n- to *Atocha*"
    for session_id in ("one", "two"):
        story = Story(session_id).ask("When?")
        story.model("When?", said, 5, (1, 1))
        log(running, story.end(said))
    at = {entry["event_type"]: f"{entry['timestamp']}-{seq}" for seq, entry in enumerate(story.entries[:4], 6)}
    at["session_end"] = f"{story.entries[4]['timestamp']}-10"
    pages = (f"/view/detail/=two?e={at['llm_response']}", f"/view/detail/=two?e={at['session_end']}",
             "/view/conversation/=two", "/compare?s=one&s=two")  # fmt: skip

    assert [str(prose(said)) in get(running, page).text for page in pages] == [True] * 4


def shown(server: Running, path: str) -> str:
    """The visible text of a page, with single spaces."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", get(server, path).text))


def test_table_of_very_many_tools_has_the_busiest(running: Running) -> None:
    """A client that names each call differently makes the page no larger, and the table says how many there are."""
    story = Story("s").ask("Hi")
    for number in range(230):
        story.tool(f"tool {number}", {}, "done", 5, str(number))
    log(running, story.entries)
    table = get(running, "/view/overview/=s").text

    assert (table.count("<td title="), "Fewer (200 of 230)" in table) == (200, True)


TEXT, SCAN = {"type": "text", "text": "Two rows"}, {"type": "image", "base64": {"mime": "image/png", "bytes": 2006}}


@pytest.mark.parametrize(("result", "note", "content"), [
    ({"output": "Two rows"}, "Two rows", "Result Two rows"),
    ({"output": "Two rows", "artifact": {"rows": [3]}}, "Two rows", "Result Two rows Artifact rows: 1 item 0: 3"),
    ({"output": "Moved", "command": {"goto": "bob"}}, "Moved", "Result Moved Command goto: bob"),
    ({"output": [TEXT, SCAN]}, "Two rows · image/png · 2.0 kB", "image/png · 2.0 kB"),
    ({"output": [SCAN]}, "image/png · 2.0 kB", "image/png · 2.0 kB"),
    ({"output": [{"type": "json"}]}, '[{"type":"json"}]', "Result 0: type: json"),
    ({"output": "Two rows", "score": 3}, '{"output":"Two rows","score":3}', "Result output: Two rows score: 3"),
    ({"command": {"goto": "bob"}}, '{"command":{"goto":"bob"}}', "Result command: goto: bob"),
])  # fmt: skip
def test_what_a_tool_gave_back_stands_apart_from_what_came_with_it(
    running: Running, result: dict[str, Any], note: str, content: str
) -> None:
    """Its artifact and its graph command have their own parts; images are named."""
    story = Story("s").ask("Hi")
    story.tool("read", {}, "", 5, "1")
    story.entries[-1]["tool_response"]["result"] = result
    log(running, story.entries)
    timeline = get(running, "/view/timeline/=s").json()
    row = next(row for row in timeline["rows"] if row[1] == "tool")
    at, seq = row[13][-2:]
    details = shown(running, f"/view/detail/=s?e={timeline['t0'] + at}-{seq}")

    assert row[4] == note
    assert details.split(" Raw ", 1)[1].split(" tool_response ")[0].endswith(content)


@pytest.mark.parametrize("arrived", ["1, 2,", ""])
def test_conversation_says_that_a_call_was_cancelled(running: Running, arrived: str) -> None:
    """Above the partial response, even if there is none."""
    story = Story("s").ask("Count")
    story.model("Count", arrived, 40, (0, 0), outcome="cancelled")
    log(running, story.entries)

    assert shown(running, "/view/conversation/=s").partition("User")[2].split() == [
        "Count", "agent", "gemma3:4b", "0", "→", "0", "tokens", "40", "ms", "cancelled", "Show", "in", "the",
        "timeline", *arrived.split(),
    ]  # fmt: skip


def test_what_a_model_was_sent_is_not_called_a_prompt(running: Running) -> None:
    """A prompt is the user's request; what a model receives has another name."""
    story = Story("s").ask("Where is my parcel?")
    story.model("Write a query for: parcel", "SELECT 1", 40, (0, 0))
    log(running, story.entries)
    said = re.findall("<(?:b|h3)>([^<]*)", get(running, "/view/conversation/=s").text)

    assert said == ["User", "To the model", "agent"]


def test_model_that_is_its_own_issuer_is_named_once(running: Running) -> None:
    """Beside its response."""
    story = Story("s").ask("Count")
    story.model("Count", "1", 40, (0, 0), issuer="Scripted", model="Scripted")
    log(running, story.entries)

    assert get(running, "/view/conversation/=s").text.count("Scripted") == 1


INPUTS = '{"source":"English","glossary":"","formal":true,"passage":"The \\u0022report\\u0022'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (INPUTS + '","tags":["a","b"]}', 'source: English · formal: true · passage: The "report" · tags: a, b'),
        (INPUTS + '","tags":["a","b', 'source: English · formal: true · passage: The "report" · tags: a, b…'),
        (INPUTS + '","ta', 'source: English · formal: true · passage: The "report"…'),
        (INPUTS, 'source: English · formal: true · passage: The "report"…'),
        (INPUTS[:-1], 'source: English · formal: true · passage: The "report…'),
        (INPUTS[:-2] + "…", 'source: English · formal: true · passage: The "report…'),
        (INPUTS.partition('"The')[0], "source: English · formal: true…"),
        (INPUTS.partition("ue,")[0], "source: English…"),
        ('{"a":{"b":1,"c":{"d":null}},"e":[]}', "a: b: 1"),
        ('{"a":{"b":{"c":{"d":1}}}}', "a: b: c: d: 1"),
        ('{"a":{"b":{"c":{"d":{"e":1}}}}}', "a: b: c: d: …"),
        ('{"a":""}', '{"a":""}'),
        ('{"a": 1, "b": 2} explain this', '{"a": 1, "b": 2} explain this'),
        ('{"a', '{"a'),
        ('{"a":' + "[" * 3000, '{"a":' + "[" * 3000),
        ('{"a":' + "[" * 900 + "1" + "]" * 900 + "}", "a: …"),
        ("plain", "plain"),
        ('[{"type":"image","base64":{"mime":"image/png","bytes":2006,"sha256":"aa"}}]', "image/png · 2.0 kB"),
        ('[{"type":"image","base64":{"mime":"image/png","bytes":2006,"sha', "image/png · 2.0 kB…"),
        ('[{"type":"image_url","image_url":{"url":"https://example.org/a.png"}}]', "image · https://example.org/a.png"),
        ('[{"topic":"cats"}]', '[{"topic":"cats"}]'),
    ],
)
def test_prompt_of_several_inputs_is_shown_in_words(text: str, words: str) -> None:
    """Wherever it was cut off; text that only looks like one is unchanged."""
    assert in_words(text) == words


def test_session_without_a_prompt_is_called_by_its_id(running: Running) -> None:
    """In the list, on its page and in the page's live header."""
    log(running, [samples.entry(session_id="nightly")])
    pages = "".join(get(running, path).text for path in ("/", "/sessions/nightly", "/view/head/=nightly"))

    assert re.findall(r"<(?:h1|title|a) ?[^>]*>(nightly.*?)</", pages) == [
        "nightly", "nightly · CoAgent", "nightly", "nightly",
    ]  # fmt: skip


def test_session_of_several_inputs_has_their_words_for_a_title(running: Running) -> None:
    """In the list, on its page and in the timeline; the conversation has the pairs, and no input twice."""
    story = Story("s").ask('{"source":"English","glossary":"","passage":"The report"}')
    story.model("The report", "Le rapport", 5, (1, 1))
    log(running, story.entries)
    title = "source: English · passage: The report"
    pages = [get(running, path).text for path in ("/", "/sessions/s")]

    assert re.findall(r'<a dir="auto" href="/sessions/s">(.*?)</a>', pages[0]) == [title]
    assert re.findall(r"<(?:h1[^>]*|title)>(.*?)</", pages[1]) == [f"{title} · CoAgent", title]
    assert get(running, "/view/timeline/=s").json()["rows"][0][3] == title
    assert shown(running, "/view/conversation/=s").partition("User")[2].split() == [
        "source:", "English", "passage:", "The", "report", "agent", "gemma3:4b", "1", "→", "1", "tokens", "5", "ms",
        "Show", "in", "the", "timeline", "Le", "rapport",
    ]  # fmt: skip


REQUEST = {"action_requests": [{"name": "book_train", "args": {"seats": 2}}]}
REFUSAL = {"decisions": [{"type": "reject", "message": "too dear"}]}


@pytest.mark.parametrize(
    ("asked", "answered", "read"),
    [
        ("Book it?\nNow?", "yes", ["Book it?\nNow?", "yes"]),
        ({"question": "Book it?", "price": 12}, True, ["Book it?", "Asked", "true"]),
        (REQUEST, REFUSAL, ["book_train(seats: 2)", "Asked", "reject: too dear", "Answered"]),
        ({"price": 12}, {"pay": False}, ["price: 12", "pay: false"]),
        (None, None, []),
    ],
)
def test_conversation_has_question_and_answer_in_words(
    running: Running, asked: object, answered: object, read: list[str]
) -> None:
    """Not folded, the answer as a human's; the underlying value is folded below."""
    story = Story("s").ask("book")
    for status, value in (("interrupted", asked), ("resumed", answered)):
        given = {"interrupt_id": "i-1", "value": value}
        story.log("human_oversight", 1, story.root, meta={"status": status}, input_data=given)
    log(running, story.entries)
    page = get(running, "/view/conversation/=s").text.partition("A human was asked")[2]
    read_first, folded = r'<div class="text">(.*?)</div>(?:</div></div>)?(?=<|\n)', "<summary><b>(.*?)</b>.*?</details>"
    found = re.findall(f"{read_first}|{folded}", page, re.DOTALL)

    assert "<h3>Human</h3>" in page
    assert [re.sub(r"<[^>]+>", "", text or fold) for text, fold in found] == read


def test_what_is_folded_begins_with_what_is_in_it(running: Running) -> None:
    """An interrupt's question in the conversation as compact JSON, a history's tool calls in the details by name."""
    story = Story("s").ask("book")
    asked = {"interrupt_id": "i-1", "value": {"question": "Book it?", "price": 12}}
    story.log("human_oversight", 1, story.root, meta={"status": "interrupted"}, input_data=asked)
    calls = [{"name": "weather", "args": {"city": "Rome"}}]
    said = [{"role": role, "content": role} for role in ("tool", "assistant")]
    story.model("hi", "ho", 5, (1, 1), history=[{"role": "assistant", "content": "", "tool_calls": calls}, *said])
    log(running, story.entries)
    call = story.entries[-2]
    pages = ("conversation/=s", f"detail/=s?e={call['timestamp']}-{len(story.entries) - 1}")

    assert [html.unescape(found) for path in pages for found in
            re.findall(r"<summary><b>[^<]*</b><span>(.*?)</span>", get(running, f"/view/{path}").text)] == [
        '{"question":"Book it?","price":12}', '→ weather',
    ]  # fmt: skip


def test_compare_puts_figures_side_by_side(three: Running) -> None:
    """The figures of each, and the difference."""
    assert "Tokens in 1,257 212 −1,045 (−83%)" in shown(three, "/compare?s=recipe&s=broken")


@pytest.mark.parametrize(("left", "right", "told"), [
    (0.5, 0.50005, "<$0.0001 more (+0%)"), (0.0002, 0.00015, "<$0.0001 less (−25%)"), (0.5, 0.75, "+$0.2500 (+50%)"),
    (0.5, 0.5, "same"), (None, 0.5, ""),
])  # fmt: skip
def test_small_difference_of_costs_is_told_in_words(left: float | None, right: float, told: str) -> None:
    """No sign can precede `<`."""
    first, second = Session("a", 0, 0, cost=left), Session("b", 0, 0, cost=right)

    assert next(figure.difference for figure in figures(first, second) if figure.name == "Cost") == told


def test_reported_zero_is_no_unknown_number(running: Running) -> None:
    """In the list, in the header, in the table of models and in a comparison: `0` and `–`."""
    reported, silent = Story("reported", T0 + 1).ask("Hi"), Story("silent").ask("Hi")
    reported.model("Hi", "", 5, (0, 0))
    silent.model("Hi", "", 5, (0, 0))
    answer = silent.entries[-1]
    del answer["llm_response"]["input_tokens"], answer["llm_response"]["output_tokens"], answer["meta"]["usage"]
    log(running, reported.end("") + silent.end(""))
    rows = re.findall(r'data-unit="tokens in">(.*?)<.*?1440">(.*?)<', get(running, "/").text, re.DOTALL)
    heads = [re.findall(r"<dt>Tokens (?:in|out)</dt><dd>(.*?)<", get(running, f"/view/head/={name}").text)
             for name in ("reported", "silent")]  # fmt: skip
    models = [shown(running, f"/view/overview/={name}").split()[-2:] for name in ("reported", "silent")]
    compared = shown(running, "/compare?s=reported&s=silent")

    assert rows == [("0", "0"), ("–", "–")]
    assert heads == [["0", "0"], ["–", "–"]]
    assert models == [["0", "–"], ["–", "–"]]
    assert "Tokens in 0 – of it cached 0 – Tokens out 0 – Cost" in compared
    assert re.findall(r"(\S+ → \S+) tokens", compared) == ["0 → 0", "– → –"]


def test_tokens_of_which_only_the_sum_is_reported_are_shown(running: Running) -> None:
    """In the header, in a comparison and as Markdown: `–` is only for what is not reported."""
    split, whole = Story("split", T0 + 1).ask("Hi"), Story("whole").ask("Hi")
    split.model("Hi", "Hello", 5, (9, 1))
    whole.log("llm_response", 1, llm_response={"response": "Hello", "total_tokens": 1200})
    log(running, split.end("") + whole.end(""))
    heads = [re.findall(r"<dt>(Tokens.*?)</dt><dd>(.*?)<", get(running, f"/view/head/={name}").text)
             for name in ("split", "whole")]  # fmt: skip

    assert heads == [
        [("Tokens in", "9"), ("Tokens out", "1")], [("Tokens", "1,200"), ("Tokens in", "–"), ("Tokens out", "–")],
    ]  # fmt: skip
    assert "Tokens 10 1,200 +1,190 (+11,900%) Tokens in 9 – of" in shown(running, "/compare?s=split&s=whole")
    assert "- Tokens: 1,200\n- Tokens in, out: –, –\n" in get(running, "/export/whole?format=md").text


def test_cost_says_which_calls_it_leaves_out(running: Running) -> None:
    """In the list, in the header, in a comparison, as Markdown and in the terminal; nowhere if all have a price."""
    some, every = Story("some", T0 + 1).ask("Hi"), Story("every").ask("Hi")
    for story in (some, every):
        story.model("Hi", "Hello", 5, (9, 1))
        story.entries[-1]["performance_metrics"] = {"cost": 0.02}
    some.model("Hi", "Hello again", 5, (9, 1))
    some.entries[-1].pop("performance_metrics", None)
    log(running, some.end("") + every.end(""))
    told = "1 call without a price"
    rows = re.findall(r'<td class="num from-1000"( title="[^"]*")?>(\$.*?)<', get(running, "/").text)
    heads = [re.search(r"<dt>Cost</dt><dd>(.*?)</dd>", get(running, f"/view/head/={name}").text)[1]  # type: ignore[index]
             for name in ("some", "every")]  # fmt: skip
    lines = [re.search("- Cost: (.*)", get(running, f"/export/{name}?format=md").text)[1]  # type: ignore[index]
             for name in ("some", "every")]  # fmt: skip
    with CoagentClient(running.base_url) as client:
        facts = [client.session(name).facts[-2:] for name in ("some", "every")]

    assert rows == [(f' title="{told}"', "$0.0200+"), ("", "$0.0200")]
    assert heads == [f"$0.0200 <small>{told}</small>", "$0.0200"]
    assert "Calls without a price 1 0 " in shown(running, "/compare?s=some&s=every")
    assert lines == [f"$0.0200, {told}", "$0.0200"]
    assert facts == [["$0.0200", told], ["9→1 tokens", "$0.0200"]]


def test_compare_puts_prompts_side_by_side(running: Running) -> None:
    """What the user said, not the session's title; what failed; and which prompt the other session lacks."""
    story = Story("one").ask("Weather in Rome?")
    story.entries[0]["prompt"] = "Weather"
    story.model("Weather in Rome?", "I will look.", 5, (1, 1))
    run = story.ask("And in Pisa?").call("And in Pisa?")
    story.log("error", 1, run, error_info={"error_id": "e", "error_type": "RateLimitError", "error_message": "later"})
    log(running, story.entries)
    log(running, Story("two").ask("Weather in Rome?").entries)
    prompts = shown(running, "/compare?s=one&s=two").partition("Prompt 1")[2].partition("Keyboard")[0]

    assert prompts.strip() == (
        "First: one Weather in Rome? 8 ms 1 turn 1 → 1 tokens I will look. "
        "Second: two Weather in Rome? 0 ms 0 turns – → – tokens No answer "
        "Prompt 2 First: one And in Pisa? 3 ms 1 turn – → – tokens 1 error RateLimitError: later "
        "Second: two This session has no prompt 2."
    )


@pytest.mark.parametrize(
    ("prompts", "told"),
    [(50, ""), (51, "1 more prompt not compared"), (53, "3 more prompts not compared")],
)
def test_compare_says_that_later_prompts_are_left_out(running: Running, prompts: int, told: str) -> None:
    """It compares the first fifty."""
    story = Story("long")
    for number in range(prompts):
        story.ask(f"Question {number}")
    log(running, [*story.entries, *sessions.recipe("recipe")])
    page = shown(running, "/compare?s=recipe&s=long")

    assert re.findall(r"\d+ more prompts? not compared", page) == ([told] if told else [])
    assert ("Prompt 50" in page, "Prompt 51" in page) == (True, False)


def test_compare_asks_for_what_is_missing(three: Running) -> None:
    """With one session, or an unknown one, the page asks for the other; with none, for two."""
    needed = "Choose two sessions, or enter their ids."
    assert [needed in get(three, path).text for path in ("/compare", "/compare?s=&s=", "/compare?s=recipe")] == [
        True, True, False,
    ]  # fmt: skip
    assert "Choose the second, or enter its id." in get(three, "/compare?s=recipe").text
    assert "There is no session nope." in get(three, "/compare?s=recipe&s=nope").text


def test_compare_offers_recent_sessions_as_the_second(three: Running) -> None:
    """Links to the comparison with each other session, the latest first; if none is chosen, links that choose one."""
    assert re.findall(r'href="(/compare\?[^"]*)"', get(three, "/compare").text) == [
        "/compare?s=live", "/compare?s=broken", "/compare?s=recipe",
    ]  # fmt: skip
    assert re.findall(r'href="(/compare\?[^"]*)"', get(three, "/compare?s=recipe").text) == [
        "/compare?s=recipe&amp;s=live", "/compare?s=recipe&amp;s=broken",
    ]  # fmt: skip


def test_details_without_content_say_so(running: Running) -> None:
    """For a node that changed nothing, and for a call that was logged without its content."""
    story = Story("s")
    story.leave(story.enter("plan"), "plan", 5)
    story.log("llm_call", 1, llm_call={"issuer": "agent"})
    story.log("info", output_data={"message": "hello"})
    log(running, story.entries)
    told = [get(running, f"/view/detail/=s?e={T0}-{number}").text for number in (1, 3, 4)]

    assert ["Only names, numbers and times are logged." in each for each in told] == [True, True, False]


@pytest.mark.parametrize(("number", "session", "found"), [
    (0, "once", [["again", "once"]]), (2, "spoken", [["spoken"]]), (5, "untyped", []),
])  # fmt: skip
def test_error_leads_to_all_sessions_with_errors_like_it(
    running: Running, number: int, session: str, found: list[list[str]]
) -> None:
    """Of its type, in its component, whatever their messages; an error without a type has no link."""
    for place, (name, error_type, component_id) in enumerate([
        ("once", "RateLimitError", "agent"), ("again", "RateLimitError", "agent"),
        ("spoken", "HTTP 429", 'the "big" model'), ("elsewhere", "RateLimitError", "mail"),
        ("other", "KeyError", "agent"), ("untyped", "", "agent"),
    ]):  # fmt: skip
        info = {"error_type": error_type, "component_id": component_id, "error_message": f"request {place}"}
        log(running, [samples.entry(session_id=name, event_type="error", timestamp=T0 + place, error_info=info)])
    log(running, [samples.entry(session_id="told", event_type="info", prompt="agent: RateLimitError")])
    details = get(running, f"/view/detail/={session}?e={T0 + number}-{number + 1}").text
    leads = re.findall(r'href="/([^"]*)">Find in all sessions', details)

    assert [titles(running, html.unescape(query)) for query in leads] == found


def test_static_files_are_looked_up_by_name(running: Running) -> None:
    """Scripts have their media type; nothing outside the folder can be reached."""
    assert get(running, "/static/page.js").headers["content-type"].startswith("text/javascript")
    assert [
        get(running, f"/static/{name}").status_code for name in ("../views.py", "%2e%2e%2fviews.py", "nope.js")
    ] == [404] * 3


def test_scripts_stay_small(running: Running) -> None:
    """A session's page loads at most 60 KB of JavaScript, for all its tabs."""
    log(running, [samples.entry(session_id="s")])
    wanted = set(re.findall(r'"/static/(\w+)\.js"', get(running, "/sessions/s").text))
    sizes = [len(get(running, f"/static/{name}.js").content) for name in wanted]

    assert wanted > {"session", "tree", "conversation"}
    assert sum(sizes) <= 60 * 1024


def test_every_script_that_another_one_imports_is_loaded_with_the_page(running: Running) -> None:
    """In advance: the browser need not parse one script to find the next."""
    log(running, [samples.entry(session_id="s")])
    loaded = set(re.findall(r'"/static/(\w+)\.js"', get(running, "/sessions/s").text))
    imported = {
        name for each in loaded for name in re.findall(r'from "\./(\w+)\.js"', get(running, f"/static/{each}.js").text)
    }

    assert imported == loaded - {"session", "theme"}


@contextlib.contextmanager
def messages(server: Running, query: str = "") -> Iterator[Iterator[str]]:
    """The messages of a live view's stream, each with its lines joined."""
    with requests.get(f"{server.url}/view/live{query}", stream=True, timeout=10) as answer:
        lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
        yield (", ".join(iter(lambda: next(lines), "")) for _ in itertools.count())


def test_live_view_tells_of_news(running: Running) -> None:
    """The list's for every session, a session's only for its own; both begin with an id."""
    with messages(running) as every, messages(running, "?session=b") as one:
        begun = [next(every), next(one)]
        log(running, [samples.entry(session_id="a")])
        first = next(every)
        log(running, [samples.entry(session_id="b")])
        second = [next(every), next(one)]

    assert begun == ["retry: 2000, id: 0"] * 2
    assert (first, second) == ("event: news, id: 1, data: 1", ["event: news, id: 2, data: 2"] * 2)


def test_live_view_says_that_it_is_still_there(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """At intervals while nothing happens, so that a dead connection is noticed."""
    monkeypatch.setattr(live, "POLL_S", 0.01)
    monkeypatch.setattr(live, "BEAT_S", 0.015)
    with messages(running) as told:
        assert [next(told), next(told), next(told)] == ["retry: 2000, id: 0", ": still here", ": still here"]
