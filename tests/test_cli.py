"""The command line against a real server, as a user sees it."""

from __future__ import annotations

import http.server
import json
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from coagent_langchain import CoagentClient
from coagent_langchain.cli import main, session, text
from coagent_langchain.cli.show import follow
from coagent_langchain.cli.text import cells, fit
from coagent_langchain.config import VARIABLES
from coagent_langchain.server import launch
from coagent_langchain.texts import counted
from coagent_langchain.wire import now_ms
from tests.loopback import serving

JSON = {"Content-Type": "application/json"}
START = 1_700_000_000_000  # Unix milliseconds


def entry(session_id: str, number: int, kind: str, in_prompt: int, turn: int, **fields: object) -> dict[str, object]:
    """One entry, `number` seconds after the start."""
    return {"session_id": session_id, "event_id": f"e{number}", "timestamp": START + 1000 * number, "event_type": kind,
            "prompt_number": in_prompt, "turn_number": turn, **fields}  # fmt: skip


ENTRIES = [
    entry("trip", 0, "session_start", 1, 0, prompt="Plan a trip"),
    entry("trip", 1, "user_input", 1, 0, prompt="Where to?"),
    entry("trip", 2, "llm_call", 1, 1, prompt="Where to?", llm_call={"issuer": "planner"}, meta={"model": "m-1"}),
    entry("trip", 4, "llm_response", 1, 1, meta={"model": "m-1"},
          llm_response={"response": "Rome.", "input_tokens": 1200, "output_tokens": 30, "total_tokens": 1230}),
    entry("trip", 5, "tool_call", 1, 1, tool_call={"tool_name": "trains", "parameters": {"to": "Rome"}}),
    entry("trip", 6, "tool_response", 1, 1,
          tool_response={"tool_name": "trains", "success": False, "error_message": "strike \x1b[31m"}),
    entry("trip", 7, "error", 1, 1, error_info={"error_type": "TrainError", "error_message": "strike"}),
    entry("trip", 8, "session_end", 1, 0, output_data={"response": "Error"},
          meta={"status": "failed", "elapsed_time_ms": 7900}),
    entry("other", 100, "session_start", 1, 0, prompt="Hello"),
]  # fmt: skip


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """The address of a server with two sessions."""
    with launch() as server, CoagentClient(server.base_url) as client:
        assert client.store_logs(ENTRIES).success
        yield server.base_url


Run = Callable[..., str]


