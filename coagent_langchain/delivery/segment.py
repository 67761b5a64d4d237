"""One segment of the spool: a fixed header that holds the acknowledged offset, then JSON lines.

The offset is stored in the file that it describes and updated in place, so an acknowledgement needs no new disk space
and no second file can disagree with it. The header is itself a line of JSON: any tool can read a segment.

Files are opened, written and closed through `posix`, not `os`, in which a test's fake file system (pyfakefs) replaces
`open` but not `pwrite`: its descriptors are those of other files of the application, which would be overwritten.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posix
import re
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from coagent_langchain.wire import BATCH_BYTES, BATCH_ENTRIES

HEADER_BYTES = 64
_HEADER = re.compile(rb'\{"coagent_spool":1,"acknowledged":"(\d{20})" *\}\n')
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


def header(acknowledged: int) -> bytes:
    """The first line of a segment that is acknowledged up to the offset `acknowledged`."""
    return (b'{"coagent_spool":1,"acknowledged":"%020d"' % acknowledged).ljust(HEADER_BYTES - 2) + b"}\n"


def nameless(in_memory: bool) -> int:
    """Open a file without a name, which disappears with the process.

    Parameters:
        in_memory: True for memory, if the system has such files; False for the temporary folder.

    Raises:
        OSError: it cannot be created.
    """
    if in_memory and hasattr(posix, "memfd_create"):
        with contextlib.suppress(OSError):
            return posix.memfd_create("coagent-spool", os.MFD_CLOEXEC)
    path = f"{tempfile.gettempdir()}/coagent-{secrets.token_hex(8)}"
    descriptor = posix.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
    posix.unlink(path)
    return descriptor


class Segment:
    """The writing end of one segment.

    Attributes:
        path: where it is, or None for a nameless file.
        size: bytes written, with the header: what may be read.
        synced: bytes known to be on disk.
        emptied: how often it was emptied.
        entries: number of entries written, counted by the appending threads.
        settled: number of these that are acknowledged or rejected, counted by the worker.
    """

    def __init__(self, descriptor: int, path: Path | None) -> None:
        self.path = path
        self.size = self.synced = HEADER_BYTES
        self.entries = self.settled = self.emptied = 0
        self.descriptor = descriptor
        self._fill(header(HEADER_BYTES))

    def _fill(self, content: bytes) -> None:
        if posix.pwrite(self.descriptor, content, 0) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    @classmethod
    def create(cls, path: Path | None, in_memory: bool = False) -> Segment:
        """Create an empty segment.

        Raises:
            OSError: it cannot be created; nothing is left behind.
        """
        descriptor = posix.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600) if path else nameless(in_memory)
        try:
            return cls(descriptor, path)
        except OSError:
            posix.close(descriptor)
            if path:
                posix.unlink(path)
            raise

    def open(self) -> Reader:
        """Open the reading end, with a descriptor of its own.

        Raises:
            OSError: the file is gone.
        """
        try:
            if self.path:
                return Reader.of(self.path)
        except FileNotFoundError:  # removed by somebody: then the writing end was kept open
            if self.descriptor < 0:
                raise
        return Reader(posix.dup(self.descriptor))

    def finish(self) -> None:
        """Close the writing end for good, unless the file has no name: then it could not be opened again."""
        with contextlib.suppress(OSError):  # a network file system may report errors on close
            if self.path and self.descriptor >= 0 and posix.fstat(self.descriptor).st_nlink:
                self.close()

    def close(self) -> None:
        """Close the writing end."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            posix.close(descriptor)

    def remove(self) -> None:
        """Close the writing end and unlink the file."""
        self.close()
        if self.path:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def move(self, named: Segment, reader: Reader | None) -> None:
        """Move this nameless file's content, and both ends, to the file of a new segment, while nothing is appended.

        Raises:
            OSError: there is not enough space.
        """
        named._fill(posix.pread(self.descriptor, self.size, 0))
        for descriptor in (self.descriptor, *((reader.descriptor,) if reader else ())):
            posix.dup2(named.descriptor, descriptor, inheritable=False)
        named.close()
        self.path = named.path

    def empty(self, reader: Reader) -> None:
        """Reuse the file from its beginning: everything in it is acknowledged."""
        posix.ftruncate(self.descriptor, HEADER_BYTES)
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
            posix.close(descriptor)
            raise

    @classmethod
    def of(cls, path: Path) -> Reader:
        """Open the segment at `path`.

        Raises:
            OSError: it cannot be opened.
        """
        return cls(posix.open(path, _FLAGS))

    def _acknowledged_offset(self) -> int:
        """The offset in the header, or that of the first line if the header is damaged: rather twice than never."""
        match = _HEADER.fullmatch(posix.pread(self.descriptor, HEADER_BYTES, 0))
        offset = int(match[1]) if match else HEADER_BYTES
        plausible = HEADER_BYTES <= offset <= self.size() and posix.pread(self.descriptor, 1, offset - 1) == b"\n"
        return offset if plausible else HEADER_BYTES

    def size(self) -> int:
        """Bytes in the file now."""
        return posix.fstat(self.descriptor).st_size

    def read(self, end: int, limit: int = BATCH_BYTES) -> bytearray:
        """Read whole lines from the acknowledged offset to `end`: a batch of up to `limit` bytes, at least one line.

        A last line without its newline is a torn write, of an `append` that never returned, and is left out.

        Returns:
            the only copy of the lines, which the caller may modify.
        """
        while self.offset < end:
            block = bytearray(min(limit, end - self.offset))
            length = posix.preadv(self.descriptor, [block], self.offset)
            ends = line_ends(block)[:BATCH_ENTRIES]
            del block[ends[-1] if ends else 0 :]
            if block or length < limit:
                return block
            limit *= 2
        return bytearray()

    def acknowledge(self, length: int) -> None:
        """Advance the offset by `length`, also in the file; if that fails, a later process may send the lines again."""
        self.offset += length
        with contextlib.suppress(OSError):
            posix.pwrite(self.descriptor, header(self.offset), 0)

    def restart(self) -> None:
        """Start again after the header: the file was emptied."""
        self.offset = HEADER_BYTES
        self.acknowledge(0)

    def sync(self) -> None:
        """Sync the file to disk."""
        getattr(posix, "fdatasync", posix.fsync)(self.descriptor)

    def close(self) -> None:
        """Close the reading end."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            posix.close(descriptor)


def line_ends(block: bytearray) -> list[int]:
    """The offsets at which the lines of a block end, after their newlines."""
    ends = []
    end = block.find(b"\n") + 1
    while end:
        ends.append(end)
        end = block.find(b"\n", end) + 1
    return ends


def waiting_lines(path: Path) -> Iterator[bytes]:
    """The unacknowledged lines of a segment, which is not modified; an `OSError` if it cannot be read."""
    with contextlib.closing(Reader.of(path)) as reader:
        while block := reader.read(reader.size()):
            yield from bytes(block).splitlines()
            reader.offset += len(block)
