"""A full disk, and the open files."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress


@contextmanager
def _limit(what: int, most: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


def largest_file(size: int) -> AbstractContextManager[None]:
    """Let no file grow beyond this many bytes, as on a full disk."""
    return _limit(resource.RLIMIT_FSIZE, size)


def no_more_files() -> AbstractContextManager[None]:
    """Let this process open no file, as if it had too many open."""
    return _limit(resource.RLIMIT_NOFILE, 0)


def open_files() -> set[tuple[int, int, int]]:
    """The files, sockets and pipes that this process has open: the descriptor, device and inode of each.

    Compare sets, not numbers: what an earlier test has left, such as garbage, may be closed at any time.
    """
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # closed since, as that of the folder is
            file = os.stat(f"/proc/self/fd/{name}")
            found.add((int(name), file.st_dev, file.st_ino))
    return found
