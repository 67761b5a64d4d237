"""What failed, was cancelled or was stopped, as the conversation of a session tells it."""

from __future__ import annotations

import html
import json
import re

import pytest

from coagent_langchain.server.presentation.contents import of_entry
from coagent_langchain.server.presentation.values import Value
from coagent_langchain.server.running import Running
from tests.server.drawing import conversation, judged
from tests.server.pages import log, shown
from tests.server.story import Story


def test_conversation_tells_what_failed_and_why() -> None:
    """A model's error under the name of its caller or its own, a tool's below its arguments, each with its stack trace.

    Each item leads to the row of its first entry.
    """
    story = Story("s").ask("Rome?")
    run = story.tool_call("weather", {"city": "Rome"}, "c1")
    info = {"error_type": "ValueError", "error_message": "no Rome", "stack_trace": "line 1"}
    story.log("error", 1, run, error_info=info)
    for issuer in ("agent", ""):
        run = story.call("Rome?", issuer=issuer)
        story.log("error", 1, run, error_info=info | {"error_type": "TimeoutError", "error_message": "slow"})
    made = conversation(story.entries)
    told = [(item.kind, item.title, item.content.striptags(), [(part.title, part.content.striptags()) for part in
             item.parts]) for item in made[2:]]  # fmt: skip

    assert told == [
        ("tool", "weather", "", [("Arguments", "city: Rome"), ("Error", "ValueError: no Rome"),
                                 ("Stack trace", "line 1")]),
        ("error", "agent", "TimeoutError: slow", [("Stack trace", "line 1")]),
        ("error", "gemma3:4b", "TimeoutError: slow", [("Stack trace", "line 1")]),
    ]  # fmt: skip
    assert [item.seq for item in made] == [1, 1, 3, 5, 7]


@pytest.mark.parametrize(("kind", "message", "told"), [
    ("TimeoutError", "TimeoutError", "TimeoutError"), ("TimeoutError", "", "TimeoutError"), (None, "slow", "slow"),
])  # fmt: skip
def test_error_without_a_text_or_a_type_says_the_other_once(kind: str | None, message: str, told: str) -> None:
    """The handler writes the type in place of the text; in the row, in Conversation and in the prompt's details."""
    story = Story("s").ask("Rome?")
    story.log("error", 1, error_info={"error_type": kind, "error_message": message})
    (*_, failure) = conversation(story.entries)
    (cause,) = judged(story.entries, 1).causes

    assert (failure.content, cause.note) == (told if kind else f"Error: {told}", told)


def test_node_that_failed_by_itself_says_why() -> None:
    """One that failed because of a call inside it does not repeat that call's error: its details lead to the call."""
    story = Story("s").ask("Rome?")
    for name, error_id in (("load", "e-1"), ("save", "e-2")):
        info = {"error_id": error_id, "error_type": "OSError", "error_message": f"cannot {name}"}
        story.log("error", 0, story.enter(name), story.root, error_info=info)
    story.log("recovery", error_info={"error_id": "e-1", "recovery_strategy": "retry"})
    node = story.enter("agent")
    info = {"error_id": "e-3", "error_type": "TimeoutError", "error_message": "slow"}
    story.log("error", 1, story.call("Rome?", parent=node), node, error_info=info)
    story.log("component_exit", 1, node, story.root, meta={"outcome": "error"})
    tool = story.tool_call("delegate", {}, "c1")
    story.log("error", 1, story.call("Rome?", parent=tool), tool, error_info=info | {"error_message": "too slow"})
    story.tool_done(tool, "delegate", "nobody answers", 5, "c1")
    made = conversation(story.entries)
    causes = {entries: {cause.note for cause in judged(story.entries, *entries).causes}
              for entries in ((1,), (2, 3), (4, 5), (7, 10), (11, 14))}  # fmt: skip

    assert [(item.kind, item.title, item.content.striptags()) for item in made[2:]] == [
        ("error", "save", "OSError: cannot save"), ("error", "agent", "TimeoutError: slow"), ("tool", "delegate", ""),
    ]  # fmt: skip
    assert causes == {
        (1,): {"OSError: cannot save", "TimeoutError: slow", "TimeoutError: too slow"},
        (2, 3): set(), (4, 5): set(), (7, 10): {"TimeoutError: slow"}, (11, 14): set(),
    }  # fmt: skip


