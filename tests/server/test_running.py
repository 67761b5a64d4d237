"""Starting, stopping, files on disk, and the command line's `serve` and `prune`."""

from __future__ import annotations

import argparse
import contextlib
import errno
import fcntl
import itertools
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from coagent_langchain import cli, server
from coagent_langchain.cli.store import default_store, make_own_folder
from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.running import START
from coagent_langchain.server.store import Store, index
from coagent_langchain.server.store.database import PAGE_SIZE, connect, transaction
from coagent_langchain.server.store.schema import MIGRATIONS
from tests.disk import largest_file
from tests.server.samples import T0, entry, event_ids, holding, put
from tests.waiting import until


def mode(path: Path) -> int:
    """A file's permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_for_their_user_alone(tmp_path: Path) -> None:
    """0600 in a folder of 0700, WAL and index included."""
    store = server.open_store(f"sqlite://{tmp_path}/folder/coagent.db")
    put(store, entry())
    modes = {path.name: mode(path) for path in (tmp_path / "folder").iterdir()}
    store.close()

    assert mode(tmp_path / "folder") == 0o700
    assert set(modes) >= {"coagent.db", "coagent.db-wal", "coagent.db.search", "coagent.db.lock"}
    assert set(modes.values()) == {0o600}


def test_two_servers_on_one_file_are_refused(tmp_path: Path) -> None:
    """The second is told which process has it; after the first has closed it may."""
    address = f"sqlite://{tmp_path}/coagent.db"
    first = server.open_store(address)
    with pytest.raises(ConfigurationError, match=rf"in use by another server \(process {os.getpid()}\)"):
        server.launch(address)
    first.close()
    server.launch(address).close()


def test_file_system_without_locks_takes_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no other server that stands in the way, and no second one could be refused."""

    def unknown(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unknown)
    with pytest.raises(ConfigurationError) as refused:
        server.open_store(f"sqlite://{tmp_path}/coagent.db")

    assert str(refused.value) == (
        f"{tmp_path}/coagent.db cannot be used as a store: it cannot be locked: No locks available"
    )


def test_taken_port_is_named() -> None:
    """The message says how to see who has it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"127.0.0.1:{port}: Address already in use.*ss -ltnp"):
            server.launch(port=port)


@pytest.mark.parametrize("host", ["nosuchhost.invalid", "192.0.2.1"])
def test_host_that_is_none_of_ours_is_named(host: str) -> None:
    """The advice is about the host, not about the port; what is wrong with it is in the system's words."""
    with pytest.raises(ConfigurationError) as raised:
        server.launch(host=host, port=3006, token="t")
    fault, _, advice = str(raised.value).partition(". --")

    assert fault.startswith(f"cannot listen on {host}:3006: ")
    assert advice == "host takes a name or an address of this machine"


def test_wrong_store_is_told_before_a_taken_port() -> None:
    """With another port the store would still be wrong."""
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigurationError, match="a store is"):
        server.launch("coagent.db", port=other.getsockname()[1])


def test_store_that_was_given_outlives_a_failed_start(tmp_path: Path) -> None:
    """Who opened it may try again with another port."""
    with contextlib.closing(server.open_store(f"sqlite://{tmp_path}/coagent.db")) as store:
        with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigurationError):
            server.launch(store, port=other.getsockname()[1])
        put(store, entry(event_id="e1"))

        assert event_ids(store.entries("s")) == ["e1"]


def test_failed_start_leaves_the_store_free(tmp_path: Path) -> None:
    """A store that was opened for a server that did not start can be opened again."""
    address = f"sqlite://{tmp_path}/coagent.db"
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigurationError):
        server.launch(address, port=other.getsockname()[1])
    server.open_store(address).close()


def test_folder_is_no_store(tmp_path: Path) -> None:
    """It is said once, and no lock file is left beside it."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigurationError) as raised:
        server.open_store(f"sqlite://{tmp_path}/folder")

    assert str(raised.value) == f"{tmp_path}/folder cannot be used as a store: Is a directory"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_missing_folders_are_named_and_not_made(tmp_path: Path) -> None:
    """Only the last folder is made: more of them are likely a mistake in the path."""
    with pytest.raises(ConfigurationError) as raised:
        server.open_store(f"sqlite://{tmp_path}/a/b/coagent.db")

    assert str(raised.value) == f"{tmp_path}/a/b/coagent.db cannot be used as a store: there is no folder {tmp_path}/a"
    assert [*tmp_path.iterdir()] == []


def test_own_store_is_made_in_a_new_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default address is nobody's mistake: in a container nothing of it may be there yet."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share" / "data"))
    make_own_folder(default_store())
    server.open_store(default_store()).close()

    assert mode(tmp_path / "share/data/coagent-langchain") == 0o700


def test_mistyped_store_is_told_without_its_password() -> None:
    """A terminal's output may be kept."""
    with pytest.raises(ConfigurationError) as raised:
        server.open_store("clickhose://me:hush@host/coagent")

    assert str(raised.value).partition(";")[0] == (
        "a store is sqlite:///PATH, clickhouse://… or chdb:///PATH, not 'clickhose://host/coagent'"
    )


