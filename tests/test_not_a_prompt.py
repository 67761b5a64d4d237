"""Runs that ask the agent nothing: templates and parsers on their own, and LangGraph's `update_state`."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import filter_messages, merge_message_runs, trim_messages
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.capture import run_tree
from coagent_langchain.testing import MemoryDelivery, capture_events
from tests.fakes import PROMPT, calls, chat
from tests.reading import EMPTY, ONE_CALL_SEQUENCE, of_type, sessions, state_of, without_nodes
from tests.tools import add, in_thread


def stops_after_routing(route: Any) -> Any:
    """A graph that routes from one node to the next with `route`, and stops there; an update routes once more."""
    graph = StateGraph(MessagesState)
    for node in ("first", "second"):
        graph.add_node(node, lambda state: {})
    graph.add_edge(START, "first")
    graph.add_conditional_edges("first", route, ["second"])
    return graph.compile(checkpointer=InMemorySaver(), interrupt_before=["second"])


@pytest.mark.parametrize("answer", ['{"soup": 1}', "soup"])
def test_template_and_parser_on_their_own_belong_to_the_question(answer: str) -> None:
    """A program that formats, asks and parses in three steps has one prompt; what cannot be parsed is its error."""
    parser = JsonOutputParser()
    with capture_events() as log:
        for food in ("leek", "rice"):
            question = ChatPromptTemplate([("user", "What is {food} for?")]).invoke({"food": food})
            said = chat(answer).invoke(question)
            with contextlib.suppress(OutputParserException):
                parser.invoke(said)

    one = [("user_input", 0), ("llm_call", 1), ("llm_response", 1), *([("error", 1)] if answer == "soup" else [])]
    assert log.sequence == [
        ("session_start", 1, 0),
        *((kind, number, turn) for number in (1, 2) for kind, turn in one),
        ("session_end", 2, 0),
    ]
    assert [e["prompt"] for e in of_type(log, "user_input")] == ["What is leek for?", "What is rice for?"]


@pytest.mark.parametrize(
    "shorten",
    [trim_messages(max_tokens=2, token_counter=len), filter_messages(include_types=["human"]), merge_message_runs()],
)
def test_shortening_a_conversation_is_no_question(shorten: Any) -> None:
    """LangChain's own functions for that are runnables; a chat calls one before each call of the model."""
    said: list[Any] = [("user", "Hi"), ("ai", "Hello"), ("user", "What is leek for?")]
    with capture_events() as log:
        chat("soup").invoke(shorten.invoke(said))

    assert [(e["event_type"], e.get("prompt")) for e in log.entries[1:-1]] == [
        ("user_input", "What is leek for?"), ("llm_call", "What is leek for?"), ("llm_response", None),
    ]  # fmt: skip


def test_tool_that_is_named_like_a_function_of_langchain_is_a_prompt() -> None:
    """A mail program's tool may be called `filter_messages`: invoked on its own, it is a request like any other."""

    @tool("filter_messages")
    def find(sender: str) -> str:
        """Find mail."""
        return sender

    with capture_events() as log:
        for sender in ("Bob", "Ann"):
            find.invoke({"sender": sender})

    assert [(e["prompt_number"], e["prompt"]) for e in of_type(log, "user_input")] == [(1, "Bob"), (2, "Ann")]


