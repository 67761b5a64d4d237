"""What users of other handlers complain about: control flow shown as failure, failure as success (30 to 35)."""

from __future__ import annotations

import importlib.util
import sys
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import calls, chat
from tests.reading import EMPTY, of_type, recoveries, state_of, types
from tests.tools import tool_node

CONFIG: dict[str, Any] = {"configurable": {"thread_id": "t"}}


class State(TypedDict, total=False):
    """What the graph's nodes have been answered."""

    a: str
    b: str


def oversight(log: MemoryDelivery) -> list[tuple[str, Any]]:
    """Status and value of every question and answer."""
    return [(e["meta"]["status"], e["input_data"]["value"]) for e in of_type(log, "human_oversight")]


def asking(*names: str) -> Any:
    """A graph whose parallel nodes each ask a question."""
    graph = StateGraph(State)
    for name in names:
        graph.add_node(name + "_node", lambda state, name=name: {name: interrupt(f"{name}?")})
        graph.add_edge(START, name + "_node")
    return graph


@pytest.mark.parametrize("place", ["chain", "tool", "retriever"])
def test_interrupts_are_no_errors_anywhere(place: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """30 langfuse/langfuse#6704: an interrupt in a chain, tool or retriever is a question, not a failure."""

    @tool
    def ask(q: str) -> str:
        """Ask."""
        return str(interrupt("ok?"))

    class Asking(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> Any:
            return interrupt("ok?")

    inner: Any = {"chain": RunnableLambda(lambda _: interrupt("ok?")), "tool": ask, "retriever": Asking()}[place]
    given = {"q": "x"} if place == "tool" else "x"
    graph = StateGraph(State).add_node("node", lambda state: {"a": str(inner.invoke(given))}).add_edge(START, "node")
    compiled = graph.compile(checkpointer=InMemorySaver())
    compiled.invoke({}, {**CONFIG, "callbacks": [handler]})

    assert oversight(log) == [("interrupted", "ok?")]
    assert (of_type(log, "error"), state_of(handler)) == ([], EMPTY)
    assert {e["tool_response"].get("success") for e in of_type(log, "tool_response")} <= {None}


def test_interrupted_node_says_so(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """31 langchain-ai/langsmith-sdk#1127: the node's exit has the outcome `interrupted`, and the session continues."""
    graph = asking("a").compile(checkpointer=InMemorySaver())
    graph.invoke({}, {**CONFIG, "callbacks": [handler]})
    graph.invoke(Command(resume="yes"), {**CONFIG, "callbacks": [handler]})
    handler.close()

    assert [e["meta"].get("outcome") for e in of_type(log, "component_exit")] == ["interrupted", None]
    assert oversight(log) == [("interrupted", "a?"), ("resumed", "yes")]
    assert log.entries[-1]["meta"]["status"] == "completed"


def test_users_error_with_an_interrupts_name_is_an_error(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """32 Arize-ai/openinference#3316: classes decide, not names or texts: a user's `GraphInterrupt` is an error."""

    class GraphInterrupt(Exception):
        pass

    def step(value: str) -> str:
        raise GraphInterrupt("GraphInterrupt: ParentCommand")

    with pytest.raises(GraphInterrupt):
        RunnableLambda(step).invoke("q", {"callbacks": [handler]})

    assert [e["error_info"]["error_type"] for e in of_type(log, "error")] == ["GraphInterrupt"]
    assert of_type(log, "human_oversight") == []


def test_the_question_is_in_the_event(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """33 PostHog/posthog-js#4345: each of several questions is an event with its payload, and so is each answer."""
    graph = asking("a", "b").compile(checkpointer=InMemorySaver())
    config: Any = {**CONFIG, "callbacks": [handler]}
    result = graph.invoke({}, config)
    answers = {each.id: f"{each.value} yes" for each in result["__interrupt__"]}
    graph.invoke(Command(resume=answers), config)

    found = oversight(log)
    assert sorted(found[:2]) == [("interrupted", "a?"), ("interrupted", "b?")]
    assert sorted(found[2:]) == [("resumed", "a? yes"), ("resumed", "b? yes")]
    assert {e["prompt_number"] for e in log.entries} == {1}


def test_answer_that_led_to_an_error_may_be_given_again(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """If the resumed graph fails, its question is still open: a second answer in the same prompt recovers the error."""
    faults = [ConnectionError("down")]

    def node(state: State) -> State:
        answer = interrupt("go?")
        if faults:
            raise faults.pop()
        return {"a": answer}

    graph = StateGraph(State).add_node("node", node).add_edge(START, "node")
    compiled = graph.compile(checkpointer=InMemorySaver())
    config: Any = {**CONFIG, "callbacks": [handler]}
    compiled.invoke({}, config)
    with pytest.raises(ConnectionError):
        compiled.invoke(Command(resume="yes"), config)
    compiled.invoke(Command(resume="yes"), config)

    assert oversight(log) == [("interrupted", "go?"), ("resumed", "yes"), ("resumed", "yes")]
    assert len({entry["input_data"]["interrupt_id"] for entry in of_type(log, "human_oversight")}) == 1
    assert {entry["prompt_number"] for entry in log.entries} == {1}
    assert recoveries(log) == [(0, "LangGraph", "retry", "the graph continued from its last checkpoint")]


def test_questions_one_after_the_other_in_one_node(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """33 PostHog/posthog-js#4345: a node that asks twice logs two questions and two answers, though ids repeat."""
    graph = StateGraph(State)
    graph.add_node("node", lambda state: {"a": interrupt("first?") + interrupt("second?")})
    graph.add_edge(START, "node")
    compiled = graph.compile(checkpointer=InMemorySaver())
    config: Any = {**CONFIG, "callbacks": [handler]}
    compiled.invoke({}, config)
    compiled.invoke(Command(resume="1"), config)
    compiled.invoke(Command(resume="2"), config)

    assert oversight(log) == [
        ("interrupted", "first?"),
        ("resumed", "1"),
        ("interrupted", "second?"),
        ("resumed", "2"),
    ]


def stopping(when: str) -> Any:
    """A graph of two nodes that stops between them."""
    graph = StateGraph(State)
    graph.add_node("first", lambda state: {"a": "1"})
    graph.add_node("second", lambda state: {"b": "2"})
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    graph.add_edge("second", END)
    stop: Any = {when: ["second" if when == "interrupt_before" else "first"]}
    return graph.compile(checkpointer=InMemorySaver(), **stop)


with_static_interrupts = pytest.mark.skipif(
    importlib.util.find_spec("langgraph.callbacks") is None,
    reason="this langgraph tells handlers nothing of static interrupts",
)


@with_static_interrupts
@pytest.mark.parametrize("when", ["interrupt_before", "interrupt_after"])
def test_static_interrupt(when: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """33 PostHog/posthog-js#4345: a graph that stops before or after a node asks; `invoke(None)` is the answer."""
    graph = stopping(when)
    config: Any = {**CONFIG, "callbacks": [handler]}
    graph.invoke({}, config)
    graph.invoke(None, config)

    assert oversight(log) == [("interrupted", when), ("resumed", None)]
    assert [e["target_component"]["name"] for e in of_type(log, "component_enter")] == ["first", "second"]
    assert {e["prompt_number"] for e in log.entries} == {1}
    assert types(log).count("user_input") == 1


@with_static_interrupts
def test_static_interrupt_with_a_handler_older_than_langgraph(
    log: MemoryDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """33 PostHog/posthog-js#4345: the same if LangGraph is imported only after the handler was created."""
    with monkeypatch.context() as before:
        before.delitem(sys.modules, "langgraph.callbacks")
        handler = CoagentCallbackHandler(delivery=log)
    graph = stopping("interrupt_before")
    config: Any = {**CONFIG, "callbacks": [handler]}
    graph.invoke({}, config)
    graph.invoke(None, config)

    assert oversight(log) == [("interrupted", "interrupt_before"), ("resumed", None)]
    assert {e["prompt_number"] for e in log.entries} == {1}


def test_graph_that_goes_on_unanswered_is_completed(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """33 PostHog/posthog-js#4345: a human edits the state, so nothing is left to ask; `invoke(None)` continues."""
    graph = StateGraph(State)
    graph.add_node("ask", lambda state: {"a": state.get("b") or interrupt("ok?")})
    graph.add_edge(START, "ask")
    compiled = graph.compile(checkpointer=InMemorySaver())
    config: Any = {**CONFIG, "callbacks": [handler]}
    with handler.session("Ask") as session, session.prompt("Go"):
        compiled.invoke({"a": ""}, config)
        compiled.update_state(config, {"b": "edited"})
        compiled.invoke(None, config)

    assert [e["meta"]["status"] for e in of_type(log, "human_oversight")] == ["interrupted", "unanswered"]
    assert log.entries[-1]["meta"]["status"] == "completed"


@pytest.mark.parametrize(("answer", "answered"), [(Command(resume="yes"), [(2, "resumed")]), (None, [])])
def test_question_that_a_new_input_came_instead_of_is_not_answered(
    answer: Any, answered: list[tuple[int, str]], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """33 PostHog/posthog-js#4345: an answer belongs to the thread's latest question, and to that question's prompt."""
    graph = asking("a").compile(checkpointer=InMemorySaver())
    config: Any = {**CONFIG, "callbacks": [handler]}
    for given in ({"b": "one"}, {"b": "two"}, answer):
        graph.invoke(given, config)

    told = [(e["prompt_number"], e["meta"]["status"]) for e in of_type(log, "human_oversight")]
    assert told == [(1, "interrupted"), (2, "interrupted"), (2, "unanswered"), *answered]


def test_resume_in_a_fresh_process(log: MemoryDelivery) -> None:
    """33 PostHog/posthog-js#4345: a handler that has not seen the question logs the answer, and no user input."""
    saver = InMemorySaver()
    graph = asking("a").compile(checkpointer=saver)
    graph.invoke({}, {**CONFIG, "callbacks": [CoagentCallbackHandler(delivery=MemoryDelivery())]})
    graph.invoke(Command(resume="yes"), {**CONFIG, "callbacks": [CoagentCallbackHandler(delivery=log)]})

    assert oversight(log) == [("resumed", "yes")]
    assert types(log) == ["session_start", "human_oversight", "component_enter", "component_exit"]
    assert {(e["session_id"], e["prompt_number"]) for e in log.entries} == {("t", 1)}


def test_status_of_a_message_in_a_command_is_read(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """34 langfuse/langfuse-python#1718: a failed message for this call in a `Command` counts; older ones do not."""

    @tool
    def rename(name: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> Any:
        """Rename Ada."""
        old = ToolMessage("no such user", tool_call_id="c0", status="error")
        own = ToolMessage(name, tool_call_id=tool_call_id, status="error" if name == "" else "success")
        return Command(update={"messages": [own] if name == "" else [old, own]})

    model = chat(calls(("rename", {"name": ""}, "c1"), ("rename", {"name": "Bob"}, "c2")), "sorry")
    create_agent(model, [rename]).invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    told = {e["meta"]["tool_call_id"]: e["tool_response"]["success"] for e in of_type(log, "tool_response")}
    assert (told, len(of_type(log, "error"))) == ({"c1": False, "c2": True}, 1)


def agents_with_a_hand_over() -> Any:
    """A swarm: Alice's tool hands over to Bob in the parent graph."""

    @tool
    def to_bob(why: str) -> Any:
        """Hand over to Bob."""
        answer = ToolMessage("over to Bob", tool_call_id="c1")
        return Command(goto="bob", graph=Command.PARENT, update={"messages": [answer]})

    alice = create_agent(chat(calls(("to_bob", {"why": "cooking"}, "c1"))), [to_bob], name="alice")
    bob = create_agent(chat("I cook"), [], name="bob")
    graph = StateGraph(MessagesState)
    graph.add_node("alice", alice)
    graph.add_node("bob", bob)
    graph.add_edge(START, "alice")
    return graph.compile()


def test_hand_over_is_routing(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """35 langfuse/langfuse#5035: `Command(goto, graph=PARENT)` is one routing event, and not an error."""
    agents_with_a_hand_over().invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    (routing,) = of_type(log, "routing")
    target = {"id": "bob", "name": "bob", "component_type": "node"}
    assert (routing["routing_type"], routing["target_component"]) == ("transfer", target)
    assert (of_type(log, "error"), of_type(log, "recovery"), state_of(handler)) == ([], [], EMPTY)
    assert [(e["tool_response"]["success"], e["tool_response"]["result"]) for e in of_type(log, "tool_response")] == [
        (True, {"output": "over to Bob", "command": {"graph": "__parent__", "goto": "bob"}})
    ]


RENAMED = ToolMessage("renamed", tool_call_id="c1")
COMMANDS = [Command(update={"user": "Bob"}), Command(goto="greet")]


@pytest.mark.parametrize(("returned", "result"), [
    (Command(update={"user": "Bob", "messages": [("user", "Bob"), RENAMED, HumanMessage("thanks")]}),
     {"output": "renamed", "command": {"update": {"user": "Bob"}}}),
    (Command(update={"messages": [RENAMED]}), {"output": "renamed"}),
    (Command(goto="other", update={"messages": [{"role": "tool", "content": "renamed", "tool_call_id": "c1"}]}),
     {"output": "renamed", "command": {"goto": "other"}}),
    (Command(goto=[Send("bob", {"messages": [("user", "go"), RENAMED], "urgent": True})], graph=Command.PARENT),
     {"output": "renamed", "command": {"graph": "__parent__", "goto": [{"node": "bob", "arg": {"urgent": True}}]}}),
    ([*COMMANDS, Command(update={"messages": [("user", "Bob"), RENAMED]})],
     {"output": "renamed", "command": [{"update": {"user": "Bob"}}, {"goto": "greet"}]}),
    ([*COMMANDS, RENAMED], {"output": "renamed", "command": [{"update": {"user": "Bob"}}, {"goto": "greet"}]}),
    ([COMMANDS[0], RENAMED.model_copy(update={"status": "error"})],
     {"output": "renamed", "command": {"update": {"user": "Bob"}}}),
    ([RENAMED.model_copy(update={"tool_call_id": "other"})],
     {"output": [{"role": "tool", "content": "renamed", "tool_call_id": "other"}]}),
], ids=["an answer among messages", "an answer alone, as of Deep Agents", "a dict, as in LangGraph's guide",
        "a hand-over with its own state", "several", "several and an answer", "a failure", "no answer"])  # fmt: skip
def test_command_of_a_tool_is_its_result(
    returned: Any, result: Any, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """35 langfuse/langfuse#5035: with what it changes in the state; the message that answers the call is its output."""

    @tool
    def rename() -> Any:
        """Rename the user."""
        return returned

    call = {"type": "tool_call", "name": "rename", "args": {}, "id": "c1"}
    if type(rename.invoke(call, {"callbacks": [handler]})) is not type(returned):
        pytest.skip("this langchain-core makes a text of several commands")

    (response,), failed = of_type(log, "tool_response"), "error" in str(returned)
    assert (response["tool_response"]["result"], response["tool_response"]["success"]) == (result, not failed)
    assert [e["error_info"]["error_message"] for e in of_type(log, "error")] == ["renamed"] * failed


def test_messages_of_a_tool_that_the_application_calls_are_no_output(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """35 langfuse/langfuse#5035: without the id of a call, none of them is known to answer it."""

    @tool
    def rename() -> Any:
        """Rename the user."""
        return Command(update={"user": "Bob", "messages": [RENAMED]})

    rename.invoke({}, {"callbacks": [handler]})

    (response,) = of_type(log, "tool_response")
    assert response["tool_response"]["result"] == {"command": {"update": {"user": "Bob"}}}


def test_hand_over_without_a_target_is_routing(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """35 langfuse/langfuse#5035: a `Command` to a parent graph that follows its own edges is not an error."""
    inner = StateGraph(State).add_node("leave", lambda state: Command(graph=Command.PARENT)).add_edge(START, "leave")
    graph = StateGraph(State).add_node("in", inner.compile()).add_edge(START, "in").compile()
    graph.invoke({}, {"callbacks": [handler]})

    (routing,) = of_type(log, "routing")
    way = {key: routing["meta"].get(key) for key in ("source_component", "graph", "goto")}
    assert way == {"source_component": "leave", "graph": "__parent__", "goto": []}
    assert ("target_component" in routing, of_type(log, "error")) == (False, [])


@pytest.mark.parametrize("who", ["node", "tool"])
def test_goto_inside_a_graph_is_routing(who: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """35 langfuse/langfuse#5035: a `Command(goto)` of a node or a tool is one routing event."""

    @tool
    def move(why: str) -> Any:
        """Go to the end."""
        return Command(goto="last", update={"messages": [ToolMessage("moved", tool_call_id="c1")]})

    def first(state: Any) -> Any:
        return Command(goto="last")

    graph = StateGraph(MessagesState)
    if who == "tool":
        graph.add_node("first", tool_node(move))
    else:
        graph.add_node("first", first, destinations=("last",))
    graph.add_node("last", lambda state: {"messages": []})
    graph.add_edge(START, "first")
    message = calls(("move", {"why": "x"}, "c1"))
    graph.compile().invoke({"messages": [("user", "go"), message]}, {"callbacks": [handler]})

    assert [(e["meta"]["source_component"], e["meta"]["goto"]) for e in of_type(log, "routing")] == [
        ("first", ["last"])
    ]
    assert of_type(log, "error") == []


def test_sends_are_routing_to_each(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """35 langfuse/langfuse#5035: a `Command` with several `Send`s is one event for each target."""
    graph = StateGraph(State)
    graph.add_node("first", lambda state: Command(goto=[Send(f"{to}_node", {}) for to in "aba"]))
    for name in ("a", "b"):
        graph.add_node(f"{name}_node", lambda state: {})
    graph.add_edge(START, "first")
    graph.compile().invoke({}, {"callbacks": [handler]})

    assert [e["target_component"]["name"] for e in of_type(log, "routing")] == ["a_node", "b_node"]
