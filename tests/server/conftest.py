"""A store of each kind, and a server over loopback."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coagent_langchain import server
from coagent_langchain.server.running import Running
from coagent_langchain.server.store import Store
from coagent_langchain.server.store.sqlite import SqliteStore
from coagent_langchain.server.store.sqlite_pruning import SqliteDeleter
from tests.server import sessions
from tests.server.asking import TOKEN
from tests.server.pages import log

KINDS = [
    "sqlite",
    pytest.param("chdb", marks=pytest.mark.heavy),
    pytest.param("clickhouse", marks=pytest.mark.heavy),
]
_databases = itertools.count(1)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of ClickHouse's engine: one per process."""
    return str(tmp_path_factory.mktemp("chdb"))


@pytest.fixture(scope="session")
def door(engine: str) -> Iterator[object]:
    """ClickHouse's HTTP dialect in front of the engine."""
    from tests.server.clickhouse_door import Door

    with Door(engine) as opened:
        yield opened


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store: SQLite, ClickHouse's engine in the process, or the same over HTTP."""
    opened = opener(request)(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def address(tmp_path: Path) -> str:
    """The address of a store in a file, which is not there yet."""
    return f"sqlite://{tmp_path}/coagent.db"


@pytest.fixture
def beside(store: Store, tmp_path: Path) -> Any:
    """A deleter for the open store: for SQLite, another connection to its file."""
    return SqliteDeleter(tmp_path / "coagent.db") if isinstance(store, SqliteStore) else store


def opener(request: pytest.FixtureRequest) -> Callable[[Path], Store]:
    """A function that opens a store of the kind under test."""
    database = f"test{next(_databases)}"
    if request.param == "sqlite":
        return lambda folder: server.open_store(f"sqlite://{folder}/coagent.db")
    if request.param == "chdb":
        import clickhouse_connect

        from coagent_langchain.server.store.clickhouse import ClickHouseStore

        path = request.getfixturevalue("engine")
        return lambda _: ClickHouseStore(lambda: clickhouse_connect.get_client(interface="chdb", path=path), database)
    port = request.getfixturevalue("door").port
    return lambda _: server.open_store(f"clickhouse://me:secret@127.0.0.1:{port}/{database}")


@pytest.fixture
def running() -> Iterator[Running]:
    """A server with an empty store."""
    with server.launch() as launched:
        yield launched


@pytest.fixture
def three(running: Running) -> Running:
    """A server with three sessions an hour apart: one completed, one failed, one without an end."""
    for hour, made in enumerate((sessions.recipe("recipe"), sessions.failed("broken"), sessions.running("live"))):
        for entry in made:
            entry["timestamp"] += hour * 3_600_000
        log(running, made)
    return running


@pytest.fixture
def closed() -> Iterator[Running]:
    """A server with a token."""
    with server.launch(token=TOKEN) as launched:
        yield launched
