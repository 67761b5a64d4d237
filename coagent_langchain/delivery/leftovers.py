"""What dead processes left in a folder, read and settled like a spool."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from coagent_langchain import clock
from coagent_langchain.delivery.owner import Owner, dead_owners, segments_by_owner
from coagent_langchain.delivery.segment import Reader

LOOK_EVERY_S = 60.0  # seconds between two listings of a folder


class Leftovers:
    """Reads owner after owner of a folder, if there is one, and now and then looks for more.

    Its lines are read and settled like those of a spool; each file is removed when all of it is settled.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._owners: Iterator[Owner] = iter(())
        self._owner: Owner | None = None
        self._paths: deque[Path] = deque()  # the owner's segments
        self._reader: Reader | None = None  # of the first of them
        self._next_look = 0.0

    def read(self) -> bytearray:
        """Read the next lines to send, if any. A file that cannot be read is passed over."""
        while owner := self._owner or self._claim_next():
            while self._paths:
                with contextlib.suppress(OSError):
                    self._reader = self._reader or Reader.of(self._paths[0])
                    if block := self._reader.read(self._reader.size()):
                        return block
                    self._paths[0].unlink()
                self._paths.popleft()
                self._close_reader()
            owner.release()
            self._owner = None
        return bytearray()

    def _claim_next(self) -> Owner | None:
        """Claim what the next dead process left."""
        owner = next(self._owners, None)
        if owner is None and self._folder and clock.monotonic() >= self._next_look:
            self._next_look = clock.monotonic() + LOOK_EVERY_S
            self._owners = dead_owners(self._folder)
            owner = next(self._owners, None)
        if owner is not None:
            self._paths.extend(segments_by_owner(owner.folder, f"{owner.name}-").get(owner.name, ()))
        self._owner = owner
        return owner

    def settle(self, length: int, entries: int) -> None:
        """Record that the first `length` bytes of what `read` returned are acknowledged or rejected."""
        assert self._reader is not None
        self._reader.acknowledge(length)

    def abandon(self) -> None:
        """Leave the files to the next claimant, or after a fork to the parent."""
        self._close_reader()
        if self._owner:
            self._owner.abandon()

    def _close_reader(self) -> None:
        if self._reader:
            self._reader.close()
        self._reader = None
