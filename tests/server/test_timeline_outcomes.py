"""How the calls, nodes and prompts of a timeline ended. Pure functions on sessions written by hand."""

from __future__ import annotations

import pytest

from coagent_langchain.server.presentation.bars import causes
from coagent_langchain.server.presentation.rows import rows
from tests.server import sessions
from tests.server.drawing import drawn, oversight, timeline
from tests.server.story import T0, Story


@pytest.mark.parametrize(("own", "recovered", "status"), [
    (False, ["1", "2"], "recovered"), (False, ["1"], "error"), (True, ["1", "2"], "error"),
])  # fmt: skip
def test_node_that_failed_of_what_was_recovered_is_no_failure(own: bool, recovered: list[str], status: str) -> None:
    """Unless something below it was not recovered, or the node itself raised."""
    story = Story("s").ask("hello")
    node, target = story.run(), {"name": "fetch", "component_type": "node"}
    story.log("component_enter", 0, node, "graph", "fetch", target_component=target)
    for number in ("1", "2", *(["3"] if own else [])):
        run, above = (node, "graph") if number == "3" else (story.run(), node)
        if number != "3":
            story.log("tool_call", 1, run, above, "search", tool_call={"tool_name": "search"})
        info = {"error_id": number, "error_type": "ConnectionError", "error_message": "net"}
        story.log("error", 1, run, above, "search", error_info=info)
    story.log("component_exit", 0, node, "graph", "fetch", target_component=target, meta={"outcome": "error"})
    for number in recovered:
        story.log("recovery", 1, story.root, error_info={"error_id": number, "recovery_strategy": "retry"})
    (prompt,) = timeline(story.entries).roots

    assert [bar.status for bar in prompt.children[0].children][:2] == [
        "recovered" if number in recovered else "error" for number in ("1", "2")
    ]
    assert (prompt.children[0].status, prompt.status) == (status, "ok" if status == "recovered" else "error")


def test_node_that_fails_in_spite_of_a_recovery_in_it_has_failed() -> None:
    """Two branches ask the same: one's success counted as a retry of the other, which ends the node after all."""
    story = Story("s").ask("hello")
    node, target = story.run(), {"name": "vote", "component_type": "node"}
    story.log("component_enter", 0, node, story.root, "vote", target_component=target)
    failing = story.call("hello", parent=node)
    story.log("error", 1, failing, node, error_info={"error_id": "e-1", "error_type": "ConnectionError"})
    story.model("hello", "hi", 5, (1, 1), parent=node)
    story.log("recovery", 2, story.root, error_info={"error_id": "e-1", "recovery_strategy": "retry"})
    story.wait(1)
    story.log("component_exit", 0, node, story.root, "vote", target_component=target, meta={"outcome": "error"})

    assert drawn(timeline(story.entries)) == [
        "prompt hello error", "  component vote error", "    model gemma3:4b recovered", "    model gemma3:4b ok",
    ]  # fmt: skip


@pytest.mark.parametrize("in_node", [False, True])
@pytest.mark.parametrize(("second", "recovered", "failed"), [(2, True, False), (2, False, True), (0, True, True)])
def test_of_the_attempts_of_a_call_the_last_one_counts(
    in_node: bool, second: int, recovered: bool, failed: bool
) -> None:
    """If all fail and the application goes on, only the last has a recovery; what is no attempt counts by itself."""
    story = Story("s").ask("hello")
    node, target = story.run(), {"name": "fetch", "component_type": "node"}
    if in_node:
        story.log("component_enter", 0, node, story.root, "fetch", target_component=target)
    for number, attempt in (("1", 0), ("2", second)):
        run, above = story.run(), node if in_node else story.root
        meta = {"attempt": attempt} if attempt else {}
        story.log("tool_call", 1, run, above, "search", tool_call={"tool_name": "search"}, meta=meta)
        info = {"error_id": number, "error_type": "ConnectionError", "error_message": "net"}
        story.log("error", 1, run, above, "search", error_info=info)
    if in_node:
        story.log("component_exit", 0, node, story.root, "fetch", target_component=target, meta={"outcome": "error"})
    if recovered:
        story.log("recovery", 1, story.root, error_info={"error_id": "2", "recovery_strategy": "handled"})
    (prompt,) = timeline(story.entries).roots

    told = [bar.status for bar in (prompt, *prompt.children) if bar.kind in ("prompt", "component")]
    assert told == ["error" if failed else "ok", *(["error" if failed else "recovered"] if in_node else [])]


