"""Which session a run belongs to, and how its prompts and turns are numbered."""

from __future__ import annotations

import contextvars
import importlib
import threading
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any
from uuid import UUID

import pytest
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import tool

from coagent_langchain import CoagentCallbackHandler, ConfigurationError
from coagent_langchain.delivery import Stats
from coagent_langchain.testing import MemoryDelivery
from coagent_langchain.wire import MAX_COUNTER
from tests.fakes import chat
from tests.reading import ONE_CALL, of_type, sessions


@tool
def peel(food: str) -> str:
    """Peel it."""
    return food


@pytest.mark.parametrize("session_id", ["mine", None])
def test_what_is_logged_outside_any_run_is_in_the_handlers_session(session_id: str | None, log: MemoryDelivery) -> None:
    """It is the session of the handler's runs, with an id of the application's or not."""
    handler = CoagentCallbackHandler(session_id, delivery=log)
    handler.log("info", "set up")
    chat("a").invoke("q", {"callbacks": [handler]})
    handler.log("info", "done")

    ((named, logged),) = sessions(log).items()
    assert (session_id or named, logged) == (named, ["session_start", "info", *ONE_CALL[1:], "info"])


@pytest.mark.parametrize(("key", "named", "session"), [
    ("session_id", "thread-7", "thread-7"), ("thread_id", "thread-7", "thread-7"),
    ("conversation_id", "thread-7", "thread-7"), ("thread_id", 7, "7"),
    ("thread_id", UUID(int=7), str(UUID(int=7))), ("thread_id", "s" * 600, "s" * 512),
], ids=["session", "thread", "conversation", "int", "uuid", "long"])  # fmt: skip
def test_session_id_of_the_run(
    key: str, named: Any, session: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Metadata names the session, some frameworks by a number; a server accepts 512 characters."""
    chat("a").invoke("q", {"callbacks": [handler], "metadata": {key: named}})

    assert sessions(log) == {session: ONE_CALL}


def test_session_id_of_the_first_step(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A chain that names no session is in that of its first step, if the application gives the metadata there."""
    named = chat("a").with_config(metadata={"session_id": "thread-7"})
    RunnableLambda(lambda question: named.invoke(question)).invoke("q", {"callbacks": [handler]})

    assert sessions(log) == {"thread-7": ONE_CALL}


@pytest.mark.parametrize(
    ("runnable", "session"),
    [
        (chat("soup"), "own"),
        (RunnableLambda(str), "own"),
        (peel, "own"),
        (RunnableLambda(str) | RunnableLambda(str), "thread"),
        (RunnableLambda(lambda food: RunnableLambda(str).invoke(food)), "thread"),
    ],
    ids=["model", "function", "tool", "chain", "function with a child"],
)
def test_configurable_names_the_session_of_what_has_children(
    runnable: Runnable[Any, Any], session: str, log: MemoryDelivery
) -> None:
    """Only child runs show `configurable` to callbacks: a run without children is in the handler's own session."""
    handler = CoagentCallbackHandler(delivery=log)
    runnable.invoke("leek", {"callbacks": [handler], "configurable": {"thread_id": "thread"}})
    handler.close()

    assert {"thread" if e["session_id"] == "thread" else "own" for e in log.entries} == {session}


def test_session_starts_before_everything_in_it(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A run whose session is known only from its first child may have begun before the session's first run."""
    began, go_on = threading.Event(), threading.Event()

    def wait(food: str) -> str:
        began.set()
        go_on.wait()
        return str(RunnableLambda(str.upper).invoke(food))

    config: Any = {"callbacks": [handler]}
    first = threading.Thread(target=RunnableLambda(wait).invoke, args=("soup", config))
    first.start()
    began.wait()
    time.sleep(0.01)
    RunnableLambda(str.upper).invoke("cake", config)
    go_on.set()
    first.join()

    earliest = min(log.entries, key=lambda entry: entry["timestamp"])
    assert [e["prompt"] for e in of_type(log, "user_input")] == ["cake", "soup"]
    assert earliest["event_type"] == "session_start"


def test_handlers_made_per_request_share_a_sessions_numbers(log: MemoryDelivery) -> None:
    """A second handler for the same session continues with prompt 2 and starts no second session."""
    for _ in range(2):
        chat("a").invoke("q", {"callbacks": [CoagentCallbackHandler("s", delivery=log)]})

    assert log.sequence == [
        ("session_start", 1, 0), ("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1),
        ("user_input", 2, 0), ("llm_call", 2, 1), ("llm_response", 2, 1),
    ]  # fmt: skip


def test_prompt_number_from_metadata(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A conversation that began elsewhere can set its prompt number in the metadata."""
    chat("a").invoke("q", {"callbacks": [handler], "metadata": {"prompt_number": 5}})
    chat("a").invoke("q", {"callbacks": [handler]})

    assert [e["prompt_number"] for e in of_type(log, "user_input")] == [5, 6]


def test_session_that_begins_again_stands_at_its_first_prompt(log: MemoryDelivery) -> None:
    """The start of a restarted session has the number of its next prompt, not 1."""
    handler = CoagentCallbackHandler(session_id="again", delivery=log)
    for text in ("one", "two"):
        with handler.session(text):
            chat("ok").invoke(text, {"callbacks": [handler]})

    starts = [(e["prompt_number"], e["prompt"]) for e in of_type(log, "session_start")]
    asked = [(e["prompt_number"], e["prompt"]) for e in of_type(log, "user_input")]
    assert (starts, asked) == ([(1, "one"), (2, "two")],) * 2


def test_packages_of_a_session_are_those_of_its_runs(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A session that a run begins lists the packages that are loaded; a block does not know them and lists none."""
    importlib.import_module("langgraph.graph")
    chat("a").invoke("q", {"callbacks": [handler]})
    with handler.session("Cook", session_id="block"):
        pass

    run, block = of_type(log, "session_start")
    packages = [f"{name}::{version(name)}" for name in ("langchain-core", "langgraph", "coagent-langchain")]
    assert ([each for each in run["agent_stack"] if not each.startswith("langchain::")], "agent_stack" in block) == (
        packages,
        False,
    )


def test_clock_that_is_put_back_leaves_each_call_before_its_answer(
    log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is logged afterwards has the new clock's time, calls as well as responses."""
    with handler.session("task"):
        now = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: now() - 3600 * 10**9)
        chat("a").invoke("q", {"callbacks": [handler]})

    start, *later, _ = [entry["timestamp"] for entry in log.entries]
    assert (later, [start - each > 3_590_000 for each in later]) == (sorted(later), [True] * 3)


def test_task_that_outlives_its_session_begins_it_again(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Nothing follows `session_end`: a late run restarts the session and is its next prompt."""
    with handler.session("task", session_id="conv"):
        chat("a").invoke("in time", {"callbacks": [handler]})
        around = contextvars.copy_context()
    around.run(chat("a").invoke, "late", {"callbacks": [handler]})

    told = [f"{e['event_type']} {e['prompt_number']}" for e in log.entries if not e["event_type"].startswith("llm")]
    assert told == ["session_start 1", "user_input 1", "session_end 1", "session_start 2", "user_input 2"]


def test_secrets_that_an_objects_repr_hides_stay_hidden(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A dataclass in `meta` is written without the fields that its author keeps out of `repr`."""

    @dataclass
    class Config:
        url: str
        pin: str = field(repr=False)

    handler.log("info", "set up", meta={"config": Config("u", "4711")})

    assert log.entries[-1]["meta"] == {"config": {"url": "u"}}


def test_meta_needs_no_name(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """As in `handler.session`: refused, it would cost the event."""
    handler.log("info", "graded", {"score": 0.9})

    assert log.entries[-1]["meta"] == {"score": 0.9}


def test_meta_that_is_no_mapping_does_not_cost_the_event(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A dataclass or list passed as `meta` is kept under `value`."""

    @dataclass
    class Grade:
        score: float

    grade: Any = Grade(0.9)
    handler.log("info", "graded", meta=grade)
    handler.log_error("too low", meta=[grade])

    assert [entry["meta"] for entry in log.entries[-2:]] == [{"value": {"score": 0.9}}, {"value": [{"score": 0.9}]}]


@pytest.mark.parametrize("odd", [True, 1.5, "2", object(), 0, -1, MAX_COUNTER + 1])
def test_odd_prompt_number_counts_as_none(odd: object, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """An invalid number is ignored instead of being logged, where a server would refuse it."""
    chat("a").invoke("q", {"callbacks": [handler], "metadata": {"prompt_number": odd}})

    assert {(type(e["prompt_number"]), e["prompt_number"]) for e in log.entries} == {(int, 1)}


def test_unusable_session_id_is_refused_at_once(log: MemoryDelivery) -> None:
    """An empty or overlong id, or one that is not a string, raises where it is given."""
    for bad in ("", "x" * 513, 7):
        with pytest.raises(ConfigurationError, match="session_id must be a string of 1 to 512 characters"):
            CoagentCallbackHandler(bad, delivery=log)


def test_unusable_arguments_of_a_session_are_refused_at_once(handler: CoagentCallbackHandler) -> None:
    """A decorator without parentheses, a non-string prompt or a non-dict meta raises and says what to do."""
    parentheses = r'needs parentheses, as in @handler.session\("…"\), above'
    with pytest.raises(ConfigurationError, match=parentheses):
        handler.session(lambda: None)
    with pytest.raises(ConfigurationError, match=parentheses):
        handler.session("x").prompt(lambda: None)
    with pytest.raises(ConfigurationError, match="prompt must be a string, not 5"):
        handler.session("x").prompt(5)
    with pytest.raises(ConfigurationError, match="meta must be a dict, not 'str'"):
        handler.session("x", meta="str")
    with pytest.raises(ConfigurationError, match="session_id must be a string of 1 to 512 characters"):
        handler.session("x", session_id="")


@dataclass
class Lines:
    """A custom delivery that compares equal to another with the same lines, and so has no hash."""

    lines: list[bytes] = field(default_factory=list)

    def append(self, lines: bytes, count: int = 1) -> None:
        self.lines.append(lines)

    def flush(self, timeout: float) -> bool:
        return True

    def close(self) -> None: ...

    def stats(self) -> Stats:
        return Stats(written=len(self.lines))


def test_deliveries_that_are_equal_are_not_the_same_one() -> None:
    """Two equal deliveries each get a whole session under the same id."""
    deliveries = [Lines(), Lines()]
    for delivery in deliveries:
        with CoagentCallbackHandler("s", delivery=delivery).session("Cook"):
            pass

    assert [len(delivery.lines) for delivery in deliveries] == [2, 2]
