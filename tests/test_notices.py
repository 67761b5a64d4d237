"""What a program says at its end of events that the server has not accepted."""

from __future__ import annotations

import pytest

from coagent_langchain.delivery.notices import Notices
from tests.delivery_parts import delivery_to, line

WHERE = "http://localhost:3000/api/v1"


@pytest.mark.parametrize(("kept", "lines"), [
    (True, [
        f"2 events waiting for {WHERE} (refused); to send them later: coagent-langchain spool flush",
        f"1 event for {WHERE} rejected: bad; see coagent-langchain spool rejected",
        f"3 events for {WHERE} lost: a file was removed",
    ]),
    (False, [
        f"lost 2 events for {WHERE} (refused)", f"1 event for {WHERE} rejected: bad",
        f"3 events for {WHERE} lost: a file was removed",
    ]),
])  # fmt: skip
def test_program_says_at_its_end_what_has_not_arrived(kept: bool, lines: list[str]) -> None:
    """And by which commands to see or send it, unless nothing is kept for them."""
    notices = Notices(WHERE)
    notices.wrong("refused", 2)
    notices.gone(1, "rejected", "bad")
    notices.gone(3, "lost", "a file was removed")

    assert notices.left(2, kept) == lines


def test_program_whose_server_is_right_again_names_no_problem() -> None:
    """What waits then has only not been sent yet."""
    notices = Notices(WHERE)
    notices.wrong("refused", 2)
    notices.right(5)

    assert (notices.left(1, False), notices.left(0, False)) == ([f"lost 1 event for {WHERE}"], [])


def test_program_without_a_spool_folder_says_that_its_events_are_lost() -> None:
    """No command can send them later."""
    with delivery_to("http://127.0.0.1:1/api/v1", None) as delivery:
        delivery.append(line("a"))
        left = delivery.left()

    assert [told.partition(" (")[0] for told in left] == ["lost 1 event for http://127.0.0.1:1/api/v1"]
