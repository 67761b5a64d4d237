"""Tool calls and their answers: ids, calls that no tool runs, content blocks, structured output."""

from __future__ import annotations

import functools
import hashlib
import threading
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_tool_call
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt
from pydantic import BaseModel, ValidationError

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import calls, chat
from tests.reading import EMPTY, of_type, state_of
from tests.threads import at_once, switching_often
from tests.tools import add, tool_node


class Recipe(BaseModel):
    """A recipe."""

    name: str


def test_tool_calls_with_the_same_id_keep_their_prompts(log: MemoryDelivery) -> None:
    """Some servers number the calls of each response from 0: in a batch every tool belongs to its own prompt."""
    handler = CoagentCallbackHandler("s", delivery=log)

    def run(city: str) -> str:
        message = chat(calls(("visit", {"city": city}, "0"))).invoke(city)
        return str(visit.invoke(message.tool_calls[0]).content)

    @tool
    def visit(city: str) -> str:
        """Visit a city."""
        return city

    RunnableLambda(run).batch(["Rome", "Oslo", "Bern"], {"callbacks": [handler]})

    asked = {e["prompt"]: e["prompt_number"] for e in of_type(log, "user_input")}
    called = {e["tool_call"]["parameters"]["city"]: e["prompt_number"] for e in of_type(log, "tool_call")}
    assert (called, sorted(asked.values())) == (asked, [1, 2, 3])


