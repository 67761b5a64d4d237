"""Messages, responses and parameters are read correctly in every provider's format."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, LLMResult
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from coagent_langchain.texts import MAX_FIELD
from coagent_langchain.values.answers import Answer, answer_of
from coagent_langchain.values.content import reasoning_of, text_of, tool_calls_of
from coagent_langchain.values.messages import conversation_of, message_dict
from coagent_langchain.values.parameters import model_parameters, tools_offered
from coagent_langchain.values.snapshot import snapshot
from coagent_langchain.values.tools import documents_summary, tool_result

CALL = {"id": "call_1", "name": "weather", "args": {"city": "Paris"}}
ASKED, TOLD = AIMessage("", tool_calls=[CALL]), ToolMessage("sunny", tool_call_id="call_1", name="weather")
SOURCED = {"type": "text", "text": "b", "annotations": [{"type": "url_citation", "url": "https://b.example"}]}
DIGEST = {"mime": "image/png", "bytes": 5, "sha256": hashlib.sha256(b"hello").hexdigest()}


def chat(*messages: AIMessage, **output: Any) -> LLMResult:
    """A chat model's result with a candidate for each message."""
    return LLMResult(generations=[[ChatGeneration(message=m) for m in messages]], llm_output=output or None)


def rebuilt(prompt: str | None, history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages, rebuilt as the module's documentation says."""
    marked = [item for item in history if item.get("content_is_prompt")]
    items = [{"role": i["role"], "content": i.get("content", prompt)} for i in history]
    return items if marked or prompt is None else [*items, {"role": "user", "content": prompt}]


def test_the_last_user_message_is_the_prompt() -> None:
    """System messages are joined; the last user text is the prompt and not in the history."""
    found = conversation_of(
        [SystemMessage("a"), HumanMessage("1"), SystemMessage("b"), AIMessage("2"), HumanMessage("3")]
    )

    assert found.prompt == "3"
    assert found.system_prompt == "a\n\nb"
    assert found.history == [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]


def test_an_agent_keeps_the_place_of_its_prompt() -> None:
    """In an agent's loop, the prompt's place in the history is marked, and its text is written once."""
    found = conversation_of([HumanMessage("weather?"), ASKED, TOLD])

    assert found.prompt == "weather?"
    assert found.history == [
        {"role": "user", "content_is_prompt": True},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "sunny", "tool_call_id": "call_1", "name": "weather"},
    ]


@pytest.mark.parametrize(
    "messages",
    [
        [HumanMessage("1")],
        [HumanMessage("1"), AIMessage("2"), HumanMessage("3")],
        [HumanMessage("1"), ASKED, TOLD],
        [HumanMessage("1"), HumanMessage("1", name="Ann")],
        [AIMessage("2")],
        [],
    ],
)
def test_a_conversation_can_be_put_together_again(messages: list[Any]) -> None:
    """Prompt and history contain every message, in order."""
    found = conversation_of(messages)

    roles = {"human": "user", "ai": "assistant", "tool": "tool"}
    assert rebuilt(found.prompt, found.history) == [{"role": roles[m.type], "content": m.content} for m in messages]


def test_a_named_prompt_keeps_its_name() -> None:
    """A last user message with more than text keeps its place in the history."""
    found = conversation_of([HumanMessage("hi", name="Ann")])

    assert (found.prompt, found.history) == ("hi", [{"role": "user", "name": "Ann", "content_is_prompt": True}])


