"""Entries become bars: prompts, turns, the tree, times and totals. Pure functions on sessions written by hand."""

from __future__ import annotations

import pytest

from coagent_langchain.server.presentation.bars import total
from coagent_langchain.server.presentation.rows import rows
from coagent_langchain.server.store.rollup import roll_up
from coagent_langchain.wire import EventType
from tests.server import sessions
from tests.server.drawing import drawn, lines, oversight, timeline
from tests.server.story import T0, Story


def test_tree_follows_parent_runs_and_turns_group_what_belongs_together() -> None:
    """Nodes contain their calls, a sub-agent is inside the tool that called it, a retry beside its failed attempt."""
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
    """A message between a model's call and its tool calls, from a client that sets no turn on it."""
    story = Story("s").ask("Where?")
    story.model("Where?", "", 10, (1, 1))
    story.log("info", 0, story.root, output_data={"message": "asks for a tool"})
    story.tool("map", {}, "here", 5, "1")

    assert drawn(timeline(story.entries)) == [
        "prompt Where? ok", "  turn Turn 1 ok", "    model gemma3:4b ok", "    note Info ok", "    tool map ok",
    ]  # fmt: skip


def test_node_belongs_to_the_turn_of_its_first_call() -> None:
    """A message that it logs before that call still has the turn before it."""
    story = Story("s").ask("Write")
    story.model("Write", "a plan", 10, (1, 1), parent=story.enter("planner"))
    node = story.enter("writer")
    story.log("info", 1, story.run(), node, output_data={"message": "has a plan"})
    story.model("Write", "a text", 10, (1, 1), parent=node)

    assert [(bar.label, bar.turn) for bar in timeline(story.entries).roots[0].children] == [
        ("planner", 1), ("writer", 2),
    ]  # fmt: skip


def test_tool_belongs_to_the_turn_that_called_it() -> None:
    """An agent inside it continues to count, but the tool stays beside the model that asked for it."""
    story = Story("s").ask("Where?")
    story.model("Where?", "", 10, (1, 1))
    tool = story.tool_call("agent", {}, "c1")
    story.model("Find it", "here", 10, (1, 1), parent=tool)
    story.tool_done(tool, "agent", "here", 10, "c1", turn=1)

    assert drawn(timeline(story.entries)) == [
        "prompt Where? ok",
        "  turn Turn 1 ok",
        "    model gemma3:4b ok",
        "    tool agent ok",
        "      model gemma3:4b ok",
    ]


def test_what_follows_the_turns_of_a_sub_agent_belongs_to_the_turn_that_called_it() -> None:
    """A middleware before the agent's next call has the number of the sub-agent's last turn."""
    story = Story("s").ask("Where?")
    story.model("Where?", "", 10, (1, 1), parent=story.enter("model"))
    tool = story.tool_call("agent", {}, "c1", parent=story.enter("tools"))
    story.model("Find it", "here", 10, (1, 1), parent=tool)
    story.tool_done(tool, "agent", "here", 10, "c1", turn=1)
    story.enter("trim")
    story.model("Where?", "there", 10, (1, 1), parent=story.enter("model"))

    assert drawn(timeline(story.entries)) == [
        "prompt Where? open",
        "  turn Turn 1 open",
        "    component model open",
        "      model gemma3:4b ok",
        "    component tools open",
        "      tool agent ok",
        "        model gemma3:4b ok",
        "    component trim open",
        "  component model open",
        "    model gemma3:4b ok",
    ]


def test_what_follows_the_turns_of_a_subgraph_is_beside_it() -> None:
    """No turn called it: a row for its first turn would contain all of its turns, and the node after it."""
    story = Story("s").ask("Where?")
    agent = story.enter("agent")
    for answer in ("first", "here"):
        story.model("Find it", answer, 10, (1, 1), parent=story.enter("model", parent=agent))
    story.enter("trim")

    assert drawn(timeline(story.entries)) == [
        "prompt Where? open",
        "  component agent open",
        "    component model open",
        "      model gemma3:4b ok",
        "    component model open",
        "      model gemma3:4b ok",
        "  component trim open",
    ]


def test_each_user_input_opens_a_prompt() -> None:
    """A process that continues a conversation numbers from 1 again: its prompts are separate, after the first end."""
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
    """Even if the next prompt begins in the same millisecond, with a call whose duration says that it began before."""
    story = Story("s").ask("first")
    story.end("1")
    story.ask("second").answer(story.call("second"), "2", took, (1, 1))

    assert drawn(timeline(story.end("2"))) == [
        "prompt first ok", "end Session end completed",
        "prompt second ok", "  model gemma3:4b ok", "end Session end completed",
    ]  # fmt: skip


@pytest.mark.parametrize("at", [0, 5_000], ids=["before", "after"])
def test_start_of_a_session_tells_nothing_of_how_long_a_prompt_took(at: int) -> None:
    """A process that joins a conversation logs a start, which may be long before the prompt or long after it."""
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


