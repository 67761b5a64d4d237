"""Session and prompt blocks: entered again, nested, overlapping, and outlived by what began in them."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import chat
from tests.reading import ONE_CALL, of_type, sessions, types


def test_blocks_say_what_they_were_given(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Sessions and prompts log their meta, as decorators too."""
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


def test_handler_that_is_closed_leaves_anothers_block_open(log: MemoryDelivery) -> None:
    """Closing a handler ends only its own blocks, even in a session that it has begun."""
    first, second = CoagentCallbackHandler("s", delivery=log), CoagentCallbackHandler("s", delivery=log)
    chat("a").invoke("q", {"callbacks": [first]})
    with second.session("Cook"):
        chat("a").invoke("q", {"callbacks": [first]})
        first.close()
        chat("a").invoke("q", {"callbacks": [second]})

    assert types(log) == [*ONE_CALL, *ONE_CALL[1:], *ONE_CALL[1:], "session_end"]


def test_block_around_another_handlers_block_stays_open_when_that_handler_is_closed(log: MemoryDelivery) -> None:
    """A service whose outer layer and inner layer each log the conversation: it ends with the outer block."""
    outer, inner = CoagentCallbackHandler("s", delivery=log), CoagentCallbackHandler("s", delivery=log)
    with outer.session("Cook"):
        with inner.session("Fry"):
            chat("a").invoke("q", {"callbacks": [inner]})
        inner.close()
        chat("a").invoke("q", {"callbacks": [outer]})

    assert types(log) == [*ONE_CALL, *ONE_CALL[1:], "session_end"]


def test_blocks_of_one_session_at_the_same_time_share_its_numbers(log: MemoryDelivery) -> None:
    """Two requests of one conversation overlap: no number is used twice, and the session ends once."""
    handler = CoagentCallbackHandler(delivery=log)
    first, second = handler.session("a", session_id="conv"), handler.session("b", session_id="conv")
    with first:
        with first.prompt("A1"):
            pass
        with second:
            for session, text in ((second, "B1"), (first, "A2"), (second, "B2")):
                with session.prompt(text):
                    pass

    asked = [(e["prompt_number"], e["prompt"]) for e in of_type(log, "user_input")]
    assert asked == [(1, "A1"), (2, "B1"), (3, "A2"), (4, "B2")]
    assert types(log).count("session_end") == 1


def test_block_goes_on_with_an_open_session_of_its_id(log: MemoryDelivery) -> None:
    """A block whose session was begun by runs starts no second one, and ends it with the totals of both."""
    handler = CoagentCallbackHandler("s", delivery=log)
    chat("a").invoke("q", {"callbacks": [handler]})
    with handler.session("Cook", session_id="s"):
        chat("a").invoke("q", {"callbacks": [handler]})
    handler.close()

    assert types(log) == [*ONE_CALL, *ONE_CALL[1:], "session_end"]
    assert (log.entries[-1]["meta"]["prompts"], log.entries[-1]["meta"]["total_tokens"]) == (2, 28)


