"""The file of entries that a server has rejected."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from coagent_langchain.delivery.rejected import MAX_BYTES, keep_rejected, rejected_entries
from tests.delivery_parts import ids, line
from tests.disk import largest_file, open_files


def test_rejected_entries_have_a_bound(tmp_path: Path) -> None:
    """A full file is replaced by a new one, and the one before it is kept."""
    for event_id in ids(8):
        keep_rejected(tmp_path, line(event_id, "x" * (MAX_BYTES // 3)), "no")  # two of them fill a file
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]

    assert (len(sizes), max(sizes) < MAX_BYTES) == (2, True)
    assert [record["entry"]["event_id"] for record in rejected_entries(tmp_path)] == ["e4", "e5", "e6", "e7"]


def test_rejected_entries_leave_nothing_open(tmp_path: Path) -> None:
    """However many are kept, no file stays open."""
    before = open_files()
    for event_id in ids(3):
        keep_rejected(tmp_path, line(event_id), "no")

    assert open_files() - before == set()


def test_rejected_entries_are_for_this_user_alone(tmp_path: Path) -> None:
    """Their file is private, as those of waiting events are."""
    keep_rejected(tmp_path, line("a"), "no")

    assert stat.S_IMODE((tmp_path / "rejected.jsonl").stat().st_mode) == 0o600


def test_link_in_the_place_of_rejected_entries_is_not_followed(tmp_path: Path) -> None:
    """In a shared folder, someone else's link cannot make us write to its target."""
    (tmp_path / "private").write_text("mine")
    (tmp_path / "rejected.jsonl").symlink_to(tmp_path / "private")
    keep_rejected(tmp_path, line("a"), "no")

    assert (tmp_path / "private").read_text() == "mine"


def test_rejected_entry_is_kept_while_another_process_starts_the_file_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process finds no file to move, and starts the next one."""
    keep_rejected(tmp_path, line("first", "x" * MAX_BYTES), "why")
    replace = Path.replace

    def by_both(path: Path, target: Path) -> Path:
        replace(path, target)
        return replace(path, target)

    with monkeypatch.context() as another:
        another.setattr(Path, "replace", by_both)
        keep_rejected(tmp_path, line("second"), "why")

    assert [record["entry"]["event_id"] for record in rejected_entries(tmp_path)] == ["first", "second"]


def test_rejected_entry_that_the_disk_has_no_room_for_is_taken_back(tmp_path: Path) -> None:
    """A partial record would run into the next one."""
    with largest_file(20):
        keep_rejected(tmp_path, line("torn"), "why")
    keep_rejected(tmp_path, line("next"), "why")

    assert [record["entry"]["event_id"] for record in rejected_entries(tmp_path)] == ["next"]
