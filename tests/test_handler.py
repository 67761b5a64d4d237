"""The handler on real chains: which events are logged, in which order, with which numbers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from operator import itemgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.callbacks import dispatch_custom_event
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import (
    RunnableBranch,
    RunnableConfig,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from pydantic import BaseModel

from coagent_langchain import CoagentCallbackHandler, CoagentLogHandler, ConfigurationError
from coagent_langchain.capture import run_tree
from coagent_langchain.delivery import Stats
from coagent_langchain.events import LogEntry
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import USAGE, ScriptedChat, ScriptedText, calls, chat
from tests.reading import EMPTY, of_type, sessions, state_of, types
from tests.tools import add

PROMPT = ChatPromptTemplate.from_messages([("system", "You are a chef."), ("human", "Cook {food}")])
ONE_CALL = [("session_start", 1, 0), ("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1)]


@pytest.mark.parametrize("run", [RunnablePassthrough() | chat("Soup"), chat("Soup")], ids=["chain", "model"])
def test_config_with_a_run_id_may_be_used_again(run: Any, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Each run is logged, with an id of its own, so that calls and responses can be told apart."""
    config: Any = {"callbacks": [handler, handler], "run_id": uuid4()}
    for _ in range(2):
        run.invoke("carrots", config)

    again = [("user_input", 2, 0), ("llm_call", 2, 1), ("llm_response", 2, 1)]
    roots = list(dict.fromkeys(entry["meta"]["trace"]["root_run_id"] for entry in log.entries))
    assert (log.sequence, roots[0], len(roots)) == ([*ONE_CALL, *again], str(config["run_id"]), 2)
    assert state_of(handler) == EMPTY


