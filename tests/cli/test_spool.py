"""`coagent-langchain spool` without the application."""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
import time
from pathlib import Path

import pytest

from coagent_langchain.cli import main, text
from coagent_langchain.delivery.folder import destination_folder
from coagent_langchain.delivery.rejected import MAX_BYTES, keep_rejected, rejected_entries
from coagent_langchain.delivery.spool import Spool
from tests.delivery_parts import append_each, delivery_to, ids, line
from tests.disk import largest_file, open_files
from tests.faulty_server import Answer, FaultyServer, Request, healthy


def leave(server: FaultyServer, folder: Path, event_ids: list[str], base_url: str = "") -> None:
    """Leave events behind, as a program that ended while the server was away."""
    server.behave = lambda request: Answer(503)
    with delivery_to(base_url or server.base_url, folder) as delivery:
        append_each(delivery, event_ids)
        delivery.flush(0.05)
    server.behave = healthy


def test_status_of_an_empty_spool(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that nothing waits, even if there is no folder yet."""
    status = main(["spool", "status", "--spool-dir", str(tmp_path)])
    monkeypatch.setenv("COAGENT_SPOOL_DIR", str(tmp_path / "none"))
    without = main(["spool", "status"])

    assert (status, without, capsys.readouterr().out) == (0, 0, "no events waiting\n" * 2)


def test_without_a_spool_nothing_is_left(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """If events wait only in memory, no other process can have left any."""
    monkeypatch.setenv("COAGENT_SPOOL_DIR", "off")
    codes = [main(["spool", command]) for command in ("status", "flush", "rejected")]
    monkeypatch.delenv("COAGENT_SPOOL_DIR")
    codes.append(main(["spool", "status", "--spool-dir", "off"]))

    told = ["no events waiting", "0 events sent to http://localhost:3000/api/v1, 0 rejected", "no events waiting"]
    assert (codes, capsys.readouterr().out.splitlines()) == ([0] * 4, told)


@pytest.mark.parametrize("command", ["status", "flush", "rejected"])
def test_spool_that_is_not_where_it_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """A mistyped folder is not reported as an empty one."""
    status = main(["spool", command, "--spool-dir", str(tmp_path / "none")])
    captured = capsys.readouterr()

    assert (status, captured.out) == (1, "")
    assert captured.err == f"coagent-langchain: there is no spool at {tmp_path}/none\n"


def test_folder_in_which_nothing_waits_is_not_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each server on a free port leaves such a folder."""
    with FaultyServer(healthy) as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("a"))
        assert delivery.flush(10)
    main(["spool", "status", "--spool-dir", str(tmp_path)])

    assert len([*tmp_path.iterdir()]) == 1
    assert capsys.readouterr().out == "no events waiting\n"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(50, r"5\d\.\d s"), (300, r"5 min 0\d s"), (3 * 3600, "3 h 00 min"), (50 * 3600, "2 d 2 h")],
)
def test_status_tells_the_age_of_the_oldest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seconds: int, told: str
) -> None:
    """The age is written as in `runs` and `show`; the ages of other events do not matter."""
    now = round(time.time() * 1000)
    with delivery_to("http://127.0.0.1:1/api/v1", tmp_path) as delivery:
        for event_id, age in (("a", seconds), ("b", 0)):
            delivery.append(line(event_id, timestamp=now - age * 1000))
    main(["spool", "status", "--spool-dir", str(tmp_path)])

    said = capsys.readouterr().out
    assert re.fullmatch(
        rf"http://127\.0\.0\.1:1/api/v1: 2 events waiting \(\d+ B, the oldest for {told}\), 0 rejected\n", said
    )


