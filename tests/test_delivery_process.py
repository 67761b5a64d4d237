"""Delivery across the lifetimes of processes: fork, kill, exit, and the process that comes next."""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.delivery_parts import append_each, delivery_to, ids, line
from tests.delivery_programs import run
from tests.faulty_server import Answer, FaultyServer, healthy


def test_script_delivers_at_its_end(tmp_path: Path) -> None:
    """A script that ends normally has delivered everything and leaves no event in the spool."""
    with FaultyServer() as server:
        status, _, errors = run(server, tmp_path, "append_each(delivery, ids(50))")

    assert (status, errors, server.stored) == (0, "", ids(50))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["destination"]


def test_exit_is_bounded_and_the_next_process_delivers(tmp_path: Path) -> None:
    """With a hung server, the exit waits for its timeout and no longer; nothing is lost."""
    with FaultyServer(lambda request: Answer(hangs=True)) as server:
        status, took, errors = run(server, tmp_path, "append_each(delivery, ids(5))", exit_timeout=0.5)
        server.behave = healthy
        with delivery_to(server.base_url, tmp_path) as delivery:
            delivery.append(line("last"))
            arrived = server.wait_for(lambda: len(set(server.stored)) == 6)

    # Delivery is at least once: the server may still handle a request of the first process.
    assert (status, errors, arrived, set(server.stored)) == (0, "", True, {*ids(5), "last"})
    assert took < 10  # the request timeout is 30 s


def test_exit_waits_once_where_multiprocessing_runs_its_finalizers_too(tmp_path: Path) -> None:
    """If both exit handlers and finalizers deliver, they share one exit timeout."""
    code = """
        import multiprocessing.util
        from langchain_core.runnables import RunnableLambda
        from coagent_langchain import CoagentCallbackHandler

        handler = CoagentCallbackHandler(base_url=sys.argv[1], spool_dir=sys.argv[2])
        RunnableLambda(str).invoke(1, {"callbacks": [handler]})
        print(time.monotonic(), file=sys.stderr)
        """
    with FaultyServer(lambda request: Answer(hangs=True)) as server:
        status, _, ended = run(server, tmp_path, code, exit_timeout=5.0)
        waited = time.monotonic() - float(ended)  # the monotonic clock is the same in all processes

    assert (status, 5 <= waited < 10) == (0, True)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("os._exit(3)", 3),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", -signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGKILL); time.sleep(9)", -signal.SIGKILL),
        ("sys.exit('fault')", 1),
        ("os.abort()", -signal.SIGABRT),
    ],
)
def test_however_a_process_ends_nothing_is_lost(tmp_path: Path, code: str, status: int) -> None:
    """What was appended reaches the server, with the next process at the latest."""
    with FaultyServer() as server:
        ended, _, _ = run(server, tmp_path, f"append_each(delivery, ids(20))\n{code}")
        with delivery_to(server.base_url, tmp_path) as delivery:
            delivery.append(line("last"))
            arrived = server.wait_for(lambda: len(set(server.stored)) == 21)

    assert (ended, arrived) == (status, True)


def test_event_during_interpreter_shutdown_is_kept(tmp_path: Path) -> None:
    """When threads can no longer be started, an event still goes to the spool."""
    code = """
        class Late:
            def __del__(self):
                delivery.append(line("late"))
        keep = [Late()]
        keep.append(keep)
        append_each(delivery, ids(2))
    """
    with FaultyServer() as server:
        status, _, errors = run(server, tmp_path, code)
        with delivery_to(server.base_url, tmp_path) as delivery:
            delivery.append(line("last"))
            arrived = server.wait_for(lambda: len(server.stored) == 4)

    assert (status, errors, arrived, sorted(server.stored)) == (0, "", True, [*ids(2), "last", "late"])


def test_first_session_may_begin_during_interpreter_shutdown(tmp_path: Path) -> None:
    """A destructor that logs at exit does not wait for a thread that can no longer be started."""
    code = """
        from coagent_langchain import CoagentCallbackHandler
        class Late:
            handler = CoagentCallbackHandler(base_url=sys.argv[1], spool_dir=sys.argv[2])
            def __del__(self):
                self.handler.log("info", "late")
        keep = [Late()]
        keep.append(keep)
    """
    with FaultyServer() as server:
        status, _, errors = run(server, tmp_path, code)
        with delivery_to(server.base_url, tmp_path) as delivery:
            delivery.append(line("last"))
            arrived = server.wait_for(lambda: len(server.stored) == 3)

    assert (status, errors, arrived) == (0, "", True)


def test_flush_from_a_signal_handler(tmp_path: Path) -> None:
    """A SIGTERM handler may log and flush, whatever the thread was doing."""
    code = """
        def stop(*_):
            delivery.append(line("stopped"))
            os._exit(0 if delivery.flush(10) else 1)
        signal.signal(signal.SIGTERM, stop)
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
        number = 0
        while True:
            delivery.append(line(str(number)))
            number += 1
    """
    with FaultyServer() as server:
        status, _, errors = run(server, tmp_path, code)

    assert (status, errors, server.stored[-1]) == (0, "", "stopped")
    assert server.stored[:-1] == [str(number) for number in range(len(server.stored) - 1)]


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    """Two simultaneous processes send their own events, once."""
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        append_each(delivery, ids(20, "here"))
        status, _, _ = run(server, tmp_path, "append_each(delivery, ids(20, 'there'))")
        assert delivery.flush(10)

    assert (status, Counter(server.stored)) == (0, Counter(ids(20, "here") + ids(20, "there")))


def test_event_loop_is_not_held_up(tmp_path: Path) -> None:
    """Appending on an event loop does not block it, even with a hung server."""
    code = """
        import asyncio
        async def main():
            longest, before = 0.0, time.monotonic()
            for event_id in ids(300):
                delivery.append(line(event_id))
                await asyncio.sleep(0.001)
                longest, before = max(longest, time.monotonic() - before), time.monotonic()
            print(f"longest {longest * 1000:.0f} ms", file=sys.stderr)
        asyncio.run(main())
    """
    with FaultyServer(lambda request: Answer(hangs=True)) as server:
        _, _, errors = run(server, tmp_path, code, exit_timeout=0.0)
    longest = re.search(r"longest (\d+) ms", errors)

    assert longest is not None
    assert int(longest[1]) < 1000  # allows for a busy machine; the request timeout is 30 s
