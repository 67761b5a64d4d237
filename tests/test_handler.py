"""Calls and responses on real chains: what their events contain, in which order, and with which numbers."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableBranch, RunnableParallel
from langchain_core.tools import tool

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.events import LogEntry
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import PROMPT, USAGE, ScriptedChat, ScriptedText, calls, chat
from tests.reading import ONE_CALL_SEQUENCE, of_type
from tests.tools import add


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
    assert log.sequence == ONE_CALL_SEQUENCE
    assert of_type(log, "user_input")[0]["prompt"] == "carrots"
    assert (response["response"], response["input_tokens"], response["output_tokens"]) == ("Hot soup", 10, 4)


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
        *ONE_CALL_SEQUENCE,
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
