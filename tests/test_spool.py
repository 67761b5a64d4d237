"""The queue on disk: nothing that was appended is lost, whatever happens to the file or the folder."""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import SupportsIndex

import pytest

from coagent_langchain.delivery.adoption import Adopted, DeadOwners, waiting_lines
from coagent_langchain.delivery.destination import address_of, destination_folder, make_private_folder
from coagent_langchain.delivery.owner import Owner
from coagent_langchain.delivery.pwrite import PATIENT_WRITES, Pwrite, _holding
from coagent_langchain.delivery.segment import BATCH_ENTRIES, HEADER_BYTES, Reader, Segment, header
from coagent_langchain.delivery.spool import NAMELESS_BYTES, SEGMENT_BYTES, Spool
from tests.delivery_parts import left_by_the_dead
from tests.disk import largest_file, open_files

QUOTA = 1 << 30
ADDRESS = "http://localhost:3000/api/v1"
LINES = [b'{"n":%d}\n' % number for number in range(5)]


def spool_in(folder: Path | None, quota: int = QUOTA) -> Spool:
    """A spool owned by this process."""
    return Spool(folder, quota, ADDRESS)


def segments(folder: Path) -> list[Path]:
    """The segment files of a folder."""
    return sorted(folder.glob("*.jsonl"))


def read_all(source: Spool | Adopted) -> bytes:
    """Read everything from a source, settling it block by block."""
    found = b""
    while block := source.read():
        found += block
        source.settle(len(block), block.count(b"\n"))
    return found


def test_appended_lines_are_read_in_order(tmp_path: Path) -> None:
    """What was appended comes back, in order, until it is settled."""
    spool = spool_in(tmp_path / "d")
    for line in LINES:
        spool.append(line, 1)

    assert (spool.read(), spool.read()) == (b"".join(LINES), b"".join(LINES))


def test_entry_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    """Another process sees the whole line as soon as `append` has returned."""
    spool_in(tmp_path / "d").append(LINES[0], 1)

    assert segments(tmp_path / "d")[0].read_bytes() == header(HEADER_BYTES) + LINES[0]


def test_files_are_for_this_user_alone(tmp_path: Path) -> None:
    """The folder and the one around it are 0700, the files are 0600."""
    folder = tmp_path / "spool" / "d"
    spool_in(folder).append(LINES[0], 1)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder)]

    assert (modes, {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}) == ([0o700, 0o700], {0o600})


def test_acknowledgement_lies_in_the_segment(tmp_path: Path) -> None:
    """After a restart, reading continues after what was settled."""
    spool = spool_in(tmp_path / "d")
    spool.append(b"".join(LINES), 5)
    spool.read()
    spool.settle(len(LINES[0]) * 2, 2)

    assert list(waiting_lines(segments(tmp_path / "d")[0])) == [line.rstrip() for line in LINES[2:]]


