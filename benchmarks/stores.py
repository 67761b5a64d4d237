"""SQLite beside ClickHouse's engine: `python -m benchmarks.stores [--events 1000000 10000000] [--batch 5000]`."""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import clickhouse_connect
import orjson

from benchmarks.server import PER_SESSION, entries, texts
from coagent_langchain import server
from coagent_langchain.server.store import Store
from coagent_langchain.server.store.records import NewEntry, Query


def insert(store: Store, count: int, batch: int) -> float:
    """Seconds until events are appended and durable; generating them is not counted."""
    seconds = 0.0
    made = entries(count)
    while rows := [NewEntry(entry, orjson.dumps(entry)) for entry in itertools.islice(made, batch)]:
        began = time.perf_counter()
        store.append(rows).result()
        seconds += time.perf_counter() - began
    return seconds


def typical(question: Callable[[int], object]) -> float:
    """Milliseconds of a query: the median of 15."""
    times = []
    for number in range(15):
        began = time.perf_counter()
        question(number)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def files(folder: Path) -> int:
    """The size of all files."""
    return sum(path.stat().st_size for path in folder.iterdir())


def parts(folder: Path) -> int:
    """The size of ClickHouse's active parts; those replaced by a merge stay on disk for some minutes."""
    with clickhouse_connect.get_client(interface="chdb", path=str(folder / "engine")) as client:
        sql = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'coagent'"
        size: int = client.query(sql).result_rows[0][0]
        return size


class Engine(NamedTuple):
    """The address of a store in a folder, and its size there."""

    address: str
    size: Callable[[Path], int]


ENGINES = {"SQLite": Engine("sqlite://{}/c.db", files), "ClickHouse": Engine("chdb://{}/engine", parts)}


def measure(name: str, store: Store, folder: Path, count: int, batch: int) -> None:
    """Print one line of the table."""
    seconds = insert(store, count, batch)
    time.sleep(5)  # let it begin to merge or index; do not wait for either to finish
    size = ENGINES[name].size(folder)
    sessions = count // PER_SESSION
    words = Random(3).sample(sorted({word for text in texts(Random(7), 3000) for word in text.split()}), 15)
    figures = {
        "list": typical(lambda n: store.sessions(Query(offset=50 * n))),
        "by tokens": typical(lambda n: store.sessions(Query(sort="total_tokens"))),
        "session": typical(lambda n: store.entries(f"session-{n * 97 % sessions:06d}")),
        "roll-up": typical(lambda n: store.session(f"session-{n * 97 % sessions:06d}")),
        "search": typical(lambda n: store.sessions(Query(text=words[n]))),
        "runs": typical(lambda n: store.summaries()),
    }
    shown = "".join(f"{value:>9.1f} ms" for value in figures.values())
    print(f"{name:<12}{count / seconds:>10,.0f}{size / count:>9.0f} B{shown}", flush=True)


def table(count: int, batch: int) -> None:
    """Measure both stores with the same events."""
    columns = ("list", "by tokens", "session", "roll-up", "search", "runs")
    print(f"{count:,} events in batches of {batch:,}")
    print(f"{'':<12}{'events/s':>10}{'an event':>11}" + "".join(f"{column:>12}" for column in columns))
    for name, engine in ENGINES.items():
        with tempfile.TemporaryDirectory(prefix="coagent-bench-") as folder:
            store = server.open_store(engine.address.format(folder))
            measure(name, store, Path(folder), count, batch)
            store.close()


def main() -> None:
    """Measure with each requested number of events."""
    parser = argparse.ArgumentParser("python -m benchmarks.stores", description=__doc__)
    parser.add_argument(
        "--events", type=int, nargs="+", default=[1_000_000, 10_000_000], help="ten million: half an hour"
    )
    parser.add_argument("--batch", type=int, default=5000)
    options = parser.parse_args()
    for count in options.events:
        table(count, options.batch)


if __name__ == "__main__":
    main()