def test_session_object_that_is_entered_again_goes_on(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Each block is a complete session, with the next prompt number and totals of its own."""
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
    """Start a run that calls a model once the returned event is set."""
    left, begun = asyncio.Event(), asyncio.Event()

    async def late(question: str) -> str:
        begun.set()
        await left.wait()
        return str((await chat("late").ainvoke(question)).content)

    task = asyncio.create_task(RunnableLambda(late).ainvoke("late", {"callbacks": [handler]}))
    await begun.wait()
    return left, task


def test_prompt_has_its_number_when_it_is_entered(handler: CoagentCallbackHandler) -> None:
    """Before, it is 0: prompts are numbered in the order in which they are entered."""
    with handler.session("Cook") as session:
        first, second = session.prompt("Soup?"), session.prompt("Cake?")
        before = first.number, second.number
        with second, first:
            assert (before, second.number, first.number) == ((0, 0), 1, 2)


def test_prompt_object_that_is_entered_again_is_the_next_prompt(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """It has its own `user_input`, and turns from 1."""
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
    """A run belongs to the innermost open block; a block that was left is never current again."""
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
    """The generator's session ends; the block in which it is closed keeps its runs."""

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
    """A fixture may be set up in one task and torn down in another; the block around its end stays open."""
    session = handler.session("Cook", session_id="s")
    contextvars.Context().run(session.__enter__)
    with handler.session("block", session_id="block"):
        session.__exit__(None, None, None)
        chat("a").invoke("q", {"callbacks": [handler]})

    assert sessions(log) == {"s": ["session_start", "session_end"], "block": [*ONE_CALL, "session_end"]}


def test_block_that_is_left_in_one_context_stays_open_in_another(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Two tasks are in blocks of the same object: what the second one runs after a prompt is in the session still."""
    session, second = handler.session("Cook", session_id="s"), contextvars.Context()

    def go_on() -> None:
        with session.prompt("Soup?"):
            pass
        chat("a").invoke("q", {"callbacks": [handler]})
        session.__exit__(None, None, None)

    with session:
        second.run(session.__enter__)
    second.run(go_on)

    assert sessions(log) == {"s": ["session_start", "user_input", *ONE_CALL[1:], "session_end"]}


@pytest.mark.parametrize("again", [False, True], ids=["one block", "another block"])
def test_session_ends_with_the_task_that_outlives_its_block(
    again: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """All that the task does after the block was left is logged in its prompt, even if the block is entered again."""

    async def main() -> None:
        session = handler.session("Cook", session_id="s")
        async with session:
            left, task = await begun_here(handler)
        async with session if again else contextlib.nullcontext():
            left.set()
            await task

    asyncio.run(main())

    assert log.sequence == [(event, 1, int(event.startswith("llm"))) for event in [*ONE_CALL, "session_end"]]
    assert (log.entries[-1]["meta"]["status"], log.entries[-1]["output_data"]) == ("completed", {"response": "late"})


@pytest.mark.parametrize(("read", "answer"), [(True, "one two three"), (False, "one ")])
def test_session_ends_with_the_stream_that_outlives_its_block(
    log: MemoryDelivery, handler: CoagentCallbackHandler, read: bool, answer: str
) -> None:
    """A web framework may send a stream after its function has returned, or the reader may abandon it."""
    chain = RunnableLambda(str) | chat("one two three")
    with handler.session("Cook", session_id="s"):
        stream = chain.stream("q", {"callbacks": [handler]})
        next(stream)
    before = len(log.entries)
    if read:
        list(stream)
    stream.close()  # type: ignore[attr-defined]

    assert types(log) == [*ONE_CALL, "session_end"]
    assert (before, log.entries[3]["llm_response"]["response"]) == (3, answer)


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_session_waits_for_the_end_of_a_model_whose_stream_was_read(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """`astream_events(version="v3")` of a bare model reports its end after the reader has left the block."""
    model = chat("one two three")
    if not hasattr(model, "stream_events"):
        pytest.skip("this langchain-core has no astream_events(version='v3')")

    async def main() -> None:
        with handler.session("Cook"):
            async for _ in await model.astream_events("q", {"callbacks": [handler]}, version="v3"):
                pass

    asyncio.run(main())

    assert types(log) == [*ONE_CALL, "session_end"]
    response, end = log.entries[-2:]
    assert (response["llm_response"]["total_tokens"], response["meta"].get("outcome")) == (14, None)
    assert (end["meta"]["status"], end["meta"]["total_tokens"]) == ("completed", 14)


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_session_waits_for_no_second_end_of_a_chain_in_which_a_stream_was_read(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The chain's end is the only one: a session that waited for the model's as well would never end."""
    model = chat("one two three")
    if not hasattr(model, "stream_events"):
        pytest.skip("this langchain-core has no astream_events(version='v3')")

    async def cook(food: str) -> None:
        async for _ in await model.astream_events(food, version="v3"):
            pass
        await asyncio.sleep(0)  # the model's end comes in a task

    with handler.session("Cook"):
        asyncio.run(RunnableLambda(cook).ainvoke("leek", {"callbacks": [handler]}))

    assert types(log) == [*ONE_CALL, "session_end"]


def test_handler_of_another_server_in_a_block_has_a_session_of_its_own(log: MemoryDelivery) -> None:
    """Both servers get the whole session under one id, each with its own numbering from turn 1."""
    elsewhere = MemoryDelivery()
    here, there = CoagentCallbackHandler(delivery=log), CoagentCallbackHandler(delivery=elsewhere)
    with here.session("Cook", session_id="s") as session:
        for question in ("Soup?", "Salad?"):
            with session.prompt(question):
                chat("a").invoke("q", {"callbacks": [here, there]})
                chat("a").invoke("q", {"callbacks": [here, there]})
        chat("a").invoke("q", {"callbacks": [here, there]})
    there.close()

    for each in (log, elsewhere):
        calls = [(e["session_id"], e["prompt_number"], e["turn_number"]) for e in each.entries
                 if e["event_type"] == "llm_call"]  # fmt: skip
        kinds = [e["event_type"] for e in each.entries]
        assert calls == [("s", 1, 1), ("s", 1, 2), ("s", 2, 1), ("s", 2, 2), ("s", 3, 1)]
        assert (kinds[0], kinds.count("user_input"), kinds[-1]) == ("session_start", 3, "session_end")
        assert each.entries[-1]["meta"]["llm_calls"] == 5


def test_remark_of_a_handler_of_another_server_is_in_a_session_of_its_own(log: MemoryDelivery) -> None:
    """The block around it is a session of the first server."""
    elsewhere = MemoryDelivery()
    here, there = CoagentCallbackHandler(delivery=log), CoagentCallbackHandler("there", delivery=elsewhere)
    with here.session("Cook", session_id="s"):
        there.log("info", "hello")
    there.close()

    assert sessions(log) == {"s": ["session_start", "session_end"]}
    assert sessions(elsewhere) == {"there": ["session_start", "info", "session_end"]}


def test_prompt_that_is_joined_by_its_number_in_a_block(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A block that continues an open session continues its prompts, too."""
    config: Any = {"callbacks": [handler], "metadata": {"session_id": "s", "prompt_number": 1}}
    chat("a").invoke("q", config)
    with handler.session("x", session_id="s"):
        chat("b").invoke("q", config)

    numbers = [(e["event_type"], e["prompt_number"], e["turn_number"]) for e in log.entries]
    assert numbers == [
        ("session_start", 1, 0), ("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1),
        ("llm_call", 1, 2), ("llm_response", 1, 2), ("session_end", 1, 0),
    ]  # fmt: skip


def test_prompt_that_is_entered_after_the_block_begins_the_session_again(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The session has a new start, its own numbers, and the prompt's runs."""
    with handler.session("Cook") as session:
        pass
    with session.prompt("Soup?"):
        chat("a").invoke("q", {"callbacks": [handler]})
    assert not session.state.busy
    handler.close()

    assert log.sequence == [
        ("session_start", 1, 0), ("session_end", 1, 0),
        ("session_start", 1, 0), ("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1),
        ("session_end", 1, 0),
    ]  # fmt: skip


def test_session_ends_with_the_last_of_its_blocks(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Requests of one conversation overlap, each in its own block: leaving the first one ends nothing."""
    first, second = handler.session("a", session_id="s"), handler.session("b", session_id="s")
    with contextlib.ExitStack() as blocks:
        for each in (first, second):
            blocks.enter_context(each)
        blocks.pop_all()
        second.__exit__(None, None, None)
        chat("a").invoke("q", {"callbacks": [handler], "metadata": {"session_id": "s"}})
        first.__exit__(None, None, None)

    assert types(log) == [*ONE_CALL, "session_end"]


def test_prompt_that_is_entered_before_its_block_begins_the_session(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """If a session is open under its id, the prompt continues that one."""
    chat("a").invoke("q", {"callbacks": [handler], "metadata": {"session_id": "s"}})
    session = handler.session("Cook", session_id="s")
    with session.prompt("Soup?"), session:
        chat("a").invoke("q", {"callbacks": [handler]})

    assert [(e["event_type"], e["prompt_number"]) for e in log.entries if not e["event_type"].startswith("llm")] == [
        ("session_start", 1), ("user_input", 1), ("user_input", 2), ("user_input", 3), ("session_end", 3),
    ]  # fmt: skip


@pytest.mark.parametrize("inside", ["session", "prompt"])
def test_what_is_logged_in_a_block_whose_session_has_ended_begins_it_again(
    inside: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Nothing follows `session_end`; the new session ends with the block."""
    session = handler.session("Cook", session_id="s")
    with session, session.prompt("Soup?") if inside == "prompt" else contextlib.nullcontext():
        handler.close()
        handler.log("info", "later")

    asked = ["user_input"] if inside == "prompt" else []
    assert types(log) == [
        "session_start", *asked, "session_end", "session_start", "info", "session_end",
    ]  # fmt: skip


def test_block_does_not_end_with_a_handler_that_ran_in_it(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A handler that is created and closed for each request leaves the block around it open."""
    other = CoagentCallbackHandler(delivery=log)
    with handler.session("Cook"):
        chat("a").invoke("q", {"callbacks": [other]})
        other.close()
        assert of_type(log, "session_end") == []

    assert len(of_type(log, "session_end")) == 1
