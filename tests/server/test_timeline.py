"""Entries become bars: pairing, tree, totals. Pure functions on sessions written by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import orjson
import pytest

from coagent_langchain.server.presentation import transcript
from coagent_langchain.server.presentation.bars import Bar
from coagent_langchain.server.presentation.blocks import media
from coagent_langchain.server.presentation.charts import overview, token_bars, used
from coagent_langchain.server.presentation.compare import sides
from coagent_langchain.server.presentation.contents import earlier, of_entry
from coagent_langchain.server.presentation.conversation import items, outline, ran
from coagent_langchain.server.presentation.details import Detail, detail
from coagent_langchain.server.presentation.entries import asks_for
from coagent_langchain.server.presentation.formats import brief
from coagent_langchain.server.presentation.moments import shorten
from coagent_langchain.server.presentation.parts import Part
from coagent_langchain.server.presentation.rows import rows
from coagent_langchain.server.presentation.timeline import Timeline, build
from coagent_langchain.server.store import Entry
from coagent_langchain.server.store.rollup import roll_up
from tests.server import sessions
from tests.server.story import T0, Story


def timeline(entries: Iterable[dict[str, Any]]) -> Timeline:
    """The timeline of these entries."""
    return build(shorten(seq, entry) for seq, entry in enumerate(entries, 1))


def failures(entries: Iterable[dict[str, Any]]) -> list[Bar]:
    """The calls among these entries that failed, in order of start."""
    found = timeline(entries)
    failed = [bar for bar in (*found.models, *found.tools) if bar.failed]
    return sorted(failed, key=lambda bar: bar.start)


def judged(entries: list[dict[str, Any]], *places: int) -> Detail:
    """The details of the entries at these places."""
    given = [Entry(place + 1, entries[place]["timestamp"], orjson.dumps(entries[place])) for place in places]
    return detail(given, timeline(entries).bar_of(given[0].seq))


def drawn(made: Timeline) -> list[str]:
    """The tree as people would note it: indent, kind, label, status."""
    return [line for root in made.roots for line in lines(root)]


def oversight(story: Story, status: str, interrupt_id: str | None, value: Any) -> None:
    """What is asked of a human, or what the human answers."""
    given = {"interrupt_id": interrupt_id, "value": value}
    story.log("human_oversight", 0, story.root, name="ask", meta={"status": status}, input_data=given)


def lines(bar: Bar, depth: int = 0) -> list[str]:
    """A bar and what is below it."""
    own = f"{'  ' * depth}{bar.kind} {bar.label} {bar.status}"
    return [own, *(line for child in bar.children for line in lines(child, depth + 1))]


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


def test_tree_follows_parent_runs_and_turns_group_what_belongs_together() -> None:
    """Nodes hold their calls, a sub-agent stands inside the tool that called it, a retry beside its failed attempt."""
    assert drawn(timeline(sessions.trip())) == [
        "prompt Plan a three-day trip from Madrid to Barcelona in March for two people, under 600 euros ok",
        "  turn Turn 1 ok",
        "    component planner ok",
        "      model gpt-5-mini ok",
        "    component tools ok",
        "      tool flight_search ok",
        "      tool train_search recovered",
        "      tool research_agent ok",
        "        component research_agent ok",
        "          model gemma3:4b ok",
        "          tool search_index ok",
        "          model gemma3:4b ok",
        "      tool train_search ok",
        "    note Info ok",
        "  component planner ok",
        "    model gpt-5-mini ok",
        "prompt Book the train, please ok",
        "  turn Turn 1 ok",
        "    component planner ok",
        "      model gpt-5-mini ok",
        "    component approval ok",
        "      human Human ok",
        "      tool book_train ok",
        "  component planner ok",
        "    model gpt-5-mini ok",
        "end Session end completed",
    ]


def test_what_has_no_turn_does_not_part_a_turn() -> None:
    """A message between a model's call and the tools that it asked for, from a client that counts no turns for it."""
    story = Story("s").ask("Where?")
    story.model("Where?", "", 10, (1, 1))
    story.log("info", 0, story.root, output_data={"message": "asks for a tool"})
    story.tool("map", {}, "here", 5, "1")

    assert drawn(timeline(story.entries)) == [
        "prompt Where? ok", "  turn Turn 1 ok", "    model gemma3:4b ok", "    note Info ok", "    tool map ok",
    ]  # fmt: skip


def test_each_user_input_opens_a_prompt() -> None:
    """A process that goes on with a conversation counts from 1 again: its prompts stand apart, after the first end."""
    assert [(prompt.prompt, line) for prompt in timeline(sessions.restarted()).roots for line in lines(prompt)] == [
        (1, "prompt Where is my parcel? ok"), (1, "  model gemma3:4b ok"),
        (2, "prompt And when? ok"), (2, "  model gemma3:4b ok"),
        (2, "end Session end completed"),
        (1, "prompt Still not here ok"), (1, "  model gemma3:4b ok"),
        (2, "prompt Refund it ok"), (2, "  model gemma3:4b ok"),
        (2, "end Session end completed"),
    ]  # fmt: skip


@pytest.mark.parametrize("took", [0, 10])
def test_end_stands_where_it_came(took: int) -> None:
    """Also where the next prompt comes in the same millisecond, with a call that says that it began before."""
    story = Story("s").ask("first")
    story.end("1")
    story.ask("second").answer(story.call("second"), "2", took, (1, 1))

    assert drawn(timeline(story.end("2"))) == [
        "prompt first ok", "end Session end completed",
        "prompt second ok", "  model gemma3:4b ok", "end Session end completed",
    ]  # fmt: skip


@pytest.mark.parametrize("at", [0, 5_000], ids=["before", "after"])
def test_start_of_a_session_tells_nothing_of_how_long_a_prompt_took(at: int) -> None:
    """A process that joins a conversation logs one; it may lie long before the question, and long after."""
    asked = {
        "event_type": "user_input",
        "prompt_number": 1,
        "turn_number": 0,
        "timestamp": T0 + 2_000,
        "prompt": "Why?",
    }
    called = {"event_type": "llm_call", "prompt_number": 1, "turn_number": 1, "timestamp": T0 + 2_000}
    answered = {"event_type": "llm_response", "prompt_number": 1, "turn_number": 1, "timestamp": T0 + 2_100}
    start = {"event_type": "session_start", "prompt_number": 1, "turn_number": 0, "timestamp": T0 + at}

    (prompt,) = timeline(sorted([start, asked, called, answered], key=lambda entry: int(entry["timestamp"]))).roots

    assert (prompt.start, prompt.duration) == (T0 + 2_000, 100)


def test_content_that_a_handler_left_out_is_named() -> None:
    """An empty line would look like lost data."""
    entries = [
        {"event_type": kind, "prompt_number": 1, "turn_number": turn, "timestamp": T0, "meta": {"content": content}}
        for kind, turn, content in [("user_input", 0, "not captured"), ("llm_call", 1, "not captured"),
                                    ("llm_response", 1, "redact failed")]
    ]  # fmt: skip

    (prompt,) = timeline(entries).roots

    assert (prompt.label, [bar.note for bar in prompt.children]) == (
        "content not captured", ["content left out: redact failed"],
    )  # fmt: skip


def test_prompts_of_one_number_at_the_same_time_keep_their_own_calls() -> None:
    """Two workers serve one conversation: what happens goes to the question of its own root run, not to the latest."""
    one, two = Story("s", T0).ask("first"), Story("s", T0 + 1, first=100).ask("second")
    one.model("to the first", "1", 400, (1, 1))
    two.model("to the second", "2", 100, (1, 1))
    made = timeline(sorted(one.entries + two.entries, key=lambda entry: entry["timestamp"]))

    assert [(root.label, [bar.note for bar in root.children], len(root.events)) for root in made.roots] == [
        ("first", ["1"], 2),
        ("second", ["2"], 2),
    ]


def test_calls_of_a_run_that_asked_nothing_go_to_the_question_before_them() -> None:
    """Prompts that name no run, as `session.prompt("…")` logs them: time tells which of one number is meant."""
    story = Story("s")
    for question in ("first", "second"):
        story.wait(10).log("user_input", prompt=question)
        story.root = story.run()
        story.wait(10).model(question, f"to the {question}", 5, (1, 1))

    assert [(root.label, [bar.note for bar in root.children]) for root in timeline(story.entries).roots] == [
        ("first", ["to the first"]),
        ("second", ["to the second"]),
    ]


def test_prompt_that_no_entry_opened_is_called_by_what_a_model_was_sent() -> None:
    """As in the reference's own example: a client that logs by hand begins its second prompt with a model call."""
    story = Story("s").ask("Generate recipes")
    story.model("Create three recipes", "Soup", 5, (1, 1))
    story.prompt = 2
    story.log("llm_call", 1, prompt="Convert these recipes")
    story.log("llm_response", 1, llm_response={"response": "Tofu soup"})

    assert [(root.label, [bar.note for bar in root.children]) for root in timeline(story.entries).roots] == [
        ("Generate recipes", ["Soup"]),
        ("Convert these recipes", ["Tofu soup"]),
    ]


def test_answers_without_calls_and_names_are_called_by_their_kind() -> None:
    """A client that logs answers alone need not name a model; the tree, the tables and the chart all show something."""
    story = Story("s").ask("why?")
    story.log("llm_response", 1, llm_response={"response": "so"})
    story.log("tool_response", 1, tool_response={"result": {"output": 1}})

    assert drawn(timeline(story.entries)) == [
        "prompt why? ok",
        "  turn Turn 1 ok",
        "    model model ok",
        "    tool tool ok",
    ]


