"""Sessions and prompts: as context manager and decorator, and which session a run belongs to."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from types import FrameType, SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from coagent_langchain import CoagentCallbackHandler, ConfigurationError, Session, course, registry
from coagent_langchain import session as session_module
from coagent_langchain.testing import MemoryDelivery
from coagent_langchain.wire import MAX_COUNTER
from tests.fakes import Silent, chat
from tests.reading import ONE_CALL, of_type, sessions
from tests.tools import asking_agent


@tool
def peel(food: str) -> str:
    """Peel it."""
    return food


A_MINUTE = 59_990  # milliseconds: two clocks that are read one after the other may differ by one


def test_blocks_say_what_they_were_given(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The meta of a session and of its prompts, of decorated functions as well."""
    session = handler.session("Cook", meta={"a": 1})
    with session, session.prompt("Soup?", meta={"b": 2}):
        pass
    with session:
        session.prompt("Why?", meta={"c": 3})(lambda: None)()
    handler.session("Eat", meta={"d": 4})(lambda: None)()

    told = [(e["prompt"], e["meta"]) for e in log.entries if e["event_type"] in ("session_start", "user_input")]
    assert told == [
        ("Cook", {"a": 1}), ("Soup?", {"b": 2}), ("Cook", {"a": 1}), ("Why?", {"c": 3}), ("Eat", {"d": 4}),
    ]  # fmt: skip


def test_session_id_of_the_handler_wins(log: MemoryDelivery) -> None:
    """An explicit id is used whatever the run's metadata says."""
    handler = CoagentCallbackHandler("mine", delivery=log)
    chat("a").invoke("q", {"callbacks": [handler], "metadata": {"session_id": "other"}})

    assert sessions(log) == {"mine": ONE_CALL}


