"""The spool: the entries of this process, on disk before `append` returns.

Any thread appends; one thread, the worker, reads, settles and removes. What other processes left is read in
`leftovers.py`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posix
import threading
from collections import deque
from pathlib import Path

from coagent_langchain.delivery.folder import SpoolFolder
from coagent_langchain.delivery.pwrite import Pwrite
from coagent_langchain.delivery.segment import HEADER_BYTES, Reader, Segment

SEGMENT_BYTES = 4 << 20  # a new file every few thousand events; above 1 MB, the size does not affect the speed
NAMELESS_BYTES = 16 << 20  # what a spool without a folder may hold: it may be in memory
_RECYCLE_BYTES = 64 << 10
_NO_FILES = {errno.EMFILE, errno.ENFILE}

_Entry = tuple[bytes, int]  # lines, and how many


class Spool:
    """Append-only segments of one process.

    Appending threads share a lock. The worker never waits for it: a signal handler that flushes in the middle of an
    append would wait for a worker that waits for the interrupted append. So each counter is written by one side only.

    Parameters:
        folder: where they are, or None for memory only.
        quota: bytes that the folder's files may use, those of other processes included.
        address: the server's, to be recorded in the folder; without secrets.

    Attributes:
        written: entries that `append` kept.
        settled: of these, how many were acknowledged or rejected.
        refused: entries that were not kept for lack of space.
        lost: entries of a file that was removed or became unreadable; they count as settled.
        others: bytes of the folder used by other processes' files; measured periodically.
    """

    def __init__(self, folder: Path | None, quota: int, address: str) -> None:
        self.written = self.settled = self.refused = self.lost = self.others = 0
        self._folder = SpoolFolder(folder, address)
        self._quota = self._whole_quota = quota if folder else min(quota, NAMELESS_BYTES)
        self._segments: deque[Segment] = deque()
        self._reader: Reader | None = None
        self._room = 0  # bytes that may be written to the last segment until `_has_place` is asked again
        self._open: _Entry | None = None  # what is being written
        self._pwrite = Pwrite()
        # Re-entrant: a signal handler of the application may log in the middle of an append of the same thread.
        self._lock = threading.RLock()

    # --- any thread ---------------------------------------------------------------------------------------------

    def append(self, lines: bytes, count: int) -> None:
        """Write whole lines, `count` entries, with one system call; if there is no space, count them as refused."""
        entry = lines, count
        with self._lock:
            if self._open is not None:  # a signal handler logs during an append of its thread: that goes first
                self._write(self._open)
            if len(lines) > self._room and not self._has_place(len(lines)):
                self.refused += count
                return
            self._open = entry
            try:
                self._write(entry)
            finally:
                if self._open is entry:  # a signal handler has raised: Ctrl-C
                    self._write(entry)

    def _has_place(self, length: int) -> bool:
        """Whether `length` bytes may be written; if the last segment is full, begin a new one. Sets `_room`."""
        if (not self._segments or self._segments[-1].size >= SEGMENT_BYTES) and not self._new_segment():
            return False
        left = self._quota - self._used - self.others
        self._room = min(left, SEGMENT_BYTES - self._segments[-1].size)
        return length <= left

    @property
    def _used(self) -> int:
        """Bytes of this process's files."""
        return sum(segment.size for segment in list(self._segments))

    def _write(self, entry: _Entry) -> None:
        """Write the open entry and count it; during any call in here, a signal handler may do all of that instead."""
        segment = self._segments[-1]  # the worker never removes the last one
        offset = segment.size
        if self._open is not entry:
            return
        lines, count = entry
        length = len(lines)
        try:
            if self._pwrite.write(segment.descriptor, lines, offset) != length:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._write_elsewhere(entry, segment, offset, error)  # the entry is then no longer open
        if self._open is not entry:
            return
        self._open = None  # no call from here on
        segment.entries += count
        self._room -= length
        self.written += count
        segment.size = offset + length  # last: from now on the worker may read it

    def _write_elsewhere(self, entry: _Entry, segment: Segment, offset: int, error: OSError) -> None:
        """Write the open entry without the folder, because of `error`, or refuse it; a signal handler may, too."""
        with contextlib.suppress(OSError):
            if self._open is entry:  # a partial write is not a line; no call between this and the next one
                posix.ftruncate(segment.descriptor, offset)
        if self._open is entry and segment.path:
            self._leave_folder(error)
            if self._new_segment():
                self._write(entry)
        if self._open is entry:
            self._open = None
            self.refused += entry[1]

    def _new_segment(self) -> bool:
        """Begin the next segment, without the folder if that cannot be used; False if there is none to write to."""
        try:
            segment = self._folder.new_segment()
        except Exception as error:  # noqa: BLE001 - not the disk alone refuses: blockbuster does, or an audit hook
            if self._folder.path is None:
                return False  # space may come back: the next append tries again
            if getattr(error, "errno", None) in _NO_FILES and self._segments:
                return True  # the last one grows until the next append that can open a file
            self._leave_folder(error)
            return self._new_segment()
        before = self._segments[-1] if self._segments else None
        self._segments.append(segment)
        if before is not None:  # last: a signal handler in between would append to a closed file
            before.finish()
        return True

    def _leave_folder(self, error: Exception) -> None:
        """Do without the folder from now on, because of `error`: within the bound of memory."""
        self._folder.fall_back(error)
        self.others = 0
        self._quota = min(self._quota, self._used + NAMELESS_BYTES)

    @property
    def fallback(self) -> str | None:
        """Why the folder cannot be used, None while it can."""
        return self._folder.fallback

    @property
    def waiting(self) -> int:
        """Entries that are neither acknowledged nor rejected."""
        settled = self.settled  # read first: entries may be written and settled in between
        return self.written - settled

    @property
    def unkept(self) -> int:
        """Waiting entries that end with the process: their files have no name."""
        nameless = [segment for segment in list(self._segments) if segment.path is None]
        return sum(segment.entries - segment.settled for segment in nameless)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the entries that are waiting."""
        segments, reader = len(self._segments), self._reader
        sent = reader.offset - HEADER_BYTES if reader else 0
        return self._used - segments * HEADER_BYTES - sent

    def first_line(self) -> bytes:
        """The oldest waiting entry; empty if there is none."""
        with contextlib.suppress(OSError, IndexError):
            segment = self._segments[0]
            with contextlib.closing(segment.open()) as reader:
                return bytes(reader.read(segment.size, limit=1 << 12).partition(b"\n")[0])
        return b""

    # --- the worker alone ---------------------------------------------------------------------------------------

    def read(self) -> bytearray:
        """Read the next lines to send, if any. They are kept until `settle`.

        Raises:
            OSError: the disk failed, or too many files are open; try again later.
        """
        while self._segments:
            segment = self._segments[0]
            all_there = len(self._segments) > 1  # checked before `size`: another may be added in between
            try:
                self._reader = self._reader or segment.open()
            except FileNotFoundError:
                self._drop_first()
                continue
            if (block := self._reader.read(segment.size)) or not all_there:
                return block
            self._drop_first()
        return bytearray()

    def settle(self, length: int, entries: int) -> None:
        """Record that `entries` entries, the first `length` bytes `read` returned, are acknowledged or rejected."""
        assert self._reader is not None
        self._segments[0].settled += entries
        self.settled += entries
        self._reader.acknowledge(length)

    def _drop_first(self) -> None:
        """Remove the oldest segment: all of it is settled, or its file was removed."""
        segment = self._segments.popleft()
        if self._reader:
            self._reader.close()
        self._reader = None
        self.lost += segment.entries - segment.settled
        self.settled += segment.entries - segment.settled
        segment.remove()

    def recycle(self) -> None:
        """Reuse the file from its beginning if everything is settled, so that most entries never reach the disk."""
        if self._lock.acquire(blocking=False):
            try:
                if self._reader and len(self._segments) == 1 and not self.waiting:
                    segment = self._segments[0]
                    if segment.size > _RECYCLE_BYTES:
                        segment.empty(self._reader)
            finally:
                self._lock.release()

    def measure_others(self) -> None:
        """Count the bytes of other processes' files against the quota."""
        with contextlib.suppress(OSError):
            self.others = self._folder.size_of_others()
            self._room = 0  # an append at this moment may undo that, until the next measurement

    def return_to_folder(self) -> None:
        """Move nameless files to the folder if it can be used again, for example after its disk was full.

        Only the last file is appended to, so a hook that logs meanwhile waits for one file at most.
        """
        if self._folder.fallback is None:
            return
        with contextlib.suppress(Exception):  # as in `_new_segment`: not only the disk refuses
            *full, last = list(self._segments)
            for segment in full:
                self._move(segment)
            if self._lock.acquire(blocking=False):
                try:
                    if last is self._segments[-1]:
                        self._move(last)
                        self._folder.fallback, self._quota = None, self._whole_quota
                finally:
                    self._lock.release()

    def _move(self, segment: Segment) -> None:
        if segment.path is None:
            self._folder.move(segment, self._reader if segment is self._segments[0] else None)

    # --- other threads ------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Sync waiting entries to disk, so that they survive a crash of the machine."""
        for segment in list(self._segments):
            emptied, size = segment.emptied, segment.size
            if segment.path and segment.synced < size and self.waiting:
                with contextlib.suppress(OSError):  # removed meanwhile, or an error that the worker will report
                    with contextlib.closing(Reader.of(segment.path)) as reader:
                        reader.sync()
                    if segment.emptied == emptied:  # else what was synced is gone, and there may be other lines
                        segment.synced = size
        self._folder.sync()

    def release(self) -> None:
        """Remove the files if everything is settled. The worker must have ended."""
        with self._lock:
            if not self.waiting and self._open is None:
                self._room = 0
                while self._segments:
                    self._drop_first()
                self._folder.release()

    def abandon(self) -> None:
        """Close everything without taking the lock or modifying files: after a fork they are the parent's."""
        for segment in list(self._segments):
            segment.close()
        if self._reader:
            self._reader.close()
        self._folder.abandon()
