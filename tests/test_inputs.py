"""What a prompt's first event says: any input as a text, logged before the work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableGenerator, RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore
from langgraph.types import Command
from pydantic import BaseModel

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import PROMPT, chat
from tests.reading import of_type


@pytest.mark.parametrize("given", [None, "", {"input": ""}])
def test_no_input_is_no_text(given: Any, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A run called with `None`, as when a graph resumes from a checkpoint, has an empty prompt, not `null`."""
    done = RunnableLambda(lambda _: "done").with_config(callbacks=[handler])
    done.invoke(given)
    list(done.stream(given))

    assert [e["prompt"] for e in of_type(log, "user_input")] == ["", ""]


def test_question_in_several_blocks_is_told_in_lines(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A picture between them is no part of the text."""
    picture = {"type": "image", "base64": "aGVsbG8=", "mime_type": "image/png"}
    blocks: Any = [{"type": "text", "text": "What is"}, picture, {"type": "text", "text": "in it?"}]
    RunnableLambda(str).invoke([HumanMessage(blocks)], {"callbacks": [handler]})

    assert [e["prompt"] for e in of_type(log, "user_input")] == ["What is\nin it?"]


@dataclass
class Request:
    """A service's request as an object."""

    question: str
    portions: int


class Order(BaseModel):
    """A request without text."""

    portions: int


class Article(BaseModel):
    """A request that looks like a message."""

    title: str
    content: str


@dataclass
class Message:
    """A service's own message, with LangChain's name of the role."""

    type: str
    content: str


@pytest.mark.parametrize(("inputs", "told"), [
    ({"question": "", "file": "a.pdf"}, '{"question":"","file":"a.pdf"}'),
    ({"messages": [], "by": "a"}, '{"messages":[],"by":"a"}'),
    ({"topic": "a", "draft": "", "sources": []}, "a"), ({"topic": "a", "final": False}, '{"topic":"a","final":false}'),
    ({"user_query": "a", "messages": [], "attempts": 0}, "a"), ({"message": "a", "tone": "kind"}, "a"),
    (Command(update={"messages": [("user", "a")]}), "a"),
    ({"messages": [("user", [{"type": "text", "text": "a"}, {"type": "image", "base64": "QUJD"}])]}, "a"),
    (Request("Soup?", 3), "Soup?"), (Order(portions=3), '{"portions":3}'),
    (Article(title="A", content="b"), '{"title":"A","content":"b"}'),
    ([Article(title="A", content="b")], '[{"title":"A","content":"b"}]'),
    (Message("human", "a"), "a"), ([Message("human", "a"), Message("ai", "b")], "a"),
    (5, "5"), ([{"id": 1}, {"id": 2}], '[{"id":1},{"id":2}]'), ({"rows": []}, '{"rows":[]}'), (["a", "b"], '["a","b"]'),
    (["a"], "a"), ({"places": ["a", "b"]}, '["a","b"]'), (["a", HumanMessage("b"), "c"], "c"),
    ({"messages": HumanMessage("a"), "user": "b"}, "a"), ({"messages": "a", "user": "b"}, "a"),
    (HumanMessage([{"type": "text", "text": "a"}, {"type": "image", "base64": "QUJD"}]), "a"),
    ({"messages": [{"type": "human", "content": "a"}]}, "a"), ([{"type": "human", "content": "a"}], "a"),
    ([{"type": "page", "content": "a"}], '[{"type":"page","content":"a"}]'),
    (StringPromptValue(text="a"), "a"), (ChatPromptValue(messages=[HumanMessage("a"), AIMessage("b")]), "a"),
])  # fmt: skip
def test_input_without_a_text_is_logged_before_the_work(
    inputs: Any, told: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A message is logged as its text when the first step begins; numbers, rows and lists of strings as JSON."""
    before: list[list[Any]] = []
    step = RunnableLambda(lambda _: before.append([e["prompt"] for e in of_type(log, "user_input")]))
    (RunnableLambda(lambda x: x) | step).invoke(inputs, {"callbacks": [handler]})

    assert before == [[told]]


@pytest.mark.parametrize(("length", "note"), [(4096, ""), (4097, "… [cut: all of it is in prompt]")])
def test_long_input_is_written_whole_once(
    length: int, note: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """`prompt` has all of a text; `input_data` repeats one of a usual length, of a longer one its beginning."""
    chat("because").invoke("w" * length, {"callbacks": [handler]})

    (asked,) = of_type(log, "user_input")
    assert (asked["prompt"], asked["input_data"]) == ("w" * length, {"prompt": "w" * 4096 + note})


@pytest.mark.parametrize("given", [{}, {"messages": []}, {"messages": [], "notes": {}, "page": None}])
def test_input_of_a_chain_that_takes_none_is_what_it_asks_the_model(
    given: dict[str, Any], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """An empty dict or state, as of a graph in which the assistant begins, says nothing, but the template does."""
    (ChatPromptTemplate.from_template("A soup, please") | chat("Leek")).invoke(given, {"callbacks": [handler]})

    assert [e["prompt"] for e in of_type(log, "user_input")] == ["A soup, please"]


@pytest.mark.parametrize("session_id", [None, "s"])
def test_input_of_a_stream_is_told_before_the_work(session_id: str | None, log: MemoryDelivery) -> None:
    """A stream's input is logged when its first step receives it, and is not the prompt built from it."""
    handler = CoagentCallbackHandler(session_id, delivery=log)
    shelf = InMemoryVectorStore.from_texts(["A book"], DeterministicFakeEmbedding(size=2)).as_retriever()
    found = {"context": itemgetter("dish") | shelf, "dish": itemgetter("dish"), "guests": itemgetter("guests")}
    template = ChatPromptTemplate.from_template("Cook {dish} for {guests}: {context}")
    chain = RunnableParallel(found) | template | chat("Hot soup")
    list(chain.stream({"dish": "soup", "guests": 2}, {"callbacks": [handler]}))

    told = [(e["event_type"], e.get("prompt")) for e in log.entries[1:4]]
    assert told == [("user_input", '{"dish":"soup","guests":2}'), ("tool_call", None), ("tool_response", None)]


def test_input_of_a_stream_without_steps_is_told_at_its_end(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A streamed function has no steps that would receive the input earlier."""
    list(RunnableLambda(str).stream("carrots", {"callbacks": [handler]}))

    assert [(e["event_type"], e["prompt"]) for e in log.entries[1:]] == [("user_input", "carrots")]


@pytest.mark.parametrize("steps", [1, 2])
def test_input_of_a_stream_is_told_before_its_error(
    steps: int, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The input is logged before the error, whether the stream itself or one of its steps raises."""

    def burn(chunks: Iterator[str]) -> Iterator[str]:
        raise ValueError(next(chunks))
        yield

    chain = RunnableGenerator(burn) if steps == 1 else RunnableGenerator(burn) | RunnablePassthrough()
    with pytest.raises(ValueError, match="carrots"):
        list(chain.stream("carrots", {"callbacks": [handler]}))

    told = [(e["event_type"], e.get("prompt")) for e in log.entries[1:]]
    assert told == [("user_input", "carrots"), ("error", None)]


def test_input_of_a_stream_is_not_what_its_first_tool_is_given(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The arguments of a tool that the program calls are not the user's text: the input is logged at the end."""

    @tool
    def weigh(food: str) -> str:
        """Weigh."""
        return f"{food}: 1 kg"

    chain = RunnablePassthrough.assign(weight=lambda _: weigh.invoke({"food": "leek"})) | RunnableLambda(str)
    list(chain.stream({"question": "How much?"}, {"callbacks": [handler]}))

    told = [(e["event_type"], e.get("prompt")) for e in log.entries]
    assert told == [("session_start", None), ("tool_call", None), ("tool_response", None), ("user_input", "How much?")]


def test_input_says_what_the_users_own_metadata_is(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The metadata and tags that a run was given are in its input event, too, and in that of its session's start."""
    config: Any = {"callbacks": [handler], "metadata": {"tenant": "acme"}, "tags": ["beta"]}
    (PROMPT | chat("Soup")).invoke({"food": "carrots"}, config)

    context = {"metadata": {"tenant": "acme"}, "tags": ["beta"]}
    assert [e["meta"].get("context") for e in log.entries if e["turn_number"] == 0] == [context, context]