def test_status_tells_what_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Count, size and age of waiting events are shown for each server."""
    with FaultyServer() as server:
        leave(server, tmp_path, ids(3))
        main(["spool", "status", "--spool-dir", str(tmp_path)])
    out = capsys.readouterr().out

    assert out.startswith(f"{server.base_url}: 3 events waiting (")
    assert re.search(r"\(\d+ B, the oldest for \d+ d \d+ h\), 0 rejected\n$", out)


def test_status_tells_how_much_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The size is that of all waiting events together, and a file that is no server's folder is not in it."""
    with delivery_to("http://127.0.0.1:1/api/v1", tmp_path) as delivery:
        for event_id in ids(2):
            delivery.append(line(event_id, "x" * 750_000))
    (tmp_path / "note").touch()
    status = main(["spool", "status", "--spool-dir", str(tmp_path)])

    out = capsys.readouterr().out
    assert (status, out.partition(", ")[0]) == (0, "http://127.0.0.1:1/api/v1: 2 events waiting (1.5 MB")


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
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, said: list[str]
) -> None:
    """Root sees, for example in a container, that a service's events wait, and who can send or delete them."""
    with FaultyServer() as server:
        leave(server, tmp_path, ids(3))
        for path in tmp_path.glob("*/*.jsonl"):
            os.chown(path, 12345, 12345)
        address = {"status": [], "flush": ["--base-url", server.base_url], "discard": [server.base_url]}[command]
        status = main(["spool", command, "--spool-dir", str(tmp_path), *address])

    of_others = f"{server.base_url}: 3 events waiting in another user's files, run this as that user"
    assert status == 0
    assert capsys.readouterr().out.splitlines() == [*(line.format(url=server.base_url) for line in said), of_others]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("command", "said"), [("status", []), ("flush", ["0 events sent to http://localhost:3000/api/v1, 0 rejected"])]
)
def test_folder_of_another_user_is_told_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, said: list[str]
) -> None:
    """An unreadable folder is not reported as an empty one."""
    with tempfile.TemporaryDirectory() as shared, FaultyServer() as server, monkeypatch.context() as patch:
        patch.delenv("COAGENT_BASE_URL", raising=False)
        main(["spool", command, "--spool-dir", shared])  # imports modules that the other user may not be able to read
        capsys.readouterr()
        leave(server, Path(shared), ids(1))
        os.chmod(shared, 0o755)
        (folder,) = Path(shared).iterdir()
        os.seteuid(12345)
        try:
            status = main(["spool", command, "--spool-dir", shared])
        finally:
            os.seteuid(0)

    of_another = f"{folder} is not readable: run this as its owner"
    assert (status, capsys.readouterr()) == (0, ("\n".join([*said, of_another, ""]), ""))


def test_address_of_a_folder_has_no_password(tmp_path: Path) -> None:
    """The file that names the server is private to this user and contains no secret."""
    with FaultyServer() as server:
        address = server.base_url
        leave(server, tmp_path, ids(1), address.replace("//", "//ada:lovelace@"))
    (note,) = tmp_path.glob("*/destination")

    assert (note.read_text(), stat.S_IMODE(note.stat().st_mode)) == (f"{address}\n", 0o600)


@pytest.mark.parametrize("noted", [None, ""], ids=["no note", "a note that the disk had no room for"])
def test_folder_without_an_address_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], noted: str | None
) -> None:
    """If the server's address is missing, the folder's name is shown."""
    with FaultyServer() as server:
        leave(server, tmp_path, ids(1))
    (note,) = tmp_path.glob("*/destination")
    note.unlink() if noted is None else note.write_text(noted)
    main(["spool", "status", "--spool-dir", str(tmp_path)])

    assert capsys.readouterr().out.startswith(f"{note.parent.name}: 1 event waiting")


def test_flush_tells_of_other_servers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `--base-url`, the command also says what waits for other servers."""
    with FaultyServer() as server, FaultyServer() as other:
        leave(other, tmp_path, ids(2))
        monkeypatch.setenv("COAGENT_BASE_URL", server.base_url)
        main(["spool", "flush", "--spool-dir", str(tmp_path)])

    assert capsys.readouterr().out.splitlines() == [
        f"0 events sent to {server.base_url}, 0 rejected",
        f"2 events waiting for {other.base_url}: to send them, name it with --base-url, or with --from to send them to "
        f"{server.base_url}",
    ]


@pytest.mark.parametrize("option", ["--base-url", "--from"])
def test_flush_for_a_server_that_is_named_tells_of_no_other(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who names one knows what to do with the rest."""
    with FaultyServer() as server, FaultyServer() as other:
        leave(other, tmp_path, ids(2))
        leave(server, tmp_path, ids(1))
        monkeypatch.setenv("COAGENT_BASE_URL", server.base_url)
        main(["spool", "flush", "--spool-dir", str(tmp_path), option, server.base_url])

    assert capsys.readouterr().out == f"1 event sent to {server.base_url}, 0 rejected\n"