def test_number_below_zero_is_unknown() -> None:
    """As in the list's sums: a client that subtracts the wrong way round makes no chart point downwards."""
    story = Story("s").ask("why?")
    story.log("llm_response", 1, llm_response={"input_tokens": -5, "output_tokens": 2, "execution_time_ms": -3})
    story.log("session_end", meta={"elapsed_time_ms": -9})
    made = timeline(story.entries)
    (model,) = made.models

    assert (model.input, model.output, model.tokens, model.took, made.roots[-1].took) == (None, 2, 2, None, None)


def test_several_runs_inside_one_prompt_stay_there() -> None:
    """One `user_input`, two root runs: one prompt."""
    story = Story("s").ask("both")
    story.model("both", "1", 5, (1, 1))
    story.root = story.run()
    story.model("both", "2", 5, (1, 1))

    assert [[bar.note for bar in root.children] for root in timeline(story.entries).roots] == [["1", "2"]]


def test_call_whose_parent_is_not_logged_stands_in_its_node() -> None:
    """Found by LangGraph's checkpoint namespace, which both name."""
    story = Story("s").ask("Why?")
    meta = {"framework": {"checkpoint_ns": "planner:1"}}
    node = story.run()
    story.log("component_enter", 0, node, story.root, target_component={"name": "planner"}, meta=meta)
    story.log("tool_call", 0, story.run(), "not logged", tool_call={"tool_name": "map"}, meta=meta)

    assert drawn(timeline(story.entries)) == ["prompt Why? open", "  component planner open", "    tool map open"]


def test_attempts_of_a_node_stand_beside_each_other() -> None:
    """LangGraph's RetryPolicy: each attempt has the same parent run and the same checkpoint namespace; all count."""
    story = Story("s").ask("hello")
    place = {"framework": {"node": "fetch", "checkpoint_ns": "fetch:1"}}
    target = {"name": "fetch", "component_type": "node"}
    for attempt in ("1", "2", "3"):
        run = story.run()
        story.log("component_enter", 0, run, "graph", "fetch", target_component=target, meta=place)
        if attempt != "3":
            info = {"error_id": attempt, "error_type": "ConnectionError", "error_message": "net"}
            story.log("error", 0, run, "graph", "fetch", error_info=info, meta=place)
        story.log("component_exit", 0, run, "graph", "fetch", target_component=target, meta=place)
    for attempt in ("1", "2"):
        story.log("recovery", 0, story.root, error_info={"error_id": attempt, "recovery_strategy": "retry"})
    made = timeline(story.entries)

    assert drawn(made) == [
        "prompt hello ok", "  component fetch recovered", "  component fetch recovered", "  component fetch ok",
    ]  # fmt: skip
    assert rows(made, T0)[0][4] == "2 errors"


@pytest.mark.parametrize(("own", "recovered", "status"), [
    (False, ["1", "2"], "recovered"), (False, ["1"], "error"), (True, ["1", "2"], "error"),
])  # fmt: skip
def test_node_that_failed_of_what_was_recovered_is_no_failure(own: bool, recovered: list[str], status: str) -> None:
    """Unless something below it was not recovered, or the node raised something itself."""
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


def test_question_that_was_answered_elsewhere_is_not_unanswered() -> None:
    """The process that asked goes on and does not know the answer."""
    story = Story("s").ask("book")
    oversight(story, "interrupted", "int-1", "Book it?")
    oversight(story, "resumed", None, "yes")
    oversight(story, "unanswered", "int-1", None)

    assert [(bar.status, bar.note) for bar in timeline(story.entries).roots[0].children] == [("ok", "Book it? → yes")]


def test_prompt_that_another_process_continues_has_the_turns_of_both() -> None:
    """It may count them from 1, as where its handler does not ask the server; a tool that it runs again is none."""
    story = Story("s").ask("hello")
    story.model("a", "1", 5, (1, 1))
    story.tool_call("book", {}, "c1", story.root)
    oversight(story, "interrupted", "int-1", "Book it?")
    story.root, story.turn = story.run(), 0
    oversight(story, "resumed", None, "yes")
    story.tool_call("book", {}, "c1", story.root)
    story.model("b", "2", 5, (1, 1))
    prompt, *_ = rows(timeline(story.entries), T0)

    assert prompt[4] == "2 turns"


def test_turns_and_errors_of_a_prompt_are_those_of_all_that_is_below_it() -> None:
    """Also a sub-agent's turns; and an error counts once, as `errors` of the session does, whatever it ended."""
    story = Story("s").ask("hello")
    node = story.enter("tools")
    tool = story.tool_call("agent", {}, "c1", node)
    story.model("a", "1", 5, (1, 1), parent=tool)
    run = story.call("b", parent=tool)
    info = {"error_id": "e-1", "error_type": "RateLimitError", "error_message": "later"}
    story.log("error", 2, run, tool, error_info=info)
    story.log("tool_response", 0, tool, node, tool_response={"tool_name": "agent", "success": False})
    story.log("component_exit", 0, node, story.root, meta={"outcome": "error"})
    prompt, *_ = rows(timeline(story.entries), T0)

    assert prompt[4] == "2 turns · 1 error"


@pytest.mark.parametrize("answer", ["int-1", None])
def test_answer_closes_the_question_also_when_it_does_not_name_it(answer: str | None) -> None:
    """A process that resumes what another one asked does not know the interrupt's id; nothing stays open for it."""
    story = Story("s").ask("book").wait(5)
    oversight(story, "interrupted", "int-1", "Book it?")
    oversight(story.wait(60), "resumed", answer, "yes")

    assert [(line, bar.duration) for bar in timeline(story.entries).roots[0].children for line in lines(bar)] == [
        ("human Human ok", 60)
    ]


@pytest.mark.parametrize(("asked", "answered", "note"), [
    ("Book it?", "yes", "Book it? → yes"),
    ({"question": "Book it?", "price": 12}, {"ok": True}, 'Book it? → {"ok":true}'),
    ("word " * 40, "yes", "word " * 11 + "word… → yes"),
    ({"action_requests": [{"name": "weather", "args": {"city": "Rome"}}, {"name": "pay", "args": {}}]},
     {"decisions": [{"type": "approve"}, {"type": "reject", "message": "no way"}]},
     "weather(city: Rome), pay() → approve, reject: no way"),
])  # fmt: skip
def test_row_of_a_human_says_what_was_asked_and_answered(asked: Any, answered: Any, note: str) -> None:
    """In few words, also those of LangChain's middleware for approvals."""
    story = Story("s").ask("book")
    oversight(story, "interrupted", "int-1", asked)
    oversight(story, "resumed", "int-1", answered)

    assert rows(timeline(story.entries), T0)[1][1:5] == ["human", "ok", "Human", note]


@pytest.mark.parametrize(("answered", "status", "titles"), [
    (None, "waiting", ["Asked"]), ("resumed", "ok", ["Asked", "Answered"]),
    ("unanswered", "unanswered", ["Asked", "Not answered"]),
])  # fmt: skip
def test_details_of_a_human_step_tell_question_and_answer_apart(
    answered: str | None, status: str, titles: list[str]
) -> None:
    """Each under its own title; the step is done once it is answered."""
    story = Story("s").ask("book")
    oversight(story, "interrupted", "int-1", "Book it?")
    if answered:
        oversight(story, answered, "int-1", "yes")
    made = judged(story.entries, *range(2, len(story.entries)))

    assert (made.status, [part.title for one in made.entries for part in one.parts]) == (status, titles)