def test_model_that_a_parser_calls_takes_a_turn_of_the_question(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A parser that has its model mend a response is in the prompt of that response."""
    mends: Any = RunnableLambda(lambda said: chat("mended").invoke(said))
    config: Any = {"callbacks": [handler]}

    class Mending(StrOutputParser):
        def parse(self, text: str) -> str:
            return str(mends.invoke(text).text)

    Mending().invoke(chat("soup").invoke("What is leek for?", config), config)

    assert log.sequence == [
        ("session_start", 1, 0), ("user_input", 1, 0),
        ("llm_call", 1, 1), ("llm_response", 1, 1), ("llm_call", 1, 2), ("llm_response", 1, 2),
    ]  # fmt: skip


def test_state_that_is_edited_at_a_breakpoint_leaves_the_question_open(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A human corrects the call of a tool, and lets the agent continue: one prompt, one question, its answer."""
    model = chat(calls(("add", {"a": 1, "b": 1}, "c")), "3")
    agent = create_agent(model, [add], interrupt_before=["tools"], checkpointer=InMemorySaver())
    config = in_thread(handler, "t")
    agent.invoke({"messages": [("user", "1 + 2?")]}, config)
    edited = calls(("add", {"a": 1, "b": 2}, "c"))
    edited.id = agent.get_state(config).values["messages"][-1].id
    agent.update_state(config, {"messages": [edited]})
    agent.invoke(None, config)
    handler.close()

    assert [at for at in log.sequence if not at[0].startswith("component_")] == [
        ("session_start", 1, 0), ("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1),
        ("human_oversight", 1, 1), ("human_oversight", 1, 1), ("tool_call", 1, 1), ("tool_response", 1, 1),
        ("llm_call", 1, 2), ("llm_response", 1, 2), ("session_end", 1, 0),
    ]  # fmt: skip
    assert [e["meta"]["status"] for e in of_type(log, "human_oversight")] == ["interrupted", "resumed"]


def test_state_that_is_set_before_the_first_question_is_no_prompt(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """An application imports a conversation: nothing has been asked yet, so the session has not begun."""
    agent, config = create_agent(chat("Welcome back"), [add], checkpointer=InMemorySaver()), in_thread(handler, "t")
    agent.update_state(config, {"messages": [("user", "Hi"), ("ai", "Hello")]}, as_node="model")
    assert log.entries == []
    agent.invoke({"messages": [("user", "Me again")]}, config)

    assert [(e["prompt_number"], e["prompt"]) for e in of_type(log, "user_input")] == [(1, "Me again")]


def test_model_that_an_update_calls_is_in_the_prompt_that_waits(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A conditional edge asks a model, also when an update runs the edge, in a block or not: it takes the next turn."""
    route = RunnableLambda(lambda state: "Where to?") | chat("second") | (lambda answer: answer.text)
    graph, config = stops_after_routing(route), in_thread(handler, "t")
    graph.invoke({"messages": [("user", "Go")]}, config)
    graph.update_state(config, {"messages": [("user", "Go on")]}, as_node="first")
    with handler.session(session_id="t").prompt("Edit"):
        graph.update_state(config, {"messages": [("user", "Go on")]}, as_node="first")

    assert [at for at in log.sequence if at[0] in ("user_input", "llm_call", "llm_response")] == [
        ("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1), ("llm_call", 1, 2), ("llm_response", 1, 2),
        ("user_input", 2, 0), ("llm_call", 2, 1), ("llm_response", 2, 1),
    ]  # fmt: skip
    assert {e["session_id"] for e in log.entries} == {"t"}


def test_update_that_fails_is_an_error_in_the_prompt_that_waits(log: MemoryDelivery) -> None:
    """The error is in the session of the graph's runs, here the handler's own."""
    handler = CoagentCallbackHandler("s", delivery=log)
    graph = stops_after_routing(lambda state: "second" if len(state["messages"]) == 1 else 1 // 0)
    config = in_thread(handler, "t")
    graph.invoke({"messages": [("user", "Go")]}, config)
    with contextlib.suppress(ZeroDivisionError):
        graph.update_state(config, {"messages": [("user", "Go on")]}, as_node="first")

    assert [(e["session_id"], e["prompt_number"], e["error_info"]["error_type"]) for e in of_type(log, "error")] == [
        ("s", 1, "ZeroDivisionError")
    ]
    assert len(of_type(log, "user_input")) == 1


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

    assert log.sequence == [*ONE_CALL_SEQUENCE, ("session_end", 1, 0)]
    assert state_of(handler) == EMPTY


def test_chain_with_the_name_of_an_edit_is_a_prompt(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """If it calls a model, it has its events and its answer like any other."""
    chain = (RunnableLambda(str) | chat("soup")).with_config(run_name="UpdateState")
    with handler.session("s", session_id="s"):
        chain.invoke("Dinner?", {"callbacks": [handler], "metadata": {"thread_id": "t"}})

    assert without_nodes(log) == [
        ("session_start", 1, 0), ("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1),
        ("session_end", 1, 0),
    ]  # fmt: skip
    assert (log.entries[-1]["meta"]["status"], log.entries[-1]["output_data"]) == ("completed", {"response": "soup"})