def test_discard_in_an_empty_spool_names_no_other_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is none."""
    status = main(["spool", "discard", "--spool-dir", str(tmp_path), "http://u:secret@localhost:9/api/v1"])

    problem = "no events are left for http://localhost:9/api/v1"
    assert (status, capsys.readouterr()) == (1, ("", f"coagent-langchain: {problem}\n"))


def test_flush_from_an_address_that_nothing_is_left_for_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the addresses that have waiting events, but not one that has received all."""
    with FaultyServer() as server, FaultyServer() as done:
        leave(server, tmp_path, ids(2))
        leave(done, tmp_path, ids(1))
        main(["spool", "flush", "--spool-dir", str(tmp_path), "--base-url", done.base_url])
        capsys.readouterr()
        status = main(["spool", "flush", "--spool-dir", str(tmp_path), "--from", "http://localhost:9/api/v1"])

    problem = f"no events are left for http://localhost:9/api/v1; there are some for {server.base_url}"
    assert (status, capsys.readouterr()) == (1, ("", f"coagent-langchain: {problem}\n"))


def test_discard_deletes_what_waits_and_what_was_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """This is for one server, which is gone; what waits for others stays."""
    with FaultyServer() as gone, FaultyServer() as other:
        leave(gone, tmp_path, ids(2))
        leave(other, tmp_path, ids(1))
        keep_rejected(destination_folder(tmp_path, gone.base_url), b'{"event_id":"bad"}', "no session_id")
        main(["spool", "discard", "--spool-dir", str(tmp_path), gone.base_url])
        main(["spool", "status", "--spool-dir", str(tmp_path)])

    first, *left = capsys.readouterr().out.splitlines()
    assert first == "discarded 2 events and 1 rejected event"
    assert [line.partition(" (")[0] for line in left] == [f"{other.base_url}: 1 event waiting"]


def test_discard_leaves_what_a_running_program_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The program may still send it."""
    with FaultyServer() as server:
        leave(server, tmp_path, ids(1))
        spool = Spool(destination_folder(tmp_path, server.base_url), 1 << 20, server.base_url)
        spool.append(b"{}\n", 1)
        main(["spool", "discard", "--spool-dir", str(tmp_path), server.base_url])
        spool.abandon()

    assert capsys.readouterr().out == (
        "discarded 1 event and 0 rejected events; 1 event waiting, from running programs or in unreadable files\n"
    )


def test_flush_without_a_server_says_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what it waits for, and in the end how many events are left and what to do."""
    monkeypatch.setattr(text, "SILENCE", 0.1)
    with FaultyServer() as server:
        leave(server, tmp_path, ids(3))
    status = main(["spool", "flush", "--spool-dir", str(tmp_path), "--base-url", server.base_url, "--timeout", "1"])
    captured = capsys.readouterr()
    notice, problem = captured.err.splitlines()

    assert (status, captured.out) == (1, f"0 events sent to {server.base_url}, 0 rejected, 3 events waiting\n")
    assert notice == f"waiting for {server.base_url} to accept events; gives up after 1 s if it fails"
    assert problem.startswith("coagent-langchain: not finished: ConnectionError: ")
    assert problem.endswith("(start a server with 'coagent-langchain serve', or set COAGENT_BASE_URL to yours)")


@pytest.mark.parametrize(("retry_after", "tried"), [({}, True), ({"Retry-After": "1"}, False)])
def test_flush_tries_for_as_long_as_it_may(tmp_path: Path, retry_after: dict[str, str], tried: bool) -> None:
    """A failing server is retried until the timeout; one that asks for a longer delay than is left, once."""
    with FaultyServer() as server:
        leave(server, tmp_path, ids(1))
        server.behave = lambda request: Answer(503, headers=retry_after)
        server.requests.clear()
        started = time.monotonic()
        main(["spool", "flush", "--spool-dir", str(tmp_path), "--base-url", server.base_url, "--timeout", "0.6"])
        took = time.monotonic() - started

    assert (took >= 0.6, len(server.requests) > 1) == (tried, tried)


def test_flush_gives_up_in_time_where_the_server_hangs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A single request would wait for its response for half a minute, whatever the command's timeout."""
    with FaultyServer() as server:
        leave(server, tmp_path, ids(1))
        server.behave = lambda request: Answer(hangs=True)
        started = time.monotonic()
        main(["spool", "flush", "--spool-dir", str(tmp_path), "--base-url", server.base_url, "--timeout", "1"])
        took = time.monotonic() - started

    assert capsys.readouterr().out == f"0 events sent to {server.base_url}, 0 rejected, 1 event waiting\n"
    assert took < 10


