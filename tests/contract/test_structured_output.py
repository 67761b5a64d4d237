"""Structured output: which calls are the answer, and no tool's."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from pydantic import BaseModel

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import calls, chat
from tests.reading import of_type, tool_answers
from tests.tools import add


class Recipe(BaseModel):
    """A recipe."""

    name: str


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

    assert tool_answers(log) == [(1, "0", "ask_cook", True, None)]


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

    assert tool_answers(log) == [(1, "hot", "Weather", False, "not run")]
    assert [e["tool_call"]["parameters"] for e in of_type(log, "tool_call")] == [{"city": "Rome", "degrees": "hot"}]
    assert "Input should be a valid integer" in of_type(log, "tool_response")[0]["tool_response"]["error_message"]
