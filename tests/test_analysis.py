"""A session read from the server: totals, table and picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import pandas
import pytest

from coagent_langchain import CoagentClient, CoagentClientError, ConfigurationError, LoggedEvent
from coagent_langchain.analysis import LoggedSession
from coagent_langchain.server import launch
from coagent_langchain.wire import now_ms
from tests.server.story import Story


@pytest.fixture(scope="module")
def client() -> Iterator[CoagentClient]:
    """A client of an embedded server."""
    with launch() as server, CoagentClient(server.base_url) as client:
        yield client


@pytest.fixture(scope="module")
def trip(client: CoagentClient) -> str:
    """A session with a model call, a failed tool, and text that looks like HTML."""
    head = {"session_id": "trip", "prompt_number": 1, "turn_number": 1}
    times = iter(range(1_700_000_000_000, 1_700_001_000_000, 500))
    bodies: list[dict[str, Any]] = [
        {"event_type": "session_start", "turn_number": 0, "prompt": "<b>Plan</b> a trip"},
        {"event_type": "llm_call", "prompt": "Where?", "llm_call": {"issuer": "planner"}, "meta": {"model": "m-1"}},
        {"event_type": "llm_response", "meta": {"model": "m-1"}, "performance_metrics": {"cost": 0.01},
         "llm_response": {"response": "Rome", "input_tokens": 10, "output_tokens": 2, "total_tokens": 12,
                          "execution_time_ms": 500}},
        {"event_type": "tool_call", "tool_call": {"tool_name": "<script>"}},
        {"event_type": "tool_response", "tool_response": {"tool_name": "<script>", "success": False}},
        {"event_type": "session_end", "turn_number": 0, "meta": {"status": "failed", "elapsed_time_ms": 2500}},
    ]  # fmt: skip
    assert client.store_logs({**head, "timestamp": next(times), **body} for body in bodies).success
    return "trip"


def test_totals_are_counted_from_the_events(client: CoagentClient, trip: str) -> None:
    """The totals do not depend on what `session_end` reports."""
    session = client.session(trip)

    assert (session.status, session.prompt) == ("failed", "<b>Plan</b> a trip")
    assert repr(session) == "<LoggedSession trip: failed, 6 events>"
    assert session.facts == ["failed", "2.5 s", "1 prompt", "1 model call", "1 tool call", "10→2 tokens", "$0.0100"]
    assert session.totals == {
        "elapsed_time_ms": 2500, "prompts": 1, "llm_calls": 1, "tool_calls": 1, "errors": 0, "recoveries": 0,
        "input_tokens": 10, "output_tokens": 2, "total_tokens": 12, "unpriced_calls": 0, "cost": 0.01,
    }  # fmt: skip


@pytest.mark.parametrize(("told", "expected", "facts"), [
    ({}, (None, None, None), []),
    ({"input_tokens": 7}, (7, None, 7), ["7→– tokens"]),
    ({"input_tokens": 7, "output_tokens": 0}, (7, 0, 7), ["7→0 tokens"]),
    ({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, (0, 0, 0), ["0→0 tokens"]),
    ({"total_tokens": 9}, (None, None, 9), ["9 tokens"]),
])  # fmt: skip
def test_tokens_that_nobody_reported_are_none_and_not_zero(
    told: dict[str, int], expected: tuple[int | None, ...], facts: list[str]
) -> None:
    """The keys are always present; an unknown cost is None, too."""
    answer = {"event_type": "llm_response", "timestamp": 5, "prompt_number": 1, "turn_number": 1, "llm_response": told}
    session = LoggedSession("told", [LoggedEvent.read(answer)] * 2)
    twice = tuple(number and 2 * number for number in expected)

    assert tuple(session.totals[f"{name}_tokens"] for name in ("input", "output", "total")) == twice
    assert session.totals["cost"] is None
    assert LoggedSession("once", session.events[:1]).facts[3:] == facts


def test_answers_from_a_cache_are_not_counted(client: CoagentClient) -> None:
    """As in the list, a cached response reports tokens but used none."""
    head = {"session_id": "cached", "prompt_number": 1, "turn_number": 1, "event_type": "llm_response"}
    tokens = {"llm_response": {"input_tokens": 10, "output_tokens": 2}}  # without a total
    client.store_logs([{**head, **tokens}, {**head, **tokens, "meta": {"cached": True}}])
    totals, summary = client.session("cached").totals, next(s for s in client.summarize() if s.run_id == "cached")

    assert {name: totals[name] for name in totals if "tokens" in name} == {
        "input_tokens": 10, "output_tokens": 2, "total_tokens": 12,
    }  # fmt: skip
    assert summary.total_tokens == 12


def test_facts_say_what_went_wrong_and_what_a_cost_leaves_out() -> None:
    """A cost that covers only some of the calls is not the whole cost."""
    told: list[dict[str, Any]] = [
        {"event_type": "llm_response", "llm_response": {"total_tokens": 7}, "performance_metrics": {"cost": 0.5}},
        {"event_type": "llm_response", "llm_response": {"total_tokens": 2}},
        {"event_type": "error", "error_info": {}},
        {"event_type": "error", "error_info": {}},
        {"event_type": "recovery", "error_info": {}},
        {"event_type": "session_end", "turn_number": 0},
    ]
    head = {"timestamp": 5, "prompt_number": 1, "turn_number": 1}
    session = LoggedSession("told", [LoggedEvent.read({**head, **each}) for each in told])

    assert session.facts == [
        "completed", "0 ms", "1 prompt", "2 errors", "1 recovery", "9 tokens", "$0.5000", "1 call without a price",
    ]  # fmt: skip


@pytest.mark.parametrize(("statuses", "after", "status"), [
    (["idle"], "user_input", "running"),
    (["idle"], "llm_response", "idle"),
    (["idle", "cancelled"], "info", "cancelled"),
    (["done"], "info", "completed"),
    ([None], "info", "completed"),
])  # fmt: skip
def test_status_is_that_of_the_list(client: CoagentClient, statuses: list[str | None], after: str, status: str) -> None:
    """The last end counts, unless something began after it; an unknown status counts as completed."""
    session_id = f"{statuses} {after}"
    client.log_session_start(session_id, "Hello")
    for each in statuses:
        client.log_session_end(session_id, "Bye", 1, meta=each and {"status": each})
    client.store_log({"session_id": session_id, "prompt_number": 1, "turn_number": 0, "event_type": after})
    listed = next(each.status for each in client.summarize() if each.run_id == session_id)

    assert (client.session(session_id).status, listed) == (status, status)


def test_entries_that_our_server_would_refuse_count_as_far_as_they_go() -> None:
    """Another server's malformed entry does not prevent counting the others."""
    good = {"event_type": "llm_response", "timestamp": 5, "prompt_number": 1, "turn_number": 1,
            "llm_response": {"input_tokens": 3, "output_tokens": 1}}  # fmt: skip
    odd = [{}, {**good, "meta": ["x"]}, {**good, "llm_response": "x"}, {**good, "timestamp": "x"}]
    session = LoggedSession("odd", [LoggedEvent.read(entry) for entry in [*odd, good]])

    assert (session.status, session.totals["total_tokens"], session.totals["elapsed_time_ms"]) == ("no end", 4, 0)