@pytest.mark.parametrize("timeout", ["nan", "-1", "soon"])
def test_flush_wants_a_time_that_ends(capsys: pytest.CaptureFixture[str], timeout: str) -> None:
    """An invalid timeout is wrong usage: with NaN, a failing server would be retried for ever."""
    with pytest.raises(SystemExit) as left:
        main(["spool", "flush", f"--timeout={timeout}"])

    assert left.value.code == 2
    assert f"--timeout: must be a number of seconds, 0 or more, not '{timeout}'" in capsys.readouterr().err


def test_flush_sends_what_was_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that ended programs left is sent, in order, and nothing remains."""
    with FaultyServer() as server:
        leave(server, tmp_path, ids(5))
        status = main(["spool", "flush", "--spool-dir", str(tmp_path), "--base-url", server.base_url])

    assert (status, server.stored) == (0, ids(5))
    assert capsys.readouterr().out == f"5 events sent to {server.base_url}, 0 rejected\n"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["destination"]


def test_flush_sends_what_several_programs_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of it is sent, the oldest first."""
    with FaultyServer() as server:
        for program in "abc":
            leave(server, tmp_path, ids(2, program))
        main(["spool", "flush", "--spool-dir", str(tmp_path), "--base-url", server.base_url])

    assert server.stored == [*ids(2, "a"), *ids(2, "b"), *ids(2, "c")]
    assert capsys.readouterr().out == f"6 events sent to {server.base_url}, 0 rejected\n"


def test_flush_counts_what_the_server_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rejected events are kept with the reason; the others arrive, and the command succeeds."""

    def refuse(request: Request) -> Answer:
        bad = any(entry["event_id"] == "e1" for entry in request.entries)
        return Answer(400, b'{"message": "bad entry"}') if bad else Answer()

    with FaultyServer() as server:
        leave(server, tmp_path, ids(3))
        server.behave = refuse
        status = main(["spool", "flush", "--spool-dir", str(tmp_path), "--base-url", server.base_url])
    main(["spool", "status", "--spool-dir", str(tmp_path)])

    sent, left = capsys.readouterr().out.splitlines()
    assert (status, server.stored, sent) == (0, ["e0", "e2"], f"2 events sent to {server.base_url}, 1 rejected")
    assert left.endswith(": nothing waiting, 1 rejected")


@pytest.mark.parametrize("path", ["", "/api/v1/logs"])
def test_flush_sends_what_was_logged_for_a_wrong_address(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Events for a mistyped address go to the right one, and none remain."""
    with FaultyServer() as server:
        mistyped = server.base_url.removesuffix("/api/v1") + path
        leave(server, tmp_path, ids(2), mistyped)
        line = ["spool", "flush", "--spool-dir", str(tmp_path), "--from", mistyped, "--base-url", server.base_url]
        status = main(line)
    main(["spool", "status", "--spool-dir", str(tmp_path)])

    assert (status, server.stored) == (0, ids(2))
    assert capsys.readouterr().out == f"2 events sent to {server.base_url}, 0 rejected\nno events waiting\n"


