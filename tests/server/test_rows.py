"""The texts of a row in the timeline: label, note, status."""

from __future__ import annotations

from typing import Any

import pytest

from coagent_langchain.server.presentation.bars import below
from coagent_langchain.server.presentation.charts import used
from coagent_langchain.server.presentation.contents import of_entry
from coagent_langchain.server.presentation.conversation import outline
from coagent_langchain.server.presentation.formats import brief
from coagent_langchain.server.presentation.rows import rows
from coagent_langchain.server.presentation.values import Value
from coagent_langchain.server.store.rollup import roll_up
from tests.server import sessions
from tests.server.drawing import conversation, judged, timeline
from tests.server.story import T0, Story, with_a_node


@pytest.mark.parametrize(("said", "calls", "note"), [
    ("I will look.", ["weather", "map", "map"], "→ weather, map ×2 · I will look."), ("", ["weather"], "→ weather"),
    ("All.", [*["order"] * 90, "pay", "order"], "→ order ×91, pay · All."),
    ("Sunny.", [], "Sunny."),
])  # fmt: skip
def test_model_row_says_what_it_asks_for_and_what_it_says(said: str, calls: list[str], note: str) -> None:
    """The tools first, because a long text is cut at its end."""
    story = Story("s").ask("hello")
    story.model("hello", said, 5, (1, 1), calls=[{"name": name, "args": {}} for name in calls])
    (bar,) = timeline(story.entries).models

    assert bar.note == note


def test_model_row_has_a_structured_answer_and_not_only_its_name() -> None:
    """No tool runs for such a call, so no other row would show what a grader or an extraction has answered."""
    story = Story("s").ask("hello")
    calls = [{"name": "Grade", "args": {"score": "yes"}, "structured_output": True}, {"name": "look", "args": {"a": 1}}]
    story.model("hello", "", 5, (1, 1), calls=calls)
    (bar,) = timeline(story.entries).models

    assert bar.note == "→ Grade(score: yes), look"


@pytest.mark.parametrize(("message", "note"), [("", ""), ("no Rome", "no Rome"), ("KeyError", "")])
def test_row_of_an_error_says_its_type_once(message: str, note: str) -> None:
    """The type is its label; an error may have nothing else to say."""
    story = Story("s").ask("Where to?")
    story.log("error", error_info={"error_type": "KeyError", "error_message": message})

    assert rows(timeline(story.entries), T0)[1][3:5] == ["KeyError", note]


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
    """No error was logged, so their prompt has not failed. The details show no status for what cannot have one."""
    story = Story("s").ask("Where to?")
    story.log(kind, **fields)
    prompt = timeline(story.entries).roots[0]
    bar, details = prompt.children[0], judged(story.entries, len(story.entries) - 1)

    assert (bar.note, bar.status, prompt.status, prompt.errors) == (note, status, "ok", 0)
    assert (details.icon == "warning", details.status) == (status == "warning", "")


@pytest.mark.parametrize(("result", "note"), [
    ([{"type": "text", "text": "sunny"}, {"type": "text", "text": "warm"}], "sunny · warm"),
    ([{"text": "sunny"}], '[{"text":"sunny"}]'), ([{"type": "text", "text": "sunny"}, 1], None), ([], "[]"),
])  # fmt: skip
def test_row_of_a_tool_has_the_texts_of_content_blocks_alone(result: Any, note: str | None) -> None:
    """A list of anything else is shown as it is."""
    story = Story("s").ask("Rome?")
    story.tool("weather", {}, result, 5, "c1")
    (tool,) = timeline(story.entries).tools

    assert tool.note == (note or brief(result))


def test_row_of_a_tool_has_its_arguments_and_its_result() -> None:
    """A wrong result of a call that succeeded is seen without opening it; a result without a call stands alone."""
    story = Story("s").ask("Rome?")
    story.tool("weather", {"city": "Rome"}, {"status": 401}, 5, "c1")
    story.tool("weather", {"cities": ["a city with a long name"] * 9}, "sunny", 5, "c2")
    story.tool_done(story.run(), "weather", "warm", 5, "c3")

    assert [tool.note for tool in timeline(story.entries).tools] == [
        'city: Rome → {"status":401}',
        'cities: ["a city with a long name","a city with a long name"… → sunny',
        "warm",
    ]


