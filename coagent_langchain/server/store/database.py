"""The SQLite file: made for its user alone, held by one server."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.store import Unavailable

PAGE_SIZE = 8192  # bytes: with 4096 a third entry of 1 KB leaves a quarter of the page empty
CHECKPOINT = 4000  # pages of the WAL: a page that changes in every commit is written back once


def connect(path: Path) -> sqlite3.Connection:
    """A connection for any thread, one at a time, without implicit transactions; it makes no file (`make_private`)."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=10, isolation_level=None,
                                 check_same_thread=False, cached_statements=256)  # fmt: skip
    with closed_on_error(connection):
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode = WAL")
    return connection


@contextlib.contextmanager
def closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    """Close the connection where the `with` raises: nobody else will."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def make_private(path: Path) -> None:
    """Make a file, and its folder where that is missing, that only this user can read.

    Raises:
        ConfigurationError: it cannot be made or opened.
    """
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except FileNotFoundError as error:  # folders of any depth would hide a mistake in the path
        missing = path.parent.parent
        raise ConfigurationError(f"{path} cannot be used as a store: there is no folder {missing}") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be used as a store: {error.strerror}") from error


class Lock:
    """Held as long as a server uses the file, and freed by the kernel when its process dies.

    Raises:
        ConfigurationError: another server holds it (the message names its process), or nobody can lock it.
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
        with contextlib.suppress(OSError):  # a full disk: it is for that message alone
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let another server have the file."""
        os.close(self._file)


class OpenFile:
    """The database's file, as it was when it was opened.

    Parameters:
        path: of a file that is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = os.stat(path)

    def check(self) -> None:
        """Make sure that what is stored is found again: SQLite goes on in a file that has lost its name.

        Raises:
            Unavailable: somebody removed or replaced the file.
        """
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(self._path), self._opened):
                return
        raise Unavailable("the database's file was removed or replaced: restart the server")


@contextlib.contextmanager
def available(what: str) -> Iterator[None]:
    """Raise `Unavailable` where SQLite fails: a file that is locked for long or damaged, no space, an I/O error.

    Parameters:
        what: cannot be done then.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise Unavailable(f"the database cannot be {what}: {error}") from error


def reader(path: Path, index: Path) -> sqlite3.Connection:
    """A connection that only reads.

    Parameters:
        path: the entries' file.
        index: the search index's file, attached as `search`.
    """
    connection = connect(path)
    with closed_on_error(connection):
        connection.execute("ATTACH ? AS search", (str(index),))
        connection.execute("PRAGMA query_only = 1")
    return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """Commit at the end of the `with`; roll back when it raises.

    Parameters:
        kind: IMMEDIATE takes the write lock of every attached file at once; DEFERRED of those that are written, then.
    """
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
