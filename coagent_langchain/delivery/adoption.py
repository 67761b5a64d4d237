"""Adoption of the segments that dead processes left, one owner at a time, the oldest first."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from coagent_langchain.delivery.owner import Owner
from coagent_langchain.delivery.segment import Reader

_FILE = re.compile(r"(\d+-[0-9a-f]{8})(?:(-\d{6,}\.jsonl)|\.lock)")


def segments_by_owner(folder: Path, prefix: str = "", *, of_others: bool = False) -> dict[str, list[Path]]:
    """List this user's segments (or those of all others) by owner, each owner's in order, that of the oldest first.

    One that has a lock file only comes last, with no segments: it died too early, or the disk was full.
    """
    found: dict[str, list[tuple[str, float]]] = {}
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
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


class Adopted:
    """The segments of one dead owner, who is claimed; read in order and removed when settled."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._paths = deque(segments_by_owner(owner.folder, f"{owner.name}-").get(owner.name, ()))
        self._reader: Reader | None = None

    def read(self) -> bytearray:
        """Read the next lines to send, none when all are settled. A file that cannot be read is passed over."""
        while self._paths:
            with contextlib.suppress(OSError):
                self._reader = self._reader or Reader.of(self._paths[0])
                if block := self._reader.read(self._reader.size()):
                    return block
                self._paths[0].unlink()
            self._paths.popleft()
            self._close_reader()
        return bytearray()

    def settle(self, length: int, entries: int) -> None:
        """Record that the first `length` bytes of what `read` returned are acknowledged or rejected."""
        assert self._reader is not None
        self._reader.acknowledge(length)

    def release(self) -> None:
        """Give up the owner's name if all is read, else leave the files to the next claimant."""
        if self._paths:
            self.abandon()
        else:
            self._owner.release()

    def abandon(self) -> None:
        """Leave the files to the next claimant, or after a fork to the parent."""
        self._close_reader()
        self._owner.abandon()

    def _close_reader(self) -> None:
        if self._reader:
            self._reader.close()
        self._reader = None


def dead_owners(folder: Path) -> Iterator[Adopted]:
    """Claim what each dead owner left in a folder, one after the other, the oldest first.

    The folder is listed once, not once per owner: thousands of processes may have died while the server was away.
    """
    for name in segments_by_owner(folder):
        owner = None
        with contextlib.suppress(OSError):
            owner = Owner.claim(folder, name)
        if owner:
            yield Adopted(owner)


def waiting_lines(path: Path) -> Iterator[bytes]:
    """The unacknowledged lines of a segment, which is not modified; an `OSError` if it cannot be read."""
    with contextlib.closing(Reader.of(path)) as reader:
        while block := reader.read(reader.size()):
            yield from bytes(block).splitlines()
            reader.offset += len(block)
