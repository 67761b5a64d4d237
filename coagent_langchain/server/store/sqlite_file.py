"""The SQLite file: readable by its user only, locked by one server."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.store import Unavailable

PAGE_SIZE = 8192  # bytes: with 4096, three entries of 1 KB leave a quarter of a page empty
CHECKPOINT = 4000  # pages of the WAL: a page that changes in every commit is written back only once
MAX_WAL = 2 * CHECKPOINT * PAGE_SIZE  # bytes that the WAL keeps: it grows without limit while a backup reads the file


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection for any thread, one at a time, in autocommit mode; the file must exist (`make_private`)."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=10, isolation_level=None,
                                 check_same_thread=False, cached_statements=256)  # fmt: skip
    with closed_on_error(connection):
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA journal_size_limit = {MAX_WAL}")
    return connection


@contextlib.contextmanager
def closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    """Close the connection if the `with` block raises."""
    with contextlib.ExitStack() as on_error:
        on_error.callback(connection.close)
        yield
        on_error.pop_all()


def make_private(path: Path) -> None:
    """Create a file, and its folder if missing, that only this user can read.

    Raises:
        ConfigurationError: the file cannot be created or opened.
    """
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except FileNotFoundError as error:  # creating all parent folders would hide a mistake in the path
        missing = path.parent.parent
        raise ConfigurationError(f"{path} cannot be used as a store: there is no folder {missing}") from error
    except FileExistsError as error:
        raise ConfigurationError(f"{path} cannot be used as a store: {path.parent} is not a folder") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be used as a store: {error.strerror}") from error


class Lock:
    """Held while a server uses the file, and released by the kernel if its process dies.

    Raises:
        ConfigurationError: another server holds it (the message names its process), or locking fails.
    """

    def __init__(self, path: Path) -> None:
        make_private(lock := Path(f"{path}.lock"))
        self._file = os.open(lock, os.O_RDWR)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 20, 0).decode(errors="replace")
            os.close(self._file)
            raise ConfigurationError(
                f"{path} is in use by another server (process {holder}), and a store has one server at a time"
            ) from None
        except OSError as error:
            os.close(self._file)
            raise ConfigurationError(
                f"{path} cannot be used as a store: it cannot be locked: {error.strerror}"
            ) from error
        with contextlib.suppress(OSError):  # a full disk: the process id is only for that message
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def close(self) -> None:
        """Release the file for another server."""
        os.close(self._file)


class OpenFile:
    """The database's file as it was opened, whatever becomes of its path.

    Parameters:
        path: path of an existing file.
        writer: a connection to it.
    """

    def __init__(self, path: Path, writer: sqlite3.Connection) -> None:
        self._path = path
        self._writer = writer
        self._opened = os.stat(path)

    def check(self) -> None:
        """Check that the path still leads to the file: SQLite would go on writing to an unlinked one.

        Raises:
            Unavailable: the file was removed or replaced.
        """
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(self._path), self._opened):
                return
        raise Unavailable("the database's file was removed or replaced: restart the server")

    def complete(self) -> None:
        """If the file was removed or replaced, move to it what is in the WAL, for the thread that writes.

        SQLite would leave the WAL as it is: the file would lack the latest entries, and the next server would write
        these pages into the file that is at the path by then.
        """
        try:
            self.check()
        except Unavailable:
            with contextlib.suppress(sqlite3.Error):
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextlib.contextmanager
def available(what: Literal["read", "written"]) -> Iterator[None]:
    """Raise `Unavailable` if SQLite fails: a file locked for long or damaged, no space, an I/O error."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise Unavailable(f"the database cannot be {what}: {error}") from error


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """Commit at the end of the `with` block; roll back if it raises.

    Parameters:
        kind: IMMEDIATE locks every attached file for writing at once; DEFERRED locks a file when it is first written.
    """
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
