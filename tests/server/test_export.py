"""A session as a file: JSON lines, CSV and Markdown."""

from __future__ import annotations

import csv
import io
from urllib.parse import quote

import orjson
import pytest
import requests

from coagent_langchain.server.exports import table
from coagent_langchain.server.running import Running
from coagent_langchain.server.store.records import Session
from tests.server import samples, sessions
from tests.server.pages import get, log
from tests.server.story import Story

TRIP = quote("trip-planner/2026-11-22T13:04:18+00:00", safe="")


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
    log(running, sessions.trip() + sessions.recipe("日本"))
    named = [get(running, f"/export/{name}?format={ending}").headers for name in (TRIP, "日本")]

    assert [(headers["Content-Type"], headers["Content-Disposition"]) for headers in named] == [
        (media, f'attachment; filename="trip-planner_2026-11-22T13_04_18_00_00.{ending}"'),
        (media, f'attachment; filename="session.{ending}"'),
    ]


def test_csv_runs_no_formula() -> None:
    """A cell that a spreadsheet would run begins with an apostrophe; quotes, commas and newlines stay in one cell."""
    texts = ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", " =1+1", "＝1+1", "\n=1", 'a "b", c', "plain"]
    story = Story("s")
    for text in texts:
        story.log("tool_call", 1, tool_call={"tool_name": text, "parameters": {}})
    made = b"".join(table(Session("s", 0, 0), [orjson.dumps(entry) for entry in story.entries])).decode()

    assert [row["name"] for row in csv.DictReader(io.StringIO(made))] == [
        "'=HYPERLINK(1)", "'+1", "'-1", "'@SUM(A1)", "' =1+1", "'＝1+1", "'\n=1", 'a "b", c', "plain",
    ]  # fmt: skip


def test_csv_leaves_unknown_figures_empty() -> None:
    """A missing figure is not a zero, a reported zero is one, whatever the type. A response from a cache is marked."""
    story = Story("s").ask("hello")
    story.model("hello", "hi", 5, (7, 0))
    story.entries[-1]["performance_metrics"] = {"cost": 0.0}
    story.model("hello", "hi", 5, (7, 0))
    story.entries[-1]["meta"]["cached"] = True
    story.log("info", performance_metrics={"cost": 0.5})
    made = b"".join(table(Session("s", 0, 0), [orjson.dumps(entry) for entry in story.entries])).decode()
    figures = ("event_type", "duration_ms", "input_tokens", "output_tokens", "cached_tokens", "cached", "cost")

    assert [[row[name] for name in figures] for row in csv.DictReader(io.StringIO(made))] == [
        ["session_start", "", "", "", "", "", ""],
        ["user_input", "", "", "", "", "", ""],
        ["llm_call", "", "", "", "", "", ""],
        ["llm_response", "5", "7", "0", "0", "", "0.0"],
        ["llm_call", "", "", "", "", "", ""],
        ["llm_response", "5", "7", "0", "0", "true", "0.0"],
        ["info", "", "", "", "", "", "0.5"],
    ]


def test_csv_tells_how_a_call_ended() -> None:
    """As the table of events does: an answer that was cut off looked whole. Each row has a cell of every column."""
    story = Story("s").ask("hello")
    story.model("hello", "Once upon", 5, (7, 2))
    story.entries[-1]["meta"]["finish_reason"] = "length"
    story.log("session_end", meta={"status": "cancelled"})
    made = b"".join(table(Session("s", 0, 0), [orjson.dumps(entry) for entry in story.entries])).decode()
    rows = list(csv.DictReader(io.StringIO(made)))

    assert [(row["event_type"], row["outcome"], row["duration_ms"]) for row in rows] == [
        ("session_start", "", ""), ("user_input", "", ""), ("llm_call", "", ""), ("llm_response", "cut off", "5"),
        ("session_end", "cancelled", ""),
    ]  # fmt: skip
    assert rows[3] == {
        "time": "2026-09-21T14:13:20.008Z", "event_type": "llm_response", "prompt_number": "1", "turn_number": "1",
        "name": "gemma3:4b", "content": "Once upon", "error": "", "outcome": "cut off", "duration_ms": "5",
        "input_tokens": "7", "output_tokens": "2", "cached_tokens": "0", "cached": "", "cost": "0.0",
        "event_id": "s-000004", "run_id": "s-run-2", "parent_run_id": "s-run-1",
    }  # fmt: skip


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
