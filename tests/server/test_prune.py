"""`coagent-langchain prune` and `delete`: what is deleted, what is kept, and what is reported."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coagent_langchain import server
from coagent_langchain.cli import main, prune
from coagent_langchain.cli.text import local_time
from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.store import sqlite_index
from coagent_langchain.server.store.records import Pruned
from coagent_langchain.server.store.sqlite_file import connect
from coagent_langchain.server.store.sqlite_pruning import AT_ONCE, MOST, SqliteDeleter
from coagent_langchain.server.store.sqlite_schema import MIGRATIONS
from tests.disk import largest_file
from tests.server.files import make_first_version, opened, until_indexed
from tests.server.samples import T0, entry, holding, put


def test_prune_beside_a_running_server(address: str) -> None:
    """The command deletes old sessions of a store in use, and the server keeps running."""
    with server.launch(address) as running:
        put(running.store, entry(session_id="old"), entry(session_id="young", timestamp=int(time.time() * 1000)))
        code = main(["prune", "--older-than", "30d", "--store", address])
        put(running.store, entry(session_id="young", at=1))

        assert code == 0
        assert running.store.session_ids() == ["young"]


@pytest.mark.parametrize(("age", "seconds"), [("90m", 5400), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)])
def test_prune_deletes_what_is_older_and_nothing_younger(age: str, seconds: int, address: str) -> None:
    """The age is in minutes, hours, days or weeks."""
    limit = (int(time.time()) - seconds) * 1000
    with opened(address) as store:
        put(store, entry(session_id="older", timestamp=limit - 60_000))
        put(store, entry(session_id="younger", timestamp=limit + 60_000))
        main(["prune", "--older-than", age, "--store", address])

        assert store.session_ids() == ["younger"]


def test_prune_without_a_server_leaves_no_word(address: str, tmp_path: Path) -> None:
    """Neither the file nor the index has any deleted text; the next server finds what was kept."""
    with opened(address) as store:
        put(store, *(entry(session_id="old", at=n, prompt="zebrafinch") for n in range(60)))
        put(store, *(entry(session_id="young", timestamp=int(time.time() * 1000), prompt="sparrow") for n in range(4)))
        until_indexed(store, 64 // sqlite_index.BLOCK)
    before = sorted(file.name for file in tmp_path.iterdir() if b"zebrafinch" in file.read_bytes())
    main(["prune", "--older-than", "30d", "--store", address])
    after = [file.name for file in tmp_path.iterdir() if b"zebrafinch" in file.read_bytes()]
    with opened(address) as store:
        found = {word: holding(store, word) for word in ("zebrafinch", "sparrow")}

    assert (before, after) == (["coagent.db", "coagent.db.search"], [])
    assert found == {"zebrafinch": [], "sparrow": ["young"]}


def test_prune_after_a_crash_leaves_no_word(tmp_path: Path) -> None:
    """A server that was killed leaves the latest words of its index in a file of their own."""
    (tmp_path / "live").mkdir()
    with opened(f"sqlite://{tmp_path}/live/coagent.db") as store:
        put(store, *(entry(prompt="zebrafinch") for n in range(2 * sqlite_index.BLOCK)))
        until_indexed(store, 2)
        shutil.copytree(tmp_path / "live", crashed := tmp_path / "crashed")
    before = sorted(file.name for file in crashed.iterdir() if b"zebrafinch" in file.read_bytes())
    server.open_beside(f"sqlite://{crashed}/coagent.db").prune(T0 + 1)
    after = [file.name for file in crashed.iterdir() if b"zebrafinch" in file.read_bytes()]

    assert (before, after) == (["coagent.db-wal", "coagent.db.search-wal"], [])


def test_prune_can_be_tried_first(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run lists what would be deleted, also beside a running server, and deletes nothing.

    A session that has gone on since is kept, however old it is. No id commands the terminal.
    """
    with server.launch(address) as running:
        put(running.store, *(entry(session_id="old\x1b", at=1000 * number) for number in range(1000)))
        put(running.store, entry(session_id="young"), entry(session_id="young", timestamp=int(time.time() * 1000)))
        codes = [main(["prune", "--older-than", age, "--dry-run", "--store", address]) for age in ("30d", "99999d")]

        assert (codes, running.store.session_ids()) == ([0, 0], ["old\x1b", "young"])
    assert capsys.readouterr().out.splitlines() == [
        "SESSION  LAST EVENT           EVENTS",
        f"old␛     {local_time(T0 + 999_000)}   1,000",
        "",
        "would delete 1 session with 1,000 events",
        "would delete 0 sessions with 0 events",
    ]


