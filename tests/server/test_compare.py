"""Two sessions side by side: the tools, the failures and the response of each prompt."""

from __future__ import annotations

import pytest

from tests.server import sessions
from tests.server.drawing import comparison
from tests.server.story import Story


def test_comparison_names_the_tools_in_their_order() -> None:
    """The tools of each prompt, without those that a tool called."""
    assert [side.tools for side in comparison(sessions.trip())] == [
        ["flight_search", "train_search", "research_agent", "train_search"],
        ["book_train"],
    ]


def test_comparison_tells_what_failed_beside_a_branch_that_answered() -> None:
    """Of parallel branches the last to end counts, wherever it began; the tools are in the order of their calls."""
    story = Story("s").ask("Rome?")
    slow = story.tool_call("tickets", {}, "c1")
    story.tool("wiki", {}, "sunny", 5, "c2")
    story.model("Rome?", "Sunny.", 5, (1, 1))
    story.wait(5).log("error", 0, slow, error_info={"error_type": "TimeoutError", "error_message": "no tickets"})
    (side,) = comparison(story.entries)

    assert (side.answer, side.error, side.tools) == ("Sunny.", "TimeoutError: no tickets", ["tickets", "wiki"])


@pytest.mark.parametrize(("recovered", "error"), [(False, "ValueError: no sources"), (True, "")])
def test_comparison_tells_what_failed_before_another_branch_answered(recovered: bool, error: str) -> None:
    """As in the details of the prompt; errors that the agent recovered from are only counted."""
    story = Story("s").ask("Rome?")
    info = {"error_id": "e-1", "error_type": "ValueError", "error_message": "no sources"}
    node = story.enter("cite")
    story.log("error", 0, node, story.root, "cite", error_info=info)
    if recovered:
        story.log("recovery", 0, node, story.root, "cite", error_info={"error_id": "e-1"})
    story.leave(node, "cite", 5)
    story.model("Rome?", "Sunny.", 5, (1, 1))
    (side,) = comparison(story.entries)

    assert (side.answer, side.error) == ("Sunny.", error)


def test_comparison_has_the_first_prompts_alone() -> None:
    """One page of them: a session may have thousands."""
    story = Story("s")
    for number in range(51):
        story.ask(str(number))

    assert [side.prompt for side in comparison(story.entries)] == [str(number) for number in range(50)]
