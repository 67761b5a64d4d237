"""Sessions and threads: simultaneous begins and ends, and interrupts."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.runnables import RunnableLambda

from coagent_langchain import CoagentCallbackHandler, Session
from coagent_langchain.sessions import open_sessions, state
from coagent_langchain.sessions.open_sessions import OpenSessions
from coagent_langchain.testing import MemoryDelivery
from coagent_langchain.values.chains import user_text
from tests.fakes import chat
from tests.reading import ONE_CALL, of_type, sessions, types
from tests.threads import at_once, meanwhile, switching_often


def test_one_handler_serves_many_threads(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Simultaneous runs of many conversations stay in their own sessions."""
    chain = RunnableLambda(lambda x: x) | chat("a")

    def talk(number: int) -> None:
        for _ in range(5):
            chain.invoke("q", {"callbacks": [handler], "metadata": {"thread_id": f"t{number}"}})

    at_once(*(functools.partial(talk, number) for number in range(8)))

    assert sessions(log) == {f"t{n}": [ONE_CALL[0], *(ONE_CALL[1:] * 5)] for n in range(8)}
    numbers = {e["prompt_number"] for e in log.entries if e["session_id"] == "t3"}
    assert numbers == {1, 2, 3, 4, 5}


def test_logging_while_its_thread_holds_a_lock(handler: CoagentCallbackHandler, log: MemoryDelivery) -> None:
    """A signal handler may log at any time, even while its own thread is changing a session."""

    def interrupted() -> None:
        with state._lock, open_sessions._lock:
            handler.log("info", "from a signal handler")

    thread = threading.Thread(target=interrupted, daemon=True)
    thread.start()
    thread.join(10)

    assert (thread.is_alive(), log.entries[-1]["output_data"]) == (False, {"message": "from a signal handler"})


def enter_while_it_begins(log: MemoryDelivery, block: Callable[[CoagentCallbackHandler], Any], first: str) -> None:
    """Enter and leave a block in another thread while this one is beginning it by logging `first`."""
    entered, go = threading.Event(), threading.Event()

    def enter() -> None:
        with opened:
            entered.set()
            go.wait(10)

    other = threading.Thread(target=enter)

    def redact(entry: dict[str, Any]) -> dict[str, Any]:
        if entry["event_type"] == first and other.ident is None:
            other.start()
            assert entered.wait(10)
        return entry

    opened = block(CoagentCallbackHandler(delivery=log, redact=redact))
    with opened:
        go.set()
        other.join(10)


def test_session_that_two_threads_enter_at_once_ends(log: MemoryDelivery) -> None:
    """It begins once, and ends when both threads have left it."""
    enter_while_it_begins(log, lambda handler: handler.session("Cook"), "session_start")

    assert types(log) == ["session_start", "session_end"]


@pytest.mark.parametrize("way", [
    lambda handler: handler.log("info", "x"),
    lambda handler: RunnableLambda(str).invoke("q", {"callbacks": [handler]}),
])  # fmt: skip
def test_session_start_comes_first_by_time_whoever_logs_meanwhile(way: Callable[[Any], object]) -> None:
    """Servers sort by time, then by arrival: an event that arrives before the start must have a later time."""

    class Meanwhile(MemoryDelivery):
        def append(self, lines: bytes, count: int = 1) -> None:
            if b"session_start" in lines:
                other = threading.Thread(target=way, args=(handler,))
                other.start()
                other.join()
            super().append(lines, count)

    found = []
    for _ in range(20):
        handler = CoagentCallbackHandler(delivery=(log := Meanwhile()))
        handler.log("info", "x")
        by_time = sorted(log.entries, key=lambda entry: entry["timestamp"])
        found.append((log.entries[0] is by_time[0], by_time[0]["event_type"]))

    assert found == [(False, "session_start")] * 20


def test_prompt_that_two_threads_enter_at_once_is_one(log: MemoryDelivery) -> None:
    """It has one number and one `user_input`."""
    enter_while_it_begins(log, lambda handler: handler.session("Cook").prompt("Soup?"), "user_input")

    assert log.sequence == [("session_start", 1, 0), ("user_input", 1, 0)]


