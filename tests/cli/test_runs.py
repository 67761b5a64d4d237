"""`runs` against a real server, as a user sees it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from coagent_langchain import CoagentClient
from coagent_langchain.cli import main
from coagent_langchain.texts import counted
from coagent_langchain.wire import now_ms
from tests.cli.samples import ENTRIES, START, Run, entry
from tests.faulty_server import FaultyServer, answering


def test_runs_lists_sessions_newest_first(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The columns are those of the list page, with numbers to the right."""
    monkeypatch.setenv("COLUMNS", "100")
    assert run("runs").splitlines() == [
        "SESSION  STARTED              LASTED  EVENTS  STATUS  TOKENS  ERRORS  TITLE",
        "other    2023-11-14 22:15:00    0 ms       1  no end       –       0  Hello",
        "trip     2023-11-14 22:13:20   8.0 s       8  failed   1,230       1  Plan a trip",
        "  TrainError: strike",
    ]


def test_times_are_those_of_the_user_s_clock(run: Run, time_zone: Callable[[str], None]) -> None:
    """A session is looked for by when it was run."""
    time_zone("Asia/Tokyo")

    assert [re.findall(r"2023\S+ \S+", line) for line in run("runs").splitlines()[1:3]] == [
        ["2023-11-15 07:15:00"],
        ["2023-11-15 07:13:20"],
    ]


def test_time_that_no_calendar_has_is_shown_in_milliseconds(run: Run, own: CoagentClient) -> None:
    """Timestamps may be beyond the last year that Python can show."""
    assert own.store_log(ENTRIES[0] | {"timestamp": 2**53}).success

    assert run("runs").split()[9] == str(2**53)


def test_runs_says_on_one_line_why_a_session_failed(
    run: Run, own: CoagentClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line fits into the terminal, however long the error is."""
    monkeypatch.setenv("COLUMNS", "40")
    own.log_error("trip", 1, 1, "no such\n\x1bcity " * 20, "ValueError")
    own.log_session_end("trip", "Error", 1, meta={"status": "failed"})
    lines = run("runs").splitlines()

    assert lines[1:] == ["trip     failed  trip", "  ValueError: no such ␛city no such ␛ci…"]


def test_runs_tells_what_runs_from_what_is_idle(run: Run, own: CoagentClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the list page, the time runs on while a call is open, but not in a pause between calls."""
    monkeypatch.setenv("COLUMNS", "100")
    for name, ago, *kinds in (("runs", 120_000, "llm_call"), ("rests", 120_000, "llm_call", "llm_response"),
                              ("pauses", 9_000, "llm_call", "llm_response")):  # fmt: skip
        own.store_logs([entry(name, 0, kind, 1, 1) | {"timestamp": now_ms() - ago} for kind in kinds])
    lines = [re.split("  +", line) for line in run("runs").splitlines()[1:]]

    assert sorted((line[0], line[2][:5], line[4]) for line in lines) == [
        ("pauses", "0 ms", "running"),
        ("rests", "0 ms", "idle"),
        ("runs", "2 min", "running"),
    ]


def test_runs_of_another_server(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server reports less, there are fewer columns."""
    reported = [{"run_id": "r", "log_count": 3, "start_timestamp": START, "end_timestamp": START + 2000}]
    with FaultyServer(answering(reported)) as server:
        monkeypatch.setenv("COAGENT_BASE_URL", server.base_url)
        lines, listed = run("runs").splitlines(), json.loads(run("runs", "--json"))

    assert [re.split("  +", line) for line in lines] == [
        ["SESSION", "STARTED", "LASTED", "EVENTS"],
        ["r", "2023-11-14 22:13:20", "2.0 s", "3"],
    ]
    assert listed == reported


def test_runs_keeps_rows_short(run: Run, own: CoagentClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long ids and titles are cut for people, but not for programs."""
    long = "x" * 512
    own.log_session_start(long, "word " * 100)
    monkeypatch.setenv("COLUMNS", "130")
    lines, ids = run("runs").splitlines(), run("runs", "--ids")
    (summary,) = json.loads(run("runs", "--json"))

    assert ([len(line) for line in lines[1:]], lines[1][:42]) == ([130], "x" * 39 + "…  ")
    assert (ids, summary["run_id"]) == (f"{long}\n", long)


@pytest.mark.parametrize(("columns", "head"), [
    ("36", "SESSION STATUS"),
    ("60", "SESSION STATUS TITLE"),
    ("80", "SESSION STARTED STATUS TITLE"),
    ("90", "SESSION STARTED LASTED STATUS TITLE"),
    ("100", "SESSION STARTED LASTED STATUS TOKENS ERRORS TITLE"),
    ("120", "SESSION STARTED LASTED EVENTS STATUS TOKENS ERRORS TITLE"),
])  # fmt: skip
def test_runs_leaves_out_what_does_not_fit(
    columns: str, head: str, run: Run, own: CoagentClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a narrow terminal, the least important columns are dropped and the title is cut."""
    own.log_session_start("4f1c0a52-7a0e-4f4e-8d0e", "word " * 100)
    monkeypatch.setenv("COLUMNS", columns)
    lines = run("runs").splitlines()

    assert (lines[0].split(), max(map(len, lines)) <= int(columns)) == (head.split(), True)


@pytest.mark.parametrize(("number", "noun", "said"), [
    (0, "event", "0 events"), (1, "event", "1 event"), (1, "log entry", "1 log entry"),
    (1200, "log entry", "1,200 log entries"),
])  # fmt: skip
def test_numbers_agree_with_their_nouns(number: int, noun: str, said: str) -> None:
    """One is singular, and thousands are separated."""
    assert counted(number, noun) == said


def test_runs_for_other_programs(run: Run) -> None:
    """`--ids` and `--json` are for programs; a `--limit` says that it leaves sessions out."""
    assert run("runs", "--ids") == "other\ntrip\n"
    assert [each["run_id"] for each in json.loads(run("runs", "--json", "--limit", "1"))] == ["other"]
    assert run("runs", "--limit", "1").splitlines()[-1] == "… and older ones: --limit 0 shows all"
    assert [run("runs", "--ids", "--limit", most) for most in ("0", "2")] == ["other\ntrip\n"] * 2
    assert "older" not in run("runs", "--limit", "2")


def test_line_breaks_in_names_are_signs(run: Run, own: CoagentClient) -> None:
    """A logged session id or tool name stays on its line, and no part of an id is taken for another."""
    own.log_tool_call("other\n\ttrip\x1b", "look\nup", 1, 1)
    rows, shown = run("runs").splitlines(), run("show").splitlines()
    ids = run("runs", "--ids")

    assert (len(rows), rows[1].split()[0], shown[0].split()[0]) == (2, "other␊␉trip␛", "other␊␉trip␛")
    assert ["look␊up" in line for line in shown].count(True) == 1
    assert ids == "other␊\ttrip\x1b\n"


def test_list_without_sessions_names_the_server(own: CoagentClient, capsys: pytest.CaptureFixture[str]) -> None:
    """It may not be the server that the application logs to."""
    main(["runs"])

    assert capsys.readouterr().out == (
        f"No sessions yet on {own.base_url}. "
        "See 'coagent-langchain demo', or add a CoagentCallbackHandler to a chain.\n"
    )


def test_list_without_sessions_is_empty_for_programs(run: Run, own: CoagentClient) -> None:
    """Advice is for people: a program parses what it gets."""
    assert [run("runs", "--json"), run("runs", "--ids")] == ["[]\n", ""]
