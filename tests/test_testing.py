"""The public fakes: Ollama's real clients work with the stand-in, and events are kept in memory."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import ollama
import pytest
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaLLM
from pydantic import BaseModel

from coagent_langchain.delivery import Stats
from coagent_langchain.testing import (
    Answer,
    Failure,
    MemoryDelivery,
    OllamaRequest,
    OllamaStandIn,
    ToolUse,
    capture_events,
)
from coagent_langchain.values.encoding import encode
from tests.waiting import until


class Recipe(BaseModel):
    """A dish."""

    name: str
    minutes: int


@tool
def pantry(item: str) -> int:
    """How many of the item there are."""
    return len(item)


def chat(stand_in: OllamaStandIn, **options: Any) -> ChatOllama:
    """LangChain's client for the stand-in, which checks that the model exists."""
    return ChatOllama(model="llama3.2", base_url=stand_in.url, validate_model_on_init=True, **options)


def test_chat_model_gets_the_scripted_text_and_usage() -> None:
    """Each word counts as one token, in prompt and response."""
    with OllamaStandIn(["Rice with beans."]) as stand_in:
        message = chat(stand_in).invoke([("system", "Be a chef."), ("user", "What is for dinner?")])

    assert (message.content, message.usage_metadata) == (
        "Rice with beans.",
        {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
    )


@pytest.mark.parametrize("text", ["Soup.\n", "  Soup. \n\nStew.\t ", "\n", ""])
def test_text_comes_as_it_was_scripted(text: str) -> None:
    """All white space is kept, streamed or not."""
    with OllamaStandIn([text, text]) as stand_in:
        model = chat(stand_in)

        assert [model.invoke("Cook").content, "".join(str(each.content) for each in model.stream("Cook"))] == [text] * 2


def test_streamed_text_comes_word_by_word() -> None:
    """A stream has a chunk for each word and ends with the usage."""
    with OllamaStandIn(["Rice with beans."]) as stand_in:
        pieces = list(chat(stand_in).stream("Dinner?"))

    assert [p.content for p in pieces if p.content] == ["Rice", " with", " beans."]
    assert [p.usage_metadata["output_tokens"] for p in pieces if p.usage_metadata] == [3]


def test_words_come_at_the_pace_that_was_asked_for() -> None:
    """Each is sent at once: the first word arrives long before the last."""
    with OllamaStandIn(["One two three four five six."], tokens_per_second=10) as stand_in:
        came = [time.monotonic() for piece in chat(stand_in).stream("Count") if piece.content]

    assert (len(came), came[-1] - came[0] > 0.2) == (6, True)


def test_async_chat_model_works_like_the_sync_one() -> None:
    """The async client works like the sync one."""
    with OllamaStandIn(["Soup."]) as stand_in:
        message = asyncio.run(chat(stand_in).ainvoke("Dinner?"))

    assert message.content == "Soup."


def test_client_that_goes_away_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A client that disconnects, streaming or not, leaves nothing on the host's stderr; one that errs is told there."""
    with OllamaStandIn(["Rice with beans."] * 2, tokens_per_second=10) as stand_in:
        for number, stream in enumerate((True, False), 1):
            body = json.dumps({"model": "llama3.2", "prompt": "Dinner?", "stream": stream})
            with socket.create_connection(("127.0.0.1", urlsplit(stand_in.url).port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # sends a reset
                client.sendall(f"POST /api/generate HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
                until(lambda number=number: len(stand_in.requests) == number)
    gone = capsys.readouterr().err  # all of it: the stand-in closes when its answers have ended
    with OllamaStandIn([]) as stand_in, socket.create_connection(("127.0.0.1", urlsplit(stand_in.url).port)) as client:
        client.sendall(b"POST /api/generate HTTP/1.1\r\nContent-Length: 1\r\n\r\n{")
        assert client.recv(1) == b""

    assert (gone, "JSONDecodeError" in capsys.readouterr().err) == ("", True)


def test_text_model_reads_the_counts_of_generate() -> None:
    """`OllamaLLM` uses `/api/generate`; its counts are in the generation's info."""
    with OllamaStandIn(["Rice with beans."]) as stand_in:
        result = OllamaLLM(model="llama3.2", base_url=stand_in.url).generate(["What is for dinner?"])
    generation = result.generations[0][0]

    assert generation.text == "Rice with beans."
    assert [generation.generation_info[k] for k in ("prompt_eval_count", "eval_count")] == [4, 3]


def test_tool_use_reaches_the_chat_model() -> None:
    """A `ToolUse` in the script becomes a tool call with its arguments."""
    with OllamaStandIn([ToolUse("pantry", {"item": "rice"})]) as stand_in:
        message = chat(stand_in).bind_tools([pantry]).invoke("Is there rice?")

    (request,) = stand_in.requests
    assert [(c["name"], c["args"]) for c in message.tool_calls] == [("pantry", {"item": "rice"})]
    asked, answered = 3 + len(json.dumps(request.body["tools"]).split()), len(["pantry", '{"item":', '"rice"}'])
    assert request.tools == ["pantry"]
    assert message.usage_metadata == {
        "input_tokens": asked, "output_tokens": answered, "total_tokens": asked + answered,
    }  # fmt: skip


def test_structured_output_from_a_model_or_a_mapping() -> None:
    """A pydantic model or a mapping in the script is sent as the JSON that `format` requests."""
    with OllamaStandIn([Recipe(name="Stew", minutes=40), {"name": "Soup", "minutes": 20}]) as stand_in:
        model = chat(stand_in).with_structured_output(Recipe)
        recipes = [model.invoke("A recipe, please"), model.invoke("Another one")]

    assert recipes == [Recipe(name="Stew", minutes=40), Recipe(name="Soup", minutes=20)]


def test_thinking_comes_before_the_text() -> None:
    """A reasoning model's thinking is separate from its answer."""
    with OllamaStandIn([Answer("Soup.", thinking="It is cold.")]) as stand_in:
        pieces = list(chat(stand_in, reasoning=True).stream("Dinner?"))

    told = [(piece.additional_kwargs.get("reasoning_content"), piece.content) for piece in pieces]
    assert [each for each in told if any(each)] == [("It", ""), (" is", ""), (" cold.", ""), (None, "Soup.")]


def test_function_as_script_sees_the_request() -> None:
    """A function answers each request by its content, e.g. by what the user said last."""

    def echo(request: OllamaRequest) -> str:
        return request.prompt.upper()

    with OllamaStandIn(echo) as stand_in:
        conversation = [("user", "zero"), ("ai", "ZERO"), ("user", "two"), ("ai", "Well,")]
        answers = [chat(stand_in).invoke(asked).content for asked in ("one", conversation)]

    assert answers == ["ONE", "TWO"]


def test_failure_has_its_status_and_message() -> None:
    """A `Failure` is an HTTP error in Ollama's format."""
    failed = pytest.raises(ollama.ResponseError, match="out of memory")
    with OllamaStandIn([Failure("out of memory", status=503)]) as stand_in, failed as caught:
        chat(stand_in).invoke("Dinner?")

    assert caught.value.status_code == 503


def test_failure_in_the_middle_of_a_stream(capsys: pytest.CaptureFixture[str]) -> None:
    """A client sees the broken connection after the chunks that were sent, and the host no error."""
    seen = []
    with OllamaStandIn([Failure(after=2)]) as stand_in, pytest.raises(httpx.RemoteProtocolError):
        seen.extend(piece.content for piece in chat(stand_in).stream("Dinner?"))

    assert (seen, capsys.readouterr().err) == (["An", " answer"], "")


@pytest.mark.parametrize("after", [0, 2])
def test_failure_in_the_middle_leaves_nothing_of_an_answer_that_is_not_streamed(
    after: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such a client gets an answer as one piece or not at all: it sees the broken connection, and the host no error."""
    with OllamaStandIn([Failure(after=after)]) as stand_in, pytest.raises(httpx.RemoteProtocolError):
        ollama.Client(stand_in.url).generate("llama3.2", "Dinner?")

    assert capsys.readouterr().err == ""


def test_reply_that_is_none_is_refused_at_once() -> None:
    """A function is not a reply in a list: it replaces the whole list."""
    with pytest.raises(TypeError, match=r"a reply must be a str, mapping, .* or Failure: <function "):
        OllamaStandIn(["Soup.", lambda request: "Stew."])  # type: ignore[list-item]


@pytest.mark.parametrize("reply", ["Soup.", {"dish": "soup"}, ToolUse("cook")])
def test_one_reply_instead_of_a_list_is_refused_at_once(reply: Any) -> None:
    """A string would be a list of characters, and a mapping a list of its keys."""
    message = f"the script must be a list of replies, or a function: [{reply!r}]"
    with pytest.raises(TypeError, match=re.escape(message)):
        OllamaStandIn(reply)


def test_one_model_instead_of_a_list_is_refused_at_once() -> None:
    """A name would be a list of one-letter models."""
    with pytest.raises(TypeError, match=r"^models must be a list of names: \['qwen3'\]$"):
        OllamaStandIn(["Soup."], models="qwen3")


@pytest.mark.parametrize(("ask", "missing"), [
    (lambda client: client.embed("llama3.2", "Soup."), "/api/embed"), (lambda client: client.ps(), "/api/ps"),
])  # fmt: skip
def test_what_the_stand_in_does_not_speak_is_named(ask: Callable[[ollama.Client], object], missing: str) -> None:
    """The error names the missing endpoint, such as that for embeddings."""
    with OllamaStandIn([]) as stand_in, pytest.raises(ollama.ResponseError) as told:
        ask(ollama.Client(stand_in.url))

    assert (told.value.status_code, told.value.error) == (404, f"the stand-in has no {missing}")


@pytest.mark.parametrize(
    ("script", "message"),
    [(lambda request: 3, "TypeError: a reply must be a str"), (lambda request: {}["x"], "KeyError: 'x'")],
)
def test_function_that_fails_is_told_to_the_client(script: Any, message: str) -> None:
    """The client's exception contains the function's error."""
    with OllamaStandIn(script) as stand_in, pytest.raises(ollama.ResponseError, match=f"the script raised {message}"):
        chat(stand_in).invoke("q")


def test_end_of_the_script_is_told() -> None:
    """When the list is exhausted, the response is an error that says so."""
    with OllamaStandIn([]) as stand_in, pytest.raises(ollama.ResponseError, match="no reply 1"):
        chat(stand_in).invoke("Dinner?")


def test_unknown_model_is_not_found() -> None:
    """The stand-in has only the models it was given, as Ollama has only those pulled."""
    not_found = pytest.raises(ollama.ResponseError, match="model 'llama3' not found")
    with OllamaStandIn([], models=["qwen3:8b"]) as stand_in, not_found:
        ollama.Client(stand_in.url).generate("llama3", "Dinner?")


@pytest.fixture
def client() -> Iterator[ollama.Client]:
    """Ollama's own client, for a stand-in with two models."""
    with OllamaStandIn(["Soup for two."], models=["llama3.2:latest", "qwen3:8b"]) as stand_in:
        yield ollama.Client(stand_in.url)


def test_ollamas_own_client_lists_the_models(client: ollama.Client) -> None:
    """They are those that the stand-in was given."""
    assert [m.model for m in client.list().models] == ["llama3.2:latest", "qwen3:8b"]


def test_ollamas_own_client_without_streaming(client: ollama.Client) -> None:
    """A response without streaming is one JSON object with text and counts; a name implies its `:latest`."""
    answer = client.generate("llama3.2", "What is for dinner?")

    assert (answer.response, answer.prompt_eval_count, answer.eval_count) == ("Soup for two.", 4, 3)


def test_answer_without_streaming_has_thinking_text_and_tools() -> None:
    """It is one JSON object, as a stream would have it in parts."""
    answer = Answer("Soup for two.", tools=(ToolUse("pantry", {"item": "rice"}),), thinking="It is cold outside.")
    with OllamaStandIn([answer]) as stand_in:
        message = ollama.Client(stand_in.url).chat("llama3.2", [{"role": "user", "content": "Dinner?"}]).message

    assert (message.content, message.thinking) == ("Soup for two.", "It is cold outside.")
    assert [(call.function.name, call.function.arguments) for call in message.tool_calls or ()] == [
        ("pantry", {"item": "rice"})
    ]


def test_abandoned_stream_leaves_the_stand_in_well() -> None:
    """A client that disconnects during a stream does not affect the next one."""
    with OllamaStandIn(["word " * 2000, "Soup."], tokens_per_second=20_000) as stand_in:
        for _ in chat(stand_in).stream("Tell me a long story"):
            break
        message = chat(stand_in).invoke("Dinner?")

    assert message.content == "Soup."


def test_memory_delivery_keeps_entries() -> None:
    """Each line becomes an entry; `sequence` is the short form that tests compare."""
    entry = {"session_id": "s", "event_id": "e", "event_type": "info", "timestamp": 1, "prompt_number": 1}
    delivery = MemoryDelivery()
    delivery.append(encode(entry | {"turn_number": 0}) + encode(entry | {"turn_number": 1}), 2)

    assert delivery.sequence == [("info", 1, 0), ("info", 1, 1)]
    assert (delivery.flush(0), delivery.stats(), delivery.events[0].turn_number) == (True, Stats(2, 2), 0)


def test_capture_events_needs_no_handler() -> None:
    """Runs in the block are logged, runs after it are not."""
    with OllamaStandIn(["one", "two"]) as stand_in:
        with capture_events() as logged:
            chat(stand_in).invoke("Dinner?")
        chat(stand_in).invoke("Supper?")

    assert logged.sequence == [
        ("session_start", 1, 0), ("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1),
        ("session_end", 1, 0),
    ]  # fmt: skip
