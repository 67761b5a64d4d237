"""A spool whose folder cannot be used, is full, goes away or comes back."""

from __future__ import annotations

import errno
import os
import posix
import shutil
import tempfile
from pathlib import Path

import pytest

from coagent_langchain.delivery.folder import address_of, make_private_folder
from coagent_langchain.delivery.owner import dead_owners
from coagent_langchain.delivery.segment import HEADER_BYTES, header, waiting_lines
from coagent_langchain.delivery.spool import NAMELESS_BYTES, SEGMENT_BYTES
from tests.delivery_parts import ADDRESS, LINES, left_by_the_dead, read_all, segments, spool_in
from tests.disk import largest_file, no_more_files, open_files


@pytest.mark.parametrize("what", ["a file", "below a file", "a dangling link"])
def test_unusable_folder_falls_back_to_a_nameless_file(tmp_path: Path, what: str) -> None:
    """If the folder cannot be created, entries are kept until the process ends, and the reason is stored."""
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "at" / "all")
    folder = {"a file": "file", "below a file": "file/x/y", "a dangling link": "link"}[what]
    spool = spool_in(tmp_path / folder)
    for line in LINES:
        spool.append(line, 1)

    assert (spool.written, spool.read(), bool(spool.fallback)) == (5, b"".join(LINES), True)


def test_nameless_file_lies_on_the_disk_before_it_takes_memory(tmp_path: Path) -> None:
    """The temporary folder replaces an unusable one; only a spool without a folder starts in memory."""
    (tmp_path / "file").write_text("")
    opened = []
    for folder in (tmp_path / "file", None):
        spool = spool_in(folder)
        spool.append(LINES[0], 1)
        opened.append(os.readlink(f"/proc/self/fd/{spool._segments[0].descriptor}"))

    assert [path.startswith("/memfd:") for path in opened] == [False, True]


def test_memory_stands_in_where_there_is_no_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This happens in a container with a read-only file system."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    spool = spool_in(tmp_path / "file")
    spool.append(LINES[0], 1)

    assert (spool.written, spool.read()) == (1, LINES[0])


def test_full_disk_is_told_with_the_folder(tmp_path: Path) -> None:
    """A file can be created but not written, and the write error names no file."""
    spool = spool_in(tmp_path / "d")
    with largest_file(0):
        spool.append(LINES[0], 1)

    assert spool.fallback == f"{os.strerror(errno.EFBIG)}: {tmp_path / 'd'}"


def test_too_many_open_files_do_not_give_the_folder_up(tmp_path: Path) -> None:
    """They are closed some time: the last file takes all entries until the next one can be opened."""
    spool = spool_in(tmp_path / "d")
    spool.append(b'"' + b"x" * SEGMENT_BYTES + b'"\n', 1)
    with no_more_files():
        spool.append(LINES[0], 1)
        fallback = spool.fallback
    spool.append(LINES[1], 1)

    assert (fallback, spool.written, spool.refused, len(segments(tmp_path / "d"))) == (None, 3, 0, 2)


def test_disk_that_has_filled_up_is_left_until_it_has_space(tmp_path: Path) -> None:
    """What comes after its last file waits in memory, and moves to the folder later."""
    spool = spool_in(tmp_path / "d")
    spool.append(b'"' + b"x" * SEGMENT_BYTES + b'"\n', 1)
    with largest_file(0):
        spool.append(LINES[0], 1)  # not even memory takes it
        fallback = spool.fallback
    spool.append(LINES[1], 1)
    left = (spool.unkept, len(segments(tmp_path / "d")))
    spool.return_to_folder()

    assert (fallback, left) == (f"{os.strerror(errno.EFBIG)}: {tmp_path / 'd'}", (1, 1))
    assert (spool.fallback, spool.written, spool.refused, len(segments(tmp_path / "d"))) == (None, 2, 1, 2)


def test_full_disk_is_not_tried_under_another_name(tmp_path: Path) -> None:
    """The temporary folder may be on the same disk, which has room for a small file but not for the next entry."""
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)
    with largest_file(HEADER_BYTES + len(LINES[0]) + 5):
        spool.append(LINES[1], 1)

    assert os.readlink(f"/proc/self/fd/{spool._segments[-1].descriptor}").startswith("/memfd:")


