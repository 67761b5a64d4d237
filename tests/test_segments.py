"""The end of a segment: no waiting line is lost when its file is reused, and nothing is left of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from coagent_langchain.delivery.segment import HEADER_BYTES
from coagent_langchain.delivery.spool import NAMELESS_BYTES, SEGMENT_BYTES, Spool
from tests.delivery_parts import spool_in
from tests.disk import largest_file, open_files

LARGE = b'"' + b"x" * SEGMENT_BYTES + b'"\n'  # fills a segment
LINE = b'{"n":1}\n'


def send_one(spool: Spool) -> bytes:
    """Read the next batch and settle it."""
    block = bytes(spool.read())
    spool.settle(len(block), block.count(b"\n"))
    return block


def test_file_in_which_a_line_waits_is_not_recycled(tmp_path: Path) -> None:
    """A thread may append while the worker finds that it has nothing left to do."""
    spool = spool_in(tmp_path / "d")
    spool.append(b'"' + b"x" * 100_000 + b'"\n', 1)
    send_one(spool)
    spool.append(LINE, 1)
    spool.recycle()

    assert (send_one(spool), spool.waiting) == (LINE, 0)


def test_full_file_is_not_recycled(tmp_path: Path) -> None:
    """Its writing end is closed once the next file has begun, although nothing may be in that yet."""
    spool = spool_in(tmp_path / "d", SEGMENT_BYTES + 1000)
    spool.append(LARGE, 1)
    send_one(spool)
    spool.append(LINE * 1000, 1000)
    spool.recycle()
    spool.append(LINE, 1)

    assert (spool.refused, send_one(spool), spool.waiting) == (1000, LINE, 0)


@pytest.mark.parametrize("named", [True, False])
def test_released_spool_leaves_nothing_open(tmp_path: Path, named: bool) -> None:
    """Neither of a file with a name nor of one without, however many there were."""
    before = open_files()
    spool = spool_in(tmp_path / "d" if named else None)
    for _ in range(3):
        spool.append(LARGE, 1)
    while spool.waiting:
        send_one(spool)
    spool.release()

    assert open_files() - before == set()


def test_disk_without_space_leaves_no_file(tmp_path: Path) -> None:
    """A file that was created, but could not be written, would be taken for a dead process's."""
    with largest_file(HEADER_BYTES - 1):
        spool_in(tmp_path / "d").append(LINE, 1)

    assert list((tmp_path / "d").glob("*.jsonl")) == []


def test_bound_of_memory_does_not_grow_with_what_was_sent_before(tmp_path: Path) -> None:
    """A long-lived process whose folder can no longer be used keeps 16 MB, like one that has just begun."""
    spool = spool_in(tmp_path / "d")
    for _ in range(5):
        spool.append(LARGE, 1)
    while spool.waiting:
        send_one(spool)
    shutil.rmtree(tmp_path / "d")
    (tmp_path / "d").write_text("")
    for _ in range(30):
        spool.append(b"x" * ((1 << 20) - 1) + b"\n", 1)

    assert (spool.waiting, spool.refused > 0) == (NAMELESS_BYTES // (1 << 20) - 1, True)
