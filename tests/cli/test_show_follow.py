"""`show --follow` against a real server: events as they arrive, until the session has ended."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading

import pytest

from coagent_langchain import CoagentClient, CoagentClientError
from coagent_langchain.cli import main, show
from coagent_langchain.cli.show import follow
from tests.cli.samples import Run, entry
from tests.faulty_server import Answer, Behaviour, FaultyServer, answering


def test_show_follows_a_session_to_its_end(run: Run, own: CoagentClient) -> None:
    """Events are printed as they arrive, even if the session begins later."""
    shown: list[str] = []
    watcher = threading.Thread(target=lambda: shown.append(run("show", "followed", "--follow")))
    watcher.start()
    own.log_session_start("followed", "Hello")
    own.log_error("followed", 1, 0, "boom", "ValueError")
    own.log_session_end("followed", "Bye", 1)
    watcher.join(timeout=60)

    assert [line.split()[1:3] for line in shown[0].splitlines()] == [
        ["1.0", "session_start"],
        ["1.0", "error"],
        ["1.0", "session_end"],
    ]


def test_show_that_follows_prints_an_event_at_once(own: CoagentClient) -> None:
    """It does so even if its output goes to another program, while the session goes on."""
    own.log_session_start("followed", "Hello")
    command = [sys.executable, "-m", "coagent_langchain", "show", "followed", "--follow"]
    environ = os.environ | {"PYTHONUNBUFFERED": ""}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) as process:
        is_printed, *_ = select.select([process.stdout], [], [], 60)
        own.log_session_end("followed", "Bye", 1)

    assert is_printed


def test_show_that_follows_prints_a_line_for_each_event(run: Run) -> None:
    """Each has the time of day, the event's prompt and turn, and what it says, as in the tree."""
    assert run("show", "trip", "--follow").splitlines() == [
        "22:13:20  1.0    session_start    Plan a trip",
        "22:13:21  1.0    user_input       Where to?",
        "22:13:22  1.1    llm_call         m-1 Where to?",
        "22:13:24  1.1    llm_response     m-1 Rome. 1,200→30",
        "22:13:25  1.1    tool_call        trains to: Rome",
        "22:13:26  1.1    tool_response    trains strike ␛[31m",
        "22:13:27  1.1    error            TrainError strike",
        "22:13:28  1.0    session_end      Session end failed · Error",
    ]


def growing(entries: list[dict[str, object]], *sizes: int) -> Behaviour:
    """Answer each request with the beginning of a session, of the next size."""
    return lambda request: answering(entries[: sizes[request.number - 1]])(request)


def test_show_follows_a_session_that_goes_on_after_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each event is printed once, and an end that is followed by events is not the last."""
    monkeypatch.setattr(show, "POLL", 0.01)
    told = [("session_start", 1), ("session_end", 1), ("user_input", 2), ("info", 2), ("session_end", 2)]
    entries = [entry("twice", number, kind, prompt, 0) for number, (kind, prompt) in enumerate(told)]
    with FaultyServer(growing(entries, 1, 3, 4, 5)) as server, CoagentClient(server.base_url) as client:
        follow(client, "twice")

    assert [line.split()[1:3] for line in capsys.readouterr().out.splitlines()] == [
        ["1.0", "session_start"],
        ["1.0", "session_end"],
        ["2.0", "user_input"],
        ["2.0", "info"],
        ["2.0", "session_end"],
    ]


def test_show_goes_on_following_once_a_server_that_restarts_is_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says why nothing comes meanwhile; an answer that will not change ends it."""
    monkeypatch.setattr(show, "POLL", 0.01)
    whole = growing([entry("kept", 1, "session_start", 1, 0), entry("kept", 2, "info", 1, 0)], 1, 0, 0, 2)
    away = {2: Answer(503, b"busy"), 3: Answer(None), 5: Answer(401, b"")}
    with (
        FaultyServer(lambda request: away.get(request.number) or whole(request)) as server,
        CoagentClient(server.base_url, max_retries=0) as client,
        pytest.raises(CoagentClientError) as ended,
    ):
        follow(client, "kept")

    out, err = capsys.readouterr()
    assert [line.split()[2] for line in out.splitlines()] == ["session_start", "info"]
    assert ([line.partition(": ")[2] for line in err.splitlines()], ended.value.status) == (
        ["HTTP 503: busy; trying again"], 401,
    )  # fmt: skip


def test_show_follows_no_session_without_an_id(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty one, such as that of an unset variable in quotes, is not the newest session."""
    assert main(["show", "", "--follow"]) == 1
    assert "session_id must be a string of 1 to 512 characters" in capsys.readouterr().err


def test_show_that_waits_says_that_it_takes_a_whole_id(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a prefix, which `show` without `--follow` accepts, it would wait for ever."""
    monkeypatch.setattr(show, "POLL", 0.01)
    entries = [entry("tri", 1, "session_end", 1, 0)]
    with FaultyServer(growing(entries, 0, 0, 1)) as server, CoagentClient(server.base_url) as client:
        follow(client, "tri")

    assert capsys.readouterr().err == "waiting for session tri to begin; --follow needs a complete id\n"


def test_show_that_follows_tells_how_a_call_ended(capsys: pytest.CaptureFixture[str]) -> None:
    """As the tree does: an answer that was cut off looked whole, and a human's answer like the question."""
    said = {"llm_response": {"response": "Once upon"}, "input_data": {"value": "yes"},
            "error_info": {"recovery_strategy": "retry"}}  # fmt: skip
    ended = [("llm_response", {"model": "m-1", "finish_reason": "length"}), ("human_oversight", {"status": "resumed"}),
             ("recovery", {}), ("session_end", {"status": "cancelled"})]  # fmt: skip
    entries = [{**entry("told", number, kind, 1, 1), **said, "meta": meta}
               for number, (kind, meta) in enumerate(ended)]  # fmt: skip
    with FaultyServer(answering(entries)) as server, CoagentClient(server.base_url) as client:
        follow(client, "told")

    assert [line.split(maxsplit=3)[-1] for line in capsys.readouterr().out.splitlines()] == [
        "m-1 cut off · Once upon", "Human resumed · yes", "Recovery retry", "Session end cancelled",
    ]  # fmt: skip


def test_show_follows_a_session_with_odd_entries(capsys: pytest.CaptureFixture[str]) -> None:
    """Another server may send values that are no entries; entries without an id are told apart by their content."""
    odd = [{}, "x", {"event_type": "info"}, entry("odd", 1, "session_end", 1, 0)]
    with FaultyServer(answering(odd)) as server, CoagentClient(server.base_url) as client:
        follow(client, "odd")

    assert [line.split()[1:] for line in capsys.readouterr().out.splitlines()] == [
        ["0.0"], ["0.0", "info", "Info"], ["1.0", "session_end", "Session", "end", "completed"],
    ]  # fmt: skip