def test_home_that_takes_no_store_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a container whose home is read-only; what can be done is said."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", f"{tmp_path}/file/data")

    assert command("serve", "--store", default_store()) == 1
    assert capsys.readouterr().err == (
        f"coagent-langchain: {tmp_path}/file/data cannot hold a store: Not a directory. "
        "Name another place with --store\n"
    )


def test_store_on_a_full_disk_is_told(tmp_path: Path) -> None:
    """The lock file has no space for the number of the process; nothing but the database says so."""
    with largest_file(0), pytest.raises(ConfigurationError) as raised:
        server.open_store(f"sqlite://{tmp_path}/coagent.db")

    assert str(raised.value).startswith(f"{tmp_path}/coagent.db cannot be used as a store: ")


@pytest.mark.parametrize("token", ["a b", "é", "a\nb"])
def test_token_that_clients_refuse_is_refused(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody could send it: by `launch`, and on the command line as wrong usage."""
    with pytest.raises(ConfigurationError, match="token must be a string of printable ASCII characters"):
        server.launch(token=token)
    with pytest.raises(SystemExit) as left:
        command("serve", "--token", token)

    assert left.value.code == 2
    assert "argument --token: it must be a string of printable ASCII characters" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["", "sqlite://", "sqlite:///", "sqlite://relative.db", "mysql://x", "/tmp/x"])
def test_wrong_addresses_are_refused(address: str) -> None:
    """The message says what an address looks like."""
    with pytest.raises(ConfigurationError, match="sqlite:///PATH"):
        server.open_store(address)


def test_store_in_nobodys_home_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """The user behind the tilde is mistyped."""
    with pytest.raises(SystemExit) as left:
        command("serve", "--store", "sqlite://~nobody-here/x.db")

    assert left.value.code == 2
    assert "there is no home folder ~nobody-here: sqlite://~nobody-here/x.db" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "right"),
    [("sqlite://x.db", "sqlite:///here/x.db"), ("x.db", "sqlite:///here/x.db"), ("sqlite:/x.db", "sqlite:///x.db"),
     ("mysql://x", "sqlite:///var/lib/coagent.db")],
)  # fmt: skip
def test_right_address_is_told(given: str, right: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gives a file in another way is told how to write it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as raised:
        server.open_store(given)

    assert str(raised.value).endswith(f"as an absolute path: {right.replace('/here', str(tmp_path))}")


def test_more_slashes_than_needed_make_no_other_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path with two slashes at its beginning is named with one."""
    command("prune", "--older-than", "1d", "--store", f"sqlite:///{tmp_path}/none.db")

    assert capsys.readouterr().err == f"coagent-langchain: there is no store at {tmp_path}/none.db\n"


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
def test_wrong_port_is_wrong_usage(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said before anything starts."""
    with pytest.raises(SystemExit) as raised:
        command("serve", "--port", port)

    assert raised.value.code == 2
    assert capsys.readouterr().err.endswith(f"argument --port: port must be from 0 to 65535, not {port}\n")


def test_dead_clickhouse_is_one_line(tmp_path: Path) -> None:
    """What its library logs does not stand beside the message."""
    line = [sys.executable, "-m", "coagent_langchain", "serve", "--port", "0", "--store",
            "clickhouse://127.0.0.1:9/coagent"]  # fmt: skip
    result = subprocess.run(line, capture_output=True, text=True, check=False)

    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert result.stderr.startswith("coagent-langchain: the ClickHouse database cannot be used: ")


@pytest.mark.parametrize("address", [
    "clickhouse://me:hush@host:x/coagent", "clickhouse://me:hush@host/a-b", "clickhouse:///coagent",
    "clickhouse://me:hush@host/coagent?secure=1", "chdb://x",
])  # fmt: skip
def test_wrong_address_of_clickhouse_is_refused(address: str) -> None:
    """An option that it does not know would be passed over, and send the password without TLS."""
    with pytest.raises(ConfigurationError) as raised:
        server.open_store(address)

    assert str(raised.value) == (
        "--store must be like clickhouse://user:password@host:8123/coagent, with ?secure=true for TLS, "
        f"or chdb:///PATH, not {address.replace('me:hush@', '')}"
    )


def test_clickhouse_has_another_port_for_tls() -> None:
    """It is taken where the address names none."""
    with pytest.raises(ConfigurationError, match="8443"):
        server.open_store("clickhouse://127.0.0.1/coagent?secure=true")


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """It is named and left as it was."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 1000)
    with pytest.raises(ConfigurationError, match=r"notes.txt cannot be used as a store") as refused:
        server.open_store(f"sqlite://{path}")

    assert path.read_text() == "not a database " * 1000
    assert _open_in(tmp_path) == []
    del refused  # until here it has kept whatever was left open


def test_store_that_is_damaged_where_it_is_opened_is_let_go(tmp_path: Path) -> None:
    """No file of it stays open while somebody looks at the error."""
    path = tmp_path / "coagent.db"
    server.open_store(f"sqlite://{path}").close()
    damage(path, "entries")
    with pytest.raises(ConfigurationError) as refused:
        server.open_store(f"sqlite://{path}")

    assert str(refused.value) == f"{path} cannot be used as a store: database disk image is malformed"
    assert _open_in(tmp_path) == []
    del refused  # until here it has kept whatever was left open


def test_index_that_cannot_be_made_leaves_the_store_free(tmp_path: Path) -> None:
    """What stands in its place is named, and when that is gone the store opens."""
    (tmp_path / "coagent.db.search").mkdir()
    with pytest.raises(ConfigurationError) as refused:
        server.open_store(f"sqlite://{tmp_path}/coagent.db")
    (tmp_path / "coagent.db.search").rmdir()
    server.open_store(f"sqlite://{tmp_path}/coagent.db").close()

    assert str(refused.value) == f"{tmp_path}/coagent.db.search cannot be used as a store: Is a directory"


def test_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """An older package does not write into what it does not know."""
    server.open_store(f"sqlite://{tmp_path}/coagent.db").close()
    connection = sqlite3.connect(tmp_path / "coagent.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigurationError, match="schema is version 99") as refused:
        server.open_store(f"sqlite://{tmp_path}/coagent.db")

    assert _open_in(tmp_path) == []
    del refused  # until here it has kept whatever was left open


def _open_in(folder: Path) -> list[str]:
    """The files of a folder that this process has open."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.exists()]
    return [name for link in links if (name := os.readlink(link)).startswith(str(folder))]


def test_database_of_the_first_version_opens(tmp_path: Path) -> None:
    """It is brought up to date with what it holds."""
    address = f"sqlite://{tmp_path}/coagent.db"
    store = server.open_store(address)
    put(
        store, entry("error", event_id="kept"), entry("llm_response", event_id="told", llm_response={"input_tokens": 7})
    )
    store.close()
    make_first_version(tmp_path / "coagent.db")
    store = server.open_store(address)
    put(store, entry("error", 1, event_id="new"))
    found, session = event_ids(store.entries("s")), store.session("s")
    store.close()
    with contextlib.closing(connect(tmp_path / "coagent.db")) as last:
        indexes = [row[1] for row in last.execute("PRAGMA index_list(entries)")]

    assert (sorted(found), indexes) == (["kept", "new", "told"], ["entries_once"])
    assert session
    assert (session.input_tokens, session.output_tokens) == (7, None)


def make_first_version(path: Path) -> None:
    """Turn a store's file back to what the first version of the package made."""
    with contextlib.closing(connect(path)) as first:
        first.execute("CREATE INDEX entries_errors ON entries (session, timestamp) WHERE type = 11")
        for name in ("open_calls", "input_reports", "output_reports", "cached_reports", "unpriced_calls", "failure_ms",
                     "failure"):  # fmt: skip
            first.execute(f"ALTER TABLE sessions DROP COLUMN {name}")
        first.execute("PRAGMA user_version = 1")


def test_launch_leaves_signals_and_logging_alone() -> None:
    """A host that embeds the server keeps its handlers."""
    import logging

    before = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), list(logging.getLogger().handlers))
    with server.launch() as running:
        requests.get(running.url, timeout=10)
        during = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), list(logging.getLogger().handlers))

    assert during == before


