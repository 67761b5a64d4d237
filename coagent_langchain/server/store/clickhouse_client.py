"""Opening a ClickHouse store: over HTTP, or with the engine inside this process."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import clickhouse_connect

from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.store.clickhouse import ClickHouseStore
from coagent_langchain.server.store_address import public_address

CONNECT = 5  # seconds
ANSWER = 20  # seconds: a database that takes longer counts as down, and the client tries again
DATABASE = "coagent"


def open_store(address: str, *, make: bool) -> ClickHouseStore:
    """Open the store at `clickhouse://USER:PASSWORD@HOST:8123/DATABASE` or `chdb:///PATH`, or `make` a missing one.

    Raises:
        ConfigurationError: the address is invalid, there is no store, or the database cannot be used.
    """
    try:
        options, database = _parsed(urlsplit(address))
    except ValueError:
        raise ConfigurationError(
            "--store must be like clickhouse://user:password@host:8123/coagent, with ?secure=true for TLS, "
            f"or chdb:///PATH, not {public_address(address)}"
        ) from None
    if not make and "path" in options and not Path(options["path"], "metadata").exists():  # the engine would create it
        raise ConfigurationError(f"there is no store at {options['path']}")
    return ClickHouseStore(lambda: clickhouse_connect.get_client(**options), database, make=make)


def _parsed(parts: SplitResult) -> tuple[dict[str, Any], str]:
    """The options of a client, and the name of the database.

    Raises:
        ValueError: the address is invalid.
    """
    if parts.scheme == "chdb":
        if parts.netloc or not parts.path.strip("/"):
            raise ValueError("no path")
        return {"interface": "chdb", "path": parts.path}, DATABASE
    database = parts.path.strip("/") or DATABASE
    secure = parts.query == "secure=true"
    if not parts.hostname or not re.fullmatch(r"\w+", database, re.ASCII) or (parts.query and not secure):
        raise ValueError("no host, no name of a database, or an option that would be passed over")
    options = {
        "host": parts.hostname,
        "port": parts.port or 0,  # 8123, or 8443 for TLS
        "username": unquote(parts.username or "default"),
        "password": unquote(parts.password or ""),
        "autogenerate_session_id": False,  # a client's reads may run concurrently
        "secure": secure,
        "connect_timeout": CONNECT,
        "send_receive_timeout": ANSWER,
        # the database batches the inserts of all servers into few parts, and responds when they are stored
        "settings": {"async_insert": 1, "wait_for_async_insert": 1},
    }
    return options, database
