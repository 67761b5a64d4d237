"""Which response or error closes which call, and to which bar a recovery belongs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from coagent_langchain.server.presentation.bars import Bar
from coagent_langchain.server.presentation.rows import rows
from coagent_langchain.server.store.rollup import roll_up
from tests.server import sessions
from tests.server.drawing import drawn, timeline
from tests.server.story import T0, Story


def failures(entries: Iterable[dict[str, Any]]) -> list[Bar]:
    """The calls among these entries that failed, in order of start."""
    found = timeline(entries)
    failed = [bar for bar in (*found.models, *found.tools) if bar.failed]
    return sorted(failed, key=lambda bar: bar.start)


def test_calls_pair_with_responses_by_prompt_and_turn() -> None:
    """The reference's own example: two prompts, three model calls, one bar each."""
    assert drawn(timeline(sessions.recipe())) == [
        "prompt Generate three recipes using chicken and vegetables ok",
        "  model gemma3:4b ok",
        "  model gemma3:4b ok",
        "prompt Please make them vegetarian ok",
        "  model gemma3:4b ok",
        "end Session end completed",
    ]


def test_without_run_ids_tools_pair_by_turn_name_and_order() -> None:
    """Two calls of one tool in one turn: the first response closes the first call."""
    tools = timeline(sessions.plain()).tools

    assert [(bar.turn, bar.label, bar.duration) for bar in tools] == [
        (1, "search", 20), (1, "search", 40), (2, "search", 20), (2, "search", 40),
    ]  # fmt: skip


@pytest.mark.parametrize("calls", [[("search", "a"), ("search", "b")], [("search", ""), ("map", "")]])
def test_without_run_ids_tools_pair_by_the_ids_of_their_calls(calls: list[tuple[str, str]]) -> None:
    """Or by their names; the order of responses does not matter then."""
    story = Story("plain").ask("Find both")
    for name, call_id in calls:
        story.log("tool_call", 1, tool_call={"tool_name": name}, meta={"tool_call_id": call_id})
    for name, call_id in reversed(calls):
        story.wait(20)
        story.log("tool_response", 1, tool_response={"tool_name": name, "result": {"output": name + call_id}},
                  meta={"tool_call_id": call_id})  # fmt: skip

    assert [(bar.label, bar.duration, bar.note) for bar in timeline(story.entries).tools] == [
        (name, took, name + call_id) for (name, call_id), took in zip(calls, (40, 20), strict=True)
    ]


def test_nodes_of_one_name_side_by_side_pair_by_their_runs() -> None:
    """As `Send` starts them: neither order nor duration matters."""
    story = Story("s").ask("Find both")
    nodes = [story.enter("search"), story.enter("search")]
    for node in reversed(nodes):
        story.wait(20).leave(node, "search", 0)

    assert [(bar.run, bar.end) for bar in timeline(story.entries).roots[0].children] == [
        (nodes[0], T0 + 43), (nodes[1], T0 + 23),
    ]  # fmt: skip


def test_without_run_ids_an_error_closes_the_model_call_of_its_turn() -> None:
    """The call is then not open any more."""
    story = Story("plain").ask("Why?")
    story.log("llm_call", 1, prompt="Why?", meta={"model": "m"})
    story.wait(20)
    story.log("error", 1, error_info={"error_type": "TimeoutError", "error_message": "slow"})

    (model,) = timeline(story.entries).models
    assert (model.status, model.end, model.note) == ("error", T0 + 23, "TimeoutError: slow")


def test_call_keeps_the_model_that_it_names() -> None:
    """Even if its response names a version of it; a call that names none gets the response's."""
    story = Story("s").ask("Why?")
    for asked in ("gpt-5", ""):
        story.answer(story.call("Why?", model=asked), "So", 10, (1, 1), model="gpt-5-2026")

    assert [bar.label for bar in timeline(story.entries).models] == ["gpt-5", "gpt-5-2026"]


def test_error_closes_the_call_that_it_names() -> None:
    """A failed model call is one bar from call to error, and shows the reason."""
    failed = failures(sessions.failed())

    assert [(bar.kind, bar.status, bar.duration, bar.note.split(":")[0], len(bar.events)) for bar in failed] == [
        ("tool", "error", 48, "PdfReadError", 2),
        ("model", "error", 10_020, "RateLimitError", 2),
    ]


def test_tokens_and_cost_of_a_call_that_failed_are_kept() -> None:
    """Those of a stream that broke off are in its error; the recovery has none."""
    story = Story("s").ask("hello")
    run = story.call("hello")
    info = {"error_id": "e-1", "error_type": "APIError"}
    story.log("error", 1, run, error_info=info, llm_response={"input_tokens": 7, "output_tokens": 2},
              performance_metrics={"cost": 0.5})  # fmt: skip
    story.log("recovery", 1, error_info={"error_id": "e-1", "recovery_successful": True})
    (bar,) = timeline(story.entries).models

    assert (bar.status, bar.input, bar.output, bar.cost) == ("recovered", 7, 2, 0.5)


def test_error_in_a_node_does_not_end_it() -> None:
    """The node may log one and go on."""
    story = Story("s").ask("hello")
    node = story.enter("search")
    story.wait(20).log("error", 1, node, error_info={"error_type": "ValueError"})
    (bar,) = timeline(story.entries).roots[0].children

    assert (bar.kind, bar.status, bar.end, bar.last) == ("component", "error", None, T0 + 23)