@pytest.mark.parametrize(
    ("sessions", "entries", "left"), [(3 * AT_ONCE, 1, [201, 101, 1]), (4, MOST, [4, 3, 2, 1]), (4, MOST // 2, [3, 1])]
)
def test_server_stores_while_much_is_deleted(tmp_path: Path, sessions: int, entries: int, left: list[int]) -> None:
    """Many sessions or large ones: its writer gets its turn again and again, instead of when everything is deleted."""
    path, seen = tmp_path / "coagent.db", list[int]()
    with server.launch(f"sqlite://{path}") as running:
        for start in range(0, sessions * entries, 1_000):
            numbers = range(start, min(start + 1_000, sessions * entries))
            put(running.store, *(entry(session_id=f"old-{number % sessions}") for number in numbers))

        def store() -> None:
            put(running.store, entry(session_id="young", at=60_000))
            seen.append(len(running.store.session_ids()))

        pruned = SqliteDeleter(path, pause=store).prune(T0 + 1)

        assert (pruned.sessions, seen, running.store.session_ids()) == (sessions, left, ["young"])


@pytest.mark.parametrize("late", ["young", "old"])
def test_server_stores_while_a_large_session_is_deleted(tmp_path: Path, late: str) -> None:
    """Also for the session itself, which is gone in the end: half of it would have a wrong roll-up."""
    path, first = tmp_path / "coagent.db", list[list[int]]()
    with server.launch(f"sqlite://{path}") as running:
        for start in range(0, 3 * MOST, 1_000):
            put(running.store, *(entry(session_id="old", at=at) for at in range(start, start + 1_000)))
        put(running.store, entry(session_id="young", at=90_000))

        def store() -> None:
            first.append([old.timestamp - T0 for old in running.store.entries("old", limit=1)])
            put(running.store, entry(session_id=late if len(first) == 1 else "young", at=90_000))

        pruned = SqliteDeleter(path, pause=store).prune(T0 + 60_000)

        assert (pruned, running.store.session_ids()) == (Pruned(1, 3 * MOST), ["young"])
        assert first == [[MOST], [2 * MOST], [90_000] if late == "old" else [], []]


def test_session_that_returns_while_it_is_deleted_counts_once(tmp_path: Path) -> None:
    """An agent that goes on logging, such as one that runs away, begins it anew: one was named."""
    path, late = tmp_path / "coagent.db", [1, 2]
    with server.launch(f"sqlite://{path}") as running:
        put(running.store, entry())

        def store() -> None:
            if late:
                put(running.store, entry(at=late.pop()))

        deleted = SqliteDeleter(path, pause=store).delete(["s"])

        assert (deleted, running.store.session_ids()) == (Pruned(1, 3), [])


def test_prune_without_a_server_makes_no_pause(tmp_path: Path) -> None:
    """Nobody waits for the file: pauses would double the time that a large session takes."""
    path, paused = tmp_path / "coagent.db", list[str]()
    with opened(f"sqlite://{path}") as store:
        for start in range(0, 2 * MOST, 1_000):
            put(store, *(entry(session_id="large", at=at) for at in range(start, start + 1_000)))
        put(store, entry(session_id="small"))
    pruned = SqliteDeleter(path, pause=lambda: paused.append("paused")).prune(T0 + 60_000)

    assert (pruned, paused) == (Pruned(2, 2 * MOST + 1), [])


def test_prune_of_a_store_that_an_older_version_made(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No server needs to have started first."""
    with opened(address) as store:
        put(store, entry())
    make_first_version(tmp_path / "coagent.db")
    code = main(["prune", "--older-than", "1d", "--dry-run", "--store", address])

    assert (code, capsys.readouterr().out.splitlines()[-1]) == (0, "would delete 1 session with 1 event")


def test_prune_leaves_a_store_of_a_newer_version_as_it_is(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An older package does not delete from a schema that it does not know."""
    with opened(address) as store:
        put(store, entry())
    with contextlib.closing(connect(tmp_path / "coagent.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
        code = main(["prune", "--older-than", "1d", "--store", address])
        left = connection.execute("SELECT count(*) FROM entries").fetchone()[0]

    assert (code, left) == (1, 1)
    assert capsys.readouterr().err.partition("cannot be used: ")[2] == (
        f"its schema has version 99, this coagent-langchain supports up to {len(MIGRATIONS)}: "
        "use the version that created it, or a newer one\n"
    )


@pytest.mark.parametrize("running", [False, True])
def test_delete_of_single_sessions(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], running: bool
) -> None:
    """Only the named ones are deleted, with or without a server; without one none of their text remains."""
    with server.launch(address) as used:
        put(used.store, *(entry(session_id=name, prompt=f"{name}finch") for name in ("zebra", "gold", "kept")))
        if running:
            code = main(["delete", "zebra", "gold", "--store", address])
    if not running:
        code = main(["delete", "zebra", "gold", "--store", address])
    left = [file.name for file in tmp_path.iterdir() if b"zebrafinch" in file.read_bytes()]
    with opened(address) as store:
        assert (code, store.session_ids()) == (0, ["kept"])

    assert capsys.readouterr().out == "deleted 2 sessions with 2 events\n"
    assert running or left == []


def test_more_sessions_than_one_transaction_takes_are_deleted(address: str) -> None:
    """Also after as many that are missing."""
    names = [f"s-{number}" for number in range(2 * AT_ONCE)]
    with opened(address) as store:
        put(store, *(entry(session_id=name) for name in [*names, "kept"]))
    deleted = server.open_beside(address).delete([*(f"no-{name}" for name in names), *names])
    with opened(address) as store:
        assert (deleted, store.session_ids()) == (Pruned(2 * AT_ONCE, 2 * AT_ONCE), ["kept"])


def test_delete_of_a_session_that_is_not_there_deletes_none(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped id is reported before anything is deleted."""
    with opened(address) as store:
        put(store, entry(session_id="kept"))
    code = main(["delete", "kept", "nobody", "--store", address])
    said = capsys.readouterr().err
    with opened(address) as store:
        assert (code, store.session_ids()) == (1, ["kept"])

    assert said == f"coagent-langchain: no session 'nobody' in {address}\n"


def test_prune_without_room_to_shrink_leaves_no_word_in_the_index(address: str, tmp_path: Path) -> None:
    """A full disk is reported; the sessions and the index are still deleted, and a server can open the file."""
    with opened(address) as store:
        put(store, entry(session_id="young", timestamp=int(time.time() * 1000), prompt="sparrow " * 500_000))
        put(store, entry(session_id="old", prompt="zebrafinch"))
    with largest_file(2_000_000), pytest.raises(ConfigurationError) as caught:
        server.open_beside(address).prune(T0 + 1)
    files = sorted(file.name for file in tmp_path.iterdir())
    with opened(address) as store:
        kept = store.session_ids()

    said = str(caught.value)
    assert re.fullmatch(rf"the sessions are deleted, but {tmp_path}/coagent\.db cannot be shrunk: .+", said)
    assert ("coagent.db.search" in files, kept) == (False, ["young"])


def test_prune_makes_room_before_it_deletes(address: str, tmp_path: Path) -> None:
    """On a full disk even deleting fails, so the space of the index is freed first."""
    with opened(address) as store:
        put(store, entry())
    with largest_file(40_000), pytest.raises(ConfigurationError, match="cannot be used"):
        server.open_beside(address).prune(T0 + 1)

    assert sorted(file.name for file in tmp_path.glob("*search*")) == []


def test_shrinking_needs_no_other_disk(tmp_path: Path) -> None:
    """Its temporary file is beside the store: /tmp may be too small for it, or read-only as in a container.

    It is there for this time alone: the process may use other databases.
    """
    address = f"sqlite://{tmp_path}/it's.db"
    with opened(address) as store:
        put(store, *(entry(at=number, prompt="x" * (1 << 20)) for number in range(10)))
    with ThreadPoolExecutor() as threads:
        pruned = threads.submit(server.open_beside(address).prune, T0)
        folders = {file.parent for file in temporary_files(lambda: not pruned.done())}

    with contextlib.closing(connect(tmp_path / "it's.db")) as other:
        folder = other.execute("PRAGMA temp_store_directory").fetchone()

    assert (pruned.result().sessions, folders, folder) == (0, {tmp_path}, None)


def temporary_files(running: Callable[[], bool]) -> Iterator[Path]:
    """The temporary files that SQLite has open in this process, over and over while it is running."""
    while running():
        for descriptor in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                if "etilqs_" in (file := os.readlink(descriptor)):
                    yield Path(file)


@pytest.mark.parametrize("text", ["30", "d", "-1d", "1.5h", "30x", ""])
def test_wrong_ages_are_refused(text: str) -> None:
    """An age is a number and a unit."""
    with pytest.raises(argparse.ArgumentTypeError, match="not an age such as 30d"):
        prune.age(text)


@pytest.mark.parametrize("words", [("prune", "--older-than", "1d"), ("delete", "one")])
def test_another_file_is_told_and_left(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is not a database is reported in one line, and unchanged."""
    (tmp_path / "notes.txt").write_text("not a database\n" * 100)
    code = main([*words, "--store", f"sqlite://{tmp_path}/notes.txt"])
    said = capsys.readouterr().err

    assert (code, said) == (1, f"coagent-langchain: {tmp_path}/notes.txt cannot be used: file is not a database\n")
    assert (tmp_path / "notes.txt").read_text() == "not a database\n" * 100


def test_prune_of_another_database_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No table of ours is created in it."""
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE sessions (id)")
        code = main(["prune", "--older-than", "1d", "--store", f"sqlite://{tmp_path}/other.db"])
        tables = other.execute("SELECT name FROM sqlite_master").fetchall()

    said = f"coagent-langchain: {tmp_path}/other.db cannot be used: it is not a store\n"
    assert (code, capsys.readouterr().err, tables) == (1, said, [("sessions",)])


def test_prune_of_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that does not exist is not a store, and none is created; two slashes before it are told as one."""
    code = main(["prune", "--older-than", "1d", "--store", f"sqlite:///{tmp_path}/none.db"])

    assert (code, capsys.readouterr().err) == (1, f"coagent-langchain: there is no store at {tmp_path}/none.db\n")
    assert list(tmp_path.iterdir()) == []
