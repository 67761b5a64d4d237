"""A full disk, and the number of open files."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager


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


def open_files() -> int:
    """The number of files, sockets and pipes that this process has open."""
    return len(os.listdir("/proc/self/fd"))
