"""Two sessions side by side: the tools, the failures and the answer of each prompt."""

from __future__ import annotations

import pytest

from coagent_langchain.server.presentation.compare import sides
from tests.server import sessions
from tests.server.drawing import timeline
from tests.server.story import Story


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
