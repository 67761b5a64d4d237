"""Whatever the sequence of hooks, legal or not: nothing is raised, numbers are in order, each call is closed once."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langgraph.errors import GraphInterrupt, ParentCommand
from langgraph.types import Command, Interrupt

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.errors import guard
from coagent_langchain.events import LogEntry
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import USAGE
from tests.reading import EMPTY, of_type, state_of

RUNS = [UUID(int=number) for number in range(10)]  # two of each kind; LangChain never ends a run as another kind
STRANGER = UUID(int=99)
ODD: Any = st.sampled_from([None, 7, "text", b"bytes", [], {}, [None], {"a": {1, 2}}, float("nan"), object()])

run_ids = st.sampled_from(RUNS)
parents = st.one_of(st.none(), run_ids, st.just(STRANGER))
tags = st.one_of(ODD, st.just(["seq:step:1", "mine"]), st.just(["retry:attempt:2"]), st.just(["graph:step:1"]))
metadata = st.one_of(
    ODD,
    st.just({"thread_id": "t1"}),
    st.just({"thread_id": "t2", "prompt_number": 3}),
    st.just({"langgraph_node": "node", "langgraph_step": 1, "langgraph_checkpoint_ns": "a:1|node:2"}),
)
messages = st.one_of(ODD, st.just([[HumanMessage("hello")]]), st.just([[AIMessage("a")], [HumanMessage("b")]]))
inputs = st.one_of(ODD, st.just({"messages": [HumanMessage("hello")]}), st.just({"input": ""}),
                   st.just(Command(resume="yes")))  # fmt: skip
answers = st.one_of(
    ODD,
    st.just(LLMResult(generations=[])),
    st.just(LLMResult(generations=[[ChatGeneration(message=AIMessage("a", usage_metadata=USAGE))]])),
    st.just(
        LLMResult(
            generations=[[ChatGeneration(message=AIMessage("", tool_calls=[{"name": "tool", "args": {}, "id": "c1"}]))]]
        )
    ),
)
outputs = st.one_of(ODD, st.just(ToolMessage("x", tool_call_id="c1", status="error")), st.just(Command(goto="bob")),
                    st.just({"messages": [AIMessage("a")]}))  # fmt: skip
SAME = ValueError("the same object again")
errors = st.one_of(
    ODD,
    st.just(SAME),
    st.builds(ValueError, st.just("no")),
    st.builds(GeneratorExit),
    st.builds(KeyboardInterrupt),
    st.builds(GraphInterrupt, st.just((Interrupt("ok?", id="i1"),))),
    st.builds(ParentCommand, st.just(Command(goto="bob", graph=Command.PARENT))),
    st.builds(ExceptionGroup, st.just("several"), st.just([SAME, KeyError("b")])),
)
extra = st.fixed_dictionaries(
    {},
    optional={
        "name": st.one_of(ODD, st.just("node")),
        "invocation_params": ODD,
        "options": ODD,
        "batch_size": ODD,
        "tool_call_id": st.one_of(ODD, st.just("c1")),
        "inputs": inputs,
        "response": answers,
    },
)

STARTS = {
    "on_chain_start": inputs,
    "on_chat_model_start": messages,
    "on_llm_start": messages,
    "on_tool_start": ODD,
    "on_retriever_start": ODD,
}
KINDS = {"chain": 0, "chat_model": 2, "llm": 4, "tool": 6, "retriever": 8}
ENDS = {"chain": outputs, "llm": answers, "chat_model": answers, "tool": outputs, "retriever": ODD}


@st.composite
def calls(draw: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """One call of any hook: name, positional and keyword arguments."""
    of = draw(st.sampled_from(sorted(KINDS)))
    run_id, parent = RUNS[KINDS[of] + draw(st.integers(0, 1))], draw(parents)
    place = {"run_id": run_id, "parent_run_id": parent}
    step = draw(st.sampled_from(["start", "start", "start", "end", "end", "error", "other"]))
    more = draw(extra)
    end = "llm" if of == "chat_model" else of
    if step == "start":
        more |= {"tags": draw(tags), "metadata": draw(metadata)}
        more.pop("response", None)
        if of != "tool":
            more.pop("inputs", None)
        return f"on_{of}_start", (draw(ODD), draw(STARTS[f"on_{of}_start"])), {**place, **more}
    if step == "end":
        more.pop("response", None)
        return f"on_{end}_end", (draw(ENDS[of]),), {**place, **more}
    if step == "error":
        return f"on_{end}_error", (draw(errors),), {**place, **more}
    name, *arguments = draw(
        st.sampled_from([
            ("on_llm_new_token", "token"),
            ("on_llm_new_token", ""),
            ("on_stream_event", {"event": "content-block-delta"}),
            ("on_stream_event", None),
            ("on_text", "text"),
            ("on_text", None),
            ("on_retry", None),
            ("on_custom_event", "progress", {"level": "debug"}),
            ("on_custom_event", None, {"level": ["odd"]}),
            ("on_agent_action", AgentAction("tool", "input", "log")),
            ("on_agent_action", None),
            ("on_agent_finish", AgentFinish({"output": "x"}, "log")),
            ("on_agent_finish", None),
        ])
    )  # fmt: skip
    return name, tuple(arguments), {"run_id": run_id} if name == "on_custom_event" else place


def play(sequence: list[tuple[str, tuple[Any, ...], dict[str, Any]]]) -> tuple[MemoryDelivery, CoagentCallbackHandler]:
    """Send the calls to a handler, then close it."""
    guard.collected = []
    log = MemoryDelivery()
    handler = CoagentCallbackHandler(delivery=log)
    for name, arguments, keywords in sequence:
        getattr(handler, name)(*arguments, **keywords)
    handler.close()
    return log, handler


def check(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Check what holds after every sequence."""
    assert guard.collected == []
    assert state_of(handler) == EMPTY
    for entry in log.entries:
        LogEntry.model_validate(entry)
    assert len({entry["event_id"] for entry in log.entries}) == len(log.entries)
    for call, ends in (("llm_call", ("llm_response", "error")), ("tool_call", ("tool_response",))):
        opened = Counter(entry["meta"]["trace"]["run_id"] for entry in of_type(log, call))
        ended = Counter(
            entry["meta"]["trace"]["run_id"]
            for end in ends
            for entry in of_type(log, end)
            if entry["meta"]["trace"]["run_id"] in opened
        )
        assert ended == opened, (call, ended, opened)
        assert set(opened.values()) <= {1}
    check_numbers(log)
    check_totals(log)


