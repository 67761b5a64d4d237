"""The spool folder of a destination, and where the segments of a spool are: in it, or in nameless files."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import posix
import re
from pathlib import Path
from urllib.parse import urlsplit

from coagent_langchain.config import public_url
from coagent_langchain.delivery.owner import Owner
from coagent_langchain.delivery.segment import Reader, Segment

_ADDRESS = "destination"  # the file that names the server: the folder's name holds its host and a hash only
_FULL = {errno.ENOSPC, errno.EDQUOT}
_ROOM_BYTES = 16 << 20  # free space needed for a return to the folder: as much as the spool may hold without it


class SpoolFolder:
    """Creates the segments of this process, under the name of their owner.

    Parameters:
        path: the folder, or None for memory only.
        address: the server's, to be recorded in the folder; without secrets.

    Attributes:
        fallback: why the folder cannot be used, None while it can.
    """

    def __init__(self, path: Path | None, address: str) -> None:
        self.fallback: str | None = None
        self._path = path
        self._address = address
        self._in_memory = path is None
        self._owner: Owner | None = None
        self._numbers = itertools.count()
        self._new_names = False

    @property
    def path(self) -> Path | None:
        """The folder; None if there is none, or while it cannot be used."""
        return None if self.fallback else self._path

    def new_segment(self) -> Segment:
        """Create the next segment.

        Raises:
            OSError: it cannot be created.
        """
        return self._named_segment(self.path) if self.path else self._nameless_segment()

    def move(self, segment: Segment, reader: Reader | None) -> None:
        """Move a nameless segment to the folder, which could not be used when the segment was created.

        Raises:
            OSError: the folder still cannot be used, or its disk is still nearly full.
        """
        assert self._path
        make_private_folder(self._path, self._address)  # on a full disk the address could not be recorded either
        named = self._named_segment(self._path)
        try:
            disk = posix.fstatvfs(named.descriptor)
            if disk.f_bavail * disk.f_frsize < _ROOM_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            segment.move(named, reader)
        except OSError:
            named.remove()
            raise

    def _named_segment(self, path: Path) -> Segment:
        """Create a file in the folder, and the folder itself for the first one or if it was removed."""
        if self._owner is None or not self._owner.holds():
            make_private_folder(path, self._address)
            former = self._owner
            self.abandon()
            # Under the same name if possible: segments that still wait there would look like those of a dead process.
            self._owner = (Owner.claim(path, former.name) if former else None) or Owner.create(path)
        self._new_names = True
        return Segment.create(path / f"{self._owner.name}-{next(self._numbers):06d}.jsonl")

    def _nameless_segment(self) -> Segment:
        with contextlib.suppress(OSError):
            return Segment.create(None, self._in_memory)
        self._in_memory = True  # there is no temporary folder, or no space in it either
        return Segment.create(None, self._in_memory)

    def fall_back(self, error: Exception) -> None:
        """Do without the folder for now, because of `error`."""
        if getattr(error, "errno", None) in _FULL:
            self._in_memory = True  # the temporary folder may be on the same disk
        if isinstance(error, OSError) and error.strerror:
            self.fallback = f"{error.strerror}: {error.filename or self._path}"
        else:
            self.fallback = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"

    def size_of_others(self) -> int:
        """Bytes used by the files of other processes.

        Raises:
            OSError: the folder cannot be read.
        """
        if self.path is None:
            return 0
        own = f"{self._owner.name}-" if self._owner else "-"
        with posix.scandir(self.path) as files:
            return sum(_size(file) for file in files if not file.name.startswith(own))

    def sync(self) -> None:
        """Sync the names of new segments to disk."""
        names, self._new_names = self._new_names, False
        if names and self.path:
            _sync(self.path)

    def release(self) -> None:
        """Give up the owner's name for good: no segment is left."""
        if self._owner:
            self._owner.release()
            self._owner = None

    def abandon(self) -> None:
        """Give up the owner without touching its files: after a fork they are the parent's."""
        if self._owner:
            self._owner.abandon()


def _sync(folder: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = posix.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            posix.fsync(descriptor)
        finally:
            posix.close(descriptor)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:  # acknowledged and removed meanwhile
        return 0


def destination_folder(spool_dir: Path, base_url: str) -> Path:
    """The folder for one server's events, named by its host and a hash of its address."""
    url = public_url(base_url)
    host = re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(url).hostname or "server")[:64]
    return spool_dir / f"{host}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


def make_private_folder(folder: Path, address: str) -> None:
    """Create the folder and its parents, accessible to this user only, and record the server's address in it.

    Raises:
        OSError: the folder cannot be created.
    """
    _make(folder)
    with contextlib.suppress(OSError):  # it is there already, or the disk is full: the folder's name must do
        _note(folder / _ADDRESS, f"{address}\n".encode())


def _make(folder: Path) -> None:
    # Not `os.mkdir`: `langgraph dev` (blockbuster) replaces it with one that raises in an event loop, where a hook
    # may have to create the folder.
    try:
        posix.mkdir(folder, mode=0o700)
    except FileNotFoundError:
        _make(folder.parent)
        with contextlib.suppress(FileExistsError):
            posix.mkdir(folder, mode=0o700)
    except OSError:  # not always FileExistsError if it exists: the system reports the first error it finds
        if not folder.is_dir():
            raise


def _note(path: Path, content: bytes) -> None:
    descriptor = posix.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        posix.write(descriptor, content)
    except OSError:
        posix.unlink(path)  # an empty file would prevent another attempt once there is space
        raise
    finally:
        posix.close(descriptor)


def address_of(folder: Path) -> str:
    """The address of the folder's server, or the folder's name if none was recorded."""
    try:
        return (folder / _ADDRESS).read_text(encoding="utf-8", errors="replace").strip() or folder.name
    except OSError:
        return folder.name