def test_sync_brings_what_waits_to_the_disk_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file needs its folder synced, too: without its name, it is lost in a crash of the machine."""
    synced: list[str] = []
    reach_the_disk = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        reach_the_disk(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    monkeypatch.setattr(os, "fdatasync", watched, raising=False)
    spool = spool_in(tmp_path / "d")
    steps = []
    for appended in (LINES[0], b"", LINES[1]):
        if appended:
            spool.append(appended, 1)
        spool.sync()
        steps.append(synced.copy())
        synced.clear()
    (segment,) = segments(tmp_path / "d")

    assert steps == [[segment.name, "d"], [], [segment.name]]


def test_file_without_a_name_needs_no_sync(tmp_path: Path) -> None:
    """It does not outlive the process, let alone the machine."""
    spool = spool_in(None)
    spool.append(LINES[0], 1)
    spool.sync()

    assert (spool.read(), spool.written) == (LINES[0], 1)


@pytest.mark.parametrize(("address", "host"), [
    ("http://me:hush@logs.example.org:3000/api/v1", "logs.example.org"), ("https://[::1]/api/v1", "__1"),
])  # fmt: skip
def test_folder_is_named_by_the_server(address: str, host: str) -> None:
    """A user sees which server a folder is for; a hash distinguishes addresses on the same host."""
    assert re.fullmatch(rf"{re.escape(host)}-[0-9a-f]{{8}}", destination_folder(Path(), address).name)


def test_a_batch_is_bounded_by_count_and_bytes(tmp_path: Path) -> None:
    """A batch has up to a thousand entries or a megabyte, but at least one entry of any size."""
    many, large, huge = b"{}\n" * 2500, (b'"' + b"x" * 400_000 + b'"\n') * 3, b'"' + b"x" * 3_000_000 + b'"\n'
    found = []
    for content in (many, large, huge):
        path = left_by_the_dead(tmp_path / "d", header(HEADER_BYTES) + content)
        reader = Reader.of(path)
        found.append(reader.read(reader.size()).count(b"\n"))
        reader.close()

    assert found == [BATCH_ENTRIES, 2, 1]


def test_settled_segments_are_removed(tmp_path: Path) -> None:
    """A full segment is removed once it is settled; `release` removes every segment and the lock."""
    spool = spool_in(tmp_path / "d")
    block = b'"' + b"x" * (SEGMENT_BYTES // 4) + b'"\n'
    for _ in range(9):
        spool.append(block, 1)
    files = [len(segments(tmp_path / "d"))]
    read_all(spool)
    files.append(len(segments(tmp_path / "d")))
    spool.release()

    assert (files, list((tmp_path / "d").iterdir())) == ([3, 1], [tmp_path / "d" / "destination"])
    assert (spool.written, spool.settled, spool.lost) == (9, 9, 0)


def test_settled_segments_leave_nothing_open(tmp_path: Path) -> None:
    """A long-lived process opens many files: only the last segment's two descriptors and the lock's stay."""
    spool, before = spool_in(tmp_path / "d"), open_files()
    for _ in range(4):
        spool.append(b'"' + b"x" * SEGMENT_BYTES + b'"\n', 1)
        read_all(spool)

    assert open_files() - before == 3


def test_recycled_file_is_used_again(tmp_path: Path) -> None:
    """A file whose entries are all settled is emptied and used again, by this process and for the next."""
    spool = spool_in(tmp_path / "d")
    spool.append(b'"' + b"x" * 100_000 + b'"\n', 1)
    read_all(spool)
    spool.recycle()
    spool.append(LINES[0], 1)

    assert segments(tmp_path / "d")[0].read_bytes() == header(HEADER_BYTES) + LINES[0]
    assert spool.read() == LINES[0]


def test_recycled_file_makes_room(tmp_path: Path) -> None:
    """Its former content no longer counts against the quota, however often it is recycled."""
    spool = spool_in(tmp_path / "d", quota=150_000)
    for _ in range(5):
        spool.append(b'"' + b"x" * 100_000 + b'"\n', 1)
        read_all(spool)
        spool.recycle()

    assert (spool.written, spool.refused, spool.waiting_bytes) == (5, 0, 0)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (header(HEADER_BYTES) + LINES[0] + b'{"torn', LINES[0]),
        (header(HEADER_BYTES) + b'{"torn', b""),
        (header(HEADER_BYTES), b""),
        (b"", b""),
        (b'{"coagent_sp', b""),
        (b"\0" * HEADER_BYTES + LINES[0] + LINES[1], LINES[0] + LINES[1]),
        (header(10**9) + LINES[0], LINES[0]),
        (header(0) + LINES[0], LINES[0]),
        (header(HEADER_BYTES + 3) + LINES[0], LINES[0]),
        (header(HEADER_BYTES + len(LINES[0])) + LINES[0] + LINES[1], LINES[1]),
    ],
    ids=["torn tail", "torn alone", "header alone", "empty", "torn header", "zeros for header", "offset behind the end",
         "offset in the header", "offset inside a line", "sound"],
)  # fmt: skip
def test_damaged_segments_give_what_is_whole(tmp_path: Path, content: bytes, expected: bytes) -> None:
    """Torn lines at the end are left out, and an impossible header means reading from the beginning."""
    left_by_the_dead(tmp_path / "d", content)
    adopted = DeadOwners(tmp_path / "d").next()
    assert adopted is not None
    found = read_all(adopted)
    adopted.release()

    assert (found, list((tmp_path / "d").iterdir())) == (expected, [])


def test_short_write_is_taken_back(tmp_path: Path) -> None:
    """If the disk takes half a line, the entry is refused, counted and removed; later ones are written."""
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)
    with largest_file(HEADER_BYTES + len(LINES[0]) + 5):
        spool.append(LINES[1], 1)
        spool.append(LINES[2], 1)
    contents = [segments(tmp_path / "d")[0].read_bytes()]
    spool.append(LINES[3], 1)
    contents.append(segments(tmp_path / "d")[0].read_bytes())

    assert (spool.refused, spool.written) == (2, 2)
    assert contents == [header(HEADER_BYTES) + LINES[0], header(HEADER_BYTES) + LINES[0] + LINES[3]]


def test_quota_refuses_the_newest_and_counts(tmp_path: Path) -> None:
    """A full quota refuses new entries; stored ones stay, and settling makes room again."""
    spool = spool_in(tmp_path / "d", quota=HEADER_BYTES + SEGMENT_BYTES)
    block = b'"' + b"x" * (SEGMENT_BYTES // 2 - 3) + b'"\n'
    for _ in range(3):
        spool.append(block, 1)
    full = (spool.refused, spool.written)
    read_all(spool)
    spool.recycle()
    spool.append(block, 1)

    assert (full, (spool.refused, spool.written)) == ((1, 2), (1, 3))


def test_quota_counts_other_processes_files(tmp_path: Path) -> None:
    """The quota is for the folder, not for each process."""
    left_by_the_dead(tmp_path / "d", header(HEADER_BYTES) + b"x" * 10_000)
    spool = spool_in(tmp_path / "d", quota=10_100)
    spool.measure_others()

    spool.append(LINES[0], 1)

    assert (spool.written, spool.refused) == (0, 1)


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
    spool = spool_in(tmp_path / "d")
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
    monkeypatch.setattr(os, "fstatvfs", lambda descriptor: os.statvfs_result(state))
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

    assert (len(segments(tmp_path / "d")), DeadOwners(tmp_path / "d").next()) == (1, None)


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


def test_living_owner_is_not_adopted(tmp_path: Path) -> None:
    """The files of a living process stay its own."""
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)

    assert DeadOwners(tmp_path / "d").next() is None


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
    found = b""
    owners = DeadOwners(tmp_path / "d")
    while adopted := owners.next():
        found += read_all(adopted)
        owners.release(adopted)

    assert found == b"".join(LINES[:4])


def test_an_owner_that_dies_during_a_round_has_its_turn_in_the_next(tmp_path: Path) -> None:
    """The folder is listed once per round, so that thousands of owners do not take long."""
    for number in range(3):
        path = left_by_the_dead(tmp_path / "d", header(HEADER_BYTES) + LINES[number], f"9-0000000{number}")
        os.utime(path, (1000 + number, 1000 + number))
    owners, found = DeadOwners(tmp_path / "d"), []
    while adopted := owners.next():
        found.append(read_all(adopted))
        owners.release(adopted)
        if len(found) == 1:
            late = left_by_the_dead(tmp_path / "d", header(HEADER_BYTES) + LINES[3], "9-00000009")
            os.utime(late, (1, 1))

    assert found == [LINES[0], LINES[1], LINES[2], LINES[3]]


def test_adopted_segments_leave_nothing_open(tmp_path: Path) -> None:
    """Each file is closed and removed when it is settled, the lock file with the last of them."""
    for number in range(3):
        left_by_the_dead(tmp_path / "d", header(HEADER_BYTES) + LINES[number], number=number)
    before = open_files()
    adopted = DeadOwners(tmp_path / "d").next()
    assert adopted
    found = read_all(adopted)
    opened = [open_files() - before]
    adopted.release()
    opened.append(open_files() - before)

    assert (found, opened, list((tmp_path / "d").iterdir())) == (b"".join(LINES[:3]), [1, 0], [])


def test_an_owner_is_adopted_by_one_only(tmp_path: Path) -> None:
    """While one process sends a dead owner's entries, no other does."""
    left_by_the_dead(tmp_path / "d", header(HEADER_BYTES) + LINES[0])
    first = DeadOwners(tmp_path / "d").next()
    second = DeadOwners(tmp_path / "d").next()

    assert (first is not None, second) == (True, None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's file")
def test_other_users_files_are_left_alone(tmp_path: Path) -> None:
    """In a shared folder, another user's entries are not sent with this user's token."""
    path = left_by_the_dead(tmp_path / "d", header(HEADER_BYTES) + LINES[0])
    os.chown(path, 12345, 12345)

    assert (DeadOwners(tmp_path / "d").next(), path.exists()) == (None, True)


def test_links_in_the_folder_are_not_followed(tmp_path: Path) -> None:
    """A symbolic link with a segment's name is ignored."""
    target = tmp_path / "private"
    target.write_bytes(header(HEADER_BYTES) + LINES[0])
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "1-deadbeef-000000.jsonl").symlink_to(target)

    assert (DeadOwners(tmp_path / "d").next(), target.exists()) == (None, True)


