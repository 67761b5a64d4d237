"""Decision models: LangChain's own tracer counts them as models, but reports them through the hooks of chains."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from langchain_core.decisions import BaseDecisionModel, ClassifierResponse, Noul
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_openai.decisions import OpenAIDecisions, Predicate

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.reading import EMPTY, of_type, state_of, types

QUESTIONS = '{"risky":{"type":"noul","instructions":"Is it risky?","criteria":null}}'


class Judge(BaseDecisionModel):
    """A model that finds everything risky, and fails on fire."""

    model: str = "judge-1"

    @property
    def _provider(self) -> str:
        return "fake"

    def _classify(self, state: Any, questions: Any) -> ClassifierResponse:
        if state == "fire":
            raise ValueError("too hot")
        answers = {"risky": {"type": "noul", "noul": 0.9}}
        usage = {"input_tokens": 7, "output_tokens": 1}
        return ClassifierResponse.model_validate({"model": "judge-1-large", "answers": answers, "usage": usage})


def judged(judge: Judge) -> Runnable[Any, Any]:
    """A chain that asks the judge about its input."""
    questions = {"risky": Noul(instructions="Is it risky?")}
    asking: Runnable[Any, Any] = RunnableLambda(lambda food: {"state": food, "questions": questions})
    return asking | judge


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_decision_model_is_a_model_call(way: str, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """It has a turn, the state to judge, the questions and tokens."""
    chain, config = judged(Judge()), {"callbacks": [handler]}
    if way == "invoke":
        chain.invoke("fugu", config)
    else:
        asyncio.run(chain.ainvoke("fugu", config))
    handler.close()

    (call,), (response,) = of_type(log, "llm_call"), of_type(log, "llm_response")
    assert (call["turn_number"], call["prompt"], call["llm_call"]["system_prompt"]) == (1, "fugu", QUESTIONS)
    assert (call["meta"]["model"], call["meta"]["provider"]) == ("judge-1", "fake")
    assert response["llm_response"]["response"] == '{"risky":{"type":"noul","noul":0.9}}'
    assert (response["meta"]["model"], response["llm_response"]["total_tokens"]) == ("judge-1-large", 8)
    assert (log.entries[-1]["meta"]["llm_calls"], log.entries[-1]["meta"]["total_tokens"]) == (1, 8)


def test_decision_models_call_is_logged_whatever_its_texts_hold(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A lone surrogate, as in a cut string, is escaped."""
    judged(Judge()).invoke({"food": "\ud83d"}, {"callbacks": [handler]})

    assert of_type(log, "llm_call")[0]["prompt"] == '{"food":"\\\\ud83d"}'


@pytest.mark.filterwarnings("ignore:The class `OpenAIDecisions` is in beta")
def test_openais_decision_model_is_read(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """It uses other names for its input and its tokens."""

    def answered(request: httpx.Request) -> httpx.Response:
        answers = [{"type": "predicate", "name": "risky", "probability": 0.9}]
        usage = {"input_tokens": 7, "output_tokens": 1}
        return httpx.Response(200, json={"model": "decider-1", "answers": answers, "usage": usage})

    client = httpx.Client(transport=httpx.MockTransport(answered))
    model = OpenAIDecisions(model="decider", api_key="none", http_client=client)
    questions = {"risky": Predicate(instructions="Is it risky?")}
    model.invoke({"input": "fugu", "questions": questions}, {"callbacks": [handler]})  # type: ignore[typeddict-item]

    (call,), (response,) = of_type(log, "llm_call"), of_type(log, "llm_response")
    assert (call["prompt"], call["meta"]["provider"]) == ("fugu", "openai")
    assert response["llm_response"]["response"] == '{"risky":{"type":"predicate","probability":0.9}}'
    assert (response["meta"]["model"], response["llm_response"]["total_tokens"]) == ("decider-1", 8)


def test_decision_model_that_fails_is_an_error(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The error closes the call, as for any model."""
    with pytest.raises(ValueError, match="too hot"):
        judged(Judge()).invoke("fire", {"callbacks": [handler]})

    assert types(log) == ["session_start", "user_input", "llm_call", "error"]
    assert of_type(log, "error")[0]["meta"]["model"] == "judge-1"
    assert state_of(handler) == EMPTY