def test_node_that_raised_after_a_call_in_it_failed_says_why() -> None:
    """Its own error is not that of the call: the node may have done without that."""
    story = Story("s").ask("Rome?")
    node = story.enter("planner")
    for run, above, error in (
        (story.tool_call("trains", {}, "c1", node), node, "TimeoutError"), (node, story.root, "ValueError"),
    ):  # fmt: skip
        story.log("error", 1, run, above, error_info={"error_id": error, "error_type": error})
    story.log("component_exit", 1, node, story.root, meta={"outcome": "error"})
    failures = [(item.title, item.content.striptags()) for item in conversation(story.entries)[2:]]

    assert failures == [("trains", ""), ("planner", "ValueError")]
    assert [cause.note for cause in judged(story.entries, 1).causes] == ["TimeoutError", "ValueError"]


def test_parts_of_a_failed_tool_name_their_places() -> None:
    """The copy button and the one for the rest of a long text ask for them there."""
    story = Story("s").ask("Rome?")
    run = story.tool_call("weather", {"city": "x" * 3_000}, "c1")
    info = {"error_type": "ValueError", "error_message": "no Rome", "stack_trace": "line\n" * 1_000}
    story.log("error", 1, run, error_info=info)
    (*_, tool) = conversation(story.entries)

    assert [(part.title, part.kind, json.loads(part.path or "[]")) for part in tool.parts] == [
        ("Arguments", "json", ["tool_call", "parameters"]), ("Error", "text", []),
        ("Stack trace", "code", ["error_info", "stack_trace"]),
    ]  # fmt: skip
    assert [json.loads(html.unescape(path)) for part in tool.parts
            for path in re.findall('data-path="(.*?)"', part.content)] == [
        ["tool_call", "parameters", "city"], ["error_info", "stack_trace"],
    ]  # fmt: skip


def test_tool_that_failed_without_an_error_of_its_own_says_why() -> None:
    """As other clients log it: only the response has the reason."""
    story = Story("s").ask("mail")
    answer = {"tool_name": "send_mail", "success": False, "error_message": "no such address"}
    story.log("tool_response", 1, tool_response=answer)
    (*_, tool) = conversation(story.entries)

    assert [(part.title, part.content) for part in tool.parts] == [("Error", "no such address")]


def test_what_a_model_had_answered_when_it_failed_is_shown() -> None:
    """A stream that broke off: in the conversation and the details before the error."""
    story = Story("s").ask("Rome?")
    run = story.call("Rome?", issuer="agent")
    info = {"error_type": "ConnectionError", "error_message": "cut off"}
    story.log("error", 1, run, error_info=info, output_data={"partial_response": "Rome is **the"})
    made = conversation(story.entries)
    parts = of_entry(Value(story.entries[-1], "1-1"))

    assert [(item.kind, item.title, item.content.striptags()) for item in made[2:]] == [
        ("answer", "agent", "Rome is **the"), ("error", "agent", "ConnectionError: cut off"),
    ]  # fmt: skip
    assert [(part.title, part.content.striptags()) for part in parts] == [
        ("Partial answer", "Rome is **the"), ("ConnectionError", "cut off"),
    ]  # fmt: skip


def test_conversation_ends_with_how_the_session_ended() -> None:
    """Each of its ends, where it stands: a session may go on after one."""
    story = Story("s").ask("Rome?")
    story.end("", "cancelled")
    made = conversation(story.ask("And now?").end("Bye"))

    assert [(item.kind, item.title) for item in made if item.kind in ("rule", "end")] == [
        ("rule", "Prompt 1"), ("end", "Session cancelled"), ("rule", "Prompt 2"), ("end", "Session completed"),
    ]  # fmt: skip


@pytest.mark.parametrize("arrived", ["1, 2,", ""])
def test_conversation_says_that_a_call_was_cancelled(running: Running, arrived: str) -> None:
    """Above the partial response, even if there is none."""
    story = Story("s").ask("Count")
    story.model("Count", arrived, 40, (0, 0), outcome="cancelled")
    log(running, story.entries)

    assert shown(running, "/view/conversation/=s").partition("User")[2].split() == [
        "Count", "agent", "gemma3:4b", "0", "→", "0", "tokens", "40", "ms", "cancelled", "Show", "in", "the",
        "timeline", *arrived.split(),
    ]  # fmt: skip


@pytest.mark.parametrize("outcome", ["cancelled", "abandoned"])
def test_conversation_says_that_a_run_was_stopped_between_calls(outcome: str) -> None:
    """Else the question would just have no answer."""
    story = Story("s").ask("Soup?")
    story.log("info", 0, story.root, output_data={"message": f"ask was {outcome}"}, meta={"outcome": outcome})

    assert [(item.kind, item.title, item.content.striptags()) for item in conversation(story.entries)[1:]] == [
        ("user", "User", "Soup?"), ("note", "Info", f"ask was {outcome}"),
    ]  # fmt: skip