def test_released_owner_leaves_no_lock_file(tmp_path: Path) -> None:
    """The lock file is removed and closed with its owner, and the name can be claimed again."""
    before = open_files()
    owner = Owner.create(tmp_path)
    refused = Owner.claim(tmp_path, owner.name)
    owner.release()
    left = list(tmp_path.iterdir()), open_files() - before
    again = Owner.claim(tmp_path, owner.name)

    assert (refused, left, again is not None) == (None, ([], 0), True)


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


def test_append_inside_an_append_keeps_both(tmp_path: Path) -> None:
    """A signal handler may log during an append in its own thread: the lock does not block it."""
    spool = spool_in(tmp_path / "d")
    with spool._lock:
        spool.append(LINES[0], 1)
    spool.append(LINES[1], 1)

    assert spool.read() == LINES[0] + LINES[1]


class Interrupted(Pwrite):
    """A write that is interrupted once by a signal handler."""

    def __init__(self, handler: Callable[[], None], after_the_write: bool) -> None:
        super().__init__()
        self.handler: Callable[[], None] | None = handler
        self.after_the_write = after_the_write

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        handler, self.handler = self.handler, None
        if handler and not self.after_the_write:
            handler()
        written = super().write(descriptor, data, offset)
        if handler and self.after_the_write:
            handler()
        return written