def test_answer_that_names_no_question_answers_all_that_are_open() -> None:
    """Two questions, one of them answered by name; the answer after that is for the other, the next for none."""
    story = Story("s").ask("book")
    for name in ("int-1", "int-2"):
        oversight(story.wait(10), "interrupted", name, f"{name}?")
    for name in ("int-2", None, None):
        oversight(story.wait(100), "resumed", name, "yes")

    assert [(bar.status, bar.duration) for bar in timeline(story.entries).roots[0].children] == [
        ("ok", 210), ("ok", 100), ("ok", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(("status", "shown"), [
    ("completed", ["ok", "unanswered", "unanswered"]), ("interrupted", ["ok", "unanswered", "waiting"]),
])  # fmt: skip
def test_question_that_nobody_answers_does_not_wait_for_ever(status: str, shown: list[str]) -> None:
    """An event says so, or the session's end does, unless it ends with the question."""
    story = Story("s").ask("book")
    for name in ("int-1", "int-2", "int-3"):
        oversight(story, "interrupted", name, f"{name}?")
    oversight(story, "resumed", "int-1", "yes")
    oversight(story, "unanswered", "int-2", None)
    story.end("bye", status=status)

    assert [bar.status for bar in timeline(story.entries).roots[0].children] == shown


def test_answer_to_a_question_that_is_not_open_leaves_the_others_open() -> None:
    """One that was answered before, and one that nobody asked: each stands for itself."""
    story = Story("s").ask("book")
    for name in ("int-1", "int-2"):
        oversight(story, "interrupted", name, f"{name}?")
    for name in ("int-1", "int-1", "int-of-another"):
        oversight(story, "resumed", name, "yes")

    assert [(bar.status, bar.note) for bar in timeline(story.entries).roots[0].children] == [
        ("ok", "int-1? → yes"), ("waiting", "int-2?"), ("ok", "yes"), ("ok", "yes"),
    ]  # fmt: skip


def test_run_that_answers_goes_on_with_the_prompt_that_asked() -> None:
    """The other process counts from 1 again; its number is that of an earlier question."""
    story = Story("s").ask("hello").ask("book")
    oversight(story.wait(5), "interrupted", "int-1", "Book it?")
    story.prompt, story.root = 1, story.run()
    oversight(story.wait(60), "resumed", None, "yes")
    story.model("book", "Booked.", 20, (1, 1))

    assert drawn(timeline(story.entries)) == [
        "prompt hello ok", "prompt book ok", "  human Human ok", "  model gemma3:4b ok",
    ]  # fmt: skip


def test_without_run_ids_tools_pair_by_turn_name_and_order() -> None:
    """Two calls of one tool in one turn: the first response closes the first call."""
    tools = timeline(sessions.plain()).tools

    assert [(bar.turn, bar.label, bar.duration) for bar in tools] == [
        (1, "search", 20), (1, "search", 40), (2, "search", 20), (2, "search", 40),
    ]  # fmt: skip


def test_without_run_ids_tools_pair_by_the_ids_of_their_calls() -> None:
    """Which response comes first does not matter where each names its call."""
    story = Story("plain").ask("Find both")
    for call_id in ("a", "b"):
        story.log("tool_call", 1, tool_call={"tool_name": "search"}, meta={"tool_call_id": call_id})
    for call_id in ("b", "a"):
        story.wait(20)
        story.log("tool_response", 1, tool_response={"tool_name": "search", "result": {"output": call_id}},
                  meta={"tool_call_id": call_id})  # fmt: skip

    assert [(bar.label, bar.duration, bar.note) for bar in timeline(story.entries).tools] == [
        ("search", 40, "a"), ("search", 20, "b"),
    ]  # fmt: skip


@pytest.mark.parametrize(("times", "paired"), [
    ([(30, 20), (50, 50)], [("a", 50, "1"), ("b", 20, "0")]),  # the second call, which began at 10, ended first
    ([(30, 27), (50, 45)], [("a", 30, "0"), ("b", 40, "1")]),  # the first began at 3 and the second at 5: no call fits
    ([(30, 0), (50, 0)], [("a", 30, "0"), ("b", 40, "1")]),  # a client that measures nothing
])  # fmt: skip
def test_without_ids_tools_side_by_side_pair_by_their_times(
    times: list[tuple[int, int]], paired: list[tuple[str, int, str]]
) -> None:
    """The response that came first closes the call that began when it must have; the first call, if none fits."""
    story = Story("plain").ask("Find both")
    began = story.now
    for place, name in enumerate("ab"):
        story.now = began + 10 * place
        story.log("tool_call", 1, tool_call={"tool_name": "search", "parameters": {"topic": name}})
    for place, (at, took) in enumerate(times):
        story.now = began + at
        answer = {"tool_name": "search", "result": {"output": str(place)}, "execution_time_ms": took}
        story.log("tool_response", 1, tool_response=answer)
    answers = {seq: entry["tool_response"]["result"]["output"] for seq, entry in enumerate(story.entries, 1)
               if entry["event_type"] == "tool_response"}  # fmt: skip

    assert [(bar.note[-1], bar.events[1][0] - bar.events[0][0], answers[bar.events[1][1]])
            for bar in timeline(story.entries).tools] == paired  # fmt: skip


def test_without_run_ids_an_error_closes_the_model_call_of_its_turn() -> None:
    """Which is then no call that nobody has answered."""
    story = Story("plain").ask("Why?")
    story.log("llm_call", 1, prompt="Why?", meta={"model": "m"})
    story.wait(20)
    story.log("error", 1, error_info={"error_type": "TimeoutError", "error_message": "slow"})

    (model,) = timeline(story.entries).models
    assert (model.status, model.end, model.note) == ("error", T0 + 23, "TimeoutError: slow")


def test_call_keeps_the_model_that_it_names() -> None:
    """Where its response names a version of it; else it has the response's."""
    story = Story("s").ask("Why?")
    for asked in ("gpt-5", ""):
        story.answer(story.call("Why?", model=asked), "So", 10, (1, 1), model="gpt-5-2026")

    assert [bar.label for bar in timeline(story.entries).models] == ["gpt-5", "gpt-5-2026"]


def test_error_closes_the_call_that_it_names() -> None:
    """A failed model call is one bar from call to error, and says why."""
    failed = failures(sessions.failed())

    assert [(bar.kind, bar.status, bar.duration, bar.note.split(":")[0], len(bar.events)) for bar in failed] == [
        ("tool", "error", 48, "PdfReadError", 2),
        ("model", "error", 10_020, "RateLimitError", 2),
    ]


def test_failed_tool_names_the_type_of_its_error() -> None:
    """The response, which comes after the error, has the message alone."""
    story = Story("s").ask("pay")
    run = story.tool_call("pay", {"amount": 5}, "c1")
    info = {"error_id": "e-1", "error_type": "ValueError", "error_message": "no money left"}
    story.log("error", 1, run, error_info=info)
    answer = {"tool_name": "pay", "success": False, "error_message": "no money left"}
    story.log("tool_response", 1, run, tool_response=answer)
    (bar,) = timeline(story.entries).tools

    assert bar.note == "ValueError: no money left"


@pytest.mark.parametrize(("said", "calls", "note"), [
    ("I will look.", ["weather", "trains"], "→ weather, trains · I will look."), ("", ["weather"], "→ weather"),
    ("Sunny.", [], "Sunny."),
])  # fmt: skip
def test_model_row_says_what_it_asks_for_and_what_it_says(said: str, calls: list[str], note: str) -> None:
    """The tools first: a long text is cut at its end."""
    story = Story("s").ask("hello")
    story.model("hello", said, 5, (1, 1), calls=[{"name": name, "args": {}} for name in calls])
    (bar,) = timeline(story.entries).models

    assert bar.note == note


@pytest.mark.parametrize(("strategy", "words"), [
    ("retry", "recovered by retry"), ("fallback", "recovered by fallback"), ("handled", "recovered: handled"),
    (None, "recovered"),
])  # fmt: skip
def test_recovery_is_told_on_the_bar_that_failed(strategy: str | None, words: str) -> None:
    """The bar has call, error and recovery, and its note says how it was recovered."""
    entries = sessions.trip()
    recovery = next(entry for entry in entries if entry["event_type"] == "recovery")
    recovery["error_info"]["recovery_strategy"] = strategy
    (bar,) = failures(entries)

    assert (bar.status, len(bar.events), bar.note.rpartition(" · ")[2]) == ("recovered", 3, words)


def test_recovery_of_an_error_that_is_not_there_has_a_row() -> None:
    """Whatever its run is called."""
    story = Story("s").ask("Why?")
    story.log("recovery", 1, story.run(), story.root, "agent", error_info={"error_id": "gone"})

    assert drawn(timeline(story.entries)) == ["prompt Why? ok", "  recovery Recovery ok"]


@pytest.mark.parametrize(("kind", "fields", "note", "status"), [
    ("consensus_success", {"consensus_info": {"votes": 3, "decision": "Rome"}}, "votes: 3, decision: Rome", "ok"),
    ("consensus_failure", {"consensus_info": {"votes": {"Rome": 1}}}, 'votes: {"Rome":1}', "warning"),
    ("performance_degradation", {"performance_metrics": {"cost": 2}, "target_component": {"name": "planner"}},
     "planner · cost: 2", "warning"),
    ("test_result", {"test_result": {"status": "passed", "passed_tests": 2}}, "status: passed, passed_tests: 2", "ok"),
    ("test_result", {"test_result": {"status": "failed"}}, "status: failed", "warning"),
    ("recovery", {"error_info": {"recovery_strategy": "retry", "recovery_successful": False}}, "retry", "warning"),
])  # fmt: skip
def test_rare_events_say_what_they_hold_and_warn_of_what_went_wrong(
    kind: str, fields: dict[str, Any], note: str, status: str
) -> None:
    """No error was logged, so their prompt has not failed. The details have no status for what cannot have one."""
    story = Story("s").ask("Where to?")
    story.log(kind, **fields)
    prompt = timeline(story.entries).roots[0]
    bar, details = prompt.children[0], judged(story.entries, len(story.entries) - 1)

    assert (bar.note, bar.status, prompt.status, prompt.errors) == (note, status, "ok", 0)
    assert (details.icon == "warning", details.status) == (status == "warning", "")


@pytest.mark.parametrize("order", [("recovery", "tool_response"), ("tool_response", "recovery")])
def test_failure_that_was_handled_is_recovered_whatever_is_logged_first(order: tuple[str, str]) -> None:
    """A tool that answers with an error has its recovery before its response, one that raises after it."""
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


@pytest.mark.parametrize(("result", "note"), [
    ([{"type": "text", "text": "sunny"}, {"type": "text", "text": "warm"}], "sunny · warm"),
    ([{"text": "sunny"}], '[{"text":"sunny"}]'), ([{"type": "text", "text": "sunny"}, 1], None), ([], "[]"),
])  # fmt: skip
def test_row_of_a_tool_has_the_texts_of_content_blocks_alone(result: Any, note: str | None) -> None:
    """A list of anything else stands there as it is."""
    story = Story("s").ask("Rome?")
    story.tool("weather", {}, result, 5, "c1")
    (tool,) = timeline(story.entries).tools

    assert tool.note == (note or brief(result))


def test_call_that_was_not_run_is_no_error() -> None:
    """Neither in its row, which says why, nor in its prompt's, nor in the table of tools, nor in the session's sum."""
    story = Story("s").ask("mail")
    run = story.tool_call("send_mail", {"to": "ada"}, "c1")
    answer = {"tool_name": "send_mail", "result": {"output": "no"}, "success": False, "error_message": "no, thanks"}
    story.log("tool_response", 0, run, tool_response=answer, meta={"outcome": "not run"})
    made = timeline(story.entries)

    assert [[*row[1:5], row[11], row[14]] for row in rows(made, T0)] == [
        ["prompt", "ok", "mail", "", 0, ""], ["tool", "not run", "send_mail", "no, thanks", 0, "not run"],
    ]  # fmt: skip
    assert [(row.name, row.calls, row.errors) for row in used(made.tools)] == [("send_mail", 1, 0)]
    assert [rolled.errors for rolled in roll_up(story.entries)] == [0]


def test_call_that_a_node_answered_says_so() -> None:
    """It went well, though no tool has run."""
    story = Story("s").ask("Rome?")
    run = story.tool_call("weather", {"city": "Rome"}, "c1")
    answer = {"tool_name": "weather", "result": {"output": "sunny"}, "success": True}
    story.log("tool_response", 0, run, tool_response=answer, meta={"outcome": "answered by node"})

    assert [[*row[1:5], row[14]] for row in rows(timeline(story.entries), T0)] == [
        ["prompt", "ok", "Rome?", "", ""], ["tool", "answered by node", "weather", "city: Rome", "answered by node"],
    ]  # fmt: skip


def test_median_and_longest_leave_out_what_was_answered_in_place_of_the_call() -> None:
    """How long the tool or the model takes tells only what it answered itself."""
    story = Story("s").ask("mail")
    for took, outcome in ((900, ""), (0, "not run"), (1000, "answered by node")):
        run = story.tool_call("send_mail", {}, f"c{took}")
        answer = {"tool_name": "send_mail", "success": True, "execution_time_ms": took}
        story.wait(took).log("tool_response", 0, run, tool_response=answer, meta={"outcome": outcome})
    for took, reused in ((500, False), (1, True)):
        story.model("a", "1", took, (10, 2), cached=reused)
        story.entries[-1]["meta"]["cached"] = reused
    made = timeline(story.entries)

    assert [(row.name, row.calls, row.median_ms, row.longest) for row in used(made.tools)] == [
        ("send_mail", 3, 900, made.tools[0]),
    ]  # fmt: skip
    assert [(row.name, row.calls, row.median_ms, row.longest) for row in used(made.models)] == [
        ("gemma3:4b", 2, 500, made.models[0]),
    ]  # fmt: skip


def test_empty_prompt_has_no_answer_for_a_title() -> None:
    """What the model said to it would read as if the user had said it."""
    story = Story("s").ask("")
    story.model("", "How can I help?", 5, (1, 1))

    assert [row[1:5] for row in rows(timeline(story.entries), T0)] == [
        ["prompt", "ok", "Prompt 1", "1 turn"], ["model", "ok", "gemma3:4b", "How can I help?"],
    ]  # fmt: skip


def test_answer_from_a_cache_says_so() -> None:
    """Its row would be a call of a millisecond that took no tokens. The prompt went well."""
    story = Story("s").ask("hello")
    story.model("hello", "hi", 1, (10, 2))
    story.entries[-1]["meta"]["cached"] = True

    assert [[*row[1:5], row[14]] for row in rows(timeline(story.entries), T0)] == [
        ["prompt", "ok", "hello", "1 turn", ""],
        ["model", "from cache", "gemma3:4b", "hi", "from cache · Turn 1 · agent"],
    ]


def test_row_of_an_error_names_its_type_once() -> None:
    """The label is the type; a call that failed has its own label, and the type in the note."""
    story = Story("s").ask("hello")
    info = {"error_id": "e-1", "error_type": "ConnectionError", "error_message": "attempt 1 refused"}
    story.log("error", error_info=info)
    story.log("error", 1, story.call("hello"), error_info=info)
    told = [(row[3], row[4]) for row in rows(timeline(story.entries), T0)[1:]]

    assert told == [("ConnectionError", "attempt 1 refused"),
                    ("gemma3:4b", "ConnectionError: attempt 1 refused")]  # fmt: skip


def test_row_tells_turn_and_caller_before_its_note() -> None:
    """Apart from it: the note is what was logged, and runs in its own direction."""
    story = Story("s").ask("hello")
    story.model("hello", "مرحبا", 5, (1, 1), issuer="planner")
    _, row = rows(timeline(story.entries), T0)

    assert (row[14], row[4]) == ("Turn 1 · planner", "مرحبا")


def test_call_tells_its_turn_where_no_row_above_does() -> None:
    """In parallel branches, which began in the turn before, and after the first call of a node or a sub-agent."""
    story = Story("s").ask("Rome?")
    story.model("Rewrite", "Rome", 5, (1, 1))
    for name in ("wiki", "tickets"):
        node = story.enter(name)
        story.tool(f"search_{name}", {}, "found", 5, f"c-{name}", parent=node, turn=1)
        story.model("Relevant?", "yes", 5, (1, 1), parent=node, issuer=name)
        story.leave(node, name, 10)
    node = story.enter("answer")
    for words in ("Sunny", "Warm"):
        story.model("Say it", words, 5, (1, 1), parent=node, issuer="answer")
    story.leave(node, "answer", 10)
    told = [(row[0], row[3], row[14]) for row in rows(timeline(story.entries), T0)]

    assert told == [
        (1, "Rome?", ""), (2, "Turn 1", ""), (3, "gemma3:4b", "agent"),
        (3, "wiki", ""), (4, "search_wiki", ""), (4, "gemma3:4b", "Turn 2"),
        (3, "tickets", ""), (4, "search_tickets", ""), (4, "gemma3:4b", "Turn 3"),
        (2, "answer", "Turn 4"), (3, "gemma3:4b", ""), (3, "gemma3:4b", "Turn 5"),
    ]  # fmt: skip


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_end_says_how_the_session_ended_and_how_long_it_took(status: str) -> None:
    """Status and time as `session_end` names them, in the row and in the details."""
    story = Story("s").ask("hello")
    story.model("hello", "hi", 400, (1, 1))
    story.wait(90_000).end("bye", status)
    *_, row = rows(timeline(story.entries), T0)

    assert [*row[1:7], row[14]] == ["end", status, "Session end", "bye", 90_403, 90_403, status]
    assert judged(story.entries, len(story.entries) - 1).status == status


def test_details_of_one_entry_tell_how_its_bar_went() -> None:
    """The Events tab shows entries one by one: a call has ended though its own entry does not say so."""
    story = Story("s").ask("hello")
    failing = story.call("hello")
    story.log("error", 1, failing, error_info={"error_id": "e-1", "error_type": "Timeout"})
    story.tool("track", {}, "here", 5, "c1")
    story.leave(story.enter("plan"), "plan", 5)
    oversight(story, "interrupted", "int-1", "Book it?")
    oversight(story, "resumed", "int-1", "yes")
    story.log("warning", output_data={"message": "slow"})
    story.tool_call("track", {}, "c2")
    told = [judged(story.entries, place).status for place in range(len(story.entries))]

    assert told == ["open"] * 2 + ["error"] * 2 + ["ok"] * 6 + ["", "open"]


def test_details_of_a_call_tell_how_long_it_took_as_its_row_does() -> None:
    """Where no entry of it names a time, from its first to its last; where one does, that one is told."""
    story = Story("s").ask("hello")
    run = story.tool_call("track", {}, "c1")
    story.wait(640).tool_done(run, "track", "here", 500, "c1")
    timed = judged(story.entries, 2, 3).took
    del story.entries[-1]["tool_response"]["execution_time_ms"]

    assert (timed, judged(story.entries, 2, 3).took) == (None, 640)


@pytest.mark.parametrize(("first", "second", "status", "words"), [
    ("ok", "cancelled", "cancelled", "cancelled · 2 turns"), ("ok", "abandoned", "abandoned", "abandoned · 2 turns"),
    ("interrupted", "waiting", "waiting", "waits for an answer · 2 turns"), ("cancelled", "ok", "ok", "2 turns"),
])  # fmt: skip
def test_prompt_says_when_it_was_stopped_or_waits(first: str, second: str, status: str, words: str) -> None:
    """As what ended last in it; what was stopped before that did not stop the prompt."""
    story = Story("s").ask("hello")
    for outcome in (first, second):
        story.model("hello", "", 40, (0, 0), outcome=outcome)
    if status == "waiting":
        oversight(story, "interrupted", "int-1", "Go on?")
    prompt, *_ = rows(timeline(story.entries), T0)

    assert (prompt[2], prompt[4]) == (status, words)


@pytest.mark.parametrize(("calls", "words"), [(0, "cancelled"), (1, "cancelled · 1 turn")])
def test_prompt_of_a_session_that_was_cancelled_lasts_until_then(calls: int, words: str) -> None:
    """Also where no call was under way that could say so; the prompts before it ended well."""
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
    """An end long after the last answer tells nothing of the prompt, nor does a cancellation of what failed."""
    story = Story("s").ask("hello")
    story.model("hello", "hi", 400, (1, 1))
    if prompt == "error":
        story.log("error", error_info={"error_id": "e-1", "error_type": "KeyError"})
    made = timeline(story.wait(60_000).end("bye", status))

    assert (made.roots[0].status, made.roots[0].duration) == (prompt, 403)


@pytest.mark.parametrize(("status", "prompt"), [("completed", "ok"), ("cancelled", "cancelled")])
def test_end_with_a_question_says_nothing_of_a_prompt_that_the_answer_continues(status: str, prompt: str) -> None:
    """It goes as the end after it says, in a block of its own, and with a prompt that the answer has for itself."""
    story = Story("s").ask("book")
    oversight(story, "interrupted", "int-1", "Book it?")
    story.end("interrupted", "interrupted")
    story.ask("yes").root = story.run()
    oversight(story, "resumed", "int-1", "yes")
    story.end("Booked.", status)

    assert drawn(timeline(story.entries)) == [
        f"prompt book {prompt}", "  human Human ok", "end Session end interrupted",
        "prompt yes ok", f"end Session end {status}",
    ]  # fmt: skip


def test_prompt_that_was_stopped_is_not_continued_by_what_ends_later() -> None:
    """Neither by the answer to a call that was under way, nor by a question that nobody answers."""
    story = Story("s").ask("first")
    run = story.call("first")
    story.end("cancelled", "cancelled")
    story.answer(run, "1", 5, (1, 1))
    story.ask("second")
    oversight(story, "interrupted", "int-1", "Book it?")
    story.end("interrupted", "interrupted")
    oversight(story, "unanswered", "int-1", None)

    assert drawn(timeline(story.entries)) == [
        "prompt first cancelled", "  model gemma3:4b ok", "end Session end cancelled",
        "prompt second interrupted", "  human Human unanswered", "end Session end interrupted",
    ]  # fmt: skip


def test_end_of_a_process_does_not_stop_the_prompt_of_another() -> None:
    """As in a rolling deployment: one process is stopped in its prompt while another is at work in the next one."""
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


def test_end_whose_answer_is_its_status_says_it_once() -> None:
    """The handler's response of a session without an answer is the status itself."""
    *_, row = rows(timeline(Story("s").ask("hello").end("failed", "failed")), T0)

    assert row[4] == "failed"


def test_call_without_response_is_open() -> None:
    """A session that still runs has no end yet, nor has its prompt."""
    prompt = timeline(sessions.running()).roots[0]

    assert [(bar.status, bar.duration) for bar in (prompt, *prompt.children)] == [("open", None), ("open", None)]


def test_turn_with_an_open_call_is_open() -> None:
    """As long as its last call has no end, nor has the turn."""
    story = Story("s").ask("Where?")
    story.model("Where?", "", 10, (1, 1))
    run = story.tool_call("map", {}, "1")
    (open_turn,) = timeline(story.entries).roots[0].children
    story.wait(20).tool_done(run, "map", "here", 20, "1")
    (turn,) = timeline(story.entries).roots[0].children

    assert [(bar.kind, bar.status, bar.duration) for bar in (open_turn, turn)] == [
        ("turn", "open", None), ("turn", "ok", 30),
    ]  # fmt: skip


def test_response_without_call_is_as_long_as_it_says() -> None:
    """A client that logs responses alone still gets bars: they begin `execution_time_ms` earlier."""
    story = Story("s", at=10_000)
    story.log("llm_response", 1, llm_response={"response": "hi", "execution_time_ms": 400})
    (bar,) = timeline(story.entries).models

    assert (bar.start, bar.end, bar.status) == (9_600, 10_000, "ok")


def test_failed_call_is_as_long_as_its_error_says() -> None:
    """A client that logs the call and its error together says by `execution_time_ms` how long it took."""
    story = Story("s", at=10_000)
    story.log("llm_call", 1, prompt="Why?")
    story.log("error", 1, error_info={"error_message": "out of memory"}, meta={"execution_time_ms": 800})
    (bar,) = timeline(story.entries).models

    assert (bar.start, bar.end, bar.duration, bar.status) == (9_200, 10_000, 800, "error")


def test_tokens_cost_and_errors_add_up_towards_the_root() -> None:
    """A prompt's figures are the sums of what is below it, sub-agents included."""
    first, second, _ = timeline(sessions.trip()).roots

    assert [(p.input, p.output, p.cached, round(p.cost, 5), p.errors) for p in (first, second)] == [
        (7_860, 607, 2_432, 0.00237, 1),
        (9_883, 102, 9_216, 0.0012, 0),
    ]


def test_hostile_run_ids_make_no_cycle_and_lose_no_row() -> None:
    """Runs that name each other, or themselves, as parents: every bar is in the tree once."""
    story = Story("s").ask("hello")
    for run, parent in (("a", "b"), ("b", "a"), ("c", "c")):
        story.log("tool_call", 1, run, parent, tool_call={"tool_name": run, "parameters": {}})
    made = drawn(timeline(story.entries))

    assert sorted(line.split()[1] for line in made if "tool" in line) == ["a", "b", "c"]


def test_details_of_a_recovered_tool_say_each_thing_once() -> None:
    """The message stands with the error, not again with the response; so does the error's id."""
    story = Story("s").ask("pay")
    run = story.tool_call("pay", {"amount": 5}, "c1")
    info = {"error_id": "e-1", "error_type": "ValueError", "error_message": "no money left"}
    story.log("error", 1, run, error_info=info)
    story.log("tool_response", 1, run, tool_response={"tool_name": "pay", "success": False,
                                                      "error_message": "no money left"})  # fmt: skip
    story.log("recovery", 1, run, error_info={"error_id": "e-1", "recovery_strategy": "handled"})
    made = detail([Entry(n, e["timestamp"], orjson.dumps(e)) for n, e in enumerate(story.entries[2:], 1)])
    parts = [(part.title, part.content.striptags()) for one in made.entries for part in one.parts]

    assert parts == [
        ("Arguments", "amount: 5"), ("ValueError", "no money left"), ("Details", "error_id: e-1"),
        ("Recovery", "recovery_strategy: handled"),
    ]  # fmt: skip


@pytest.mark.parametrize(("started", "parts"), [("book " * 500, ["Prompt"]), ("Booking", ["Session", "Prompt"])])
def test_details_of_the_first_prompt_say_it_once(started: str, parts: list[str]) -> None:
    """They are the user's, also where the session begins with other words: a name that its block was given."""
    story = Story("s").ask("book " * 500)
    story.entries[0]["prompt"] = started
    made = detail([Entry(n, e["timestamp"], orjson.dumps(e)) for n, e in enumerate(story.entries, 1)])

    assert (made.title, [part.title for one in made.entries for part in one.parts]) == ("User input", parts)


@pytest.mark.parametrize(("places", "known", "titles"), [
    ((0, 1), {}, ["State update"]),
    ((0, 2, 1), {}, ["ValueError", "State update"]),
    ((0, 1), {"tools": ["search"]}, ["Target component", "State update"]),
    ((1,), {"description": "long " * 50}, ["Target component", "State update"]),
])  # fmt: skip
def test_details_of_a_node_tell_what_it_is_only_beyond_its_names(
    places: tuple[int, ...], known: dict[str, Any], titles: list[str]
) -> None:
    """Those are in the title and the attributes. Then its error and what it changed, also a `message`."""
    story = Story("s")
    story.leave(story.enter("plan"), "plan", 5)
    for entry in story.entries:
        entry["target_component"] |= known
    story.entries[1]["output_data"] = {"message": "planned", "steps": 2}
    story.log("error", error_info={"error_type": "ValueError", "error_message": "no"})
    made = detail([Entry(n, T0, orjson.dumps(story.entries[n])) for n in places])

    assert [part.title for one in made.entries for part in one.parts] == titles


ASKED = {"role": "user", "content_is_prompt": True}
TOOL = {"role": "tool", "content": "24 degrees", "name": "weather"}


@pytest.mark.parametrize(("history", "parts"), [
    ([TOOL], [("Tool weather", "24 degrees", False), ("To the model", "Rome?", False)]),
    ([ASKED, TOOL], [("User", "Rome?", False), ("Tool weather", "24 degrees", False)]),
    ([ASKED | {"content": ["Rome?"]}, TOOL], [("User", "0: Rome?", False), ("Tool weather", "24 degrees", False)]),
    ([ASKED, *[TOOL] * 4], [("User", "Rome?", False), ("Tool weather", "24 degrees", True),
                            *[("Tool weather", "24 degrees", False)] * 3]),
    ([ASKED, *[TOOL] * 11], [("2 earlier messages", "Show them", False), ("User", "Rome?", False),
                             *[("Tool weather", "24 degrees", True)] * 7,
                             *[("Tool weather", "24 degrees", False)] * 3]),
])  # fmt: skip
def test_prompt_stands_at_its_place_among_the_messages(history: list[Any], parts: list[tuple[str, str, bool]]) -> None:
    """As the user's, unfolded, however long the history is; where no message is marked as its own, it comes last."""
    story = Story("s")
    story.call("Rome?", history=history)
    made = detail([Entry(1, T0, orjson.dumps(story.entries[0]))])

    assert [(part.title, part.content.striptags(), part.folded) for part in made.entries[0].parts] == parts


def test_folded_message_that_asks_for_tools_names_them() -> None:
    """Its calls begin with their ids, as providers write them; a call without a name stands as it was logged."""
    calls = [[{"id": "call_1", "name": "search"}, {"id": "call_2", "name": "book"}], [{"id": 3}]]
    story = Story("s")
    asking = [{"role": "assistant", "content": "", "tool_calls": each} for each in calls]
    story.call("Rome?", history=[*asking, *[TOOL] * 3, ASKED])
    made = detail([Entry(1, T0, orjson.dumps(story.entries[0]))])

    assert [(part.title, part.brief) for part in made.entries[0].parts[:2]] == [
        ("Assistant: tool calls", "→ search, book"), ("Assistant: tool calls", '[{"id":3}]'),
    ]  # fmt: skip


@pytest.mark.parametrize(("messages", "end", "parts"), [
    (42, 2, ["Tool weather"]), (42, 1, []), (300, 260, ["60 earlier messages", *["Tool weather"] * 200]),
    (300, 60, ["Tool weather"] * 59),
])  # fmt: skip
def test_earlier_messages_come_piece_by_piece(messages: int, end: int, parts: list[str]) -> None:
    """All before the one that is named but the prompt's, which is shown from the start."""
    story = Story("s")
    story.call("Rome?", history=[ASKED, *[TOOL] * (messages - 1)])

    assert [part.title for part in earlier(story.entries[0], "1-1", end)] == parts


def test_whole_text_of_a_part_is_where_its_path_leads() -> None:
    """As the button that copies it follows the path, through texts that are JSON, too."""
    story = Story("said").ask('{"question": "Why?"}')
    story.log("llm_call", 1, llm_call={"history": {"messages": [{"role": "assistant", "tool_calls": [{"name": "x"}]}]}})
    story.log("info", output_data={"message": "hello"})
    story.log("component_exit", output_data={"messages": [{"content": "I"}, {"content": "say"}], "more": 1})
    story.log("routing", routing_type="invoke", input_data={"to": "b"})
    oversight(story, "interrupted", "i", {"question": "May I?"})
    entries = [*sessions.trip(), *sessions.recipe(), *sessions.failed(), *story.end("Because")]
    found = [(entry, part) for entry in entries for part in of_entry(entry, "1-1") if part.path]

    def led_to(value: Any, path: str) -> Any:
        for key in orjson.loads(path):
            value = (orjson.loads(value) if isinstance(value, str) else value)[key]
        return value

    def told(entry: Any, part: Part) -> str:
        value = led_to(entry, part.path or "")
        return asks_for(value) if part.title.endswith(": tool calls") else brief(value)

    assert [told(entry, part) for entry, part in found] == [part.brief for _, part in found]
    assert {part.title for _, part in found} >= {
        "System", "User", "Assistant: tool calls", "Reasoning", "Answer", "Arguments", "Result", "Prompt", "Message",
        "Says", "State update", "Routing type", "Input data", "Asked", "Response", "RateLimitError",
    }  # fmt: skip


def test_what_a_node_says_itself_is_an_answer() -> None:
    """In its row, in Conversation after what was in it, in the details and as the prompt's answer in a comparison."""
    story = Story("s").ask("Rome?")
    node = story.enter("guard")
    story.model("Is it allowed?", "No.", 5, (1, 1), parent=node)
    said = [{"role": "assistant", "content": words} for words in ("Sorry.", "", "I may **not**.")]
    story.leave(node, "guard", 9, output_data={"messages": said})
    read = {(entry["timestamp"], seq): entry for seq, entry in enumerate(story.entries, 1)}
    made = timeline(story.entries)
    shown = [
        (item.title, item.content.striptags())
        for item in items(outline(made), lambda at, seq: read[at, seq], ran(made.tools))
    ]
    details = judged(story.entries, len(story.entries) - 1)

    assert [bar.note for bar in made.roots[0].children] == ["Sorry. · I may **not**."]
    assert shown[-3:] == [("agent", "No."), ("guard", "Sorry."), ("guard", "I may not.")]
    assert [part.title for part in details.entries[-1].parts] == ["Says", "Says", "State update"]
    assert [side.answer for side in sides(made, lambda at, seq: read[at, seq])] == ["I may **not**."]


def test_call_that_no_tool_ran_for_is_an_answer() -> None:
    """Structured output, in Conversation and as the prompt's answer in a comparison; what a tool ran is shown once."""
    story = Story("s").ask("Soup?")
    asked = [{"name": "search", "args": {"query": "soup"}, "id": "1"}]
    story.model("Soup?", "", 5, (1, 1), calls=asked)
    story.tool("search", {"query": "soup"}, "hot", 5, "1")
    story.model("Soup?", "", 5, (1, 1), calls=[{"name": "Recipe", "args": {"minutes": 20}, "id": "2"}])
    read = {(entry["timestamp"], seq): entry for seq, entry in enumerate(story.entries, 1)}
    built = timeline(story.entries)
    made = items(outline(built), lambda at, seq: read[at, seq], ran(built.tools))
    told = [(item.kind, item.title, item.content.striptags()) for item in made[2:]]

    assert told == [("tool", "search", ""), ("answer", "agent", "→ Recipeminutes: 20")]
    assert [side.answer for side in sides(built, lambda at, seq: read[at, seq])] == ['{\n  "minutes": 20\n}']


def test_conversation_tells_what_failed_and_why() -> None:
    """A model's error under the name of who called it or its own, a tool's below its arguments, each with its stack.

    Each item leads to the row of its first entry.
    """
    story = Story("s").ask("Rome?")
    run = story.tool_call("weather", {"city": "Rome"}, "c1")
    info = {"error_type": "ValueError", "error_message": "no Rome", "stack_trace": "line 1"}
    story.log("error", 1, run, error_info=info)
    for issuer in ("agent", ""):
        run = story.call("Rome?", issuer=issuer)
        story.log("error", 1, run, error_info=info | {"error_type": "TimeoutError", "error_message": "slow"})
    read = {(entry["timestamp"], seq): entry for seq, entry in enumerate(story.entries, 1)}
    built = timeline(story.entries)
    made = items(outline(built), lambda at, seq: read[at, seq], ran(built.tools))
    told = [(item.kind, item.title, item.content.striptags(), [(part.title, part.content.striptags()) for part in
             item.parts]) for item in made[2:]]  # fmt: skip

    assert told == [
        ("tool", "weather", "", [("Arguments", "city: Rome"), ("Error", "ValueError: no Rome"),
                                 ("Stack trace", "line 1")]),
        ("error", "agent", "TimeoutError: slow", [("Stack trace", "line 1")]),
        ("error", "gemma3:4b", "TimeoutError: slow", [("Stack trace", "line 1")]),
    ]  # fmt: skip
    assert [item.seq for item in made] == [1, 1, 3, 5, 7]


def test_what_a_model_had_answered_when_it_failed_is_shown() -> None:
    """A stream that broke off: in the conversation and the details before the error."""
    story = Story("s").ask("Rome?")
    run = story.call("Rome?", issuer="agent")
    info = {"error_type": "ConnectionError", "error_message": "cut off"}
    story.log("error", 1, run, error_info=info, output_data={"partial_response": "Rome is **the"})
    read = {(entry["timestamp"], seq): entry for seq, entry in enumerate(story.entries, 1)}
    made = items(outline(timeline(story.entries)), lambda at, seq: read[at, seq], frozenset())
    parts = of_entry(story.entries[-1], "1-1")

    assert [(item.kind, item.title, item.content.striptags()) for item in made[2:]] == [
        ("answer", "agent", "Rome is **the"), ("error", "agent", "ConnectionError: cut off"),
    ]  # fmt: skip
    assert [(part.title, part.content.striptags()) for part in parts] == [
        ("Partial answer", "Rome is **the"), ("ConnectionError", "cut off"),
    ]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "note", "parts"), [
    ("user_input", {"input_data": {"prompt": "Rome?"}}, "Rome?", [("Prompt", "Rome?")]),
    ("info", {"message": "on its way"}, "on its way", [("Message", "on its way")]),
    ("warning", {"prompt": "late"}, "late", [("Prompt", "late")]),
    ("debug", {"output_data": {"message": "off", "step": 3}}, "off", [("Message", "off"), ("Output data", "step: 3")]),
    ("human_oversight", {"input_data": {"asked": "Book it?"}}, "asked: Book it?", [("Input data", "asked: Book it?")]),
])  # fmt: skip
def test_what_other_clients_say_elsewhere_is_read(
    kind: str, fields: dict[str, Any], note: str, parts: list[tuple[str, str]]
) -> None:
    """The reference names no field for a message; a prompt may stand in one of its two places alone."""
    entry = {"event_type": kind, "timestamp": T0, "prompt_number": 1, "turn_number": 0, **fields}
    made = items(outline(timeline([entry])), lambda at, seq: entry, frozenset())

    assert shorten(1, entry).note == note
    assert [(part.title, part.content.striptags()) for part in of_entry(entry, "1-1")] == parts
    assert [item.content.striptags() for item in made if item.content] == (
        [note] if kind in ("user_input", "warning", "human_oversight") else []
    )


