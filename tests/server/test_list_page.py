"""The list of sessions, over HTTP: filters, columns, figures and titles."""

from __future__ import annotations

import html
import re

import pytest

from coagent_langchain.server.running import Running
from coagent_langchain.wire import now_ms
from tests.server import samples, sessions
from tests.server.pages import get, log, shown, titles
from tests.server.story import T0, Story


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
    for name, minutes in (("recent", 30), ("older", 90), ("old", 25 * 60), ("oldest", 8 * 24 * 60)):
        log(running, [samples.entry(session_id=name) | {"timestamp": now_ms() - minutes * 60_000}])

    assert [titles(running, f"?period={each}") for each in ("1h", "24h", "7d", "30d")] == [
        ["recent"], ["recent", "older"], ["recent", "older", "old"], ["recent", "older", "old", "oldest"],
    ]  # fmt: skip


def test_list_says_what_it_did_not_understand(three: Running) -> None:
    """Unknown values in the address do not filter: the page names them, and no others."""
    odd = get(three, "/?status=bogus&sort=-first&period=2h&type=&tag=nightly").text
    notes = [re.findall(r'role="note">(.*?)<', page) for page in (odd, get(three, "/?status=failed&sort=cost").text)]

    assert notes == [["Ignored as unknown: status=bogus, period=2h"], []]
    assert re.findall(r'class="choice by-(\w+) on"', odd) == ["tag"]


def test_order_that_no_column_has_is_named(three: Running) -> None:
    """The menu offers every order that an address may have, in words."""
    assert re.findall(r"<option[^>]* selected>(.*?)<", get(three, "/?sort=-last").text)[-1] == "Last event ↓"


def test_filter_offers_few_tags_and_takes_any(running: Running) -> None:
    """There are two hundred; one that is in the address is offered too, and selected."""
    made = sessions.recipe("recipe")
    log(running, [*made, made[0] | {"event_id": "many", "meta": {"tags": [f"tag{n:03}" for n in range(300)]}}])
    choices, with_rare = (
        re.search(r'<select name="tag">(.*?)</select>', get(running, path).text)[1] for path in ("/", "/?tag=tag299")
    )

    assert choices.count("<option") == 201
    with_rare = with_rare.replace(" (1)", "")
    assert with_rare == choices.replace(" selected", "") + '<option value="tag299" selected>tag299</option>'
    assert titles(running, "?tag=tag299") == ["recipe"]


def test_filters_count_what_the_sessions_found_have(three: Running) -> None:
    """Next to each choice but the chosen one, which all of them have; without a filter there are no numbers."""

    def offered(path: str) -> list[list[str]]:
        lists = re.findall(r'<select name="(?:type|model|tag)">(.*?)</select>', get(three, path).text)
        return [[name for name in re.findall("<option[^>]*>(.*?)</option>", each) if "(" in name] for each in lists]

    assert [offered(path) for path in ("/?model=gemma3:4b", "/?tag=staging", "/?sort=cost")] == [
        [["session_start (2)", "session_end (1)", "user_input (2)", "llm_call (2)", "llm_response (1)"], [], []],
        [["session_start (1)", "session_end (1)", "user_input (1)", "tool_call (1)", "tool_response (1)", "error (1)",
          "llm_call (1)", "llm_response (1)"], ["claude-haiku-4-5 (1)"], []],
        [[], [], []],
    ]  # fmt: skip


