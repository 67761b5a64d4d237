"""Tool calls that a node, a middleware, a human or the application answers, and what the answer contains."""

from __future__ import annotations

import functools
import json
import threading
from types import SimpleNamespace
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_tool_call
from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import calls, chat
from tests.reading import DIGEST, EMPTY, of_type, state_of, tool_answers
from tests.threads import at_once, switching_often
from tests.tools import add, tool_node

TEXTS = [{"type": "text", "text": "two rows", "id": "lc_1"}, {"type": "text", "text": "3, 4", "id": "lc_2"}]
IMAGE = {"type": "image", "base64": "aGVsbG8=", "mime_type": "image/png"}
DESCRIBED = {**IMAGE, "base64": DIGEST}


@pytest.mark.parametrize(("content", "status", "output", "message"), [
    (TEXTS, "success", "two rows\n3, 4", None),
    (TEXTS, "error", "two rows\n3, 4", "two rows\n3, 4"),
    ([TEXTS[0], IMAGE], "success", [TEXTS[0], DESCRIBED], None),
    ([TEXTS[0], IMAGE], "error", [TEXTS[0], DESCRIBED], "two rows"),
    ([{"type": "json"}], "error", [{"type": "json"}], '[{"type":"json"}]'),
    ("", "error", "", ""),
])  # fmt: skip
def test_answer_in_content_blocks_reads_as_its_text(
    log: MemoryDelivery, handler: CoagentCallbackHandler, content: Any, status: Any, output: Any, message: str | None
) -> None:
    """As tools of MCP servers respond; blocks are kept if there is more than text."""

    @tool
    def read(table: str) -> Any:
        """Read a table."""
        return ToolMessage(content, tool_call_id="1", status=status, artifact={"rows": [3, 4]})

    read.invoke({"name": "read", "args": {"table": "t"}, "id": "1", "type": "tool_call"}, {"callbacks": [handler]})
    told = of_type(log, "tool_response")[0]["tool_response"]

    assert (told["result"], told.get("error_message")) == ({"output": output, "artifact": {"rows": [3, 4]}}, message)


