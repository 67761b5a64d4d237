"""The answer that a session's end repeats: the text in whatever the last run returned."""

from __future__ import annotations

import contextlib
import json
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import calls, chat
from tests.reading import of_type


@pytest.mark.parametrize(
    ("value", "shown"),
    [(date(2026, 1, 2), "2026-01-02"), (Path("a/b"), "a/b"), (3, "3"), ({"x": 1, "y": 2}, '{"x":1,"y":2}')],
)
def test_input_and_answer_that_are_no_text_have_no_quotes(
    value: Any, shown: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """They become the session's title and its output, for people to read."""
    with handler.session():
        RunnableLambda(lambda same: same).invoke(value, {"callbacks": [handler]})

    assert [e["prompt"] for e in of_type(log, "user_input")] == [shown]
    assert [e["output_data"] for e in of_type(log, "session_end")] == [{"response": shown}]


@pytest.mark.parametrize("key", ["output", "answer", "result", "text", "response", "output_text"])
def test_answer_of_a_ready_made_chain_is_its_text(
    key: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The answer is found under each key that LangChain's chains use for it, whatever other keys are beside it."""
    with handler.session():
        RunnableLambda(lambda asked: {key: "soup", "steps": []}).invoke("q", {"callbacks": [handler]})

    assert [e["output_data"] for e in of_type(log, "session_end")] == [{"response": "soup"}]


@pytest.mark.parametrize(("state", "answer"), [
    ({"question": "q", "documents": ["leek"], "generation": "soup"}, "soup"),
    *(({"topic": "q", "answer": "a draft", key: "soup"}, "soup")
      for key in ("final_answer", "final_response", "final_output", "final_report", "final_summary")),
    ({"final_answer": "", "answer": "soup"}, "soup"),
    ({"messages": [("user", "q")], "answer": "soup"}, "soup"), ({"messages": [("ai", "soup")], "answer": "q"}, "soup"),
    ({"generation": None, "steps": 1}, '{"generation":null,"steps":1}'),
    ({"text": "q", "person": {"name": "Ada"}}, '{"text":"q","person":{"name":"Ada"}}'),
    ({"text": "q", "response": "soup"}, "soup"), ({"topic": "q", "text": "soup"}, "soup"),
    ({"report": "q", "summary": "soup"}, '{"report":"q","summary":"soup"}'),
])  # fmt: skip
def test_answer_of_a_graph_is_the_text_that_its_state_ends_with(
    state: dict[str, Any], answer: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A graph returns its whole state: the answer is not the question, the documents or a draft in it."""
    with handler.session():
        RunnableLambda(lambda asked: state).invoke("q", {"callbacks": [handler]})

    assert [e["output_data"] for e in of_type(log, "session_end")] == [{"response": answer}]


def test_answer_of_a_graph_without_a_state_is_its_last_message(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """An agent of LangGraph's functional API returns its whole conversation as a list."""

    @entrypoint()
    def agent(messages: list[Any]) -> list[Any]:
        return [*messages, chat("soup").invoke(messages)]

    with handler.session():
        agent.invoke([HumanMessage("What to cook?")], {"callbacks": [handler]})

    assert [e["output_data"] for e in of_type(log, "session_end")] == [{"response": "soup"}]


@pytest.mark.parametrize("content", ["soup", [{"type": "text", "text": "soup"}]])
@pytest.mark.parametrize("message", [
    lambda content: ("ai", content), lambda content: ("assistant", content),
    lambda content: {"role": "assistant", "content": content},
], ids=["ai", "assistant", "dict"])  # fmt: skip
def test_answer_that_is_no_message_object_is_its_text(
    message: Any, content: Any, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A pair, as in LangGraph's guides, or another SDK's JSON, which a state without LangGraph's reducer keeps."""
    with handler.session():
        answered = {"messages": [("user", "q"), message(content)]}
        RunnableLambda(lambda _: answered).invoke("q", {"callbacks": [handler]})

    assert [e["output_data"] for e in of_type(log, "session_end")] == [{"response": "soup"}]


def test_answers_to_several_inputs_are_all_the_answer(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A list of messages without a user's is no conversation."""
    with handler.session():
        chat("soup", "stew").map().invoke(["carrots", "leeks"], {"callbacks": [handler]})

    (end,) = of_type(log, "session_end")
    assert [each["content"] for each in json.loads(end["output_data"]["response"])] == ["soup", "stew"]


def test_session_end_repeats_the_beginning_of_a_long_answer(log: MemoryDelivery) -> None:
    """`session_end` has the first 10,000 characters; the whole answer is in the response."""
    handler = CoagentCallbackHandler("s", delivery=log)
    chat("x" * 20_000).invoke("q", {"callbacks": [handler]})
    handler.close()

    assert log.entries[-1]["output_data"] == {"response": "x" * 10_000}


def test_session_end_tells_the_last_answer(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The answer is the last chain's, as text or JSON; a tool that the application calls directly does not count."""

    @tool
    def weigh(food: str) -> str:
        """Weigh."""
        return f"{food}: 1 kg"

    with handler.session("Cook"):
        RunnableLambda(lambda _: {"dish": "soup", "minutes": 20}).invoke("q", {"callbacks": [handler]})
        weigh.invoke({"food": "leek"}, {"callbacks": [handler]})

    assert log.entries[-1]["output_data"] == {"response": '{"dish":"soup","minutes":20}'}


def test_failed_run_does_not_end_with_an_earlier_answer(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A session whose last run failed does not end with the answer of the run before."""
    model = chat("first answer", TimeoutError("no"))
    with handler.session("s", session_id="s"):
        model.invoke("one", {"callbacks": [handler]})
        with contextlib.suppress(TimeoutError):
            model.invoke("two", {"callbacks": [handler]})

    assert (log.entries[-1]["output_data"], log.entries[-1]["meta"]["status"]) == ({"response": "failed"}, "failed")


class Told(MessagesState):
    """A conversation, and the answer to its last question."""

    answer: str


def pay(amount: int, *, previous: Any = None) -> dict[str, int]:
    """Ask a person before it pays again."""
    if previous is not None:
        interrupt("Sure?")
    return {"paid": amount}


@pytest.mark.parametrize(("app", "requests"), [
    (StateGraph(MessagesState).add_node("ask", lambda _: interrupt("Sure?")).add_edge(START, "ask")
     .compile(checkpointer=InMemorySaver()), [{"messages": [("user", "Pay")]}]),
    (entrypoint(checkpointer=InMemorySaver())(pay), [1, 2]),
    (StateGraph(Told).add_node("pay", lambda state: {"answer": str(pay(1, previous=state.get("answer")))})
     .add_edge(START, "pay").compile(checkpointer=InMemorySaver()), [{"messages": [("user", "Pay")]}] * 2),
], ids=["the user's words", "an earlier answer", "an earlier answer in the state"])  # fmt: skip
def test_what_a_waiting_graph_returns_is_no_answer(
    app: Any, requests: list[Any], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """It is the user's message, the previous result (by LangGraph's functional API), or the state, which has that."""
    with handler.session("s"):
        for request in requests:
            app.invoke(request, {"callbacks": [handler], "configurable": {"thread_id": "t"}})

    assert log.entries[-1]["output_data"] == {"response": "interrupted"}


class Recipe(BaseModel):
    """A recipe."""

    name: str


@pytest.mark.parametrize("streamed", [False, True])
def test_session_end_tells_the_structured_answer(
    streamed: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """`ToolStrategy` appends a message that says "Returning structured response", or what the application chose."""
    strategy = ToolStrategy(Recipe, tool_message_content="done")
    cook = create_agent(chat(calls(("Recipe", {"name": "soup"}, "c1"))), response_format=strategy)
    asked: Any = {"messages": [("user", "cook")]}
    config: Any = {"callbacks": [handler]}
    list(cook.stream(asked, config)) if streamed else cook.invoke(asked, config)
    handler.close()

    assert log.entries[-1]["output_data"] == {"response": '{"name":"soup"}'}


class Article(BaseModel):
    """An article."""

    title: str
    content: str


@pytest.mark.parametrize(("given", "logged"), [
    (Article(title="Soup", content="Leek."), '{"title":"Soup","content":"Leek."}'),
    ([Article(title="Soup", content="Leek.")], '[{"title":"Soup","content":"Leek."}]'),
    (AIMessage("Leek."), "Leek."), (SimpleNamespace(type="ai", content="Leek."), "Leek."),
])  # fmt: skip
def test_object_with_a_content_is_logged_whole(
    given: Any, logged: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Taken for a message, a structured answer lost its other fields."""
    RunnableLambda(lambda _: given).invoke("q", {"callbacks": [handler]})
    handler.close()

    assert log.entries[-1]["output_data"] == {"response": logged}
