"""The pages and what they fetch, over HTTP from a real server with SQLite."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest

from coagent_langchain.server import launch, open_store
from coagent_langchain.server.running import Running
from coagent_langchain.server.store import Store, connection_pool
from coagent_langchain.wire import MAX_TIMESTAMP
from tests.server import samples, sessions
from tests.server.pages import ACCEPT, get, log
from tests.server.story import T0, Story


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
    monkeypatch.setattr(connection_pool, "WAIT", 0.01)
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


@pytest.mark.parametrize(("status", "told"), [("failed", ["BadRequestError: too long"]), ("completed", [])])
def test_header_says_why_a_session_failed(running: Running, status: str, told: list[str]) -> None:
    """As its row in the list does: an alert links to the page, whose timeline may begin long before the error."""
    story = Story("s").ask("Sum up")
    story.log("error", error_info={"error_type": "BadRequestError", "error_message": "too long"})
    log(running, story.end("", status=status))

    assert re.findall('<p class="why".*?>(.*?)</p>', get(running, "/view/head/=s").text) == told


def test_head_says_that_a_session_has_more_tags(running: Running) -> None:
    """It shows twelve, and all of them on hover."""
    tags = [f"tag{number}" for number in range(15)]
    log(running, Story("s").ask("x", {"context": {"tags": tags}}).entries)
    head = get(running, "/view/head/=s").text
    title, shown = re.findall(r'<dt>Tags</dt><dd><span class="tags" title="(.*?)">(.*?)</dd>', head)[0]

    assert title == ", ".join(sorted(tags))
    assert re.findall(">([^<]+)<", shown) == [*sorted(tags)[:12], "+3"]


@pytest.mark.parametrize("path", ["/", "/?q=none", "/sessions/recipe", "/sessions/nowhere", "/compare", "/docs"])
def test_every_page_has_one_main_heading(three: Running, path: str) -> None:
    """Screen readers jump to it."""
    assert len(re.findall("<h1[ >]", get(three, path, ACCEPT).text)) == 1


@pytest.mark.parametrize("path", ["timeline", "overview", "events", "conversation", "raw", "find", "head", "detail",
                                  "earlier", "text", "place"])  # fmt: skip
def test_fragments_of_an_unknown_session_are_404(running: Running, path: str) -> None:
    """For example what a page fetches of a session that was pruned meanwhile."""
    answer = get(running, f"/view/{path}/=nowhere?e=1-1")

    assert (answer.status_code, answer.json()["message"]) == (404, "There is no session with this id.")


@pytest.mark.parametrize("query", ["", "?e=", "?e=1-1", "?e=1-9999999999999999999", "?e=x-y", "?e=" + "9" * 40 + "-1"])
def test_unknown_event_is_404(three: Running, query: str) -> None:
    """No reference, a malformed one, one beyond all numbers."""
    assert get(three, f"/view/detail/=recipe{query}").status_code == 404


@pytest.mark.parametrize("name", ["events", "raw", "conversation"])
def test_odd_numbers_in_an_address_never_break_a_page(three: Running, name: str) -> None:
    """Pages beyond the end are empty; an invalid number is 0."""
    odd = ["from=x", "from=²", "from=-1", "from=" + "9" * 30, "from=" + "9" * 5000]

    assert [query for query in odd if get(three, f"/view/{name}/=recipe?{query}").status_code != 200] == []


def test_events_come_in_pages_and_by_type(three: Running) -> None:
    """From a place on; a type narrows; words find content. A column has the outcome."""

    def told(query: str) -> list[tuple[str, str]]:
        return [(row[2], row[7]) for row in get(three, f"/view/events/=recipe?{query}").json()["rows"]]

    assert told("from=7") == [("llm_call", ""), ("llm_response", ""), ("session_end", "completed")]
    assert told("type=session_end") == [("session_end", "completed")]
    assert told("q=halloumi") == [("llm_response", "")]


def test_events_of_a_type_may_stand_far_apart(running: Running) -> None:
    """Some adjacent, others between events of other types, all in the same millisecond."""
    kinds = ["debug", "info", "debug", "debug", "info", "error", "debug"]
    log(running, [samples.entry(kind, event_id=str(place)) for place, kind in enumerate(kinds)])

    assert [row[13] for row in get(running, "/view/events/=s?type=debug").json()["rows"]] == ["0", "2", "3", "6"]


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

    def entries() -> int:
        return sum(len(row[13]) // 2 for row in get(three, "/view/timeline/=live").json()["rows"])

    before = entries()
    log(three, [sessions.running("live")[0] | {"event_id": "late", "timestamp": T0 - 5}])

    assert entries() == before + 1


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


def test_table_of_very_many_tools_has_the_busiest(running: Running) -> None:
    """A client that names each call differently makes the page no larger, and the table says how many there are."""
    story = Story("s").ask("Hi")
    for number in range(230):
        story.tool(f"tool {number}", {}, "done", 5, str(number))
    log(running, story.entries)
    table = get(running, "/view/overview/=s").text

    assert (table.count("<td title="), "Fewer (200 of 230)" in table) == (200, True)


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

    assert wanted > {"session", "tree", "paged"}
    assert sum(sizes) <= 60 * 1024


def test_every_script_that_another_one_imports_is_loaded_with_the_page(running: Running) -> None:
    """In advance: the browser need not parse one script to find the next."""
    log(running, [samples.entry(session_id="s")])
    loaded = set(re.findall(r'"/static/(\w+)\.js"', get(running, "/sessions/s").text))
    imported = {
        name for each in loaded for name in re.findall(r'from "\./(\w+)\.js"', get(running, f"/static/{each}.js").text)
    }

    assert imported == loaded - {"session", "theme"}