@pytest.mark.parametrize("after_the_write", [False, True])
def test_signal_handler_amid_a_write_appends_and_reads(tmp_path: Path, after_the_write: bool) -> None:
    """A signal handler that logs during a write may also flush: the interrupted line is already there."""
    spool = spool_in(tmp_path / "d")
    read: list[bytes] = []

    def handler() -> None:
        spool.append(LINES[1], 1)
        read.append(spool.read())

    spool._pwrite = Interrupted(handler, after_the_write)
    spool.append(LINES[0], 1)
    spool.append(LINES[2], 1)

    assert (spool.written, read, spool.read()) == (3, [LINES[0] + LINES[1]], b"".join(LINES[:3]))
    assert (spool.refused, spool.waiting_bytes) == (0, len(b"".join(LINES[:3])))


@pytest.mark.parametrize("after_the_write", [False, True])
def test_signal_handler_amid_a_write_starts_a_segment(tmp_path: Path, after_the_write: bool) -> None:
    """If the handler's events fill the file, the interrupted line is in it, and the next one in another."""
    spool = spool_in(tmp_path / "d")
    large = b'"' + b"x" * SEGMENT_BYTES + b'"\n'

    def handler() -> None:
        spool.append(large, 1)
        spool.append(LINES[1], 1)

    spool._pwrite = Interrupted(handler, after_the_write)
    spool.append(LINES[0], 1)

    contents = [path.read_bytes()[HEADER_BYTES:] for path in segments(tmp_path / "d")]
    assert (contents, spool.written) == ([LINES[0] + large, LINES[1]], 3)


def test_signal_handler_just_before_a_write_leaves_nothing_to_write(tmp_path: Path) -> None:
    """The handler also writes its thread's line, which must not be written a second time."""

    spool = spool_in(tmp_path / "d")
    handlers = [lambda: spool.append(LINES[1], 1)]

    class Interrupting(deque[Segment]):
        def __getitem__(self, index: SupportsIndex) -> Segment:
            if spool._open and handlers:
                handlers.pop()()
            return super().__getitem__(index)

    spool._segments = Interrupting()
    spool.append(LINES[0], 1)

    contents = [path.read_bytes()[HEADER_BYTES:] for path in segments(tmp_path / "d")]
    assert (contents, spool.written) == ([LINES[0] + LINES[1]], 2)


