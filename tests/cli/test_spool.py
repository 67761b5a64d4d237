"""`coagent-langchain spool` without the application."""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from coagent_langchain.cli import main, text
from coagent_langchain.delivery.folder import destination_folder
from coagent_langchain.delivery.rejected import keep_rejected, rejected_entries
from coagent_langchain.delivery.spool import Spool
from tests.delivery_parts import append_each, delivery_to, ids, line
from tests.faulty_server import Answer, FaultyServer, Request, healthy


class Ended(NamedTuple):
    """The exit code of a command, and its output."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def spool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command on the spool in `tmp_path`."""

    def run(command: str, *arguments: str) -> Ended:
        return Ended(main(["spool", command, "--spool-dir", str(tmp_path), *arguments]), *capsys.readouterr())

    return run


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """A server that accepts everything, unless told otherwise."""
    with FaultyServer() as server:
        yield server


def leave(server: FaultyServer, folder: Path, event_ids: list[str], base_url: str = "") -> None:
    """Leave events behind, as a program that ended while the server was away."""
    server.behave = lambda request: Answer(503)
    with delivery_to(base_url or server.base_url, folder) as delivery:
        append_each(delivery, event_ids)
        delivery.flush(0.05)
    server.behave = healthy


def test_status_of_an_empty_spool(
    spool: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that nothing waits, even if there is no folder yet."""
    empty = spool("status")
    monkeypatch.setenv("COAGENT_SPOOL_DIR", str(tmp_path / "none"))
    without = Ended(main(["spool", "status"]), *capsys.readouterr())

    assert (empty, without) == ((0, "no events waiting\n", ""),) * 2


def test_without_a_spool_nothing_is_left(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """If events wait only in memory, no other process can have left any."""
    monkeypatch.setenv("COAGENT_SPOOL_DIR", "off")
    codes = [main(["spool", command]) for command in ("status", "flush", "rejected")]
    monkeypatch.delenv("COAGENT_SPOOL_DIR")
    codes.append(main(["spool", "status", "--spool-dir", "off"]))

    told = ["no events waiting", "0 events sent to http://localhost:3000/api/v1, 0 rejected", "no events waiting"]
    assert (codes, capsys.readouterr().out.splitlines()) == ([0] * 4, told)


@pytest.mark.parametrize("command", ["status", "flush", "rejected"])
def test_spool_that_is_not_where_it_is_said_to_be(spool: Command, tmp_path: Path, command: str) -> None:
    """A mistyped folder is not reported as an empty one."""
    missing = f"{tmp_path}/none"

    assert spool(command, "--spool-dir", missing) == (1, "", f"coagent-langchain: there is no spool at {missing}\n")


def test_folder_in_which_nothing_waits_is_not_told_of(spool: Command, server: FaultyServer, tmp_path: Path) -> None:
    """Each server on a free port leaves such a folder."""
    with delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("a"))
        assert delivery.flush(10)

    assert (len([*tmp_path.iterdir()]), spool("status").out) == (1, "no events waiting\n")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(50, r"5\d\.\d s"), (300, r"5 min 0\d s"), (3 * 3600, "3 h 00 min"), (50 * 3600, "2 d 2 h")],
)
def test_status_tells_the_age_of_the_oldest(spool: Command, tmp_path: Path, seconds: int, told: str) -> None:
    """The age is written as in `runs` and `show`; the ages of other events do not matter."""
    now = round(time.time() * 1000)
    with delivery_to("http://127.0.0.1:1/api/v1", tmp_path) as delivery:
        for event_id, age in (("a", seconds), ("b", 0)):
            delivery.append(line(event_id, timestamp=now - age * 1000))

    waiting = rf"http://127\.0\.0\.1:1/api/v1: 2 events waiting \(\d+ B, the oldest for {told}\), 0 rejected\n"
    assert re.fullmatch(waiting, spool("status").out)


def test_status_tells_how_much_waits(spool: Command, tmp_path: Path) -> None:
    """The size is that of all waiting events together, and a file that is no server's folder is not in it."""
    with delivery_to("http://127.0.0.1:1/api/v1", tmp_path) as delivery:
        for event_id in ids(2):
            delivery.append(line(event_id, "x" * 750_000))
    (tmp_path / "note").touch()
    ended = spool("status")

    assert (ended.code, ended.out.partition(", ")[0]) == (0, "http://127.0.0.1:1/api/v1: 2 events waiting (1.5 MB")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's file")
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("status", []),
        ("flush", ["0 events sent to {url}, 0 rejected"]),
        ("discard", ["discarded 0 events and 0 rejected events"]),
    ],
)
def test_what_another_user_left_is_told_of(
    spool: Command, server: FaultyServer, tmp_path: Path, command: str, said: list[str]
) -> None:
    """Root sees, for example in a container, that a service's events wait, and who can send or delete them."""
    leave(server, tmp_path, ids(3))
    for path in tmp_path.glob("*/*.jsonl"):
        os.chown(path, 12345, 12345)
    address = {"status": [], "flush": ["--base-url", server.base_url], "discard": [server.base_url]}[command]
    ended = spool(command, *address)

    of_others = f"{server.base_url}: 3 events waiting in another user's files, run this as that user"
    told = [*(line.format(url=server.base_url) for line in said), of_others]
    assert (ended.code, ended.out.splitlines()) == (0, told)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("command", "said"), [("status", []), ("flush", ["0 events sent to http://localhost:3000/api/v1, 0 rejected"])]
)
def test_folder_of_another_user_is_told_of(spool: Command, server: FaultyServer, command: str, said: list[str]) -> None:
    """An unreadable folder is not reported as an empty one."""
    with tempfile.TemporaryDirectory() as shared:
        spool(command, "--spool-dir", shared)  # imports modules that the other user may not be able to read
        leave(server, Path(shared), ids(1))
        os.chmod(shared, 0o755)
        (folder,) = Path(shared).iterdir()
        os.seteuid(12345)
        try:
            ended = spool(command, "--spool-dir", shared)
        finally:
            os.seteuid(0)

    of_another = f"{folder} is not readable: run this as its owner"
    assert ended == (0, "\n".join([*said, of_another, ""]), "")