def test_tool_that_says_that_it_failed_is_a_failure() -> None:
    """Unlike a node, it has a result of its own, whatever an agent inside it recovered from.

    Also if it was an attempt, and the one before it is in another prompt.
    """
    story = Story("s").ask("hello")
    tool = story.tool_call("agent", {}, "c1")
    story.entries[-1]["meta"]["attempt"] = 2
    info = {"error_id": "e-1", "error_type": "ConnectionError", "error_message": "net"}
    story.log("error", 2, story.call("hello", parent=tool), tool, error_info=info)
    story.log("recovery", 2, story.root, error_info={"error_id": "e-1"})
    story.log("tool_response", 1, tool, story.root, tool_response={"tool_name": "agent", "success": False})

    assert drawn(timeline(story.entries)) == [
        "prompt hello error", "  tool agent error", "    model gemma3:4b recovered",
    ]  # fmt: skip


def test_node_that_failed_without_an_error_is_a_failure() -> None:
    """A client that logs by hand may say so in the exit alone: nothing has recovered it."""
    story = Story("s").ask("hello")
    node = story.enter("fetch")
    story.tool("search", {}, "found", 5, "c1", node)
    story.log("component_exit", 0, node, meta={"outcome": "error"})

    assert drawn(timeline(story.entries)) == ["prompt hello error", "  component fetch error", "    tool search ok"]


def test_causes_of_a_failure_are_what_failed_by_itself() -> None:
    """The latest five in the order in which they ended; not the nodes that failed because of them."""
    story = Story("s").ask("hello")
    node = story.enter("fetch")
    runs = [story.tool_call("search", {}, f"c{number}", node) for number in range(6)]
    for number in (1, 0, 2, 3, 4, 5):
        info = {"error_type": "OSError", "error_message": str(number)}
        story.wait(5).log("error", 1, runs[number], node, error_info=info)
    story.log("component_exit", 0, node, story.root, meta={"outcome": "error"})
    (prompt,) = timeline(story.entries).roots

    assert [bar.note for bar in causes(prompt)] == [f"OSError: {number}" for number in (0, 2, 3, 4, 5)]


@pytest.mark.parametrize(("first", "second", "status", "words"), [
    ("ok", "cancelled", "cancelled", "cancelled · 2 turns"), ("ok", "abandoned", "abandoned", "abandoned · 2 turns"),
    ("interrupted", "waiting", "waiting", "waiting for an answer · 2 turns"), ("cancelled", "ok", "ok", "2 turns"),
])  # fmt: skip
def test_prompt_says_when_it_was_stopped_or_waits(first: str, second: str, status: str, words: str) -> None:
    """The last to end decides; what was cancelled before that does not count."""
    story = Story("s").ask("hello")
    for outcome in (first, second):
        story.model("hello", "", 40, (0, 0), outcome=outcome)
    if status == "waiting":
        oversight(story, "interrupted", "int-1", "Go on?")
    prompt, *_ = rows(timeline(story.entries), T0)

    assert (prompt[2], prompt[4]) == (status, words)


def test_prompt_whose_node_was_cancelled_is_cancelled() -> None:
    """Also if the node calls neither models nor tools, and another one was complete."""
    story = Story("s").ask("hello")
    story.leave(story.enter("load"), "load", 0)
    story.log("component_exit", 0, story.enter("wait"), meta={"outcome": "cancelled"})

    assert drawn(timeline(story.entries)) == [
        "prompt hello cancelled", "  component load ok", "  component wait cancelled",
    ]  # fmt: skip


@pytest.mark.parametrize("outcome", ["cancelled", "abandoned"])
def test_prompt_whose_run_was_stopped_between_calls_was_stopped(outcome: str) -> None:
    """The run says so itself, before or after a call; another run in the prompt decides anew."""
    told = {"output_data": {"message": f"ask was {outcome}"}, "meta": {"outcome": outcome}}
    story = Story("s").ask("first")
    story.log("info", 0, story.root, **told)
    story.ask("second")
    story.model("second", "hi", 400, (1, 1))
    story.log("info", 1, story.root, **told)
    story.ask("third")
    story.log("info", 0, story.root, **told)
    story.model("third", "hi", 400, (1, 1))
    made = timeline(story.entries)

    assert [(bar.label, bar.status) for bar in made.roots] == [
        ("first", outcome), ("second", outcome), ("third", "ok"),
    ]  # fmt: skip


