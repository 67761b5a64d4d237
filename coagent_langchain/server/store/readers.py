"""A few connections for reading, which requests take in turn."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from coagent_langchain.server.store import Unavailable

READERS = 4  # connections; more only wait for the disk
WAIT = 5.0  # seconds that a request waits for one: then it is better told to come again


class Connection(Protocol):
    """What the connections of both databases have."""

    def close(self) -> None:
        """Let go of the database."""


C = TypeVar("C", bound=Connection)


class Readers(Generic[C]):
    """The connections, opened when they are first needed.

    Parameters:
        connect: opens one.
    """

    def __init__(self, connect: Callable[[], C]) -> None:
        self._connect = connect
        self._free: queue.LifoQueue[C | None] = queue.LifoQueue()
        for _ in range(READERS):
            self._free.put(None)

    @contextlib.contextmanager
    def one(self) -> Iterator[C]:
        """A connection for the length of a `with`.

        Raises:
            Unavailable: others kept them all for too long.
        """
        try:
            connection = self._free.get(timeout=WAIT)
        except queue.Empty:
            raise Unavailable("too many requests read at the same time") from None
        try:
            if connection is None:
                connection = self._connect()
            yield connection
        finally:
            self._free.put(connection)

    def close(self) -> None:
        """Close them all, each as soon as it is free."""
        for _ in range(READERS):
            if (connection := self._free.get()) is not None:
                connection.close()