def test_closing_ends_every_thread(tmp_path: Path) -> None:
    """Nothing of the server is left, and closing twice does nothing."""
    before = set(threading.enumerate())
    running = server.launch(f"sqlite://{tmp_path}/coagent.db")
    requests.post(f"{running.base_url}/logs", json=entry(), timeout=10)
    running.close()
    running.close()

    assert [thread.name for thread in set(threading.enumerate()) - before if "coagent" in thread.name] == []


def seconds_to_close() -> float:
    """How long it takes to close a server beside a connection that a client keeps."""
    with requests.Session() as client, server.launch() as running:
        client.get(f"{running.base_url}/runs", timeout=10)
        began = time.monotonic()
        running.close()
        return time.monotonic() - began


def test_closing_waits_for_nothing_where_no_request_is_under_way() -> None:
    """At least once, for a machine may be busy; uvicorn alone always pauses for a tenth of a second or two."""
    assert any(seconds_to_close() < 0.1 for _ in range(20))


def test_request_under_way_is_answered_before_the_server_has_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody new is let in meanwhile; what is answered is stored."""
    monkeypatch.setattr("coagent_langchain.server.running.GRACE", 30)  # for a busy machine
    running = server.launch(f"sqlite://{tmp_path}/coagent.db")
    answers: list[int] = []
    ask = lambda: answers.append(requests.post(f"{running.base_url}/logs", json=entry(), timeout=60).status_code)  # noqa: E731
    asking, closing = threading.Thread(target=ask), threading.Thread(target=running.close)
    with contextlib.closing(connect(tmp_path / "coagent.db")) as other, transaction(other):
        asking.start()
        until(lambda: bool(running._server.server_state.tasks))
        closing.start()
        until(lambda: not listens(running.url))
    closing.join()
    asking.join()
    with contextlib.closing(server.open_store(f"sqlite://{tmp_path}/coagent.db")) as store:
        kept = len(event_ids(store.entries("s")))

    assert (answers, kept) == ([200], 1)


def listens(url: str) -> bool:
    """Whether somebody takes connections at an address."""
    try:
        socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_request_that_waits_for_the_database_is_told_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the server stops: it waits for a while, and its log has no traceback."""
    monkeypatch.setattr("coagent_langchain.server.running.GRACE", 0)
    running = server.launch(f"sqlite://{tmp_path}/coagent.db")
    answers: list[requests.Response] = []
    ask = lambda: answers.append(requests.post(f"{running.base_url}/logs", json=entry(), timeout=10))  # noqa: E731
    asking, closing = threading.Thread(target=ask), threading.Thread(target=running.close)
    with contextlib.closing(connect(tmp_path / "coagent.db")) as other, transaction(other):
        asking.start()
        until(lambda: bool(running._server.server_state.tasks))
        closing.start()
        asking.join()
    closing.join()

    said = {"success": False, "message": "the server is shutting down"}
    assert [(answer.status_code, answer.headers["Retry-After"], answer.json()) for answer in answers] == [
        (503, "1", said)
    ]
    assert "Traceback" not in caplog.text


