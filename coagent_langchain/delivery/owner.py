"""Who owns the files in a spool folder: one lock file per process, held while the process lives.

The lock is released however the process dies, so a free lock means a dead owner; process ids are reused, so nothing
depends on them.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import posix
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Self

_FILE = re.compile(r"(\d+-[0-9a-f]{8})(?:(-\d{6,}\.jsonl)|\.lock)")


class Owner:
    """A held lock file `<pid>-<random>.lock`; the segments of its process have the same name.

    Attributes:
        folder: where the files are.
        name: `<pid>-<random>`.
    """

    def __init__(self, folder: Path, name: str, descriptor: int) -> None:
        self.folder = folder
        self.name = name
        self._descriptor = descriptor

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Become a new owner.

        Raises:
            OSError: the folder is not writable, or its file system does not support locks.
        """
        for _ in range(2):  # a process that looks for dead owners may come between the file and its lock
            name = f"{os.getpid()}-{secrets.token_hex(4)}"
            if owner := cls.claim(folder, name):
                return owner
            (folder / f"{name}.lock").unlink(missing_ok=True)
        raise OSError(f"no lock file could be held in {folder}")

    @classmethod
    def claim(cls, folder: Path, name: str) -> Self | None:
        """Take over the files of `name`; None while their owner lives.

        Raises:
            OSError: the lock file cannot be opened.
        """
        path = folder / f"{name}.lock"
        descriptor = posix.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        owner, held = cls(folder, name, descriptor), False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = owner.holds()
        except OSError:  # held by a living process
            pass
        finally:
            if not held:
                owner.abandon()
        return owner if held else None

    def holds(self) -> bool:
        """Whether the held lock file is still the one with this name: another process or user may have removed it."""
        try:
            named = posix.stat(self.folder / f"{self.name}.lock", follow_symlinks=False)
            return os.path.samestat(named, posix.fstat(self._descriptor))
        except OSError:
            return False

    def release(self) -> None:
        """Give up the name for good: no segment of it is left."""
        with contextlib.suppress(OSError):
            posix.unlink(self.folder / f"{self.name}.lock")
        self.abandon()

    def abandon(self) -> None:
        """Close the lock file only: the files are left to the next claimant (or, after a fork, to the parent)."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            posix.close(descriptor)


def segments_by_owner(folder: Path, prefix: str = "", *, of_others: bool = False) -> dict[str, list[Path]]:
    """List this user's segments (or those of all others) by owner, each owner's in order, that of the oldest first.

    One that has a lock file only comes last, with no segments: it died too early, or the disk was full.
    """
    found: dict[str, list[tuple[str, float]]] = {}
    with contextlib.suppress(OSError), posix.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(prefix) or (match := _FILE.fullmatch(entry.name)) is None:
                continue
            with contextlib.suppress(OSError):
                state = entry.stat(follow_symlinks=False)
                if (state.st_uid != os.geteuid()) == of_others and entry.is_file(follow_symlinks=False):
                    segments = found.setdefault(match[1], [])
                    if match[2]:
                        segments.append((entry.name, state.st_mtime))
    oldest_first = sorted(found, key=lambda owner: min((time for _, time in found[owner]), default=math.inf))
    return {owner: [folder / name for name, _ in sorted(found[owner])] for owner in oldest_first}


def dead_owners(folder: Path) -> Iterator[Owner]:
    """Claim each dead owner's files in a folder, one owner after the other, the oldest first.

    The folder is listed once, not once per owner: thousands of processes may have died while the server was away.
    """
    for name in segments_by_owner(folder):
        with contextlib.suppress(OSError):
            if owner := Owner.claim(folder, name):
                yield owner
