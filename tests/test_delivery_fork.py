"""Delivery after a fork: each process sends what it logged itself, and hangs on no lock of its parent."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coagent_langchain.delivery.folder import destination_folder
from coagent_langchain.delivery.segment import HEADER_BYTES, header
from tests.delivery_parts import delivery_to, ids, left_by_the_dead, line
from tests.delivery_programs import PROGRAM, PYTHON, run
from tests.faulty_server import Answer, FaultyServer


def in_child(act: Callable[[], None]) -> int:
    """Fork and act in the child; returns its exit status, which is negative if it hung and its alarm killed it."""
    child = os.fork()
    if child == 0:
        status = 1
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(30)
        try:
            act()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_fork_child_sends_its_own_and_the_parents_stay_with_the_parent(tmp_path: Path) -> None:
    """After a fork, each process sends only what it logged itself, once."""
    with FaultyServer() as server, delivery_to(server.base_url, tmp_path) as delivery:
        delivery.append(line("before"))

        def child() -> None:
            delivery.append(line("child"))
            assert delivery.flush(20)
            assert delivery.stats().written == 1

        status = in_child(child)
        delivery.append(line("after"))
        flushed = delivery.flush(20)

    assert (status, flushed, Counter(server.stored)) == (0, True, Counter(["before", "child", "after"]))


def test_fork_child_holds_no_lock_of_its_parent(tmp_path: Path) -> None:
    """If the parent died, such a lock would keep others from adopting its segments and those it had adopted."""
    with FaultyServer(lambda request: Answer(503 if request.entries[0]["event_id"] == "left" else 200)) as server:
        folder = destination_folder(tmp_path, server.base_url)
        left_by_the_dead(folder, header(HEADER_BYTES) + line("left"))
        with delivery_to(server.base_url, tmp_path) as delivery:
            delivery.append(line("a"))
            assert server.wait_for(lambda: any(r.entries[0]["event_id"] == "left" for r in server.requests))

            def child() -> None:
                held = map(os.path.realpath, Path("/proc/self/fd").iterdir())
                assert not [path for path in held if path.startswith(str(folder)) and path.endswith(".lock")]

            status = in_child(child)

    assert status == 0


def test_fork_child_leaves_no_connection_behind(tmp_path: Path) -> None:
    """The child closes its copy of the parent's connection, so Python does not warn; the parent's stays open."""
    code = """
        import warnings
        warnings.simplefilter("default", ResourceWarning)
        delivery.append(line("parent"))
        assert delivery.flush(10)
        if os.fork() == 0:
            delivery.append(line("child"))
            os._exit(not delivery.flush(10))
        assert os.wait()[1] == 0
        delivery.append(line("after"))
        assert delivery.flush(10)
    """
    with FaultyServer() as server:
        ended = run(server, tmp_path, code)
        assert (ended[0], ended[2], server.stored) == (0, "", ["parent", "child", "after"])


def test_fork_while_threads_hold_every_lock(tmp_path: Path) -> None:
    """Children forked during appends, flushes and another library's database writes never hang and never resend."""
    over = threading.Event()

    def hammer() -> None:
        number = 0
        while not over.is_set():
            delivery.append(line(f"{threading.get_ident()}-{(number := number + 1)}"))
            if number % 50 == 0:
                delivery.flush(0.01)

    def foreign() -> None:
        with contextlib.closing(sqlite3.connect(tmp_path / "foreign.db")) as database:
            database.execute("CREATE TABLE t (x)")
            while not over.is_set():
                database.execute("INSERT INTO t VALUES (1)")
                database.commit()

    with FaultyServer() as server, delivery_to(server.base_url, tmp_path / "spool") as delivery:
        threads = [threading.Thread(target=target) for target in (hammer, hammer, foreign)]
        for thread in threads:
            thread.start()

        def child(event_id: str) -> Callable[[], None]:
            def act() -> None:
                delivery.append(line(event_id))
                assert delivery.flush(20)

            return act

        statuses = [in_child(child(event_id)) for event_id in ids(40)]
        over.set()
        for thread in threads:
            thread.join()
        assert delivery.flush(10)

    assert (statuses, [e for e in ids(40) if server.stored.count(e) != 1]) == ([0] * 40, [])
    assert max(Counter(server.stored).values()) == 1