def test_status_without_an_end_depends_on_the_last_event(client: CoagentClient) -> None:
    """The status is in the viewer's words: running, idle, and no end after half an hour without an event."""
    client.log_session_start("begun", "Hello")
    for name, seconds in (("resting", 40), ("silent", 31 * 60)):
        client.store_logs([{"version": "2.0.0", "session_id": name, "prompt_number": 1, "turn_number": 0,
                            "event_id": "e-1", "event_type": "session_start",
                            "timestamp": now_ms() - seconds * 1000}])  # fmt: skip
    sessions = [client.session(name) for name in ("begun", "resting", "silent")]

    assert [session.status for session in sessions] == ["running", "idle", "no end"]
    assert not any(session.ended for session in sessions)


@pytest.mark.parametrize(("event_type", "facts"), [("llm_call", "running, 10 min"), ("info", "idle, 0 ms")])
def test_session_with_an_open_call_takes_until_now(event_type: str, facts: str) -> None:
    """As in the viewer's list, the duration of an idle session ends with its last event."""
    began = now_ms() - 10 * 60_000
    entry = {"event_type": event_type, "timestamp": began, "prompt_number": 1, "turn_number": 1}
    session = LoggedSession("s", [LoggedEvent.read(entry)])

    assert ", ".join(session.facts).startswith(facts)