def test_fallback_does_not_count_the_files_of_the_folder(tmp_path: Path) -> None:
    """If the folder becomes unusable, other processes' files there do not count against the fallback's quota."""
    path = left_by_the_dead(tmp_path / "d", header(HEADER_BYTES))
    os.truncate(path, 2 * NAMELESS_BYTES)
    spool = spool_in(tmp_path / "d")
    spool.append(b'"' + b"x" * SEGMENT_BYTES + b'"\n', 1)
    spool.measure_others()
    (tmp_path / "d").rename(tmp_path / "gone")
    (tmp_path / "d").touch()
    spool.append(LINES[0], 1)

    assert (spool.written, spool.refused, bool(spool.fallback)) == (2, 0, True)


def test_fallback_does_not_count_the_files_around_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder, no files of others count, not even those in the working directory."""
    (tmp_path / "file").write_text("")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 2 * NAMELESS_BYTES)
    monkeypatch.chdir(tmp_path)
    spool = spool_in(tmp_path / "file" / "d")
    spool.append(LINES[0], 1)
    spool.measure_others()
    spool.append(LINES[1], 1)

    assert (spool.written, spool.refused, bool(spool.fallback)) == (2, 0, True)


def test_what_waits_without_the_folder_moves_there_once_it_can_be_used(tmp_path: Path) -> None:
    """With a batch being sent and more arriving, a later process finds all unsettled entries in order."""
    (tmp_path / "d").write_text("")
    spool, before = spool_in(tmp_path / "d"), open_files()
    large = b'"' + b"x" * SEGMENT_BYTES + b'"\n'
    for lines in (LINES[0], large, LINES[1]):
        spool.append(lines, 1)
    sent = spool.read()
    (tmp_path / "d").unlink()
    spool.return_to_folder()
    spool.settle(len(sent), 1)
    spool.append(LINES[2], 1)
    spool.append(large, 1)
    spool.append(LINES[3], 1)
    found = [list(waiting_lines(path)) for path in segments(tmp_path / "d")]

    assert (sent, spool.fallback) == (LINES[0], None)
    assert found == [[large[:-1]], [LINES[1][:-1], LINES[2][:-1], large[:-1]], [LINES[3][:-1]]]
    assert read_all(spool) == large + LINES[1] + LINES[2] + large + LINES[3]
    spool.release()
    assert open_files() - before == set()


def test_folder_that_can_be_used_again_has_its_quota_again(tmp_path: Path) -> None:
    """The limit for memory ends with the fallback."""
    (tmp_path / "d").write_text("")
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)
    (tmp_path / "d").unlink()
    spool.return_to_folder()
    for _ in range(20):
        spool.append(b"x" * ((1 << 20) - 1) + b"\n", 1)

    assert (spool.written, spool.refused) == (21, 0)


def test_disk_that_is_all_but_full_is_not_returned_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would refuse entries that memory can still take."""
    (tmp_path / "d").write_text("")
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)
    (tmp_path / "d").unlink()
    state = list(os.statvfs(tmp_path))
    state[4] = NAMELESS_BYTES // state[1] - 1  # the available blocks
    monkeypatch.setattr(posix, "fstatvfs", lambda descriptor: os.statvfs_result(state))
    spool.return_to_folder()

    assert (bool(spool.fallback), spool.read(), segments(tmp_path / "d")) == (True, LINES[0], [])


def test_move_that_the_disk_cuts_short_is_taken_back(tmp_path: Path) -> None:
    """A user's disk quota is not visible in the free blocks: waiting entries then stay where they are."""
    (tmp_path / "d").write_text("")
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)
    (tmp_path / "d").unlink()
    with largest_file(HEADER_BYTES + 1):
        spool.return_to_folder()

    assert (bool(spool.fallback), spool.read(), segments(tmp_path / "d")) == (True, LINES[0], [])


def test_full_disk_leaves_the_address_to_be_noted_later(tmp_path: Path) -> None:
    """An empty file in its place would hide which server the folder is for."""
    with largest_file(0):
        make_private_folder(tmp_path / "d", ADDRESS)
    make_private_folder(tmp_path / "d", ADDRESS)

    assert address_of(tmp_path / "d") == ADDRESS


def test_folder_that_was_made_on_a_full_disk_has_its_address_on_return(tmp_path: Path) -> None:
    """Its lock file needs no space, so that nothing else of it is made again."""
    spool = spool_in(tmp_path / "d")
    with largest_file(0):
        spool.append(LINES[0], 1)
    spool.append(LINES[1], 1)  # waits without the folder
    spool.return_to_folder()

    assert (spool.fallback, address_of(tmp_path / "d")) == (None, ADDRESS)


