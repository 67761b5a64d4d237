"""Parameters of model calls, their tools and schemas are read correctly in every provider's format."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from coagent_langchain.values.parameters import model_parameters


def test_parameters_are_an_allow_list() -> None:
    """Known parameters are kept; keys, headers, addresses, streaming defaults and unknown ones are not."""
    params = {
        "model": "gpt-4o", "temperature": 0.0, "max_tokens": 10, "stop": ["x"], "api_key": "sk-1", "base_url": "http://a",
        "extra_headers": {"Authorization": "Bearer x"}, "default_headers": {}, "openai_api_key": "sk-2", "user": "Ann",
        "stream": False, "streaming": False,
    }  # fmt: skip

    found = model_parameters(None, params, {"ls_provider": "openai", "ls_model_name": "gpt-4o-2024"}, {"stop": ["y"]})

    assert found == {
        "model": "gpt-4o-2024", "provider": "openai", "temperature": 0.0, "max_tokens": 10,
        "parameters": {"temperature": 0.0, "max_tokens": 10, "stop": ["y"]},
    }  # fmt: skip


def test_models_own_stop_words_are_read_where_langchain_alone_names_them() -> None:
    """Ollama, Groq, Mistral and Cohere do not pass them as parameters; those of the call take precedence."""
    params, facts = {"stop": None}, {"ls_stop": ["END"]}

    assert model_parameters(None, params, facts, {"stop": None}) == {"parameters": {"stop": ["END"]}}
    assert model_parameters(None, params, facts, {"stop": ["y"]}) == {"parameters": {"stop": ["y"]}}


def test_effort_is_read_where_anthropic_has_it() -> None:
    """Of `output_config` the effort is logged, not the schema beside it."""
    arguments: Any = {"model": "claude-opus-4-5", "api_key": "sk-x", "max_tokens": 9, "reasoning_effort": "low"}
    params = ChatAnthropic(**arguments)._get_invocation_params()
    config = {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}}

    assert model_parameters(None, params, None, None)["parameters"] == {"max_tokens": 9, "effort": "low"}
    assert model_parameters(None, {"output_config": config}, None, None) == {"parameters": {"effort": "high"}}


@pytest.mark.parametrize("nothing", [None, {}, "text", []])
def test_parameters_of_nothing_are_nothing(nothing: Any) -> None:
    """Every argument may be missing or malformed."""
    assert model_parameters(nothing, nothing, nothing, nothing) == {}


@pytest.mark.parametrize(
    ("params", "serialized"),
    [({"model_name": "m-1"}, None), ({"engine": "m-1"}, None), ({"model": None}, {"kwargs": {"model_id": "m-1"}})],
)
def test_model_that_langchain_does_not_name(params: Any, serialized: Any) -> None:
    """Its name is among its parameters, or else among the arguments of its class."""
    assert model_parameters(serialized, params, None, None) == {"model": "m-1"}


@pytest.mark.parametrize(
    "params",
    [
        {"tools": [{"type": "function", "function": {"name": "weather", "parameters": {}}}]},
        {"tools": [{"name": "weather", "input_schema": {}}]},
        {"tools": [{"type": "custom", "custom": {"name": "weather"}}]},
        {"functions": [{"name": "weather"}]},
        {"toolConfig": {"tools": [{"toolSpec": {"name": "weather"}}, {"cachePoint": {}}]}},
        {"tools": [{"function_declarations": [{"name": "weather"}]}]},
        {"tools": {"functionDeclarations": [{"name": "weather"}]}},
        {"tools": [{"type": "weather"}]},
        {"tools": [{"title": "weather", "type": "object"}]},
        {"tools": [{"weather": {}}]},
        {"tools": [SimpleNamespace(type="function", function=SimpleNamespace(name="weather"))]},
        {"tools": [SimpleNamespace(name="weather", description="Tell it.")]},
        {"tools": [SimpleNamespace(function_declarations=[SimpleNamespace(name="weather")])]},
        {"tools": [type("weather", (), {})]},
        {"tools": [partial(print), {"name": "weather"}]},
    ],
)
def test_tools_are_named(params: dict[str, Any]) -> None:
    """Tools are found in the formats of OpenAI, Anthropic, Bedrock and Gemini, as schemas, objects and classes."""
    assert model_parameters(None, params, None, None)["tools_offered"][0] == "weather"


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return city


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (ChatOpenAI(model="gpt-4o", api_key="sk-x", temperature=0.5), ("gpt-4o", "openai", 0.5)),
        (
            ChatAnthropic.model_validate({"model": "claude-sonnet-4-5", "api_key": "sk-x", "max_tokens": 9}),
            ("claude-sonnet-4-5", "anthropic", None),
        ),
    ],
)
def test_real_models_parameters_are_read(model: Any, expected: tuple[Any, ...]) -> None:
    """Model, provider and tools are read from what the providers' own classes pass to callbacks, but no key is."""
    bound = model.bind_tools([weather])
    params = model._get_invocation_params(**bound.kwargs)

    found = model_parameters(None, params, model._get_ls_params(), None)

    assert (found["model"], found["provider"], found.get("temperature")) == expected
    assert found["tools_offered"] == ["weather"]
    assert "sk-x" not in repr(found)


def test_part_of_langchain_that_calls_a_model_is_named() -> None:
    """A middleware marks the calls that it makes for itself; anything but a name is ignored."""
    sources: list[Any] = ["tool_selection", "", 3]

    assert [model_parameters(None, None, {"lc_source": each}, None) for each in sources] == [
        {"source": "tool_selection"},
        {},
        {},
    ]


class Forecast(BaseModel):
    """What a model that predicts the weather is to answer."""


def test_structured_output_is_named() -> None:
    """The schema's name comes from LangChain's own marker or the provider's parameter."""
    schema = {"type": "json_schema", "json_schema": {"name": "Forecast", "schema": {}}}
    mark = {"ls_structured_output_format": {"kwargs": {}, "schema": {"title": "Forecast", "type": "object"}}}

    assert model_parameters(None, {"response_format": schema}, None, None) == {"structured_output": "Forecast"}
    assert model_parameters(None, {"response_format": Forecast}, None, None) == {"structured_output": "Forecast"}
    responses = {"text": {"format": {"type": "json_schema", "name": "Forecast", "schema": {}}}}
    assert model_parameters(None, responses, None, None) == {"structured_output": "Forecast"}
    assert model_parameters(None, None, None, mark) == {"structured_output": "Forecast"}
    ollama = {"format": Forecast.model_json_schema()}
    assert model_parameters(None, ollama, None, None) == {"structured_output": "Forecast"}


def test_json_of_any_form_is_a_parameter() -> None:
    """Without a schema, there is no name to record."""
    wanted = {"response_format": {"type": "json_object"}}

    assert model_parameters(None, wanted, None, None) == {"parameters": wanted}