@pytest.mark.parametrize("several", [False, True], ids=["one", "list"])
def test_object_whose_type_is_an_array_is_a_result(
    several: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Comparing an array with the type of a message raises; the call must have its response nevertheless."""
    numpy = pytest.importorskip("numpy")  # not among the oldest versions

    def simulate(steps: int) -> Any:
        """Simulate particles."""
        particles = SimpleNamespace(type=numpy.array([1, 2]))
        return [particles] if several else particles

    tool(simulate).invoke({"steps": 1}, {"callbacks": [handler]})
    RunnableLambda(simulate).invoke(1, {"callbacks": [handler]})
    handler.close()

    particles = {"__type__": "types.SimpleNamespace", "type": "<numpy.ndarray int64 2>"}
    output = [particles] if several else particles
    assert of_type(log, "tool_response")[0]["tool_response"]["result"] == {"output": output}
    assert json.loads(of_type(log, "session_end")[-1]["output_data"]["response"]) == output


def test_artifact_is_summarized(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """It is for the application, as large as it likes: the first thousand entries say what it is."""

    @tool(response_format="content_and_artifact")
    def read(table: str) -> Any:
        """Read a table."""
        return "all rows", {"rows": list(range(5_000)), "text": "x" * 2_001}

    read.invoke({"name": "read", "args": {"table": "t"}, "id": "1", "type": "tool_call"}, {"callbacks": [handler]})

    assert of_type(log, "tool_response")[0]["tool_response"]["result"] == {
        "output": "all rows",
        "artifact": {
            "rows": [*range(998), "… [cut: 4,002 of 5,000 items]"],
            "text": "x" * 2_000 + "… [cut: 1 of 2,001 characters]",
        },
    }


@pytest.mark.parametrize("components", ["nodes", "none"])
def test_tool_that_the_model_has_made_up_is_a_call_that_failed(components: str, log: MemoryDelivery) -> None:
    """LangGraph answers it without a hook; a call that reuses the id later is another one."""
    handler = CoagentCallbackHandler(delivery=log, components=components)
    model = chat(calls(("magic", {}, "1"), ("add", {"a": 1, "b": 2}, "2")), calls(("magic", {}, "2")), "done")
    agent = create_agent(model, [add])
    graph = StateGraph(MessagesState).add_node("agent", agent).add_edge(START, "agent").compile()
    graph.invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})

    assert sorted(tool_answers(log)) == [
        (1, "1", "magic", False, "not run"),
        (1, "2", "add", True, None),
        (2, "2", "magic", False, "not run"),
    ]
    assert [e["meta"]["tool_call_id"] for e in of_type(log, "tool_call") if e["tool_call"]["tool_name"] == "magic"] == [
        "1", "2",
    ]  # fmt: skip
    assert (of_type(log, "error"), state_of(handler)) == ([], EMPTY)


def test_tool_that_failed_beside_a_made_up_one_is_no_call_of_its_own(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """One node answers both with an error; hooks reported the one that ran."""
    model = chat(calls(("magic", {}, "1"), ("add", {"a": "many"}, "2")))
    graph = StateGraph(MessagesState).add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    app = (
        graph.add_node("tools", tool_node(add, handle_tool_errors=True))
        .add_edge(START, "model")
        .add_edge("model", "tools")
        .compile()
    )
    app.invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})

    assert [each[1:3] for each in tool_answers(log)] == [("2", "add"), ("1", "magic")]


def test_answer_of_a_middleware_that_asks_a_model_is_told_beside_a_tool_that_runs(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangChain's auto mode and its emulator of tools do so: the tool that still runs is no branch of its own."""
    visiting, told = threading.Event(), threading.Event()

    @tool
    def visit(city: str) -> str:
        """Visit a city."""
        visiting.set()
        told.wait(10)
        return city

    @wrap_tool_call
    def imagine(request: Any, run: Any) -> Any:
        if request.tool_call["args"]["city"] == "Oslo":
            return run(request)
        visiting.wait(10)
        return ToolMessage(chat("lovely").invoke("What is it like?").text, tool_call_id=request.tool_call["id"])

    asking = calls(("visit", {"city": "Oslo"}, "c1"), ("visit", {"city": "Rome"}, "c2"))
    agent = create_agent(chat(asking, "seen"), [visit], middleware=[imagine])
    for update in agent.stream({"messages": [("user", "go")]}, {"callbacks": [handler]}, stream_mode="updates"):
        if "tools" in update:
            told.set()

    assert tool_answers(log) == [(1, "c2", "visit", True, "answered by node"), (1, "c1", "visit", True, None)]


NOT_TODAY = {"content": "not today", "name": "add", "tool_call_id": "1"}


@pytest.mark.parametrize(("answer", "outcome"), [
    (ToolMessage(**NOT_TODAY, status="error"), "not run"),  # as by LangChain's limit of tool calls
    (ToolMessage(**NOT_TODAY | {"content": [{"type": "text", "text": "not today"}]}, status="error"), "not run"),
    (ToolMessage(**NOT_TODAY | {"name": "Person"}), "answered by node"),  # as TrustCall answers a patch
    ({"role": "tool", **NOT_TODAY, "status": "error"}, "not run"),  # as in LangGraph's guide to human feedback
    ({"role": "tool", **NOT_TODAY, "status": "success"}, "answered by node"),
], ids=["refused", "in blocks", "under another name", "refused by a dict", "by a dict"])  # fmt: skip
def test_call_that_a_node_answers_is_told(
    answer: Any, outcome: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """No hook reports it, as its tool does not run; name and arguments are those of the model's call."""
    graph = StateGraph(MessagesState).add_edge(START, "model").add_edge("model", "review")
    graph.add_node("model", lambda state: {"messages": [chat(calls(("add", {"a": 1, "b": 2}, "1"))).invoke("q")]})
    graph.add_node("review", lambda state: {"messages": [answer]})
    graph.compile().invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})

    succeeded = outcome == "answered by node"
    told = of_type(log, "tool_response")[0]["tool_response"]
    assert tool_answers(log) == [(1, "1", "add", succeeded, outcome)]
    assert [e["tool_call"] for e in of_type(log, "tool_call")] == [{"tool_name": "add", "parameters": {"a": 1, "b": 2}}]
    assert (told["result"], told.get("error_message")) == ({"output": "not today"}, None if succeeded else "not today")


def test_call_that_a_node_refuses_in_a_graph_of_messages_alone_has_failed(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The graph's state is the list of messages itself, so a node returns messages and no dict."""
    model = chat(calls(("add", {"a": 1, "b": 2}, "1")))
    graph: Any = StateGraph(Annotated[list[AnyMessage], add_messages])
    graph.add_node("model", lambda messages: [model.invoke(messages)])
    graph.add_node("limit", lambda _: [ToolMessage("no more calls", name="add", tool_call_id="1", status="error")])
    graph.add_edge(START, "model").add_edge("model", "limit")
    graph.compile().invoke([("user", "q")], {"callbacks": [handler]})

    assert tool_answers(log) == [(1, "1", "add", False, "not run")]


def test_call_that_is_answered_without_its_tool_is_told(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A middleware may know the answer already: no tool runs, so no hook reports it."""

    @wrap_tool_call
    def cached(request: Any, run: Any) -> ToolMessage:
        return ToolMessage("3", tool_call_id=request.tool_call["id"])

    agent = create_agent(chat(calls(("add", {"a": 1, "b": 2}, "1")), "done"), [add], middleware=[cached])
    agent.invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})

    assert tool_answers(log) == [(1, "1", "add", True, "answered by node")]
    assert [e["tool_call"] for e in of_type(log, "tool_call")] == [{"tool_name": "add", "parameters": {"a": 1, "b": 2}}]
    assert [e["tool_response"] for e in of_type(log, "tool_response")] == [
        {"tool_name": "add", "result": {"output": "3"}, "success": True}
    ]
    assert state_of(handler) == EMPTY


def test_answer_of_a_node_that_is_a_dict_of_its_own_kind_runs_no_code_of_it(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A state without LangGraph's reducer keeps it; a subclass of dict may look anything up when it is read."""

    class Lazy(dict[str, Any]):
        def get(self, *given: Any) -> Any:
            raise LookupError(given)

    class Plain(TypedDict):
        messages: list[Any]

    graph = StateGraph(Plain).add_edge(START, "model").add_edge("model", "review")
    graph.add_node("model", lambda state: {"messages": [chat(calls(("add", {"a": 1, "b": 2}, "1"))).invoke("q")]})
    graph.add_node("review", lambda state: {"messages": [Lazy(role="tool", content="3", tool_call_id="1")]})
    graph.compile().invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})

    assert tool_answers(log) == [(1, "1", "add", True, "answered by node")]