def test_list_shows_figures_of_a_session(three: Running) -> None:
    """Status as a word, title, why it failed, duration, counts, tokens, errors, model."""
    row = get(three, "/?status=failed").text.split("<tr data-href")[1].split(">", 1)[1].split("</tr>")[0]
    words = re.sub(r"\s+", " ", re.sub(r"<time.*?</time>|<[^>]+>", " ", row)).strip()

    assert words == (
        "failed Read invoice 4711.pdf and file it broken "
        "RateLimitError: 429: number of request tokens has exceeded your per-minute rate limit "
        "10.7 s 1 2 2 1 234 22 $0.0003 1 claude-haiku-4-5 staging"
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
    """Fifty sessions per page; the first leads on, and the last, full as it is, only back."""
    log(running, [entry for number in range(100) for entry in sessions.running(f"s{number:02}", T0 + number)])
    pages = [get(running, path).text for path in ("/", "/?page=2")]

    assert [titles(running, f"?page={page}") for page in (1, 2)] == [
        [f"s{number:02}" for number in reversed(range(first, first + 50))] for first in (50, 0)
    ]
    assert [re.findall(r'rel="(prev|next)" href="([^"]*)"', page) for page in pages] == [
        [("next", "/?page=2")], [("prev", "/?page=1")],
    ]  # fmt: skip
    assert get(running, "/?page=99").text.replace("page=99&amp;", "page=2&amp;") == pages[1]


@pytest.mark.parametrize("page", ["-1", "x", "²", "9" * 30, "9" * 5000])
def test_odd_page_of_the_list_is_a_page(three: Running, page: str) -> None:
    """Beyond the end it is the last page, for an invalid number the first."""
    assert titles(three, f"?page={page}") == ["live", "broken", "recipe"]


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


@pytest.mark.parametrize(("recoveries", "marked"), [
    (0, ("errs", "error")), (1, ("errs", "error")), (2, ("errs s-recovered", "recovered")),
])  # fmt: skip
def test_errors_are_red_unless_all_were_recovered(running: Running, recoveries: int, marked: tuple[str, str]) -> None:
    """In the list and in the session's header, by color and icon."""
    kinds = ["error"] * 2 + ["recovery"] * recoveries
    log(running, [samples.entry(kind, at) for at, kind in enumerate(kinds)])
    pages = [get(running, path).text for path in ("/", "/sessions/s")]

    assert [re.findall(r'class="(errs.*?)".*?#i-(\w+)', page) for page in pages] == [[marked], [marked]]


@pytest.mark.parametrize(("number", "session", "found"), [
    (0, "once", [["again", "once"]]), (2, "spoken", [["spoken"]]), (5, "untyped", []),
])  # fmt: skip
def test_error_leads_to_all_sessions_with_errors_like_it(
    running: Running, number: int, session: str, found: list[list[str]]
) -> None:
    """Of its type, in its component, whatever their messages; an error without a type has no link."""
    for place, (name, error_type, component_id) in enumerate([
        ("once", "RateLimitError", "agent"), ("again", "RateLimitError", "agent"),
        ("spoken", 'HTTP "429', 'the "big" model'), ("elsewhere", "RateLimitError", "mail"),
        ("other", "KeyError", "agent"), ("untyped", "", "agent"),
    ]):  # fmt: skip
        info = {"error_type": error_type, "component_id": component_id, "error_message": f"request {place}"}
        log(running, [samples.entry(session_id=name, event_type="error", timestamp=T0 + place, error_info=info)])
    log(running, [samples.entry(session_id="told", event_type="info", prompt="agent: RateLimitError")])
    details = get(running, f"/view/detail/={session}?e={T0 + number}-{number + 1}").text
    leads = re.findall(r'href="/([^"]*)">Find in all sessions', details)

    assert [titles(running, html.unescape(query)) for query in leads] == found


def test_list_offers_to_compare_only_if_it_has_two_sessions(three: Running) -> None:
    """Below an empty list there is nothing at all."""
    pages = [get(three, f"/{query}").text for query in ("", "?status=failed", "?q=nothing+like+it")]

    assert [('id="compare"' in page, 'class="foot"' in page) for page in pages] == [
        (True, True), (False, True), (False, False),
    ]  # fmt: skip


def test_title_and_error_that_the_store_has_cut_end_in_an_ellipsis(running: Running) -> None:
    """Wherever they stand, also if the store has cut them after a space."""
    text = "x" * 199 + " and more"
    story = Story("s").ask(text)
    story.log("error", 1, error_info={"error_message": text})
    log(running, story.end("failed", status="failed"))
    pages = [get(running, path).text for path in ("/", "/sessions/s")]

    assert [{each[-1] for each in re.findall(r"x{100,}.", page)} for page in pages] == [{"…"}, {"…"}]
    assert [f">{'x' * 198}…<" in page for page in pages] == [True, True]  # the error has the room of its row
