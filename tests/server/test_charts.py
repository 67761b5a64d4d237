"""The figures beside the timeline: token bars, tables of models and tools, totals."""

from __future__ import annotations

from coagent_langchain.server.presentation.charts import overview, token_bars, used
from coagent_langchain.server.store.rollup import roll_up
from tests.server import sessions
from tests.server.drawing import timeline
from tests.server.story import Story


def test_median_and_longest_leave_out_what_was_answered_in_place_of_the_call() -> None:
    """Only the tool's or model's own responses say how long it takes."""
    story = Story("s").ask("mail")
    in_place = ((0, "not run"), (1000, "answered by node"), (2000, "answered by application"))
    for took, outcome in ((900, ""), *in_place):
        run = story.tool_call("send_mail", {}, f"c{took}")
        answer = {"tool_name": "send_mail", "success": True, "execution_time_ms": took}
        story.wait(took).log("tool_response", 0, run, tool_response=answer, meta={"outcome": outcome})
    for took, reused in ((500, False), (1, True)):
        story.model("a", "1", took, (10, 2), cached=reused)
        story.entries[-1]["meta"]["cached"] = reused
    made = timeline(story.entries)

    assert [(row.name, row.calls, row.median_ms, row.longest) for row in used(made.tools)] == [
        ("send_mail", 4, 900, made.tools[0]),
    ]  # fmt: skip
    assert [(row.name, row.calls, row.median_ms, row.longest) for row in used(made.models)] == [
        ("gemma3:4b", 2, 500, made.models[0]),
    ]  # fmt: skip


def test_token_bars_stack_to_the_highest_call() -> None:
    """Heights are proportional; cached input is part of the input."""
    bars = token_bars(timeline(sessions.recipe()).models)

    assert [(bar.cached, bar.fresh, bar.output) for bar in bars] == [
        (0.0, 6.17, 20.87),
        (5.69, 21.05, 12.04),
        (26.74, 14.88, 18.38),
    ]


def test_token_bar_says_which_call_it_is_and_leads_to_its_answer() -> None:
    """At its place in the chart, with the figures that it shows."""
    story = Story("s").ask("hello")
    story.model("a", "1", 5, (1_000, 20), cached=400)
    story.model("b", "2", 5, (30, 4), model="")
    story.ask("and?").call("c")
    bars = token_bars(timeline(story.entries).models)

    assert [(bar.x, bar.width, bar.title, bar.seq) for bar in bars] == [
        (0, 2.88, "gemma3:4b, turn 1.1: 1,000 in (400 cached), 20 out", 4),
        (4, 2.88, "ChatOllama, turn 1.2: 30 in (0 cached), 4 out", 6),
        (8, 2.88, "gemma3:4b, turn 2.1: – in (– cached), – out", 8),
    ]


def test_token_bar_of_several_calls_says_so() -> None:
    """It has the tokens of all of them."""
    story = Story("s").ask("hello")
    for number in range(121):
        story.model("a", "1", 5, (number, 1))
    bars = token_bars(timeline(story.entries).models)

    assert [(bar.title, bar.seq) for bar in (bars[0], bars[1], bars[-1])] == [
        ("2 calls from turn 1.1: 1 in (0 cached), 2 out", 4), ("2 calls from turn 1.3: 5 in (0 cached), 2 out", 8),
        ("gemma3:4b, turn 1.121: 120 in (0 cached), 1 out", 244),
    ]  # fmt: skip


def test_answers_from_a_cache_use_nothing() -> None:
    """The first call used the tokens that the second one names: prompt and overview have the session's totals."""
    story = Story("s").ask("hello")
    for reused in (False, True):
        story.model("a", "1", 5, (10, 2), cached=4)
        story.entries[-1]["meta"]["cached"] = reused
    made = timeline(story.entries)
    (summed,) = roll_up(story.entries)
    figures = [(bar.input, bar.output, bar.cached) for bar in (made.roots[0], *made.models)]

    assert figures == [(10, 2, 4), (10, 2, 4), (0, 0, 0)]
    assert [summed.counts[f"{name}_tokens"] for name in ("input", "output", "cached")] == [10, 2, 4]
    assert (overview(made)["tokens"], [row.tokens for row in overview(made)["models"]]) == (12, [12])


def test_many_calls_share_bars() -> None:
    """A thousand calls make at most 120 bars, and none is omitted."""
    calls = timeline(sessions.big(10_000)).models
    bars = token_bars(calls)

    assert (len(calls), len(bars) <= 120, bars[-1].x + bars[-1].width <= 100) == (999, True, True)


def test_longest_call_is_one_that_has_ended() -> None:
    """One that still runs has no duration yet: it counts as a call alone."""
    story = Story("s").ask("hello")
    for took in (20, 300, 100):
        story.tool("map", {}, "here", took, "")
    story.tool_call("map", {}, "")
    made = timeline(story.entries)

    assert [(row.calls, row.median_ms, row.longest) for row in used(made.tools)] == [(4, 100, made.tools[1])]


def test_used_counts_calls_errors_and_median() -> None:
    """The table of tools: most calls first, then by name."""
    made = used(timeline(sessions.trip()).tools)

    assert [(row.name, row.calls, row.errors, row.median_ms) for row in made] == [
        ("train_search", 2, 1, 915.5), ("book_train", 1, 0, 860), ("flight_search", 1, 0, 1040),
        ("research_agent", 1, 0, 2790), ("search_index", 1, 0, 88),
    ]  # fmt: skip