def test_question_of_a_tool_stands_after_it_and_not_in_it_as_well() -> None:
    """What a person is asked is not to be unfolded first."""
    story = Story("s").ask("Book it")
    run = story.tool_call("book", {"train": "AVE"}, "c1")
    given = {"interrupt_id": "i", "value": "Really?"}
    story.log("human_oversight", 0, run, story.root, "book", meta={"status": "interrupted"}, input_data=given)
    read = {(entry["timestamp"], seq): entry for seq, entry in enumerate(story.entries, 1)}
    made = items(outline(timeline(story.entries)), lambda at, seq: read[at, seq], frozenset())

    assert [(item.kind, item.title, item.inner) for item in made[2:]] == [
        ("tool", "book", []), ("human", "Waits for a human", []),
    ]  # fmt: skip


def test_comparison_names_the_tools_in_their_order() -> None:
    """Of each prompt, but not those that a tool has called."""
    entries = sessions.trip()
    read = {(entry["timestamp"], seq): entry for seq, entry in enumerate(entries, 1)}

    assert [side.tools for side in sides(timeline(entries), lambda at, seq: read[at, seq])] == [
        ["flight_search", "train_search", "research_agent", "train_search"],
        ["book_train"],
    ]


def test_comparison_tells_what_failed_beside_a_branch_that_answered() -> None:
    """Of parallel branches the last is what ended last, wherever it began; the tools stand as they were called."""
    story = Story("s").ask("Rome?")
    slow = story.tool_call("tickets", {}, "c1")
    story.tool("wiki", {}, "sunny", 5, "c2")
    story.model("Rome?", "Sunny.", 5, (1, 1))
    story.wait(5).log("error", 0, slow, error_info={"error_type": "TimeoutError", "error_message": "no tickets"})
    read = {(entry["timestamp"], seq): entry for seq, entry in enumerate(story.entries, 1)}
    (side,) = sides(timeline(story.entries), lambda at, seq: read[at, seq])

    assert (side.answer, side.error, side.tools) == ("Sunny.", "TimeoutError: no tickets", ["tickets", "wiki"])


