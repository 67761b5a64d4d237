"""A pool of connections for reading."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from coagent_langchain.server.store import Unavailable

SIZE = 4  # connections; more would only wait for the disk
WAIT = 5.0  # seconds that a request waits for a connection before it is refused


class Connection(Protocol):
    """The common interface of the connections of both databases."""

    def close(self) -> None:
        """Close the connection."""


C = TypeVar("C", bound=Connection)


class ConnectionPool(Generic[C]):
    """A pool of `SIZE` connections, each opened when first needed."""

    def __init__(self, connect: Callable[[], C]) -> None:
        self._connect = connect
        self._free: queue.LifoQueue[C | None] = queue.LifoQueue()
        for _ in range(SIZE):
            self._free.put(None)

    @contextlib.contextmanager
    def connection(self) -> Iterator[C]:
        """Borrow a connection for a `with` block.

        Raises:
            Unavailable: all connections are in use for too long.
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
        """Close all connections, each as soon as it is free."""
        for _ in range(SIZE):
            if (connection := self._free.get()) is not None:
                connection.close()