def test_table_has_a_row_for_each_event(client: CoagentClient, trip: str) -> None:
    """A row has name, tokens, times and success if the event has them."""
    table = client.session(trip).to_pandas()
    answer = table[table.event_type == "llm_response"].iloc[0]

    assert list(table.name.dropna()) == ["planner", "<script>", "<script>"]
    assert (answer.model, answer.total_tokens, answer.execution_time_ms, answer.cost) == ("m-1", 12, 500, 0.01)
    assert list(table.success.dropna()) == [False]
    assert list(table.event_id) == [event.event_id for event in client.session(trip)]
    assert str(table.time.iloc[0]) == "2023-11-14 22:13:20+00:00"


def test_table_names_and_times_what_is_no_call() -> None:
    """Errors and components have names, too, and whatever took time has it."""
    told: list[dict[str, Any]] = [
        {"event_type": "tool_response", "tool_response": {"tool_name": "trains", "execution_time_ms": 7}},
        {"event_type": "error", "error_info": {"error_type": "TrainError"}, "meta": {"execution_time_ms": 5}},
        {"event_type": "component_enter", "target_component": {"name": "planner"}},
        {"event_type": "user_input", "meta": {"trace": {"name": "LangGraph"}}},
        {"event_type": "session_end", "meta": {"elapsed_time_ms": 9}},
    ]
    table = LoggedSession("s", [LoggedEvent.read(entry) for entry in told]).to_pandas()

    assert list(table.name.dropna()) == ["trains", "TrainError", "planner", "LangGraph"]
    assert list(table.execution_time_ms.fillna(-1)) == [7, 5, -1, -1, 9]


def test_table_of_nothing_has_all_columns(client: CoagentClient, trip: str) -> None:
    """Code that reads tables or totals needs no special case for an empty session."""
    assert LoggedSession("s", []).totals["elapsed_time_ms"] == 0
    assert list(LoggedSession("s", []).to_pandas().columns) == list(client.session(trip).to_pandas().columns)


def test_table_says_which_answers_came_from_the_cache() -> None:
    """Their tokens were not used, so a sum must exclude them."""
    answers = [{"event_type": "llm_response", "meta": meta} for meta in ({}, {"cached": True})]
    table = LoggedSession("s", [LoggedEvent.read(entry) for entry in answers]).to_pandas()

    assert list(table.cached) == [None, True]


def test_table_says_which_calls_did_not_run_or_did_not_end() -> None:
    """The tool that a human rejects, or that waits for one, has not failed: a rate must exclude these calls."""
    told: list[dict[str, Any]] = [
        {"event_type": "tool_response", "tool_response": {"tool_name": "buy", "success": True}},
        {"event_type": "tool_response", "tool_response": {"tool_name": "buy", "success": False}},
        {"event_type": "tool_response", "tool_response": {"success": False}, "meta": {"outcome": "not run"}},
        {"event_type": "tool_response", "tool_response": {"tool_name": "buy"}, "meta": {"outcome": "interrupted"}},
    ]
    table = LoggedSession("s", [LoggedEvent.read(entry) for entry in told]).to_pandas()

    assert list(table.outcome.fillna("")) == ["", "", "not run", "interrupted"]
    assert list(table[table.outcome.isna()].success) == [True, False]


def test_table_has_no_time_where_a_timestamp_is_no_number() -> None:
    """Another server's malformed entry does not prevent a table of the others."""
    odd = [{"timestamp": "12"}, {"timestamp": [1]}, {}, {"timestamp": 1_700_000_000_000}]
    table = LoggedSession("odd", [LoggedEvent.read(entry) for entry in odd]).to_pandas()

    assert [str(time) for time in table.time] == ["NaT", "NaT", "NaT", "2023-11-14 22:13:20+00:00"]


def test_tables_of_several_sessions_together_can_be_sorted_by_tokens() -> None:
    """Even without tokens, or with malformed ones, the column is numeric."""
    told: list[dict[str, Any]] = [{}, {"total_tokens": 7}, {"total_tokens": [7]}, {"total_tokens": 12}]
    answers = [{"event_type": "llm_response", "llm_response": each} for each in told]
    tables = [LoggedSession("s", [LoggedEvent.read(answer)]).to_pandas() for answer in answers]

    assert list(pandas.concat(tables).nlargest(2, "total_tokens").total_tokens) == [12, 7]
    assert {str(table.total_tokens.dtype) for table in tables} == {"float64"}