def test_a_multimodal_prompt_keeps_its_blocks() -> None:
    """The prompt is the text; the message stays in the history, with its media described."""
    blocks = [{"type": "text", "text": "what"}, {"type": "image", "base64": "aGVsbG8=", "mime_type": "image/png"}]

    found = conversation_of([HumanMessage([*blocks, {"type": "text", "text": "is it?"}])])

    assert found.prompt == "what\nis it?"
    assert found.history == [
        {
            "role": "user",
            "content": [blocks[0], {**blocks[1], "base64": DIGEST}, {"type": "text", "text": "is it?"}],
            "content_is_prompt": True,
        }
    ]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (HumanMessage("a", name="Ann"), {"role": "user", "content": "a", "name": "Ann"}),
        (HumanMessage([{"type": "text", "text": "a"}, "b"]), {"role": "user", "content": "a\nb"}),
        (AIMessage("a"), {"role": "assistant", "content": "a"}),
        (AIMessageChunk(content="a"), {"role": "assistant", "content": "a"}),
        (ASKED, {"role": "assistant", "content": "", "tool_calls": [CALL]}),
        (
            AIMessage([{"type": "text", "text": "a"}, {"type": "tool_use", "id": "call_1"}], tool_calls=[CALL]),
            {"role": "assistant", "content": "a", "tool_calls": [CALL]},
        ),
        (
            AIMessage([{"type": "text", "text": "It is "}, {"type": "text", "text": "hot"}]),
            {"role": "assistant", "content": "It is hot"},
        ),
        (
            AIMessage([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]),
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]},
        ),
        (
            AIMessage([{"type": "text", "text": "a", "citations": [{"url": "u"}]}]),
            {"role": "assistant", "content": [{"type": "text", "text": "a", "citations": [{"url": "u"}]}]},
        ),
        (
            AIMessage([{"type": ["text"], "text": "a"}, {"type": "tool_use", "id": [1]}], tool_calls=[CALL]),
            {
                "role": "assistant",
                "content": [{"type": ["text"], "text": "a"}, {"type": "tool_use", "id": [1]}],
                "tool_calls": [CALL],
            },
        ),
        (
            ToolMessage("no", tool_call_id="1", status="error"),
            {"role": "tool", "content": "no", "tool_call_id": "1", "status": "error"},
        ),
        (
            HumanMessage("Here is a summary", additional_kwargs={"lc_source": "summarization"}),  # as the middleware
            {"role": "user", "content": "Here is a summary", "source": "summarization"},
        ),
        (HumanMessage("a", additional_kwargs={"lc_source": ["b"]}), {"role": "user", "content": "a"}),
        (FunctionMessage(content="a", name="f"), {"role": "function", "content": "a", "name": "f"}),
        (ChatMessage(content="a", role="developer"), {"role": "developer", "content": "a"}),
        (ChatMessage(content="a", role="human"), {"role": "user", "content": "a"}),
        (RemoveMessage(id="1"), {"role": "remove", "content": ""}),
        ("text", {"role": "user", "content": "text"}),
        (("human", "text"), {"role": "user", "content": "text"}),
        ({"role": "assistant", "content": "a"}, {"role": "assistant", "content": "a"}),
        ({"text": "a"}, {"role": "unknown", "content": {"text": "a"}}),
        (None, {"role": "unknown", "content": None}),
    ],
)
def test_each_message_has_its_form(message: Any, expected: dict[str, Any]) -> None:
    """Every kind of message, or a value in place of one, has one plain form."""
    assert message_dict(message) == expected


def test_long_texts_are_cut() -> None:
    """A text over the limit is cut wherever it occurs, with a note."""
    system, prompt, answer = (sign * (MAX_FIELD + 10) for sign in "sua")
    found = conversation_of(
        [SystemMessage(system), HumanMessage(prompt), AIMessage([{"type": "text", "text": answer}])]
    )

    cut = "… [cut: 10 of 1,000,010 characters]"
    assert (found.prompt, found.system_prompt) == ("u" * MAX_FIELD + cut, "s" * MAX_FIELD + cut)
    assert found.history[1]["content"] == "a" * MAX_FIELD + cut


def test_arguments_are_copied() -> None:
    """Later changes to a tool call's arguments have no effect."""
    message = AIMessage("", tool_calls=[{"id": "1", "name": "f", "args": {"a": [1]}}])

    found = tool_calls_of(message)
    message.tool_calls[0]["args"]["a"].append(2)

    assert found == [{"id": "1", "name": "f", "args": {"a": [1]}}]


def test_calls_that_could_not_be_parsed_are_marked() -> None:
    """An invalid tool call keeps its raw arguments and error; the oldest format is read, too."""
    broken = AIMessage("", additional_kwargs={"tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{not json"}}]})  # fmt: skip
    old = AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": '{"a": 1}'}})

    assert [{k: v for k, v in call.items() if k != "error"} for call in tool_calls_of(broken)] == [
        {"id": "1", "name": "f", "args": "{not json", "invalid": True}
    ]
    assert tool_calls_of(old) == [{"id": None, "name": "f", "args": '{"a": 1}'}]


class Watched:
    """An object whose attributes are behind a property, which notes that it ran."""

    ran: ClassVar[list[str]] = []

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        self.ran.append("__dict__")
        return {}


