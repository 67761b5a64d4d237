"""`coagent-langchain run`: a program's outcome is its session's status, and stderr is what `python` writes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from coagent_langchain import CoagentClient, LoggedSession
from coagent_langchain.cli import main
from coagent_langchain.server import launch
from tests.faulty_server import Answer, FaultyServer

ASK = """\
import sys
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda


def fail(question):
    raise KeyError(question)


FakeListChatModel(responses=["Rome."]).invoke("Where to?")
"""


class Ended(NamedTuple):
    """How a program ended: exit code, stderr, and the status and errors of each session."""

    code: int
    stderr: str
    sessions: dict[str, tuple[str, list[tuple[str, str]]]]


def run(base_url: str, script: Path, *options: str) -> Ended:
    """Run a program with the command; returns its outcome and that of the sessions it began."""
    command = [sys.executable, "-m", "coagent_langchain", "run", *options, str(script)]
    environment = {**os.environ, "COAGENT_BASE_URL": base_url}
    with CoagentClient(base_url) as client:
        before = client.get_runs()
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        sessions = {name: client.session(name) for name in client.get_runs() if name not in before}
    return Ended(result.returncode, result.stderr, {name: ended(session) for name, session in sessions.items()})


def ended(session: LoggedSession) -> tuple[str, list[tuple[str, str]]]:
    """A session's status, and type and stack of its errors."""
    errors = [e.error_info for e in session if e.error_info and e.event_type == "error"]
    return str(session.status), [(str(e.error_type), str(e.stack_trace)) for e in errors]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The path of the program."""
    return tmp_path / "app.py"


def stack(script: Path, code: str, said: str) -> str:
    """The traceback that Python writes for an exception raised on the line after `ASK`."""
    return f'Traceback (most recent call last):\n  File "{script}", line 11, in <module>\n    {code}\n{said}\n'


def test_program_that_raises_fails_its_session(base_url: str, script: Path) -> None:
    """The error event and stderr have the same frames, which are the program's own."""
    script.write_text(ASK + 'raise KeyError("gone")\n')
    expected = stack(script, 'raise KeyError("gone")', "KeyError: 'gone'")
    found = run(base_url, script, "--session", "raises")

    assert found == Ended(1, expected, {"raises": ("failed", [("KeyError", expected)])})


def test_program_that_exits_with_a_status_fails_its_session(base_url: str, script: Path) -> None:
    """The text passed to `SystemExit` is on stderr, as with Python, and in the event."""
    script.write_text(ASK + 'raise SystemExit("no luck")\n')
    expected = stack(script, 'raise SystemExit("no luck")', "SystemExit: no luck")
    found = run(base_url, script, "--session", "exits")

    assert found == Ended(1, "no luck\n", {"exits": ("failed", [("SystemExit", expected)])})


def test_exit_by_a_number_is_called_an_exit_status(base_url: str, script: Path) -> None:
    """A bare number would be unclear, so the error and the session's response say what it is."""
    script.write_text(ASK + "sys.exit(3)\n")
    with CoagentClient(base_url) as client:
        code = run(base_url, script, "--session", "status").code
        events = client.get_logs("status")

    assert code == 3
    assert [e.error_info.error_message for e in events if e.error_info] == ["exit status 3"]
    assert [e.output_data for e in events if e.event_type == "session_end"] == [{"response": "Error: exit status 3"}]


@pytest.mark.parametrize("code", ["0", ""])
def test_program_that_exits_well_completes_its_session(code: str, base_url: str, script: Path) -> None:
    """`sys.exit(0)` is not a failure, and nor is `sys.exit()`."""
    script.write_text(ASK + f"sys.exit({code})\n")
    name = f"well {code}"

    assert run(base_url, script, "--session", name) == Ended(0, "", {name: ("completed", [])})


def test_program_that_is_interrupted_cancels_its_session(base_url: str, script: Path) -> None:
    """Ctrl-C is not an error, and stderr is Python's."""
    script.write_text(ASK + "raise KeyboardInterrupt\n")
    expected = stack(script, "raise KeyboardInterrupt", "KeyboardInterrupt")

    assert run(base_url, script, "--session", "stopped") == Ended(130, expected, {"stopped": ("cancelled", [])})


def test_exception_that_failed_a_run_is_logged_once(base_url: str, script: Path) -> None:
    """The run has logged the exception where it was raised."""
    script.write_text(ASK + 'RunnableLambda(fail).invoke("why")\n')
    code, _, sessions = run(base_url, script, "--session", "once")
    status, errors = sessions["once"]

    assert (code, status, [kind for kind, _ in errors]) == (1, "failed", ["KeyError"])


