"""How a ClickHouse store is reached: over HTTP, or as the engine inside this process."""

from __future__ import annotations

import functools
import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.store.clickhouse import ClickHouseStore

CONNECT = 5  # seconds
ANSWER = 20  # seconds: a slower database counts as down, and the client tries again
DATABASE = "coagent"


def open_store(address: str) -> ClickHouseStore:
    """The store of `clickhouse://USER:PASSWORD@HOST:8123/DATABASE` or `chdb:///PATH`.

    Raises:
        ConfigurationError: the address is wrong, or the database cannot be used.
    """
    parts = urlsplit(address)
    if parts.scheme == "chdb":
        options: dict[str, Any] = {"interface": "chdb", "path": parts.path}
        valid, database = bool(parts.path.strip("/")) and not parts.netloc, DATABASE
    else:
        options = _http_options(address)
        valid, database = bool(options["host"]), parts.path.strip("/") or DATABASE
    if not valid or not re.fullmatch(r"\w+", database, re.ASCII):
        raise ConfigurationError(
            f"--store must be like clickhouse://user:password@host:8123/coagent or chdb:///PATH, not {_shown(address)}"
        )
    return ClickHouseStore(functools.partial(_client, options), database)


def _client(options: dict[str, Any]) -> Client:
    return clickhouse_connect.get_client(**options)


def _http_options(address: str) -> dict[str, Any]:
    parts = urlsplit(address)
    try:
        port = parts.port or 8123
    except ValueError:
        port, parts = 0, urlsplit("")
    return {
        "host": parts.hostname,
        "port": port,
        "username": unquote(parts.username or "default"),
        "password": unquote(parts.password or ""),
        "autogenerate_session_id": False,  # a client's reads may run side by side
        "secure": parse_qs(parts.query).get("secure") == ["true"],
        "connect_timeout": CONNECT,
        "send_receive_timeout": ANSWER,
        # the database collects the inserts of all servers into few parts, and answers when they are stored
        "settings": {"async_insert": 1, "wait_for_async_insert": 1},
    }


def _shown(address: str) -> str:
    return re.sub(r":[^:@/]*@", ":…@", address)