def test_address_of_a_folder_has_no_password(server: FaultyServer, tmp_path: Path) -> None:
    """The file that names the server is private to this user and contains no secret."""
    leave(server, tmp_path, ids(1), server.base_url.replace("//", "//ada:lovelace@"))
    (note,) = tmp_path.glob("*/destination")

    assert (note.read_text(), stat.S_IMODE(note.stat().st_mode)) == (f"{server.base_url}\n", 0o600)


@pytest.mark.parametrize("noted", [None, ""], ids=["no note", "a note that the disk had no room for"])
def test_folder_without_an_address_is_named(
    spool: Command, server: FaultyServer, tmp_path: Path, noted: str | None
) -> None:
    """If the server's address is missing, the folder's name is shown."""
    leave(server, tmp_path, ids(1))
    (note,) = tmp_path.glob("*/destination")
    note.unlink() if noted is None else note.write_text(noted)

    assert spool("status").out.startswith(f"{note.parent.name}: 1 event waiting")


def test_flush_tells_of_other_servers(
    spool: Command, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `--base-url`, the command also says what waits for other servers."""
    with FaultyServer() as other:
        leave(other, tmp_path, ids(2))
    monkeypatch.setenv("COAGENT_BASE_URL", server.base_url)

    assert spool("flush").out.splitlines() == [
        f"0 events sent to {server.base_url}, 0 rejected",
        f"2 events waiting for {other.base_url}: to send them, name it with --base-url, or with --from to send them to "
        f"{server.base_url}",
    ]


@pytest.mark.parametrize("option", ["--base-url", "--from"])
def test_flush_for_a_server_that_is_named_tells_of_no_other(
    option: str, spool: Command, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who names one knows what to do with the rest."""
    with FaultyServer() as other:
        leave(other, tmp_path, ids(2))
    leave(server, tmp_path, ids(1))
    monkeypatch.setenv("COAGENT_BASE_URL", server.base_url)

    assert spool("flush", option, server.base_url).out == f"1 event sent to {server.base_url}, 0 rejected\n"


def test_discard_in_an_empty_spool_names_no_other_server(spool: Command) -> None:
    """There is none."""
    problem = "no events are left for http://localhost:9/api/v1"

    assert spool("discard", "http://u:secret@localhost:9/api/v1") == (1, "", f"coagent-langchain: {problem}\n")


def test_flush_from_an_address_that_nothing_is_left_for_is_a_mistake(
    spool: Command, server: FaultyServer, tmp_path: Path
) -> None:
    """It names the addresses that have waiting events, but not one that has received all."""
    leave(server, tmp_path, ids(2))
    with FaultyServer() as done:
        leave(done, tmp_path, ids(1))
        spool("flush", "--base-url", done.base_url)

    problem = f"no events are left for http://localhost:9/api/v1; there are some for {server.base_url}"
    assert spool("flush", "--from", "http://localhost:9/api/v1") == (1, "", f"coagent-langchain: {problem}\n")


def test_discard_deletes_what_waits_and_what_was_rejected(spool: Command, server: FaultyServer, tmp_path: Path) -> None:
    """This is for one server, which is gone; what waits for others stays."""
    leave(server, tmp_path, ids(2))
    with FaultyServer() as other:
        leave(other, tmp_path, ids(1))
    keep_rejected(destination_folder(tmp_path, server.base_url), b'{"event_id":"bad"}', "no session_id")

    assert spool("discard", server.base_url).out == "discarded 2 events and 1 rejected event\n"
    assert spool("status").out.partition(" (")[0] == f"{other.base_url}: 1 event waiting"


def test_discard_leaves_what_a_running_program_has(spool: Command, server: FaultyServer, tmp_path: Path) -> None:
    """The program may still send it."""
    leave(server, tmp_path, ids(1))
    running = Spool(destination_folder(tmp_path, server.base_url), 1 << 20, server.base_url)
    running.append(b"{}\n", 1)
    told = spool("discard", server.base_url).out
    running.abandon()

    assert told == (
        "discarded 1 event and 0 rejected events; 1 event waiting, from running programs or in unreadable files\n"
    )


def test_flush_without_a_server_says_what_waits(
    spool: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what it waits for, and in the end how many events are left and what to do."""
    monkeypatch.setattr(text, "SILENCE", 0.1)
    with FaultyServer() as server:
        leave(server, tmp_path, ids(3))
    code, out, err = spool("flush", "--base-url", server.base_url, "--timeout", "1")
    notice, problem = err.splitlines()

    assert (code, out) == (1, f"0 events sent to {server.base_url}, 0 rejected, 3 events waiting\n")
    assert notice == f"waiting for {server.base_url} to accept events; gives up after 1 s if it fails"
    assert problem.startswith("coagent-langchain: not finished: ConnectionError: ")
    assert problem.endswith("(start a server with 'coagent-langchain serve', or set COAGENT_BASE_URL to yours)")


@pytest.mark.parametrize(("retry_after", "tried"), [({}, True), ({"Retry-After": "1"}, False)])
def test_flush_tries_for_as_long_as_it_may(
    spool: Command, server: FaultyServer, tmp_path: Path, retry_after: dict[str, str], tried: bool
) -> None:
    """A failing server is retried until the timeout; one that asks for a longer delay than is left, once."""
    leave(server, tmp_path, ids(1))
    server.behave = lambda request: Answer(503, headers=retry_after)
    server.requests.clear()
    started = time.monotonic()
    spool("flush", "--base-url", server.base_url, "--timeout", "0.6")
    took = time.monotonic() - started

    assert (took >= 0.6, len(server.requests) > 1) == (tried, tried)


def test_flush_gives_up_in_time_where_the_server_hangs(spool: Command, server: FaultyServer, tmp_path: Path) -> None:
    """A single request would wait for its response for half a minute, whatever the command's timeout."""
    leave(server, tmp_path, ids(1))
    server.behave = lambda request: Answer(hangs=True)
    started = time.monotonic()
    told = spool("flush", "--base-url", server.base_url, "--timeout", "1").out

    assert told == f"0 events sent to {server.base_url}, 0 rejected, 1 event waiting\n"
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("timeout", ["nan", "-1", "soon"])
def test_flush_wants_a_time_that_ends(capsys: pytest.CaptureFixture[str], timeout: str) -> None:
    """An invalid timeout is wrong usage: with NaN, a failing server would be retried for ever."""
    with pytest.raises(SystemExit) as left:
        main(["spool", "flush", f"--timeout={timeout}"])

    assert left.value.code == 2
    assert f"--timeout: must be a number of seconds, 0 or more, not '{timeout}'" in capsys.readouterr().err


def test_flush_sends_what_was_left(spool: Command, server: FaultyServer, tmp_path: Path) -> None:
    """Everything that ended programs left is sent, the oldest first, and nothing remains."""
    for program in "abc":
        leave(server, tmp_path, ids(2, program))
    told = spool("flush", "--base-url", server.base_url)

    assert told == (0, f"6 events sent to {server.base_url}, 0 rejected\n", "")
    assert server.stored == [*ids(2, "a"), *ids(2, "b"), *ids(2, "c")]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["destination"]


def test_flush_counts_what_the_server_refuses(spool: Command, server: FaultyServer, tmp_path: Path) -> None:
    """The others arrive, and the command succeeds; `rejected` has what was refused, with the server's reason."""

    def refuse(request: Request) -> Answer:
        bad = any(entry["event_id"] == "e1" for entry in request.entries)
        return Answer(422, b'{"message": "no such type"}') if bad else Answer()

    leave(server, tmp_path, ids(3))
    server.behave = refuse
    told = spool("flush", "--base-url", server.base_url)
    record = json.loads(spool("rejected").out)

    assert (told.code, told.out) == (0, f"2 events sent to {server.base_url}, 1 rejected\n")
    assert server.stored == ["e0", "e2"]
    assert (record["reason"], record["entry"]["event_id"]) == ("HTTP 422: no such type", "e1")
    assert spool("status").out == f"{server.base_url}: nothing waiting, 1 rejected\n"


@pytest.mark.parametrize("path", ["", "/api/v1/logs"])
def test_flush_sends_what_was_logged_for_a_wrong_address(
    path: str, spool: Command, server: FaultyServer, tmp_path: Path
) -> None:
    """Events for a mistyped address go to the right one, and none remain."""
    mistyped = server.base_url.removesuffix("/api/v1") + path
    leave(server, tmp_path, ids(2), mistyped)
    told = spool("flush", "--from", mistyped, "--base-url", server.base_url)

    assert (told.code, told.out) == (0, f"2 events sent to {server.base_url}, 0 rejected\n")
    assert (server.stored, spool("status").out) == (ids(2), "no events waiting\n")


def test_flush_leaves_a_living_process_alone(spool: Command, server: FaultyServer, tmp_path: Path) -> None:
    """A running program sends its events itself, and the command says that they are its."""
    server.behave = lambda request: Answer(503)
    with delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("a"))
        delivery.flush(0.05)
        told = spool("flush", "--base-url", server.base_url)

    left = "1 event waiting, from running programs or in unreadable files"
    assert (told.code, told.out) == (0, f"0 events sent to {server.base_url}, 0 rejected, {left}\n")


@pytest.mark.parametrize(("answer", "why"), [(Answer(401), "HTTP 401"), (Answer(503), "HTTP 503")])
def test_flush_says_why_it_did_not_finish(
    spool: Command, server: FaultyServer, tmp_path: Path, answer: Answer, why: str
) -> None:
    """If the server refuses them, the command exits with 1 and the reason; everything stays for the next time."""
    leave(server, tmp_path, ids(2))
    server.behave = lambda request: answer
    failed = spool("flush", "--base-url", server.base_url, "--timeout", "0.3")
    server.behave = healthy
    succeeded = spool("flush", "--base-url", server.base_url)

    assert (failed.code, why in failed.err, succeeded.code, server.stored) == (1, True, 0, ids(2))


def test_half_a_record_of_a_rejected_entry_is_left_out(spool: Command, tmp_path: Path) -> None:
    """A crash during a write damages records, but does not fail the command."""
    folder = tmp_path / "server"
    folder.mkdir()
    keep_rejected(folder, line("whole"), "why")
    with (folder / "rejected.jsonl").open("ab") as file:
        file.write(b'{"time":1,"reason":"why","ent')
    before = spool("rejected").code
    keep_rejected(folder, line("swallowed"), "why")
    keep_rejected(folder, line("last"), "why")
    after = spool("status")

    assert (before, after.code, after.out) == (0, 0, "server: nothing waiting, 2 rejected\n")
    assert [record["entry"]["event_id"] for record in rejected_entries(folder)] == ["whole", "last"]