def test_flush_leaves_a_living_process_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A running program sends its events itself, and the command says that they are its."""
    with FaultyServer(lambda request: Answer(503)) as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("a"))
        delivery.flush(0.05)
        status = main(["spool", "flush", "--spool-dir", str(tmp_path), "--base-url", server.base_url])

    left = "1 event waiting, from running programs or in unreadable files"
    told = f"0 events sent to {server.base_url}, 0 rejected, {left}\n"
    assert (status, capsys.readouterr().out) == (0, told)


@pytest.mark.parametrize(("answer", "why"), [(Answer(401), "HTTP 401"), (Answer(503), "HTTP 503")])
def test_flush_says_why_it_did_not_finish(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: Answer, why: str
) -> None:
    """If the server refuses them, the command exits with 1 and the reason; everything stays for the next time."""
    with FaultyServer() as server:
        leave(server, tmp_path, ids(2))
        server.behave = lambda request: answer
        command = ["spool", "flush", "--spool-dir", str(tmp_path), "--base-url", server.base_url]
        failed = main([*command, "--timeout", "0.3"])
        error = capsys.readouterr().err
        server.behave = healthy
        succeeded = main(command)

    assert (failed, why in error, succeeded, server.stored) == (1, True, 0, ids(2))


def test_rejected_prints_reason_and_entry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rejected events are printed as JSON lines with the server's reason."""
    with FaultyServer(lambda request: Answer(422, b"no such type")) as server:
        with delivery_to(server.base_url, tmp_path) as delivery:
            append_each(delivery, ids(1))
            assert delivery.flush(5)
        main(["spool", "rejected", "--spool-dir", str(tmp_path)])
        record = json.loads(capsys.readouterr().out)
        main(["spool", "status", "--spool-dir", str(tmp_path)])

    assert (record["reason"], record["entry"]["event_id"]) == ("HTTP 422: no such type", "e0")
    assert capsys.readouterr().out.endswith(": nothing waiting, 1 rejected\n")


def test_rejected_entries_have_a_bound(tmp_path: Path) -> None:
    """A full file is replaced by a new one, and the one before it is kept."""
    for event_id in ids(8):
        keep_rejected(tmp_path, line(event_id, "x" * (MAX_BYTES // 3)), "no")  # two of them fill a file
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]

    assert (len(sizes), max(sizes) < MAX_BYTES) == (2, True)
    assert [record["entry"]["event_id"] for record in rejected_entries(tmp_path)] == ["e4", "e5", "e6", "e7"]


def test_rejected_entries_leave_nothing_open(tmp_path: Path) -> None:
    """However many are kept, no file stays open."""
    before = open_files()
    for event_id in ids(3):
        keep_rejected(tmp_path, line(event_id), "no")

    assert open_files() - before == set()


def test_rejected_entries_are_for_this_user_alone(tmp_path: Path) -> None:
    """Their file is private, as those of waiting events are."""
    keep_rejected(tmp_path, line("a"), "no")

    assert stat.S_IMODE((tmp_path / "rejected.jsonl").stat().st_mode) == 0o600


def test_link_in_the_place_of_rejected_entries_is_not_followed(tmp_path: Path) -> None:
    """In a shared folder, someone else's link cannot make us write to its target."""
    (tmp_path / "private").write_text("mine")
    (tmp_path / "rejected.jsonl").symlink_to(tmp_path / "private")
    keep_rejected(tmp_path, line("a"), "no")

    assert (tmp_path / "private").read_text() == "mine"


def test_half_a_record_of_a_rejected_entry_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A crash during a write damages records, but does not fail the command."""
    folder = tmp_path / "server"
    folder.mkdir()
    keep_rejected(folder, line("whole"), "why")
    with (folder / "rejected.jsonl").open("ab") as file:
        file.write(b'{"time":1,"reason":"why","ent')
    before = main(["spool", "rejected", "--spool-dir", str(tmp_path)])
    keep_rejected(folder, line("swallowed"), "why")
    keep_rejected(folder, line("last"), "why")
    status = main(["spool", "status", "--spool-dir", str(tmp_path)])

    assert (before, status, capsys.readouterr().out.splitlines()[-1]) == (0, 0, "server: nothing waiting, 2 rejected")
    assert [record["entry"]["event_id"] for record in rejected_entries(folder)] == ["whole", "last"]


def test_rejected_entry_is_kept_while_another_process_starts_the_file_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process finds no file to move, and starts the next one."""
    keep_rejected(tmp_path, line("first", "x" * MAX_BYTES), "why")
    replace = Path.replace

    def by_both(path: Path, target: Path) -> Path:
        replace(path, target)
        return replace(path, target)

    with monkeypatch.context() as another:
        another.setattr(Path, "replace", by_both)
        keep_rejected(tmp_path, line("second"), "why")

    assert [record["entry"]["event_id"] for record in rejected_entries(tmp_path)] == ["first", "second"]


def test_rejected_entry_that_the_disk_has_no_room_for_is_taken_back(tmp_path: Path) -> None:
    """A partial record would run into the next one."""
    with largest_file(20):
        keep_rejected(tmp_path, line("torn"), "why")
    keep_rejected(tmp_path, line("next"), "why")

    assert [record["entry"]["event_id"] for record in rejected_entries(tmp_path)] == ["next"]