def test_run_stays_in_the_prompt_in_which_it_began() -> None:
    """A run that asked nothing: its later calls do not move to the question that another one asks meanwhile."""
    story = Story("s")
    story.log("user_input", prompt="first")
    story.root = story.run()
    story.wait(10).model("first", "1", 5, (1, 1))
    story.wait(10).log("user_input", prompt="second")
    story.wait(10).model("first", "2", 5, (1, 1))

    assert [(root.label, [bar.note for bar in root.children]) for root in timeline(story.entries).roots] == [
        ("first", ["1", "2"]), ("second", []),
    ]  # fmt: skip


@pytest.mark.parametrize(("texts", "label"), [(["Rome?", "Or Paris?"], "Or Paris?"), (["Rome?", ""], "Rome?")])
def test_inputs_of_one_run_are_one_prompt(texts: list[str], label: str) -> None:
    """It is called by the last of them that has words."""
    story = Story("s")
    story.root = story.run()
    for text in texts:
        story.wait(10).log("user_input", run=story.root, prompt=text)

    assert [(root.label, len(root.events)) for root in timeline(story.entries).roots] == [(label, 2)]


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
    """With two workers in one conversation, each event belongs to the prompt of its own root run, not to the latest."""
    one, two = Story("s", T0).ask("first"), Story("s", T0 + 1, first=100).ask("second")
    one.model("to the first", "1", 400, (1, 1))
    two.model("to the second", "2", 100, (1, 1))
    made = timeline(sorted(one.entries + two.entries, key=lambda entry: entry["timestamp"]))

    assert [(root.label, [bar.note for bar in root.children], len(root.events)) for root in made.roots] == [
        ("first", ["1"], 2),
        ("second", ["2"], 2),
    ]


def test_calls_of_a_run_that_asked_nothing_go_to_the_question_before_them() -> None:
    """If prompts name no run, as with `session.prompt("…")`, time decides between those of the same number."""
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
    """As in the reference's own example: a client that logs by hand begins its second prompt with a model call.

    A session of which only the start is logged is called by its own.
    """
    story = Story("s").ask("Generate recipes")
    story.model("Create three recipes", "Soup", 5, (1, 1))
    story.prompt = 2
    story.log("llm_call", 1, prompt="Convert these recipes")
    story.log("llm_response", 1, llm_response={"response": "Tofu soup"})

    assert [(root.label, [bar.note for bar in root.children]) for root in timeline(story.entries).roots] == [
        ("Generate recipes", ["Soup"]),
        ("Convert these recipes", ["Tofu soup"]),
    ]
    assert [root.label for root in timeline([Story("s").log("session_start", prompt="Plan it")]).roots] == ["Plan it"]


def test_prompt_that_no_entry_opened_is_not_called_by_the_arguments_of_a_tool() -> None:
    """Even if the tool was called before the model."""
    story = Story("s")
    story.log("tool_call", tool_call={"tool_name": "search", "parameters": {"query": "soup"}})
    story.log("llm_call", 1, prompt="Convert these recipes")

    assert [root.label for root in timeline(story.entries).roots] == ["Convert these recipes"]


def test_answers_without_calls_and_names_are_called_by_their_kind() -> None:
    """A client that logs only responses need not name a model; tree, tables and chart still show something."""
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
    """As in the list's totals: if a client subtracts the wrong way round, no bar of the chart points downwards."""
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
    """It is found by LangGraph's checkpoint namespace, which both have, or as the nearest ancestor that has events."""
    story = Story("s").ask("Why?")
    meta = {"framework": {"checkpoint_ns": "planner:1"}}
    node = story.run()
    story.log("component_enter", 0, node, story.root, target_component={"name": "planner"}, meta=meta)
    for name in ("map", "trains"):
        story.log("tool_call", 0, story.run(), f"not logged: {name}", tool_call={"tool_name": name}, meta=meta)
    story.log("tool_call", 0, story.run(), "not logged: walk", tool_call={"tool_name": "walk"})
    story.entries[-1]["meta"]["trace"]["within_run_id"] = node

    assert drawn(timeline(story.entries)) == [
        "prompt Why? open", "  component planner open", "    tool map open", "    tool trains open",
        "    tool walk open",
    ]  # fmt: skip


def test_call_that_names_only_its_root_stands_in_it() -> None:
    """Two entries without a parent are not attempts of one node."""
    story = Story("s").ask("Why?")
    story.root = story.run()
    story.log("component_enter", 0, story.root, target_component={"name": "agent"})
    story.log("tool_call", 0, story.run(), tool_call={"tool_name": "map"})

    assert drawn(timeline(story.entries)) == ["prompt Why? open", "  component agent open", "    tool map open"]


