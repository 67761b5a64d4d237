"""How much the server reads at the same time: many loggers that come back at once must not fill its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from coagent_langchain.server.store import Unavailable

READING = 32 << 20  # bytes of bodies that may be read and parsed at the same time


class Intake:
    """Counts the bodies that are being read; only for the thread of the event loop."""

    def __init__(self) -> None:
        self._bytes = 0

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """A function that counts the next part of one body, which no longer counts after the `with` block.

        The function raises `Unavailable` if more than `READING` bytes are being read.
        """
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            taken += size
            self._bytes += size
            if self._bytes > READING:
                raise Unavailable(f"more than {READING:,} bytes of requests are being read")

        try:
            yield take
        finally:
            self._bytes -= taken
