"""What dead processes left: as one source for the worker; sent or discarded at once for the command line."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coagent_langchain.config import Settings
from coagent_langchain.delivery.owner import Owner, dead_owners, segments_by_owner
from coagent_langchain.delivery.segment import Reader
from coagent_langchain.delivery.sender import Sender
from coagent_langchain.delivery.transport import Transport
from coagent_langchain.delivery.verdict import Meaning
from coagent_langchain.http import backoff

LOOK_EVERY_S = 60.0  # seconds between two listings of a folder


class Leftovers:
    """What dead processes left in a folder, if there is one: owner after owner, and now and then it looks for more.

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
        if owner is None and self._folder and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_EVERY_S
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


@dataclass
class Flushed:
    """The result of sending.

    Attributes:
        sent: entries that the server acknowledged.
        rejected: entries that it rejected; they are kept with the reason.
        problem: why entries are left; empty if none are.
        status: HTTP status of the problem, or None if there was no response.
    """

    sent: int = 0
    rejected: int = 0
    problem: str = ""
    status: int | None = None


def send_leftovers(settings: Settings, folder: Path, timeout: float) -> Flushed:
    """Send every segment of dead processes in the folder to the settings' server, even if they are for another address.

    For as long as the timeout, requests are retried while the server accepts nothing. With a wrong token or address, or
    a server that asks to wait longer than that, there is no retry.
    """
    flushed = Flushed()
    sender = Sender(Transport(settings.base_url, settings.auth_token, longest=max(timeout, 1.0)), folder)
    leftovers = Leftovers(folder)
    while not flushed.problem and (lines := leftovers.read()):
        sender.load(lines)
        _send(sender, leftovers, flushed, timeout)
    leftovers.abandon()
    return flushed


def discard_leftovers(folder: Path) -> int:
    """Delete every segment of dead processes; return how many entries were waiting in them."""
    discarded = 0
    leftovers = Leftovers(folder)
    while lines := leftovers.read():
        count = lines.count(b"\n")
        leftovers.settle(len(lines), count)
        discarded += count
    return discarded


def _send(sender: Sender, leftovers: Leftovers, flushed: Flushed, timeout: float) -> None:
    """Send one batch completely, or until there is a problem."""
    attempt, until = 0, time.monotonic() + timeout
    while sender.busy and not flushed.problem:
        step = sender.step()
        leftovers.settle(step.length, step.stored + step.rejected)
        flushed.sent += step.stored
        flushed.rejected += step.rejected
        if not step.verdict.again:
            attempt, until = 0, time.monotonic() + timeout
            continue
        attempt += 1
        left = until - time.monotonic()
        if step.verdict.meaning is Meaning.PAUSE or left <= step.verdict.wait:
            flushed.problem, flushed.status = step.verdict.reason, step.verdict.status
        else:
            time.sleep(min(max(backoff(attempt), step.verdict.wait), left))  # the last attempt is at the time limit
