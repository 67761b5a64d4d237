"""The table of docs/hooks.md: each row is run, and every hook is listed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from coagent_langchain import CoagentCallbackHandler, EventType
from coagent_langchain.testing import MemoryDelivery
from tests.contract import table
from tests.fakes import chat
from tests.reading import types

DOC = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
TABLE = DOC.partition("| LangChain calls |")[2].partition("\n\n")[0]
ROWS = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", TABLE, re.M))
AROUND = {"session_start", "user_input"}
ANSWER = LLMResult(generations=[[ChatGeneration(message=AIMessage("soup"))]])


class Library(BaseRetriever):
    """Finds nothing, or fails."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Any]:
        if query == "fail":
            raise ValueError("no")
        return []


@tool
def cook(food: str) -> str:
    """Cook."""
    if food == "fail":
        raise ValueError("no")
    return food


def graph(node: Callable[[Any], Any], **more: Any) -> Any:
    """A graph of one given node and a last one."""
    own = StateGraph(MessagesState)
    own.add_node("node", node, **more)
    own.add_node("last", lambda state: {"messages": []})
    own.add_edge(START, "node")
    return own.compile(checkpointer=InMemorySaver())


def config(handler: CoagentCallbackHandler) -> Any:
    """The config of every run."""
    return {"callbacks": [handler], "configurable": {"thread_id": "t"}}


def in_call(handler: CoagentCallbackHandler, *hooks: str) -> None:
    """Start a model call and call the hooks in it that take one argument."""
    run_id = uuid4()
    handler.on_chat_model_start({}, [[]], run_id=run_id)
    for hook in hooks:
        value: Any = {"on_llm_end": ANSWER, "on_llm_error": ValueError("no")}.get(hook, "token")
        getattr(handler, hook)(value, run_id=run_id)


def failing(run: Callable[[], Any]) -> None:
    """Run what is expected to raise."""
    with pytest.raises(ValueError, match="no"):
        run()


def model_errors(handler: CoagentCallbackHandler) -> None:
    """A failure, and an abandoned stream."""
    in_call(handler, "on_llm_error")
    stream = chat("one two").stream("q", config(handler))
    next(stream)
    stream.close()  # type: ignore[attr-defined]


def cancelled(handler: CoagentCallbackHandler, run_id: UUID) -> None:
    """A root run that Ctrl-C stops."""
    handler.on_chain_start({}, "q", run_id=run_id)
    handler.on_chain_error(KeyboardInterrupt(), run_id=run_id)


def log_one(handler: CoagentCallbackHandler, run_id: UUID) -> None:
    """The hooks that only report something."""
    handler.on_chain_start({}, "q", run_id=run_id)
    handler.on_text("text", run_id=run_id)
    handler.on_retry(SimpleNamespace(attempt_number=1, outcome=None), run_id=run_id)
    handler.on_custom_event("progress", {}, run_id=run_id)


def judge(handler: CoagentCallbackHandler, run_id: UUID) -> None:
    """A decision model's hooks, which the oldest langchain-core does not have."""
    handler.on_chain_start(None, {"state": "leek", "questions": {}}, run_id=run_id, run_type="llm", name="Judge")
    handler.on_chain_end({"answers": {}}, run_id=run_id)


def decisions(handler: CoagentCallbackHandler, run_id: UUID) -> None:
    """The hooks of an agent."""
    handler.on_chain_start({}, "q", run_id=run_id)
    handler.on_agent_action(AgentAction("cook", "leek", ""), run_id=run_id)
    handler.on_agent_finish(AgentFinish({}, ""), run_id=run_id)


def both(run: Any, handler: CoagentCallbackHandler) -> None:
    """Run once with success and once with failure."""
    run.invoke("leek" if run is not cook else {"food": "leek"}, config(handler))
    failing(lambda: run.invoke("fail" if run is not cook else {"food": "fail"}, config(handler)))


