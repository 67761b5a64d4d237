"""What dead processes left: their segments are taken over, one owner at a time, the oldest first."""

from __future__ import annotations

import contextlib
import os
import re
from collections import deque
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Self

from coagent_langchain.delivery.owner import Owner
from coagent_langchain.delivery.segment import Reader

_SEGMENT = re.compile(r"(\d+-[0-9a-f]{8})-\d{6,}\.jsonl")


def segments_by_owner(folder: Path) -> dict[str, list[Path]]:
    """This user's segments in the folder, those of each owner in order, the owner with the oldest first."""
    found: dict[str, list[tuple[str, float]]] = {}
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _SEGMENT.fullmatch(entry.name)
            with contextlib.suppress(OSError):
                state = entry.stat(follow_symlinks=False)
                if match and state.st_uid == os.geteuid() and entry.is_file(follow_symlinks=False):
                    found.setdefault(match[1], []).append((entry.name, state.st_mtime))
    oldest_first = sorted(found, key=lambda owner: min(time for _, time in found[owner]))
    return {owner: [folder / name for name, _ in sorted(found[owner])] for owner in oldest_first}


class Adopted:
    """The segments of one dead owner, read in order and removed when settled.

    Attributes:
        name: the owner's.
    """

    def __init__(self, owner: Owner, paths: list[Path]) -> None:
        self.name = owner.name
        self._owner = owner
        self._paths = deque(paths)
        self._reader: Reader | None = None
        self._unreadable = False

    @classmethod
    def next(cls, folder: Path, passed: Container[str] = ()) -> Self | None:
        """Claim the oldest owner that is dead; None when there is none.

        Parameters:
            folder: where segments lie.
            passed: names of owners that had their turn: a file that cannot be read must not come up for ever.
        """
        for name in segments_by_owner(folder):
            with contextlib.suppress(OSError):
                if name not in passed and (owner := Owner.claim(folder, name)):
                    return cls(owner, segments_by_owner(folder).get(name, []))
        return None

    def read(self) -> bytearray:
        """The next lines to send, or nothing when all are settled. A file that cannot be read is left where it is."""
        while self._paths:
            try:
                self._reader = self._reader or Reader.of(self._paths[0])
                if block := self._reader.read(self._reader.size()):
                    return block
                self._paths[0].unlink()
            except OSError:
                self._unreadable = True
            self._paths.popleft()
            self._close_reader()
        return bytearray()

    def settle(self, length: int, entries: int) -> None:
        """The first `length` bytes of what `read` gave are acknowledged or rejected."""
        assert self._reader is not None
        self._reader.acknowledge(length)

    def release(self) -> bool:
        """Give the name up where nothing is left, else leave the files to the next one who claims them.

        Returns:
            whether nothing is left.
        """
        self._close_reader()
        if self._paths or self._unreadable:
            self._owner.abandon()
            return False
        self._owner.release()
        return True

    def _close_reader(self) -> None:
        if self._reader:
            self._reader.close()
        self._reader = None


def waiting_lines(path: Path) -> Iterator[bytes]:
    """The unacknowledged lines of a segment, without touching it.

    Raises:
        OSError: it cannot be read.
    """
    with contextlib.closing(Reader.of(path)) as reader:
        while block := reader.read(reader.size()):
            yield from bytes(block).splitlines()
            reader.offset += len(block)