@pytest.mark.parametrize(("kind", "row"), [("info", "note Info ok"), ("recovery", "recovery Recovery ok")])
@pytest.mark.parametrize("logged", [True, False])
def test_event_stands_in_the_run_that_logged_it(kind: str, row: str, logged: bool) -> None:
    """Or in the run around it, if that one is not logged itself."""
    story = Story("s").ask("Why?")
    around = story.enter("agent")
    inner = story.enter("planner", around) if logged else story.run()
    story.log(kind, 0, inner, around)
    within = ["    component planner open", f"      {row}"] if logged else [f"    {row}"]

    assert drawn(timeline(story.entries)) == ["prompt Why? open", "  component agent open", *within]


def test_attempts_of_a_node_stand_beside_each_other() -> None:
    """LangGraph's RetryPolicy: attempts have the same parent run and checkpoint namespace, and all count."""
    story = Story("s").ask("hello")
    story.root = story.run()
    story.log("component_enter", 0, story.root, target_component={"name": "agent"})
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
        "prompt hello open", "  component agent open",
        "    component fetch recovered", "    component fetch recovered", "    component fetch ok",
    ]  # fmt: skip
    assert rows(made, T0)[0][4] == "2 errors"


def test_prompt_that_another_process_continues_has_the_turns_of_both() -> None:
    """The other process may number from 1 if its handler does not ask the server; a rerun tool adds no turn."""
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
    """Including a sub-agent's turns, and one of which only a tool is logged.

    An error counts once, as in the session's `errors`, whatever it ended.
    """
    story = Story("s").ask("hello")
    node = story.enter("tools")
    tool = story.tool_call("agent", {}, "c1", node)
    story.model("a", "1", 5, (1, 1), parent=tool)
    run = story.call("b", parent=tool)
    info = {"error_id": "e-1", "error_type": "RateLimitError", "error_message": "later"}
    story.log("error", 2, run, tool, error_info=info)
    story.log("tool_response", 0, tool, node, tool_response={"tool_name": "agent", "success": False})
    story.log("component_exit", 0, node, story.root, meta={"outcome": "error"})
    story.tool("map", {}, "here", 5, "c2", turn=3)
    prompt, *_ = rows(timeline(story.entries), T0)

    assert prompt[4] == "3 turns · 1 error"


def test_response_without_call_is_as_long_as_it_says() -> None:
    """A client that logs only responses still gets bars: they begin `execution_time_ms` earlier."""
    story = Story("s", at=10_000)
    story.log("llm_response", 1, llm_response={"response": "hi", "execution_time_ms": 400})
    made = timeline(story.entries)
    (bar,), (prompt,) = made.models, made.roots

    assert (bar.start, bar.end, bar.status, prompt.start) == (9_600, 10_000, "ok", 9_600)


def test_failed_call_is_as_long_as_its_error_says() -> None:
    """A client that logs a call and its error together reports the duration by `execution_time_ms`."""
    story = Story("s", at=10_000)
    story.log("llm_call", 1, prompt="Why?")
    story.log("error", 1, error_info={"error_message": "out of memory"}, meta={"execution_time_ms": 800})
    (bar,) = timeline(story.entries).models

    assert (bar.start, bar.end, bar.duration, bar.status) == (9_200, 10_000, 800, "error")


def test_tokens_cost_and_errors_add_up_towards_the_root() -> None:
    """The figures of a prompt or turn are the totals of what is below it, including sub-agents."""
    first, second, _ = timeline(sessions.trip()).roots

    assert [(p.input, p.output, p.cached, round(p.cost, 5), p.errors) for p in (first, second)] == [
        (7_860, 607, 2_432, 0.00237, 1),
        (9_883, 102, 9_216, 0.0012, 0),
    ]
    assert [(turn.label, turn.input, turn.output) for turn in first.children if turn.kind == "turn"] == [
        ("Turn 1", 3_472, 205)
    ]


@pytest.mark.parametrize("event_type", [str(each) for each in EventType])
def test_cost_of_any_event_is_in_the_tree(event_type: str) -> None:
    """The session's figures count it, whatever the type; the prompts and the end together have the same sum."""
    story = Story("s").ask("hello")
    story.log(event_type, performance_metrics={"cost": 0.25})
    story.log(event_type, performance_metrics={"cost": 0.5})
    (counted,) = roll_up(story.entries)

    assert (total(bar.cost for bar in timeline(story.entries).roots), counted.cost) == (0.75, 0.75)


def test_hostile_run_ids_make_no_cycle_and_lose_no_row() -> None:
    """If runs name each other or themselves as parents, every bar is in the tree exactly once."""
    story = Story("s").ask("hello")
    for run, parent in (("a", "b"), ("b", "a"), ("c", "c")):
        story.log("tool_call", 1, run, parent, tool_call={"tool_name": run, "parameters": {}})
    made = drawn(timeline(story.entries))

    assert sorted(line.split()[1] for line in made if "tool" in line) == ["a", "b", "c"]