def ask(handler: CoagentCallbackHandler) -> None:
    """Ask a question and answer it."""
    asking = graph(lambda state: interrupt("ok?") and {"messages": []})
    asking.invoke({"messages": []}, config(handler))
    asking.invoke(Command(resume="yes"), config(handler))


def recover(handler: CoagentCallbackHandler) -> None:
    """A failure, and a fallback that succeeds."""
    RunnableLambda(fail).with_fallbacks([RunnableLambda(str)]).invoke("q", config(handler))


def fail(_: Any) -> Any:
    """Raise."""
    raise ValueError("no")


TRIED: list[tuple[str, Callable[[Any], Any], set[str]]] = [
    ("the first root", lambda h: RunnableLambda(lambda x: x).invoke("q", config(h)), {"user_input"}),
    ("each root run", lambda h: RunnableLambda(lambda x: x).invoke("q", config(h)), {"session_start"}),
    ("`on_chat_model_start`", lambda h: in_call(h), AROUND),
    ("`on_llm_end`", lambda h: in_call(h, "on_llm_end"), {*AROUND, "llm_call"}),
    ("`on_llm_new_token`", lambda h: in_call(h, "on_llm_new_token", "on_stream_event"), {*AROUND, "llm_call"}),
    ("`on_llm_error`", model_errors, {*AROUND, "llm_call"}),
    ("a decision model's", lambda h: judge(h, uuid4()), AROUND),
    ("`on_tool_start`", lambda h: both(cook, h), AROUND),
    ("`on_retriever_start`", lambda h: both(Library(), h), {*AROUND, "tool_call", "tool_response", "error"}),
    ("`on_chain_start`", lambda h: graph(lambda s: {"messages": []}).invoke({"messages": []}, config(h)), AROUND),
    ("`on_chain_error`", lambda h: failing(lambda: RunnableLambda(fail).invoke("q", config(h))), AROUND),
    ("a cancelled or abandoned root run's", lambda h: cancelled(h, uuid4()), AROUND),
    ("a run that succeeds", recover, {*AROUND, "error"}),
    ("LangGraph's interrupt", ask, {*AROUND, "component_enter", "component_exit"}),
    ("LangGraph's `Command(goto", lambda h: graph(lambda s: Command(goto="last")).invoke({"messages": []}, config(h)),
     {*AROUND, "component_enter", "component_exit"}),
    ("`on_retry`", lambda h: log_one(h, uuid4()), AROUND),
    ("`on_agent_action`", lambda h: decisions(h, uuid4()), AROUND),
]  # fmt: skip


@pytest.mark.parametrize(("row", "run", "beside"), TRIED, ids=[row for row, _, _ in TRIED])
def test_each_row_becomes_what_it_says(
    row: str, run: Callable[[Any], Any], beside: set[str], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A row's hooks produce the events that its second column names, besides those of the surrounding run."""
    (said,) = [becomes for calls, becomes in ROWS.items() if calls.startswith(row)]
    named = {name for name in re.findall(r"`(\w+)`", said) if name in {each.value for each in EventType}}
    run(handler)

    assert set(types(log)) == named | beside


def test_every_row_is_tried() -> None:
    """Each row of the table has its test."""
    tried = [sum(calls.startswith(row) for row, _, _ in TRIED) for calls in ROWS]

    assert tried == [1] * len(ROWS)


def test_every_hook_is_in_the_table() -> None:
    """All hooks of LangChain and LangGraph are in the first column."""
    hooks = {name for name in dir(BaseCallbackHandler) if name.startswith("on_")} | {"on_interrupt", "on_resume"}

    assert hooks - set(re.findall(r"on_\w+", " ".join(ROWS))) == set()


def test_every_fact_and_complaint_has_a_test() -> None:
    """F1 to F23 and complaints 1 to 53 are each the subject of a test."""
    found = table.tests()

    assert [key for key in table.KEYS if not found.get(key)] == []
    assert sorted(set(found) - set(table.KEYS)) == []