def test_program_that_does_not_close_its_server_ends() -> None:
    """No thread of the server keeps it."""
    code = "from coagent_langchain import server; server.launch()"

    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=30).returncode == 0


def test_entries_that_the_disk_has_no_room_for_are_stored_when_it_has(tmp_path: Path) -> None:
    """Who sends them is told to come again; the store goes on as if they had not come."""
    big = entry(prompt="x" * 2_000_000)
    with server.launch(f"sqlite://{tmp_path}/coagent.db") as running:
        with largest_file(1_000_000):
            refused = requests.post(f"{running.base_url}/logs", json=big, timeout=10)
        after = requests.get(f"{running.base_url}/runs", timeout=10).json()
        accepted = requests.post(f"{running.base_url}/logs", json=big, timeout=10)
        found = requests.get(f"{running.base_url}/logs/s", timeout=10).json()

    assert (refused.status_code, refused.headers["Retry-After"], after) == (503, "1", [])
    assert (accepted.status_code, found) == (200, [big])


@pytest.mark.parametrize("replaced", [False, True])
def test_store_whose_file_is_taken_away_acknowledges_nothing(tmp_path: Path, replaced: bool) -> None:
    """Nobody would find again what it stored; the next server stores it where it belongs."""
    path = tmp_path / "coagent.db"
    with server.launch(f"sqlite://{path}") as running:
        put(running.store, entry())
        if replaced:
            (tmp_path / "copy.db").write_bytes(path.read_bytes())
            (tmp_path / "copy.db").rename(path)
        else:
            path.unlink()
        refused = [requests.post(f"{running.base_url}/logs", json=entry(), timeout=10) for _ in range(2)]
        requests.get(f"{running.base_url}/runs", timeout=10)
        made = path.exists()
    for left in ("", "-wal", "-shm"):
        Path(f"{path}{left}").unlink(missing_ok=True)
    with server.launch(f"sqlite://{path}") as running:
        put(running.store, entry())

    said = {"success": False, "message": "the database's file was removed or replaced: restart the server"}
    assert [(answer.status_code, answer.json()) for answer in refused] == [(503, said)] * 2
    assert made is replaced


def damage(path: Path, table: str) -> None:
    """Overwrite the page of a database that leads to a table's rows."""
    with contextlib.closing(connect(path)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0] - 1
    with path.open("r+b") as file:
        file.seek(page * PAGE_SIZE)
        file.write(b"\xff" * PAGE_SIZE)


def test_store_that_is_damaged_says_so(tmp_path: Path) -> None:
    """To who logs, who then keeps the events, and to who reads."""
    path = tmp_path / "coagent.db"
    with contextlib.closing(server.open_store(f"sqlite://{path}")) as store:
        put(store, entry())
    damage(path, "sessions")
    with server.launch(f"sqlite://{path}") as running:
        answers = [
            requests.post(f"{running.base_url}/logs", json=entry(), timeout=10),
            requests.get(f"{running.base_url}/runs", timeout=10),
        ]

    assert [(answer.status_code, answer.json()["message"]) for answer in answers] == [
        (503, "the database cannot be written: database disk image is malformed"),
        (503, "the database cannot be read: database disk image is malformed"),
    ]