def test_call_that_ends_after_the_node_around_it_does_not_decide_how_the_prompt_ended() -> None:
    """A node that went on without an answer was complete: the one that was cancelled afterwards is what counts."""
    story = Story("s").ask("hello")
    node = story.enter("plan")
    run = story.call("plan", parent=node)
    story.wait(10).leave(node, "plan", 10)
    story.log("component_exit", 1, story.enter("wait"), meta={"outcome": "cancelled"})
    story.wait(400)
    story.answer(run, "late", 400, (0, 0), parent=node)

    assert drawn(timeline(story.entries))[0] == "prompt hello cancelled"


def test_outcome_that_the_application_logs_itself_is_not_the_prompts() -> None:
    """A cart may be abandoned, and an order cancelled: in a block after the run, or in a tool of it."""
    told = {"output_data": {"message": "closed"}, "meta": {"outcome": "cancelled"}}
    story = Story("s").ask("Close it")
    story.model("Close it", "Done.", 400, (1, 1))
    story.log("info", 1, **told)
    story.log("info", 1, story.run(), **told)

    assert drawn(timeline(story.entries))[0] == "prompt Close it ok"


@pytest.mark.parametrize(("calls", "words"), [(0, "cancelled"), (1, "cancelled · 1 turn")])
def test_prompt_of_a_session_that_was_cancelled_lasts_until_then(calls: int, words: str) -> None:
    """Even if no call was in progress; the prompts before it succeeded."""
    story = Story("s").ask("first").ask("second")
    for _ in range(calls):
        story.model("second", "hi", 400, (1, 1))
    story.wait(5_000).end("cancelled", "cancelled")
    first, second, *_ = [row for row in rows(timeline(story.entries), T0) if row[0] == 1]

    assert [first[2:7], second[2:7]] == [
        ["ok", "first", "", 0, 0],
        ["cancelled", "second", words, 3, 5_003 + 400 * calls],
    ]


@pytest.mark.parametrize(("status", "prompt"), [("idle", "ok"), ("completed", "ok"), ("cancelled", "error")])
def test_end_of_a_session_changes_no_prompt_that_was_not_stopped(status: str, prompt: str) -> None:
    """An end long after the last response does not change the prompt, nor does a cancellation after an error."""
    story = Story("s").ask("hello")
    story.model("hello", "hi", 400, (1, 1))
    if prompt == "error":
        story.log("error", error_info={"error_id": "e-1", "error_type": "KeyError"})
    made = timeline(story.wait(60_000).end("bye", status))

    assert (made.roots[0].status, made.roots[0].duration) == (prompt, 403)


def test_end_of_a_process_does_not_stop_the_prompt_of_another() -> None:
    """As in a rolling deployment: one process is stopped in its prompt while another works on the next one."""
    old = Story("s").ask("old")
    run = old.call("old")
    new = Story("s", T0 + 20, first=100).ask("new")
    going = new.call("new")
    old.wait(60).answer(run, "1", 60, (1, 1), outcome="unknown")
    old.end("cancelled", "cancelled")
    new.wait(200).answer(going, "2", 200, (1, 1))
    story = sorted([*old.entries, *new.entries], key=lambda entry: entry["timestamp"])

    assert drawn(timeline(story)) == [
        "prompt old unknown", "  model gemma3:4b unknown",
        "prompt new ok", "  model gemma3:4b ok", "end Session end cancelled",
    ]  # fmt: skip


def test_call_without_response_is_open() -> None:
    """A running session has no end yet, and neither has its prompt."""
    prompt = timeline(sessions.running()).roots[0]

    assert [(bar.status, bar.duration) for bar in (prompt, *prompt.children)] == [("open", None), ("open", None)]


def test_turn_with_an_open_call_is_open() -> None:
    """While its last call has no end, neither has the turn."""
    story = Story("s").ask("Where?")
    story.model("Where?", "", 10, (1, 1))
    run = story.tool_call("map", {}, "1")
    (open_turn,) = timeline(story.entries).roots[0].children
    story.wait(20).tool_done(run, "map", "here", 20, "1")
    (turn,) = timeline(story.entries).roots[0].children

    assert [(bar.kind, bar.status, bar.duration) for bar in (open_turn, turn)] == [
        ("turn", "open", None), ("turn", "ok", 30),
    ]  # fmt: skip
