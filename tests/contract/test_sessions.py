"""Which session a run is logged in, how often, and with which number if several processes serve a conversation."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import UUID

import pytest
from langchain_core.runnables import RunnableConfig, RunnableLambda

from coagent_langchain import CoagentCallbackHandler, CoagentClient
from coagent_langchain.server import launch
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import chat
from tests.reading import of_type, types

WORKER = """
import sys
from langchain_core.runnables import RunnableLambda
from coagent_langchain import CoagentCallbackHandler

for question in sys.stdin:
    metadata = {"prompt_number": int(question.split()[0])} if "number" in sys.argv else {}
    handler = CoagentCallbackHandler("talk", resume="resume" in sys.argv)
    RunnableLambda(str).invoke(question, {"callbacks": [handler], "metadata": metadata})
    handler.flush(10)
    print("answered", flush=True)
"""


def test_block_around_a_run_comes_before_the_handlers_own_session(log: MemoryDelivery) -> None:
    """The session of a block takes precedence, then the handler's, then that of the run's metadata."""
    handler = CoagentCallbackHandler("handler", delivery=log)
    config: RunnableConfig = {"callbacks": [handler], "metadata": {"session_id": "metadata"}}
    with handler.session("Cook", session_id="block"):
        chat("soup").invoke("in the block", config)
    chat("soup").invoke("outside", config)

    asked = [(e["session_id"], e["prompt"]) for e in of_type(log, "user_input")]
    assert asked == [("block", "in the block"), ("handler", "outside")]


def test_sampling_leaves_in_what_is_opened_by_hand(log: MemoryDelivery) -> None:
    """A session and a prompt opened explicitly are logged, even if every run in them is left out."""
    handler = CoagentCallbackHandler(delivery=log, sample_rate=0)
    with handler.session("Cook") as session, session.prompt("Dinner?"):
        chat("soup").invoke("q", {"callbacks": [handler]})

    assert types(log) == ["session_start", "user_input", "session_end"]


def test_sampling_leaves_out_what_a_run_falls_back_on(log: MemoryDelivery) -> None:
    """LangChain reports the models of a `with_fallbacks` without a parent: they are left out with it."""
    handler = CoagentCallbackHandler(delivery=log, sample_rate=0.5)
    for number in range(20):
        left_out: RunnableConfig = {"callbacks": [handler], "run_id": UUID(int=(number << 64) + 0xFFFFFFFF)}
        chat(ValueError("down")).with_fallbacks([chat("soup")]).invoke("q", left_out)

    assert log.entries == []


@pytest.mark.parametrize(("block", "said"), [(False, []), (True, ["session_start", "info", "error", "session_end"])])
def test_sampling_leaves_out_what_the_application_logs_in_a_run(
    block: bool, said: list[str], log: MemoryDelivery
) -> None:
    """Else the handler's own session would collect it from all conversations; a block around the run logs it."""
    handler = CoagentCallbackHandler(delivery=log, sample_rate=0)

    def answer(question: str) -> str:
        handler.log("info", "asked")
        handler.log_error(ValueError("no"))
        return question

    with handler.session("Cook") if block else contextlib.nullcontext():
        RunnableLambda(answer).invoke("q", {"callbacks": [handler], "metadata": {"session_id": "ada"}})

    assert types(log) == said


def test_handler_is_closed_in_a_run_that_sampling_left_out(log: MemoryDelivery) -> None:
    """The session that it has logged ends; of the run there is nothing to end."""
    handler = CoagentCallbackHandler(delivery=log, sample_rate=0)
    handler.log("info", "hello")
    RunnableLambda(lambda _: handler.close()).invoke("q", {"callbacks": [handler]})

    assert types(log) == ["session_start", "info", "session_end"]


def test_two_handlers_of_one_run_log_it_twice(log: MemoryDelivery) -> None:
    """Each handler logs for itself; the same one given twice logs once."""
    one, other = CoagentCallbackHandler("s", delivery=log), CoagentCallbackHandler("s", delivery=log)
    chat("soup").invoke("q", {"callbacks": [one, other]})
    chat("soup").invoke("q", {"callbacks": [one, one]})

    assert Counter(types(log)) == {"session_start": 1, "user_input": 3, "llm_call": 3, "llm_response": 3}


@contextmanager
def worker(base_url: str, *how: str) -> Iterator[subprocess.Popen[str]]:
    """A process that answers one line at a time, each with its own handler for the session "talk"."""
    environment = {**os.environ, "COAGENT_BASE_URL": base_url}
    command = [sys.executable, "-c", WORKER, *how]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


@pytest.mark.parametrize(
    ("how", "numbers"),
    [
        (["number"], [1, 2, 3, 4, 5]),
        (["resume"], [1, 2, 3, 4, 5]),
        ([], [1, 1, 2, 3, 2]),
    ],
    ids=["number", "resume", "nothing"],
)
def test_numbers_of_a_conversation_that_two_workers_serve(how: list[str], numbers: list[int]) -> None:
    """Consecutive with `prompt_number`, and with `resume` and a `flush` after each; else each counts for itself."""
    with launch() as server, ExitStack() as workers:
        pair = [workers.enter_context(worker(server.base_url, *how)) for _ in range(2)]
        for number, chosen in enumerate((0, 1, 0, 0, 1), 1):
            process = pair[chosen]
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{number} questions\n")
            process.stdin.flush()
            assert process.stdout.readline() == "answered\n"
        with CoagentClient(server.base_url) as client:
            asked = [e.prompt_number for e in client.get_logs("talk") if e.event_type == "user_input"]

    assert asked == numbers


@pytest.mark.parametrize("way", ["block", "decorator"])
def test_a_block_resumes_too(way: str) -> None:
    """With `resume=True` a `handler.session()` continues the server's numbering, without another start."""

    def cook() -> None:
        with session.prompt("Dinner?"):
            chat("soup").invoke("q", {"callbacks": [handler]})

    with launch() as server:
        for _ in range(2):
            handler = CoagentCallbackHandler("talk", base_url=server.base_url, spool_dir="off", resume=True)
            session = handler.session("Cook")
            if way == "block":
                with session:
                    cook()
            else:
                session(cook)()
            handler.flush(10)
            handler._sessions._last_numbers.clear()  # as in another process
        with CoagentClient(server.base_url) as client:
            found = [(e.event_type, e.prompt_number) for e in client.get_logs("talk")]

    begun = ["user_input", "llm_call", "llm_response", "session_end"]
    assert found == [("session_start", 1), *[(kind, 1) for kind in begun], *[(kind, 2) for kind in begun]]


@pytest.mark.parametrize("way", ["block", "run"])
def test_what_resumes_starts_again_what_has_ended_here(way: str) -> None:
    """What a process logs after an end starts the session again, whatever another process logged before."""
    with launch() as server:
        with CoagentClient(server.base_url) as client:
            client.log_user_input("talk", "Breakfast?", prompt_number=1, turn_number=0)
        handler = CoagentCallbackHandler("talk", base_url=server.base_url, spool_dir="off", resume=True)
        for _ in range(2):
            with handler.session("Cook") if way == "block" else contextlib.closing(handler):
                chat("soup").invoke("q", {"callbacks": [handler]})
        handler.flush(10)
        with CoagentClient(server.base_url) as client:
            found = [(e.event_type, e.prompt_number) for e in client.get_logs("talk")]

    called = ["user_input", "llm_call", "llm_response", "session_end"]
    assert found == [("user_input", 1), *[(kind, 2) for kind in called], ("session_start", 3),
                     *[(kind, 3) for kind in called]]  # fmt: skip