def test_signal_handlers_while_a_segment_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers that log while a file is created, and while the previous one is closed, find an open one."""
    spool = spool_in(tmp_path / "d")
    large = b'"' + b"x" * SEGMENT_BYTES + b'"\n'
    spool.append(large, 1)
    handlers = [lambda: spool.append(LINES[0], 1), lambda: spool.append(LINES[1], 1)]
    create, finish = Segment.create, Segment.finish

    def created(path: Path | None, in_memory: bool = False) -> Segment:
        if len(handlers) == 2:
            handlers.pop(0)()
        return create(path, in_memory)

    def finished(segment: Segment) -> None:
        finish(segment)
        if len(handlers) == 1 and len(spool._segments) > 2:
            handlers.pop()()

    # a real signal would hardly ever arrive at these moments
    monkeypatch.setattr(Segment, "create", created)
    monkeypatch.setattr(Segment, "finish", finished)
    spool.append(LINES[2], 1)

    assert (handlers, spool.refused, spool.written) == ([], 0, 4)
    assert sorted(read_all(spool).splitlines(keepends=True)) == sorted([large, *LINES[:3]])


@pytest.mark.parametrize("after_the_write", [False, True])
def test_interrupt_amid_a_write_costs_nothing(tmp_path: Path, after_the_write: bool) -> None:
    """KeyboardInterrupt leaves `append`, and the line is still kept, once."""
    spool = spool_in(tmp_path / "d")

    def handler() -> None:
        raise KeyboardInterrupt

    spool._pwrite = Interrupted(handler, after_the_write)
    with pytest.raises(KeyboardInterrupt):
        spool.append(LINES[0], 1)

    assert (spool.read(), spool.written) == (LINES[0], 1)


def test_stream_that_the_collector_closes_amid_an_append(tmp_path: Path) -> None:
    """The garbage collector may close a stream before a write, which then logs: both lines are kept."""
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)
    has_place, late = spool._has_place, [LINES[1]]

    def interrupted(length: int) -> bool:
        found = has_place(length)
        if late:
            spool.append(late.pop(), 1)
        return found

    spool._has_place = interrupted  # type: ignore[method-assign]
    spool.append(LINES[2], 1)

    assert spool.read() == b"".join(LINES[:3])


def test_disk_without_space_leaves_nothing_open(tmp_path: Path) -> None:
    """If neither a named nor a nameless file has space, both are closed, and memory is used later."""
    spool, before = spool_in(tmp_path / "d"), open_files()
    with largest_file(0):
        for _ in range(10):
            spool.append(LINES[0], 1)
        opened = open_files() - before
    spool.append(LINES[1], 1)

    assert (opened, spool.refused, spool.read()) == (1, 10, LINES[1])  # the lock of the folder's owner


def test_file_that_cannot_be_read_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken disk is tried again and again; each time, the opened file is closed."""
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)
    before = open_files()

    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", broken)
        for _ in range(5):
            with pytest.raises(OSError, match="Input/output"):
                spool.read()
        told = spool.first_line()

    assert (told, open_files(), spool.read()) == (b"", before, LINES[0])


def test_signal_handler_amid_a_short_write_makes_it_whole(tmp_path: Path) -> None:
    """If a handler finishes a line that was half written, neither it nor the next one is taken back."""
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)

    def handler() -> None:
        full.close()
        spool.append(LINES[2], 1)

    spool._pwrite = Interrupted(handler, after_the_write=True)
    with ExitStack() as full:
        full.enter_context(largest_file(HEADER_BYTES + len(LINES[0]) + 5))
        spool.append(LINES[1], 1)

    assert (spool.refused, spool.written) == (0, 3)
    assert segments(tmp_path / "d")[0].read_bytes() == header(HEADER_BYTES) + b"".join(LINES[:3])


def test_write_keeps_the_interpreter_s_lock() -> None:
    """No other thread runs during a write: the writer would have to wait for the GIL, up to a switch interval."""
    wakened, ran = threading.Event(), threading.Event()

    def other() -> None:
        wakened.wait()
        ran.set()

    thread = threading.Thread(target=other)
    thread.start()
    interval = sys.getswitchinterval()
    pwrite = Pwrite(clock=lambda: 0).write  # no write counts as slow, on a busy machine either
    with tempfile.TemporaryFile() as file:
        sys.setswitchinterval(1000.0)  # the other thread runs when this one gives up the lock, not before
        try:
            wakened.set()
            for _ in range(300):
                pwrite(file.fileno(), bytes(1 << 20), 0)
            waited = not ran.is_set()
        finally:
            sys.setswitchinterval(interval)
    thread.join()

    assert (waited, ran.is_set()) == (True, True)


