"""What the application recovers from: retries, fallbacks, and failures after which it continues."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, ModelRetryMiddleware, ToolRetryMiddleware
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import SystemMessage
from langchain_core.outputs import ChatResult
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import ToolException
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import ParentCommand
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import ScriptedChat, calls, chat
from tests.reading import of_type, recoveries
from tests.tools import add, bad


@pytest.mark.parametrize("call", ["invoke", "stream"])
@pytest.mark.parametrize("wrapped", [True, False])
def test_run_that_the_application_makes_again_recovers_the_errors_of_its_prompt(
    call: str, wrapped: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """In a prompt's block, a run with the name and text of a failed one is a retry of it."""
    model = chat(ValueError("other"), ValueError("1"), ValueError("2"), "ok")
    chain = RunnableLambda(lambda value: value) | model if wrapped else model
    with handler.session("s") as session, session.prompt("p"):
        for question in ("other", "q", "q", "q"):
            with contextlib.suppress(ValueError):
                answer = getattr(chain, call)(question, {"callbacks": [handler]})
                _ = list(answer) if call == "stream" else answer

    again = "RunnableSequence" if wrapped else "ScriptedChat"
    assert recoveries(log) == [(place, again, "retry", f"{again} was called again") for place in (1, 2)]


def test_run_of_another_prompt_repeats_nothing(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The user has asked the same again, which does not make up for the first prompt's failure."""
    model = chat(ValueError("busy"), "ok")
    with handler.session("s") as session:
        for _ in range(2):
            with session.prompt("p"), contextlib.suppress(ValueError):
                model.invoke("q", {"callbacks": [handler]})

    assert (len(of_type(log, "error")), of_type(log, "recovery")) == (1, [])


@pytest.mark.parametrize(("when_cancelled", "recovered"), [(asyncio.CancelledError, [0]), (OSError, [0, 1])])
def test_run_recovers_the_errors_of_all_runs_that_it_repeats(
    when_cancelled: type[BaseException], recovered: list[int], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Of two at once, the second is cancelled, or fails in that: the first one's error is not forgotten."""
    numbers = itertools.count()

    async def ask() -> None:
        both_begun = asyncio.Barrier(2)

        async def answer(_: str) -> str:
            number = next(numbers)
            if number == 2:
                return "ok"
            await both_begun.wait()
            if number == 0:
                raise ValueError
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise when_cancelled from None
            return ""

        asked, config = RunnableLambda(answer, name="ask"), {"callbacks": [handler]}
        with handler.session("s") as session, session.prompt("p"):
            with contextlib.suppress(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    for _ in range(2):
                        group.create_task(asked.ainvoke("q", config))
            await asked.ainvoke("q", config)

    asyncio.run(ask())

    assert recoveries(log) == [(place, "ask", "retry", "ask was called again") for place in recovered]


def test_what_a_failed_run_had_recovered_from_is_not_recovered_again(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A run calls its model twice, and fails after that: the run that repeats it recovers from that failure alone."""
    model, fails = chat(ValueError("busy"), "ok", "ok"), iter([True, False])

    def work(question: str) -> str:
        with contextlib.suppress(ValueError):
            model.invoke(question)
        if next(fails):
            model.invoke(question)
            raise KeyError("shelf")
        return question

    with handler.session("s") as session, session.prompt("p"):
        for _ in range(2):
            with contextlib.suppress(KeyError):
                RunnableLambda(work).invoke("q", {"callbacks": [handler]})

    assert [e["error_info"]["error_type"] for e in of_type(log, "error")] == ["ValueError", "KeyError"]
    assert recoveries(log) == [
        (0, "ScriptedChat", "retry", "attempt 2 succeeded"), (1, "work", "retry", "work was called again"),
    ]  # fmt: skip


@pytest.mark.parametrize("failures", [1, 2])
def test_retry_of_a_function_names_the_attempt(
    failures: int, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Functions have no calls to count: LangChain's tag says which attempt succeeded."""
    outcomes = iter([*[ValueError("down")] * failures, None])

    def work(question: str) -> str:
        if (error := next(outcomes)) is not None:
            raise error
        return question

    RunnableLambda(work).with_retry(wait_exponential_jitter=False).invoke("q", {"callbacks": [handler]})

    assert recoveries(log) == [
        (place, "work", "retry", f"attempt {failures + 1} succeeded") for place in range(failures)
    ]


@pytest.mark.parametrize("then", ["asks", "hands over"])
def test_node_that_goes_on_after_a_failure_to_a_question_or_another_graph_has_recovered(
    then: str, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The node ends with an exception that LangGraph uses for control flow, which is not a failure."""

    def step(state: MessagesState) -> None:
        with contextlib.suppress(ToolException):
            bad.invoke({"food": "soup"})
        if then == "hands over":
            raise ParentCommand(Command(goto="last", graph=Command.PARENT))
        interrupt("ok?")

    inner = StateGraph(MessagesState).add_node("step", step).add_edge(START, "step").compile()
    graph = StateGraph(MessagesState).add_node("inner", inner, destinations=("last",)).add_edge(START, "inner")
    app = graph.add_node("last", lambda state: None).compile(checkpointer=InMemorySaver())
    app.invoke({"messages": [("user", "q")]}, {"callbacks": [handler], "configurable": {"thread_id": "t"}})

    assert recoveries(log) == [(0, "step", "handled", "step continued")]


def test_graph_in_a_chain_that_continues_after_a_failed_tool_has_recovered_once(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The model gets the tool's result in the run that continues: nothing but this run has made up for the failure."""
    failures = [ValueError("down")]

    def search(query: str) -> str:
        """Search."""
        if failures:
            raise failures.pop()
        return "found"

    model = chat(calls(("search", {"query": "trains"}, "c1")), "done")
    chain = RunnableLambda(lambda given: given) | create_agent(model, [search], checkpointer=InMemorySaver())
    config: Any = {"callbacks": [handler], "configurable": {"thread_id": "t"}, "metadata": {"thread_id": "t"}}
    with contextlib.suppress(ValueError):
        chain.invoke({"messages": [("user", "go")]}, config)
    chain.invoke(None, config)

    assert recoveries(log) == [(0, "RunnableSequence", "retry", "the graph continued from its last checkpoint")]


def test_model_that_a_middleware_calls_again(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The call that succeeds is another attempt, and a retry has recovered from the errors before it."""
    model = chat(ValueError("1"), ValueError("2"), "ok")
    retry = ModelRetryMiddleware(max_retries=3, initial_delay=0.0, jitter=False)
    create_agent(model, [add], middleware=[retry]).invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    assert [entry["meta"].get("attempt") for entry in of_type(log, "llm_call")] == [None, 2, 3]
    assert recoveries(log) == [(place, "ScriptedChat", "retry", "attempt 3 succeeded") for place in (0, 1)]


def test_model_that_a_middleware_replaces(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Another model that answers the same question is a fallback, not a second attempt."""
    broken, other = chat(ValueError("down")), ScriptedChat(script=["ok"], model="scripted-2")
    agent = create_agent(broken, [add], middleware=[ModelFallbackMiddleware(other)])
    agent.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    assert [entry["meta"].get("attempt") for entry in of_type(log, "llm_call")] == [None, None]
    assert recoveries(log) == [(0, "ScriptedChat", "fallback", "scripted-2 succeeded")]


def test_tool_that_fails_each_time_is_handled_once(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """There is no recovery from attempts that failed again: the agent continues after the last error only."""
    retry = ToolRetryMiddleware(max_retries=2, initial_delay=0.0, jitter=False)
    agent = create_agent(chat(calls(("bad", {"food": "leek"}, "c1")), "sorry"), [bad], middleware=[retry])
    agent.invoke({"messages": [("user", "go")]}, {"callbacks": [handler]})

    assert (len(of_type(log, "error")), recoveries(log)) == (3, [(2, "tools", "handled", "tools continued")])


def test_chain_that_fails_each_time_is_handled_once(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """An application that calls it in a loop, and answers without it in the end, goes on after the last error only."""
    chain = RunnableLambda(str) | chat(ValueError("1"), ValueError("2"), ValueError("3"))

    def answer(question: str) -> str:
        for _ in range(3):
            with contextlib.suppress(ValueError):
                return str(chain.invoke(question))
        return "sorry"

    RunnableLambda(answer).invoke("q", {"callbacks": [handler]})

    assert (len(of_type(log, "error")), recoveries(log)) == (3, [(2, "answer", "handled", "answer continued")])


def test_calls_that_fail_beside_each_other_are_both_handled(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A batch with the same question twice: both calls had begun before one of them failed."""
    both = threading.Barrier(2, timeout=10)

    class Down(ScriptedChat):
        def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
            both.wait()
            raise ValueError("down")

    model = Down(script=[])

    def answer(question: str) -> str:
        model.batch([question, question], return_exceptions=True)
        return "sorry"

    RunnableLambda(answer).invoke("q", {"callbacks": [handler]})

    assert sorted(recoveries(log)) == [(place, "answer", "handled", "answer continued") for place in (0, 1)]


def test_each_question_has_attempts_of_its_own(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Two questions that each fail and are asked again are two retries."""

    def app(_: str) -> str:
        model = chat(ValueError("1"), "ok")
        for question in ("one", "two"):
            with contextlib.suppress(ValueError):
                model.invoke(question)
            model.invoke(question)
        return "ok"

    RunnableLambda(app).invoke("q", {"callbacks": [handler]})

    assert [entry["meta"].get("attempt") for entry in of_type(log, "llm_call")] == [None, 2, None, 2]
    assert recoveries(log) == [(place, "ScriptedChat", "retry", "attempt 2 succeeded") for place in (0, 1)]


def test_calls_without_a_users_text_are_no_attempts(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Nothing shows that the second call repeats the first."""

    def app(_: str) -> str:
        with contextlib.suppress(ValueError):
            chat(ValueError("1")).invoke([SystemMessage("Translate")])
        return str(chat("ok").invoke([SystemMessage("Summarise")]).content)

    RunnableLambda(app).invoke("q", {"callbacks": [handler]})

    assert [entry["meta"].get("attempt") for entry in of_type(log, "llm_call")] == [None, None]
    assert recoveries(log) == [(0, "app", "handled", "app continued")]


def test_two_models_at_once_are_no_retries(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A call that began before the other one failed is not a retry of it."""

    async def both(question: str) -> str:
        calls = [chat(ValueError("down")).ainvoke(question), chat("ok").ainvoke(question)]
        return str((await asyncio.gather(*calls, return_exceptions=True))[1])

    asyncio.run(RunnableLambda(both).ainvoke("q", {"callbacks": [handler]}))

    assert recoveries(log) == [(0, "both", "handled", "both continued")]


def test_models_that_are_asked_the_same_in_several_threads_are_no_retries(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """For example to take a vote: what fails in one of them is not made up for by another, and ends the run."""
    model = chat(ValueError("down"), "ok")

    def vote(question: str) -> Any:
        with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
            answers = []
            for pool in (one, other):
                answers.append(pool.submit(contextvars.copy_context().run, model.invoke, question))
                answers[-1].exception()
            return [answer.result() for answer in answers]

    with pytest.raises(ValueError, match="down"):
        RunnableLambda(vote).invoke("q", {"callbacks": [handler]})

    assert [e["event_type"] for e in log.entries if e["event_type"] in ("error", "recovery")] == ["error"]


def test_attempts_of_langchain_are_retries_in_any_thread(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """`with_retry` runs each attempt of a batch in new threads."""
    model = chat(ValueError("down"), "ok")

    def ask(question: str) -> Any:
        with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
            one.submit(contextvars.copy_context().run, model.invoke, question).exception()
            second = {"tags": ["retry:attempt:2"]}
            return other.submit(contextvars.copy_context().run, model.invoke, question, second).result()

    RunnableLambda(ask).invoke("q", {"callbacks": [handler]})

    assert recoveries(log) == [(0, "ScriptedChat", "retry", "attempt 2 succeeded")]


def test_fallback_that_fails_as_well_is_handled_by_itself(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """It is no further attempt at the call that it stands in for, so that both have a recovery."""

    def ask(question: str) -> str:
        with contextlib.suppress(ValueError):
            small = ScriptedChat(script=[ValueError("small")], model="small")
            return chat(ValueError("big")).with_fallbacks([small]).invoke(question).text
        return "sorry"

    RunnableLambda(ask).invoke("q", {"callbacks": [handler]})

    assert recoveries(log) == [(place, "ask", "handled", "ask continued") for place in (0, 1)]


@pytest.mark.parametrize(
    "failing",
    [
        lambda: RunnableParallel(a=chat(ValueError("a")), b=chat(ValueError("b"))),
        lambda: chat(ValueError("a"), ValueError("b")).with_retry(stop_after_attempt=2, wait_exponential_jitter=False),
    ],
    ids=["two branches", "two attempts"],
)
def test_fallback_makes_up_for_all_that_failed_below(
    failing: Any, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Only one of the exceptions reaches the fallback, but the run has recovered from all of them."""
    failing().with_fallbacks([RunnableLambda(lambda _: "ok")]).invoke("q", {"callbacks": [handler]})

    made_up_for = [(place, "RunnableWithFallbacks", "fallback", "a fallback succeeded") for place in (0, 1)]
    assert sorted(recoveries(log)) == made_up_for


def test_branch_that_begins_after_another_failed_is_not_its_fallback(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Nothing makes up for a model that fails in one branch; what its chain raises is that error, not a second one."""
    branches = RunnableParallel(a=chat(ValueError("down")), b=chat("ok"))

    with pytest.raises(ValueError, match="down"):
        branches.invoke("q", {"callbacks": [handler], "max_concurrency": 1})

    assert [kind for kind, _, turn in log.sequence if turn] == ["llm_call", "error", "llm_call", "llm_response"]


def test_recovery_has_the_turn_of_its_error(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The recovery from an error in parsing a response is in that response's turn, though the model is a sibling."""
    parse = RunnableLambda(lambda answer: int(answer.content)).with_fallbacks([RunnableLambda(lambda _: 0)])
    (chat("many") | parse).invoke("How many?", {"callbacks": [handler]})

    assert log.sequence[-2:] == [("error", 1, 1), ("recovery", 1, 1)]


@pytest.mark.parametrize(
    ("scripts", "attempts", "recovered"),
    [
        ([[OSError("a"), "4"], [OSError("b"), "4"], [OSError("c"), "4"]], [2, 2, 2], ["a", "b", "c"]),
        ([[OSError("a"), "4"], [OSError("b"), OSError("b")]], [2, 2], ["a"]),
    ],
)
def test_retries_at_the_same_time_recover_one_error_each(
    scripts: list[list[Any]],
    attempts: list[int],
    recovered: list[str],
    log: MemoryDelivery,
    handler: CoagentCallbackHandler,
) -> None:
    """If several ask the same question and fail, each response is the recovery from one of the errors."""

    async def sample(model: ScriptedChat) -> Any:
        try:
            return await model.ainvoke("2 + 2?")
        except OSError:
            return await model.ainvoke("2 + 2?")

    async def vote(_: str) -> Any:
        return await asyncio.gather(*(sample(chat(*script)) for script in scripts), return_exceptions=True)

    asyncio.run(RunnableLambda(vote).ainvoke("go", {"callbacks": [handler]}))

    messages = [e["error_info"]["error_message"] for e in of_type(log, "error")]
    assert [e["meta"]["attempt"] for e in of_type(log, "llm_call") if "attempt" in e["meta"]] == attempts
    assert sorted(messages[place] for place, _, strategy, _ in recoveries(log) if strategy == "retry") == recovered


def test_call_that_is_made_again_in_the_background_recovers_its_error_once(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The surrounding run has already continued and logged its recovery."""
    model = chat(OSError("down"), "up")

    async def main() -> None:
        later: list[asyncio.Task[Any]] = []

        async def go(_: str) -> str:
            with contextlib.suppress(OSError):
                await model.ainvoke("q")
            later.append(asyncio.create_task(model.ainvoke("q")))
            await asyncio.sleep(0)
            return "gone on"

        await RunnableLambda(go).ainvoke("q", {"callbacks": [handler]})
        await later[0]

    asyncio.run(main())

    told = [(e["event_type"], e.get("error_info", {}).get("recovery_strategy")) for e in log.entries[2:]]
    assert told == [("llm_call", None), ("error", None), ("llm_call", None), ("recovery", "handled"),
                    ("llm_response", None)]  # fmt: skip


def test_recovery_comes_after_its_error(log: MemoryDelivery) -> None:
    """An answer to the same question in another thread is no recovery from an error that is not logged yet."""
    failed, answered = threading.Event(), threading.Event()

    class Before(BaseCallbackHandler):
        """Delays the second model until the error of the first is about to be logged."""

        run_inline = True

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            if kwargs["metadata"]["ls_model_name"] == "second":
                failed.wait(10)

    class After(BaseCallbackHandler):
        """Signals that a response has been logged."""

        run_inline = True

        def on_llm_end(self, response: Any, **kwargs: Any) -> None:
            answered.set()

    def redact(entry: dict[str, Any]) -> dict[str, Any]:
        if entry["event_type"] == "error":
            failed.set()
            answered.wait(10)
        return entry

    handler = CoagentCallbackHandler(delivery=log, redact=redact)
    both = RunnableParallel(a=chat(OSError("down")), b=ScriptedChat(script=["4"], model="second"))
    with pytest.raises(OSError, match="down"):
        both.invoke("2 + 2?", {"callbacks": [Before(), handler, After()]})

    told = [e["event_type"] for e in log.entries if e["event_type"] in ("llm_response", "error", "recovery")]
    assert told == ["llm_response", "error"]
