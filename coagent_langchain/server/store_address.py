"""The address of a store, and opening what is there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from coagent_langchain.errors import ConfigurationError
from coagent_langchain.texts import install

if TYPE_CHECKING:
    from coagent_langchain.server.store import Store
    from coagent_langchain.server.store.clickhouse import ClickHouseStore
    from coagent_langchain.server.store.sqlite_pruning import SqliteDeleter


def open_store(address: str) -> Store:
    """Open the store at an address.

    Parameters:
        address: `sqlite:///PATH`, `clickhouse://USER:PASSWORD@HOST:8123/DATABASE` (with `?secure=true` over TLS), or
            `chdb:///PATH`, which is ClickHouse's engine inside this process.

    Raises:
        ConfigurationError: the address is not valid, or the store cannot be used.
    """
    if _is_clickhouse(address):
        return _clickhouse_store(address, make=True)
    from coagent_langchain.server.store.sqlite import SqliteStore

    return SqliteStore(_sqlite_path(address))


def open_beside(address: str) -> ClickHouseStore | SqliteDeleter:
    """Open a store to delete from, whether or not a server is using it.

    The result has `summaries`, `prune`, `delete` and `close`.

    Raises:
        ConfigurationError: the address is not valid, or there is no store at it.
    """
    if _is_clickhouse(address):
        return _clickhouse_store(address, make=False)
    from coagent_langchain.server.store.sqlite_pruning import SqliteDeleter

    return SqliteDeleter(_sqlite_path(address))


def check_address(address: str) -> str:
    """Return a store's address if it is valid.

    Raises:
        ConfigurationError: it is not valid.
    """
    if not _is_clickhouse(address):
        _sqlite_path(address)
    return address


def public_address(address: str) -> str:
    """The address of a store without user and password, even if they contain a `/` that is not percent-encoded."""
    return re.sub(r"(?<!^sqlite://)(?<=://)[^/].*@", "", address)  # a path, which may contain an `@`, has no user


def _is_clickhouse(address: str) -> bool:
    return address.partition("://")[0] in ("clickhouse", "chdb")


def _clickhouse_store(address: str, *, make: bool) -> ClickHouseStore:
    try:
        from coagent_langchain.server.store import clickhouse_client
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"ClickHouse needs {error.name}: {install('clickhouse')}") from error
    return clickhouse_client.open_store(address, make=make)


def _sqlite_path(address: str) -> Path:
    scheme, _, rest = address.partition("://")
    path = os.path.expanduser(re.sub("^/+~", "~", rest))  # sqlite:///~/x.db, too, as the slashes of a path are three
    if scheme != "sqlite" or not path.startswith("/") or not path.strip("/"):
        raise ConfigurationError(
            f"a store is sqlite:///PATH, clickhouse://… or chdb:///PATH, not {public_address(address)!r}; "
            f"for a file, give its absolute path: sqlite://{_meant(address)}"
        )
    return Path(os.path.realpath(path))  # the lock is beside the file: one that is not beside a link to it


def _meant(address: str) -> Path:
    """The path probably meant by an invalid address, for the error message; otherwise an example."""
    scheme, _, rest = address.rpartition("://")
    path = rest.removeprefix("sqlite:") if scheme in ("", "sqlite") else ""
    return Path(path).absolute() if path.strip("/") else Path("/var/lib/coagent.db")