def test_log_says_why_requests_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Once a minute, however often they come again."""
    with server.launch(f"sqlite://{tmp_path}/coagent.db") as running:
        (tmp_path / "coagent.db").unlink()
        for _ in range(3):
            requests.post(f"{running.base_url}/logs", json=entry(), timeout=10)

    assert [record.getMessage() for record in caplog.records] == [
        "requests are answered with 503: the database's file was removed or replaced: restart the server"
    ]


def test_index_that_is_damaged_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the server starts, which says so."""
    address = f"sqlite://{tmp_path}/coagent.db"
    with contextlib.closing(server.open_store(address)) as store:
        put(store, *(entry(prompt="zebrafinch") for n in range(3 * index.BLOCK)))
    (tmp_path / "coagent.db.search").write_bytes(b"\xff" * 9 * PAGE_SIZE)
    with contextlib.closing(server.open_store(address)) as store:
        until(lambda: store._index.blocks == 3)  # type: ignore[attr-defined]
        found = holding(store, "zebrafinch")

    assert (found, [record.getMessage() for record in caplog.records]) == (
        ["s"],
        [f"the search index is made again: {tmp_path}/coagent.db.search: file is not a database"],
    )


def test_search_names_an_index_that_is_damaged(tmp_path: Path) -> None:
    """Nobody shall take the store for lost; all else goes on."""
    address = f"sqlite://{tmp_path}/coagent.db"
    with contextlib.closing(server.open_store(address)) as store:
        put(store, *(entry(prompt="zebrafinch") for n in range(3 * index.BLOCK)))
        until(lambda: store._index.blocks == 3)  # type: ignore[attr-defined]
    damage(tmp_path / "coagent.db.search", "words_data")
    with server.launch(address) as running:
        found = requests.get(f"{running.url}/?q=zebrafinch", timeout=10)
        runs = requests.get(f"{running.base_url}/runs", timeout=10)

    assert (found.status_code, runs.json()) == (503, ["s"])
    assert "the search index is damaged: " in found.json()["message"]


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """SIGKILL in the middle of posts: everything that was answered is there afterwards."""
    code = f"from coagent_langchain import server; r = server.launch('sqlite://{tmp_path}/coagent.db'); " \
           "print(r.base_url, flush=True); import time; time.sleep(60)"  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    base_url = process.stdout.readline().strip()
    acknowledged = [
        requests.post(f"{base_url}/logs", json=[entry(at=n, event_id=f"{n}")], timeout=10) for n in range(30)
    ]
    process.kill()
    process.wait()
    process.stdout.close()
    store = server.open_store(f"sqlite://{tmp_path}/coagent.db")
    found = event_ids(store.entries("s"))
    store.close()

    assert all(answer.ok for answer in acknowledged)
    assert found == [str(n) for n in range(30)]


def test_indexing_and_storing_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """The index is written while another connection holds the entries' file for writing."""
    store = server.open_store(f"sqlite://{tmp_path}/coagent.db")
    put(store, *(entry(at=n) for n in range(10 * index.BLOCK)))
    with contextlib.closing(connect(tmp_path / "coagent.db")) as writer, transaction(writer):
        until(lambda: store._index.blocks == 10)  # type: ignore[attr-defined]
    store.close()


