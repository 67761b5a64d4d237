"""Exceptions that leave a session or a prompt: each is one event, and the session has failed."""

from __future__ import annotations

import contextlib
import threading

import pytest
from langchain_core.runnables import RunnableLambda

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import chat
from tests.reading import of_type, types


def test_exception_that_leaves_a_session_is_told_in_full(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Its error event has an id, type, message and stack trace, and names the session as its component."""
    with pytest.raises(KeyError), handler.session("task"):
        raise KeyError("salt")

    (error,) = of_type(log, "error")
    info = error["error_info"]
    assert info.pop("stack_trace").endswith("KeyError: 'salt'\n")
    assert info == {"error_id": error["event_id"], "error_type": "KeyError", "error_message": "'salt'",
                    "error_severity": "high", "component_id": "session"}  # fmt: skip
    assert types(log) == ["session_start", "error", "session_end"]
    assert (log.entries[-1]["meta"]["status"], log.entries[-1]["meta"]["errors"]) == ("failed", 1)


def test_session_that_fails_tells_no_secret(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Keys and passwords in an exception are replaced in every event of the session."""
    with pytest.raises(RuntimeError), handler.session("task"):
        raise RuntimeError("Bearer abcdefghijklmnop1234567890 password=hunter2 postgres://u:secretpw@h/db")

    written = str(log.entries)
    assert [word in written for word in ("abcdefghijklmnop", "hunter2", "secretpw", "[redacted]")] == [
        False,
        False,
        False,
        True,
    ]


def test_exception_that_leaves_an_inner_block_of_another_object_is_the_session_s_failure(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Both blocks belong to one session, which ends with the outer one."""
    outer, inner = (handler.session(text, session_id="s") for text in ("outer", "inner"))
    with outer, contextlib.suppress(KeyError), inner:
        raise KeyError("leek")

    told = [(e["event_type"], e.get("meta", {}).get("status")) for e in log.entries]
    assert told == [("session_start", None), ("error", None), ("session_end", "failed")]


@pytest.mark.parametrize("kind", ["session", "prompt"])
def test_exception_that_leaves_an_inner_block_of_the_same_object_is_logged(
    log: MemoryDelivery, handler: CoagentCallbackHandler, kind: str
) -> None:
    """Requests of a conversation may share its object: one fails while another has the block open."""
    session = handler.session("task", session_id="conv")
    with session, session.prompt("Soup?") as prompt:
        block = session if kind == "session" else prompt
        with block, contextlib.suppress(KeyError), block:
            raise KeyError("leek")

    told = [(e["event_type"], e.get("meta", {}).get("status"), e.get("error_info", {}).get("error_type"))
            for e in log.entries]  # fmt: skip
    assert told == [
        ("session_start", None, None), ("user_input", None, None), ("error", None, "KeyError"),
        ("session_end", "failed" if kind == "session" else "completed", None),
    ]  # fmt: skip


def test_block_that_takes_over_a_failing_run_ends_failed(log: MemoryDelivery) -> None:
    """The outcome of a run that was open before the block counts for the session that the block continues."""
    handler = CoagentCallbackHandler("s", delivery=log)
    begun, go = threading.Event(), threading.Event()

    def fail(_: str) -> str:
        begun.set()
        go.wait(10)
        raise ValueError("burnt")

    def work() -> None:
        with pytest.raises(ValueError, match="burnt"):
            RunnableLambda(fail).invoke("q", {"callbacks": [handler]})

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait(10)
    with handler.session("Cook", session_id="s"):
        go.set()
        thread.join()

    assert (log.entries[-1]["event_type"], log.entries[-1]["meta"]["status"]) == ("session_end", "failed")


def test_exception_that_leaves_a_prompt_is_logged_there(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Whether it is handled in the session or leaves it, it is one error, in the prompt that it left."""

    def work() -> None:
        with handler.session("s", session_id="s") as session:
            with contextlib.suppress(ValueError), session.prompt("one"):
                raise ValueError("handled")
            with session.prompt("two"):
                raise KeyError("raised on")

    with pytest.raises(KeyError):
        work()

    errors = [(e["prompt_number"], e["error_info"]["error_type"]) for e in of_type(log, "error")]
    assert errors == [(1, "ValueError"), (2, "KeyError")]
    assert (log.entries[-1]["meta"]["errors"], log.entries[-1]["meta"]["status"]) == (2, "failed")


def test_failure_of_a_later_block_is_beside_its_own_start_and_end(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """If the block has no prompt, its error is not in a prompt of an earlier block."""
    with handler.session("Cook", session_id="s") as session, session.prompt("soup"):
        pass
    log.entries.clear()
    with pytest.raises(ValueError, match="burnt"), handler.session("Cook", session_id="s"):
        raise ValueError("burnt")

    assert log.sequence == [("session_start", 2, 0), ("error", 2, 0), ("session_end", 2, 0)]


def test_error_of_any_of_several_runs_is_not_reported_again_by_its_session(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """An application that tries several runs before it gives up may raise the first of the logged errors."""
    errors: list[ValueError] = []

    @handler.session("Cook")
    def cook() -> None:
        for amount in "ab":
            try:
                RunnableLambda(float).invoke(amount, {"callbacks": [handler]})
            except ValueError as error:
                errors.append(error)
        raise errors[0]

    with pytest.raises(ValueError, match="'a'"):
        cook()

    assert [e["error_info"]["error_message"] for e in of_type(log, "error")] == list(map(str, errors))


def test_error_of_a_run_that_is_not_its_last_is_not_reported_again_by_its_session(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """If all fallbacks fail, LangChain raises the first error, though others were logged after it."""
    model = chat(ValueError("down")).with_fallbacks([chat(ValueError("down, too"))])
    with pytest.raises(ValueError, match=r"^down$"), handler.session("Cook"):
        model.invoke("soup", {"callbacks": [handler]})

    assert [error["error_info"]["error_message"] for error in of_type(log, "error")] == ["down", "down, too"]
    assert log.entries[-1]["meta"]["status"] == "failed"


def test_exception_that_leaves_a_block_whose_session_has_ended_begins_it_again(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The error is in a new session that has failed, not after the end of the completed one."""

    def program() -> None:
        with handler.session("Cook") as session:
            session.end()
            raise ValueError("burnt")

    with pytest.raises(ValueError, match="burnt"):
        program()

    assert [(e["event_type"], e.get("meta", {}).get("status")) for e in log.entries] == [
        ("session_start", None), ("session_end", "completed"),
        ("session_start", None), ("error", None), ("session_end", "failed"),
    ]  # fmt: skip


def test_exception_that_leaves_blocks_inside_each_other_is_one_error(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """As in a decorated function that calls itself: nothing follows the end, and the session has failed."""

    def step(depth: int) -> None:
        with handler.session("step", session_id="s") as session, session.prompt("go"):
            if depth == 0:
                raise ValueError("burnt")
            step(depth - 1)

    with pytest.raises(ValueError, match="burnt"):
        step(2)

    assert types(log) == ["session_start", *["user_input"] * 3, "error", "session_end"]
    assert (log.entries[-1]["meta"]["status"], log.entries[-1]["meta"]["errors"]) == ("failed", 1)