def test_unusable_folder_has_the_bound_of_memory(tmp_path: Path) -> None:
    """A nameless file may turn out to be memory, so its limit is 16 MB, whatever the folder's quota is."""
    (tmp_path / "file").write_text("")
    spool = spool_in(tmp_path / "file" / "d")
    for _ in range(20):
        spool.append(b"x" * ((1 << 20) - 1) + b"\n", 1)

    assert (spool.written, spool.refused) == (NAMELESS_BYTES // (1 << 20) - 1, 5)  # the headers take a little


def test_missing_folder_is_made_again(tmp_path: Path) -> None:
    """Removing the folder does not stop delivery: the open file is still read, and the next file has a new folder."""
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)
    for path in (tmp_path / "d").iterdir():
        path.unlink()
    (tmp_path / "d").rmdir()
    spool.append(b'"' + b"x" * SEGMENT_BYTES + b'"\n', 1)
    spool.append(LINES[1], 1)
    found = read_all(spool)

    assert (spool.written, spool.settled, spool.refused, spool.fallback) == (3, 3, 0, None)
    assert (found.startswith(LINES[0]), found.endswith(LINES[1])) == (True, True)


def test_files_in_a_folder_that_was_made_again_are_owned(tmp_path: Path) -> None:
    """A living process does not look dead because its lock file was removed with the folder."""
    spool = spool_in(tmp_path / "d")
    spool.append(b'"' + b"x" * SEGMENT_BYTES + b'"\n', 1)
    shutil.rmtree(tmp_path / "d")
    (tmp_path / "d").mkdir()  # by another process
    spool.append(LINES[0], 1)

    assert (len(segments(tmp_path / "d")), next(dead_owners(tmp_path / "d"), None)) == (1, None)


def test_folder_that_is_removed_again_and_again_leaves_nothing_open(tmp_path: Path) -> None:
    """The lock file of the former folder is closed."""
    spool, before = spool_in(tmp_path / "d"), open_files()
    opened = []
    for _ in range(3):
        spool.append(b'"' + b"x" * SEGMENT_BYTES + b'"\n', 1)
        read_all(spool)
        opened.append(len(open_files() - before))
        shutil.rmtree(tmp_path / "d")

    assert opened == [3] * 3  # a lock file, and both ends of a segment


def test_lock_file_that_somebody_removes_is_made_again(tmp_path: Path) -> None:
    """With the next segment, so that the earlier ones are not taken for those of a dead process."""
    spool = spool_in(tmp_path / "d")
    spool.append(b'"' + b"x" * SEGMENT_BYTES + b'"\n', 1)
    for path in (tmp_path / "d").glob("*.lock"):
        path.unlink()
    spool.append(LINES[0], 1)

    assert (len(segments(tmp_path / "d")), next(dead_owners(tmp_path / "d"), None)) == (2, None)


def test_file_that_somebody_removes_is_counted(tmp_path: Path) -> None:
    """Its entries are lost and no longer wait; those of the other files are read."""
    spool = spool_in(tmp_path / "d")
    block = b'"' + b"x" * (SEGMENT_BYTES // 4) + b'"\n'
    for _ in range(6):
        spool.append(block, 1)
    segments(tmp_path / "d")[0].unlink()

    assert (read_all(spool), spool.lost, spool.settled) == (block * 2, 4, 6)


def test_memory_only_leaves_no_file_and_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder, no named file is written, and the limit is 16 MB."""
    monkeypatch.chdir(tmp_path)
    spool = spool_in(None)
    block = b'"' + b"x" * 1_000_000 + b'"\n'
    for _ in range(20):
        spool.append(block, 1)

    assert (spool.written, spool.refused, list(tmp_path.iterdir())) == (NAMELESS_BYTES // len(block), 4, [])


def test_disk_without_space_leaves_nothing_open(tmp_path: Path) -> None:
    """If neither a named nor a nameless file has space, both are closed, and memory is used later."""
    spool, before = spool_in(tmp_path / "d"), open_files()
    with largest_file(0):
        for _ in range(10):
            spool.append(LINES[0], 1)
        opened = len(open_files() - before)
    spool.append(LINES[1], 1)

    assert (opened, spool.refused, spool.read()) == (1, 10, LINES[1])  # the lock of the folder's owner
