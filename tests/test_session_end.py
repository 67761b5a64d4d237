"""When a session ends, with which status and duration, and what its last event contains."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from contextvars import copy_context
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import StateGraph

from coagent_langchain import CoagentCallbackHandler, Session
from coagent_langchain.server.store.rollup import roll_up
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import chat
from tests.reading import ONE_CALL, of_type, types
from tests.tools import asking_agent, in_thread
from tests.waiting import pass_time

A_MINUTE = 59_990  # milliseconds: two clocks that are read one after the other may differ by one


@pytest.mark.parametrize("rule", [{}, {"redact": dict}], ids=["none", "the same"])
def test_session_of_handlers_made_per_request_ends_with_its_last_answer(
    rule: dict[str, Any], log: MemoryDelivery
) -> None:
    """Handlers with the same redaction repeat the last answer, whichever of them began the session."""
    for answer in ("first", "last"):
        handler = CoagentCallbackHandler("s", delivery=log, **rule)
        chat(answer).invoke("q", {"callbacks": [handler]})
    handler.close()

    assert log.entries[-1]["output_data"] == {"response": "last"}


@pytest.mark.parametrize("minutes", [1, -1], ids=["forward", "back"])
def test_clock_that_is_set_takes_and_adds_no_time(
    minutes: int, log: MemoryDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session whose end is read from another clock than its events has no negative duration, nor the difference."""
    handler = CoagentCallbackHandler("s", delivery=log)
    chat("a").invoke("q", {"callbacks": [handler]})
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + minutes * 60 * 10**9)
    handler.close()

    assert 0 <= log.entries[-1]["meta"]["elapsed_time_ms"] < A_MINUTE