def test_index_catches_up_and_finds_the_same(tmp_path: Path) -> None:
    """Before it is indexed, after, and after the index was deleted, search finds the same."""
    store = server.open_store(f"sqlite://{tmp_path}/coagent.db")
    put(store, *(entry(session_id=f"s{n}", prompt=f"word{n} ünï\x00after\nline gpt-4o ☃") for n in range(100)))
    texts = ["word7", "after", "ÜNÏ", "gpt-4o line", "line", "☃", "g"]
    fresh = [holding(store, text) for text in texts]
    until(lambda: store._index.blocks == 101 // index.BLOCK)  # type: ignore[attr-defined]
    indexed = [holding(store, text) for text in texts]
    store.close()
    (tmp_path / "coagent.db.search").unlink()
    store = server.open_store(f"sqlite://{tmp_path}/coagent.db")
    again = [holding(store, text) for text in texts]
    store.close()

    assert [len(found) for found in fresh] == [11, 100, 100, 100, 100, 100, 100]
    assert fresh == indexed == again


@pytest.mark.parametrize(("text", "word"), [
    ("re\u0301sume\u0301", "re\u0301sume\u0301"),  # accents as signs of their own, as macOS writes file names
    ("🤖agent", "agent"),  # newer than SQLite's table of Unicode
    ("\u0130stanbul", "\u0130stanbul"),
    ("aa\u19b0bb", "aa\u19b0bb"),  # one word to us, two to SQLite
])  # fmt: skip
def test_index_finds_words_of_every_script(tmp_path: Path, text: str, word: str) -> None:
    """Where SQLite takes signs and letters otherwise than the search, what is indexed is found all the same."""
    with contextlib.closing(server.open_store(f"sqlite://{tmp_path}/coagent.db")) as store:
        put(store, entry(session_id="found", prompt="first"), entry(session_id="found", output_data={"said": text}))
        put(store, *(entry(session_id="other", prompt="something else") for _ in range(3 * index.BLOCK)))
        until(lambda: store._index.blocks == 3)  # type: ignore[attr-defined]

        assert holding(store, word) == ["found"]


def test_index_that_the_disk_has_no_room_for_is_written_when_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again and again until then."""
    monkeypatch.setattr(index, "RETRY", 0.01)
    with contextlib.closing(server.open_store(f"sqlite://{tmp_path}/coagent.db")) as store:
        put(store, *(entry(at=n) for n in range(3 * index.BLOCK)))
    (tmp_path / "coagent.db.search").unlink()
    asked = itertools.count()
    tried = threading.Event()

    def latest() -> int:
        if next(asked) > 12:  # a try asks four times
            tried.set()
        return 3 * index.BLOCK

    with contextlib.closing(index.Index(tmp_path / "coagent.db", latest)) as opened:
        with largest_file(1):
            opened.start()
            assert tried.wait(10)
            indexed = opened.blocks
        until(lambda: opened.blocks == 3)

    assert indexed == 0


def test_numbers_of_pruned_entries_are_not_used_again(tmp_path: Path) -> None:
    """What comes after pruning everything is found, though its blocks were indexed before."""
    store = server.open_store(f"sqlite://{tmp_path}/coagent.db")
    put(store, *(entry(prompt="old") for n in range(64)))
    until(lambda: store._index.blocks == 64 // index.BLOCK)  # type: ignore[attr-defined]
    server.open_beside(f"sqlite://{tmp_path}/coagent.db").prune(T0 + 1)
    store.close()
    store = server.open_store(f"sqlite://{tmp_path}/coagent.db")
    put(store, entry(session_id="young", prompt="new"))
    found = holding(store, "new")
    store.close()

    assert found == ["young"]


def test_prune_beside_a_running_server(tmp_path: Path) -> None:
    """The command deletes old sessions of a store in use, and the server goes on."""
    with server.launch(f"sqlite://{tmp_path}/coagent.db") as running:
        put(running.store, entry(session_id="old"), entry(session_id="young", timestamp=int(time.time() * 1000)))
        code = command("prune", "--older-than", "30d", "--store", f"sqlite://{tmp_path}/coagent.db")
        put(running.store, entry(session_id="young", at=1))

        assert code == 0
        assert running.store.session_ids() == ["young"]


def test_prune_without_a_server_leaves_no_word(tmp_path: Path) -> None:
    """Neither the file nor the index has what was deleted; the next server finds what was kept."""
    address = f"sqlite://{tmp_path}/coagent.db"
    store = server.open_store(address)
    put(store, *(entry(session_id="old", at=n, prompt="zebrafinch") for n in range(60)))
    put(store, *(entry(session_id="young", timestamp=int(time.time() * 1000), prompt="sparrow") for n in range(4)))
    until(lambda: store._index.blocks == 64 // index.BLOCK)  # type: ignore[attr-defined]
    store.close()
    before = sorted(file.name for file in tmp_path.iterdir() if b"zebrafinch" in file.read_bytes())
    command("prune", "--older-than", "30d", "--store", address)
    after = [file.name for file in tmp_path.iterdir() if b"zebrafinch" in file.read_bytes()]
    store = server.open_store(address)
    found = {word: holding(store, word) for word in ("zebrafinch", "sparrow")}
    store.close()

    assert (before, after) == (["coagent.db", "coagent.db.search"], [])
    assert found == {"zebrafinch": [], "sparrow": ["young"]}


def test_prune_can_be_tried_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run lists what would go, beside a running server too, and deletes nothing."""
    with server.launch(f"sqlite://{tmp_path}/coagent.db") as running:
        put(running.store, entry(session_id="old"), entry(session_id="young", timestamp=int(time.time() * 1000)))
        code = command("prune", "--older-than", "30d", "--dry-run", "--store", f"sqlite://{tmp_path}/coagent.db")
        lines = capsys.readouterr().out.splitlines()

        assert (code, running.store.session_ids()) == (0, ["old", "young"])
        assert [line.split()[0] for line in lines if line] == ["SESSION", "old", "would"]
        assert lines[-1] == "would delete 1 session with 1 event"


def test_prune_of_a_store_that_an_older_version_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It needs no server that has started first."""
    address = f"sqlite://{tmp_path}/coagent.db"
    with contextlib.closing(server.open_store(address)) as store:
        put(store, entry())
    make_first_version(tmp_path / "coagent.db")
    code = command("prune", "--older-than", "1d", "--dry-run", "--store", address)

    assert (code, capsys.readouterr().out.splitlines()[-1]) == (0, "would delete 1 session with 1 event")


def test_prune_leaves_a_store_of_a_newer_version_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An older package would not delete what it does not know."""
    address = f"sqlite://{tmp_path}/coagent.db"
    with contextlib.closing(server.open_store(address)) as store:
        put(store, entry())
    with contextlib.closing(connect(tmp_path / "coagent.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
        code = command("prune", "--older-than", "1d", "--store", address)
        left = connection.execute("SELECT count(*) FROM entries").fetchone()[0]

    assert (code, left) == (1, 1)
    assert capsys.readouterr().err.partition("cannot be used: ")[2] == (
        f"its schema is version 99, this coagent-langchain knows up to {len(MIGRATIONS)}: "
        "use the version that made it, or a newer one\n"
    )


@pytest.mark.parametrize("running", [False, True])
def test_delete_of_single_sessions(tmp_path: Path, capsys: pytest.CaptureFixture[str], running: bool) -> None:
    """Those that are named go, with a server and without one, and no others; without one no word of them is left."""
    address = f"sqlite://{tmp_path}/coagent.db"
    with server.launch(address) as used:
        put(used.store, *(entry(session_id=name, prompt=f"{name}finch") for name in ("zebra", "gold", "kept")))
        if running:
            code = command("delete", "zebra", "gold", "--store", address)
    if not running:
        code = command("delete", "zebra", "gold", "--store", address)
    left = [file.name for file in tmp_path.iterdir() if b"zebrafinch" in file.read_bytes()]
    with contextlib.closing(server.open_store(address)) as store:
        assert (code, store.session_ids()) == (0, ["kept"])

    assert capsys.readouterr().out == "deleted 2 sessions with 2 events\n"
    assert running or left == []


def test_delete_of_a_session_that_is_not_there_deletes_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped id is told before anything is gone."""
    address = f"sqlite://{tmp_path}/coagent.db"
    with contextlib.closing(server.open_store(address)) as store:
        put(store, entry(session_id="kept"))
    code = command("delete", "kept", "nobody", "--store", address)
    said = capsys.readouterr().err
    with contextlib.closing(server.open_store(address)) as store:
        assert (code, store.session_ids()) == (1, ["kept"])

    assert said == f"coagent-langchain: no session 'nobody' in {address}\n"


def test_prune_without_room_to_shrink_leaves_no_word_in_the_index(tmp_path: Path) -> None:
    """A full disk is told, the sessions and the index are gone all the same, and the file is free for a server."""
    address = f"sqlite://{tmp_path}/coagent.db"
    with contextlib.closing(server.open_store(address)) as store:
        put(store, entry(session_id="young", timestamp=int(time.time() * 1000), prompt="sparrow " * 500_000))
        put(store, entry(session_id="old", prompt="zebrafinch"))
    with largest_file(2_000_000), pytest.raises(ConfigurationError) as caught:
        server.open_beside(address).prune(T0 + 1)
    files = sorted(file.name for file in tmp_path.iterdir())
    with contextlib.closing(server.open_store(address)) as store:
        kept = store.session_ids()

    assert re.fullmatch(rf"the sessions are deleted, but {tmp_path}/coagent\.db cannot shrink: .+", str(caught.value))
    assert ("coagent.db.search" in files, kept) == (False, ["young"])


def command(*arguments: str) -> int:
    """Run `serve` or `prune` as the command line does."""
    return cli.main(arguments)


@pytest.mark.parametrize("text", ["30", "d", "-1d", "1.5h", "30x", ""])
def test_wrong_ages_are_refused(text: str) -> None:
    """An age is a number and a unit."""
    with pytest.raises(argparse.ArgumentTypeError, match="not an age such as 30d"):
        cli.prune.age(text)


@pytest.mark.parametrize("words", [("prune", "--older-than", "1d"), ("delete", "one")])
def test_another_file_is_told_and_left(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no database is told in a line, and left as it is."""
    (tmp_path / "notes.txt").write_text("not a database\n" * 100)
    code = command(*words, "--store", f"sqlite://{tmp_path}/notes.txt")
    said = capsys.readouterr().err

    assert (code, said) == (1, f"coagent-langchain: {tmp_path}/notes.txt cannot be used: file is not a database\n")
    assert (tmp_path / "notes.txt").read_text() == "not a database\n" * 100


def test_prune_of_another_database_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No table of ours gets into it."""
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE sessions (id)")
        code = command("prune", "--older-than", "1d", "--store", f"sqlite://{tmp_path}/other.db")
        tables = other.execute("SELECT name FROM sqlite_master").fetchall()

    said = f"coagent-langchain: {tmp_path}/other.db cannot be used: it is no store\n"
    assert (code, capsys.readouterr().err, tables) == (1, said, [("sessions",)])


def test_prune_of_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that is not there is no store, and none is made."""
    code = command("prune", "--older-than", "1d", "--store", f"sqlite://{tmp_path}/none.db")

    assert (code, capsys.readouterr().err) == (1, f"coagent-langchain: there is no store at {tmp_path}/none.db\n")
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def serving(folder: Path, *options: str, code: str = "", **pipes: Any) -> Iterator[subprocess.Popen[str]]:
    """`serve` in a process of its own, by the command or by other code; it does not outlive a test that fails."""
    program = ["-c", code] if code else ["-m", "coagent_langchain"]
    line = [sys.executable, *program, "serve", "--port", "0", "--store", f"sqlite://{folder}/coagent.db", *options]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def printed(process: subprocess.Popen[str]) -> list[str]:
    """What a server says when it has started: the addresses of its viewer, its API and its store."""
    assert process.stdout is not None
    return [process.stdout.readline().split()[-1] for _ in range(3)]


@pytest.mark.parametrize(("number", "arguments", "name"), [
    (signal.SIGINT, [], "127.0.0.1"),
    (signal.SIGTERM, ["--token", "abc"], "127.0.0.1"),
    (signal.SIGTERM, ["--token", "abc", "--host", "0.0.0.0"], socket.gethostname()),
])  # fmt: skip
def test_serve_runs_until_it_is_told(tmp_path: Path, number: int, arguments: list[str], name: str) -> None:
    """It prints where it is, by the machine's name if others reach it, answers, and a signal ends it well."""
    with serving(tmp_path, *arguments) as process:
        told = printed(process)[:2]
        viewer, api = (address.replace(f"//{name}:", "//127.0.0.1:") for address in told)
        statuses = [requests.get(address, timeout=10).status_code for address in (viewer, f"{api}/runs")]
        process.send_signal(number)
        ended = process.wait(timeout=10)

    assert [address.rpartition(":")[0] for address in told] == [f"http://{name}"] * 2
    assert (statuses, ended) == ([200, 401 if arguments else 200], 0)


def test_serve_writes_its_log_to_standard_error(tmp_path: Path) -> None:
    """A line with the time says why it refuses requests."""
    with serving(tmp_path, stderr=subprocess.PIPE) as process:
        _, api, _ = printed(process)
        (tmp_path / "coagent.db").unlink()
        requests.post(f"{api}/logs", json=entry(), timeout=10)
        process.terminate()
        said = process.communicate(timeout=10)[1]

    assert re.fullmatch(r"\S+ \S+ requests are answered with 503: the database's file was removed .*\n", said)


def test_more_connections_than_files_are_one_line_of_its_log(tmp_path: Path) -> None:
    """They wait, and are answered when others have gone."""
    code = """
import resource, sys
from coagent_langchain import cli
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
sys.exit(cli.main(sys.argv[1:]))
"""
    log = tmp_path / "log"
    with log.open("w") as errors, serving(tmp_path, code=code, stderr=errors) as process:
        _, api, _ = printed(process)
        with contextlib.ExitStack() as connections:
            for _ in range(60):
                connections.enter_context(socket.create_connection(("127.0.0.1", urlsplit(api).port)))
            with pytest.raises(requests.Timeout):
                requests.get(f"{api}/runs", timeout=2.5)
        answer = requests.get(f"{api}/runs", timeout=10)
        process.terminate()
        process.communicate(timeout=10)

    assert answer.status_code == 200
    said = log.read_text()
    assert (said.count("connections have to wait: Too many open files"), said.count("Traceback")) == (1, 0), said


def test_many_signals_end_it_as_one_does(tmp_path: Path) -> None:
    """Whoever is impatient interrupts the handler of the first by the second."""
    code = """
import sys
from coagent_langchain import cli
code = cli.main(sys.argv[1:])
sys.stdin.readline()  # the interpreter's exit gives signals their usual meaning back
sys.exit(code)
"""
    with serving(tmp_path, code=code, stdin=subprocess.PIPE) as process:
        printed(process)
        for _ in range(5000):
            process.send_signal(signal.SIGINT)
        process.communicate("leave\n", timeout=10)

    assert process.returncode == 0


def test_start_answers_soon(store: Store) -> None:
    """From launch to the first answer."""
    began = time.monotonic()
    with server.launch(store) as running:
        requests.get(f"{running.base_url}/runs", timeout=10)
        took = time.monotonic() - began

    assert took < START / 2  # on a busy machine, too
