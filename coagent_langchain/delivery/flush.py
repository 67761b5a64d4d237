"""What dead processes left, sent or discarded at once: for the command line."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from coagent_langchain import clock
from coagent_langchain.config import Settings
from coagent_langchain.delivery.leftovers import Leftovers
from coagent_langchain.delivery.sender import Sender
from coagent_langchain.delivery.transport import Transport
from coagent_langchain.delivery.verdict import Meaning
from coagent_langchain.http import backoff


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
    attempt, until = 0, clock.monotonic() + timeout
    while sender.busy and not flushed.problem:
        step = sender.step()
        leftovers.settle(step.length, step.stored + step.rejected)
        flushed.sent += step.stored
        flushed.rejected += step.rejected
        if not step.verdict.again:
            attempt, until = 0, clock.monotonic() + timeout
            continue
        attempt += 1
        left = until - clock.monotonic()
        if step.verdict.meaning is Meaning.PAUSE or left <= step.verdict.wait:
            flushed.problem, flushed.status = step.verdict.reason, step.verdict.status
        else:
            time.sleep(min(max(backoff(attempt), step.verdict.wait), left))  # the last attempt is at the time limit