def test_exception_after_a_caught_one_is_logged_too(base_url: str, script: Path) -> None:
    """A failed run that the program handled does not hide the exception that ended it, nor does a hook of its own."""
    hook = "sys.excepthook = lambda kind, error, trace: print(kind.__name__, file=sys.stderr)\n"
    failed = 'try:\n    RunnableLambda(fail).invoke("why")\nexcept KeyError:\n    raise ValueError\n'
    script.write_text(ASK + hook + failed)
    _, said, sessions = run(base_url, script, "--session", "both")
    status, errors = sessions["both"]

    assert (said, status, [kind for kind, _ in errors]) == ("ValueError\n", "failed", ["KeyError", "ValueError"])


def test_exception_in_the_place_of_a_caught_one_is_logged_too(base_url: str, script: Path) -> None:
    """Python may reuse a freed exception's memory: the same id is not the same error."""
    caught = 'def caught():\n    try:\n        RunnableLambda(fail).invoke("why")\n    except KeyError as error:\n'
    script.write_text(
        f"{ASK}{caught}        return id(error)\ngone = caught()\nRunnableLambda(str).invoke('fine')\n"
        "others = [KeyError('gone')]\n"
        "while id(others[-1]) != gone and len(others) < 10_000:\n    others.append(KeyError('gone'))\n"
        "raise others[-1]\n"
    )
    _, _, sessions = run(base_url, script, "--session", "reused")
    status, errors = sessions["reused"]

    assert (status, [kind for kind, _ in errors]) == ("failed", ["KeyError", "KeyError"])


def test_session_that_was_over_before_is_left_alone(base_url: str, script: Path) -> None:
    """Of several conversations, only the one that ran last fails."""
    ask = 'RunnableLambda(str).invoke("Hello", {{"metadata": {{"session_id": "{}"}}}})\n'
    script.write_text(f"{ASK}{ask.format('first')}{ask.format('last')}{ask.format('first')}raise ValueError\n")
    sessions = run(base_url, script).sessions

    assert {name: sessions[name][0] for name in ("first", "last")} == {"first": "failed", "last": "completed"}


def test_exception_that_failed_a_block_fails_no_other_session(base_url: str, script: Path) -> None:
    """The block that it leaves has logged it; a conversation that succeeded before is unchanged."""
    block = "from coagent_langchain import CoagentCallbackHandler\nwith CoagentCallbackHandler().session('block'):\n"
    script.write_text(f"{ASK}{block}    raise ValueError\n")
    sessions = run(base_url, script, "--session", "well before").sessions

    found = sorted((status, [kind for kind, _ in errors]) for status, errors in sessions.values())
    assert found == [("completed", []), ("failed", ["ValueError"])]


def test_program_with_a_syntax_error_is_told_as_python_tells_it(base_url: str, script: Path) -> None:
    """The traceback has no frame of ours, and there is no session, because nothing has run."""
    script.write_text("print(\n")
    python = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)

    assert run(base_url, script) == Ended(1, python.stderr, {})


@pytest.mark.parametrize(("words", "environ"), [
    (["app.py"], {}), (["link.py"], {}), (["-m", "app"], {}), (["app.py"], {"PYTHONSAFEPATH": "1"}),
], ids=["file", "link", "module", "safe path"])  # fmt: skip
def test_program_finds_its_files_as_with_python(tmp_path: Path, words: list[str], environ: dict[str, str]) -> None:
    """Modules are looked up beside the file that a link leads to; `__file__` is absolute; it is `__main__`."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "app.py").write_text(
        "import os, sys\nprint(sys.path, __file__, sys.modules['__main__'].__file__, os.path.basename(sys.argv[0]))\n"
    )
    (tmp_path / "link.py").symlink_to(tmp_path / "folder" / "app.py")
    folder = tmp_path if words == ["link.py"] else tmp_path / "folder"
    said = [
        subprocess.run(
            [sys.executable, *command, *words], cwd=folder, env=os.environ | environ, capture_output=True, text=True,
            timeout=60, check=True,
        ).stdout
        for command in ([], ["-m", "coagent_langchain", "run"])
    ]  # fmt: skip

    assert said[1] == said[0]


@pytest.mark.parametrize(("module", "end"), [(False, "sys.exit()"), (True, "")], ids=["file", "module"])
def test_what_outlives_the_program_still_finds_its_classes(tmp_path: Path, module: bool, end: str) -> None:
    """A thread and an exit handler pickle an object whose class is in `__main__`."""
    (tmp_path / "app.py").write_text(f"""
import atexit, pickle, sys, threading
class Soup: pass
def pack(*places):
    for place in places:
        place.join()
    print(pickle.loads(pickle.dumps(Soup)).__module__)
