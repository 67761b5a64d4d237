"""Delivery: how every entry leaves the process. Nothing is lost, nothing blocks."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Protocol

from coagent_langchain.config import Settings


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the process started.

    Attributes:
        written: entries that were kept.
        acknowledged: of these, how many the server has accepted.
        waiting, waiting_bytes: what is in the spool now.
        oldest_age_s: age of the oldest waiting event in seconds; None if none is waiting.
        retried: requests that had to be repeated.
        rejected: entries that the server will never accept.
        refused: entries that were not kept for lack of space, or were lost because a file was removed.
    """

    written: int = 0
    acknowledged: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    oldest_age_s: float | None = None
    retried: int = 0
    rejected: int = 0
    refused: int = 0


class Delivery(Protocol):
    """What capture and sessions hand entries to."""

    def append(self, lines: bytes, count: int = 1) -> None:
        """Keep `count` entries, each a line of JSON that ends with a newline. Safe when this returns; never raises."""

    def flush(self, timeout: float) -> bool:
        """Wait until everything that was kept so far is settled: acknowledged or rejected by the server.

        Parameters:
            timeout: seconds to wait at most.

        Returns:
            True when nothing of it waits any more. What was refused was not kept and is not waited for.
        """

    def close(self) -> None:
        """Flush within the exit timeout and stop; what is not sent stays in the spool."""

    def stats(self) -> Stats:
        """Count what was written, acknowledged, is waiting, was retried, rejected and refused."""


def delivery_for(settings: Settings) -> Delivery:
    """The delivery shared by everything in this process with the same server and spool folder.

    Quota and exit timeout are those of the first call for the destination, the token is that of the last; in memory,
    without a folder, each token has a delivery of its own.
    """
    from coagent_langchain.delivery.deliveries import deliveries  # late: it imports the network libraries

    return deliveries.get(settings)


def close_deliveries() -> None:
    """Close all deliveries to servers, within the longest of their exit timeouts."""
    module = sys.modules.get("coagent_langchain.delivery.deliveries")  # not imported: without one there is no delivery
    if module is not None:
        module.deliveries.close_all()