@pytest.mark.parametrize(
    "read",
    [
        message_dict,
        tool_calls_of,
        text_of,
        reasoning_of,
        tool_result,
        lambda value: documents_summary([value]),
        lambda value: tools_offered({"tools": [value]}),
        snapshot,
    ],
)
def test_a_property_in_place_of_the_attributes_never_runs(read: Callable[[Any], Any]) -> None:
    """An object whose class has `__dict__` as a property is read without it."""
    read(Watched())

    assert Watched.ran == []


@pytest.mark.parametrize(
    "message",
    [
        AIMessage([{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "a"}]),
        AIMessage([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}]),
        AIMessageChunk(
            content=["", {"type": "thinking", "thinking": [{"type": "text", "text": "hm", "index": 0}]}, "a"]
        ),
        AIMessage([{"type": "reasoning", "reasoning": "hm"}]),
        AIMessage([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}]),
        AIMessage([{"type": "reasoning_content", "reasoning_content": {"text": "hm", "signature": "x"}}]),
        AIMessage("a", additional_kwargs={"reasoning_content": "hm"}),
        AIMessage("a", additional_kwargs={"reasoning": {"summary": [{"type": "summary_text", "text": "hm"}]}}),
    ],
)
def test_reasoning_is_found(message: AIMessage) -> None:
    """Reasoning is found wherever a provider puts it, and is not part of the text."""
    assert (reasoning_of(message), answer_of(chat(message)).reasoning) == ("hm", "hm")
    assert text_of(message) in ("a", "")


def test_an_answer_has_everything() -> None:
    """Text, calls, reasoning, finish reason, model, other blocks and other candidates are read."""
    first = AIMessage(
        [
            {"type": "reasoning", "reasoning": "hm"},
            {"type": "text", "text": "It is "},
            {"type": "text", "text": "sunny."},
            {"type": "image", "base64": "aGVsbG8=", "mime_type": "image/png"},
        ],
        tool_calls=[CALL],
        response_metadata={"finish_reason": "stop", "model_name": "gpt-4o"},
    )

    found = answer_of(chat(first, AIMessage("or not", tool_calls=[CALL])))

    assert (found.text, found.tool_calls, found.reasoning) == ("It is sunny.", [CALL], "hm")
    assert (found.finish_reason, found.model) == ("stop", "gpt-4o")
    assert found.blocks == [{"type": "image", "base64": DIGEST, "mime_type": "image/png"}]
    assert found.alternatives == [{"text": "or not", "tool_calls": [CALL]}]


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("", additional_kwargs={"refusal": "I cannot."}),
        AIMessage([{"type": "refusal", "refusal": "I cannot.", "id": "msg_1"}]),
        AIMessage("", additional_kwargs={"audio": {"id": "audio_1", "transcript": "I cannot."}, "refusal": None}),
    ],
)
def test_a_refusal_and_a_voice_are_the_answers_text(message: AIMessage) -> None:
    """If an OpenAI response has no content, its refusal or its audio transcript is the text."""
    found = answer_of(chat(message))

    assert (found.text, found.tool_calls) == ("I cannot.", [])


PAINTED = {"type": "image_generation_call", "id": "1", "output_format": "png"}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (AIMessage([{"type": "text", "text": "a", "annotations": []}, SOURCED]), [SOURCED]),
        (
            AIMessage("a", additional_kwargs={"citations": ["https://a.example"], "images": [], "related": ["b?"]}),
            [{"type": "citations", "citations": ["https://a.example"]}],
        ),
        (
            AIMessage("a", response_metadata={"grounding_metadata": {"web_search_queries": ["b"]}}),
            [{"type": "grounding_metadata", "web_search_queries": ["b"]}],
        ),
        (
            AIMessage("", additional_kwargs={"audio": {"id": "1", "data": "aGVsbG8=", "transcript": "a"}}),
            [{"type": "audio", "id": "1", "data": {**DIGEST, "mime": "audio"}, "transcript": "a"}],
        ),
        (
            AIMessage("a", additional_kwargs={"tool_outputs": [{**PAINTED, "result": "aGVsbG8="}]}),
            [{"type": "tool_outputs", "tool_outputs": [{**PAINTED, "result": DIGEST}]}],
        ),
    ],
)
def test_sources_sound_and_server_tools_are_kept_beside_the_text(message: AIMessage, expected: list[Any]) -> None:
    """Citations, audio and what a provider's own tools did are kept, whether in the content or beside it."""
    found = answer_of(chat(message))

    assert (found.text, found.blocks) == (text_of(message), expected)