def test_tool_calls_with_the_same_id_in_branches_keep_their_turns(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Two parallel agents of one run, with a server that numbers both their calls from 0: each tool has its turn."""
    both_have_asked = threading.Barrier(2)

    @tool
    def visit(city: str) -> str:
        """Visit a city."""
        return city

    def agent(city: str) -> str:
        message = chat(calls(("visit", {"city": city}, "0"))).invoke(city)
        both_have_asked.wait(10)
        return str(visit.invoke(message.tool_calls[0]).content)

    agents = {city: RunnableLambda(lambda _, city=city: agent(city)) for city in ("Rome", "Oslo")}
    RunnableParallel(agents).invoke("go", {"callbacks": [handler]})

    asked = {e["prompt"]: e["turn_number"] for e in of_type(log, "llm_call")}
    called = {e["tool_call"]["parameters"]["city"]: e["turn_number"] for e in of_type(log, "tool_call")}
    assert (called, sorted(asked.values())) == (asked, [1, 2])


def test_tool_calls_with_the_same_id_in_parallel_agents_are_told_once(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """What one agent's tool answers is no answer to the other agent's call, which has the same id and still waits."""
    one_visits, both_have_asked, one_has_ended = (threading.Event() for _ in range(3))

    @tool
    def visit(city: str) -> str:
        """Visit a city."""
        one_visits.set()
        both_have_asked.wait(10)
        return city

    @wrap_tool_call
    def wait(request: Any, run: Any) -> Any:
        both_have_asked.set()
        one_has_ended.wait(10)
        return run(request)

    def later(state: Any) -> Any:
        one_visits.wait(10)
        return state

    def agent(city: str, *middleware: Any) -> Any:
        return create_agent(chat(calls(("visit", {"city": city}, "0")), city), [visit], middleware=middleware)

    first = agent("Rome") | RunnableLambda(lambda _: one_has_ended.set())
    second = RunnableLambda(later) | agent("Oslo", wait)
    RunnableParallel(first=first, second=second).invoke({"messages": []}, {"callbacks": [handler]})

    called = [(e["turn_number"], e["tool_call"]["parameters"]["city"]) for e in of_type(log, "tool_call")]
    assert called == [(1, "Rome"), (2, "Oslo")]
    assert answers(log) == [(1, "0", "visit", True, None), (2, "0", "visit", True, None)]


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

    assert answers(log) == [(1, "c2", "visit", True, "answered by node"), (1, "c1", "visit", True, None)]


def test_structured_answer_of_an_agent_is_not_taken_for_the_call_of_the_tool_around_it(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A tool calls another agent, whose model numbers its calls from 0, too: the tool's answer is that tool's alone."""
    cook = create_agent(chat(calls(("Recipe", {"name": "soup"}, "0"))), response_format=ToolStrategy(Recipe))

    @tool
    def ask_cook(question: str) -> str:
        """Ask the cook."""
        return str(cook.invoke({"messages": [("user", question)]})["structured_response"].name)

    agent = create_agent(chat(calls(("ask_cook", {"question": "what?"}, "0")), "soup"), [ask_cook])
    agent.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    assert answers(log) == [(1, "0", "ask_cook", True, None)]


def test_tool_that_no_model_has_asked_for_is_a_prompt(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Neither before a model asks for it, nor if the only call for it was left waiting in an earlier prompt."""
    config: Any = {"callbacks": [handler]}
    add.invoke({"a": 1, "b": 1}, config)
    chat(calls(("add", {"a": 2, "b": 2}, "c1"))).invoke("2 + 2?", config)
    chat("soup").invoke("cook", config)
    add.invoke({"a": 3, "b": 3}, config)

    assert [(e["prompt_number"], e["turn_number"]) for e in of_type(log, "tool_call")] == [(1, 0), (4, 0)]


def test_tool_that_an_application_runs_is_told_once_though_an_earlier_call_for_it_waits(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A call that was left waiting in an earlier prompt does not stand in for the one that the latest prompt made."""
    config: Any = {"callbacks": [handler]}
    chat(calls(("add", {"a": 2, "b": 2}, "c1"))).invoke("2 + 2?", config)
    asked = chat(calls(("add", {"a": 3, "b": 3}, "c2"))).invoke("3 + 3?", config)
    answer = ToolMessage(str(add.invoke({"a": 3, "b": 3}, config)), tool_call_id="c2")
    chat("six").invoke([HumanMessage("3 + 3?"), asked, answer], config)

    told = [(e["event_type"], e["prompt_number"], e["turn_number"]) for e in log.entries[4:]]
    assert told == [("user_input", 2, 0), ("llm_call", 2, 1), ("llm_response", 2, 1), ("tool_call", 2, 1),
                    ("tool_response", 2, 1), ("llm_call", 2, 2), ("llm_response", 2, 2)]  # fmt: skip


def test_graph_that_is_given_a_models_calls_stays_in_its_prompt(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """For example a graph of tools alone: its input ends with the model's tool calls."""
    config: Any = {"callbacks": [handler]}
    graph = StateGraph(MessagesState)
    graph.add_node("tools", lambda state: {"messages": [add.invoke(c) for c in state["messages"][-1].tool_calls]})
    graph.add_edge(START, "tools")
    asked = chat(calls(("add", {"a": 2, "b": 2}, "c1"))).invoke("2 + 2?", config)
    graph.compile().invoke({"messages": [HumanMessage("2 + 2?"), asked]}, config)

    told = [(e["event_type"], e["prompt_number"], e["turn_number"]) for e in log.entries[1:]]
    assert told == [("user_input", 1, 0), *((kind, 1, 1) for kind in ("llm_call", "llm_response", "component_enter",
                    "tool_call", "tool_response", "component_exit"))]  # fmt: skip


def test_answer_of_a_tool_that_nobody_is_known_to_have_asked_for(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """If another process called the model, a call with the tool's result is a prompt of its own."""
    chat("soup").invoke("cook", {"callbacks": [handler]})
    asked = [HumanMessage("2 + 2?"), calls(("add", {"a": 2, "b": 2}, "c1")), ToolMessage("4", tool_call_id="c1")]
    chat("four").invoke(asked, {"callbacks": [handler]})

    assert [(e["prompt_number"], e["prompt"]) for e in of_type(log, "user_input")] == [(1, "cook"), (2, "2 + 2?")]


def test_structured_output_of_a_model_is_marked(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A call that `with_structured_output` requests is marked in the response: no tool will answer it."""
    model = chat(calls(("Recipe", {"name": "soup"}, "c1"))).with_structured_output(Recipe)
    result = model.invoke("q", {"callbacks": [handler]})

    (call,) = of_type(log, "llm_response")[0]["llm_response"]["tool_calls"]["calls"]
    assert (result, call["structured_output"]) == (Recipe(name="soup"), True)


def test_call_of_a_tool_beside_structured_output_is_not_marked(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Only the call that has the schema's name is the answer: a model may call a tool in the same response."""
    message = calls(("weigh", {"food": "leek"}, "c1"), ("Recipe", {"name": "soup"}, "c2"))
    chat(message).with_structured_output(Recipe, include_raw=True).invoke("q", {"callbacks": [handler]})

    asked = of_type(log, "llm_response")[0]["llm_response"]["tool_calls"]["calls"]
    assert [(call["name"], call.get("structured_output")) for call in asked] == [("weigh", None), ("Recipe", True)]


def test_call_names_the_schema_of_its_answer(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The schema of `with_structured_output`, however the model receives it."""
    chat("soup").with_structured_output(Recipe).invoke("q", {"callbacks": [handler]})

    assert [e["meta"]["structured_output"] for e in of_type(log, "llm_call")] == ["Recipe"]


def test_structured_output_beside_real_tools(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """With `ToolStrategy` and tools, the node's exit names only the call that no tool answers.

    LangChain's clearing of the structured response, before there is one, is no change to tell.
    """
    model = chat(calls(("add", {"a": 1, "b": 2}, "c1")), calls(("Recipe", {"name": "soup"}, "c2")))
    agent = create_agent(model, [add], response_format=ToolStrategy(Recipe))
    agent.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    named = [e["meta"].get("structured_output_calls") for e in of_type(log, "component_exit")]
    assert named == [None, None, ["c2"]]
    assert ["output_data" in e for e in of_type(log, "component_exit")] == [False, False, True]
    assert [e["meta"]["tool_call_id"] for e in of_type(log, "tool_call")] == ["c1"]


def answers(log: MemoryDelivery) -> list[tuple[Any, ...]]:
    """The tool responses: turn, id, name, success and outcome."""
    return [
        (e["turn_number"], e["meta"]["tool_call_id"], e["tool_response"]["tool_name"], e["tool_response"]["success"],
         e["meta"].get("outcome"))
        for e in of_type(log, "tool_response")
    ]  # fmt: skip


@pytest.mark.parametrize("components", ["nodes", "none"])
def test_tool_that_the_model_has_made_up_is_a_call_that_failed(components: str, log: MemoryDelivery) -> None:
    """LangGraph answers it without a hook; a call that reuses the id later is another one."""
    handler = CoagentCallbackHandler(delivery=log, components=components)
    model = chat(calls(("magic", {}, "1"), ("add", {"a": 1, "b": 2}, "2")), calls(("magic", {}, "2")), "done")
    agent = create_agent(model, [add])
    graph = StateGraph(MessagesState).add_node("agent", agent).add_edge(START, "agent").compile()
    graph.invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})

    assert sorted(answers(log)) == [
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

    assert [each[1:3] for each in answers(log)] == [("2", "add"), ("1", "magic")]


TEXTS = [{"type": "text", "text": "two rows", "id": "lc_1"}, {"type": "text", "text": "3, 4", "id": "lc_2"}]
IMAGE = {"type": "image", "base64": "aGVsbG8=", "mime_type": "image/png"}
DESCRIBED = {**IMAGE, "base64": {"mime": "image/png", "bytes": 5, "sha256": hashlib.sha256(b"hello").hexdigest()}}


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
    assert answers(log) == [(1, "1", "add", succeeded, outcome)]
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

    assert answers(log) == [(1, "1", "add", False, "not run")]


def test_call_that_is_answered_without_its_tool_is_told(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A middleware may know the answer already: no tool runs, so no hook reports it."""

    @wrap_tool_call
    def cached(request: Any, run: Any) -> ToolMessage:
        return ToolMessage("3", tool_call_id=request.tool_call["id"])

    agent = create_agent(chat(calls(("add", {"a": 1, "b": 2}, "1")), "done"), [add], middleware=[cached])
    agent.invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})

    assert answers(log) == [(1, "1", "add", True, "answered by node")]
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

    assert answers(log) == [(1, "1", "add", True, "answered by node")]


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

    assert answers(log) == [(1, "1", "add", True, "answered by node")]
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
    assert answers(log) == [(1, "1", "add", True, by_application), (1, "2", "div", False, by_application)]
    assert [e["tool_call"]["parameters"] for e in of_type(log, "tool_call")] == [{"a": 1, "b": 2}, {"a": 1, "b": 0}]
    told = [e["tool_response"] for e in of_type(log, "tool_response")]
    assert [(each["result"], each.get("error_message")) for each in told] == [
        ({"output": "3"}, None),
        ({"output": "by zero"}, "by zero"),
    ]
    assert state_of(handler) == EMPTY


@pytest.mark.parametrize("wrapped", [False, True])
def test_tool_that_the_application_runs_without_its_call_is_told_once(
    wrapped: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The message that it makes of the result is no second call, not even if the model asks for the tool again."""
    model = chat(calls(("add", {"a": 1, "b": 2}, "1")), calls(("add", {"a": 3, "b": 3}, "2")), "done")

    def loop(question: str, config: RunnableConfig) -> Any:
        messages: list[Any] = [HumanMessage(question)]
        while (asked := model.invoke(messages, config)).tool_calls:
            (call,) = asked.tool_calls
            result = add.invoke(call["args"], config) if call["id"] == "1" else 6
            messages += [asked, ToolMessage(str(result), tool_call_id=call["id"])]
        return asked

    config: RunnableConfig = {"callbacks": [handler]}
    _ = RunnableLambda(loop).invoke("q", config) if wrapped else loop("q", config)

    assert [e["meta"].get("outcome") for e in of_type(log, "tool_response")] == [None, "answered by application"]


def test_tool_that_is_run_without_its_call_has_the_call_with_its_arguments(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """41 langchain-ai/langchain#34168: without an id, it is the call of the same name and arguments that waits."""
    model = chat(calls(("add", {"a": 1, "b": 2}, "c1"), ("add", {"a": 3, "b": 4}, "c2")), "done")

    def loop(question: str) -> None:
        model.invoke(question)
        model.invoke("think")
        for arguments in ({"a": 3, "b": 4}, {"a": 1, "b": 2}, {"a": 1, "b": 2}):
            add.invoke(arguments)

    RunnableLambda(loop).invoke("q", {"callbacks": [handler]})

    told = [(e["event_type"], e["meta"].get("tool_call_id"), e["turn_number"])
            for e in log.entries if e["event_type"].startswith("tool")]  # fmt: skip
    ran = [("c2", 1), ("c1", 1), (None, 2)]
    assert told == [(kind, *each) for each in ran for kind in ("tool_call", "tool_response")]


def test_equal_calls_that_are_run_at_once_without_their_ids_have_one_each() -> None:
    """Each of several tools that begin in parallel, with the same arguments, is another call."""
    told = []
    equal = [("add", {"a": 1, "b": 2}, f"c{number}") for number in range(4)]
    with switching_often():
        for _ in range(20):
            log = MemoryDelivery()

            def loop(question: str, config: RunnableConfig) -> None:
                asked = chat(calls(*equal)).invoke(question, config)
                at_once(*[functools.partial(add.invoke, call["args"], config) for call in asked.tool_calls])

            RunnableLambda(loop).invoke("q", {"callbacks": [CoagentCallbackHandler(delivery=log)]})
            told.append(sorted(e["meta"].get("tool_call_id", "") for e in of_type(log, "tool_call")))

    assert told == [["c0", "c1", "c2", "c3"]] * 20


@pytest.mark.parametrize("wrapped", [False, True])
def test_tool_that_is_run_with_the_arguments_alone_has_the_turn_of_its_request(
    wrapped: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Even if the tool before it has asked a model, in a run or in a prompt's block."""

    @tool
    def ask(a: int) -> str:
        """Ask a model."""
        return chat(str(a)).invoke("a?").text

    def loop(question: str, config: RunnableConfig) -> Any:
        asked = chat(calls(("ask", {"a": 1}, "1"), ("add", {"a": 1, "b": 2}, "2"))).invoke(question, config)
        for each, call in zip((ask, add), asked.tool_calls, strict=True):
            each.invoke(call["args"], config)
        return asked

    config: RunnableConfig = {"callbacks": [handler]}
    with handler.session("s") as session, session.prompt("q"):
        _ = RunnableLambda(loop).invoke("q", config) if wrapped else loop("q", config)

    turns = [(e["event_type"], e["turn_number"]) for e in log.entries if e["turn_number"]]
    assert turns == [
        ("llm_call", 1), ("llm_response", 1), ("tool_call", 1), ("llm_call", 2), ("llm_response", 2),
        ("tool_response", 1), ("tool_call", 1), ("tool_response", 1),
    ]  # fmt: skip


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
            told.append(len(answers(log)))

    assert told == [1] * 40


@pytest.mark.parametrize("arguments", [{"a": 1, "b": 2}, {"a": 1}])
def test_tool_that_a_node_runs_without_its_call_is_told_once(
    log: MemoryDelivery, handler: CoagentCallbackHandler, arguments: dict[str, int]
) -> None:
    """The node answers the call itself, with the tool's result or with its error."""
    model = chat(calls(("add", arguments, "1")))

    def tools(state: MessagesState) -> MessagesState:
        try:
            message = ToolMessage(add.invoke(arguments), tool_call_id="1")
        except ValidationError:
            message = ToolMessage("wrong", tool_call_id="1", status="error")
        return {"messages": [message]}

    graph = StateGraph(MessagesState).add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    app = graph.add_node("tools", tools).add_edge(START, "model").add_edge("model", "tools").compile()
    app.invoke({"messages": [("user", "q")]}, {"callbacks": [handler]})

    assert [e["meta"].get("outcome") for e in of_type(log, "tool_response")] == [None]


def test_a_structured_answer_beside_messages_of_an_sdk(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A node that calls a provider's SDK returns messages with calls in another form: its exit is logged."""
    sdk = pytest.importorskip("openai.types.chat")  # not among the oldest versions
    function = {"id": "c1", "type": "function", "function": {"name": "Recipe", "arguments": "{}"}}
    message = sdk.ChatCompletionMessage.model_validate({"role": "assistant", "tool_calls": [function]})
    graph = StateGraph(dict).add_node("cook", lambda state: {"messages": [message], "structured_response": "soup"})
    graph.add_edge(START, "cook").compile().invoke({}, {"callbacks": [handler]})

    (left,) = of_type(log, "component_exit")
    assert (left["output_data"], left["meta"]["messages"]) == ({"structured_response": "soup"}, 1)


class Weather(BaseModel):
    """The schema of an agent's answer."""

    city: str
    degrees: int


def test_structured_answer_that_is_refused_is_a_call_that_failed(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangChain tells the model what is wrong and asks again: no hook reports it, and it costs tokens."""
    script = [calls(("Weather", {"city": "Rome", "degrees": warm}, str(warm))) for warm in ("hot", 30)]
    agent = create_agent(chat(*script), [], response_format=ToolStrategy(Weather))
    steps: list[Any] = [*agent.stream({"messages": [("user", "q")]}, {"callbacks": [handler]})]
    if "structured_response" not in steps[0]["model"]:
        pytest.skip("this langchain does not tell a refused answer from any other")

    assert answers(log) == [(1, "hot", "Weather", False, "not run")]
    assert [e["tool_call"]["parameters"] for e in of_type(log, "tool_call")] == [{"city": "Rome", "degrees": "hot"}]
    assert "Input should be a valid integer" in of_type(log, "tool_response")[0]["tool_response"]["error_message"]


def test_old_errors_in_a_conversation_are_not_told_again(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A node may pass on the whole conversation: what was answered in it before is not the node's answer."""

    def handed_on(state: MessagesState) -> MessagesState:
        return {"messages": state["messages"]}

    model = chat(calls(("magic", {}, "1")), "done", "again")
    graph = StateGraph(MessagesState).add_node("agent", create_agent(model, [add])).add_node("next", handed_on)
    app = graph.add_edge(START, "agent").add_edge("agent", "next").compile(checkpointer=InMemorySaver())
    for _ in range(2):
        app.invoke({"messages": [("user", "q")]}, {"callbacks": [handler], "configurable": {"thread_id": "t"}})

    assert answers(log) == [(1, "1", "magic", False, "not run")]
