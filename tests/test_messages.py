"""Messages, and the prompt and history among them, are read correctly in every provider's format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
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

from coagent_langchain.texts import MAX_FIELD
from coagent_langchain.values.answers import answer_of
from coagent_langchain.values.content import reasoning_of, text_of, tool_calls_of
from coagent_langchain.values.messages import conversation_of, message_dict
from coagent_langchain.values.parameters import tools_offered
from coagent_langchain.values.snapshot import snapshot
from coagent_langchain.values.tools import documents_summary, tool_result
from tests.fakes import CALL
from tests.reading import DIGEST

ASKED, TOLD = AIMessage("", tool_calls=[CALL]), ToolMessage("sunny", tool_call_id="call_1", name="weather")


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
    unnamed = {"id": None, "name": None, "args": "{", "error": "no JSON"}

    assert tool_calls_of(broken) == [{"id": "1", "name": "f", "args": "{not json", "invalid": True}]
    assert tool_calls_of(AIMessage("", invalid_tool_calls=[unnamed])) == [{**unnamed, "invalid": True}]
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


def test_a_real_call_gives_what_the_hooks_get() -> None:
    """The result of LangChain's own fake model can be read."""
    model = GenericFakeChatModel(messages=iter([AIMessage("a", tool_calls=[CALL])]))

    found = answer_of(model.generate([[HumanMessage("hi")]]))

    assert (found.text, found.tool_calls) == ("a", [CALL])
