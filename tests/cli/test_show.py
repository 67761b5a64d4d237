"""`show` and `export` against a real server: which session is meant, and what is written of it."""

from __future__ import annotations

import json
import re

import pytest
import requests

from coagent_langchain import CoagentClient
from coagent_langchain.cli import main
from coagent_langchain.cli.text import cells, fit, local_time
from coagent_langchain.wire import now_ms
from tests.cli.samples import START, Run, entry
from tests.server.story import Story

JSON = {"Content-Type": "application/json"}


def test_show_draws_the_tree(run: Run) -> None:
    """The tree has prompt, model call, tool call and error with tokens and times; control characters are escaped."""
    lines = [re.sub("  +", "  ", line) for line in run("show", "trip").splitlines()]

    assert lines == [
        f"trip  failed · {local_time(START)} · 8.0 s · 1 prompt · 1 model call",
        "  1 tool call · 1 error · 1,200→30 tokens",
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
        entry("no-title", 1, "llm_call", 1, 1, meta={"model": "m-1", "tags": ["nightly"]}),
        entry("no-title", 2, "llm_response", 1, 1, meta={"model": "m-1"}, llm_response={"input_tokens": 2}),
        entry("no-title", 3, "session_end", 1, 0, meta={"status": "completed", "elapsed_time_ms": 3000}),
    ])  # fmt: skip
    monkeypatch.setenv("COLUMNS", "40")
    narrow = run("show", "no-title").splitlines()
    monkeypatch.setenv("COLUMNS", "60")
    wide = run("show", "no-title").splitlines()

    began, told = local_time(START + 1000), "  1 model call · 2→– tokens · nightly"
    assert narrow[:3] == ["no-title  completed", f"  {began} · 2.0 s · 1 prompt", told]
    assert wide[:2] == [f"no-title  completed · {began} · 2.0 s · 1 prompt", told]
    assert (narrow[3:5], wide[2:4]) == (["no-title", ""], ["no-title", ""])
    assert (len(narrow[6]), re.findall(r"2→\S", "\n".join(narrow[5:]))) == (40, [])
    assert (len(wide[5]), re.findall(r"2→\S", "\n".join(wide[4:]))) == (60, ["2→–", "2→–"])
    monkeypatch.setenv("COLUMNS", "120")
    assert re.search(r"^no-title .* no-title$", run("runs"), re.MULTILINE)


def test_cut_text_that_is_cut_again_has_one_ellipsis() -> None:
    """This also holds if the second cut leaves the first one's ellipsis."""
    assert [fit(text, 5) for text in ("abcdef", "abc…ef", "ab", "日本語です")] == ["abcd…", "abc… ", "ab   ", "日本…"]
    assert [fit("abc", columns) for columns in (0, 1, 2)] == ["", "…", "a…"]


def test_columns_are_those_of_a_terminal() -> None:
    """A wide character takes two columns, an accent that is a character of its own none."""
    assert [cells(word) for word in ("cafe", "cafe\u0301", "日本")] == [4, 4, 4]


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


def test_show_says_what_was_recovered_cached_and_asked(
    run: Run, own: CoagentClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has the sign of the legend; several inputs are shown in words, here and in the list."""
    story = Story("signs").ask('{"from": "Rome", "to": "Bern"}')
    failure = {"error_id": "e", "error_type": "TrainError", "error_message": "strike"}
    recovery = {"error_id": "e", "recovery_strategy": "retry", "recovery_successful": True}
    story.log("llm_call", 1, "call", story.root, prompt="Trains?", meta={"model": "m-1"})
    story.log("llm_response", 1, "call", story.root, llm_response={"response": "Three."}, meta={"cached": True})
    story.log("error", 1, "tool", story.root, error_info=failure)
    story.log("recovery", 1, "tool", story.root, error_info=recovery)
    story.log("human_oversight", 1, story.root, input_data={"value": "Sure?"}, meta={"status": "interrupted"})
    own.store_logs(story.entries)
    monkeypatch.setenv("COLUMNS", "100")
    lines = [re.sub("  +", "  ", line) for line in run("show", "signs").splitlines()]

    assert lines[1:] == [
        "from: Rome · to: Bern",
        "",
        "? Prompt 1: from: Rome · to: Bern  waiting for an answer  3 ms",
        "└─ ? Turn 1  waiting for an answer  0 ms",
        "  ├─ ✓ m-1  from cache · Three.  0 ms",
        "  ├─ ↻ TrainError  strike · recovered by retry  0 ms",
        "  └─ ? Human  waiting for an answer · Sure?  –",
    ]
    assert run("runs").splitlines()[1].endswith("  from: Rome · to: Bern")


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

    assert lines[0].split(" · ")[2].strip() == "10 min"
    rows = lines[-2 - bool(status) :][:2]
    assert rows == [f"… Prompt 1: Count  {word}  {time}", f"└─ … m-1  {word} · Turn 1  {time}"]


def test_show_as_json_is_the_same_tree(run: Run) -> None:
    """It is the same tree, for programs."""
    shown = json.loads(run("show", "trip", "--json"))
    turn = shown["tree"][0]["children"][0]

    assert [shown[name] for name in ("session_id", "status", "prompt")] == ["trip", "failed", "Plan a trip"]
    assert shown["totals"]["total_tokens"] == 1230
    assert turn["children"][0] == {
        "kind": "model", "label": "m-1", "status": "ok", "note": "Rome.", "prompt_number": 1, "turn_number": 1,
        "start_timestamp": START + 2000, "duration_ms": 2000, "input_tokens": 1200, "output_tokens": 30,
    }  # fmt: skip
    assert [(bar["kind"], bar["label"], bar["status"]) for bar in turn["children"]] == [
        ("model", "m-1", "ok"),
        ("tool", "trains", "error"),
        ("error", "TrainError", "error"),
    ]


def test_show_as_json_has_what_a_call_cost(run: Run, own: CoagentClient) -> None:
    """So has its prompt, but no node for which no cost is known."""
    story = Story("paid").ask("Rome?")
    story.model("Rome?", "Yes.", 5, (1, 1), cost=0.5)
    story.tool("trains", {}, "none", 5, "c1", turn=1)
    own.store_logs(story.entries)
    prompt = json.loads(run("show", "paid", "--json"))["tree"][0]
    (turn,) = prompt["children"]

    assert [each.get("cost") for each in (prompt, turn, *turn["children"])] == [0.5, 0.5, 0.5, None]


def test_show_keeps_the_letters_of_every_language(run: Run, own: CoagentClient) -> None:
    """Neither the JSON nor a custom event's data has escapes for people to decode."""
    own.store_logs([
        entry("greeting", 1, "user_input", 1, 0, prompt="Grüße"),
        entry("greeting", 2, "info", 1, 0, meta={"value": {"to": "東京"}}),
    ])  # fmt: skip
    shown = {
        part for form in ((), ("--json",)) for part in re.findall('Gr[^"\\s]*e|{.*}', run("show", "greeting", *form))
    }

    assert shown == {"Grüße", '{"to": "東京"}'}


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
