"""The file of a store: who may open it, where it is created, and what is reported if that fails."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from coagent_langchain import server
from coagent_langchain.cli import main
from coagent_langchain.cli.store import default_store, make_own_folder
from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server import notices
from coagent_langchain.server.store import Unavailable
from coagent_langchain.server.store.sqlite_file import MAX_WAL, connect, transaction
from tests.disk import largest_file
from tests.server.files import damage, make_first_version, mode, opened
from tests.server.samples import entry, event_ids, holding, put
from tests.waiting import until


def test_files_are_for_their_user_alone(tmp_path: Path) -> None:
    """0600 in a folder of 0700, WAL and index included."""
    with opened(f"sqlite://{tmp_path}/folder/coagent.db") as store:
        put(store, entry())
        modes = {path.name: mode(path) for path in (tmp_path / "folder").iterdir()}

    assert mode(tmp_path / "folder") == 0o700
    assert set(modes) >= {"coagent.db", "coagent.db-wal", "coagent.db.search", "coagent.db.lock"}
    assert set(modes.values()) == {0o600}


def test_two_servers_on_one_file_are_refused(address: str, tmp_path: Path) -> None:
    """The error names the process that has it, not an earlier one; once the first is closed, the second can open it."""
    (tmp_path / "coagent.db.lock").write_text("9" * 19)
    first = server.open_store(address)
    with pytest.raises(ConfigurationError, match=rf"in use by another server \(process {os.getpid()}\)"):
        server.launch(address)
    first.close()
    server.launch(address).close()


def test_link_to_a_file_is_that_file(address: str, tmp_path: Path) -> None:
    """By a link, a second server is refused too, and deleting leaves the running server its index."""
    (tmp_path / "link.db").symlink_to(tmp_path / "coagent.db")
    with opened(address) as store:
        put(store, entry())
        with pytest.raises(ConfigurationError) as refused:
            server.open_store(f"sqlite://{tmp_path}/link.db")
        with contextlib.closing(server.open_beside(f"sqlite://{tmp_path}/link.db")) as beside:
            beside.delete(["s"])
        files = {path.name for path in tmp_path.iterdir()}

    assert str(refused.value) == (
        f"{tmp_path}/coagent.db is in use by another server (process {os.getpid()}), "
        "and a store has one server at a time"
    )
    assert files >= {"coagent.db.search", "coagent.db.lock"}
    assert not {name for name in files if name.startswith("link.db.")}


def test_file_system_without_locks_takes_no_store(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error does not name another server, since without locks a second one could not be refused."""

    def unknown(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unknown)
    with pytest.raises(ConfigurationError) as refused:
        server.open_store(address)

    assert str(refused.value) == (
        f"{tmp_path}/coagent.db cannot be used as a store: it cannot be locked: No locks available"
    )


def test_folder_is_no_store(tmp_path: Path) -> None:
    """One error, and no lock file is left beside the folder."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigurationError) as raised:
        server.open_store(f"sqlite://{tmp_path}/folder")

    assert str(raised.value) == f"{tmp_path}/folder cannot be used as a store: Is a directory"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_file_is_no_folder_for_a_store(tmp_path: Path) -> None:
    """The error names the file, not the one that was to be made in it."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError) as raised:
        server.open_store(f"sqlite://{tmp_path}/file/coagent.db")

    assert str(raised.value) == f"{tmp_path}/file/coagent.db cannot be used as a store: {tmp_path}/file is not a folder"


def test_missing_folders_are_named_and_not_made(tmp_path: Path) -> None:
    """Only the last folder is created: more missing ones are probably a mistake in the path."""
    with pytest.raises(ConfigurationError) as raised:
        server.open_store(f"sqlite://{tmp_path}/a/b/coagent.db")

    assert str(raised.value) == f"{tmp_path}/a/b/coagent.db cannot be used as a store: there is no folder {tmp_path}/a"
    assert [*tmp_path.iterdir()] == []


def test_own_store_is_made_in_a_new_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user does not choose the default address: in a new container none of its folders exist."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share" / "data"))
    make_own_folder(default_store())
    server.open_store(default_store()).close()

    assert mode(tmp_path / "share/data/coagent-langchain") == 0o700