@pytest.mark.parametrize("key", ["session_id", "thread_id", "conversation_id"])
def test_session_id_of_the_run(key: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Metadata names the session; `configurable` too, as `contract/test_facts.py` shows."""
    chat("a").invoke("q", {"callbacks": [handler], "metadata": {key: "thread-7"}})

    assert sessions(log) == {"thread-7": ONE_CALL}


@pytest.mark.parametrize(
    ("named", "session"),
    [(7, "7"), (UUID(int=7), str(UUID(int=7))), ("s" * 600, "s" * 512)],
    ids=["int", "uuid", "long"],
)
def test_session_id_of_the_run_may_be_a_number_and_is_cut(
    named: Any, session: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Frameworks number their threads; a server takes 512 characters."""
    chat("a").invoke("q", {"callbacks": [handler], "metadata": {"thread_id": named}})

    assert sessions(log) == {session: ONE_CALL}


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
    """LangChain shows `configurable` to child runs alone: what runs without any is of the handler's own session."""
    handler = CoagentCallbackHandler(delivery=log)
    runnable.invoke("leek", {"callbacks": [handler], "configurable": {"thread_id": "thread"}})
    handler.close()

    assert {"thread" if e["session_id"] == "thread" else "own" for e in log.entries} == {session}


def test_one_handler_serves_many_threads(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Runs of many conversations at once keep to their sessions."""
    chain = RunnableLambda(lambda x: x) | chat("a")

    def talk(number: int) -> None:
        for _ in range(5):
            chain.invoke("q", {"callbacks": [handler], "metadata": {"thread_id": f"t{number}"}})

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sessions(log) == {f"t{n}": [ONE_CALL[0], *(ONE_CALL[1:] * 5)] for n in range(8)}
    numbers = {e["prompt_number"] for e in log.entries if e["session_id"] == "t3"}
    assert numbers == {1, 2, 3, 4, 5}


def test_session_starts_before_everything_in_it(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A run whose session is known only when its child starts may have begun before the session's first one."""
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
    """A second handler for the same session goes on with prompt 2 and starts no second session."""
    for _ in range(2):
        chat("a").invoke("q", {"callbacks": [CoagentCallbackHandler("s", delivery=log)]})

    assert log.sequence == [
        ("session_start", 1, 0),
        ("user_input", 1, 0),
        ("llm_call", 1, 1),
        ("llm_response", 1, 1),
        ("user_input", 2, 0),
        ("llm_call", 2, 1),
        ("llm_response", 2, 1),
    ]


def test_prompt_number_from_metadata(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A conversation that continues elsewhere names its prompt number."""
    chat("a").invoke("q", {"callbacks": [handler], "metadata": {"prompt_number": 5}})
    chat("a").invoke("q", {"callbacks": [handler]})

    assert [e["prompt_number"] for e in log.entries if e["event_type"] == "user_input"] == [5, 6]


def test_ended_session_continues_its_numbers(log: MemoryDelivery) -> None:
    """A thread that goes on after its session ended starts again with the next prompt number."""
    handler = CoagentCallbackHandler("s", delivery=log)
    chat("a").invoke("q", {"callbacks": [handler]})
    handler.close()
    chat("a").invoke("q", {"callbacks": [handler]})

    assert [e["prompt_number"] for e in log.entries if e["event_type"] == "llm_call"] == [1, 2]
    assert [e["event_type"] for e in log.entries].count("session_start") == 2


def test_session_that_begins_again_stands_at_its_first_prompt(log: MemoryDelivery) -> None:
    """A session under an ended one's id starts at the prompt to come, not at the first one of all."""
    handler = CoagentCallbackHandler(session_id="again", delivery=log)
    for text in ("one", "two"):
        with handler.session(text):
            chat("ok").invoke(text, {"callbacks": [handler]})

    starts = [(e["prompt_number"], e["prompt"]) for e in log.entries if e["event_type"] == "session_start"]
    asked = [(e["prompt_number"], e["prompt"]) for e in log.entries if e["event_type"] == "user_input"]
    assert (starts, asked) == ([(1, "one"), (2, "two")],) * 2


def test_exception_that_leaves_a_session_is_told_in_full(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Its error event has an id to refer to, says what was raised and where, and that it is the session's."""
    with pytest.raises(KeyError), handler.session("task"):
        raise KeyError("salt")

    (error,) = of_type(log, "error")
    info = error["error_info"]
    assert info.pop("stack_trace").endswith("KeyError: 'salt'\n")
    assert info == {"error_id": error["event_id"], "error_type": "KeyError", "error_message": "'salt'",
                    "error_severity": "high", "component_id": "session"}  # fmt: skip


@pytest.mark.parametrize("rule", [{}, {"redact": dict}], ids=["none", "the same"])
def test_session_of_handlers_made_per_request_ends_with_its_last_answer(
    rule: dict[str, Any], log: MemoryDelivery
) -> None:
    """Handlers that all keep the same to themselves repeat the answer, whichever of them has begun the session."""
    for answer in ("first", "last"):
        handler = CoagentCallbackHandler("s", delivery=log, **rule)
        chat(answer).invoke("q", {"callbacks": [handler]})
    handler.close()

    assert log.entries[-1]["output_data"] == {"response": "last"}


def test_handler_that_is_closed_leaves_anothers_block_open(log: MemoryDelivery) -> None:
    """A block ends with its own handler alone, also in a session that the other one has begun."""
    first, second = CoagentCallbackHandler("s", delivery=log), CoagentCallbackHandler("s", delivery=log)
    chat("a").invoke("q", {"callbacks": [first]})
    with second.session("Cook"):
        chat("a").invoke("q", {"callbacks": [first]})
        first.close()
        chat("a").invoke("q", {"callbacks": [second]})

    assert [e["event_type"] for e in log.entries] == [*ONE_CALL, *ONE_CALL[1:], *ONE_CALL[1:], "session_end"]


def test_packages_of_a_session_are_those_of_its_runs(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A session that begins with a run names what that runs on; a block does not know, and says nothing."""
    chat("a").invoke("q", {"callbacks": [handler]})
    with handler.session("Cook", session_id="block"):
        pass

    run, block = of_type(log, "session_start")
    packages = [f"{name}::{version(name)}" for name in ("langchain-core", "langgraph", "coagent-langchain")]
    assert ([each for each in run["agent_stack"] if not each.startswith("langchain::")], "agent_stack" in block) == (
        packages,
        False,
    )


def test_clock_that_is_put_forward_takes_no_time_away(log: MemoryDelivery, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session whose end is noticed by another clock than its events has lasted no time, not less."""
    handler = CoagentCallbackHandler("s", delivery=log)
    chat("a").invoke("q", {"callbacks": [handler]})
    now_ms = session_module.now_ms
    monkeypatch.setattr(session_module, "now_ms", lambda: now_ms() + 60_000)
    handler.close()

    assert log.entries[-1]["meta"]["elapsed_time_ms"] == 0


def test_clock_that_is_put_back_leaves_each_call_before_its_answer(
    log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is logged from then on has the time of the new clock, calls as well as answers."""
    with handler.session("task"):
        now = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: now() - 3600 * 10**9)
        chat("a").invoke("q", {"callbacks": [handler]})

    start, *later, _ = [entry["timestamp"] for entry in log.entries]
    assert (later, [start - each > 3_590_000 for each in later]) == (sorted(later), [True] * 3)


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


def test_blocks_of_one_session_at_the_same_time_share_its_numbers(log: MemoryDelivery) -> None:
    """Two requests of one conversation overlap: no number is given twice, and the session ends once."""
    handler = CoagentCallbackHandler(delivery=log)
    first, second = handler.session("a", session_id="conv"), handler.session("b", session_id="conv")
    with first:
        with first.prompt("A1"):
            pass
        with second:
            for session, text in ((second, "B1"), (first, "A2"), (second, "B2")):
                with session.prompt(text):
                    pass

    asked = [(e["prompt_number"], e["prompt"]) for e in log.entries if e["event_type"] == "user_input"]
    assert asked == [(1, "A1"), (2, "B1"), (3, "A2"), (4, "B2")]
    assert [e["event_type"] for e in log.entries].count("session_end") == 1


def test_exception_that_leaves_an_inner_block_of_another_object_is_the_session_s_failure(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Both blocks are of one session, which ends with the outer one."""
    outer, inner = (handler.session(text, session_id="s") for text in ("outer", "inner"))
    with outer, contextlib.suppress(KeyError), inner:
        raise KeyError("leek")

    told = [(e["event_type"], e.get("meta", {}).get("status")) for e in log.entries]
    assert told == [("session_start", None), ("error", None), ("session_end", "failed")]


def test_session_that_was_never_begun_has_no_end(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """As where the application gives up before it enters the block."""
    handler.session("Cook").end()

    assert log.entries == []


@pytest.mark.parametrize("kind", ["session", "prompt"])
def test_exception_that_leaves_an_inner_block_of_the_same_object_is_logged(
    log: MemoryDelivery, handler: CoagentCallbackHandler, kind: str
) -> None:
    """Requests of a conversation may share its object: one of them fails while another has the block open."""
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


def test_task_that_outlives_its_session_begins_it_again(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Nothing stands behind `session_end`: what comes later is the same session's next prompt, with a start."""
    with handler.session("task", session_id="conv"):
        chat("a").invoke("in time", {"callbacks": [handler]})
        around = contextvars.copy_context()
    around.run(chat("a").invoke, "late", {"callbacks": [handler]})

    told = [f"{e['event_type']} {e['prompt_number']}" for e in log.entries if not e["event_type"].startswith("llm")]
    assert told == ["session_start 1", "user_input 1", "session_end 1", "session_start 2", "user_input 2"]


def test_logging_while_its_thread_holds_a_lock(handler: CoagentCallbackHandler, log: MemoryDelivery) -> None:
    """A signal handler may log at any moment, also while its own thread changes a session."""

    def interrupted() -> None:
        with course._lock, registry._lock:
            handler.log("info", "from a signal handler")

    thread = threading.Thread(target=interrupted, daemon=True)
    thread.start()
    thread.join(10)

    assert (thread.is_alive(), log.entries[-1]["output_data"]) == (False, {"message": "from a signal handler"})


def test_secrets_that_an_objects_repr_hides_stay_hidden(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A dataclass in `meta` is written without the fields that its author keeps out of `repr`."""

    @dataclass
    class Config:
        url: str
        pin: str = field(repr=False)

    handler.log("info", "set up", meta={"config": Config("u", "4711")})

    assert log.entries[-1]["meta"] == {"config": {"url": "u"}}


def test_meta_that_is_no_mapping_does_not_cost_the_event(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A dataclass or list in its place is kept as `value`."""

    @dataclass
    class Grade:
        score: float

    grade: Any = Grade(0.9)
    handler.log("info", "graded", meta=grade)
    handler.log_error("too low", meta=[grade])  # type: ignore[arg-type]

    assert [entry["meta"] for entry in log.entries[-2:]] == [{"value": {"score": 0.9}}, {"value": [{"score": 0.9}]}]


@pytest.mark.parametrize("odd", [True, 1.5, "2", object(), 0, -1, MAX_COUNTER + 1])
def test_odd_prompt_number_counts_as_none(odd: object, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A number that is none does not get into the log, where a server would refuse it."""
    chat("a").invoke("q", {"callbacks": [handler], "metadata": {"prompt_number": odd}})

    assert {(type(e["prompt_number"]), e["prompt_number"]) for e in log.entries} == {(int, 1)}


def test_block_goes_on_with_an_open_session_of_its_id(log: MemoryDelivery) -> None:
    """A block around a conversation that runs have begun starts no second session, and ends it with all totals."""
    handler = CoagentCallbackHandler("s", delivery=log)
    chat("a").invoke("q", {"callbacks": [handler]})
    with handler.session("Cook", session_id="s"):
        chat("a").invoke("q", {"callbacks": [handler]})
    handler.close()

    assert [e["event_type"] for e in log.entries] == [*ONE_CALL, *ONE_CALL[1:], "session_end"]
    assert (log.entries[-1]["meta"]["prompts"], log.entries[-1]["meta"]["total_tokens"]) == (2, 28)


def test_idle_session_ends_by_itself(log: MemoryDelivery) -> None:
    """A session without an event for half an hour is ended by the sweep."""
    handler = CoagentCallbackHandler("s", delivery=log)
    chat("a").invoke("q", {"callbacks": [handler]})
    handler._sessions._open["s"].course.touched -= 31 * 60
    handler._sessions.sweep()

    assert (log.sequence[-1], log.entries[-1]["meta"]["status"]) == (("session_end", 1, 0), "idle")


def pass_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the clocks of sessions forward."""
    now_ms, monotonic = session_module.now_ms, session_module.time.monotonic
    for module in (session_module, course):
        monkeypatch.setattr(module, "now_ms", lambda: now_ms() + 60_000)
    monkeypatch.setattr(session_module, "time", SimpleNamespace(monotonic=lambda: monotonic() + 60))


def test_session_without_a_block_ends_with_its_last_event(log: MemoryDelivery, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the program did afterwards, or how long nobody noticed that it was over, is no part of the session."""
    handler = CoagentCallbackHandler("s", delivery=log)
    chat("a").invoke("q", {"callbacks": [handler]})
    pass_a_minute(monkeypatch)
    handler.close()

    last, end = log.entries[-2:]
    assert (end["timestamp"], end["meta"]["elapsed_time_ms"] < 60_000) == (last["timestamp"], True)


def test_session_lasts_as_long_as_its_last_chain(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """What a chain does after its last model call takes time of the session, though it is no event."""
    (chat("a") | (lambda answer: time.sleep(0.03))).invoke("q", {"callbacks": [handler]})
    handler.close()

    last, end = log.entries[-2:]
    assert (end["timestamp"] - last["timestamp"] >= 25, end["meta"]["elapsed_time_ms"] >= 25) == (True, True)


def test_session_with_a_block_ends_with_it(
    log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block says how long the session is."""
    with handler.session("Cook"):
        chat("a").invoke("q", {"callbacks": [handler]})
        pass_a_minute(monkeypatch)

    last, end = log.entries[-2:]
    assert (end["timestamp"] - last["timestamp"] >= 60_000, end["meta"]["elapsed_time_ms"] >= A_MINUTE) == (True, True)


def test_session_lasts_from_its_first_event_to_its_last(
    log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time is that between their timestamps, also where the block is entered later than made."""
    session = handler.session("Cook")
    pass_a_minute(monkeypatch)
    with session:
        chat("a").invoke("q", {"callbacks": [handler]})
        pass_a_minute(monkeypatch)

    assert A_MINUTE <= log.entries[-1]["meta"]["elapsed_time_ms"] < 2 * A_MINUTE


@pytest.mark.parametrize("how", ["closed", "idle"])
def test_session_that_waits_for_a_person_says_so(how: str, log: MemoryDelivery) -> None:
    """An interrupt that nobody has answered is no completed work."""
    handler = CoagentCallbackHandler("s", delivery=log)
    asking_agent().invoke(
        {"messages": [("user", "Pay?")]}, {"callbacks": [handler], "configurable": {"thread_id": "t"}}
    )
    if how == "idle":
        handler._sessions._open["s"].course.touched -= 31 * 60
        handler._sessions.sweep()
    handler.close()

    assert log.entries[-1]["meta"]["status"] == "interrupted"


def test_how_the_application_ends_a_session_that_waits_counts(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Nobody will answer any more."""
    with handler.session("Buy") as session:
        config: Any = {"callbacks": [handler], "configurable": {"thread_id": "t"}}
        asking_agent().invoke({"messages": [("user", "Pay?")]}, config)
        session.end("cancelled")

    assert [e["meta"]["status"] for e in log.entries if e["event_type"] == "session_end"] == ["cancelled"]


def test_users_own_words_are_no_answer(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A graph that waits may have no message but theirs: then `session_end` says that it was interrupted."""
    graph = StateGraph(MessagesState).add_node("ask", lambda _: interrupt("Sure?")).add_edge(START, "ask")
    agent = graph.compile(checkpointer=InMemorySaver())
    with handler.session("s"):
        agent.invoke({"messages": [("user", "Pay")]}, {"callbacks": [handler], "configurable": {"thread_id": "t"}})

    assert log.entries[-1]["output_data"] == {"response": "interrupted"}


def test_session_object_that_is_entered_again_goes_on(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Each block is whole, with the next numbers and totals of its own."""
    session = handler.session("Cook", session_id="s")
    for _ in range(2):
        with session:
            chat("a").invoke("q", {"callbacks": [handler]})

    assert log.sequence == [
        *[(event, 1, turn) for event, turn in zip([*ONE_CALL, "session_end"], [0, 0, 1, 1, 0], strict=True)],
        *[(event, 2, turn) for event, turn in zip([*ONE_CALL, "session_end"], [0, 0, 1, 1, 0], strict=True)],
    ]
    assert (log.entries[-1]["meta"]["prompts"], len(handler._sessions)) == (1, 0)


@pytest.mark.parametrize("way", ["nested", "around another", "at once"])
def test_session_object_that_is_open_already_is_the_same_session(
    way: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """It ends when the last of its blocks is left."""
    session = handler.session("Cook", session_id="s")

    def ask() -> None:
        with session:
            chat("a").invoke("q", {"callbacks": [handler]})

    async def ask_later() -> None:
        async with session:
            await asyncio.sleep(0)
            await chat("a").ainvoke("q", {"callbacks": [handler]})

    async def at_once() -> None:
        async with session:
            await asyncio.gather(ask_later(), ask_later())

    if way == "at once":
        asyncio.run(at_once())
    elif way == "nested":
        with session:
            ask()
            ask()
    else:
        with session, handler.session("Other", session_id="other"):
            ask()
            ask()

    found = [e["event_type"] for e in log.entries if e["session_id"] == "s"]
    assert (found[0], found.count("llm_response"), found[-1]) == ("session_start", 2, "session_end")
    assert (found.count("session_end"), len(handler._sessions)) == (1, 0)


async def begun_here(handler: CoagentCallbackHandler) -> tuple[asyncio.Event, asyncio.Task[str]]:
    """A run that has begun, and goes on to call a model once the event is set."""
    left, begun = asyncio.Event(), asyncio.Event()

    async def late(question: str) -> str:
        begun.set()
        await left.wait()
        return str((await chat("late").ainvoke(question)).content)

    task = asyncio.create_task(RunnableLambda(late).ainvoke("late", {"callbacks": [handler]}))
    await begun.wait()
    return left, task


def test_run_that_goes_on_from_block_to_block_keeps_its_prompt(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The session goes on with it, and ends with the last block."""

    async def main() -> None:
        session = handler.session("Cook", session_id="s")
        async with session:
            left, task = await begun_here(handler)
        async with session:
            left.set()
            await task

    asyncio.run(main())

    assert log.sequence == [(event, 1, int(event.startswith("llm"))) for event in [*ONE_CALL, "session_end"]]


def enter_while_it_begins(log: MemoryDelivery, block: Callable[[CoagentCallbackHandler], Any], first: str) -> None:
    """Enter a block in a thread at the moment when another thread begins it by logging `first`, and leave it there."""
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
    """It begins once, so it ends when both have left it."""
    enter_while_it_begins(log, lambda handler: handler.session("Cook"), "session_start")

    assert [e["event_type"] for e in log.entries] == ["session_start", "session_end"]


def test_prompt_that_two_threads_enter_at_once_is_one(log: MemoryDelivery) -> None:
    """It has one number, and the user has asked once."""
    enter_while_it_begins(log, lambda handler: handler.session("Cook").prompt("Soup?"), "user_input")

    assert log.sequence == [("session_start", 1, 0), ("user_input", 1, 0)]


def test_block_that_takes_over_a_failing_run_ends_failed(log: MemoryDelivery) -> None:
    """How a run ends that was open before counts for the session that goes on."""
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


class Interrupted(MemoryDelivery):
    """Ctrl-C comes as soon as something is logged, once."""

    def append(self, lines: bytes, count: int = 1) -> None:
        """Keep the entries."""
        super().append(lines, count)
        if len(self.entries) == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("way", ["block", "generator"])
def test_session_that_is_interrupted_while_it_begins_ends(way: str) -> None:
    """Nobody leaves a block that was not entered: without its end, it would count as open for a day."""
    log = Interrupted()
    handler = CoagentCallbackHandler(delivery=log)
    session = handler.session("Cook")

    def work() -> Iterator[None]:
        yield

    with pytest.raises(KeyboardInterrupt):
        session.__enter__() if way == "block" else next(session(work)())

    ended = [(e["event_type"], e.get("meta", {}).get("status")) for e in log.entries]
    assert (ended, len(handler._sessions)) == ([("session_start", None), ("session_end", "cancelled")], 0)


def test_prompt_object_that_is_entered_again_is_the_next_prompt(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """With its `user_input`, and turns from 1."""
    with handler.session("Cook") as session:
        prompt = session.prompt("Soup?")
        for _ in range(2):
            with prompt:
                chat("a").invoke("q", {"callbacks": [handler]})

    assert log.sequence[1:-1] == [
        ("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1),
        ("user_input", 2, 0), ("llm_call", 2, 1), ("llm_response", 2, 1),
    ]  # fmt: skip


def test_blocks_may_be_left_in_any_order(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A run belongs to the innermost block that is open; a block that was left never comes back."""
    first, second = handler.session("A", session_id="A"), handler.session("B", session_id="B")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    chat("a").invoke("q", {"callbacks": [handler]})
    second.__exit__(None, None, None)
    chat("a").invoke("q", {"callbacks": [handler]})

    found = sessions(log)
    assert (found.pop("A"), found.pop("B")) == (["session_start", "session_end"], [*ONE_CALL, "session_end"])
    assert list(found.values()) == [ONE_CALL]


def test_generator_that_is_closed_in_another_block_leaves_that_open(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Its own session ends; the block around the close keeps its runs."""

    def consume() -> Iterator[int]:
        with handler.session("generator", session_id="generator"):
            yield 1

    numbers = consume()
    next(numbers)
    with handler.session("block", session_id="block"):
        numbers.close()  # type: ignore[attr-defined]
        chat("a").invoke("q", {"callbacks": [handler]})

    assert sessions(log) == {"generator": ["session_start", "session_end"], "block": [*ONE_CALL, "session_end"]}


def test_block_that_is_left_in_another_context_than_entered_ends(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """As a fixture may be set up in one task and torn down in another; the block around the end stays open."""
    session = handler.session("Cook", session_id="s")
    contextvars.Context().run(session.__enter__)
    with handler.session("block", session_id="block"):
        session.__exit__(None, None, None)
        chat("a").invoke("q", {"callbacks": [handler]})

    assert sessions(log) == {"s": ["session_start", "session_end"], "block": [*ONE_CALL, "session_end"]}


def test_call_that_is_open_when_its_session_ends_ends_with_it(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Its node too: what they came to is unknown, and their own ends, which come later, are not told."""

    @tool
    def stop(food: str) -> str:
        """Stop."""
        handler.close()
        return food

    graph = StateGraph(dict).add_node("cook", lambda _: {"food": stop.invoke({"food": "leek"})})
    graph.set_entry_point("cook").compile().invoke({"food": ""}, {"callbacks": [handler]})

    assert [(e["event_type"], e.get("meta", {}).get("outcome")) for e in log.entries[3:]] == [
        ("tool_call", None), ("tool_response", "unknown"), ("component_exit", "unknown"), ("session_end", None),
    ]  # fmt: skip


def test_run_that_is_open_when_all_sessions_end_is_cancelled(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Also a chain that has called nothing until then, so that its session was not to be told: the process ends."""
    RunnableLambda(lambda _: handler._sessions.end_all()).invoke("q", {"callbacks": [handler]})

    assert [(e["event_type"], e.get("meta", {}).get("status")) for e in log.entries] == [
        ("session_start", None), ("user_input", None), ("session_end", "cancelled"),
    ]  # fmt: skip


def test_session_ends_with_the_task_that_outlives_its_block(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """What the task does after the block has been left is logged whole."""

    async def main() -> None:
        async with handler.session("Cook", session_id="s"):
            left, task = await begun_here(handler)
        left.set()
        await task

    asyncio.run(main())

    assert log.sequence == [(event, 1, int(event.startswith("llm"))) for event in [*ONE_CALL, "session_end"]]
    assert (log.entries[-1]["meta"]["status"], log.entries[-1]["output_data"]) == ("completed", {"response": "late"})


@pytest.mark.parametrize(("read", "answer"), [(True, "one two three"), (False, "one ")])
def test_session_ends_with_the_stream_that_outlives_its_block(
    log: MemoryDelivery, handler: CoagentCallbackHandler, read: bool, answer: str
) -> None:
    """As where a web framework sends an answer after the function that made it has returned; or its reader leaves."""
    chain = RunnableLambda(str) | chat("one two three")
    with handler.session("Cook", session_id="s"):
        stream = chain.stream("q", {"callbacks": [handler]})
        next(stream)
    before = len(log.entries)
    if read:
        list(stream)
    stream.close()  # type: ignore[attr-defined]

    assert [e["event_type"] for e in log.entries] == [*ONE_CALL, "session_end"]
    assert (before, log.entries[3]["llm_response"]["response"]) == (3, answer)


def test_session_that_is_left_by_an_error_ends_at_once(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """What is open then is closed with it."""
    chain = RunnableLambda(str) | chat("one two three")
    with contextlib.suppress(ValueError), handler.session("Cook", session_id="s"):
        stream = chain.stream("q", {"callbacks": [handler]})
        next(stream)
        raise ValueError("burnt")
    list(stream)

    assert [e["event_type"] for e in log.entries] == [*ONE_CALL[:3], "error", "llm_response", "session_end"]
    assert [e["meta"].get("outcome") or e["meta"].get("status") for e in log.entries[-2:]] == ["unknown", "failed"]


def test_handler_of_another_server_in_a_block_has_a_session_of_its_own(log: MemoryDelivery) -> None:
    """Both servers get the whole session under one id, each with its own numbers: turn 1 is turn 1 in both."""
    elsewhere = MemoryDelivery()
    here, there = CoagentCallbackHandler(delivery=log), CoagentCallbackHandler(delivery=elsewhere)
    with here.session("Cook", session_id="s") as session:
        for question in ("Soup?", "Salad?"):
            with session.prompt(question):
                chat("a").invoke("q", {"callbacks": [here, there]})
                chat("a").invoke("q", {"callbacks": [here, there]})
    there.close()

    for each in (log, elsewhere):
        calls = [(e["session_id"], e["prompt_number"], e["turn_number"]) for e in each.entries
                 if e["event_type"] == "llm_call"]  # fmt: skip
        kinds = [e["event_type"] for e in each.entries]
        assert calls == [("s", 1, 1), ("s", 1, 2), ("s", 2, 1), ("s", 2, 2)]
        assert (kinds[0], kinds.count("user_input"), kinds[-1]) == ("session_start", 2, "session_end")
        assert each.entries[-1]["meta"]["llm_calls"] == 4


def test_session_that_was_idle_longest_makes_room(
    log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service with ever new ids keeps so many sessions open at most, and remembers as many numbers of ended ones."""
    monkeypatch.setattr(registry, "MAX_SESSIONS", 3)
    monkeypatch.setattr(registry, "MAX_ENDED", 2)
    for number in range(8):
        chat("a").invoke("q", {"callbacks": [handler], "metadata": {"session_id": f"s{number}"}})

    ended = [(e["session_id"], e["meta"]["status"]) for e in log.entries if e["event_type"] == "session_end"]
    assert ended == [(f"s{number}", "idle") for number in range(5)]
    assert (list(handler._sessions._open), list(handler._sessions._last_prompts)) == (["s5", "s6", "s7"], ["s3", "s4"])


def test_session_that_was_spoken_in_again_is_not_the_first_to_make_room(
    log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began first, but another one was idle longer."""
    monkeypatch.setattr(registry, "MAX_SESSIONS", 3)
    for name in ("a", "b", "c", "a", "d"):
        chat("yes").invoke("q", {"callbacks": [handler], "metadata": {"session_id": name}})

    assert [e["session_id"] for e in log.entries if e["event_type"] == "session_end"] == ["b"]


def test_prompt_that_is_joined_by_its_number_in_a_block(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A block that goes on with an open session goes on with its prompts too."""
    config: Any = {"callbacks": [handler], "metadata": {"session_id": "s", "prompt_number": 1}}
    chat("a").invoke("q", config)
    with handler.session("x", session_id="s"):
        chat("b").invoke("q", config)

    numbers = [(e["event_type"], e["prompt_number"], e["turn_number"]) for e in log.entries]
    assert numbers == [
        ("session_start", 1, 0), ("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1),
        ("llm_call", 1, 2), ("llm_response", 1, 2), ("session_end", 1, 0),
    ]  # fmt: skip


def test_exception_that_leaves_a_prompt_is_logged_there(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Handled inside the session or raised on, it is one error, of the prompt that it has left."""

    def work() -> None:
        with handler.session("s", session_id="s") as session:
            with contextlib.suppress(ValueError), session.prompt("one"):
                raise ValueError("handled")
            with session.prompt("two"):
                raise KeyError("raised on")

    with pytest.raises(KeyError):
        work()

    errors = [(e["prompt_number"], e["error_info"]["error_type"]) for e in log.entries if e["event_type"] == "error"]
    assert errors == [(1, "ValueError"), (2, "KeyError")]
    assert (log.entries[-1]["meta"]["errors"], log.entries[-1]["meta"]["status"]) == (2, "failed")


def test_call_that_was_cut_off_is_not_completed(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """LangChain does not tell of a bare model that a timeout cancels: its session is cancelled with it."""

    async def ask() -> None:
        with handler.session("s", session_id="s"), contextlib.suppress(TimeoutError):
            await asyncio.wait_for(Silent().ainvoke("q", {"callbacks": [handler]}), 0.01)

    asyncio.run(ask())

    assert [e["event_type"] for e in log.entries][-2:] == ["llm_response", "session_end"]
    assert (log.entries[-1]["meta"]["status"], log.entries[-1]["output_data"]["response"]) == ("cancelled", "cancelled")


def test_failed_run_does_not_end_with_an_earlier_answer(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The answer of a session whose last run failed is not the answer of the run before."""
    model = chat("first answer", TimeoutError("no"))
    with handler.session("s", session_id="s"):
        model.invoke("one", {"callbacks": [handler]})
        with contextlib.suppress(TimeoutError):
            model.invoke("two", {"callbacks": [handler]})

    assert (log.entries[-1]["output_data"], log.entries[-1]["meta"]["status"]) == ({"response": "failed"}, "failed")


def test_session_with_something_open_makes_no_room(
    log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many sessions there are, none ends in the middle of its block or of a run."""
    monkeypatch.setattr(registry, "MAX_SESSIONS", 3)

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


@pytest.mark.parametrize(("hours", "ended"), [(1, False), (25, True)])
def test_session_in_which_something_runs_is_not_idle(hours: int, ended: bool, log: MemoryDelivery) -> None:
    """A call may take long; only what nobody has heard of for a day is given up."""
    handler = CoagentCallbackHandler("s", delivery=log)

    def sweep(_: str) -> str:
        chat("a").invoke("q")
        handler._sessions._open["s"].course.touched -= hours * 3600
        handler._sessions.sweep()
        return "ok"

    RunnableLambda(sweep).invoke("q", {"callbacks": [handler]})

    assert (log.entries[-1]["event_type"] == "session_end") is ended


def test_end_of_a_run_counts_as_activity(log: MemoryDelivery) -> None:
    """The half hour of an idle session begins when its last run has ended."""
    handler = CoagentCallbackHandler("s", delivery=log)

    def work(_: str) -> str:
        chat("a").invoke("q")
        handler._sessions._open["s"].course.touched -= 3600
        return "ok"

    RunnableLambda(work).invoke("q", {"callbacks": [handler]})
    handler._sessions.sweep()

    assert len(handler._sessions) == 1


def test_start_of_a_call_counts_as_activity(log: MemoryDelivery) -> None:
    """A session that was idle for long is not ended under a model's call."""
    handler = CoagentCallbackHandler("s", delivery=log)
    chat("a").invoke("q", {"callbacks": [handler]})
    handler._sessions._open["s"].course.touched -= 3600
    words = chat("a b").stream("q", {"callbacks": [handler]})
    next(words)
    handler._sessions.sweep()

    assert len(handler._sessions) == 1


def test_block_around_a_conversation_that_goes_on_lasts_as_long_as_both(
    log: MemoryDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The elapsed time is that of the whole session."""
    handler = CoagentCallbackHandler("s", delivery=log)
    chat("a").invoke("q", {"callbacks": [handler]})
    pass_a_minute(monkeypatch)
    with handler.session("Cook", session_id="s"):
        pass

    assert log.entries[-1]["meta"]["elapsed_time_ms"] >= A_MINUTE


def test_session_end_repeats_the_beginning_of_a_long_answer(log: MemoryDelivery) -> None:
    """All of it is in the response."""
    handler = CoagentCallbackHandler("s", delivery=log)
    chat("x" * 20_000).invoke("q", {"callbacks": [handler]})
    handler.close()

    assert log.entries[-1]["output_data"] == {"response": "x" * 10_000}


def test_unusable_session_id_is_refused_at_once(log: MemoryDelivery) -> None:
    """An empty or overlong id raises where it is given."""
    for bad in ("", "x" * 513, 7):
        with pytest.raises(ConfigurationError, match="session_id must be a string of 1 to 512 characters"):
            CoagentCallbackHandler(bad, delivery=log)  # type: ignore[arg-type]


def test_unusable_arguments_of_a_session_are_refused_at_once(handler: CoagentCallbackHandler) -> None:
    """A decorator without parentheses, a prompt that is no text, a meta that is no dict: each says what to do."""
    parentheses = r'needs parentheses: @handler.session\(\) or @session.prompt\("…"\) above'
    with pytest.raises(ConfigurationError, match=parentheses):
        handler.session(lambda: None)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=parentheses):
        handler.session("x").prompt(lambda: None)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="prompt must be a string, not 5"):
        handler.session("x").prompt(5)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="meta must be a dict, not 'str'"):
        handler.session("x", meta="str")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="session_id must be a string of 1 to 512 characters"):
        handler.session("x", session_id="")


def test_context_manager_reports_a_failure_and_lets_it_through(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """An exception inside is an error event, the session's status is failed, and the exception goes on."""
    with pytest.raises(ValueError, match="burnt"), handler.session("Cook"):
        raise ValueError("burnt")

    assert [e["event_type"] for e in log.entries] == ["session_start", "error", "session_end"]
    assert (log.entries[-1]["meta"]["status"], log.entries[-1]["meta"]["errors"]) == ("failed", 1)


def test_failure_of_a_later_block_is_beside_its_own_start_and_end(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Where nothing was asked in the block, the error is of no prompt of an earlier one."""
    with handler.session("Cook", session_id="s") as session, session.prompt("soup"):
        pass
    log.entries.clear()
    with pytest.raises(ValueError, match="burnt"), handler.session("Cook", session_id="s"):
        raise ValueError("burnt")

    assert log.sequence == [("session_start", 2, 0), ("error", 2, 0), ("session_end", 2, 0)]


def test_a_runs_own_error_is_not_reported_again_by_its_session(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """An exception of a run that leaves the session too is one error event."""
    with pytest.raises(ValueError, match="no gas"), handler.session("Cook"):
        chat(ValueError("no gas")).invoke("q", {"callbacks": [handler]})

    assert [e["event_type"] for e in log.entries].count("error") == 1
    assert log.entries[-1]["meta"]["status"] == "failed"


def test_error_of_any_of_several_runs_is_not_reported_again_by_its_session(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """An application that tries everything before it gives up raises the first of the errors that were logged."""
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
    """Where all fallbacks fail, LangChain raises the first error, and others were logged since."""
    model = chat(ValueError("down")).with_fallbacks([chat(ValueError("down, too"))])
    with pytest.raises(ValueError, match=r"^down$"), handler.session("Cook"):
        model.invoke("soup", {"callbacks": [handler]})

    assert [error["error_info"]["error_message"] for error in of_type(log, "error")] == ["down", "down, too"]
    assert log.entries[-1]["meta"]["status"] == "failed"


def test_cancelled_session(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A cancelled task ends its session as cancelled, without an error."""

    async def main() -> None:
        async with handler.session("Cook"):
            await asyncio.Event().wait()

    async def cancel() -> None:
        task = asyncio.create_task(main())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())

    assert [e["event_type"] for e in log.entries] == ["session_start", "session_end"]
    assert log.entries[-1]["meta"]["status"] == "cancelled"


@pytest.mark.parametrize(("code", "status", "response"), [
    (None, "completed", "soup"), (0, "completed", "soup"), (3, "failed", "Error: exit status 3"),
])  # fmt: skip
def test_program_that_exits_in_a_block(
    code: int | None, status: str, response: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Its exit status says whether that was a failure."""

    def program() -> None:
        with handler.session("Cook"):
            chat("soup").invoke("q", {"callbacks": [handler]})
            sys.exit(code)

    with pytest.raises(SystemExit):
        program()

    assert (log.entries[-1]["meta"]["status"], log.entries[-1]["output_data"]["response"]) == (status, response)


def test_prompt_that_is_entered_after_the_block_begins_the_session_again(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """With its own start, its own numbers and its runs in it."""
    with handler.session("Cook") as session:
        pass
    with session.prompt("Soup?"):
        chat("a").invoke("q", {"callbacks": [handler]})
    assert not session.course.busy
    handler.close()

    assert log.sequence == [
        ("session_start", 1, 0), ("session_end", 1, 0),
        ("session_start", 1, 0), ("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1),
        ("session_end", 1, 0),
    ]  # fmt: skip


@pytest.mark.parametrize(("closed", "ends"), [("first", 0), ("second", 1)])
def test_session_ends_with_the_handler_that_used_it_last(closed: str, ends: int, log: MemoryDelivery) -> None:
    """A notebook's cell that makes its handler anew leaves the old one behind, which nobody closes."""
    handlers = {name: CoagentCallbackHandler("s", delivery=log) for name in ("first", "second")}
    for handler in handlers.values():
        chat("a").invoke("q", {"callbacks": [handler]})
    handlers[closed].close()

    assert len(of_type(log, "session_end")) == ends


def test_exception_that_leaves_a_block_whose_session_has_ended_begins_it_again(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The error is in a session that has failed, not behind the end of one that was completed."""

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


def test_session_ends_with_the_last_of_its_blocks(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Requests of one conversation overlap, each with a block of its own: whichever is left first ends nothing."""
    first, second = handler.session("a", session_id="s"), handler.session("b", session_id="s")
    with contextlib.ExitStack() as blocks:
        for each in (first, second):
            blocks.enter_context(each)
        blocks.pop_all()
        second.__exit__(None, None, None)
        chat("a").invoke("q", {"callbacks": [handler], "metadata": {"session_id": "s"}})
        first.__exit__(None, None, None)

    assert [e["event_type"] for e in log.entries] == [*ONE_CALL, "session_end"]


def test_exception_that_leaves_blocks_inside_each_other_is_one_error(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A decorated function that calls itself: nothing stands behind the end, and the session has failed."""

    def step(depth: int) -> None:
        with handler.session("step", session_id="s") as session, session.prompt("go"):
            if depth == 0:
                raise ValueError("burnt")
            step(depth - 1)

    with pytest.raises(ValueError, match="burnt"):
        step(2)

    assert [e["event_type"] for e in log.entries] == ["session_start", *["user_input"] * 3, "error", "session_end"]
    assert (log.entries[-1]["meta"]["status"], log.entries[-1]["meta"]["errors"]) == ("failed", 1)


def test_prompt_that_is_entered_before_its_block_begins_the_session(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Or goes on with the one that is open under its id."""
    chat("a").invoke("q", {"callbacks": [handler], "metadata": {"session_id": "s"}})
    session = handler.session("Cook", session_id="s")
    with session.prompt("Soup?"), session:
        chat("a").invoke("q", {"callbacks": [handler]})

    assert [(e["event_type"], e["prompt_number"]) for e in log.entries if not e["event_type"].startswith("llm")] == [
        ("session_start", 1), ("user_input", 1), ("user_input", 2), ("user_input", 3), ("session_end", 3),
    ]  # fmt: skip


def test_what_is_logged_in_a_block_whose_session_has_ended_begins_it_again(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Nothing stands behind `session_end`; the new one ends with the block."""
    with handler.session("Cook", session_id="s"):
        handler.close()
        handler.log("info", "later")

    assert [e["event_type"] for e in log.entries] == [
        "session_start", "session_end", "session_start", "info", "session_end",
    ]  # fmt: skip


def test_first_sessions_that_begin_at_once_share_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread looks for all of them after what is idle, however long it takes to start it."""
    running, start = set(threading.enumerate()), threading.Thread.start

    def slow_start(thread: threading.Thread) -> None:
        if thread.name == "coagent-sessions":
            time.sleep(0.05)
        start(thread)

    monkeypatch.setattr(registry, "_thread", None)
    monkeypatch.setattr(threading.Thread, "start", slow_start)
    handlers = [CoagentCallbackHandler(delivery=MemoryDelivery()) for _ in range(4)]
    threads = [threading.Thread(target=handler.log, args=("info", "hello")) for handler in handlers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    begun = [thread.name for thread in threading.enumerate() if thread not in running]
    assert begun.count("coagent-sessions") == 1


@pytest.mark.parametrize("way", ["blocks", "late prompts", "handlers that are closed"])
def test_sessions_that_begin_and_end_in_many_threads_are_whole(way: str) -> None:
    """Each start has its end, no number is given twice, and the id can be used again."""
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

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    handler.close()

    starts, ends = len(of_type(log, "session_start")), len(of_type(log, "session_end"))
    numbers = [e["prompt_number"] for e in of_type(log, "user_input")]
    assert (starts == ends, sorted(numbers), len(handler._sessions)) == (True, list(range(1, 161)), 0)


class Watched(Session):
    """Notes the last prompt number of each course that it gets: from then on a run may take the next one."""

    last_prompts: list[int]

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "course":
            self.__dict__.setdefault("last_prompts", []).append(value.last_prompt)


@pytest.mark.parametrize("handlers", [1, 100], ids=["one handler", "a handler a request"])
def test_end_of_a_session_takes_no_longer_beside_many_open_runs(handlers: int, log: MemoryDelivery) -> None:
    """A service with thousands of requests at once ends sessions all the time: it does not go through all open runs."""
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

    assert lines_run(end_one) < alone + 100  # a clock that has moved on takes a line more


def lines_run(work: Callable[[], None]) -> int:
    """How many lines of the package `work` takes."""
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


def test_session_that_goes_on_knows_its_numbers_before_a_run_can_take_one(handler: CoagentCallbackHandler) -> None:
    """Another object has used up two numbers of its id meanwhile."""
    session = Watched(handler._sessions, handler._outlet, "s")
    for each in (session, handler.session("b", session_id="s"), handler.session("c", session_id="s")):
        with each, each.prompt("q"):
            pass
    session.last_prompts.clear()
    session.open()

    assert session.last_prompts == [3]


def test_run_that_begins_while_its_session_ends_begins_it_again(
    log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread ends the session after the run has found it, and before that takes part in it."""
    known = handler._sessions.get

    def found(*args: Any, **kwargs: Any) -> Session:
        session = known(*args, **kwargs)
        session.end()
        return session

    for _ in range(2):
        RunnableLambda(str).invoke("q", {"callbacks": [handler]})
        monkeypatch.setattr(handler._sessions, "get", found)
    handler.close()

    assert log.sequence == [
        ("session_start", 1, 0), ("user_input", 1, 0), ("session_end", 1, 0),
        ("session_start", 2, 0), ("user_input", 2, 0), ("session_end", 2, 0),
    ]  # fmt: skip


def test_run_that_begins_while_its_block_is_left_keeps_the_session_open(
    log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread's run takes part after the block was left, and before the session ends with it."""
    end, root, call = handler._sessions.end, UUID(int=1), UUID(int=2)

    def late(*args: Any) -> bool:
        monkeypatch.setattr(handler._sessions, "end", end)
        handler.on_chain_start({}, "q", run_id=root, metadata={"session_id": "s"})
        return end(*args)

    with handler.session("Cook", session_id="s"):
        monkeypatch.setattr(handler._sessions, "end", late)
    handler.on_chat_model_start({}, [[]], run_id=call, parent_run_id=root)
    handler.on_llm_end(None, run_id=call)
    handler.on_chain_end("a", run_id=root)

    assert log.sequence == [
        ("session_start", 1, 0), ("user_input", 1, 0),
        ("llm_call", 1, 1), ("llm_response", 1, 1), ("session_end", 1, 0),
    ]  # fmt: skip


def test_call_that_outlives_its_root_ends_with_its_handler(log: MemoryDelivery) -> None:
    """Though the session goes on: another handler has used it last."""
    first, last = (CoagentCallbackHandler("s", delivery=log) for _ in range(2))
    root, call = UUID(int=1), UUID(int=2)
    first.on_chain_start({}, "q", run_id=root)
    first.on_chat_model_start({}, [[]], run_id=call, parent_run_id=root)
    first.on_chain_error(ValueError("no"), run_id=root)
    RunnableLambda(str).invoke("q", {"callbacks": [last]})
    first.close()

    end = log.entries[-1]
    assert (end["event_type"], end["meta"]["outcome"], len(first._sessions)) == ("llm_response", "unknown", 1)


def test_chain_that_outlives_its_root_ends_with_its_session(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangChain may end a root before a chain in it: once the session is over, that tells nothing any more."""
    root, inner = uuid4(), uuid4()
    with handler.session():
        handler.on_chain_start({}, "q", run_id=root)
        handler.on_chain_start({}, "q", run_id=inner, parent_run_id=root)
        handler.on_chain_end("a", run_id=root)
    handler.on_chain_error(ValueError("late"), run_id=inner)

    assert [e["event_type"] for e in log.entries] == ["session_start", "user_input", "session_end"]


def test_block_does_not_end_with_a_handler_that_ran_in_it(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A handler that is made and closed for each request leaves the block around it open."""
    other = CoagentCallbackHandler(delivery=log)
    with handler.session("Cook"):
        chat("a").invoke("q", {"callbacks": [other]})
        other.close()
        assert of_type(log, "session_end") == []

    assert len(of_type(log, "session_end")) == 1


def test_decorated_function_is_a_session_a_call(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Each call has a session of its own; name, docstring and result stay the function's."""

    @handler.session("Cook")
    def cook(food: str) -> Any:
        """Cook."""
        return chat(f"{food} soup").invoke(food, {"callbacks": [handler]}).content

    assert [cook("leek"), cook("pea"), cook.__name__, cook.__doc__] == ["leek soup", "pea soup", "cook", "Cook."]
    assert list(sessions(log).values()) == [[*ONE_CALL, "session_end"]] * 2


def test_decorated_function_called_in_a_block_of_the_same_object_is_a_session_of_its_own(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Without an id of the user's it has a new one, with a start and with numbers from 1."""
    session = handler.session("Cook")

    @session
    def cook() -> None:
        chat("a").invoke("q", {"callbacks": [handler]})

    with session, session.prompt("Soup?"):
        cook()

    inner = [(e["event_type"], e["prompt_number"]) for e in log.entries if e["session_id"] != session.session_id]
    assert inner == [*[(event, 1) for event in ONE_CALL], ("session_end", 1)]


def test_decorated_callable_without_a_name_is_called(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A `partial` has none of its own: its session is called by its type."""
    assert handler.session()(functools.partial(max, 3))(2) == 3
    assert [entry.get("prompt") for entry in log.entries] == ["Running partial", None]


def test_decorated_object_with_a_coroutine_as_its_call_ends_after_that(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """It is no coroutine function itself, but what it gives is awaited all the same."""

    class Cook:
        async def __call__(self, food: str) -> Any:
            return await chat(f"{food} soup").ainvoke(food, {"callbacks": [handler]})

    answer = asyncio.run(handler.session("Cook")(Cook())("leek"))

    assert (answer.content, list(sessions(log).values())) == ("leek soup", [[*ONE_CALL, "session_end"]])


def test_decorated_coroutine_ends_after_its_body(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A coroutine's session holds what happens after its first await."""

    @handler.session("Cook")
    async def cook() -> Any:
        await asyncio.sleep(0)
        return (await chat("soup").ainvoke("q", {"callbacks": [handler]})).content

    assert asyncio.run(cook()) == "soup"
    assert list(sessions(log).values()) == [[*ONE_CALL, "session_end"]]


def test_decorated_generator_keeps_its_session_to_itself(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """What the consumer runs between two items is not in the generator's session; what the generator runs is."""

    @handler.session("Cook", session_id="generator")
    def cook() -> Iterator[int]:
        chat("a").invoke("q", {"callbacks": [handler]})
        sent = yield 1
        yield sent

    items = cook()
    first = next(items)
    chat("b").invoke("q", {"callbacks": [CoagentCallbackHandler("consumer", delivery=log)]})
    second = items.send(2)  # type: ignore[attr-defined]
    items.close()  # type: ignore[attr-defined]

    assert (first, second) == (1, 2)
    assert sessions(log) == {"generator": [*ONE_CALL, "session_end"], "consumer": ONE_CALL}


def test_decorated_async_generator(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """An async generator's session lasts until it is exhausted."""

    @handler.session("Cook")
    async def cook() -> AsyncIterator[Any]:
        for _ in range(2):
            yield (await chat("a").ainvoke("q", {"callbacks": [handler]})).content

    async def consume() -> list[Any]:
        return [item async for item in cook()]

    assert asyncio.run(consume()) == ["a", "a"]
    assert list(sessions(log).values()) == [[*ONE_CALL, *ONE_CALL[1:], "session_end"]]


@pytest.mark.parametrize("way", ["generator", "async generator"])
def test_decorated_generator_that_is_closed_cleans_up_in_its_session(
    way: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """What its body does at the close is done at once and in its session, which was cancelled."""
    session = handler.session("Cook", session_id="s")

    @session
    def cook() -> Iterator[int]:
        try:
            yield 1
        finally:
            chat("a").invoke("q", {"callbacks": [handler]})

    @session
    async def cook_later() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await chat("a").ainvoke("q", {"callbacks": [handler]})

    async def taste() -> None:
        items = cook_later()
        await anext(items)
        await items.aclose()  # type: ignore[attr-defined]

    if way == "generator":
        items = cook()
        next(items)
        items.close()  # type: ignore[attr-defined]
    else:
        asyncio.run(taste())

    assert sessions(log) == {"s": [*ONE_CALL, "session_end"]}
    assert log.entries[-1]["meta"]["status"] == "cancelled"


@pytest.mark.parametrize("way", ["generator", "async generator"])
def test_decorated_generator_is_given_what_is_thrown_into_it(way: str, handler: CoagentCallbackHandler) -> None:
    """As `contextlib` does it with what is raised in a block: the generator may handle it, and go on."""
    session = handler.session("Cook")

    @session
    def cook() -> Iterator[str]:
        try:
            yield "soup"
        except ValueError as error:
            yield f"{error} soup"

    @session
    async def cook_later() -> AsyncIterator[str]:
        try:
            yield "soup"
        except ValueError as error:
            yield f"{error} soup"

    async def taste() -> list[str]:
        items: Any = cook_later()
        return [await anext(items), await items.athrow(ValueError("burnt"))]

    items: Any = cook()
    tasted = [next(items), items.throw(ValueError("burnt"))] if way == "generator" else asyncio.run(taste())

    assert tasted == ["soup", "burnt soup"]


@pytest.mark.internal_errors
def test_logging_failure_never_stops_the_wrapped_function() -> None:
    """With a delivery that raises, the function runs all the same."""

    class Broken(MemoryDelivery):
        def append(self, lines: bytes, count: int = 1) -> None:
            raise OSError("broken")

    handler = CoagentCallbackHandler(delivery=Broken())

    @handler.session("Cook")
    def cook() -> str:
        return str(chat("soup").invoke("q", {"callbacks": [handler]}).content)

    assert cook() == "soup"


@pytest.mark.internal_errors
def test_what_cannot_be_logged_keeps_no_session_open() -> None:
    """A delivery that raises for a run, a call or a session costs that alone: all other sessions end with the handler,
    and `end()` raises nothing either."""

    class Picky(MemoryDelivery):
        def append(self, lines: bytes, count: int = 1) -> None:
            if b"burnt" in lines:
                raise OSError("cannot take that")
            super().append(lines, count)

    log = Picky()
    handler = CoagentCallbackHandler(delivery=log)
    block, run_id, call_id = handler.session(session_id="block"), uuid4(), uuid4()
    handler.on_chain_start({}, "burnt", run_id=uuid4())
    handler.on_chain_start({}, "q", run_id=run_id, metadata={"session_id": "call"})
    handler.on_chat_model_start({}, [[]], run_id=call_id, parent_run_id=run_id)
    handler.on_llm_new_token("burnt", run_id=call_id)
    for session_id, answer in (("end", "burnt"), ("whole", "soup")):
        config: Any = {"callbacks": [handler], "metadata": {"session_id": session_id}}
        RunnableLambda(lambda _, answer=answer: answer).invoke("q", config)
    with block:
        block.end(response="burnt")
    handler.close()
    own = log.entries[-1]["session_id"]

    assert [e["session_id"] for e in of_type(log, "session_end")] == ["call", "whole", own]


def test_session_end_tells_the_last_answer(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The answer is the last chain's, as text or as JSON; a tool that the application runs itself gives none."""

    @tool
    def weigh(food: str) -> str:
        """Weigh."""
        return f"{food}: 1 kg"

    with handler.session("Cook"):
        RunnableLambda(lambda _: {"dish": "soup", "minutes": 20}).invoke("q", {"callbacks": [handler]})
        weigh.invoke({"food": "leek"}, {"callbacks": [handler]})

    assert log.entries[-1]["output_data"] == {"response": '{"dish":"soup","minutes":20}'}