@pytest.mark.parametrize("run_id", [str(uuid4()), "request-17"], ids=["a UUID", "no UUID"])
def test_run_whose_id_the_application_gives_as_a_text(
    run_id: Any, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangChain passes a string run id through as it is: the chain and its children are logged under that id."""
    (PROMPT | chat("Soup")).invoke({"food": "carrots"}, {"callbacks": [handler], "run_id": run_id})

    assert log.sequence == ONE_CALL
    assert {entry["meta"]["trace"]["root_run_id"] for entry in of_type(log, "llm_call")} == {run_id}
    assert state_of(handler) == EMPTY


def test_stream_whose_id_the_application_gives_as_a_text(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The time to the first token is measured, and the text so far is kept when the stream is abandoned."""
    run_id: Any = str(uuid4())
    stream = chat("one two").stream("q", {"callbacks": [handler], "run_id": run_id})
    next(stream)
    stream.close()  # type: ignore[attr-defined]

    (response,) = of_type(log, "llm_response")
    assert response["llm_response"]["response"] == "one "
    assert "time_to_first_token_ms" in response["meta"]


def test_sampling_decides_for_ids_that_are_texts(log: MemoryDelivery) -> None:
    """The decision depends on the text, so every process makes the same one; runs sampled out leave no state behind."""
    handler = CoagentCallbackHandler(delivery=log, sample_rate=0.5)
    for number in range(6):
        run_id: Any = f"request-{number}"
        (PROMPT | chat("Soup")).invoke({"food": run_id}, {"callbacks": [handler], "run_id": run_id})

    assert [entry["prompt"] for entry in of_type(log, "user_input")] == [
        "request-1",
        "request-3",
        "request-4",
        "request-5",
    ]
    assert state_of(handler) == EMPTY


def test_entries_are_valid_on_the_wire(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Every entry that the handler writes is a `LogEntry`, with an id of its own."""
    (PROMPT | chat("Soup")).invoke({"food": "carrots"}, {"callbacks": [handler]})
    handler.close()

    assert len({LogEntry.model_validate(entry).event_id for entry in log.entries}) == 5


def test_call_says_what_the_model_was_asked(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The call carries the last user text, the system prompt, the issuer and the model."""
    (PROMPT | chat("Soup")).with_config(run_name="cook").invoke({"food": "carrots"}, {"callbacks": [handler]})

    (call,) = of_type(log, "llm_call")
    assert call["prompt"] == "Cook carrots"
    assert call["llm_call"] == {"issuer": "cook", "system_prompt": "You are a chef."}
    assert (call["meta"]["model"], call["meta"]["provider"], call["meta"]["temperature"]) == ("scripted-1", "fake", 0.5)


def test_response_says_what_its_model_answered(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The response names the model that answered, and says why it ended; a model without a price has no cost."""
    answer = AIMessage("Soup", usage_metadata=USAGE, response_metadata={"finish_reason": "stop", "model_name": "s-1.5"})

    chat(answer).invoke("q", {"callbacks": [handler]})

    (response,) = of_type(log, "llm_response")
    trace, time_taken = response["meta"].pop("trace"), response["llm_response"].pop("execution_time_ms")
    assert (trace["name"], time_taken >= 0) == ("ScriptedChat", True)
    assert response["meta"] == {"model": "s-1.5", "provider": "fake", "finish_reason": "stop"}
    assert response["llm_response"] == {"response": "Soup", "input_tokens": 10, "output_tokens": 4, "total_tokens": 14}
    assert response["performance_metrics"] == {"tokens_used": 14}


def test_further_answers_stand_beside_the_first(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """If a model returns several candidates at once (`n=2`), its response has all of them."""

    class Undecided(ScriptedChat):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kw: Any) -> ChatResult:
            return ChatResult(generations=[ChatGeneration(message=AIMessage(text)) for text in ("Soup", "Stew", "Pie")])

    Undecided(script=[]).invoke("q", {"callbacks": [handler]})

    (response,) = of_type(log, "llm_response")
    assert response["llm_response"]["response"] == "Soup"
    assert response["meta"]["alternatives"] == [{"text": "Stew"}, {"text": "Pie"}]


def test_input_says_what_the_users_own_metadata_is(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The metadata and tags that a run was given are in its input event, too, and in that of its session's start."""
    config: Any = {"callbacks": [handler], "metadata": {"tenant": "acme"}, "tags": ["beta"]}
    (PROMPT | chat("Soup")).invoke({"food": "carrots"}, config)

    context = {"metadata": {"tenant": "acme"}, "tags": ["beta"]}
    assert [e["meta"].get("context") for e in log.entries if e["turn_number"] == 0] == [context, context]


def test_call_of_an_agent_with_a_name_says_where_in_it_it_is(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Node, step and agent are in `framework`; the issuer is the agent's node."""
    agent = create_agent(chat("done"), [], name="chef")
    agent.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    (call,) = of_type(log, "llm_call")
    framework = call["meta"]["framework"]
    assert framework.pop("checkpoint_ns").startswith("model:")
    assert framework == {"name": "langgraph", "node": "model", "step": 1, "agent": "chef"}
    assert call["llm_call"]["issuer"] == "chef.model"


def graph_of_a_chain(name: str | None) -> Any:
    """A graph whose node is a chain that ends with a model."""
    builder = StateGraph(MessagesState).add_edge(START, "model")
    builder.add_node(
        "model", RunnableLambda(lambda state: "what?") | chat("soup") | (lambda answer: {"messages": answer})
    )
    return builder.compile(name=name)


@pytest.mark.parametrize(
    ("cook", "issuer"),
    [
        (create_agent(chat("soup"), name="cook"), "cook.model"),
        (graph_of_a_chain("cook"), "cook.model"),
        (graph_of_a_chain(None), "chef.model"),
    ],
)
def test_issuer_is_the_agent_that_was_called_with_the_config_of_another(
    cook: Any, issuer: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Tools often pass their config on, which brings the other agent's name along; the graph's own name is nearer."""

    @tool
    def ask_cook(question: str, config: RunnableConfig) -> str:
        """Ask the cook."""
        return str(cook.invoke({"messages": [("user", question)]}, config)["messages"][-1].content)

    agent = create_agent(chat(calls(("ask_cook", {"question": "what?"}, "c1")), "soup"), [ask_cook], name="chef")
    agent.invoke({"messages": [("user", "go")]}, {"callbacks": [handler], "run_name": "request"})

    assert [e["llm_call"]["issuer"] for e in of_type(log, "llm_call")] == ["chef.model", issuer, "chef.model"]


def test_issuers_in_graphs_with_the_same_nodes_differ(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A supervisor's agents without names of their own, such as prebuilt ones: the issuer is the subgraph's node."""
    graph = StateGraph(MessagesState).add_edge(START, "maths").add_edge("maths", "poet")
    for name in ("maths", "poet"):
        graph.add_node(name, create_agent(chat("done"), []))
    graph.compile().invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    told = [(e["llm_call"]["issuer"], e["meta"]["framework"]["path"]) for e in of_type(log, "llm_call")]
    assert told == [("maths.model", ["maths", "model"]), ("poet.model", ["poet", "model"])]


@pytest.mark.parametrize(
    ("serialized", "name"),
    [({"name": "grill", "id": ["kitchen", "Grill"]}, "grill"), ({"id": ["kitchen", "Grill"]}, "Grill"), ({}, "tool")],
)
def test_run_without_a_name_has_that_of_its_class(
    serialized: Any, name: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Or else that of its kind."""
    handler.on_tool_start(serialized, "leek", run_id=uuid4())

    assert [e["tool_call"]["tool_name"] for e in of_type(log, "tool_call")] == [name]


def test_question_in_several_blocks_is_told_in_lines(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A picture between them is no part of the text."""
    picture = {"type": "image", "base64": "aGVsbG8=", "mime_type": "image/png"}
    blocks: Any = [{"type": "text", "text": "What is"}, picture, {"type": "text", "text": "in it?"}]
    RunnableLambda(str).invoke([HumanMessage(blocks)], {"callbacks": [handler]})

    assert [e["prompt"] for e in of_type(log, "user_input")] == ["What is\nin it?"]


@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_issuer_inside_a_history_has_a_name_of_the_users(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The issuer is the history, not the chain that LangChain creates inside it."""
    model = RunnableLambda(lambda messages: messages) | chat("soup")
    memory = RunnableWithMessageHistory(model, lambda _: InMemoryChatMessageHistory())
    memory.invoke("q", {"callbacks": [handler], "configurable": {"session_id": "s"}})

    assert [e["llm_call"]["issuer"] for e in of_type(log, "llm_call")] == ["RunnableWithMessageHistory"]


def test_model_that_is_called_again_is_not_its_own_issuer(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """`with_retry` wraps a model in a chain with the model's name: the issuer is the chain around that."""
    model = chat(ConnectionError("down"), "Soup").with_retry(wait_exponential_jitter=False)
    (PROMPT | model).with_config(run_name="cook").invoke({"food": "carrots"}, {"callbacks": [handler]})

    assert [e["llm_call"]["issuer"] for e in of_type(log, "llm_call")] == ["cook", "cook"]


class Repairing(StrOutputParser):
    """A parser that asks a model for what it returns."""

    def parse(self, text: str) -> str:
        return str(chat("leek").invoke(text).content)


@pytest.mark.parametrize(
    ("step", "given", "inside"),
    [(PROMPT, {"drink": "tea"}, [("error", 1, 0)]), (Repairing(), "lek", [("llm_call", 1, 1), ("llm_response", 1, 1)])],
)
def test_template_that_fails_and_parser_that_asks_a_model_are_prompts(
    step: Any, given: Any, inside: list[Any], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """What is logged in them has a prompt, in the session of their metadata."""
    with contextlib.suppress(KeyError):
        step.invoke(given, {"callbacks": [handler], "metadata": {"session_id": "s"}})

    assert log.sequence == [("session_start", 1, 0), ("user_input", 1, 0), *inside]
    assert list(sessions(log)) == ["s"]
    assert state_of(handler) == EMPTY


@pytest.mark.parametrize("most", [50_000, 0])
def test_open_parser_is_no_prompt_when_its_session_ends_or_it_is_given_up(
    most: int, log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream of a parser may still be read when the handler is closed, or when too many runs are open."""
    monkeypatch.setattr(run_tree, "MAX_OPEN", most)
    config: Any = {"callbacks": [handler]}
    words = StrOutputParser().transform(iter("ab"), config)
    next(words)
    chat("soup").invoke("Dinner?", config)
    handler.close()
    list(words)

    assert log.sequence == [*ONE_CALL, ("session_end", 1, 0)]
    assert state_of(handler) == EMPTY


@pytest.mark.parametrize("given", [None, ""])
def test_no_input_is_no_text(given: str | None, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A run called with `None`, as when a graph resumes from a checkpoint, has an empty prompt, not `null`."""
    RunnableLambda(lambda _: "done").invoke(given, {"callbacks": [handler]})

    assert [e["prompt"] for e in of_type(log, "user_input")] == [""]


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
      for key in ("final_answer", "final_response", "final_output", "final_report")),
    ({"final_answer": "", "answer": "soup"}, "soup"),
    ({"generation": None, "steps": 1}, '{"generation":null,"steps":1}'),
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


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream", "batch", "abatch"])
def test_every_way_to_run_logs_the_same(way: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Sync, async, streamed and batched runs log the same events, tokens and input."""
    chain = PROMPT | chat("Hot soup") | StrOutputParser()
    config: Any = {"callbacks": [handler]}

    async def consume() -> None:
        async for _ in chain.astream({"food": "carrots"}, config):
            pass

    match way:
        case "invoke" | "batch":
            getattr(chain, way)({"food": "carrots"} if way == "invoke" else [{"food": "carrots"}], config)
        case "ainvoke" | "abatch":
            asyncio.run(getattr(chain, way)({"food": "carrots"} if way == "ainvoke" else [{"food": "carrots"}], config))
        case "stream":
            list(chain.stream({"food": "carrots"}, config))
        case _:
            asyncio.run(consume())

    response = of_type(log, "llm_response")[0]["llm_response"]
    assert log.sequence == ONE_CALL
    assert of_type(log, "user_input")[0]["prompt"] == "carrots"
    assert (response["response"], response["input_tokens"], response["output_tokens"]) == ("Hot soup", 10, 4)


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


@pytest.mark.parametrize("kind", ["model", "tool"])
def test_call_says_how_long_it_took(kind: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The time is in milliseconds, measured by the process's clock."""

    class Slow(ScriptedChat):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            time.sleep(0.05)
            return super()._generate(*args, **kwargs)

    call: Any = Slow(script=["a"]) if kind == "model" else tool(slow)
    call.invoke("q", {"callbacks": [handler]})

    ended = log.entries[-1]
    assert 50 <= ended["llm_response" if kind == "model" else "tool_response"]["execution_time_ms"] < 5000


def slow(food: str) -> str:
    """Take a while."""
    time.sleep(0.05)
    return food


@pytest.mark.parametrize("name", [None, "kitchen"])
def test_events_say_where_in_their_framework_they_stand(
    log: MemoryDelivery, handler: CoagentCallbackHandler, name: str | None
) -> None:
    """A chain is LangChain's; a graph is LangGraph's, whatever its name, and its nodes have their place in it."""
    model = chat("a")
    graph = StateGraph(MessagesState).add_node("cook", lambda state: {"messages": [model.invoke(state["messages"])]})
    compiled = graph.set_entry_point("cook").compile(name=name)
    compiled.invoke({"messages": [("user", "q")]}, {"callbacks": [handler], "metadata": {"session_id": "graph"}})
    (PROMPT | model).invoke({"food": "leek"}, {"callbacks": [handler], "metadata": {"session_id": "chain"}})

    told = [e["meta"].get("framework") for event in ("session_start", "llm_call") for e in of_type(log, event)]
    assert told[2].pop("checkpoint_ns").startswith("cook:")
    node = {"name": "langgraph", "node": "cook", "step": 1}
    assert told == [{"name": "langgraph"}, {"name": "langchain"}, node, None]


def test_reasoning_of_a_model_is_told(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Reasoning is logged beside the text of the response, not in it."""
    said = AIMessage([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "soup"}])
    chat(said).invoke("q", {"callbacks": [handler]})

    (response,) = of_type(log, "llm_response")
    assert (response["meta"]["reasoning"], response["llm_response"]["response"]) == ("hm", "soup")


def test_text_model_reads_ollamas_counts(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A text model's `prompt_eval_count` and `eval_count` become tokens."""
    ScriptedText(script=["Soup"]).invoke("Cook", {"callbacks": [handler]})

    response = of_type(log, "llm_response")[0]["llm_response"]
    assert (response["response"], response["input_tokens"], response["output_tokens"]) == ("Soup", 7, 3)
    assert response["total_tokens"] == 10


def test_session_and_prompt_as_in_the_reference(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Two calls in prompt 1 and one in prompt 2 take the numbers of the reference's worked example."""
    model = chat("a", "b", "c")
    with handler.session("Recipes", session_id="recipes") as session:
        with session.prompt("Create three recipes"):
            model.invoke("recipes", {"callbacks": [handler]})
            model.invoke("nutrition", {"callbacks": [handler]})
        with session.prompt("Vegetarian"):
            model.invoke("vegetarian", {"callbacks": [handler]})

    assert log.sequence == [
        *ONE_CALL,
        ("llm_call", 1, 2),
        ("llm_response", 1, 2),
        ("user_input", 2, 0),
        ("llm_call", 2, 1),
        ("llm_response", 2, 1),
        ("session_end", 2, 0),
    ]
    totals = log.entries[-1]["meta"]
    assert (totals["status"], totals["prompts"], totals["turns"], totals["total_tokens"]) == ("completed", 2, 3, 42)


def test_parallel_branches_number_by_start(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Branches of one run take turns 1 to n, each call with its own response."""
    RunnableParallel(a=chat("a"), b=chat("b"), c=chat("c")).invoke("go", {"callbacks": [handler]})

    assert sorted(e["turn_number"] for e in of_type(log, "llm_call")) == [1, 2, 3]
    pairs = {e["meta"]["trace"]["run_id"]: e["turn_number"] for e in of_type(log, "llm_call")}
    assert pairs == {e["meta"]["trace"]["run_id"]: e["turn_number"] for e in of_type(log, "llm_response")}


def test_error_is_one_event_where_it_arose(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """An exception that propagates through a chain is logged once, with its path, and reaches the application."""
    chain = (RunnableLambda(lambda x: x) | chat(ValueError("no gas"))).with_config(run_name="cook")
    with pytest.raises(ValueError, match="no gas"):
        chain.invoke("soup", {"callbacks": [handler]})

    (error,) = of_type(log, "error")
    assert log.sequence == [*ONE_CALL[:3], ("error", 1, 1)]
    assert error["error_info"]["error_type"] == "ValueError"
    assert error["error_info"]["error_message"] == "no gas"
    assert error["meta"]["path"] == ["cook", "ScriptedChat"]


@pytest.mark.parametrize(("length", "note"), [(4096, ""), (4097, "… [cut: all of it is in prompt]")])
def test_long_input_is_written_whole_once(
    length: int, note: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """`prompt` has all of a text; `input_data` repeats one of a usual length, of a longer one its beginning."""
    chat("because").invoke("w" * length, {"callbacks": [handler]})

    (asked,) = of_type(log, "user_input")
    assert (asked["prompt"], asked["input_data"]) == ("w" * length, {"prompt": "w" * 4096 + note})


def test_retriever_answers_with_how_much_it_found_and_the_first_of_it(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The first documents have their text, id and metadata, as far as they have one."""

    class Shelf(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            return [Document("leek", id="d1", metadata={"aisle": 3}), *[Document("rice")] * 59]

    Shelf().invoke("soup", {"callbacks": [handler]})

    (call,), (response,) = of_type(log, "tool_call"), of_type(log, "tool_response")
    assert call["tool_call"] == {"tool_name": "Shelf", "parameters": {"query": "soup"}}
    assert response["tool_response"]["result"] == {
        "count": 60,
        "documents": [
            {"page_content": "leek", "id": "d1", "metadata": {"aisle": 3}},
            *[{"page_content": "rice"}] * 49,
        ],
    }


def test_vector_in_a_documents_metadata_is_cut(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Some stores return it; the other metadata is kept."""

    class Shelf(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            return [Document("leek", metadata={"vector": [0.5] * 1536, "aisle": 3})] * 2

    Shelf().invoke("soup", {"callbacks": [handler]})

    vector = [*[0.5] * 98, "… [cut: 1,438 of 1,536 items]"]
    assert of_type(log, "tool_response")[0]["tool_response"]["result"] == {
        "count": 2,
        "documents": [{"page_content": "leek", "metadata": {"vector": vector, "aisle": 3}}] * 2,
    }


def test_tags_of_a_retriever_are_the_users_own(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The class names and numbers with which LangChain tags retrievers are left out: nobody filters by them."""
    retriever = InMemoryVectorStore.from_texts(["leek"], DeterministicFakeEmbedding(size=4)).as_retriever()
    retriever.invoke("q", {"callbacks": [handler]})
    retriever.invoke("q", {"callbacks": [handler], "tags": ["mine", "retriever_1"]})  # as in an `EnsembleRetriever`

    assert [entry["meta"].get("context") for entry in of_type(log, "tool_call")] == [None, {"tags": ["mine"]}]


@pytest.mark.parametrize(("run", "tags", "own"), [
    (RunnableBranch((lambda _: True, chat("a")), chat("b")), ["branch:main"], ["branch:main"]),
    (chat("a"), ["nostream", "nostream2"], ["nostream2"]),
], ids=["branch", "nostream"])  # fmt: skip
def test_tags_of_a_call_are_the_users_own(
    run: Any, tags: list[str], own: list[str], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Those with which LangChain numbers a branch's parts, and with which middleware stops streaming, say nothing."""
    run.invoke("q", {"callbacks": [handler], "tags": tags})

    assert [entry["meta"].get("context") for entry in of_type(log, "llm_call")] == [{"tags": own}]


def test_exception_may_stand_for_the_message(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """`log_error(error)` works: the message and type are those of the exception; its place is the application."""
    handler.log_error(KeyError("k"))
    handler.log_error("no exception at all")

    errors = [e["error_info"] for e in log.entries[-2:]]
    assert [e["error_id"] for e in errors] == [e["event_id"] for e in log.entries[-2:]]
    assert [(e["error_type"], e["error_message"], e["component_id"]) for e in errors] == [
        ("KeyError", "'k'", "application"), ("Error", "no exception at all", "application"),
    ]  # fmt: skip


def test_message_of_an_error_that_the_application_logs_has_no_secrets(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """As in the message of an exception, which it often repeats."""
    handler.log_error("cannot connect: password=hunter2")
    record = logging.LogRecord("kitchen", logging.ERROR, "", 0, "cannot connect: password=hunter2", None, None)
    CoagentLogHandler(handler).emit(record)

    said = [e["error_info"]["error_message"] for e in log.entries[1:]]
    assert said == ["cannot connect: password=[redacted]"] * 2


def test_remark_in_a_prompts_block_stands_in_its_latest_turn(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Even if another prompt has begun since; outside of all prompts, it has no turn."""
    with handler.session("Cook") as session:
        with session.prompt("Soup?"):
            chat("leek").invoke("q", {"callbacks": [handler]})
            with session.prompt("Cake?"):
                pass
            handler.log("info", "cooked")
        handler.log("info", "served")

    told = [(e["output_data"]["message"], e["prompt_number"], e["turn_number"]) for e in of_type(log, "info")]
    assert told == [("cooked", 1, 1), ("served", 2, 0)]


@pytest.mark.internal_errors
def test_level_that_does_not_exist_is_told_once(
    log: MemoryDelivery, handler: CoagentCallbackHandler, caplog: pytest.LogCaptureFixture
) -> None:
    """The event is logged as `info`: an error logged in this way would count as none, and nobody would know."""
    for level in ("debug", "info", "warning", "error", "WARNING"):
        handler.log(level, "burnt")

    assert types(log) == ["session_start", "debug", "info", "warning", "info", "info"]
    assert [r.getMessage() for r in caplog.records if r.name == "coagent_langchain"] == [
        "handler.log has the levels debug, info and warning, and logs others as info; for errors: log_error"
    ]


def test_remark_stands_in_the_turn_that_it_was_made_in(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """This also holds for a component that has no turn of its own."""

    def cook(food: str) -> str:
        chat("soup").invoke(food)
        handler.log("info", "cooked")
        return food

    def serve(food: str) -> str:
        handler.log("info", "salted")
        dispatch_custom_event("served", food)
        return food

    (RunnableLambda(cook) | RunnableLambda(serve)).invoke("leek", {"callbacks": [handler]})

    told = [(e["output_data"]["message"], e["prompt_number"], e["turn_number"]) for e in of_type(log, "info")]
    assert told == [("cooked", 1, 1), ("salted", 1, 1), ("served", 1, 1)]


def test_logged_error_without_an_exception_hides_none(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """An exception that a run has already reported is not logged again where it leaves the block."""

    def cook() -> None:
        try:
            chat(ValueError("down")).invoke("q", {"callbacks": [handler]})
        except ValueError:
            handler.log_error("gave up")
            raise

    with pytest.raises(ValueError, match="down"), handler.session("s"):
        cook()

    assert [e["error_info"]["error_message"] for e in of_type(log, "error")] == ["down", "gave up"]


@pytest.mark.parametrize("goes_on", [True, False])
def test_exception_that_a_run_logs_itself_is_told_once(
    goes_on: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """If the exception is raised again, it is no second error; if the run continues, no recovery is logged."""

    def cook(food: str) -> str:
        error = ValueError("burnt")
        handler.log_error("no soup", error)
        if goes_on:
            return food
        raise error

    with contextlib.suppress(ValueError), handler.session():
        RunnableLambda(cook).invoke("leek", {"callbacks": [handler]})

    assert types(log) == ["session_start", "user_input", "error", "session_end"]


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


def test_remarks_beside_a_run_say_what_they_were_given(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Each has its level, and the numbers and texts that the application or LangChain passed."""
    run_id = uuid4()
    failed = SimpleNamespace(failed=True, exception=lambda: TimeoutError("slow"))
    handler.on_chain_start({}, "q", run_id=run_id)
    handler.on_agent_action(AgentAction("cook", "leek", "hungry"), run_id=run_id)
    handler.on_agent_finish(AgentFinish({}, "full"), run_id=run_id)
    handler.on_text("Prompt:\n\x1b[32;1m\x1b[1;3mtext\x1b[0m", run_id=run_id)
    handler.on_retry(SimpleNamespace(attempt_number=2, outcome=failed), run_id=run_id)
    for level in ("debug", "warning", "error"):
        handler.on_custom_event("progress", {"level": level}, run_id=run_id)

    found = [
        (e["event_type"], e["output_data"]["message"], {key: e["meta"][key] for key in e["meta"] if key != "trace"})
        for e in log.entries[2:]
    ]
    assert found == [
        ("debug", "agent action: cook", {"name": "agent_action", "log": "hungry"}),
        ("debug", "agent finish", {"name": "agent_finish", "log": "full"}),
        ("debug", "Prompt:\ntext", {"name": "text"}),
        ("warning", "retry after attempt 2: TimeoutError: slow", {"name": "retry", "attempt": 2}),
        ("debug", "progress", {"name": "progress", "value": {"level": "debug"}}),
        ("warning", "progress", {"name": "progress", "value": {"level": "warning"}}),
        ("info", "progress", {"name": "progress", "value": {"level": "error"}}),
    ]


def test_level_that_is_an_array_is_no_level(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A custom event's `level` may be a loudness or a water level; comparing an array to strings gives no boolean."""

    class Array:
        def __eq__(self, other: object) -> Any:
            return self

        def __bool__(self) -> bool:
            raise ValueError("the truth value of an array is ambiguous")

        __hash__ = None  # type: ignore[assignment]

    RunnableLambda(lambda _: dispatch_custom_event("heard", {"level": Array()})).invoke("q", {"callbacks": [handler]})

    assert [e["output_data"]["message"] for e in of_type(log, "info")] == ["heard"]


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"components": "graph"}, "components must be one of nodes, all, none, not 'graph'"),
        ({"sample_rate": 2}, "sample_rate must be a number from 0 to 1, not 2"),
        ({"resume": "yes"}, "resume must be True or False, not 'yes'"),
        ({"resume": True}, "resume=True needs the session_id to continue"),
        ({"redact": 3}, "redact must be one or more callables, not 3"),
        ({"redact": [str, 3]}, "redact must be one or more callables, not 3"),
        ({"redact": asyncio.sleep}, "redact must not be a coroutine function, because hooks do not wait"),
        ({"redact": lambda: None}, "redact must take one argument, the entry, and return it"),
        ({"delivery": 3}, "delivery must be a Delivery such as .*: 3 has no method append"),
        ({"delivery": SimpleNamespace(append=print, flush=print, close=print)}, "namespace.* has no method stats"),
        ({"delivery": MemoryDelivery}, r"delivery must be a Delivery such as MemoryDelivery\(\), not its class"),
    ],
)
def test_wrong_argument_is_named_at_once(arguments: dict[str, Any], message: str) -> None:
    """An invalid setting raises when the handler is created, and the message says what would be valid."""
    with pytest.raises(ConfigurationError, match=message):
        CoagentCallbackHandler(**{"spool_dir": "off", **arguments})


@pytest.mark.parametrize("timeout", [None, "10", -1, float("inf")])
def test_flush_refuses_a_timeout_that_is_no_number_of_seconds_at_once(timeout: Any, log: MemoryDelivery) -> None:
    """It raises even if nothing is waiting: otherwise the mistake would show only when the server is away."""
    with pytest.raises(ConfigurationError, match=f"timeout must be a number of seconds, 0 or more, not {timeout!r}"):
        CoagentCallbackHandler(delivery=log).flush(timeout)


def test_tools_take_the_turn_that_asked_for_them(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Two tools called by turn 1 and one called by turn 2 have these turn numbers."""
    agent = create_agent(
        chat(
            calls(("add", {"a": 1, "b": 2}, "c1"), ("add", {"a": 3, "b": 4}, "c2")),
            calls(("add", {"a": 3, "b": 7}, "c3")),
            "10",
        ),
        [add],
    )
    agent.invoke({"messages": [("user", "sum")]}, {"callbacks": [handler]})

    turns = {e["meta"]["tool_call_id"]: e["turn_number"] for e in of_type(log, "tool_response")}
    assert turns == {"c1": 1, "c2": 1, "c3": 2}
    assert [e["llm_call"]["issuer"] for e in of_type(log, "llm_call")] == ["model"] * 3
