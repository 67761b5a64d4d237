"""A single write to the spool: interrupted, cut short, by several threads, with the interpreter's lock or without."""

from __future__ import annotations

import errno
import itertools
import json
import os
import posix
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from coagent_langchain.delivery.pwrite import RELEASING_WRITES, Pwrite, _pwrite_holding_gil
from coagent_langchain.delivery.segment import HEADER_BYTES, Segment, header
from coagent_langchain.delivery.spool import SEGMENT_BYTES, Spool
from tests.delivery_parts import LINES, read_all, segments, spool_in
from tests.disk import largest_file
from tests.threads import meanwhile


def test_short_write_is_taken_back(tmp_path: Path) -> None:
    """If the disk takes half a line, it is removed, and the entry waits in memory, as do later ones."""
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)
    with largest_file(HEADER_BYTES + len(LINES[0]) + 5):
        spool.append(LINES[1], 1)
        spool.append(LINES[2], 1)  # not even memory takes it
    spool.append(LINES[3], 1)

    assert (spool.fallback, spool.refused, spool.written, spool.unkept) == (
        f"{os.strerror(errno.ENOSPC)}: {tmp_path / 'd'}", 1, 3, 2,
    )  # fmt: skip
    assert segments(tmp_path / "d")[0].read_bytes() == header(HEADER_BYTES) + LINES[0]
    assert read_all(spool) == LINES[0] + LINES[1] + LINES[3]


def test_append_inside_an_append_keeps_both(tmp_path: Path) -> None:
    """A signal handler may log during an append in its own thread: the lock does not block it."""
    spool = spool_in(tmp_path / "d")
    with spool._lock:
        spool.append(LINES[0], 1)
    spool.append(LINES[1], 1)

    assert spool.read() == LINES[0] + LINES[1]


@pytest.mark.parametrize("step", [Spool.recycle, Spool.return_to_folder])
def test_worker_does_not_wait_for_an_append(tmp_path: Path, step: Callable[[Spool], None]) -> None:
    """A signal handler that flushes amid it would wait for the worker, and the append for the handler."""
    (tmp_path / "d").write_text("")
    spool = spool_in(tmp_path / "d")
    spool.append(LINES[0], 1)
    (tmp_path / "d").unlink()
    with spool._lock:
        worker = threading.Thread(target=step, args=(spool,), daemon=True)
        worker.start()
        worker.join(5)
        waits = worker.is_alive()

    assert not waits


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
def test_signal_handler_amid_a_write_closes(tmp_path: Path, after_the_write: bool) -> None:
    """A handler of SIGTERM that closes the delivery does not remove the file that is being written."""
    spool = spool_in(tmp_path / "d")
    spool._pwrite = Interrupted(spool.release, after_the_write)
    spool.append(LINES[0], 1)

    assert (spool.read(), spool.refused, len(segments(tmp_path / "d"))) == (LINES[0], 0, 1)


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
        def __getitem__(self, index: Any) -> Any:
            if spool._open and handlers:
                handlers.pop()()
            return super().__getitem__(index)

    spool._segments = Interrupting()
    spool.append(LINES[0], 1)

    contents = [path.read_bytes()[HEADER_BYTES:] for path in segments(tmp_path / "d")]
    assert (contents, spool.written) == ([LINES[0] + LINES[1]], 2)


def test_signal_handlers_while_a_segment_begins(tmp_path: Path) -> None:
    """Handlers that log while a file is created, and while the previous one is closed, find an open one."""
    spool = spool_in(tmp_path / "d")
    large = b'"' + b"x" * SEGMENT_BYTES + b'"\n'
    spool.append(large, 1)
    finished = meanwhile("return", Segment.finish, lambda: spool.append(LINES[1], 1))

    def created() -> None:
        spool.append(LINES[0], 1)
        handlers.enter_context(finished)

    with ExitStack() as handlers:
        handlers.enter_context(meanwhile("call", Segment.create, created))
        spool.append(LINES[2], 1)

    assert (spool.fallback, spool.refused, spool.written) == (None, 0, 4)
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
    with meanwhile("return", Spool._has_place, lambda: spool.append(LINES[0], 1)):
        spool.append(LINES[1], 1)

    assert spool.read() == b"".join(LINES[:2])


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


def test_signal_handler_at_any_call_of_a_failed_write_takes_nothing_away(tmp_path: Path) -> None:
    """Python runs handlers where a function begins. Its line and the interrupted one are kept, wherever that is."""
    tracing = sys.gettrace()

    def kept(moment: int) -> list[bytes]:
        """The lines, if a handler logs when the function of that number begins; none if there are fewer."""
        spool, numbers = spool_in(tmp_path / str(moment)), iter(range(moment + 1))
        spool.append(LINES[0], 1)

        def begins(frame: FrameType, event: str, arg: object) -> None:
            if next(numbers) == moment:
                sys.settrace(tracing)
                full.close()  # the disk has space again
                spool.append(LINES[2], 1)

        with ExitStack() as full:
            full.enter_context(largest_file(HEADER_BYTES + len(LINES[0]) + 5))
            sys.settrace(begins)
            spool.append(LINES[1], 1)
            sys.settrace(tracing)
        return [] if list(numbers) else sorted(read_all(spool).splitlines(keepends=True))

    found = list(itertools.takewhile(len, map(kept, itertools.count())))

    assert (len(found) > 10, found) == (True, [LINES[:3]] * len(found))


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
    _pwrite_holding_gil.cache_clear()
    spool = spool_in(tmp_path / "d")
    _pwrite_holding_gil.cache_clear()
    spool.append(LINES[0], 1)

    assert (spool._pwrite._pwrite_holding_gil, spool.read()) == (None, LINES[0])


def test_slow_disk_does_not_hold_other_threads_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a write longer than a switch interval, the next writes release the GIL, more of them each time."""
    polite: list[bytes] = []
    pwrite, write = Pwrite(lambda: next(times)).write, os.pwrite
    slow = [0, 1_000_000, 2_000_000, 8_000_000, 9_000_000, 15_000_000]  # slow second and third writes
    times = itertools.chain(slow, itertools.count())

    def counted(descriptor: int, data: bytes, offset: int) -> int:
        polite.append(data)
        return write(descriptor, data, offset)

    monkeypatch.setattr(posix, "pwrite", counted)
    with tempfile.TemporaryFile() as file:
        written = [pwrite(file.fileno(), b"%04d" % n, 4 * n) for n in range(3 * RELEASING_WRITES + 5)]
        file.seek(0)
        content = file.read()

    everything = [b"%04d" % n for n in range(3 * RELEASING_WRITES + 5)]
    first, second = slice(2, RELEASING_WRITES + 2), slice(RELEASING_WRITES + 3, 3 * RELEASING_WRITES + 3)
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
