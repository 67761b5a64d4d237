"""One segment of the spool: a fixed header that holds the acknowledged offset, then JSON lines.

The offset lies inside the file that it describes and is updated in place, so an acknowledgement needs no new disk
space and no second file can disagree with it. The header is itself a line of JSON: any tool can read a segment.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from pathlib import Path

HEADER_BYTES = 64
BATCH_BYTES = 1_000_000  # makes a request cheap, and is what a proxy lets through: nginx refuses more than 1 MiB
BATCH_ENTRIES = 1000  # what our server takes at once
_HEADER = re.compile(rb'\{"coagent_spool":1,"acknowledged":"(\d{20})" *\}\n')
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


def header(acknowledged: int) -> bytes:
    """The first line of a segment of which everything before the offset `acknowledged` is acknowledged."""
    return (b'{"coagent_spool":1,"acknowledged":"%020d"' % acknowledged).ljust(HEADER_BYTES - 2) + b"}\n"


def nameless(in_memory: bool) -> int:
    """Open a file without a name, which is gone when the process is.

    Parameters:
        in_memory: True for memory, where the system has such files; False for the temporary folder.

    Raises:
        OSError: it cannot be had.
    """
    if in_memory and hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):
            return os.memfd_create("coagent-spool", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile(buffering=0) as file:
        return os.dup(file.fileno())


class Segment:
    """The writing end of one segment.

    Attributes:
        path: where it lies, or None for a nameless file.
        size: bytes that are written, with the header: what a reader may look at.
        synced: bytes that are known to be on the disk.
        emptied: how often it was emptied.
        entries: how many were written, counted by the appending threads.
        settled: how many of them are acknowledged or rejected, counted by the worker.
    """

    def __init__(self, descriptor: int, path: Path | None) -> None:
        self.path = path
        self.size = self.synced = HEADER_BYTES
        self.entries = self.settled = self.emptied = 0
        self.descriptor = descriptor
        self._fill(header(HEADER_BYTES))

    def _fill(self, content: bytes) -> None:
        if os.pwrite(self.descriptor, content, 0) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    @classmethod
    def create(cls, path: Path | None, in_memory: bool = False) -> Segment:
        """Make an empty segment.

        Raises:
            OSError: it cannot be made; nothing is left behind.
        """
        descriptor = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600) if path else nameless(in_memory)
        try:
            return cls(descriptor, path)
        except OSError:
            os.close(descriptor)
            if path:
                os.unlink(path)
            raise

    def open(self) -> Reader:
        """The reading end, with a descriptor of its own.

        Raises:
            OSError: the file is gone.
        """
        try:
            if self.path:
                return Reader.of(self.path)
        except FileNotFoundError:  # removed by somebody: then the writing end was kept
            if self.descriptor < 0:
                raise
        return Reader(os.dup(self.descriptor))

    def finish(self) -> None:
        """Close the writing end for good, unless the segment has no name: then nobody could open it again."""
        with contextlib.suppress(OSError):  # a network's disk may complain when a file is closed
            if self.path and self.descriptor >= 0 and os.fstat(self.descriptor).st_nlink:
                self.close()

    def close(self) -> None:
        """Close the writing end."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def remove(self) -> None:
        """Close the writing end and unlink the file."""
        self.close()
        if self.path:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def move(self, named: Segment, reader: Reader | None) -> None:
        """Move what lies in this nameless file to that of a new segment, and both ends with it. Nobody appends.

        Raises:
            OSError: there is no space for it.
        """
        named._fill(os.pread(self.descriptor, self.size, 0))
        for descriptor in (self.descriptor, *((reader.descriptor,) if reader else ())):
            os.dup2(named.descriptor, descriptor, inheritable=False)
        named.close()
        self.path = named.path

    def empty(self, reader: Reader) -> None:
        """Use the file again from its beginning: everything in it is acknowledged."""
        os.ftruncate(self.descriptor, HEADER_BYTES)
        self.emptied += 1
        self.size = self.synced = HEADER_BYTES
        reader.restart()


class Reader:
    """The reading end of a segment: whole lines from the acknowledged offset on.

    Attributes:
        offset: everything before it is acknowledged.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        try:
            self.offset = self._acknowledged_offset()
        except OSError:
            os.close(descriptor)
            raise

    @classmethod
    def of(cls, path: Path) -> Reader:
        """Open the segment at `path`.

        Raises:
            OSError: it cannot be opened.
        """
        return cls(os.open(path, _FLAGS))

    def _acknowledged_offset(self) -> int:
        """The offset that the header names; the first line's where the header is damaged: twice rather than never."""
        match = _HEADER.fullmatch(os.pread(self.descriptor, HEADER_BYTES, 0))
        offset = int(match[1]) if match else HEADER_BYTES
        plausible = HEADER_BYTES <= offset <= self.size() and os.pread(self.descriptor, 1, offset - 1) == b"\n"
        return offset if plausible else HEADER_BYTES

    def size(self) -> int:
        """Bytes in the file now."""
        return os.fstat(self.descriptor).st_size

    def read(self, end: int, limit: int = BATCH_BYTES) -> bytearray:
        """Whole lines between the acknowledged offset and `end`: a batch of up to `limit` bytes, but at least one line.

        A last line without its newline is a torn write, of an `append` that never returned: it is left out.

        Returns:
            the only copy of them, which is the caller's to change.
        """
        while self.offset < end:
            block = bytearray(min(limit, end - self.offset))
            length = os.preadv(self.descriptor, [block], self.offset)
            del block[length:]
            _fill_holes(block)
            del block[_end_of(BATCH_ENTRIES, block) :]
            if block or length < limit:
                return block
            limit *= 2
        return bytearray()

    def acknowledge(self, length: int) -> None:
        """Move the offset `length` bytes on, in the file too; if that fails, a later process may send them again."""
        self.offset += length
        with contextlib.suppress(OSError):
            os.pwrite(self.descriptor, header(self.offset), 0)

    def restart(self) -> None:
        """The file was emptied: begin again behind the header."""
        self.offset = HEADER_BYTES
        self.acknowledge(0)

    def sync(self) -> None:
        """Wait until the file is on the disk."""
        getattr(os, "fdatasync", os.fsync)(self.descriptor)

    def close(self) -> None:
        """Close the reading end."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _fill_holes(block: bytearray) -> None:
    """Fill the holes in a block: in each line, spaces replace all up to the last NUL, which JSON never has.

    A crash of the machine leaves holes where the length of a file came to the disk, but not all of its content.
    """
    if b"\0" in block:
        lines = block.split(b"\n")
        block[:] = b"\n".join(b" " * (cut := line.rfind(b"\0") + 1) + line[cut:] for line in lines)


def _end_of(entries: int, block: bytearray) -> int:
    """Where the first lines of a block end: so many, or all that are whole."""
    end = 0
    for _ in range(entries):
        found = block.find(b"\n", end)
        if found < 0:
            break
        end = found + 1
    return end