def test_another_store_needs_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container, a volume is writable and the home may not be."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", f"{tmp_path}/file/data")
    make_own_folder(f"sqlite://{tmp_path}/volume/coagent.db")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_home_that_takes_no_store_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For example in a container with a read-only home; the message says what to do."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", f"{tmp_path}/file/data")

    assert main(["serve", "--store", default_store()]) == 1
    assert capsys.readouterr().err == (
        f"coagent-langchain: {tmp_path}/file/data cannot hold a store: Not a directory. "
        "Choose another place with --store\n"
    )


def test_store_on_a_full_disk_is_told(address: str, tmp_path: Path) -> None:
    """The lock file has no space for the process id; only the database's error is reported."""
    with largest_file(0), pytest.raises(ConfigurationError) as raised:
        server.open_store(address)

    assert str(raised.value).startswith(f"{tmp_path}/coagent.db cannot be used as a store: ")


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """It is named and unchanged."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 1000)
    with pytest.raises(ConfigurationError, match=r"notes.txt cannot be used as a store") as refused:
        server.open_store(f"sqlite://{path}")

    assert path.read_text() == "not a database " * 1000
    assert _open_in(tmp_path) == []
    del refused  # until here it would keep open files alive


def test_database_of_a_newer_version_is_refused(address: str, tmp_path: Path) -> None:
    """An older package does not write to a schema that it does not know."""
    server.open_store(address).close()
    connection = sqlite3.connect(tmp_path / "coagent.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigurationError, match="schema has version 99") as refused:
        server.open_store(address)

    assert _open_in(tmp_path) == []
    del refused  # until here it would keep open files alive


def test_store_that_is_damaged_where_it_is_opened_is_let_go(tmp_path: Path) -> None:
    """No file of it stays open while the exception is alive."""
    path = tmp_path / "coagent.db"
    server.open_store(f"sqlite://{path}").close()
    damage(path, "entries")
    with pytest.raises(ConfigurationError) as refused:
        server.open_store(f"sqlite://{path}")

    assert str(refused.value) == f"{path} cannot be used as a store: database disk image is malformed"
    assert _open_in(tmp_path) == []
    del refused  # until here it would keep open files alive


def test_closed_store_has_no_file_open(address: str, tmp_path: Path) -> None:
    """Neither those that it wrote nor those that it read."""
    with opened(address) as store:
        put(store, entry(prompt="sparrow"))
        found = holding(store, "sparrow")

    assert (found, _open_in(tmp_path)) == (["s"], [])


def _open_in(folder: Path) -> list[str]:
    """The files in a folder that this process has open."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.exists()]
    return [name for link in links if (name := os.readlink(link)).startswith(str(folder))]


def test_database_of_the_first_version_opens(address: str, tmp_path: Path) -> None:
    """It is migrated, and keeps its entries."""
    with opened(address) as store:
        put(
            store,
            entry("error", event_id="kept"),
            entry("llm_response", event_id="told", llm_response={"input_tokens": 7}),
        )
    make_first_version(tmp_path / "coagent.db")
    with opened(address) as store:
        put(store, entry("error", 1, event_id="new"))
        found, session = event_ids(store.entries("s")), store.session("s")
    with contextlib.closing(connect(tmp_path / "coagent.db")) as last:
        indexes = [row[1] for row in last.execute("PRAGMA index_list(entries)")]

    assert (sorted(found), indexes) == (["kept", "new", "told"], ["entries_once"])
    assert session
    assert (session.input_tokens, session.output_tokens) == (7, None)


def test_entries_that_the_disk_has_no_room_for_are_stored_when_it_has(address: str) -> None:
    """The client is told to retry; the store continues as if they had not arrived."""
    big = entry(prompt="x" * 2_000_000)
    with server.launch(address) as running:
        with largest_file(1_000_000):
            refused = requests.post(f"{running.base_url}/logs", json=big, timeout=10)
        after = requests.get(f"{running.base_url}/runs", timeout=10).json()
        accepted = requests.post(f"{running.base_url}/logs", json=big, timeout=10)
        found = requests.get(f"{running.base_url}/logs/s", timeout=10).json()

    assert (refused.status_code, refused.headers["Retry-After"], after) == (503, "1", [])
    assert (accepted.status_code, found) == (200, [big])


@pytest.mark.parametrize("replaced", [False, True])
def test_store_whose_file_is_taken_away_acknowledges_nothing(tmp_path: Path, replaced: bool) -> None:
    """Entries stored there would be lost; the next server stores them where they belong."""
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


