"""What the commands that use a store share: the option that names it, the user's own store, and how to delete."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from coagent_langchain.cli.text import argument
from coagent_langchain.config import user_folder
from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.store_address import check_address, open_beside
from coagent_langchain.texts import counted

if TYPE_CHECKING:
    from coagent_langchain.server.store.clickhouse import ClickHouseStore
    from coagent_langchain.server.store.records import Pruned
    from coagent_langchain.server.store.sqlite_pruning import SqliteDeleter

VARIABLE = "COAGENT_STORE"  # where other users' `ps` does not show a password


def store_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of every command that uses a store."""
    parser.add_argument(
        "--store",
        type=argument(store_address),
        default=os.environ.get(VARIABLE) or default_store(),
        metavar="URL",
        help="where sessions are stored: sqlite:// and an absolute path (sqlite:///var/lib/coagent.db is the file "
        "/var/lib/coagent.db), clickhouse://USER:PASSWORD@HOST:8123/DATABASE, chdb:///PATH "
        f"(default: {VARIABLE}, else {default_store()})".replace("%", "%%"),
    )


def default_store() -> str:
    """The address of the user's own store, e.g. `sqlite:///home/me/.local/share/coagent-langchain/coagent.db`."""
    return f"sqlite://{user_folder('data') / 'coagent.db'}"


def store_address(text: str) -> str:
    """The address of a store, checked.

    Raises:
        ConfigurationError: it is not the address of a store; the message says if it comes from the environment.
    """
    try:
        return check_address(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} (in {VARIABLE})" if text == os.environ.get(VARIABLE) else error) from None


def make_own_folder(address: str) -> None:
    """Create the folders above the user's own store, but of no other: a path that a user typed may have a mistake.

    Raises:
        ConfigurationError: they cannot be created.
    """
    if address != default_store():
        return
    folder = user_folder("data").parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot hold a store: {error.strerror}") from error


def silence_clickhouse() -> None:
    """Keep the ClickHouse library's log off the terminal: the error that follows says what is wrong."""
    logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())


@contextlib.contextmanager
def opened_beside(address: str) -> Iterator[ClickHouseStore | SqliteDeleter]:
    """Open the store at an address to delete from it, whether a server is running or not."""
    silence_clickhouse()
    with contextlib.closing(open_beside(address)) as store:
        yield store


def tell(pruned: Pruned) -> None:
    """Print how much was deleted."""
    print(f"deleted {amount(pruned.sessions, pruned.entries)}")


def amount(sessions: int, events: int) -> str:
    """Numbers of sessions and events in words."""
    return f"{counted(sessions, 'session')} with {counted(events, 'event')}"