class Blocked(StrEnum):
    """Block reasons as in Google's SDK."""

    PROHIBITED = "PROHIBITED_CONTENT"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "max_output_tokens"),
        ({"status": "incomplete", "incomplete_details": None}, "incomplete"),
        ({"status": "completed", "incomplete_details": None}, "completed"),
        ({"prompt_feedback": {"block_reason": Blocked.PROHIBITED, "block_reason_message": None}}, "PROHIBITED_CONTENT"),
    ],
)
def test_a_reason_says_why_an_answer_is_not_whole(metadata: dict[str, Any], expected: str) -> None:
    """OpenAI's Responses API and Gemini have fields of their own for why an answer is incomplete or missing."""
    assert answer_of(chat(AIMessage("", response_metadata=metadata))).finish_reason == expected


def test_a_text_models_answer_is_read() -> None:
    """A text model's generation has the text and the finish reason."""
    result = LLMResult(generations=[[Generation(text="a", generation_info={"done_reason": "stop", "model": "llama3"})]])

    found = answer_of(result)

    assert (found.text, found.finish_reason, found.model) == ("a", "stop", "llama3")


@pytest.mark.parametrize("result", [LLMResult(generations=[]), LLMResult(generations=[[]]), None, object()])
def test_an_empty_result_is_an_empty_answer(result: Any) -> None:
    """Without a candidate, the text is unknown, not empty."""
    found = answer_of(result)

    assert (found.text, found.tool_calls) == (None, [])


def test_a_candidate_without_message_is_read() -> None:
    """A chat generation without a message still gives its text."""
    broken = ChatGeneration.model_construct(message=None, text="a", generation_info=None)

    found = answer_of(LLMResult.model_construct(generations=[[broken]], llm_output=None))

    assert found == Answer("a")


def test_a_streamed_answer_is_read_as_a_whole_one() -> None:
    """Merged chunks give text, calls and finish reason once, though merging repeats the reason."""
    pieces = [
        AIMessageChunk(content="Let me ", response_metadata={"finish_reason": "tool_calls", "model_name": "gpt-4o"}),
        AIMessageChunk(content="see", response_metadata={"finish_reason": "tool_calls", "model_name": "gpt-4o"}),
        AIMessageChunk(
            content="", tool_call_chunks=[{"index": 0, "id": "call_1", "name": "weather", "args": '{"city": '}]
        ),
        AIMessageChunk(content="", tool_call_chunks=[{"index": 0, "id": None, "name": None, "args": '"Paris"}'}]),
    ]
    merged = ChatGenerationChunk(message=pieces[0])
    for piece in pieces[1:]:
        merged += ChatGenerationChunk(message=piece)

    found = answer_of(LLMResult(generations=[[merged]]))

    assert merged.message.response_metadata["finish_reason"] == "tool_callstool_calls"
    assert (found.text, found.tool_calls) == ("Let me see", [CALL])
    assert (found.finish_reason, found.model) == ("tool_calls", "gpt-4o")


UNKNOWN = "FINISH_REASON_UNSPECIFIED"


@pytest.mark.parametrize(("last", "expected"), [("MAX_TOKENS", "MAX_TOKENS"), (UNKNOWN, UNKNOWN)])
def test_a_stream_that_has_a_reason_only_at_its_end_has_that_one(last: str, expected: str) -> None:
    """Vertex AI's chunks say until the last that they have none; merging puts all of it in front of the reason."""
    merged = ChatGenerationChunk(message=AIMessageChunk("a", response_metadata={"finish_reason": UNKNOWN}))
    for reason in [*[UNKNOWN] * 50, last]:
        merged += ChatGenerationChunk(message=AIMessageChunk("a", response_metadata={"finish_reason": reason}))

    assert answer_of(LLMResult(generations=[[merged]])).finish_reason == expected


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


def test_a_real_call_gives_what_the_hooks_get() -> None:
    """The result of LangChain's own fake model can be read."""
    model = GenericFakeChatModel(messages=iter([AIMessage("a", tool_calls=[CALL])]))

    found = answer_of(model.generate([[HumanMessage("hi")]]))

    assert (found.text, found.tool_calls) == ("a", [CALL])