def test_picture_is_a_waterfall_and_text_stays_text(client: CoagentClient, trip: str) -> None:
    """There is one row of 24 pixels for each bar, and logged text is never markup."""
    html = client.session(trip)._repr_html_()
    picture = ET.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])
    bars = picture.findall(".//{*}rect")
    labels = ["".join(text.itertext()) for text in picture.findall(".//{*}text")][::2]

    assert [tag for tag in ("<script>", "<b>Plan", "<i>") if tag in html] == []
    assert labels == ["1. <b>Plan</b> a trip", "Turn 1", "m-1", "<script>"]
    assert picture.attrib["viewBox"] == "0 0 960 96"
    assert [round(float(bar.attrib["width"])) for bar in bars][2:] == [135, 135]


def test_id_of_a_session_is_no_markup_in_its_picture() -> None:
    """Any client may choose it, and a notebook runs what it shows."""
    end = {"event_type": "session_end", "timestamp": 5, "prompt_number": 1, "turn_number": 0}
    html = LoggedSession("<script>", [LoggedEvent.read(end)])._repr_html_()

    assert html.partition("<br>")[2] == "&lt;script&gt; · completed · 0 ms</div>"


def drawn(session: LoggedSession) -> list[tuple[str, ...]]:
    """Each row of a picture: title, texts and colour, the positions of label, bar and time, and the bar's width."""
    html = session._repr_html_()
    rows = ET.fromstring(html[html.index("<svg") : html.index("</svg>") + 6]).findall("{*}g")
    parts = [(row.findtext("{*}title") or "", *row.findall("{*}text"), row.find("{*}rect")) for row in rows]
    return [
        (title, "".join(label.itertext()), took.text or "", bar.attrib["fill"],
         *(f"{each.attrib['x']},{each.attrib['y']}" for each in (label, bar, took)), bar.attrib["width"])
        for title, label, took, bar in parts if bar is not None
    ]  # fmt: skip


def test_picture_shows_when_each_bar_began_how_long_it_took_and_whether_it_failed() -> None:
    """Rows are indented by depth, in order; an item without an end has no time."""
    story = Story("talk").ask("Where?")
    story.model("Where?", "Rome", 997, (7, 2))
    run = story.tool_call("pay", {"amount": 5}, "c1", turn=1)
    story.wait(1000).log("tool_response", 1, run, tool_response={"success": False, "error_message": "no"})
    story.log("llm_call", 2, story.run(), prompt="And?", llm_call={}, meta={"model": "m" * 60})
    story.wait(2000).log("info", 2, output_data={"message": "x"})
    story.end("done")

    assert drawn(LoggedSession("talk", [LoggedEvent.read(entry) for entry in story.entries])) == [
        ("1. Where?", "1. Where?", "–", "#868e96", "4,16", "300.0,5", "846.0,16", "540.0"),
        ("Turn 1", "Turn 1", "2.0 s", "#d62839", "16,40", "300.4,29", "576.0,40", "269.6"),
        ("gemma3:4b Rome", "gemma3:4b", "997 ms · 7→2", "#4361ee", "28,64", "300.4,53", "441.0,64", "134.6"),
        ("pay no", "pay", "1.0 s", "#d62839", "28,88", "435.0,77", "576.0,88", "135.0"),
        ("Turn 2", "Turn 2", "–", "#ced4da", "16,112", "570.0,101", "846.0,112", "270.0"),
        ("m" * 60 + " And?", "m" * 35 + "…", "–", "#4361ee", "28,136", "570.0,125", "578.0,136", "2.0"),
        ("Info x", "Info", "0 ms", "#adb5bd", "28,160", "840.0,149", "848.0,160", "2.0"),
    ]


def test_labels_of_rows_far_in_do_not_reach_the_bars() -> None:
    """They are cut, and indented no further than the fifteenth."""
    story, inner = Story("deep").ask("Where?"), ""
    for _ in range(30):
        inner = story.enter("n" * 50, inner)
    rows = drawn(LoggedSession("deep", [LoggedEvent.read(entry) for entry in story.entries]))

    assert [(len(row[1]), row[4].partition(",")[0]) for row in rows[12:18]] == [
        (16, "148"), (14, "160"), *[(12, "172")] * 4,
    ]  # fmt: skip
    assert {row[1] for row in rows[15:]} == {"n" * 11 + "…"}


