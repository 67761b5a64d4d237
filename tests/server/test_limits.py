"""What bounds memory, processor time and risk of a server, where it cannot be observed from outside."""

from __future__ import annotations

import http.client
import sqlite3
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from coagent_langchain import server
from coagent_langchain.server import fragments, intake, timeline_cache
from coagent_langchain.server.presentation.timeline import Timeline
from coagent_langchain.server.running import Running
from coagent_langchain.server.store import Store, sqlite_file
from coagent_langchain.server.store.connection_pool import ConnectionPool
from coagent_langchain.server.store.sqlite import SqliteStore
from tests.server.samples import entry, put
from tests.waiting import until


@pytest.mark.parametrize(("limit", "most"), [("KEPT_ENTRIES", 6), ("KEPT_TIMELINES", 2)])
def test_so_many_timelines_are_kept(running: Running, monkeypatch: pytest.MonkeyPatch, limit: str, most: int) -> None:
    """The least recently viewed one is rebuilt, the others are kept; the latest always stays."""
    monkeypatch.setattr(timeline_cache, limit, most)
    for name, size in {"a": 3, "b": 3, "c": 3, "large": 9}.items():
        put(running.store, *(entry(session_id=name, at=at) for at in range(size)))
    kept = timeline_cache.TimelineCache(running.store)

    def look(name: str) -> Timeline:
        session = running.store.session(name)
        assert session is not None
        return kept.get(session)

    first = {name: look(name) for name in "abac"}  # b is evicted for c
    again = {name: look(name) is first[name] for name in "acb"}
    large = look("large")

    assert again == {"a": True, "c": True, "b": False}
    assert look("large") is large
    assert kept._building.keys() == kept._kept.keys()


def test_session_that_was_deleted_is_not_shown_for_another_with_its_id(tmp_path: Path) -> None:
    """Even if it has as many entries."""
    address = f"sqlite://{tmp_path}/coagent.db"
    shown = []
    with server.launch(address) as running:
        for at, words in enumerate(("deleted", "kept")):
            put(running.store, entry(at=at, output_data={"message": words}))
            shown.append(requests.get(f"{running.url}/view/timeline/=s", timeout=10).text)
            if words == "deleted":
                server.open_beside(address).delete(["s"])

    assert ["deleted" in page for page in shown] == [True, False]


def test_search_inside_a_session_ends_with_so_many_hits(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a word of every event, the newest are found."""
    monkeypatch.setattr(fragments, "MAX_HITS", 2)
    put(running.store, *(entry(at=at, prompt="everywhere") for at in range(3)))
    found = requests.get(f"{running.url}/view/find/=s?q=everywhere", timeout=10).json()["seqs"]

    assert found == [str(seq) for seq in (3, 2)]


def test_pages_of_large_events_are_whole(running: Running) -> None:
    """Even though the store returns only two of them at a time."""
    put(running.store, *(entry(at=number, event_id=str(number), prompt="long " * 1_400_000) for number in range(3)))
    rows = requests.get(f"{running.url}/view/events/=s", timeout=10).json()["rows"]
    found = requests.get(f"{running.url}/view/find/=s?q=long", timeout=10).json()["seqs"]

    assert ([row[13] for row in rows], found) == (["0", "1", "2"], ["3", "2", "1"])


def test_page_of_events_with_enormous_ids_is_small(running: Running) -> None:
    """A client may choose ids as long as an entry may be: the rows of 200 of them would fill the memory."""
    put(running.store, *(entry(at=number, event_id=f"{number}{'x' * 1_000}") for number in range(2)))
    rows = requests.get(f"{running.url}/view/events/=s", timeout=10).json()["rows"]

    assert [row[13] for row in rows] == [f"{number}{'x' * 159}…" for number in range(2)]


def begin_to_post(running: Running) -> http.client.HTTPConnection:
    """Send the beginning of a body."""
    slow = http.client.HTTPConnection("127.0.0.1", urlsplit(running.url).port, timeout=10)
    slow.putrequest("POST", "/api/v1/logs")
    slow.putheader("Content-Type", "application/json")
    slow.putheader("Content-Length", "5000")
    slow.endheaders(b" " * 1_500)
    return slow


def post(running: Running) -> requests.Response:
    """Send a whole entry."""
    return requests.post(f"{running.base_url}/logs", json=entry(prompt="x" * 1_000), timeout=10)


def test_server_that_reads_much_already_takes_no_more(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of loggers that come back at once do not fill its memory: some are told to come again."""
    monkeypatch.setattr(intake, "READING", 2_000)
    slow = begin_to_post(running)
    until(lambda: post(running).status_code == 503)
    refused = post(running)
    slow.close()
    until(lambda: post(running).status_code == 200)

    assert (refused.headers["Retry-After"], refused.json()["message"]) == (
        "1", "more than 2,000 bytes of requests are being read",
    )  # fmt: skip


def test_server_waits_for_the_rest_of_a_body_for_a_while(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that have gone without a word would count as being read for ever, and others be refused."""
    monkeypatch.setattr(intake, "READING", 2_000)
    monkeypatch.setattr(intake, "MAX_PAUSE", 0.5)
    gone = begin_to_post(running)
    until(lambda: post(running).status_code == 503)
    until(lambda: post(running).status_code == 200)
    status = gone.getresponse().status
    gone.close()

    assert status == 408


def test_what_is_acknowledged_is_synced_to_disk(tmp_path: Path) -> None:
    """SQLite's FULL is 2: each commit waits for the disk, also in WAL mode."""
    store: Store = server.open_store(f"sqlite://{tmp_path}/coagent.db")
    assert isinstance(store, SqliteStore)
    synchronous = store._writer.execute("PRAGMA synchronous").fetchone()
    store.close()

    assert synchronous == (2,)


def test_batches_of_many_sizes_leave_little_in_memory(tmp_path: Path) -> None:
    """Each size has its own statements, which keep what they stored last: less than half of these 99 MB remains."""
    code = """
import sys
from pathlib import Path
from coagent_langchain import server
from tests.server.samples import entry, put

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def batch(size):
    return [entry(prompt="x" * 20_000) for _ in range(size)]

store = server.open_store(f"sqlite://{sys.argv[1]}/coagent.db")
put(store, *batch(100))
before = resident()
for size in range(1, 100):
    put(store, *batch(size))
print((resident() - before) // 1_000_000)
store.close()
"""
    grown = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)

    assert int(grown.stdout) < 50


def test_connections_that_read_are_used_again(tmp_path: Path) -> None:
    """Sequential readers share one connection, and closing leaves none open."""
    sqlite_file.make_private(path := tmp_path / "file.db")
    opened: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        opened.append(sqlite_file.connect(path))
        return opened[-1]

    kept = ConnectionPool(connect)
    for _ in range(10):
        with kept.connection() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    kept.close()

    assert len(opened) == 1
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        opened[0].execute("SELECT 1")
