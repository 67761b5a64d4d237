"""Questions to a human and their answers, as the timeline joins them."""

from __future__ import annotations

from typing import Any

import pytest

from coagent_langchain.server.presentation.rows import rows
from tests.server.drawing import drawn, judged, lines, oversight, timeline
from tests.server.story import T0, Story


def test_question_that_was_answered_elsewhere_is_not_unanswered() -> None:
    """The process that asked continues and does not know the answer."""
    story = Story("s").ask("book")
    oversight(story, "interrupted", "int-1", "Book it?")
    oversight(story, "resumed", None, "yes")
    oversight(story, "unanswered", "int-1", None)

    assert [(bar.status, bar.note) for bar in timeline(story.entries).roots[0].children] == [("ok", "Book it? → yes")]


@pytest.mark.parametrize("answer", ["int-1", None])
def test_answer_closes_the_question_also_when_it_does_not_name_it(answer: str | None) -> None:
    """A process that resumes another one's question does not know the interrupt's id; nothing stays open for it.

    Another client may log question and answer with one root run.
    """
    story = Story("s").ask("book").wait(5)
    story.root = story.run()
    oversight(story, "interrupted", "int-1", "Book it?")
    oversight(story.wait(60), "resumed", answer, "yes")

    assert [(line, bar.duration) for bar in timeline(story.entries).roots[0].children for line in lines(bar)] == [
        ("human Human ok", 60)
    ]


@pytest.mark.parametrize(("asked", "answered", "note"), [
    ("Book it?", "yes", "Book it? → yes"),
    ({"question": "Book it?", "price": 12}, {"ok": True}, "Book it? → ok: true"),
    ("word " * 40, "yes", "word " * 11 + "word… → yes"),
    ({"action_requests": [{"name": "weather", "args": {"city": "Rome"}}, {"name": "pay", "args": {}}]},
     {"decisions": [{"type": "approve"}, {"type": "reject", "message": "no way"}]},
     "weather(city: Rome), pay() → approve, reject: no way"),
    ({"type": "tool_approval", "tool_call_id": "c1", "name": "pay", "args": {"eur": 9}, "description": "Pay 9 EUR?"},
     {"type": "edit", "edited_action": {"name": "pay", "args": {"eur": 8}}}, "pay(eur: 9) → edit: pay(eur: 8)"),
    ({"type": "tool_approval", "name": "pay", "args": {}}, {"type": "respond", "message": "paid"},
     "pay() → respond: paid"),
    ([{"action_request": {"action": "pay", "args": {"eur": 9}}, "config": {}, "description": "Pay?"}],
     [{"type": "edit", "args": {"action": "pay", "args": {"eur": 8}}}], "pay(eur: 9) → edit: pay(eur: 8)"),
    ([{"action_request": {"action": "pay", "args": {}}}], [{"type": "response", "args": "later"}],
     "pay() → response: later"),
    ([{"action_request": {"action": "pay", "args": {}}}], [{"type": "accept", "args": None}], "pay() → accept"),
    ({"type": "mcp_elicitation", "tool_name": "book", "requests": [{"key": "day", "message": "Which day?"}]},
     {"responses": {"day": {"action": "accept", "content": {"day": "Monday"}}}}, "Which day? → accept: day: Monday"),
    ({"requests": [{"message": "Why?"}]}, {"responses": {"why": {"action": "decline"}}}, "Why? → decline"),
    ("Why?", {"responses": {"why": "so"}}, 'Why? → responses: {"why":"so"}'),
    (["Which one?"], ["car"], '["Which one?"] → ["car"]'),
    ("Which one?", {"type": "car"}, "Which one? → type: car"),
    ({"draft": "word " * 20, "price": 12}, {}, "price: 12, draft: " + "word " * 8 + "wo… → {}"), (None, "yes", "yes"),
    *(({"price": 12, name: "Book it?"}, None, "Book it?")
      for name in ("message", "prompt", "query", "instruction", "text")),
])  # fmt: skip
def test_row_of_a_human_says_what_was_asked_and_answered(asked: Any, answered: Any, note: str) -> None:
    """In short, also for questions of LangChain's approval middleware."""
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
    """Each has its own title; the step is done once it is answered."""
    story = Story("s").ask("book")
    oversight(story, "interrupted", "int-1", "Book it?")
    if answered:
        oversight(story, answered, "int-1", "yes")
    made = judged(story.entries, *range(2, len(story.entries)))

    assert (made.status, [part.title for one in made.entries for part in one.parts]) == (status, titles)


def test_answer_that_names_no_question_answers_all_that_are_open() -> None:
    """Two questions, one answered by name; the next answer is for the other one, the one after that for none."""
    story = Story("s").ask("book")
    for name in ("int-1", "int-2"):
        oversight(story.wait(10), "interrupted", name, f"{name}?")
    for answered in ("int-2", None, None):
        oversight(story.wait(100), "resumed", answered, "yes")

    assert [(bar.note, bar.duration) for bar in timeline(story.entries).roots[0].children] == [
        ("int-1? → yes", 210), ("int-2? → yes", 100), ("answers no open question · yes", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(("status", "shown"), [
    ("completed", ["ok", "unanswered", "unanswered"]), ("interrupted", ["ok", "unanswered", "waiting"]),
])  # fmt: skip
def test_question_that_nobody_answers_does_not_wait_for_ever(status: str, shown: list[str]) -> None:
    """An event says that it is unanswered, or the end of the session does, unless it ends with the question."""
    story = Story("s").ask("book")
    for name in ("int-1", "int-2", "int-3"):
        oversight(story, "interrupted", name, f"{name}?")
    oversight(story, "resumed", "int-1", "yes")
    oversight(story, "unanswered", "int-2", None)
    story.end("bye", status=status)

    assert [bar.status for bar in timeline(story.entries).roots[0].children] == shown


def test_answer_to_a_question_that_is_not_open_leaves_the_others_open() -> None:
    """Answers to an answered question and to one that nobody asked are rows of their own."""
    story = Story("s").ask("book")
    for name in ("int-1", "int-2"):
        oversight(story, "interrupted", name, f"{name}?")
    for name in ("int-1", "int-1", "int-of-another"):
        oversight(story, "resumed", name, "yes")

    assert [(bar.status, bar.note) for bar in timeline(story.entries).roots[0].children] == [
        ("ok", "int-1? → yes"), ("waiting", "int-2?"), ("ok", "yes"), ("ok", "yes"),
    ]  # fmt: skip


def test_run_that_answers_goes_on_with_the_prompt_that_asked() -> None:
    """The other process numbers from 1 again; its prompt number is that of an earlier question."""
    story = Story("s").ask("hello").ask("book")
    oversight(story.wait(5), "interrupted", "int-1", "Book it?")
    story.prompt, story.root = 1, story.run()
    oversight(story.wait(60), "resumed", None, "yes")
    story.model("book", "Booked.", 20, (1, 1))

    assert drawn(timeline(story.entries)) == [
        "prompt hello ok", "prompt book ok", "  human Human ok", "  model gemma3:4b ok",
    ]  # fmt: skip


@pytest.mark.parametrize(("status", "prompt"), [("completed", "ok"), ("cancelled", "cancelled")])
def test_end_with_a_question_says_nothing_of_a_prompt_that_the_answer_continues(status: str, prompt: str) -> None:
    """Its status is that of the next end, in another block and after the prompt that the answer opened."""
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
    """Neither by the response to a call in progress, nor by an unanswered question."""
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