@pytest.mark.parametrize(("result", "note"), [
    ({"output": ""}, "empty result"), ({"output": " \n"}, "empty result"), ({"output": None}, "empty result"),
    ("", "empty result"), ({"output": []}, "[]"), (None, ""),
    ({"output": None, "command": {"goto": "pay"}}, ""),
])  # fmt: skip
def test_row_of_a_tool_says_that_its_result_is_empty(result: Any, note: str) -> None:
    """A search that finds nothing may return that. Not so a result that is not logged, or a command."""
    story = Story("s").ask("Rome?")
    story.log("tool_response", 1, tool_response={"tool_name": "search", "result": result})
    (tool,) = timeline(story.entries).tools

    assert tool.note == note


def test_row_of_a_node_has_its_words_and_what_else_it_changed() -> None:
    """Of parallel nodes, the one that overwrote a value is seen; the conversation has only a node with words."""
    story = Story("s").ask("Rome?")
    for name, changed in (("plan", {"city": "Rome"}), ("news", {"found": ["none"], "city": "Bern"}), ("idle", None),
                          ("guard", {"messages": [{"content": "No."}], "safe": False})):  # fmt: skip
        story.leave(story.enter(name), name, 5, output_data=changed)
    made = timeline(story.entries)

    assert [row[3:5] for row in rows(made, T0)][1:] == [
        ["plan", "city: Rome"], ["news", 'found: ["none"], city: Bern'], ["idle", ""], ["guard", "No. · safe: false"],
    ]  # fmt: skip
    assert [bar.label for bar in outline(made)] == ["Rome?", "guard"]


def test_call_that_was_not_run_is_no_error() -> None:
    """Not in its row, which says why, nor in its prompt's, the table of tools or the session's total."""
    story = Story("s").ask("mail")
    run = story.tool_call("send_mail", {"to": "ada"}, "c1")
    answer = {"tool_name": "send_mail", "result": {"output": "no"}, "success": False, "error_message": "no, thanks"}
    story.log("tool_response", 0, run, tool_response=answer, meta={"outcome": "not run"})
    made = timeline(story.entries)

    assert [[*row[1:5], row[11], row[12]] for row in rows(made, T0)] == [
        ["prompt", "ok", "mail", "", 0, ""], ["tool", "not run", "send_mail", "no, thanks", 0, "not run"],
    ]  # fmt: skip
    assert [(row.name, row.calls, row.errors) for row in used(made.tools)] == [("send_mail", 1, 0)]
    assert [rolled.counts["errors"] for rolled in roll_up(story.entries)] == [0]


@pytest.mark.parametrize("outcome", ["answered by node", "answered by application"])
def test_call_that_no_tool_answered_says_so(outcome: str) -> None:
    """It succeeded, though no run of a tool was reported."""
    story = Story("s").ask("Rome?")
    run = story.tool_call("weather", {"city": "Rome"}, "c1")
    answer = {"tool_name": "weather", "result": {"output": "sunny"}, "success": True}
    story.log("tool_response", 0, run, tool_response=answer, meta={"outcome": outcome})

    assert [[*row[1:5], row[12]] for row in rows(timeline(story.entries), T0)] == [
        ["prompt", "ok", "Rome?", "", ""], ["tool", outcome, "weather", "city: Rome → sunny", outcome],
    ]  # fmt: skip


def test_empty_prompt_has_no_answer_for_a_title() -> None:
    """The model's response to it would read as the user's words."""
    story = Story("s").ask("")
    story.model("", "How can I help?", 5, (1, 1))

    assert [row[1:5] for row in rows(timeline(story.entries), T0)] == [
        ["prompt", "ok", "Prompt 1", "1 turn"], ["model", "ok", "gemma3:4b", "How can I help?"],
    ]  # fmt: skip


def test_answer_from_a_cache_says_so() -> None:
    """Otherwise its row would be a call of a millisecond without tokens. The prompt succeeded."""
    story = Story("s").ask("hello")
    story.model("hello", "hi", 1, (10, 2))
    story.entries[-1]["meta"]["cached"] = True

    assert [[*row[1:5], row[12]] for row in rows(timeline(story.entries), T0)] == [
        ["prompt", "ok", "hello", "1 turn", ""],
        ["model", "from cache", "gemma3:4b", "hi", "from cache · Turn 1 · agent"],
    ]


@pytest.mark.parametrize("reason", [
    "length", "max_tokens", "MAX_TOKENS", "max_output_tokens",
    "content_filter", "guardrail_intervened", "refusal", "SAFETY", "insufficient_system_resource",
])  # fmt: skip
def test_answer_that_a_limit_or_filter_cut_off_says_so(reason: str) -> None:
    """In its row and in Conversation: the text alone may look complete. Nothing failed, so the prompt succeeded."""
    story = Story("s").ask("hello")
    story.model("hello", "Once upon", 5, (10, 2))
    story.entries[-1]["meta"]["finish_reason"] = reason
    (answer,) = (item for item in conversation(story.entries) if item.kind == "answer")

    assert [[*row[1:5], row[12]] for row in rows(timeline(story.entries), T0)] == [
        ["prompt", "ok", "hello", "1 turn", ""],
        ["model", "cut off", "gemma3:4b", "Once upon", "cut off · Turn 1 · agent"],
    ]
    assert answer.bar.status == "cut off"