@pytest.mark.parametrize(("recovered", "error"), [(False, "ValueError: no sources"), (True, "")])
def test_comparison_tells_what_failed_before_another_branch_answered(recovered: bool, error: str) -> None:
    """As the details of the prompt do; what the agent has recovered from is only counted."""
    story = Story("s").ask("Rome?")
    info = {"error_id": "e-1", "error_type": "ValueError", "error_message": "no sources"}
    node = story.enter("cite")
    story.log("error", 0, node, story.root, "cite", error_info=info)
    if recovered:
        story.log("recovery", 0, node, story.root, "cite", error_info={"error_id": "e-1"})
    story.leave(node, "cite", 5)
    story.model("Rome?", "Sunny.", 5, (1, 1))
    read = {(entry["timestamp"], seq): entry for seq, entry in enumerate(story.entries, 1)}
    (side,) = sides(timeline(story.entries), lambda at, seq: read[at, seq])

    assert (side.answer, side.error) == ("Sunny.", error)


def test_comparison_has_the_first_prompts_alone() -> None:
    """A page of them: a session may have thousands."""
    story = Story("s")
    for number in range(51):
        story.ask(str(number))
    read = {(entry["timestamp"], seq): entry for seq, entry in enumerate(story.entries, 1)}
    made = sides(timeline(story.entries), lambda at, seq: read[at, seq])

    assert [side.prompt for side in made] == [str(number) for number in range(50)]