def check_numbers(log: MemoryDelivery) -> None:
    """Turns of a prompt are 1 to n in order; a call and its response have the same numbers."""
    for session, prompt in {(e["session_id"], e["prompt_number"]) for e in log.entries}:
        own = [e for e in log.entries if (e["session_id"], e["prompt_number"]) == (session, prompt)]
        turns = [e["turn_number"] for e in own if e["event_type"] == "llm_call"]
        assert turns == list(range(1, len(turns) + 1))
        assert [e["event_type"] for e in own].count("user_input") <= 1
    numbers: dict[str, set[tuple[int, int]]] = {}
    for entry in log.entries:
        if entry["event_type"] in ("llm_call", "llm_response", "tool_call", "tool_response"):
            key = entry["meta"]["trace"]["run_id"]
            numbers.setdefault(key, set()).add((entry["prompt_number"], entry["turn_number"]))
    assert all(len(pairs) == 1 for pairs in numbers.values()), numbers


def check_totals(log: MemoryDelivery) -> None:
    """Each session starts and ends once, and its end has the totals of what it logged."""
    for session in {entry["session_id"] for entry in log.entries}:
        own = [entry for entry in log.entries if entry["session_id"] == session]
        count = Counter(entry["event_type"] for entry in own)
        totals = own[-1]["meta"]
        assert (own[0]["event_type"], own[-1]["event_type"]) == ("session_start", "session_end")
        assert (count["session_start"], count["session_end"]) == (1, 1)
        assert {k: totals[k] for k in ("llm_calls", "tool_calls", "errors", "recoveries")} == {
            "llm_calls": count["llm_call"],
            "tool_calls": count["tool_call"],
            "errors": count["error"],
            "recoveries": count["recovery"],
        }
        tokens = [e["llm_response"].get("total_tokens") for e in own if "llm_response" in e]  # of a failed stream too
        assert totals.get("total_tokens") == (sum(t for t in tokens if t) or None)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(calls(), max_size=30))
def test_any_sequence_of_hooks_keeps_the_rules(sequence: list[Any]) -> None:
    """Starts, ends, errors and tokens in any order, twice or never, with odd or missing arguments."""
    log, handler = play(sequence)

    check(log, handler)