@pytest.mark.parametrize("answer", ["", "\n\n"])
def test_empty_response_says_so(answer: str) -> None:
    """In its row, where the question stood as if it were the answer, in Conversation and in the details.

    There it is muted: nobody said these words. The finish reason tells a refusal from a model that had nothing to say.
    """
    story = Story("s").ask("hello")
    story.model("hello", answer, 5, (10, 0))
    said = conversation(story.entries)[-1]
    parts = of_entry(Value(story.entries[-1]))

    assert timeline(story.entries).models[0].note == "empty response (stop)"
    assert (said.kind, said.content) == ("answer", '<p class="muted">empty response (stop)</p>')
    assert [(part.title, part.content) for part in parts] == [("Answer", '<p class="muted">empty response (stop)</p>')]


@pytest.mark.parametrize(("blocks", "instead"), [
    ([{"type": "server_tool_use", "name": "web_search", "input": {}}, {"type": "computer_call"}],
     "server_tool_use web_search, computer_call"),
    ([{"type": "image", "base64": {"mime": "image/png", "bytes": 300}}], "image/png · 300 B"),
])  # fmt: skip
def test_response_of_other_content_says_what_it_is(blocks: list[Any], instead: str) -> None:
    """Its row repeated the question, and Conversation left out the whole answer if it was not an image."""
    story = Story("s").ask("hello")
    story.model("hello", "", 5, (10, 0))
    story.entries[-1]["meta"]["blocks"] = blocks
    said = conversation(story.entries)[-1]
    parts = of_entry(Value(story.entries[-1]))

    assert timeline(story.entries).models[0].note == instead
    assert (said.kind, instead in said.content) == ("answer", True)
    assert [instead in part.content for part in parts] == [True]


@pytest.mark.parametrize("outcome", ["cancelled", "abandoned"])
def test_call_that_was_stopped_before_its_first_word_is_no_empty_response(outcome: str) -> None:
    """The model had no time to answer."""
    story = Story("s").ask("hello")
    story.model("hello", "", 5, (10, 0))
    story.entries[-1]["meta"]["outcome"] = outcome

    assert timeline(story.entries).models[0].note == "hello"
    assert [item.content.striptags() for item in conversation(story.entries)][1:] == ["hello", ""]


def test_row_tells_turn_and_caller_before_its_note() -> None:
    """In a field of its own: the note is logged text, with its own direction."""
    story = Story("s").ask("hello")
    story.model("hello", "مرحبا", 5, (1, 1), issuer="planner")
    _, row = rows(timeline(story.entries), T0)

    assert (row[12], row[4]) == ("Turn 1 · planner", "مرحبا")


def test_call_in_a_node_names_its_agent_alone() -> None:
    """The row above names the node; in a narrow window, the note had no room."""
    story = Story("s").ask("Rome?")
    node = story.enter("model")
    story.model("Rome?", "Sunny", 5, (1, 1), parent=node, issuer="planner.model")
    story.leave(node, "model", 10)

    assert [(row[3], row[12]) for row in rows(timeline(story.entries), T0)] == [
        ("Rome?", ""),
        ("model", "Turn 1"),
        ("gemma3:4b", "planner"),
    ]


def test_call_tells_its_turn_where_no_row_above_does() -> None:
    """For calls in parallel branches, which began a turn earlier, and after the first of a node or sub-agent."""
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
    told = [(row[0], row[3], row[12]) for row in rows(timeline(story.entries), T0)]

    assert told == [
        (1, "Rome?", ""), (2, "Turn 1", ""), (3, "gemma3:4b", "agent"),
        (3, "wiki", ""), (4, "search_wiki", ""), (4, "gemma3:4b", "Turn 2"),
        (3, "tickets", ""), (4, "search_tickets", ""), (4, "gemma3:4b", "Turn 3"),
        (2, "answer", "Turn 4"), (3, "gemma3:4b", ""), (3, "gemma3:4b", "Turn 5"),
    ]  # fmt: skip


