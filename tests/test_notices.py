"""What a program says at its end of events that the server has not accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from coagent_langchain.delivery.notices import Notices
from tests.delivery_parts import ADDRESS, LINES, delivery_to, line, spool_in
from tests.faulty_server import Answer, FaultyServer


@pytest.mark.parametrize(("kept", "see"), [(True, "; see coagent-langchain spool rejected"), (False, "")])
def test_program_says_at_its_end_what_has_not_arrived(kept: bool, see: str) -> None:
    """And by which commands to see or send it, unless rejected events are not kept."""
    notices = Notices(ADDRESS)
    notices.report_problem("refused", 2)
    notices.report_losses(1, "rejected", "bad")
    notices.report_losses(3, "lost", "a file was removed")
    notices.report_final_losses(4)

    assert notices.describe_unsent(2, kept) == [
        f"2 events waiting for {ADDRESS} (refused); to send them later: coagent-langchain spool flush",
        f"1 event for {ADDRESS} rejected: bad{see}",
        f"3 events for {ADDRESS} lost: a file was removed",
        f"4 events for {ADDRESS} lost at exit: refused",
    ]


def test_program_whose_server_is_right_again_names_no_problem() -> None:
    """What waits then has only not been sent yet."""
    notices = Notices(ADDRESS)
    notices.report_problem("refused", 2)
    notices.report_recovery(5)
    nothing = notices.describe_unsent(0, kept=True)
    notices.report_final_losses(1)

    assert (nothing, notices.describe_unsent(1, kept=True)) == ([], [
        f"1 event waiting for {ADDRESS}; to send them later: coagent-langchain spool flush",
        f"1 event for {ADDRESS} lost at exit: the server has not responded",
    ])  # fmt: skip


def test_folder_that_goes_and_comes_back_is_told_once_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The worker asks for news in each of its rounds."""
    (tmp_path / "d").write_text("")
    notices, spool = Notices(ADDRESS), spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)
    for _ in range(2):
        notices.report_spool_changes(spool)
    (tmp_path / "d").unlink()
    spool.return_to_folder()
    for _ in range(2):
        notices.report_spool_changes(spool)

    assert [message.partition(": ")[2][:31] for message in caplog.messages] == [
        "the spool folder cannot be used", "the spool folder can be used ag",
    ]  # fmt: skip


def test_program_that_cannot_use_its_folder_names_no_command_for_what_is_rejected(tmp_path: Path) -> None:
    """It is not kept."""
    (tmp_path / "file").write_text("")
    with (
        FaultyServer(lambda request: Answer(400, b'{"message": "bad"}')) as server,
        delivery_to(server.base_url, tmp_path / "file" / "d") as delivery,
    ):
        delivery.append(line("a"))
        delivery.flush(10)
        left = delivery.unsent()

    assert left == [f"1 event for {server.base_url} rejected: HTTP 400: bad"]


def test_program_without_a_spool_folder_says_that_its_events_are_lost() -> None:
    """No command can send them later."""
    with delivery_to("http://127.0.0.1:1/api/v1", None) as delivery:
        delivery.append(line("a"))
        delivery.report_losses()
        left = delivery.unsent()

    assert [told.rpartition(" at exit: ")[0] for told in left] == ["1 event for http://127.0.0.1:1/api/v1 lost"]