def test_details_have_the_facts_of_an_entry() -> None:
    """Its place and time, then every number and short text, each under the name of its group; no structure."""
    story = Story("s")
    long = {"error_message": "x" * 201, "error_type": "ValueError", "tags": ["a"], "error_severity": None}
    story.log("error", 2, "r", name="cook", error_info=long, meta={"retry": True, "model": "m", "parameters": {"n": 1}})
    (shown,) = judged(story.entries, 0).entries

    assert shown.attributes == [
        ("event_id", "s-000001"), ("event_type", "error"), ("prompt_number", "1"), ("turn_number", "2"),
        ("timestamp", f"2026-09-21T14:13:20.000Z ({T0})"), ("error_info.error_type", "ValueError"),
        ("retry", "true"), ("model", "m"), ("parameters.n", "1"), ("trace.run_id", "r"), ("trace.root_run_id", "r"),
        ("trace.name", "cook"),
    ]  # fmt: skip


@pytest.mark.parametrize(("calls", "parts"), [
    ({"calls": [{"name": "weather", "args": {"city": "Rome"}}, {"args": "?"}]},
     [("Asks for weather", "city: Rome"), ("Asks for tool", "?")]),
    ([{"name": "weather"}], [("Tool calls", "0: name: weather")]), ({"calls": []}, [("Tool calls", "calls: []")]),
])  # fmt: skip
def test_details_of_an_answer_name_the_tools_that_it_asks_for(calls: Any, parts: list[tuple[str, str]]) -> None:
    """In whichever form a client has logged them."""
    story = Story("s")
    story.log("llm_response", 1, llm_response={"response": "", "tool_calls": calls})
    (shown,) = judged(story.entries, 0).entries

    assert [(part.title, " ".join(part.content.striptags().split())) for part in shown.parts] == parts