@pytest.mark.parametrize("noticed", [False, True])
def test_file_that_is_taken_away_is_complete_and_leaves_the_one_in_its_place_alone(
    tmp_path: Path, noticed: bool
) -> None:
    """Its latest entries are in the WAL, which keeps its name: the next server must not apply it to the other file."""
    path = tmp_path / "coagent.db"
    with opened(f"sqlite://{path}") as store:
        put(store, entry(session_id="early"))
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("VACUUM INTO ?", (f"{tmp_path}/backup.db",))
        put(store, *(entry(session_id="late", prompt="x" * 9000) for _ in range(9)))
        path.rename(tmp_path / "moved.db")
        (tmp_path / "backup.db").rename(path)
        with pytest.raises(Unavailable):
            store.session_ids()
        if noticed:
            with pytest.raises(Unavailable):
                put(store, entry(session_id="unacknowledged"))
            shutil.copytree(tmp_path, killed := tmp_path / "killed")
    places = (killed, tmp_path) if noticed else (tmp_path,)
    found = [_sessions_in(place / name) for place in places for name in ("coagent.db", "moved.db")]

    late = ["early", "late", "unacknowledged"] if noticed else ["early", "late"]
    assert found == [["early"], late] * len(places)


def _sessions_in(path: Path) -> list[str]:
    with opened(f"sqlite://{path}") as store:
        return store.session_ids()


def test_store_that_is_damaged_says_so(tmp_path: Path) -> None:
    """To clients that log, which then keep their events, and to those that read."""
    path = tmp_path / "coagent.db"
    with opened(f"sqlite://{path}") as store:
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


def test_log_says_why_requests_are_refused(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once a minute, however often they recur."""
    with server.launch(address) as running:
        (tmp_path / "coagent.db").unlink()
        for interval, requested in ((notices.INTERVAL_S, 3), (0.0, 1)):
            monkeypatch.setattr(notices, "INTERVAL_S", interval)
            for _ in range(requested):
                requests.post(f"{running.base_url}/logs", json=entry(), timeout=10)

    said = "requests are answered with 503: the database's file was removed or replaced: restart the server"
    assert [record.getMessage() for record in caplog.records] == [said] * 2


def test_copy_that_is_made_while_a_server_runs_is_a_store(address: str, tmp_path: Path) -> None:
    """`VACUUM INTO`, as the docs advise, copies what is stored at that moment; a server continues with the copy."""
    with opened(address) as running:
        put(running, entry(at=1, event_id="first", prompt="sparrow"))
        with contextlib.closing(sqlite3.connect(tmp_path / "coagent.db")) as connection:
            connection.execute("VACUUM INTO ?", (f"{tmp_path}/copy.db",))
        put(running, entry(at=2, event_id="later"))
    with opened(f"sqlite://{tmp_path}/copy.db") as copy:
        put(copy, entry(at=3, event_id="new", prompt="sparrow"), entry(at=1, event_id="first", prompt="sparrow"))
        found = event_ids(copy.entries("s"))
        session = copy.session("s")

        assert (found, session and session.entries, holding(copy, "sparrow")) == (["first", "new"], 2, ["s"])


def test_disk_space_that_a_backup_costs_is_given_back(tmp_path: Path) -> None:
    """While something reads the file for long, all that is stored waits in the WAL, which shrinks afterwards."""
    path = tmp_path / "coagent.db"
    wal = Path(f"{path}-wal")
    with opened(f"sqlite://{path}") as store:
        put(store, entry())
        with contextlib.closing(connect(path)) as backup, transaction(backup, "DEFERRED"):
            backup.execute("SELECT count(*) FROM entries").fetchall()
            while wal.stat().st_size < MAX_WAL + 20_000_000:
                put(store, *(entry(prompt="x" * 1_000_000) for _ in range(9)))

        def shrunk() -> bool:
            put(store, entry())  # what is stored next shrinks it, unless the index is just reading
            return wal.stat().st_size <= MAX_WAL

        until(shrunk)


def test_what_was_acknowledged_survives_a_kill(address: str, tmp_path: Path) -> None:
    """SIGKILL in the middle of posts: everything that was acknowledged is still there."""
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
    with opened(address) as store:
        found = event_ids(store.entries("s"))

    assert all(answer.ok for answer in acknowledged)
    assert found == [str(n) for n in range(30)]
