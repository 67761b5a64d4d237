"""Lazy values of Django, Flask and the like: whatever asks one for its class or anything else evaluates it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langchain_core.callbacks import dispatch_custom_event
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langgraph.graph import StateGraph

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.reading import types

SHOWN = "<tests.test_lazy_values.Lazy>"


class Lazy:
    """A value that exists only within a request: outside of one, every question raises."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("no request")


class Found(BaseRetriever):
    """A retriever that returns a lazy value in place of a list."""

    def _get_relevant_documents(self, query: str, **_: Any) -> Any:
        return Lazy()


def given(value: Any) -> Callable[[dict[str, Any]], Any]:
    """A call of a chain with this input."""
    return lambda config: RunnableLambda(lambda x: "soup").invoke(value, config)


def returned(value: Any) -> Callable[[dict[str, Any]], Any]:
    """A call of a chain with this output."""
    return lambda config: RunnableLambda(lambda x: value).invoke("q", config)


def named(value: Any) -> Callable[[dict[str, Any]], Any]:
    """A call of a chain in the session and the thread with this id."""
    ids = {"session_id": value, "thread_id": value}
    return lambda config: RunnableLambda(lambda x: "soup").invoke("q", {**config, "metadata": ids})


@pytest.mark.parametrize(("call", "said", "response"), [
    (given({"input": Lazy()}), '{"input":"' + SHOWN + '"}', "soup"),
    (given({Lazy(): 1}), '{"' + SHOWN + '":1}', "soup"),
    (given([Lazy()]), f'["{SHOWN}"]', "soup"),
    (given({"messages": [Lazy()]}), '{"messages":["' + SHOWN + '"]}', "soup"),
    (given({"messages": Lazy()}), '{"messages":"' + SHOWN + '"}', "soup"),
    (returned({"output": Lazy()}), "q", '{"output":"' + SHOWN + '"}'),
    (returned({"messages": [Lazy()]}), "q", SHOWN),
    (named(Lazy()), "q", "soup"),
], ids=["value", "key", "item", "message", "messages", "answer", "last message", "session id"])  # fmt: skip
def test_lazy_value_in_a_chain_is_not_evaluated(
    log: MemoryDelivery, handler: CoagentCallbackHandler, call: Callable[[Any], Any], said: str, response: str
) -> None:
    """Its type says all that the log needs; evaluating it may ask a database, or be impossible here."""
    call({"callbacks": [handler]})
    handler.close()

    assert types(log) == ["session_start", "user_input", "session_end"]
    assert (log.entries[1]["prompt"], log.entries[2]["output_data"]["response"]) == (said, response)


def test_lazy_value_in_the_state_of_a_graph_is_not_evaluated(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Not even in place of messages, which are looked for there."""

    class State(TypedDict):
        messages: Any

    graph = StateGraph(State).add_node("cook", lambda state: {"messages": Lazy()}).set_entry_point("cook").compile()
    graph.invoke({"messages": Lazy()}, {"callbacks": [handler]})
    handler.close()

    assert types(log) == ["session_start", "user_input", "component_enter", "component_exit", "session_end"]


def test_lazy_value_in_an_event_or_a_result_is_not_evaluated(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A custom event's data, and what a retriever returns."""

    def step(x: str) -> None:
        dispatch_custom_event("found", Lazy())
        Found().invoke(x)

    RunnableLambda(step).invoke("q", {"callbacks": [handler]})

    assert types(log) == ["session_start", "user_input", "info", "tool_call", "tool_response"]
    assert log.entries[2]["meta"]["value"] == SHOWN
    assert log.entries[4]["tool_response"]["result"] == {"output": SHOWN}