@pytest.mark.parametrize(
    ("history", "path"),
    [([TOOL], ["llm_call", "history", 0]), ({"messages": [TOOL]}, ["llm_call", "history", "messages", 0])],
)
def test_message_is_found_where_it_was_logged(history: Any, path: list[str | int]) -> None:
    """In a list or in an object of messages; the button that copies it asks for it there."""
    (shown,) = judged([Story("s").log("llm_call", 1, llm_call={"history": history})], 0).entries

    assert [part.path for part in shown.parts] == [orjson.dumps([*path, "content"]).decode()]


IMAGE = {"type": "image", "base64": {"mime": "image/png", "bytes": 175_342, "sha256": "aa"}}
FILE = {"type": "file", "file": {"file_data": {"mime": "application/pdf", "bytes": 812}}}


def test_conversation_names_images_and_files() -> None:
    """Of the prompt once, though each turn sends them again, and of an answer; also where there are no words."""
    story = Story("s").ask("What is it?")
    asked = [ASKED | {"content": [{"type": "text", "text": "What is it?"}, IMAGE, FILE]}]
    for answer in ("A cat.", ""):
        story.model("What is it?", answer, 5, (1, 1), history=asked)
    story.entries[-1]["meta"]["blocks"] = [IMAGE]
    earlier_one = {"role": "user", "content": asked[0]["content"]}
    story.ask("And now?").model("And now?", "Two.", 5, (1, 1), history=[earlier_one, ASKED | {"content": "And now?"}])
    read = {(entry["timestamp"], seq): entry for seq, entry in enumerate(story.entries, 1)}
    built = timeline(story.entries)
    made = items(outline(built), lambda at, seq: read[at, seq], ran(built.tools))
    chips = [(item.title, re.findall(r'<span class="chip">(.*?)</span>', item.content)) for item in made]

    assert chips == [
        ("Prompt 1", []), ("User", []), ("Attached", ["image/png · 175.3 kB", "application/pdf · 812 B"]),
        ("agent", []), ("agent", ["image/png · 175.3 kB"]), ("Prompt 2", []), ("User", []), ("agent", []),
    ]  # fmt: skip


def test_conversation_names_the_images_of_a_prompt_without_words() -> None:
    """Once, as what the user said: not the JSON that the handler logs in place of words."""
    prompt = orjson.dumps([IMAGE]).decode()
    story = Story("s").ask(prompt)
    story.model(prompt, "A cat.", 5, (1, 1), history=[ASKED | {"content": [IMAGE]}])
    read = {(entry["timestamp"], seq): entry for seq, entry in enumerate(story.entries, 1)}
    built = timeline(story.entries)
    made = items(outline(built), lambda at, seq: read[at, seq], ran(built.tools))

    assert [(item.title, re.sub(r"<[^>]+>", "", item.content).strip()) for item in made] == [
        ("Prompt 1", ""), ("User", "image/png · 175.3 kB"), ("agent", "A cat."),
    ]  # fmt: skip


@pytest.mark.parametrize(("reason", "told"), [
    ("not captured", "content not captured"), ("redact failed", "content left out: redact failed"),
])  # fmt: skip
def test_conversation_says_that_an_answer_was_left_out(reason: str, told: str) -> None:
    """Else a session logged without contents would have none, and no calls of models with their figures."""
    story = Story("s").ask("")
    story.model("", "", 5, (1, 1))
    story.entries[-1]["meta"]["content"] = reason
    read = {(entry["timestamp"], seq): entry for seq, entry in enumerate(story.entries, 1)}
    built = timeline(story.entries)
    made = items(outline(built), lambda at, seq: read[at, seq], ran(built.tools))

    assert [(item.kind, item.title, item.content) for item in made] == [
        ("rule", "Prompt 1", ""),
        ("answer", "agent", told),
    ]


@pytest.mark.parametrize("block", [
    {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}},
    {"type": "input_image", "image_url": "https://example.org/cat.png"},
    {"type": "image", "url": "https://example.org/cat.png"},
    {"type": "image", "source": {"type": "url", "url": "https://example.org/cat.png"}},
], ids=["openai", "responses", "langchain", "anthropic"])  # fmt: skip
def test_images_elsewhere_are_named_by_their_address(block: dict[str, Any]) -> None:
    """The question beside one is shown as a text, as beside an image that was logged."""
    story = Story("s")
    story.call("What is it?", history=[ASKED | {"content": [{"type": "text", "text": "What is it?"}, block]}])
    (asked,) = judged(story.entries, 0).entries[0].parts

    assert (asked.kind, asked.content) == (
        "text", 'What is it?<div class="chips"><span class="chip">image · https://example.org/cat.png</span></div>',
    )  # fmt: skip


@pytest.mark.parametrize("value", [
    {"type": "file", "url": "https://example.org/cat.png"}, {"type": {}, "url": "https://example.org"},
    {"url": "https://example.org/cat.png"}, {"type": "image", "url": None},
])  # fmt: skip
def test_other_addresses_are_no_images(value: dict[str, Any]) -> None:
    """A tool's results have addresses of many things."""
    assert media([value]) == []