def test_python_without_ctypes_writes_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ctypes, or if the C library cannot be loaded, `os.pwrite` is used."""
    monkeypatch.setitem(sys.modules, "ctypes", None)
    _holding.cache_clear()
    spool = spool_in(tmp_path / "d")
    _holding.cache_clear()
    spool.append(LINES[0], 1)

    assert (spool._pwrite._holding, spool.read()) == (None, LINES[0])


def test_slow_disk_does_not_hold_other_threads_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a write longer than a switch interval, the next writes release the GIL, more of them each time."""
    polite: list[bytes] = []
    pwrite, write = Pwrite(lambda: next(times)).write, os.pwrite
    slow = [0, 1_000_000, 2_000_000, 8_000_000, 9_000_000, 15_000_000]  # slow second and third writes
    times = itertools.chain(slow, itertools.count())

    def counted(descriptor: int, data: bytes, offset: int) -> int:
        polite.append(data)
        return write(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", counted)
    with tempfile.TemporaryFile() as file:
        written = [pwrite(file.fileno(), b"%04d" % n, 4 * n) for n in range(3 * PATIENT_WRITES + 5)]
        file.seek(0)
        content = file.read()

    everything = [b"%04d" % n for n in range(3 * PATIENT_WRITES + 5)]
    first, second = slice(2, PATIENT_WRITES + 2), slice(PATIENT_WRITES + 3, 3 * PATIENT_WRITES + 3)
    assert (set(written), content) == ({4}, b"".join(everything))
    assert polite == everything[first] + everything[second]


def test_disk_says_why_it_takes_nothing() -> None:
    """A failed write raises with the system's reason."""
    reading = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(OSError, match="Bad file descriptor"):
        Pwrite().write(reading, b"x", 0)
    os.close(reading)


def test_threads_append_at_the_same_time(tmp_path: Path) -> None:
    """In any order of threads, each line is there once and complete, and a reader never sees past a gap."""
    spool = spool_in(tmp_path / "d")
    found: list[bytes] = []

    def append(name: int) -> None:
        for number in range(300):
            spool.append(b'{"line":"%d-%d%s"}\n' % (name, number, b"x" * (number % 7 * 300)), 1)

    threads = [threading.Thread(target=append, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    while len(found) < 2400:
        if block := spool.read():
            lines = block.splitlines()
            found += lines
            spool.settle(len(block), len(lines))
    for thread in threads:
        thread.join()

    expected = {f"{name}-{number}" for name in range(8) for number in range(300)}
    assert {json.loads(line)["line"].rstrip("x") for line in found} == expected
    assert (len(found), spool.settled, spool.written, spool.waiting_bytes) == (2400, 2400, 2400, 0)


def test_what_was_written_behind_a_hole_is_read(tmp_path: Path) -> None:
    """A machine's crash may leave NULs in a file, even after half a line: what follows is still read."""
    hole = b'{"tor' + b"\0" * 40
    left_by_the_dead(tmp_path, header(HEADER_BYTES) + LINES[0] + hole + LINES[1])
    adopted = DeadOwners(tmp_path).next()

    assert adopted is not None
    assert read_all(adopted) == LINES[0] + b" " * len(hole) + LINES[1]


def test_acknowledgement_that_cannot_be_written_counts(tmp_path: Path) -> None:
    """A failing disk causes at most a repetition by a later process, not a flush that waits for ever."""
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)
    spool._reader = Reader(os.open(segments(tmp_path / "d")[0], os.O_RDONLY))
    spool.settle(len(spool.read()), 1)

    assert (spool.settled, spool.written, spool.waiting_bytes, spool.read()) == (1, 1, 0, b"")


def test_file_that_is_emptied_during_a_sync_is_synced_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server takes everything during a slow sync, what is written next must be synced, too."""
    spool = spool_in(tmp_path)
    syncs = itertools.count(1)

    def sync_slowly(descriptor: int) -> None:
        next(syncs)
        read_all(spool)
        spool.recycle()

    monkeypatch.setattr(os, "fdatasync", sync_slowly, raising=False)
    spool.append(LINES[0] * 10_000, 10_000)
    spool.sync()
    spool.append(LINES[1], 1)
    spool.sync()

    assert next(syncs) == 3
