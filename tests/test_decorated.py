"""Functions, coroutines and generators that `handler.session(...)` decorates: each call is a session."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import chat
from tests.reading import ONE_CALL, sessions


def test_decorated_function_is_a_session_a_call(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Each call has its own session; the function's name, docstring and result are unchanged."""

    @handler.session("Cook")
    def cook(food: str) -> Any:
        """Cook."""
        return chat(f"{food} soup").invoke(food, {"callbacks": [handler]}).content

    assert [cook("leek"), cook("pea"), cook.__name__, cook.__doc__] == ["leek soup", "pea soup", "cook", "Cook."]
    assert list(sessions(log).values()) == [[*ONE_CALL, "session_end"]] * 2


def test_decorated_function_called_in_a_block_of_the_same_object_is_a_session_of_its_own(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Unless the user gave an id, it has a new one, a start, and numbers from 1."""
    session = handler.session("Cook")

    @session
    def cook() -> None:
        chat("a").invoke("q", {"callbacks": [handler]})

    with session, session.prompt("Soup?"):
        cook()

    inner = [(e["event_type"], e["prompt_number"]) for e in log.entries if e["session_id"] != session.session_id]
    assert inner == [*[(event, 1) for event in ONE_CALL], ("session_end", 1)]


def test_decorated_callable_without_a_name_is_called(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A `partial` has no name: its session is named after its type."""
    assert handler.session()(functools.partial(max, 3))(2) == 3
    assert [entry.get("prompt") for entry in log.entries] == ["Running partial", None]


@pytest.mark.parametrize("callable_object", [False, True])
def test_decorated_coroutine_ends_after_its_body(
    callable_object: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A coroutine's session includes what happens after its first await; an object's call may return one, too."""

    async def cook(food: str) -> Any:
        await asyncio.sleep(0)
        return (await chat(f"{food} soup").ainvoke(food, {"callbacks": [handler]})).content

    class Cook:
        async def __call__(self, food: str) -> Any:
            return await cook(food)

    served = handler.session("Cook")(Cook() if callable_object else cook)

    assert asyncio.run(served("leek")) == "leek soup"
    assert list(sessions(log).values()) == [[*ONE_CALL, "session_end"]]


def test_what_is_decorated_gets_all_its_arguments(handler: CoagentCallbackHandler) -> None:
    """By place and by name, whatever kind of function it is."""
    session = handler.session("Cook")

    @session
    def function(*args: Any, **named: Any) -> Any:
        return args, named

    @session
    async def coroutine(*args: Any, **named: Any) -> Any:
        return args, named

    @session
    def generator(*args: Any, **named: Any) -> Iterator[Any]:
        yield args, named

    @session
    async def async_generator(*args: Any, **named: Any) -> AsyncIterator[Any]:
        yield args, named

    async def awaited() -> list[Any]:
        return [await coroutine(1, a=2), *[each async for each in async_generator(1, a=2)]]

    assert [function(1, a=2), *generator(1, a=2), *asyncio.run(awaited())] == [((1,), {"a": 2})] * 4


def test_decorated_generator_keeps_its_session_to_itself(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """What the consumer runs between two items is not in the generator's session; the generator's own runs are."""

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


def test_decorated_generator_that_is_read_to_its_end_returns_what_it_would(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """`yield from` gives the generator's value, and the session is completed."""

    @handler.session("Cook")
    def cook() -> Generator[int, None, str]:
        yield from (1, 2)
        return "soup"

    def serve() -> Generator[int, None, list[str]]:
        return [(yield from cook())]

    served = serve()
    items = [next(served), next(served)]
    with pytest.raises(StopIteration) as end:
        next(served)

    assert (items, end.value.value, log.entries[-1]["meta"]["status"]) == ([1, 2], ["soup"], "completed")


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
    """Its cleanup runs at once and in its session, which is cancelled."""
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
def test_decorated_generator_is_given_what_is_thrown_into_it(
    way: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """As in a `contextlib` block, the generator may handle the exception and continue, or let it out, and fail."""
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

    tasted: list[str] = []

    def taste() -> None:
        items: Any = cook()
        tasted.extend([next(items), items.throw(ValueError("burnt"))])
        items.throw(ValueError("salty"))

    async def taste_later() -> None:
        items: Any = cook_later()
        tasted.extend([await anext(items), await items.athrow(ValueError("burnt"))])
        await items.athrow(ValueError("salty"))

    with pytest.raises(ValueError, match="salty"):
        taste() if way == "generator" else asyncio.run(taste_later())

    assert (tasted, log.entries[-1]["meta"]["status"]) == (["soup", "burnt soup"], "failed")


@pytest.mark.internal_errors
def test_logging_failure_never_stops_the_wrapped_function() -> None:
    """The function runs even if the delivery raises."""

    class Broken(MemoryDelivery):
        def append(self, lines: bytes, count: int = 1) -> None:
            raise OSError("broken")

    handler = CoagentCallbackHandler(delivery=Broken())

    @handler.session("Cook")
    def cook() -> str:
        return str(chat("soup").invoke("q", {"callbacks": [handler]}).content)

    assert cook() == "soup"
