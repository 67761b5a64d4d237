"""Sessions that nobody ends: they end when they are idle, and the ones idle longest make room."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import pytest
from langchain_core.runnables import RunnableLambda

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.sessions import open_sessions
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import chat
from tests.reading import of_type, types
from tests.waiting import pass_time, until


def test_idle_session_ends_by_itself(log: MemoryDelivery, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session without an event for half an hour is ended by the sweep."""
    handler = CoagentCallbackHandler("s", delivery=log)
    chat("a").invoke("q", {"callbacks": [handler]})
    pass_time(monkeypatch, 31)
    handler._sessions.sweep()

    assert (log.sequence[-1], log.entries[-1]["meta"]["status"]) == (("session_end", 1, 0), "idle")


def test_sleep_that_a_test_replaces_is_not_that_of_the_sweep(
    log: MemoryDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mock returns at once: the sweep would call it without end, and the test would find these calls."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(open_sessions, "SWEEP_EVERY", 0.01)
    monkeypatch.setattr(open_sessions, "_thread", None)
    handler = CoagentCallbackHandler("s", delivery=log)
    chat("a").invoke("q", {"callbacks": [handler]})
    pass_time(monkeypatch, 31)
    until(lambda: types(log)[-1] == "session_end")

    assert open_sessions.SWEEP_EVERY not in slept


def test_session_in_which_the_application_logs_is_not_idle(
    log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service's own session collects what is logged outside of runs, perhaps for days."""
    for number in range(3):
        handler.log("info", f"tick {number}")
        pass_time(monkeypatch, 20)
        handler._sessions.sweep()

    assert types(log) == ["session_start", "info", "info", "info"]


def test_session_without_a_block_ends_with_its_last_event(log: MemoryDelivery, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time from the last event until the session is closed is not part of the session."""
    handler = CoagentCallbackHandler("s", delivery=log)
    chat("a").invoke("q", {"callbacks": [handler]})
    pass_time(monkeypatch, 1)
    handler.close()

    last, end = log.entries[-2:]
    assert (end["timestamp"], end["meta"]["elapsed_time_ms"] < 60_000) == (last["timestamp"], True)


def test_idle_session_whose_last_run_failed_ends_as_failed(
    log: MemoryDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service's sessions end when they are idle: those that failed can be found, unless a later run succeeded."""
    handler = CoagentCallbackHandler(delivery=log)
    for session_id, answers in (("failed", ["a", ValueError("down")]), ("went on", [ValueError("down"), "a"])):
        model = chat(*answers)
        for _ in answers:
            with contextlib.suppress(ValueError):
                model.invoke("q", {"callbacks": [handler], "metadata": {"session_id": session_id}})
    pass_time(monkeypatch, 31)
    handler._sessions.sweep()

    ended = [(e["session_id"], e["meta"]["status"]) for e in of_type(log, "session_end")]
    assert ended == [("failed", "failed"), ("went on", "idle")]


@pytest.mark.parametrize(("hours", "ended"), [(1, False), (25, True)])
def test_session_in_which_something_runs_is_not_idle(
    hours: int, ended: bool, log: MemoryDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call may take long; only after a day without an event is its session ended."""
    handler = CoagentCallbackHandler("s", delivery=log)

    def sweep(_: str) -> str:
        chat("a").invoke("q")
        pass_time(monkeypatch, hours * 60)
        handler._sessions.sweep()
        return "ok"

    RunnableLambda(sweep).invoke("q", {"callbacks": [handler]})

    assert (log.entries[-1]["event_type"] == "session_end") is ended


def test_end_of_a_run_counts_as_activity(log: MemoryDelivery, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session counts as idle half an hour after its last run has ended."""
    handler = CoagentCallbackHandler("s", delivery=log)

    def work(_: str) -> str:
        chat("a").invoke("q")
        pass_time(monkeypatch, 60)
        return "ok"

    RunnableLambda(work).invoke("q", {"callbacks": [handler]})
    handler._sessions.sweep()

    assert len(handler._sessions) == 1


def test_start_of_a_call_counts_as_activity(log: MemoryDelivery, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that was idle for long is not ended during a model call."""
    handler = CoagentCallbackHandler("s", delivery=log)
    chat("a").invoke("q", {"callbacks": [handler]})
    pass_time(monkeypatch, 60)
    words = chat("a b").stream("q", {"callbacks": [handler]})
    next(words)
    handler._sessions.sweep()

    assert len(handler._sessions) == 1


def test_session_that_was_idle_longest_makes_room(
    log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ever new ids, the number of open sessions and of remembered prompt numbers of ended ones is bounded."""
    monkeypatch.setattr(open_sessions, "MAX_SESSIONS", 3)
    monkeypatch.setattr(open_sessions, "MAX_ENDED", 2)
    for number in range(8):
        chat("a").invoke("q", {"callbacks": [handler], "metadata": {"session_id": f"s{number}"}})

    ended = [(e["session_id"], e["meta"]["status"]) for e in of_type(log, "session_end")]
    assert ended == [(f"s{number}", "idle") for number in range(5)]
    assert (list(handler._sessions._open), list(handler._sessions._last_numbers)) == (["s5", "s6", "s7"], ["s3", "s4"])


def test_session_that_was_spoken_in_again_is_not_the_first_to_make_room(
    log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began first, but another session has been idle longer."""
    monkeypatch.setattr(open_sessions, "MAX_SESSIONS", 3)
    for name in ("a", "b", "c", "a", "d"):
        chat("yes").invoke("q", {"callbacks": [handler], "metadata": {"session_id": name}})

    assert [e["session_id"] for e in of_type(log, "session_end")] == ["b"]


def test_session_with_something_open_makes_no_room(
    log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many sessions there are, none is ended during its block or a run."""
    monkeypatch.setattr(open_sessions, "MAX_SESSIONS", 3)

    def elsewhere(work: Callable[[], object]) -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    def others() -> None:
        for number in range(8):
            chat("a").invoke("q", {"callbacks": [handler], "metadata": {"session_id": f"s{number}"}})

    def run() -> None:
        step = RunnableLambda(lambda _: elsewhere(others))
        step.invoke("x", {"callbacks": [CoagentCallbackHandler("run", delivery=log)]})

    with handler.session("work", session_id="block"):
        elsewhere(run)
        chat("a").invoke("q", {"callbacks": [handler]})

    told = {name: [e["event_type"] for e in log.entries if e["session_id"] == name] for name in ("block", "run")}
    assert told["block"] == ["session_start", "user_input", "llm_call", "llm_response", "session_end"]
    assert "session_end" not in told["run"]