threading.Thread(target=pack, args=[threading.current_thread()]).start()
atexit.register(pack)
{end}
""")
    command = [sys.executable, "-m", "coagent_langchain", "run", *(["-m", "app"] if module else ["app.py"])]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert (result.returncode, result.stdout, result.stderr) == (0, "__main__\n__main__\n", "")


def run_in_vain(script: Path, **environ: str) -> tuple[int, str]:
    """Run a program whose server stores nothing; returns exit code and stderr."""
    command = [sys.executable, "-m", "coagent_langchain", "run", str(script)]
    result = subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False
    )
    return result.returncode, result.stderr


def test_program_whose_events_wait_says_so_at_its_end(script: Path) -> None:
    """One line has the reason and what to do; the program's exit status is unchanged."""
    script.write_text(ASK + "sys.exit(3)\n")
    code, said = run_in_vain(script, COAGENT_BASE_URL="http://127.0.0.1:9/api/v1")

    assert (code, re.sub(r"\[Errno \d+\] ", "", said)) == (
        3,
        "coagent-langchain: 6 events waiting for http://127.0.0.1:9/api/v1 (ConnectionError: Connection refused); "
        "to send them later: coagent-langchain spool flush\n",
    )


@pytest.mark.parametrize("spool", ["off", "/dev/null/below"])
def test_program_whose_events_nobody_keeps_says_that_they_are_lost(script: Path, spool: str) -> None:
    """With the spool off, or if its folder cannot be created, they cannot be sent later."""
    script.write_text(ASK)
    _, said = run_in_vain(script, COAGENT_BASE_URL="http://127.0.0.1:9/api/v1", COAGENT_SPOOL_DIR=spool)

    assert said.startswith("coagent-langchain: 5 events for http://127.0.0.1:9/api/v1 lost at exit: ConnectionError: ")
    assert said.endswith(" refused\n")


def test_program_whose_events_found_no_place_says_so_at_its_end(script: Path) -> None:
    """Events that find no space, not even in memory, do not wait; a limit on file size simulates the full disk."""
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    script.write_text(ASK + limit + ASK)
    _, said = run_in_vain(script, COAGENT_BASE_URL="http://127.0.0.1:9/api/v1")

    assert [re.sub(r" \(.*?\)", "", left) for left in said.splitlines()] == [
        "coagent-langchain: 4 events waiting for http://127.0.0.1:9/api/v1; "
        "to send them later: coagent-langchain spool flush",
        "coagent-langchain: 4 events for http://127.0.0.1:9/api/v1 refused: the spool or the disk is full",
    ]


def test_program_whose_events_are_rejected_says_so_at_its_end(script: Path) -> None:
    """The line has the server's reason and says where the events are kept."""
    script.write_text(ASK)
    with FaultyServer(lambda request: Answer(400, b'{"message": "no such type"}')) as server:
        _, said = run_in_vain(script, COAGENT_BASE_URL=server.base_url)

    assert said == (
        f"coagent-langchain: 5 events for {server.base_url} rejected: HTTP 400: no such type; "
        "see coagent-langchain spool rejected\n"
    )


@pytest.mark.parametrize(("path", "token", "why"), [
    ("", "secret", "(HTTP 404: Not Found (does base_url end with /api/v1?))"),
    ("/api/v1", "wrong", "(HTTP 401: "),
])  # fmt: skip
def test_server_that_takes_nothing_is_told_with_its_answer(script: Path, path: str, token: str, why: str) -> None:
    """The cases are a path that is not the API's, and a wrong token."""
    script.write_text(ASK)
    with launch(token="secret") as server:
        _, said = run_in_vain(script, COAGENT_BASE_URL=server.url + path, COAGENT_AUTH_TOKEN=token)

    assert said.startswith(f"coagent-langchain: 5 events waiting for {server.url}{path} {why}")


def test_run_without_a_program_asks_for_the_program_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """The program's arguments are optional and not reported as missing."""
    with pytest.raises(SystemExit):
        main(["run"])

    assert capsys.readouterr().err.splitlines()[-1].endswith("the following arguments are required: program")


def test_run_checks_what_the_processes_of_its_program_will_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an invalid value, each of them would fail."""
    monkeypatch.setenv("COAGENT_TRACING", "maybe")

    assert main(["run", "app.py"]) == 1
    assert capsys.readouterr().err == "coagent-langchain: COAGENT_TRACING must be true or false, not 'maybe'\n"


def test_run_of_a_command_says_that_it_takes_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    """Users may type a command such as `uvicorn app:app` after `run`."""
    assert main(["run", "uvicorn", "app:app"]) == 2
    assert capsys.readouterr().err == (
        "coagent-langchain run: no such file: uvicorn. Pass a Python program, or -m and a module\n"
    )