def test_child_ends_though_the_connection_was_locked_at_the_fork(tmp_path: Path) -> None:
    """A child that exits normally does not wait for a connection pool that the parent was using."""
    code = """
        delivery.append(line("parent"))
        assert delivery.flush(10)
        with hold():
            child = os.fork()
        if child == 0:
            signal.alarm(8)  # kills a child that hangs
            delivery.append(line("child"))
            sys.exit(0)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    hold = """
        from contextlib import contextmanager
        @contextmanager
        def hold():
            held, over = threading.Event(), threading.Event()
            def other():
                with delivery._transport._pool.pool.mutex:
                    held.set()
                    over.wait(20)
            threading.Thread(target=other).start()
            held.wait()
            yield
            over.set()
    """
    with FaultyServer() as server:
        status, _, errors = run(server, tmp_path, textwrap.dedent(hold) + textwrap.dedent(code))

    assert (status, errors, sorted(server.stored)) == (0, "", ["child", "parent"])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_workers_deliver(tmp_path: Path, method: str) -> None:
    """Workers of `multiprocessing` deliver what they log, however they are started."""
    (tmp_path / "program.py").write_text(
        PROGRAM
        + textwrap.dedent(f"""
        import multiprocessing
        def work(number):
            delivery.append(line(f"w{{number}}"))
            assert delivery.flush(10)
        if __name__ == "__main__":
            delivery.append(line("parent"))
            with multiprocessing.get_context({method!r}).Pool(3) as pool:
                pool.map(work, range(6), chunksize=1)
        """)
    )
    with FaultyServer() as server:
        command = [*PYTHON, str(tmp_path / "program.py"), server.base_url, str(tmp_path / "spool"), "2"]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert sorted(server.stored) == sorted(["parent", *ids(6, "w")])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_sessions_of_workers_end_with_them(tmp_path: Path, method: str) -> None:
    """Workers of pools and executors run no exit handlers, but still end their sessions."""
    (tmp_path / "program.py").write_text(
        textwrap.dedent(f"""
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        from langchain_core.runnables import RunnableLambda
        from coagent_langchain import CoagentCallbackHandler
        def work(name):
            RunnableLambda(str).invoke("q", {{"callbacks": [CoagentCallbackHandler(name)]}})
        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            with ProcessPoolExecutor(1, mp_context=context) as executor:
                list(executor.map(work, ["executor"]))
            with context.Pool(1) as pool:
                pool.map(work, ["pool"])
                pool.close()
                pool.join()
            process = context.Process(target=work, args=("process",))
            process.start()
            process.join()
        """)
    )
    entries = run_program(tmp_path)

    assert sorted(each["session_id"] for each in entries if each["event_type"] == "session_end") == [
        "executor", "pool", "process",
    ]  # fmt: skip


def run_program(folder: Path) -> list[dict[str, Any]]:
    """Run a program that logs to a server of its own and must be silent; returns the entries the server received."""
    with FaultyServer() as server:
        environment = os.environ | {
            "PYTHONPATH": str(Path(__file__).parent.parent), "COAGENT_BASE_URL": server.base_url,
            "COAGENT_SPOOL_DIR": str(folder / "spool"),
        }  # fmt: skip
        command = [*PYTHON, str(folder / "program.py")]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")
        return [entry for request in server.requests for entry in request.entries]


def test_worker_that_goes_on_with_its_parents_session_delivers(tmp_path: Path) -> None:
    """The parent ends the session; what the forked worker logs in it is delivered by the worker's exit."""
    (tmp_path / "program.py").write_text(
        textwrap.dedent("""
        import multiprocessing
        from langchain_core.runnables import RunnableLambda
        from coagent_langchain import CoagentCallbackHandler
        from tests.waiting import until
        handler = CoagentCallbackHandler("s")
        def work(question):
            RunnableLambda(str).invoke(question, {"callbacks": [handler]})
        work("parent")
        handler.flush(10)
        until(lambda: handler._delivery._worker.idle)  # it looks again for what dead processes left in a minute
        process = multiprocessing.get_context("fork").Process(target=work, args=("worker",))
        process.start()
        process.join()
        """)
    )
    entries = run_program(tmp_path)

    assert sorted(each["prompt"] for each in entries if each["event_type"] == "user_input") == ["parent", "worker"]
    assert [each["event_type"] for each in entries].count("session_end") == 1


def test_preloaded_application_delivers_from_every_worker(tmp_path: Path) -> None:
    """As with `gunicorn --preload`, workers that are killed and replaced share a delivery from before the fork."""
    code = """
        delivery.append(line("preload"))
        for generation in range(2):
            children = []
            appended, append = os.pipe()
            for number in range(3):
                child = os.fork()
                if child == 0:
                    append_each(delivery, ids(10, f"g{generation}w{number}-"))
                    os.close(append)
                    signal.pause()
                children.append(child)
            os.close(append)
            os.read(appended, 1)  # until each child has closed it
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
    """
    expected = {
        f"g{generation}w{number}-{event}" for generation in range(2) for number in range(3) for event in range(10)
    }
    with FaultyServer() as server:
        status, _, errors = run(server, tmp_path, code)
        with delivery_to(server.base_url, tmp_path) as delivery:
            delivery.append(line("last"))
            arrived = server.wait_for(lambda: set(server.stored) == expected | {"preload", "last"})

    assert (status, errors, arrived) == (0, "", True)


def test_workers_of_a_preloaded_handler_have_sessions_of_their_own() -> None:
    """A handler without a session id, created before a fork, has another session in each child."""
    code = """
        import os
        from coagent_langchain import CoagentCallbackHandler
        from coagent_langchain.testing import MemoryDelivery
        log = MemoryDelivery()
        handler = CoagentCallbackHandler(delivery=log)
        for _ in range(2):
            if os.fork() == 0:
                handler.log("info", "hello")
                print(log.entries[0]["session_id"], flush=True)
                os._exit(0)
            os.wait()
        handler.log("info", "hello")
        print(log.entries[0]["session_id"])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)

    assert len(set(done.stdout.split())) == 3


def test_session_object_of_before_a_fork_ends_with_the_block_of_a_worker() -> None:
    """A worker that enters a preloaded session object has a whole session."""
    code = """
        import os
        from coagent_langchain import CoagentCallbackHandler
        from coagent_langchain.testing import MemoryDelivery
        log = MemoryDelivery()
        session = CoagentCallbackHandler(delivery=log).session("Cook")
        if os.fork() == 0:
            with session:
                pass
            print(*(entry["event_type"] for entry in log.entries), flush=True)
            os._exit(0)
        os.wait()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["session_start", "session_end"]