def test_call_that_a_human_answers_keeps_its_arguments(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The model made the call in the run before the interrupt; a node answers it in the run after."""

    def review(state: MessagesState) -> Any:
        return {"messages": [ToolMessage(interrupt("Add?"), tool_call_id="1")]}

    graph = StateGraph(MessagesState).add_edge(START, "model").add_edge("model", "review").add_node("review", review)
    graph.add_node("model", lambda state: {"messages": [chat(calls(("add", {"a": 1, "b": 2}, "1"))).invoke("q")]})
    compiled = graph.compile(InMemorySaver())
    config: RunnableConfig = {"configurable": {"thread_id": "t"}, "callbacks": [handler]}
    compiled.invoke({"messages": [("user", "q")]}, config)
    compiled.invoke(Command(resume="3"), config)

    assert tool_answers(log) == [(1, "1", "add", True, "answered by node")]
    assert [e["tool_call"] for e in of_type(log, "tool_call")] == [{"tool_name": "add", "parameters": {"a": 1, "b": 2}}]


@pytest.mark.parametrize("wrapped", [False, True])
def test_call_that_the_application_answers_is_told_before_the_model_gets_the_answer(
    wrapped: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """In a loop of its own, around the models or inside a chain, it may answer by a plain function."""
    model = chat(calls(("add", {"a": 1, "b": 2}, "1"), ("div", {"a": 1, "b": 0}, "2")), "done")

    def loop(question: str, config: RunnableConfig) -> Any:
        asked = model.invoke(question, config)
        results = [ToolMessage("3", tool_call_id="1"), ToolMessage("by zero", tool_call_id="2", status="error")]
        return model.invoke([HumanMessage(question), asked, *results], config)

    config: RunnableConfig = {"callbacks": [handler]}
    _ = RunnableLambda(loop).invoke("q", config) if wrapped else loop("q", config)

    added, failed = ["tool_call", "tool_response"], ["tool_call", "error", "recovery", "tool_response"]
    assert log.sequence[2:] == [(kind, 1, 1) for kind in ("llm_call", "llm_response", *added, *failed)] + [
        ("llm_call", 1, 2),
        ("llm_response", 1, 2),
    ]
    by_application = "answered by application"
    assert tool_answers(log) == [(1, "1", "add", True, by_application), (1, "2", "div", False, by_application)]
    assert [e["tool_call"]["parameters"] for e in of_type(log, "tool_call")] == [{"a": 1, "b": 2}, {"a": 1, "b": 0}]
    told = [e["tool_response"] for e in of_type(log, "tool_response")]
    assert [(each["result"], each.get("error_message")) for each in told] == [
        ({"output": "3"}, None),
        ({"output": "by zero"}, "by zero"),
    ]
    assert state_of(handler) == EMPTY


def test_answer_that_several_models_get_at_once_is_told_once() -> None:
    """An application may ask several times in parallel after it has answered a call itself."""
    told = []
    with switching_often():
        for _ in range(40):
            log = MemoryDelivery()
            config: Any = {"callbacks": [CoagentCallbackHandler(delivery=log)]}
            asked = chat(calls(("add", {"a": 1, "b": 2}, "c1"))).invoke("q", config)
            messages = [HumanMessage("q"), asked, ToolMessage("3", tool_call_id="c1")]
            at_once(*[functools.partial(chat("3").invoke, messages, config)] * 4)
            told.append(len(tool_answers(log)))

    assert told == [1] * 40


def test_old_errors_in_a_conversation_are_not_told_again(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A node may pass on the whole conversation: what was answered in it before is not the node's answer."""

    def handed_on(state: MessagesState) -> MessagesState:
        return {"messages": state["messages"]}

    model = chat(calls(("magic", {}, "1")), "done", "again")
    graph = StateGraph(MessagesState).add_node("agent", create_agent(model, [add])).add_node("next", handed_on)
    app = graph.add_edge(START, "agent").add_edge("agent", "next").compile(checkpointer=InMemorySaver())
    for _ in range(2):
        app.invoke({"messages": [("user", "q")]}, {"callbacks": [handler], "configurable": {"thread_id": "t"}})

    assert tool_answers(log) == [(1, "1", "magic", False, "not run")]
