"""What dead processes left in a folder, and the locks that tell the living from the dead."""

from __future__ import annotations

import errno
import fcntl
import os
import posix
from pathlib import Path
from typing import Any

import pytest

from coagent_langchain.delivery import leftovers
from coagent_langchain.delivery.leftovers import Leftovers
from coagent_langchain.delivery.owner import Owner, dead_owners
from coagent_langchain.delivery.segment import HEADER_BYTES, header
from tests.delivery_parts import LINES, left_by_the_dead, read_all, spool_in
from tests.disk import open_files


def test_living_owner_is_not_adopted(tmp_path: Path) -> None:
    """The files of a living process stay its own."""
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)

    assert next(dead_owners(tmp_path / "d"), None) is None


def test_two_spools_in_one_folder_do_not_mix(tmp_path: Path) -> None:
    """Each reads only what it wrote itself."""
    one, two = spool_in(tmp_path / "d"), spool_in(tmp_path / "d")
    one.append(LINES[1], 1)
    two.append(LINES[2], 1)

    assert (one.read(), two.read()) == (LINES[1], LINES[2])


def test_dead_owners_are_adopted_the_oldest_first(tmp_path: Path) -> None:
    """The owner with the oldest segment comes first, and its segments in the order they were written."""
    for number, owner in enumerate(["9-00000001", "3-00000002"]):
        for part in range(2):
            path = left_by_the_dead(tmp_path / "d", header(HEADER_BYTES) + LINES[2 * number + part], owner, part)
            os.utime(path, (1000 + number, 1000 + number))

    assert read_all(Leftovers(tmp_path / "d")) == b"".join(LINES[:4])


def test_an_owner_that_dies_during_a_round_has_its_turn_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is listed once per round, so that thousands of owners do not take long."""
    for number in range(3):
        path = left_by_the_dead(tmp_path / "d", header(HEADER_BYTES) + LINES[number], f"9-0000000{number}")
        os.utime(path, (1000 + number, 1000 + number))
    monkeypatch.setattr(leftovers, "LOOK_EVERY_S", 0.0)
    source = Leftovers(tmp_path / "d")
    first = source.read()
    late = left_by_the_dead(tmp_path / "d", header(HEADER_BYTES) + LINES[3], "9-00000009")
    os.utime(late, (1, 1))
    source.settle(len(first), 1)

    assert (first, read_all(source)) == (LINES[0], b"".join(LINES[1:4]))


def test_file_that_could_not_be_opened_has_its_turn_in_the_next_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process may have had too many files open, which passes."""
    path = left_by_the_dead(tmp_path / "d", header(HEADER_BYTES) + LINES[0])
    opened = os.open

    def exhausted(file: Any, *arguments: Any) -> int:
        if file == path:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return opened(file, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(posix, "open", exhausted)  # a real limit would hit the lock file as well
        missed = read_all(Leftovers(tmp_path / "d"))
    found = read_all(Leftovers(tmp_path / "d"))

    assert (missed, found, [*(tmp_path / "d").iterdir()]) == (b"", LINES[0], [])


def test_adopted_segments_leave_nothing_open(tmp_path: Path) -> None:
    """Each file is closed and removed when it is settled, the lock file with the last of them; or closed and left."""
    for number in range(3):
        left_by_the_dead(tmp_path / "d", header(HEADER_BYTES) + LINES[number], number=number)
    before, opened = open_files(), []
    source = Leftovers(tmp_path / "d")
    source.read()
    opened.append(len(open_files() - before))
    source.abandon()
    opened.append(len(open_files() - before))
    found = read_all(Leftovers(tmp_path / "d"))
    opened.append(len(open_files() - before))

    assert (found, opened, list((tmp_path / "d").iterdir())) == (b"".join(LINES[:3]), [2, 0, 0], [])


def test_an_owner_is_adopted_by_one_only(tmp_path: Path) -> None:
    """While one process sends a dead owner's entries, no other does."""
    left_by_the_dead(tmp_path / "d", header(HEADER_BYTES) + LINES[0])
    first = next(dead_owners(tmp_path / "d"), None)
    second = next(dead_owners(tmp_path / "d"), None)

    assert (first is not None, second) == (True, None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's file")
def test_other_users_files_are_left_alone(tmp_path: Path) -> None:
    """In a shared folder, another user's entries are not sent with this user's token."""
    path = left_by_the_dead(tmp_path / "d", header(HEADER_BYTES) + LINES[0])
    os.chown(path, 12345, 12345)

    assert (next(dead_owners(tmp_path / "d"), None), path.exists()) == (None, True)


def test_links_in_the_folder_are_not_followed(tmp_path: Path) -> None:
    """A symbolic link with a segment's name is ignored."""
    target = tmp_path / "private"
    target.write_bytes(header(HEADER_BYTES) + LINES[0])
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "1-deadbeef-000000.jsonl").symlink_to(target)

    assert (next(dead_owners(tmp_path / "d"), None), target.exists()) == (None, True)


def test_released_owner_leaves_no_lock_file(tmp_path: Path) -> None:
    """The lock file is removed and closed with its owner, and the name can be claimed again."""
    before = open_files()
    owner = Owner.create(tmp_path)
    refused = Owner.claim(tmp_path, owner.name)
    owner.release()
    left = list(tmp_path.iterdir()), len(open_files() - before)
    again = Owner.claim(tmp_path, owner.name)

    assert (refused, left, again is not None) == (None, ([], 0), True)


def test_lock_file_of_a_process_that_left_no_segment_is_removed(tmp_path: Path) -> None:
    """On a full disk each process would leave another. That of a living process, and other files, stay."""
    Owner.create(tmp_path).abandon()
    living = Owner.create(tmp_path)
    (tmp_path / "other.lock").touch()
    read_all(Leftovers(tmp_path))

    assert {path.name for path in tmp_path.iterdir()} == {f"{living.name}.lock", "other.lock"}


def test_new_lock_file_that_another_process_takes_for_a_dead_ones_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come between the file's creation and its lock, a moment that no real process can be made to hit."""
    lock, made = fcntl.flock, []

    def late(descriptor: int, operation: int) -> None:
        made.append(descriptor)
        if len(made) == 1:
            raise BlockingIOError(errno.EWOULDBLOCK, "locked")
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    owner = Owner.create(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [f"{owner.name}.lock"]


def test_folder_that_knows_no_locks_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock file that cannot be locked is removed: each process would leave another."""

    def unknown(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with pytest.raises(OSError, match="no lock file could be held"):
        Owner.create(tmp_path)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("made_anew", [False, True])
def test_lock_file_that_goes_while_it_is_claimed_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_anew: bool
) -> None:
    """A lock on a file just removed claims nothing, even if a new file has its name by then."""
    owner, lock = Owner.create(tmp_path), fcntl.flock

    def slow(descriptor: int, operation: int) -> None:
        owner.release()
        if made_anew:
            (tmp_path / f"{owner.name}.lock").touch()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", slow)

    assert Owner.claim(tmp_path, owner.name) is None


def test_file_that_cannot_be_read_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken disk is tried again and again; each time, the opened file is closed."""
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)
    before = open_files()

    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(posix, "pread", broken)
        for _ in range(5):
            with pytest.raises(OSError, match="Input/output"):
                spool.read()
        told = spool.first_line()
    opened = open_files() - before

    assert (told, opened, spool.read()) == (b"", set(), LINES[0])