class Interrupted(MemoryDelivery):
    """A delivery that raises KeyboardInterrupt once, when the first entry of this type is logged."""

    def __init__(self, event_type: str) -> None:
        super().__init__()
        self.event_type = event_type

    def append(self, lines: bytes, count: int = 1) -> None:
        """Keep the entries."""
        super().append(lines, count)
        if self.entries[-1]["event_type"] == self.event_type:
            self.event_type = ""
            raise KeyboardInterrupt


@pytest.mark.parametrize("before", [["session_start"], ["session_start", "user_input"]])
def test_run_that_is_interrupted_while_it_begins_is_one_prompt(before: list[str]) -> None:
    """What was logged of it is not logged again in a session of its own when the handler is closed."""
    log = Interrupted(before[-1])
    handler = CoagentCallbackHandler(delivery=log)
    with pytest.raises(KeyboardInterrupt):
        chat("Soup.").invoke("Soup?", {"callbacks": [handler], "metadata": {"session_id": "cook"}})
    handler.close()

    assert [(e["session_id"], e["event_type"]) for e in log.entries] == [
        ("cook", each) for each in (*before, "session_end")
    ]


@pytest.mark.parametrize("reason", [KeyboardInterrupt, RecursionError])
@pytest.mark.internal_errors
def test_run_whose_input_cannot_be_read_has_a_session_start(
    reason: type[BaseException], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Ctrl-C comes while its input is read, or the stack ends there."""

    def fail() -> None:
        raise reason

    with contextlib.suppress(KeyboardInterrupt), meanwhile("call", user_text, fail):
        RunnableLambda(str).invoke("Soup?", {"callbacks": [handler], "metadata": {"session_id": "cook"}})
    handler.close()

    assert [(e["session_id"], e["event_type"]) for e in log.entries] == [
        ("cook", each) for each in ("session_start", "user_input", "session_end")
    ]


def test_first_sessions_that_begin_at_once_share_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread sweeps idle sessions for all of them, however long its start takes."""
    running, start = set(threading.enumerate()), threading.Thread.start

    def slow_start(thread: threading.Thread) -> None:
        if thread.name == "coagent-sessions":
            time.sleep(0.05)
        start(thread)

    monkeypatch.setattr(open_sessions, "_thread", None)  # as in a process that has had no session yet
    monkeypatch.setattr(threading.Thread, "start", slow_start)
    handlers = [CoagentCallbackHandler(delivery=MemoryDelivery()) for _ in range(4)]
    at_once(*(functools.partial(handler.log, "info", "hello") for handler in handlers))

    begun = [thread.name for thread in threading.enumerate() if thread not in running]
    assert begun.count("coagent-sessions") == 1


def test_session_that_gets_no_thread_is_logged(log: MemoryDelivery, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system may give no more threads: the next session tries again."""
    running, start = set(threading.enumerate()), threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        monkeypatch.setattr(threading.Thread, "start", start)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(open_sessions, "_thread", None)  # as in a process that has had no session yet
    monkeypatch.setattr(threading.Thread, "start", refuse)
    begun = []
    for name in ("a", "b"):
        CoagentCallbackHandler(name, delivery=log).log("info", "hello")
        begun.append([thread.name for thread in threading.enumerate() if thread not in running])

    assert begun == [[], ["coagent-sessions"]]
    assert types(log) == ["session_start", "info"] * 2


@pytest.mark.parametrize("way", ["blocks", "late prompts", "handlers that are closed"])
def test_sessions_that_begin_and_end_in_many_threads_are_whole(way: str) -> None:
    """Each start has its end, no number is used twice, and the id can be used again."""
    log = MemoryDelivery()
    handler = CoagentCallbackHandler(delivery=log)
    left = handler.session("Cook", session_id="s")
    with left:
        pass

    def work() -> None:
        for _ in range(20):
            if way == "blocks":
                with handler.session("Cook", session_id="s") as session, session.prompt("q"):
                    pass
            elif way == "handlers that are closed":
                with contextlib.closing(CoagentCallbackHandler("s", delivery=log)) as own:
                    RunnableLambda(str).invoke("q", {"callbacks": [own]})
            else:
                with left.prompt("q"):
                    pass

    with switching_often():
        at_once(*[work] * 8)
    handler.close()

    starts, ends = len(of_type(log, "session_start")), len(of_type(log, "session_end"))
    numbers = [e["prompt_number"] for e in of_type(log, "user_input")]
    assert (starts == ends, sorted(numbers), len(handler._sessions)) == (True, list(range(1, 161)), 0)


@pytest.mark.parametrize("handlers", [1, 100], ids=["one handler", "a handler a request"])
def test_end_of_a_session_takes_no_longer_beside_many_open_runs(handlers: int, log: MemoryDelivery) -> None:
    """A service with thousands of concurrent requests ends sessions often: this must not visit all open runs."""
    handler = CoagentCallbackHandler(delivery=log)

    def end_one() -> None:
        with handler.session():
            RunnableLambda(str.upper).invoke("q", {"callbacks": [handler]})

    end_one()
    alone = lines_run(end_one)
    others = [CoagentCallbackHandler(f"session-{number}", delivery=log) for number in range(handlers)]
    for other in others:
        root = uuid4()
        other.on_chain_start({}, "q", run_id=root)
        for _ in range(1_000 // handlers):
            other.on_chain_start({}, "q", run_id=uuid4(), parent_run_id=root)

    assert lines_run(end_one) < alone + 100  # a clock that has moved on takes one line more


def lines_run(work: Callable[[], None]) -> int:
    """Count the lines of the package that `work` executes."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace if "coagent_langchain" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


class Watched(Session):
    """Records the last prompt number of each state it gets, at the moment from which a run may take the next one."""

    last_numbers: list[int]

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "state":
            self.__dict__.setdefault("last_numbers", []).append(value.last_number)


def test_session_that_goes_on_knows_its_numbers_before_a_run_can_take_one(handler: CoagentCallbackHandler) -> None:
    """Two other session objects have used numbers of the same id in the meantime."""
    session = Watched(handler._sessions, handler._outlet, "s")
    for each in (session, handler.session("b", session_id="s"), handler.session("c", session_id="s")):
        with each, each.prompt("q"):
            pass
    session.last_numbers.clear()
    session.open()

    assert session.last_numbers == [3]


def test_run_that_begins_while_its_session_ends_begins_it_again(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Another thread ends the session after the run has found it and before the run has joined it."""
    RunnableLambda(str).invoke("q", {"callbacks": [handler]})
    with meanwhile("return", OpenSessions.get, handler.close):
        RunnableLambda(str).invoke("q", {"callbacks": [handler]})
    handler.close()

    assert log.sequence == [
        ("session_start", 1, 0), ("user_input", 1, 0), ("session_end", 1, 0),
        ("session_start", 2, 0), ("user_input", 2, 0), ("session_end", 2, 0),
    ]  # fmt: skip


def test_prompt_that_is_entered_while_its_session_ends_begins_it_again(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Another thread ends the session after the prompt has found it and before the prompt has its number."""
    session = handler.session("Cook")
    with session:
        pass
    with meanwhile("return", OpenSessions.open, session.end), session.prompt("Soup?"):
        pass
    handler.close()

    assert log.sequence == [
        ("session_start", 1, 0), ("session_end", 1, 0),
        ("session_start", 1, 0), ("user_input", 1, 0), ("session_end", 1, 0),
    ]  # fmt: skip


def test_run_that_begins_while_its_block_is_left_keeps_the_session_open(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A run in another thread joins after the block was left and before the session ends with it."""
    root, call = UUID(int=1), UUID(int=2)

    def late() -> None:
        handler.on_chain_start({}, "q", run_id=root, metadata={"session_id": "s"})

    with meanwhile("call", OpenSessions.remove, late), handler.session("Cook", session_id="s"):
        pass
    handler.on_chat_model_start({}, [[]], run_id=call, parent_run_id=root)
    handler.on_llm_end(None, run_id=call)
    handler.on_chain_end("a", run_id=root)

    assert log.sequence == [
        ("session_start", 1, 0), ("user_input", 1, 0),
        ("llm_call", 1, 1), ("llm_response", 1, 1), ("session_end", 1, 0),
    ]  # fmt: skip