def test_call_does_not_tell_a_turn_that_a_row_above_tells() -> None:
    """The rows between the two tell no turn."""
    told = [(row[0], row[3], row[12]) for row in rows(timeline(with_a_node().entries), T0)]

    assert told == [(1, "Rome?", ""), (2, "Turn 1", ""), (3, "agent", ""), (4, "gemma3:4b", ""), (3, "trains", "")]


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_end_says_how_the_session_ended_and_how_long_it_took(status: str) -> None:
    """Status and time of `session_end`, in the row and in the details."""
    story = Story("s").ask("hello")
    story.model("hello", "hi", 400, (1, 1))
    story.wait(90_000).end("bye", status)
    *_, row = rows(timeline(story.entries), T0)

    assert [*row[1:7], row[12]] == ["end", status, "Session end", "bye", 90_403, 90_403, status]
    assert judged(story.entries, len(story.entries) - 1).status == status


def test_end_of_a_graph_tells_its_state_in_words() -> None:
    """As the prompt tells the inputs: a state without an answer under a usual name is logged as JSON."""
    entries = Story("s").ask("Rome").end('{"topic":"Rome","draft":"Ciao","notes":[]}')

    assert rows(timeline(entries), T0)[-1][3:5] == ["Session end", "topic: Rome · draft: Ciao"]


def test_end_whose_answer_is_its_status_says_it_once() -> None:
    """If a session has no answer, the handler's `response` is the status itself."""
    *_, row = rows(timeline(Story("s").ask("hello").end("failed", "failed")), T0)

    assert row[4] == "failed"


def test_model_that_nothing_called_is_named_once() -> None:
    """A model outside any chain is its own issuer; one that a chain called has that chain's name before its answer."""
    story = Story("s").ask("hello")
    story.model("hello", "hi", 400, (1, 1), issuer="gemma3:4b")
    story.model("hello", "hi", 400, (1, 1), issuer="agent")

    assert [[*row[3:5], row[12]] for row in rows(timeline(story.entries), T0)[1:]] == [
        ["gemma3:4b", "hi", "Turn 1"],
        ["gemma3:4b", "hi", "Turn 2 · agent"],
    ]


@pytest.mark.parametrize("wrong", [None, 7, "text", [1], {"a": {"b": [None]}}, True, -1e300])
def test_fields_of_any_type_make_a_timeline(wrong: object) -> None:
    """Whatever is in the optional fields, the page can be drawn."""
    story = Story("s").ask("hello")
    for event_type in ("llm_call", "llm_response", "tool_call", "tool_response", "error", "recovery", "component_enter",
                       "human_oversight", "routing", "info", "session_end"):  # fmt: skip
        entry = story.log(event_type, 1)
        for name in ("meta", "llm_call", "llm_response", "tool_call", "tool_response", "error_info", "input_data",
                     "output_data", "target_component", "prompt", "performance_metrics"):  # fmt: skip
            entry[name] = wrong
    made = timeline(story.entries)

    assert len(rows(made, T0)) >= 5


def test_rows_name_their_entries() -> None:
    """By level and kind: timestamp and seq of each entry."""
    made = rows(timeline(sessions.recipe()), T0)

    assert [(row[0], row[1], row[13]) for row in made] == [
        (1, "prompt", [0, "1", 0, "2"]),
        (2, "model", [3, "3", 4_123, "4"]),
        (2, "model", [4_135, "5", 6_445, "6"]),
        (1, "prompt", [48_445, "7"]),
        (2, "model", [48_448, "8", 51_468, "9"]),
        (1, "end", [51_476, "10"]),
    ]


def test_row_leaves_out_no_argument_or_call_without_a_sign() -> None:
    """As many as fit, and `…` in place of the others; also for tools that a human must approve."""
    story = Story("s").ask("Go")
    many = [f"n{number}" for number in range(200)]
    for some in (many[:20], many):
        story.model("Go", "", 5, (1, 1), calls=[{"name": name, "args": {}} for name in some])
        story.tool_call("look", dict.fromkeys(some, 1), "c1")
        asked = {"action_requests": [{"name": name, "args": {}} for name in some]}
        story.log("human_oversight", 1, meta={"status": "interrupted"}, input_data={"value": asked})
    notes = [bar.note for bar in below(timeline(story.entries).roots) if bar.kind in ("model", "tool", "human")]

    assert sorted(note for note in notes if "…" not in note) == sorted(
        ["→ " + ", ".join(many[:20]), ", ".join(f"{name}: 1" for name in many[:20]),
         ", ".join(f"{name}()" for name in many[:20])]
    )  # fmt: skip
    assert [len(note) for note in notes if note.endswith("…")] == [161] * 3
