"""What one entry says in a row of the timeline, of the events and of their export."""

from __future__ import annotations

from typing import Any

import pytest

from coagent_langchain.server.presentation.event_summary import EventSummary, summarize
from tests.server.drawing import drawn, timeline
from tests.server.samples import entry
from tests.server.story import Story


def summary_of(event_type: str, **fields: Any) -> EventSummary:
    """The summary of one entry with these fields."""
    return summarize(1, entry(event_type, **fields))


@pytest.mark.parametrize(("event_type", "fields", "who"), [
    ("llm_call", {"llm_call": {"issuer": "researcher"}, "meta": {"framework": {"node": "model"}}}, "researcher"),
    ("llm_call", {"llm_call": {"issuer": ""}, "meta": {"framework": {"node": "model", "agent": "x"}}}, "model"),
    ("llm_call", {"meta": {"framework": {"agent": "writer"}}}, "writer"), ("llm_call", {}, ""),
    ("info", {"meta": {"logger": "kitchen"}}, "kitchen"),
    ("info", {"meta": {"logger": "kitchen", "framework": {"node": "cook"}}}, "cook"),
])  # fmt: skip
def test_event_is_that_of_its_issuer_or_else_of_its_node(event_type: str, fields: dict[str, Any], who: str) -> None:
    """Or of its agent, if the client names no node; a log record's is that of its logger."""
    assert summary_of(event_type, **fields).who == who


@pytest.mark.parametrize(("event_type", "fields", "name"), [
    ("tool_response", {"tool_response": {"tool_name": "map"}, "meta": {"trace": {"name": "run"}}}, "map"),
    ("tool_response", {"meta": {"trace": {"name": "run"}}}, "run"), ("tool_call", {}, "tool"),
    ("component_exit", {"target_component": {"id": "c-1", "name": "cook"}}, "cook"),
    ("component_exit", {"target_component": {"id": "c-1"}}, "c-1"), ("component_exit", {}, "component"),
])  # fmt: skip
def test_event_has_its_own_name_or_else_that_of_its_run_or_kind(
    event_type: str, fields: dict[str, Any], name: str
) -> None:
    """Clients name what they know."""
    assert summary_of(event_type, **fields).name == name


@pytest.mark.parametrize(("event_type", "fields", "failed"), [
    ("llm_response", {"meta": {"outcome": "error"}}, "error"), ("llm_response", {"meta": {"outcome": "cancelled"}}, ""),
    ("component_exit", {"meta": {"outcome": "error"}}, "error"), ("component_exit", {}, ""),
    ("tool_response", {"tool_response": {"success": False, "error_message": "no\nRome"}}, "no Rome"),
    ("tool_response", {"tool_response": {"success": False}}, "failed"),
    ("tool_response", {"tool_response": {"success": False}, "meta": {"outcome": "not run"}}, ""),
    ("tool_response", {"tool_response": {}}, ""),
    ("error", {"error_info": {"error_type": "KeyError", "error_message": "x"}}, "KeyError: x"), ("error", {}, "error"),
    ("recovery", {"error_info": {"recovery_successful": False}}, "recovery failed"), ("recovery", {}, ""),
    ("test_result", {"test_result": {"status": "failed"}}, "failed"),
    ("test_result", {"test_result": {"status": "passed"}}, ""),
])  # fmt: skip
def test_what_failed_says_why(event_type: str, fields: dict[str, Any], failed: str) -> None:
    """The row is marked, and the reason is a column of the export; a call that was stopped has not failed."""
    assert summary_of(event_type, **fields).failed == failed


def test_long_name_is_cut() -> None:
    """A row and a cell of the export have no more than its beginning."""
    long = "x" * 10_000
    node = summary_of("component_exit", target_component={"name": long, "component_type": long})
    other = summary_of("routing", target_component={"name": long})

    assert (node.name, node.who, other.note) == ("x" * 120,) * 3


@pytest.mark.parametrize(("fields", "note"), [
    ({"output_data": {"message": "disk full"}, "meta": {"message": "x"}}, "disk full"),
    ({"meta": {"message": "disk full", "code": 28}}, "disk full"),
    ({"custom_metadata": {"message": "disk full"}}, "disk full"), ({"message": "disk full"}, "disk full"),
    ({"warning": {"message": "disk full"}}, 'warning: {"message":"disk full"}'),
    ({"disk": "full", "free": 0, "meta": {"code": 28}}, "disk: full, free: 0"), ({"meta": {"code": 28}}, ""),
])  # fmt: skip
def test_log_event_of_any_client_says_what_it_is_about(fields: dict[str, Any], note: str) -> None:
    """The format does not define where its words are; the metadata's other fields are in the details."""
    assert summary_of("warning", **fields).note == note


def test_retriever_is_told_from_a_tool() -> None:
    """By the call, whatever its response says."""
    story = Story("s").ask("Soup?")
    run = story.run()
    story.log("tool_call", 1, run, story.root, tool_call={"tool_name": "docs"}, meta={"kind": "retriever"})
    story.tool_done(run, "docs", "hot", 5, "")

    assert drawn(timeline(story.entries)) == ["prompt Soup? ok", "  retriever docs ok"]


@pytest.mark.parametrize(("kind", "response", "note"), [
    ("retriever", {"result": {"count": 0, "documents": []}}, "query: Soup? → 0 documents"),
    ("retriever", {"result": {"count": 1, "documents": [{"page_content": "Hot"}]}}, "query: Soup? → 1 document · Hot"),
    ("retriever", {"result": "of another client"}, "query: Soup? → of another client"),
    ("retriever", {}, "query: Soup?"),
    ("retriever", {"success": False, "error_message": "no index"}, "no index"),
    ("tool", {"success": False, "result": "half"}, "failed"),
])  # fmt: skip
def test_row_of_a_retriever_tells_what_it_found(kind: str, response: dict[str, Any], note: str) -> None:
    """One that finds nothing succeeds, so that only this shows why the answer is poor."""
    story = Story("s").ask("Soup?")
    run, meta = story.run(), {"kind": kind}
    called = {"tool_name": "docs", "parameters": {"query": "Soup?"}}
    story.log("tool_call", 1, run, story.root, meta=meta, tool_call=called)
    story.log("tool_response", 1, run, story.root, meta=meta, tool_response={"tool_name": "docs"} | response)
    (tool,) = timeline(story.entries).tools

    assert tool.note == note


@pytest.mark.parametrize("event_type", ["session_end", "llm_response", "tool_response", "human_oversight"])
def test_outcome_is_one_line_of_visible_characters(event_type: str) -> None:
    """A terminal that shows it obeys none of its control characters."""
    odd = "done\x1b[2J\nfor \u202egood"

    assert summary_of(event_type, meta={"status": odd, "outcome": odd}).outcome == "done␛[2J for ⟨U+202E⟩good"