@pytest.fixture
def run(base_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command that must succeed; returns its output."""
    monkeypatch.setenv("COAGENT_BASE_URL", base_url)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TZ", "UTC")

    def run(*arguments: str) -> str:
        assert main(arguments) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def own(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[CoagentClient]:
    """A client of a server without sessions, to which `run` then connects."""
    with launch() as server, CoagentClient(server.base_url) as client:
        monkeypatch.setenv("COAGENT_BASE_URL", server.base_url)
        yield client


def test_runs_lists_sessions_newest_first(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The columns are those of the list page."""
    monkeypatch.setenv("COLUMNS", "100")
    assert [re.split("  +", line) for line in run("runs").splitlines()] == [
        ["SESSION", "STARTED", "LASTED", "EVENTS", "STATUS", "TOKENS", "ERRORS", "TITLE"],
        ["other", "2023-11-14 22:15:00", "0 ms", "1", "no end", "–", "0", "Hello"],
        ["trip", "2023-11-14 22:13:20", "8.0 s", "8", "failed", "1,230", "1", "Plan a trip"],
        ["", "TrainError: strike"],
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


class BasicServer(http.server.BaseHTTPRequestHandler):
    """A CoAgent server that reports only what every server reports about a session."""

    body = b'[{"run_id": "r", "log_count": 3, "start_timestamp": 1700000000000, "end_timestamp": 1700000002000}]'

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_runs_of_another_server(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server reports less, there are fewer columns."""
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), BasicServer)) as port:
        monkeypatch.setenv("COAGENT_BASE_URL", f"http://127.0.0.1:{port}/api/v1")
        lines, listed = run("runs").splitlines(), json.loads(run("runs", "--json"))

    assert [re.split("  +", line) for line in lines] == [
        ["SESSION", "STARTED", "LASTED", "EVENTS"],
        ["r", "2023-11-14 22:13:20", "2.0 s", "3"],
    ]
    assert listed == [
        {"run_id": "r", "log_count": 3, "start_timestamp": 1_700_000_000_000, "end_timestamp": 1_700_000_002_000}
    ]


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
    """`--ids` and `--json` are for programs; a `--limit` says how many sessions it leaves out."""
    assert run("runs", "--ids") == "other\ntrip\n"
    assert [each["run_id"] for each in json.loads(run("runs", "--json", "--limit", "1"))] == ["other"]
    assert run("runs", "--limit", "1").splitlines()[-1] == "… and 1 older one: --limit 0 shows all"


def test_line_breaks_in_names_are_signs(run: Run, own: CoagentClient) -> None:
    """A logged session id or tool name stays on its line, and no part of an id is taken for another."""
    own.log_tool_call("other\n\ttrip\x1b", "look\nup", 1, 1)
    rows, shown = run("runs").splitlines(), run("show").splitlines()
    ids = run("runs", "--ids")

    assert (len(rows), rows[1].split()[0], shown[0].split()[0]) == (2, "other␊␉trip␛", "other␊␉trip␛")
    assert ["look␊up" in line for line in shown].count(True) == 1
    assert ids == "other␊\ttrip\x1b\n"


def test_show_draws_the_tree(run: Run) -> None:
    """The tree has prompt, model call, tool call and error with tokens and times; control characters are escaped."""
    lines = [re.sub("  +", "  ", line) for line in run("show", "trip").splitlines()]

    assert lines == [
        "trip  failed · 8.0 s · 1 prompt · 1 model call · 1 tool call · 1 error",
        "  1,200→30 tokens",
        "Plan a trip",
        "",
        "✗ Prompt 1: Where to?  1,200→30  6.0 s",
        "└─ ✗ Turn 1  1,200→30  5.0 s",
        "  ├─ ✓ m-1  Rome.  1,200→30  2.0 s",
        "  ├─ ✗ trains  strike ␛[31m  1.0 s",
        "  └─ ✗ TrainError  strike  0 ms",
        "✗ Session end  Error  7.9 s",
    ]


def test_show_wraps_its_head_and_tells_tokens_alike(
    run: Run, own: CoagentClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a title, the id is shown; unknown tokens are a dash, in rows only from 60 columns on."""
    own.store_logs([
        entry("no-title", 1, "llm_call", 1, 1, meta={"model": "m-1"}),
        entry("no-title", 2, "llm_response", 1, 1, meta={"model": "m-1"}, llm_response={"input_tokens": 2}),
        entry("no-title", 3, "session_end", 1, 0, meta={"status": "completed", "elapsed_time_ms": 3000}),
    ])  # fmt: skip
    monkeypatch.setenv("COLUMNS", "40")
    narrow = run("show", "no-title").splitlines()
    monkeypatch.setenv("COLUMNS", "60")
    wide = run("show", "no-title").splitlines()

    assert narrow[:4] == ["no-title  completed · 2.0 s · 1 prompt", "  1 model call · 2→– tokens", "no-title", ""]
    assert (len(narrow[5]), re.findall(r"2→\S", "\n".join(narrow[4:]))) == (40, [])
    assert (len(wide[4]), re.findall(r"2→\S", "\n".join(wide[3:]))) == (60, ["2→–", "2→–"])
    monkeypatch.setenv("COLUMNS", "120")
    assert re.search(r"^no-title .* no-title$", run("runs"), re.MULTILINE)


def test_cut_text_that_is_cut_again_has_one_ellipsis() -> None:
    """This also holds if the second cut leaves the first one's ellipsis."""
    assert [fit(text, 5) for text in ("abcdef", "abc…ef", "ab", "日本語です")] == ["abcd…", "abc… ", "ab   ", "日本…"]
    assert [fit("abc", columns) for columns in (0, 1, 2)] == ["", "…", "a…"]


def test_show_tells_none_from_unknown(run: Run, own: CoagentClient) -> None:
    """A reported 0 is 0 in tree and JSON; an unreported number is a dash, and null among the totals."""
    for name, told in (("zero", {"input_tokens": 7, "output_tokens": 0}), ("half", {"input_tokens": 7})):
        own.store_logs([
            entry(name, 1, "llm_call", 1, 1, meta={"model": "m-1"}),
            entry(name, 2, "llm_response", 1, 1, meta={"model": "m-1"}, llm_response=told),
        ])  # fmt: skip
    trees = [re.findall(r"7→\S", run("show", name)) for name in ("zero", "half")]
    shown = [json.loads(run("show", name, "--json")) for name in ("zero", "half")]

    assert trees == [["7→0"] * 3, ["7→–"] * 3]
    assert [each["totals"]["output_tokens"] for each in shown] == [0, None]
    assert [each["tree"][0].get("output_tokens") for each in shown] == [0, None]


def test_session_is_found_by_the_beginning_of_its_id(run: Run) -> None:
    """A prefix is enough if it is unique."""
    assert run("show", "tr") == run("show", "trip")
    assert run("export", "tr") == run("export", "trip")


def test_newest_session_needs_no_id(run: Run, own: CoagentClient) -> None:
    """Without an id, the first session of the list is used."""
    own.store_logs([entry("first", 9, "session_end", 1, 0), entry("first", 1, "session_start", 1, 0),
                    entry("last", 2, "session_start", 1, 0), entry("last", 3, "session_end", 1, 0)])  # fmt: skip

    assert run("show") == run("show", "last")
    assert run("export") == run("export", "last")
    assert len(run("show", "--follow").splitlines()) == 2


def test_beginning_of_several_ids_names_some(run: Run, own: CoagentClient, capsys: pytest.CaptureFixture[str]) -> None:
    """The newest ones are named; a complete id matches even if others begin with it."""
    own.store_logs([entry("trip" + "x" * n, n, "session_start", 1, 0) for n in range(8)])
    code = main(["show", "tri"])
    said = capsys.readouterr().err
    whole = run("show", "trip")

    some = ", ".join("trip" + "x" * n for n in (7, 6, 5, 4, 3))
    assert (code, said) == (1, f"coagent-langchain: 'tri' matches 8 sessions: {some}, …\n")
    assert whole.startswith("trip ")


def test_no_session_at_all_is_told(own: CoagentClient, capsys: pytest.CaptureFixture[str]) -> None:
    """A command that uses the newest session says that there is none."""
    codes = [main(["show"]), main(["export"])]

    assert (codes, capsys.readouterr().err) == (
        [1, 1],
        f"coagent-langchain: no sessions yet on {own.base_url}\n" * 2,
    )


def test_list_without_sessions_names_the_server(own: CoagentClient, capsys: pytest.CaptureFixture[str]) -> None:
    """It may not be the server that the application logs to."""
    main(["runs"])

    assert capsys.readouterr().out == (
        f"No sessions yet on {own.base_url}. "
        "See 'coagent-langchain demo', or add a CoagentCallbackHandler to a chain.\n"
    )


def test_show_numbers_every_turn(run: Run, own: CoagentClient) -> None:
    """A turn of one call is numbered in the call's line; remarks have the legend's sign, and their data."""
    own.store_logs([
        entry("remarks", 1, "user_input", 1, 0, prompt="Count"),
        entry("remarks", 2, "info", 1, 0, output_data={"message": "progress"}, meta={"value": {"done": 3}}),
        entry("remarks", 3, "warning", 1, 0, output_data={"message": "slow"}),
        entry("remarks", 4, "llm_call", 1, 1, prompt="Count", meta={"model": "m-1"}),
        entry("remarks", 5, "llm_response", 1, 1, llm_response={"response": "3"}, meta={"model": "m-1"}),
    ])  # fmt: skip
    lines = [re.sub("  +", "  ", line) for line in run("show", "remarks").splitlines()]

    assert lines[3:] == [
        "✓ Prompt 1: Count  4.0 s",
        '├─ · Info  progress · {"done": 3}  0 ms',
        "├─ · Warning  slow  0 ms",
        "└─ ✓ m-1  Turn 1 · 3  1.0 s",
    ]


def test_show_says_what_was_stopped(run: Run, own: CoagentClient) -> None:
    """It says so in words, because remarks have the same sign."""
    own.store_logs([
        entry("stopped", 1, "user_input", 1, 0, prompt="Count"),
        entry("stopped", 2, "llm_call", 1, 1, prompt="Count", meta={"model": "m-1"}),
        entry("stopped", 3, "llm_response", 1, 1, meta={"model": "m-1", "outcome": "cancelled"}),
        entry("stopped", 4, "session_end", 1, 0, meta={"status": "idle", "elapsed_time_ms": 3000}),
    ])  # fmt: skip
    lines = [re.sub("  +", "  ", line) for line in run("show", "stopped").splitlines()]

    assert lines[3:] == [
        "· Prompt 1: Count  cancelled  2.0 s",
        "└─ · m-1  cancelled · Turn 1 · Count  1.0 s",
        "· Session end  idle  3.0 s",
    ]


def test_show_says_which_call_no_tool_has_answered(run: Run, own: CoagentClient) -> None:
    """It has no failure sign; a call that was not run says why, and the prompt succeeded."""
    refused = {"tool_name": "mail", "success": False, "error_message": "no, thanks"}
    own.store_logs([
        entry("refused", 1, "user_input", 1, 0, prompt="Mail"),
        entry("refused", 2, "tool_call", 1, 1, tool_call={"tool_name": "mail", "parameters": {"to": "ada"}}),
        entry("refused", 3, "tool_response", 1, 1, tool_response=refused, meta={"outcome": "not run"}),
        entry("refused", 4, "tool_call", 1, 2, tool_call={"tool_name": "trains", "parameters": {"to": "Rome"}}),
        entry("refused", 5, "tool_response", 1, 2, tool_response={"tool_name": "trains", "success": True},
              meta={"outcome": "answered by node"}),
        entry("refused", 6, "tool_call", 1, 3, tool_call={"tool_name": "buses", "parameters": {"to": "Rome"}}),
        entry("refused", 7, "tool_response", 1, 3, tool_response={"tool_name": "buses", "success": True},
              meta={"outcome": "answered by application"}),
    ])  # fmt: skip
    lines = [re.sub("  +", "  ", line) for line in run("show", "refused").splitlines()]

    assert lines[3:] == [
        "✓ Prompt 1: Mail  6.0 s",
        "├─ · mail  not run · Turn 1 · no, thanks  1.0 s",
        "├─ ✓ trains  answered by node · Turn 2 · to: Rome  1.0 s",
        "└─ ✓ buses  answered by application · Turn 3 · to: …  1.0 s",
    ]


@pytest.mark.parametrize(("status", "word", "time"), [(None, "running", "10 min"), ("completed", "unfinished", "–")])
def test_show_says_what_has_no_end(run: Run, own: CoagentClient, status: str | None, word: str, time: str) -> None:
    """A call is running, with its time until now, while its session is; then it is unfinished, as in the viewer."""
    name = f"no-end-{word}"
    begun = {"timestamp": now_ms() - 600_000}
    own.store_logs([entry(name, 1, "user_input", 1, 0, prompt="Count") | begun,
                    entry(name, 2, "llm_call", 1, 1, meta={"model": "m-1"}) | begun])  # fmt: skip
    if status:
        own.log_session_end(name, "Bye", 1, meta={"status": status})
    lines = [re.sub(" +(10 min) \\d\\d s|  +", r"  \1", line) for line in run("show", name).splitlines()]

    assert lines[0].split(" · ")[1].strip() == "10 min"
    assert lines[3:5] == [f"… Prompt 1: Count  {word}  {time}", f"└─ … m-1  {word} · Turn 1  {time}"]


def test_show_as_json(run: Run) -> None:
    """It is the same tree, for programs."""
    shown = json.loads(run("show", "trip", "--json"))
    turn = shown["tree"][0]["children"][0]

    assert (shown["status"], shown["totals"]["total_tokens"]) == ("failed", 1230)
    assert [(bar["kind"], bar["label"], bar["status"]) for bar in turn["children"]] == [
        ("model", "m-1", "ok"),
        ("tool", "trains", "error"),
        ("error", "TrainError", "error"),
    ]


def test_show_of_a_session_that_is_nested_very_deep(
    run: Run, own: CoagentClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has a tree and a waterfall; JSON, which would nest too, is refused with one line."""
    traces = [{"run_id": f"r{n}", "parent_run_id": f"r{n - 1}", "root_run_id": "r0"} for n in range(1500)]
    own.store_logs([entry("deep", n, "component_enter", 1, 0, target_component={"name": f"node-{n}"},
                          meta={"trace": trace}) for n, trace in enumerate(traces)])  # fmt: skip
    picture = own.session("deep")._repr_html_()
    last = run("show", "deep").splitlines()[-1]

    assert ("└─ … node-1499" in last, "… and 1,301 more rows" in picture) == (True, True)
    assert main(["show", "deep", "--json"]) == 1
    assert "the session is nested too deep for one JSON document" in capsys.readouterr().err


def test_show_follows_a_session_to_its_end(run: Run, own: CoagentClient) -> None:
    """Events are printed as they arrive, even if the session begins later."""
    shown: list[str] = []
    watcher = threading.Thread(target=lambda: shown.append(run("show", "followed", "--follow")))
    watcher.start()
    own.log_session_start("followed", "Hello")
    own.log_error("followed", 1, 0, "boom", "ValueError")
    own.log_session_end("followed", "Bye", 1)
    watcher.join(timeout=60)

    assert [line.split()[1:3] for line in shown[0].splitlines()] == [
        ["1.0", "session_start"],
        ["1.0", "error"],
        ["1.0", "session_end"],
    ]


def test_show_follows_a_session_that_goes_on_after_its_end(
    own: CoagentClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each event is printed once, and an end that is followed by events is not the last."""

    def story() -> Iterator[object]:
        yield own.log_session_start("twice", "Hello")
        own.log_session_end("twice", "Bye", 1)
        yield own.log_user_input("twice", "One more", 2)
        yield own.log_info("twice", "later", 2)
        yield own.log_session_end("twice", "Bye", 2)

    coming = story()

    def go_on(seconds: float) -> None:
        next(coming)

    follow(own, "twice", go_on)

    assert [line.split()[1:3] for line in capsys.readouterr().out.splitlines()] == [
        ["1.0", "session_start"],
        ["1.0", "session_end"],
        ["2.0", "user_input"],
        ["2.0", "info"],
        ["2.0", "session_end"],
    ]


def test_show_that_waits_says_that_it_takes_a_whole_id(base_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With a prefix, which `show` without `--follow` accepts, it would wait for ever."""

    def seen_enough(seconds: float) -> None:
        raise KeyboardInterrupt

    with CoagentClient(base_url) as client, pytest.raises(KeyboardInterrupt):
        follow(client, "tri", seen_enough)

    assert capsys.readouterr().err == "waiting for session tri to begin; --follow needs a complete id\n"


class OddServer(BasicServer):
    """A CoAgent server that accepts entries without an id, and values that are not entries."""

    body = json.dumps([{}, "x", {"event_type": "info"}, entry("odd", 1, "session_end", 1, 0)]).encode()


def test_show_follows_a_session_with_odd_entries(capsys: pytest.CaptureFixture[str]) -> None:
    """Entries without an id are told apart by their content."""
    with (
        serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), OddServer)) as port,
        CoagentClient(f"http://127.0.0.1:{port}/api/v1") as client,
    ):
        follow(client, "odd")

    assert [line.split()[1:] for line in capsys.readouterr().out.splitlines()] == [
        ["0.0"], ["0.0", "info", "Info"], ["1.0", "session_end", "Session", "end"],
    ]  # fmt: skip


def test_export_gives_the_entries_byte_for_byte(run: Run, own: CoagentClient) -> None:
    """Each is on one line: numbers keep their form and digits, line breaks within an entry become spaces."""
    one = (
        b'{"version":"2.0.0","session_id":"exact","prompt_number":1,"turn_number":0,"event_id":"e","event_type":"info",'
    )
    one += b'"timestamp":1763800000000,"x":1.10,"y":1E2,"big":123456789012345678901234567890,"u":"\\u00e9, [\xc3\xa9]"}'
    two = one.replace(b'"e"', b'"f"').replace(b",", b",\n ", 1)
    for body in (one, two):
        answer = requests.post(f"{own.base_url}/logs", data=body, headers=JSON, timeout=10)
        assert answer.status_code == 200

    assert run("export", "exact").encode() == one + b"\n" + two.replace(b"\n", b" ") + b"\n"


def test_export_to_a_file(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file has the same lines, and stderr says how many."""
    file = tmp_path / "trip.jsonl"
    assert main(["export", "trip", "-o", str(file)]) == 0
    exported = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

    assert capsys.readouterr().err == f"8 events written to {file}\n"
    assert [{k: e[k] for k in ENTRIES[0] if k in e} for e in exported] == [
        {k: e[k] for k in ENTRIES[0] if k in e} for e in ENTRIES if e["session_id"] == "trip"
    ]


def test_errors_are_one_line_and_exit_code_1(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line says what failed and what to do, without a traceback."""
    codes = [main(["show", "nobody"]), main(["export", "nobody"])]
    monkeypatch.setenv("COAGENT_BASE_URL", "http://127.0.0.1:9/api/v1")
    codes.append(main(["runs"]))
    monkeypatch.setenv("COAGENT_BASE_URL", "localhost")
    codes.append(main(["runs"]))
    lines = capsys.readouterr().err.splitlines()

    assert (codes, len(lines), lines[0]) == ([1, 1, 1, 1], 4, lines[1])
    assert lines[0].startswith("coagent-langchain: no session 'nobody' on http://127.0.0.1:")
    assert "ConnectionError" in lines[2]
    assert "coagent-langchain serve" in lines[2]
    assert "COAGENT_BASE_URL must be an http or https address" in lines[3]


def test_refused_requests_say_what_to_set(
    base_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cases are a wrong path, a missing token, and another server's token."""
    monkeypatch.setenv("COAGENT_BASE_URL", base_url.removesuffix("/api/v1"))
    main(["runs"])
    with launch(token="secret") as server:
        monkeypatch.setenv("COAGENT_BASE_URL", server.base_url)
        main(["runs"])
        monkeypatch.setenv("COAGENT_AUTH_TOKEN", "another")
        main(["runs"])
    path, missing, wrong = capsys.readouterr().err.splitlines()

    assert path.endswith("(does base_url end with /api/v1?)")
    advice = "(set COAGENT_AUTH_TOKEN, or auth_token=, to this server's token)"
    assert missing.endswith(
        f"a token is required: Authorization: Bearer <token>; in a browser open /?token=<token> {advice}"
    )
    assert wrong.endswith(
        f"the token is wrong: Authorization: Bearer <token>; in a browser open /?token=<token> {advice}"
    )


def test_https_where_the_server_speaks_http_is_told(
    base_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The advice is not to start a server: there is one."""
    monkeypatch.setenv("COAGENT_BASE_URL", base_url.replace("http:", "https:"))
    main(["runs"])

    assert capsys.readouterr().err.endswith(
        ") (the server does not use TLS: its address begins with http://, not https://)\n"
    )


def test_proxy_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The advice is not to start a server: it is unknown whether there is one."""
    monkeypatch.setenv("COAGENT_BASE_URL", "http://coagent.example/api/v1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    main(["runs"])

    assert capsys.readouterr().err.endswith(
        "Connection refused (HTTP_PROXY or HTTPS_PROXY sets the proxy, NO_PROXY the servers to reach without it)\n"
    )


def test_server_that_does_not_answer_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It soon says which server it waits for, and stops after at most twice the time that a response may take."""
    monkeypatch.setattr(text, "SILENCE", 0.1)
    monkeypatch.setattr(session, "ANSWER", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # the system accepts the connection, and nobody reads from it
        address = f"http://127.0.0.1:{mute.getsockname()[1]}/api/v1"
        code = main(["runs", "--base-url", address])
    said, why = capsys.readouterr().err.splitlines()

    assert (code, said) == (1, f"waiting for {address} to answer")
    assert re.match(rf"coagent-langchain: GET {address}/runs failed after 2 tries in \d+\.\d s: ReadTimeout: ", why)


@pytest.mark.parametrize("command", [["-m", "coagent_langchain"], ["{bin}/coagent-langchain"]])
@pytest.mark.parametrize(("words", "told"), [
    (["--version"], (0, "")),
    (["run", "app.py"], (1, "coagent-langchain: COAGENT_TRACING must be true or false, not 'maybe'\n")),
])  # fmt: skip
def test_wrong_variable_of_tracing_is_one_line(
    command: list[str], words: list[str], told: tuple[int, str], tmp_path: Path
) -> None:
    """For a program that imports the package, it raises; a command reports it, only if it needs the variable."""
    (tmp_path / "app.py").touch()
    folder = os.path.dirname(sys.executable)
    result = subprocess.run(
        [sys.executable, *(word.format(bin=folder) for word in command), *words],
        env={**os.environ, "COAGENT_TRACING": "maybe"}, cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip

    assert (result.returncode, result.stderr) == told


@pytest.mark.parametrize("arguments", [
    ["nonsense"], ["runs", "--limit", "-1"], ["show", "a", "b"], ["runs", "--base-url", "foo"],
    ["serve", "--store", "x.db"], ["runs", "--json", "--ids"], ["show", "--json", "--follow"],
    ["spool", "flush", "--from", "foo"],
])  # fmt: skip
def test_wrong_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """argparse says what is wrong, and shows the command's usage."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert "usage: coagent-langchain" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "rest"), [("run", ["app.py"]), ("spool flush", [])])
def test_unknown_option_shows_the_usage_of_its_command(
    command: str, rest: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The usage of all commands would not help."""
    with pytest.raises(SystemExit) as caught:
        main([*command.split(), "--foo", *rest])
    said = capsys.readouterr().err

    assert caught.value.code == 2
    assert said.startswith(f"usage: coagent-langchain {command} [-h]")
    assert said.endswith("unrecognized arguments: --foo\n")


def test_help_names_every_variable(run: Run) -> None:
    """The help has every setting that can come from the environment."""
    said = run()

    assert [name for name in VARIABLES.values() if name not in said] == []


def test_without_a_command_the_help_is_printed(run: Run) -> None:
    """A new user sees the commands."""
    assert "first steps:" in run()


every_command = pytest.mark.parametrize(
    "command",
    [
        [],
        ["demo"],
        ["run"],
        ["serve"],
        ["prune"],
        ["delete"],
        ["runs"],
        ["show"],
        ["export"],
        ["spool"],
        ["spool", "status"],
        ["spool", "flush"],
        ["spool", "rejected"],
        ["spool", "discard"],
        ["completion"],
    ],
)


@every_command
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` shows usage and description, and exits with 0."""
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])

    usage, description, *_ = capsys.readouterr().out.split("\n\n")
    assert caught.value.code == 0
    assert usage.startswith(" ".join(["usage: coagent-langchain", *command, "[-h]"]))
    assert description.endswith(".")


@every_command
def test_help_fits_into_a_terminal_of_80_columns(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No line has to be wrapped by the terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*command, "--help"])

    assert [line for line in capsys.readouterr().out.splitlines() if cells(line) > 80] == []


@pytest.mark.parametrize(
    ("command", "example"),
    [("show", "coagent-langchain show recipe-agent-4f"),
     ("export", "coagent-langchain export | jq 'select(.event_type == \"error\")'")],
)  # fmt: skip
def test_examples_can_be_copied(
    command: str, example: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is on one line."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([command, "--help"])

    assert f"\n  {example}\n" in capsys.readouterr().out


def terminal(base_url: str, *arguments: str, **environ: str) -> str:
    """The output of a command in a terminal."""
    master, slave = pty.openpty()
    environment = {**os.environ, "COAGENT_BASE_URL": base_url, "COLUMNS": "100", "TERM": "xterm", **environ}
    process = subprocess.Popen(
        [sys.executable, "-m", "coagent_langchain", *arguments], stdout=slave, stdin=slave, env=environment
    )
    os.close(slave)
    written = b""
    try:
        while piece := os.read(master, 65536):
            written += piece
    except OSError:
        pass  # how Linux reports that the terminal is closed
    os.close(master)
    assert process.wait(timeout=30) == 0
    return written.decode()


def test_colours_in_a_terminal_only(base_url: str) -> None:
    """Errors are red in a terminal; with NO_COLOR, there is only text."""
    coloured, plain = terminal(base_url, "show", "trip"), terminal(base_url, "show", "trip", NO_COLOR="1")

    assert "\x1b[31mtrains" in coloured
    assert "\x1b" not in plain
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == plain


@pytest.mark.parametrize(
    ("command", "written"),
    [("export trip | head -c 1", b"{"), ("--help | true", b""), ("runs >&-", b"")],
)
def test_reader_that_has_seen_enough_is_no_error(command: str, written: bytes, base_url: str) -> None:
    """A command in `| head -1` exits silently, and so does one whose output is closed or never read."""
    script = f"set -o pipefail; {sys.executable} -m coagent_langchain {command}"
    environment = {**os.environ, "COAGENT_BASE_URL": base_url, "PYTHONUNBUFFERED": ""}
    result = subprocess.run(["bash", "-c", script], capture_output=True, env=environment, check=False)

    assert (result.returncode, result.stdout, result.stderr) == (0, written, b"")


@pytest.mark.parametrize(("command", "encoding", "said"), [
    ("runs > /dev/full", "utf-8", "[Errno 28] No space left on device"),
    ("show trip > /dev/full", "utf-8", "[Errno 28] No space left on device"),
    ("show trip | cat", "ascii",
     "the output cannot hold every character; set PYTHONIOENCODING=utf-8 (it is ascii)"),
    ("show --help | cat", "ascii",
     "the output cannot hold every character; set PYTHONIOENCODING=utf-8 (it is ascii)"),
])  # fmt: skip
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has /dev/full")
def test_output_that_cannot_be_written_is_told_in_one_line(
    command: str, encoding: str, said: str, base_url: str
) -> None:
    """The cases are a full disk, and an encoding without the tree's characters."""
    script = f"set -o pipefail; {sys.executable} -m coagent_langchain {command}"
    environment = {**os.environ, "COAGENT_BASE_URL": base_url, "PYTHONIOENCODING": encoding}
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=False)

    assert (result.returncode, result.stderr) == (1, f"coagent-langchain: {said}\n")


def on_the_path(folder: Path, base_url: str) -> dict[str, str]:
    """An environment with `coagent-langchain` as a command."""
    (folder / "coagent-langchain").write_text(f'#!/bin/sh\nexec {sys.executable} -m coagent_langchain "$@"\n')
    (folder / "coagent-langchain").chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "COAGENT_BASE_URL": base_url}


def complete(base_url: str, folder: Path, words: str, begun: str = "") -> list[str]:
    """What bash's completion offers after `words` for the partial word `begun`, split as bash splits it."""
    broken = re.split("([:@])", begun)
    script = f"""
        eval "$(coagent-langchain completion bash)"
        COMP_LINE="{words} {begun}" COMP_POINT={len(words) + 1 + len(begun)}
        COMP_WORDS=({words} {" ".join(broken) or '""'}) COMP_CWORD={len(words.split()) + len(broken) - 1}
        _coagent_langchain
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environment = on_the_path(folder, base_url)
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert result.stderr == ""
    return result.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_in_bash(base_url: str, tmp_path: Path) -> None:
    """It offers commands, a command's options, and session ids."""
    commands = ["demo", "serve", "prune", "delete", "run", "runs", "show", "export", "spool", "completion"]

    assert complete(base_url, tmp_path, "coagent-langchain") == commands
    assert complete(base_url, tmp_path, "coagent-langchain runs") == [
        "--base-url", "--help", "--ids", "--json", "--limit",
    ]  # fmt: skip
    assert {"trip", "other"} <= set(complete(base_url, tmp_path, "coagent-langchain show"))


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(("begun", "offered"), [
    ("us", ["user:42", "user:43"]), ("user:4", ["42", "43"]), ("ada@ex", ["example.org"]), ("us:4", []),
])  # fmt: skip
def test_completion_in_bash_goes_on_inside_an_id(
    begun: str, offered: list[str], own: CoagentClient, tmp_path: Path
) -> None:
    """Bash treats the part after the last colon or at sign as the word, and replaces only that."""
    for session_id in ("user:42", "user:43", "ada@example.org"):
        own.log_session_start(session_id, "Hello")
    words = complete(own.base_url, tmp_path, "coagent-langchain show", begun)

    assert sorted(words) == offered


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_runs_nothing_that_a_log_says(own: CoagentClient, tmp_path: Path) -> None:
    """A session's id is untrusted text, and bash would expand what it completes."""
    own.log_session_start(f"$(touch {tmp_path}/harm)", "Hello")
    own.log_session_start("harmless", "Hello")
    words = complete(own.base_url, tmp_path, "coagent-langchain show")

    assert (words, (tmp_path / "harm").exists()) == (["harmless"], False)


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_completion_in_fish(base_url: str, tmp_path: Path) -> None:
    """Fish gets the same completions."""
    environment = on_the_path(tmp_path, base_url)
    script = "coagent-langchain completion fish | source; complete -C 'coagent-langchain {}'"
    offered = [
        subprocess.run(
            ["fish", "-c", script.format(words)], capture_output=True, text=True, env=environment, check=True
        )
        for words in ("", "runs --", "show ")
    ]
    first, options, sessions = [{line.split()[0] for line in each.stdout.splitlines()} for each in offered]

    assert {"demo", "serve", "runs", "show"} <= first
    assert {"--ids", "--json", "--limit"} <= options
    assert {"trip", "other"} <= sessions


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_sound(shell: str, run: Run) -> None:
    """Each installed shell parses its script without complaint."""
    script = run("completion", shell)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")

    assert subprocess.run([shell, "-n"], input=script, text=True, capture_output=True, check=True).stderr == ""
