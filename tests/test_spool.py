"""The queue on disk: what was appended is read in order, settled and removed, within a quota."""

from __future__ import annotations

import contextlib
import itertools
import os
import posix
import re
import stat
import tempfile
from pathlib import Path

import pytest

from coagent_langchain.delivery.folder import destination_folder
from coagent_langchain.delivery.leftovers import Leftovers
from coagent_langchain.delivery.segment import HEADER_BYTES, Reader, header, waiting_lines
from coagent_langchain.delivery.spool import SEGMENT_BYTES
from coagent_langchain.wire import BATCH_ENTRIES
from tests.delivery_parts import LINES, left_by_the_dead, read_all, segments, spool_in
from tests.disk import open_files


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


@pytest.mark.parametrize("name", ["d", None])
def test_fake_file_system_of_a_test_leads_to_no_other_file(
    tmp_path: Path, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pyfakefs opens has the descriptor of any other file, which `os.pwrite`, not replaced, writes to."""
    (tmp_path / "application").write_bytes(b"data")
    with (tmp_path / "application").open("r+b") as file, monkeypatch.context() as patch:
        for function in ("open", "dup", "close"):
            patch.setattr(os, function, lambda *_, **__: file.fileno())
        patch.setattr(tempfile, "TemporaryFile", lambda **_: contextlib.nullcontext(file))
        spool = spool_in(tmp_path / name if name else None)
        spool.append(LINES[0], 1)
        read = spool.read()

    assert (read, (tmp_path / "application").read_bytes()) == (LINES[0], b"data")


def test_sync_brings_what_waits_to_the_disk_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file needs its folder synced, too: without its name, it is lost in a crash of the machine."""
    synced: list[str] = []
    reach_the_disk = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        reach_the_disk(descriptor)

    monkeypatch.setattr(posix, "fsync", watched)
    monkeypatch.setattr(posix, "fdatasync", watched, raising=False)
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


def test_what_has_arrived_needs_no_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the server keeps up, no event costs the disk anything."""
    synced: list[int] = []
    monkeypatch.setattr(posix, "fdatasync", synced.append, raising=False)
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)
    read_all(spool)
    spool.sync()

    assert synced == []


def test_file_that_somebody_removed_is_left_out_of_the_sync(tmp_path: Path) -> None:
    """It is no internal error, and the worker counts what is lost with it."""
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)
    segments(tmp_path / "d")[0].unlink()
    spool.sync()

    assert spool.read() == LINES[0]


def test_only_what_waits_in_a_file_without_a_name_ends_with_the_process() -> None:
    """What has arrived does not count as lost at exit."""
    spool = spool_in(None)
    for line in LINES:
        spool.append(line, 1)
    spool.read()
    spool.settle(len(LINES[0]), 1)

    assert spool.unkept == 4


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


def test_released_spool_begins_anew(tmp_path: Path) -> None:
    """What is appended later goes to a new file."""
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)
    read_all(spool)
    spool.release()
    spool.append(LINES[1], 1)

    assert (read_all(spool), spool.written, spool.refused) == (LINES[1], 2, 0)


def test_settled_segments_leave_nothing_open(tmp_path: Path) -> None:
    """A long-lived process opens many files: only the last segment's two descriptors and the lock's stay."""
    spool, before = spool_in(tmp_path / "d"), open_files()
    for _ in range(4):
        spool.append(b'"' + b"x" * SEGMENT_BYTES + b'"\n', 1)
        read_all(spool)

    assert len(open_files() - before) == 3


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
    found = read_all(Leftovers(tmp_path / "d"))

    assert (found, list((tmp_path / "d").iterdir())) == (expected, [])


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


def test_quota_counts_ones_own_files_once(tmp_path: Path) -> None:
    """They are in the folder too, but not another process's."""
    spool = spool_in(tmp_path / "d", quota=10_000)
    spool.append(b"x" * 6_000 + b"\n", 1)
    spool.measure_others()
    spool.append(LINES[0], 1)

    assert (spool.written, spool.refused) == (2, 0)


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

    monkeypatch.setattr(posix, "fdatasync", sync_slowly, raising=False)
    spool.append(LINES[0] * 10_000, 10_000)
    spool.sync()
    spool.append(LINES[1], 1)
    spool.sync()

    assert next(syncs) == 3