def test_picture_says_what_became_of_a_call_that_did_not_fail() -> None:
    """A call that was cut off or stopped, or waits for a human, looks like any other."""
    story = Story("s").ask("Where?")
    story.model("Where?", "Rome is", 5, (1, 1))
    story.entries[-1]["meta"]["finish_reason"] = "length"
    story.model("Where?", "", 5, (1, 1))
    story.entries[-1]["meta"]["outcome"] = "abandoned"
    story.log("human_oversight", 2, meta={"status": "interrupted"}, input_data={"value": "Go on?"})
    rows = drawn(LoggedSession("s", [LoggedEvent.read(each) for each in story.entries]))

    assert [row[:2] for row in rows] == [
        ("1. Where? waiting for an answer", "1. Where? waiting for an answer"),
        ("gemma3:4b cut off · Turn 1 Rome is", "gemma3:4b cut off · Turn 1"),
        ("Turn 2 waiting for an answer", "Turn 2 waiting for an answer"),
        ("gemma3:4b abandoned Where?", "gemma3:4b abandoned"),
        ("Human waiting for an answer Go on?", "Human waiting for an answer"),
    ]


@pytest.mark.parametrize(("number", "rows", "rest"), [(198, 199, ""), (199, 200, ""), (200, 200, "… and 1 more row")])
def test_picture_has_a_bound(number: int, rows: int, rest: str) -> None:
    """A line below the picture says how many rows are left out."""
    notes = [LoggedEvent.read({"event_type": "info", "timestamp": 5, "event_id": str(n)}) for n in range(number)]
    session = LoggedSession("long", notes)

    assert (len(drawn(session)), session._repr_html_().rpartition("</svg>")[2].removeprefix("<div>")[:16]) == (
        rows,
        rest,
    )


def test_session_of_which_only_the_end_is_left_is_told_without_a_picture() -> None:
    """This is what a program logs if it logs nothing else."""
    end = {"event_type": "session_end", "timestamp": 5, "prompt_number": 1, "turn_number": 0}
    session = LoggedSession("short", [LoggedEvent.read({**end, "meta": {"status": "failed"}})])

    assert session._repr_html_().partition(">")[2] == "<b></b><br>short · failed · 0 ms</div>"


def test_picture_leaves_out_the_time_between_two_prompts() -> None:
    """That is often minutes, and would make every bar a dot."""
    story = Story("talk")
    for _ in range(2):
        story.ask("Where?").model("Where?", "Rome", 997, (1, 1))
        story.wait(3_600_000)
    html = LoggedSession("talk", [LoggedEvent.read(entry) for entry in story.entries])._repr_html_()
    bars = ET.fromstring(html[html.index("<svg") : html.index("</svg>") + 6]).findall(".//{*}rect")

    assert [(bar.attrib["x"], bar.attrib["width"]) for bar in bars] == 2 * [("300.0", "540.0"), ("301.6", "538.4")]


def test_picture_says_where_it_cuts_a_long_title(client: CoagentClient) -> None:
    """It also makes characters visible that would change the direction of the surrounding text."""
    client.log_session_start("long", "\u202e" + 200 * "x")
    title = client.session("long")._repr_html_().partition("<b>")[2].partition("</b>")[0]

    assert title == "⟨U+202E⟩" + 112 * "x" + "…"


def test_picture_numbers_a_turn_of_one_call(client: CoagentClient) -> None:
    """As in the viewer and the tree, such a turn has no row of its own. A long name is cut, its number is not."""
    for turn in (1, 2):
        client.log_llm_call("turns", "Where?", 1, turn, meta={"model": "m" * 60})
        client.log_llm_response("turns", "Rome", 1, turn, meta={"model": "m" * 60})
    html = client.session("turns")._repr_html_()
    picture = ET.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])
    labels = ["".join(text.itertext()) for text in picture.findall(".//{*}text")][::2]

    assert labels[1:] == [f"{'m' * 31}… Turn {turn}" for turn in (1, 2)]


def test_session_that_is_not_there(client: CoagentClient) -> None:
    """The message names the session and the server."""
    with pytest.raises(CoagentClientError, match="no session 'nobody' on http"):
        client.session("nobody")


def test_table_without_pandas_says_what_to_install(
    client: CoagentClient, trip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pandas is an optional dependency."""
    import sys

    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(ConfigurationError, match="pip install pandas"):
        client.session(trip).to_pandas()