def test_session_that_was_never_begun_has_no_end(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Ending a session whose block was never entered logs nothing."""
    handler.session("Cook").end()

    assert log.entries == []


def test_totals_of_a_session_can_be_read_while_it_is_open(handler: CoagentCallbackHandler) -> None:
    """The usage so far is available, for example for a budget."""
    with handler.session("Cook") as session:
        chat("a").invoke("q", {"callbacks": [handler]})
        totals = session.totals

    assert (totals.llm_calls, totals.total_tokens) == (1, 14)


@pytest.mark.parametrize(("known", "tokens"), [("completion_tokens", (3, 8, 11)), ("prompt_tokens", (10, 1, 11))])
def test_total_includes_responses_that_report_only_one_number(
    known: str, tokens: tuple[int, int, int], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The total has the tokens that are known, as in the viewer; such a call, too, may have no price."""
    part = AIMessage("a", response_metadata={"token_usage": {known: 7}})
    whole = AIMessage("b", usage_metadata={"input_tokens": 3, "output_tokens": 1, "total_tokens": 4})
    model = chat(part, whole)
    with handler.session("Cook") as session:
        for _ in range(2):
            model.invoke("q", {"callbacks": [handler]})
    (counted,) = roll_up(log.entries)
    names = ("input_tokens", "output_tokens", "total_tokens", "unpriced_calls")

    assert [getattr(session.totals, name) for name in names] == [*tokens, 2]
    assert [counted.counts[name] for name in names] == [*tokens, 2]


def test_session_lasts_as_long_as_its_last_chain(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The time that a chain runs after its last model call is part of the session, though there is no event for it."""
    (chat("a") | (lambda answer: time.sleep(0.03))).invoke("q", {"callbacks": [handler]})
    handler.close()

    last, end = log.entries[-2:]
    assert (end["timestamp"] - last["timestamp"] >= 25, end["meta"]["elapsed_time_ms"] >= 25) == (True, True)


@pytest.mark.parametrize("early", [False, True], ids=["left", "ended inside"])
def test_session_with_a_block_ends_with_it(
    early: bool, log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lasts from when the block is entered, not created, until it is left, or ended by `end()` inside."""
    session = handler.session("Cook")
    pass_time(monkeypatch, 1)
    with session:
        chat("a").invoke("q", {"callbacks": [handler]})
        pass_time(monkeypatch, 1)
        if early:
            session.end()

    last, end = log.entries[-2:]
    assert end["timestamp"] - last["timestamp"] >= 60_000
    assert A_MINUTE <= end["meta"]["elapsed_time_ms"] < 2 * A_MINUTE


@pytest.mark.parametrize("how", ["closed", "idle"])
def test_session_that_waits_for_a_person_says_so(
    how: str, log: MemoryDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session with an unanswered interrupt is not completed."""
    handler = CoagentCallbackHandler("s", delivery=log)
    asking_agent().invoke(
        {"messages": [("user", "Pay?")]}, {"callbacks": [handler], "configurable": {"thread_id": "t"}}
    )
    if how == "idle":
        pass_time(monkeypatch, 31)
        handler._sessions.sweep()
    handler.close()

    assert log.entries[-1]["meta"]["status"] == "interrupted"


def test_how_the_application_ends_a_session_that_waits_counts(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A status that the application sets overrides that of an unanswered question."""
    with handler.session("Buy") as session:
        config: Any = {"callbacks": [handler], "configurable": {"thread_id": "t"}}
        asking_agent().invoke({"messages": [("user", "Pay?")]}, config)
        session.end("cancelled")

    assert [e["meta"]["status"] for e in of_type(log, "session_end")] == ["cancelled"]


def test_call_that_is_open_when_its_session_ends_ends_with_it(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """So does its node: their outcome is unknown, and their own ends, which come later, are not logged."""

    @tool
    def stop(food: str) -> str:
        """Stop."""
        handler.close()
        return food

    graph = StateGraph(dict).add_node("cook", lambda _: {"food": stop.invoke({"food": "leek"})})
    graph.set_entry_point("cook").compile().invoke({"food": ""}, {"callbacks": [handler]})

    assert [(e["event_type"], e.get("meta", {}).get("outcome")) for e in log.entries[3:]] == [
        ("tool_call", None), ("tool_response", "unknown"), ("component_exit", "unknown"), ("session_end", None),
    ]  # fmt: skip


def test_session_that_ends_leaves_what_others_run_open(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A service has many conversations at once, and may leave out some: only the runs of the one that ends end."""
    other, own, left_out = UUID(int=1), UUID(int=2), UUID(int=3)
    handler.on_chat_model_start({}, [[HumanMessage("q")]], run_id=other, metadata={"session_id": "other"})
    sampling = CoagentCallbackHandler(delivery=log, sample_rate=0)
    with contextlib.suppress(ValueError), handler.session("Cook", session_id="own"):
        sampling.on_chat_model_start({}, [[HumanMessage("q")]], run_id=left_out)
        handler.on_chat_model_start({}, [[HumanMessage("q")]], run_id=own)
        raise ValueError("no gas")
    handler.on_llm_end(LLMResult(generations=[[ChatGeneration(message=AIMessage("soup"))]]), run_id=other)

    ends = [e for e in log.entries if e["event_type"] in ("llm_response", "session_end")]
    assert [(e["session_id"], e["event_type"], e["meta"].get("outcome")) for e in ends] == [
        ("own", "llm_response", "unknown"), ("own", "session_end", None), ("other", "llm_response", None),
    ]  # fmt: skip


def test_call_that_begins_below_a_run_whose_session_has_ended_begins_it_again(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A part of a chain may go on after the chain and its session have ended: nothing follows `session_end`."""
    root, part, call = UUID(int=1), UUID(int=2), UUID(int=3)
    handler.on_chain_start({}, "soup?", run_id=root)
    handler.on_chain_start({}, "soup?", run_id=part, parent_run_id=root)
    handler.on_chain_end("soup", run_id=root)
    handler.close()
    handler.on_chat_model_start({}, [[HumanMessage("salt?")]], run_id=call, parent_run_id=part)
    handler.on_llm_end(None, run_id=call)
    handler.close()

    assert log.sequence == [
        ("session_start", 1, 0), ("user_input", 1, 0), ("session_end", 1, 0),
        ("session_start", 2, 0), ("user_input", 2, 0), ("llm_call", 2, 1), ("llm_response", 2, 1),
        ("session_end", 2, 0),
    ]  # fmt: skip


def test_run_that_is_open_when_all_sessions_end_is_cancelled(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """This includes a chain that has called nothing yet, whose session is only logged then."""
    RunnableLambda(lambda _: handler._sessions.end_all()).invoke("q", {"callbacks": [handler]})

    assert [(e["event_type"], e.get("meta", {}).get("status")) for e in log.entries] == [
        ("session_start", None), ("user_input", None), ("session_end", "cancelled"),
    ]  # fmt: skip


def test_session_that_is_left_by_an_error_ends_at_once(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Whatever is open then is closed with the session."""
    chain = RunnableLambda(str) | chat("one two three")
    with contextlib.suppress(ValueError), handler.session("Cook", session_id="s"):
        stream = chain.stream("q", {"callbacks": [handler]})
        next(stream)
        raise ValueError("burnt")
    list(stream)

    assert types(log) == [*ONE_CALL[:3], "error", "llm_response", "session_end"]
    assert [e["meta"].get("outcome") or e["meta"].get("status") for e in log.entries[-2:]] == ["unknown", "failed"]


def test_call_that_fails_after_its_run_has_ended_leaves_that_completed(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The run did not wait for it, and the application has its answer."""
    root, call = UUID(int=1), UUID(int=2)
    with handler.session("Cook"):
        handler.on_chain_start({}, "q", run_id=root)
        handler.on_chat_model_start({}, [[HumanMessage("q")]], run_id=call, parent_run_id=root)
        handler.on_chain_end("soup", run_id=root)
        handler.on_llm_error(ValueError("down"), run_id=call)

    assert [e["event_type"] for e in log.entries[-2:]] == ["error", "session_end"]
    assert (log.entries[-1]["meta"]["status"], log.entries[-1]["output_data"]) == ("completed", {"response": "soup"})


def test_block_around_a_conversation_that_goes_on_lasts_as_long_as_both(
    log: MemoryDelivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The elapsed time covers the whole session, from before the block."""
    handler = CoagentCallbackHandler("s", delivery=log)
    chat("a").invoke("q", {"callbacks": [handler]})
    pass_time(monkeypatch, 1)
    with handler.session("Cook", session_id="s"):
        pass

    assert log.entries[-1]["meta"]["elapsed_time_ms"] >= A_MINUTE


def test_session_of_a_cancelled_task_ends_as_cancelled(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A cancelled task ends its session as cancelled, without an error."""

    async def main() -> None:
        async with handler.session("Cook"):
            await asyncio.Event().wait()

    async def cancel() -> None:
        task = asyncio.create_task(main())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())

    assert types(log) == ["session_start", "session_end"]
    assert log.entries[-1]["meta"]["status"] == "cancelled"


@pytest.mark.parametrize(("code", "status", "response"), [
    (None, "completed", "soup"), (0, "completed", "soup"), (3, "failed", "Error: exit status 3"),
])  # fmt: skip
def test_program_that_exits_in_a_block(
    code: int | None, status: str, response: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The exit status decides whether the session has failed."""

    def program() -> None:
        with handler.session("Cook"):
            chat("soup").invoke("q", {"callbacks": [handler]})
            sys.exit(code)

    with pytest.raises(SystemExit):
        program()

    assert (log.entries[-1]["meta"]["status"], log.entries[-1]["output_data"]["response"]) == (status, response)


@pytest.mark.parametrize(("closed", "ends"), [("first", 0), ("second", 1)])
def test_session_ends_with_the_handler_that_used_it_last(closed: str, ends: int, log: MemoryDelivery) -> None:
    """A notebook cell that creates its handler again leaves the old one behind, which nobody closes."""
    handlers = {name: CoagentCallbackHandler("s", delivery=log) for name in ("first", "second")}
    for handler in handlers.values():
        chat("a").invoke("q", {"callbacks": [handler]})
    handlers[closed].close()

    assert len(of_type(log, "session_end")) == ends


def test_call_that_outlives_its_root_ends_with_its_handler(log: MemoryDelivery) -> None:
    """The call ends though the session continues, because another handler used it last."""
    first, last = (CoagentCallbackHandler("s", delivery=log) for _ in range(2))
    root, call = UUID(int=1), UUID(int=2)
    first.on_chain_start({}, "q", run_id=root)
    first.on_chat_model_start({}, [[]], run_id=call, parent_run_id=root)
    first.on_chain_error(ValueError("no"), run_id=root)
    RunnableLambda(str).invoke("q", {"callbacks": [last]})
    first.close()

    end = log.entries[-1]
    assert (end["event_type"], end["meta"]["outcome"], len(first._sessions)) == ("llm_response", "unknown", 1)


def test_chain_that_outlives_its_root_ends_with_its_session(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangChain may end a root before a chain in it: after the session's end, that chain's end logs nothing."""
    root, inner = uuid4(), uuid4()
    with handler.session():
        handler.on_chain_start({}, "q", run_id=root)
        handler.on_chain_start({}, "q", run_id=inner, parent_run_id=root)
        handler.on_chain_end("a", run_id=root)
    handler.on_chain_error(ValueError("late"), run_id=inner)

    assert types(log) == ["session_start", "user_input", "session_end"]


@pytest.mark.internal_errors
def test_what_cannot_be_logged_keeps_no_session_open() -> None:
    """If a delivery raises for one run, call or session, all others still end, and `end()` raises nothing."""

    class Picky(MemoryDelivery):
        def append(self, lines: bytes, count: int = 1) -> None:
            if b"burnt" in lines:
                raise OSError("cannot take that")
            super().append(lines, count)

    log = Picky()
    handler = CoagentCallbackHandler(delivery=log)
    block, run_id, call_id = handler.session(session_id="block"), uuid4(), uuid4()
    handler.on_chain_start({}, "burnt", run_id=uuid4())
    handler.on_chain_start({}, "q", run_id=run_id, metadata={"session_id": "call"})
    handler.on_chat_model_start({}, [[]], run_id=call_id, parent_run_id=run_id)
    handler.on_llm_new_token("burnt", run_id=call_id)
    for session_id, answer in (("end", "burnt"), ("whole", "soup")):
        config: Any = {"callbacks": [handler], "metadata": {"session_id": session_id}}
        RunnableLambda(lambda _, answer=answer: answer).invoke("q", config)
    with block:
        block.end(response="burnt")
    handler.close()
    own = log.entries[-1]["session_id"]

    assert [e["session_id"] for e in of_type(log, "session_end")] == ["call", "whole", own]


class LeavesBlock(MemoryDelivery):
    """A delivery that leaves a block while a root run in it ends, when "unanswered" is logged."""

    block: Session

    def append(self, lines: bytes, count: int = 1) -> None:
        """Keep the entries."""
        super().append(lines, count)
        if b'"unanswered"' in lines:
            thread = threading.Thread(target=self.block.__exit__, args=(None, None, None))
            thread.start()
            thread.join(10)


def test_block_that_is_left_while_its_run_ends_ends_as_that() -> None:
    """Another thread leaves it just before the run's status and answer are known: the session waits for them."""
    log, agent = LeavesBlock(), asking_agent()
    handler = CoagentCallbackHandler(delivery=log)
    with handler.session("Cook", session_id="s"):
        agent.invoke({"messages": [("user", "go")]}, in_thread(handler, "t"))

    def enter_and_run() -> None:
        log.block = handler.session(session_id="s").__enter__()
        agent.invoke({"messages": [("user", "Never mind")]}, in_thread(handler, "t"))

    copy_context().run(enter_and_run)  # the other thread leaves the block, but not in this context

    end = log.entries[-1]
    assert (end["event_type"], end["meta"]["status"], end["output_data"]) == (
        "session_end", "completed", {"response": "done"},
    )  # fmt: skip