def test_failed_tool_names_the_type_of_its_error() -> None:
    """The response, which follows the error, has only the message."""
    story = Story("s").ask("pay")
    run = story.tool_call("pay", {"amount": 5}, "c1")
    info = {"error_id": "e-1", "error_type": "ValueError", "error_message": "no money left"}
    story.log("error", 1, run, error_info=info)
    answer = {"tool_name": "pay", "success": False, "error_message": "no money left"}
    story.log("tool_response", 1, run, tool_response=answer)
    (bar,) = timeline(story.entries).tools

    assert bar.note == "ValueError: no money left"


def test_tool_that_failed_because_of_a_tool_inside_names_the_type_of_that_error() -> None:
    """An error is logged once, where it was raised; the responses of both tools name it, and a recovery is for both."""
    story = Story("s").ask("pay")
    outer = story.tool_call("delegate", {}, "c1")
    inner = story.tool_call("pay", {"amount": 5}, "c2", outer)
    info = {"error_id": "e-1", "error_type": "KeyError", "error_message": "'customer'"}
    story.log("error", 1, inner, error_info=info)
    for run, parent in ((inner, outer), (outer, story.root)):
        failed = {"success": False, "error_message": "'customer'"}
        story.log("tool_response", 1, run, parent, tool_response=failed, meta={"error_id": "e-1"})

    assert [bar.note for bar in timeline(story.entries).tools] == ["KeyError: 'customer'"] * 2

    story.log("recovery", 1, story.root, error_info={"error_id": "e-1", "recovery_strategy": "retry"})
    seen = timeline(story.entries)

    told = [(bar.status, bar.note) for bar in seen.tools]
    assert told == [("recovered", "KeyError: 'customer' · recovered by retry")] * 2
    assert [bar.status for bar in seen.roots] == ["ok"]


@pytest.mark.parametrize(("strategy", "words"), [
    ("retry", "recovered by retry"), ("fallback", "recovered by fallback"), ("handled", "recovered: handled"),
    (None, "recovered"),
])  # fmt: skip
def test_recovery_is_told_on_the_bar_that_failed(strategy: str | None, words: str) -> None:
    """The bar has call, error and recovery, and its note says how it recovered."""
    entries = sessions.trip()
    recovery = next(entry for entry in entries if entry["event_type"] == "recovery")
    recovery["error_info"]["recovery_strategy"] = strategy
    (bar,) = failures(entries)

    assert (bar.status, len(bar.events), bar.note.rpartition(" · ")[2]) == ("recovered", 3, words)


def test_recovery_that_failed_recovers_nothing() -> None:
    """Another client may log what it has tried."""
    story = Story("s").ask("hello")
    run = story.call("hello")
    story.log("error", 1, run, error_info={"error_id": "e-1", "error_type": "APIError"})
    story.log("recovery", 1, error_info={"error_id": "e-1", "recovery_strategy": "retry", "recovery_successful": False})

    assert [(bar.status, bar.note) for bar in failures(story.entries)] == [("error", "APIError")]


def test_recovery_of_an_error_that_is_not_there_has_a_row() -> None:
    """Whatever its run is called."""
    story = Story("s").ask("Why?")
    story.log("recovery", 1, story.run(), story.root, "agent", error_info={"error_id": "gone"})

    assert drawn(timeline(story.entries)) == ["prompt Why? ok", "  recovery Recovery ok"]


def test_recovery_that_names_no_error_has_a_row() -> None:
    """It may be of any error, also where the only one has no id either."""
    story = Story("plain").ask("Why?")
    story.log("error", error_info={"error_message": "slow"})
    story.log("recovery")

    assert drawn(timeline(story.entries)) == ["prompt Why? error", "  error Error error", "  recovery Recovery ok"]


@pytest.mark.parametrize("order", [("recovery", "tool_response"), ("tool_response", "recovery")])
def test_failure_that_was_handled_is_recovered_whatever_is_logged_first(order: tuple[str, str]) -> None:
    """A tool that responds with an error logs its recovery before its response, one that raises logs it after."""
    story = Story("s").ask("pay")
    run = story.tool_call("pay", {"amount": 5}, "c1")
    info = {"error_id": "e-1", "error_type": "ToolError", "error_message": "no money left"}
    story.log("error", 1, run, error_info=info)
    for event_type in order:
        story.log(event_type, 1, run, tool_response={"tool_name": "pay", "success": False},
                  error_info={"error_id": "e-1", "recovery_strategy": "handled"})  # fmt: skip

    assert [row[1:5] for row in rows(timeline(story.entries), T0)] == [
        ["prompt", "ok", "pay", "1 error"],
        ["tool", "recovered", "pay", "ToolError: no money left · recovered: handled"],
    ]


@pytest.mark.parametrize("cost", [-0.25, 0.5, 2e9, None])
def test_cost_of_a_prompt_is_that_of_its_session(cost: float | None) -> None:
    """Whatever a client reports, such as a credit, is added up by one rule; a row shows none for 0."""
    story = Story("s").ask("hi")
    story.model("hi", "hello", 5, (1, 1))
    story.entries[-1]["performance_metrics"] = {"cost": cost}

    assert (rows(timeline(story.entries), T0)[0][10], roll_up(story.entries)[0].cost) == (cost or 0, cost)