def test_details_name_images_and_files() -> None:
    """Of what a model was sent, in place of its message's blocks, and of what it answered."""
    story = Story("s")
    story.model("What is it?", "A cat.", 5, (1, 1), history=[ASKED | {"content": [IMAGE]}])
    story.entries[-1]["meta"]["blocks"] = [FILE, FILE]
    made = judged(story.entries, 0, 1)
    chips = [(part.title, re.findall(r'<span class="chip">(.*?)</span>', part.content))
             for one in made.entries for part in one.parts]  # fmt: skip

    assert chips == [("User", ["image/png · 175.3 kB"]), ("Answer", []), ("Attached", ["application/pdf · 812 B"])]
    assert re.sub(r"<[^>]+>", "", made.entries[0].parts[0].content) == "image/png · 175.3 kB"


@pytest.mark.parametrize("more", [[], [{"type": "text", "text": "Quickly!"}]], ids=["one text", "two"])
def test_details_show_the_one_text_beside_images_as_text(more: list[dict[str, Any]]) -> None:
    """And not as a tree, as several texts are; what is copied is what is shown."""
    content = [IMAGE, {"type": "text", "text": "What is it?"}, FILE, *more]
    story = Story("s")
    story.call("What is it?", history=[ASKED | {"content": content}])
    (asked,) = judged(story.entries, 0).entries[0].parts
    path: list[Any] = ["llm_call", "history", "messages", 0, "content"]

    assert (asked.kind, asked.path) == (
        ("json", orjson.dumps(path).decode()) if more else ("text", orjson.dumps([*path, 1, "text"]).decode())
    )
    assert re.findall(r'<span class="chip">(.*?)</span>', asked.content) == [
        "image/png · 175.3 kB", "application/pdf · 812 B",
    ]  # fmt: skip


def test_conversation_shows_a_prompt_that_is_asked_again() -> None:
    """The same words in another prompt are not left out."""
    story = Story("s")
    for _ in range(2):
        story.ask("Go on").model("Go on", "Done.", 5, (1, 1))
    read = {(entry["timestamp"], seq): entry for seq, entry in enumerate(story.entries, 1)}
    built = timeline(story.entries)
    made = items(outline(built), lambda at, seq: read[at, seq], ran(built.tools))

    assert [item.title for item in made] == ["Prompt 1", "User", "agent", "Prompt 2", "User", "agent"]


@pytest.mark.parametrize(("logged", "user", "compared"), [
    ([{"prompt": "Book Rome"}], [("User", "Book Rome")], "Book Rome"),
    ([{"meta": {"content": "not captured"}}], [], "content not captured"), ([], [("User", "TITLE")], "TITLE"),
])  # fmt: skip
def test_title_of_a_session_stands_for_the_user_only_where_no_input_is_logged(
    logged: list[dict[str, Any]], user: list[tuple[str, str]], compared: str
) -> None:
    """In Conversation and in a comparison, however many blocks with the title the prompt has."""
    story = Story("s")
    for event_type, fields in (("session_start", {"prompt": "TITLE"}), *(("user_input", each) for each in logged),
                               ("session_start", {"prompt": "TITLE"})):  # fmt: skip
        story.log(event_type, **fields)
    read = {(entry["timestamp"], seq): entry for seq, entry in enumerate(story.entries, 1)}
    made = timeline(story.entries)
    said = [
        (item.title, item.content.striptags())
        for item in items(outline(made), lambda at, seq: read[at, seq], ran(made.tools))
    ]

    assert said == [("Prompt 1", ""), *user]
    assert [side.prompt for side in sides(made, lambda at, seq: read[at, seq])] == [compared]


@pytest.mark.parametrize(("kind", "fields", "blocks"), [
    ("user_input", {"prompt": "Rome?", "input_data": {"prompt": "Rome?"}}, ["Prompt"]),
    ("user_input", {"input_data": {"prompt": "Rome?"}}, ["input_data"]),
    ("routing", {"routing_type": "transfer", "target_component": {"name": "b"}}, ["target_component", "routing_type"]),
    ("info", {"message": "on its way", "meta": {"a": 1}}, ["message"]),
])  # fmt: skip
def test_markdown_has_all_content_once(kind: str, fields: dict[str, Any], blocks: list[str]) -> None:
    """Also fields that other clients add; a user's prompt, which is logged in two places, is not said twice."""
    entry = {"event_type": kind, "timestamp": T0, "prompt_number": 1, "turn_number": 0, **fields}

    assert re.findall(r"\*\*(.*?)\*\*", "".join(transcript.entries([orjson.dumps(entry)]))) == blocks


@pytest.mark.parametrize(("history", "blocks"), [
    ([ASKED, TOOL], ["Message", {"role": "user", "content": "Rome?"}, "Message", TOOL]),
    ([TOOL], ["Message", TOOL, "To the model", "Rome?"]),
])  # fmt: skip
def test_markdown_has_the_prompt_at_its_place_too(history: list[Any], blocks: list[Any]) -> None:
    """Once, among the messages."""
    story = Story("s")
    story.call("Rome?", history=history)
    text = "".join(transcript.entries([orjson.dumps(story.entries[0])])).partition("**llm_call**")[0]
    read = re.findall(r"\*\*(.*?)\*\*\n\n```(json)?\n(.*?)\n```", text, re.DOTALL)

    assert [value for title, kind, body in read for value in (title, orjson.loads(body) if kind else body)] == blocks


@pytest.mark.parametrize("wrong", [None, 7, "text", [1], {"a": {"b": [None]}}, True, -1e300])
def test_fields_of_any_type_make_a_timeline(wrong: object) -> None:
    """Whatever stands in the optional fields, the page can be drawn."""
    story = Story("s").ask("hello")
    for event_type in ("llm_call", "llm_response", "tool_call", "tool_response", "error", "recovery", "component_enter",
                       "human_oversight", "routing", "info", "session_end"):  # fmt: skip
        entry = story.log(event_type, 1)
        for name in ("meta", "llm_call", "llm_response", "tool_call", "tool_response", "error_info", "input_data",
                     "output_data", "target_component", "prompt", "performance_metrics"):  # fmt: skip
            entry[name] = wrong
    made = timeline(story.entries)

    assert len(rows(made, T0)) >= 5


def test_rows_name_their_size_and_their_entries() -> None:
    """What the browser folds by: level, label, rows below, and the entries as timestamp and seq."""
    made = rows(timeline(sessions.recipe()), T0)

    assert [(row[0], row[1], row[12], row[13]) for row in made] == [
        (1, "prompt", 2, [0, "1", 0, "2"]),
        (2, "model", 0, [3, "3", 4_123, "4"]),
        (2, "model", 0, [4_135, "5", 6_445, "6"]),
        (1, "prompt", 1, [48_445, "7"]),
        (2, "model", 0, [48_448, "8", 51_468, "9"]),
        (1, "end", 0, [51_476, "10"]),
    ]


def test_row_names_how_many_rows_stand_below_it_at_any_depth() -> None:
    """What is folded with it: its children, and theirs."""
    made = rows(timeline(sessions.trip()), T0)

    assert [(row[0], row[1], row[12]) for row in made if row[12]] == [
        (1, "prompt", 15),
        (2, "turn", 12),
        (3, "component", 1),
        (3, "component", 8),
        (4, "tool", 4),
        (5, "component", 3),
        (2, "component", 1),
        (1, "prompt", 8),
        (2, "turn", 5),
        (3, "component", 1),
        (3, "component", 2),
        (2, "component", 1),
    ]


def test_token_bars_stack_to_the_highest_call() -> None:
    """Heights are in proportion; cached input is part of the input."""
    bars = token_bars(timeline(sessions.recipe()).models)

    assert [(bar.cached, bar.fresh, bar.output) for bar in bars] == [
        (0.0, 6.17, 20.87),
        (5.69, 21.05, 12.04),
        (26.74, 14.88, 18.38),
    ]


def test_answers_from_a_cache_use_nothing() -> None:
    """What the second call names was used by the first: prompt and overview have the sums of the session."""
    story = Story("s").ask("hello")
    for reused in (False, True):
        story.model("a", "1", 5, (10, 2), cached=4)
        story.entries[-1]["meta"]["cached"] = reused
    made = timeline(story.entries)
    (summed,) = roll_up(story.entries)
    figures = [(bar.input, bar.output, bar.cached) for bar in (made.roots[0], *made.models)]

    assert figures == [(10, 2, 4), (10, 2, 4), (0, 0, 0)]
    assert (summed.input_tokens, summed.output_tokens, summed.cached_tokens) == (10, 2, 4)
    assert (overview(made)["tokens"], [row.tokens for row in overview(made)["models"]]) == (12, [12])


def test_many_calls_share_bars() -> None:
    """A thousand calls make at most 120 bars, and none is left out."""
    calls = timeline(sessions.big(10_000)).models
    bars = token_bars(calls)

    assert (len(calls), len(bars) <= 120, bars[-1].x + bars[-1].width <= 100) == (999, True, True)


def test_used_counts_calls_errors_and_median() -> None:
    """The table of tools: most calls first, then by name."""
    made = used(timeline(sessions.trip()).tools)

    assert [(row.name, row.calls, row.errors, row.median_ms) for row in made] == [
        ("train_search", 2, 1, 915.5), ("book_train", 1, 0, 860), ("flight_search", 1, 0, 1040),
        ("research_agent", 1, 0, 2790), ("search_index", 1, 0, 88),
    ]  # fmt: skip
