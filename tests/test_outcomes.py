"""An exception's meaning is derived from its class, and it is reported without secrets."""

from __future__ import annotations

import asyncio
import builtins
import concurrent.futures
import errno
import re
import subprocess
import sys
import textwrap
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

import greenlet
import httpx
import openai
import pytest
from langchain_core import exceptions
from langchain_core.exceptions import OutputParserException
from langchain_core.tools import ToolException
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphBubbleUp, GraphDrained, GraphInterrupt, GraphRecursionError, NodeCancelledError
from langgraph.errors import ParentCommand as Parent
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Interrupt, interrupt
from pydantic import TypeAdapter, ValidationError

from coagent_langchain.exceptions import MAX_MESSAGE, MAX_STACK, error_message, stack_trace
from coagent_langchain.redaction import redacted
from coagent_langchain.texts import fingerprint
from coagent_langchain.values.commands import target_of
from coagent_langchain.values.outcomes import classify, interrupts, severity


class Mute(Exception):
    """An exception whose text cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError("no")


class Odd(str):
    """A string with code of its own."""

    def encode(self, *_: str) -> bytes:
        raise RuntimeError("no")


class Oddly(Exception):
    """An exception whose text is such a string."""

    def __str__(self) -> str:
        return Odd("an odd text")


class AwsError(Exception):
    """An error as raised by botocore, with its status in a dict."""

    response: Any = {"Error": {"Code": "AccessDeniedException"}, "ResponseMetadata": {"HTTPStatusCode": 403}}  # noqa: RUF012


class GoogleError(Exception):
    """An error as raised by google-api-core over gRPC: only its class has the status, as a member of an enumeration."""

    code = HTTPStatus.UNAUTHORIZED


class GraphLookalike(Exception):
    """A user's own error, named like LangGraph's control flow."""


GraphLookalike.__name__ = GraphLookalike.__qualname__ = "GraphInterrupt"


def raised(error: BaseException) -> BaseException:
    """The exception with a traceback, as a hook receives it."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - a hook gets any
        return caught


def provider_error(status: int, body: Any = None) -> openai.APIStatusError:
    """An error as the OpenAI package raises it."""
    response = httpx.Response(status, request=httpx.Request("POST", "https://api.openai.com/v1/chat"))
    return openai.APIStatusError("refused", response=response, body=body)


def invalid() -> ValidationError:
    """A pydantic validation error."""
    try:
        TypeAdapter(int).validate_python("x")
    except ValidationError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError("no"), "error"),
        (GraphInterrupt((Interrupt("q", id="1"),)), "interrupted"),
        (Parent(Command(goto="b")), "handed over"),
        (GraphDrained(), "cancelled"),
        (GraphBubbleUp(), "handed over"),
        (GraphRecursionError("too many"), "error"),
        (NodeCancelledError("node"), "error"),
        (GraphLookalike("no"), "error"),
        (GeneratorExit(), "abandoned"),
        (asyncio.CancelledError(), "cancelled"),
        (concurrent.futures.CancelledError(), "cancelled"),
        (greenlet.GreenletExit(), "cancelled"),  # as by gevent's `kill`, or a gevent worker that stops
        (KeyboardInterrupt(), "cancelled"),
        (SystemExit(1), "cancelled"),
        (TimeoutError(), "error"),
        (StopIteration(), "error"),
        (ExceptionGroup("two", [ValueError("a"), KeyError("b")]), "error"),
    ],
)
def test_each_exception_has_its_meaning(error: BaseException, outcome: str) -> None:
    """Control flow of LangGraph and Python is distinguished from failures by class, not by name."""
    found = classify(error)

    assert found == outcome
    assert found.failed == (outcome == "error")


def test_langgraph_is_never_imported() -> None:
    """Classification works without importing langgraph."""
    program = """
        import sys
        from coagent_langchain.values.outcomes import classify
        assert classify(ValueError()) == "error"
        assert "langgraph" not in sys.modules
    """

    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)


def test_a_real_interrupt_gives_its_question() -> None:
    """The id and value are read from the exception of a real graph's `interrupt`."""
    caught: list[BaseException] = []

    def ask(state: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"a": interrupt({"question": "sure?", "options": ("yes", "no")})}
        except GraphInterrupt as error:
            caught.append(error)
            raise

    graph = StateGraph(dict).add_node("ask", ask).add_edge(START, "ask")
    graph.compile(checkpointer=InMemorySaver()).invoke({"a": 1}, {"configurable": {"thread_id": "1"}})
    [(interrupt_id, value)] = interrupts(caught[0])

    assert value == {"question": "sure?", "options": ["yes", "no"]}
    assert len(interrupt_id) == 32


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (GraphInterrupt((Interrupt("a", id="1"), Interrupt("b", id="2"))), [("1", "a"), ("2", "b")]),
        (GraphInterrupt(()), []),
        (GraphInterrupt(None), []),
        (ValueError("no"), []),
    ],
)
def test_interrupts_are_listed(error: BaseException, expected: list[tuple[str, Any]]) -> None:
    """All questions of an interrupt are found; without any, the list is empty."""
    assert interrupts(error) == expected


def test_a_hand_off_tells_where_it_goes() -> None:
    """A command to the parent graph names its targets."""
    command = Command(graph=Command.PARENT, goto=["billing", "audit"], update={"a": 1})

    assert target_of(command) == {"graph": "__parent__", "goto": ["billing", "audit"]}
    assert target_of(Command(goto="billing")) == {"goto": ["billing"]}


def test_the_stack_tells_causes_and_groups() -> None:
    """The stack includes causes, contexts and all members of a group."""
    group = ExceptionGroup("both", [raised(ValueError("first")), raised(KeyError("second"))])
    try:
        raise RuntimeError("outer") from group
    except RuntimeError as error:
        found = stack_trace(error)

    words = ("first", "second", "both", "direct cause", "outer")
    assert [word for word in words if word not in found] == []


def test_the_stack_is_bounded() -> None:
    """A very long stack keeps its beginning and its end, and says how much is missing."""
    found = stack_trace(raised(ValueError("start " + "x" * 500_000 + " end")))

    assert len(found) < MAX_STACK + 100
    assert "Traceback" in found[:100]
    assert " end" in found[-10:]
    assert "… [cut: " in found


def test_endless_recursion_has_a_stack() -> None:
    """The stack of a recursion error is abbreviated."""

    def down() -> None:
        down()

    with pytest.raises(RecursionError) as caught:
        down()

    assert "maximum recursion depth" in stack_trace(caught.value)


def test_mute_exceptions_are_told() -> None:
    """An exception with an unreadable, unencodable or empty text still has a message and a stack."""
    assert error_message(Mute()) == "<its text could not be read: RuntimeError>"
    assert error_message(Oddly()) == "an odd text"
    assert error_message(ValueError("a\ud800")) == "a\\ud800"
    assert error_message(ValueError()) == "ValueError"
    assert "Mute" in stack_trace(raised(Mute()))
    assert stack_trace(raised(ValueError("\ud800"))).encode()


@pytest.mark.parametrize(("size", "left"), [(100_000, "80,000 of 100,000"), (MAX_MESSAGE + 1, "1 of 20,001")])
def test_long_messages_are_cut(size: int, left: str) -> None:
    """A message over the limit has as many characters as the limit allows, and a note."""
    assert error_message(ValueError("x" * size)) == "x" * MAX_MESSAGE + f"… [cut: {left} characters]"


def test_cut_leaves_no_part_of_a_secret() -> None:
    """A secret at the cut, or at either end of what a stack omits, is removed entirely."""
    secret = "sk-ant-" + "a" * 97
    message = error_message(ValueError("x" * (MAX_MESSAGE - 30) + f" {secret} " + "y" * 100_000))
    stack = stack_trace(raised(ValueError(" ".join(["z" * 30, *[secret] * 20_000]))))

    assert ("sk-ant" in message, "sk-ant" in stack, "aaaa" in stack) == (False, False, False)
    assert "[redacted]" in stack


@pytest.mark.parametrize("said", ["plain words, " * 500_000, "-eyJ" * 100_000])
def test_very_long_messages_do_not_hold_the_application_up(said: str) -> None:
    """Text that is cut off is not searched for secrets."""
    began = time.thread_time()  # of this thread only, whatever else the machine does
    error_message(ValueError(said))
    stack_trace(raised(ValueError(said)))

    assert time.thread_time() - began < 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (GraphInterrupt(()), "low"),
        (asyncio.CancelledError(), "low"),
        (ToolException("no"), "medium"),
        (invalid(), "medium"),
        (OutputParserException("no"), "medium"),
        (TimeoutError(), "medium"),
        (ConnectionError(), "medium"),
        (AwsError(), "high"),
        (GoogleError(), "high"),
        (provider_error(429, {"code": "insufficient_quota"}), "high"),
        (GraphRecursionError("too many"), "high"),
        (ExceptionGroup("g", [ValueError(), MemoryError()]), "critical"),
    ],
)
def test_severity_is_sensible(error: BaseException, expected: str) -> None:
    """External trouble is medium, what needs a human is high: beside what docs/hooks.md names, tested below."""
    assert severity(error) == expected


@pytest.mark.parametrize(
    "secret",
    [
        "Incorrect API key provided: sk-proj-abcdefghijklmnop1234.",
        'headers={"Authorization": "Bearer abc.def-123", "Accept": "json"}',
        "{'x-api-key': 'abc123', 'accept': 'json'}",
        "Authorization: Bearer abcdefgh12345678",
        "GET https://example.org/?api_key=abc123&page=2", "GET https://example.org/?page=2&key=abc123",
        "postgresql://bob:hunter2@db/prod", "redis://:hunter2@cache:6379/0",
        "OPENAI_API_KEY=abc123", "X-Auth-Token: abc123", "Server=db;Uid=bob;Pwd=hunter2;Database=prod",
        "input_value={'db_password': 'hunter2', 'port': 5432}", "dbPassword: hunter2", "password => hunter2",
        "{b'x-api-key': b'abc123'}", 'password=Text("hunter2")', 'Cookie: theme=abc; session=hunter2',
        r'{"error": "{\"password\": \"hunter2\", \"user\": \"bob\"}"}', r'"password": "\"hunter2"',
        "Authorization: ApiKey abc123",
        "-----BEGIN RSA PRIVATE KEY-----\nabc123\n-----END RSA PRIVATE KEY-----",
        "hf_abcdefghijklmnopqrst", "AKIAIOSFODNN7EXAMPLE", "gsk_abcdefghijklmnopqrst", "xai-abcdefghijklmnopqrst",
        "nvapi-abcdefgh_jklmnop-rst", "csk-abcdefghijklmnopqrst", "tvly-dev-abcdefghijklmnop",
        "tgp_v1_abcdefghijklmnopqrst", "AQ.Ab8RN6abcdefghijklmnopqrstu", "fw_3Zabcdefghijklmnopqrstu",
        "ABSKQmVkcm9ja0FQSUtleS1hYmNkLWF0LTEyMzQ1Njc4OTAxMjpBQkNERUZHSElKS0xNTk9Q+/==",
        "dapi0123456789abcdef0123456789abcdef", "r8_abcdefghijklmnopqrstuvwxyz01234567890",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.sig-nature_x",
    ],
)  # fmt: skip
def test_secrets_are_redacted(secret: str) -> None:
    """Keys, tokens and passwords in errors are replaced; the surrounding text stays."""
    found = error_message(ValueError(f"before {secret} after"))

    words = ("abcdefgh", "abc", "hunter2", "IOSFODNN", "eyJ", "nature", "9Q+")
    assert "[redacted]" in found
    assert [word for word in words if word in found] == []
    assert found.startswith("before ")
    assert found.endswith(" after")


@pytest.mark.parametrize(
    "harmless",
    [
        "the sk-learn package", "max_tokens: 100", "a basic question", "token limit: 4096 exceeded",
        "password is required", "http://localhost:3000/a:b@c", "Bearer of bad news", "task-1234567890123456",
        "http://:3000/a@b", "['password', 'name'] are missing", "next_page_token: 7", "secretary: Ada",
    ],
)  # fmt: skip
def test_harmless_texts_stay(harmless: str) -> None:
    """Text that only looks like credentials is unchanged."""
    assert redacted(harmless) == harmless


def test_secret_whose_closing_quote_is_cut_off_is_redacted() -> None:
    """It may be the end of a text that somebody has cut."""
    assert redacted("{'user': 'bob', 'password': 'hunter2 and mo") == "{'user': 'bob', 'password': [redacted]"


def test_what_stands_beside_a_secret_stays() -> None:
    """Only the value is replaced, whether it is in quotes, in JSON within JSON, or in an address."""
    found = redacted(r'{"body": "{\"password\": \"x\", \"user\": \"bob\"}", "url": "https://h?api_key=x", "port": 1}')

    assert found == (
        r'{"body": "{\"password\": [redacted], \"user\": \"bob\"}", "url": "https://h?api_key=[redacted]", "port": 1}'
    )


def test_severities_are_as_documented() -> None:
    """Each class, errno and HTTP status that docs/hooks.md names has the severity of its row."""
    text = (Path(__file__).parent.parent / "docs" / "hooks.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(critical|high|medium)` \| (.+) \|$", text, re.MULTILINE))
    found: dict[str, set[str]] = {}
    for row, cell in rows.items():
        names = [name for name in re.findall(r"`(\w+Error)`", cell) if name != "OSError"]
        errors = [(getattr(builtins, name, None) or getattr(exceptions, name))() for name in names]
        errors += [OSError(getattr(errno, name), "no") for name in re.findall(r"`(E[A-Z]+)`", cell)]
        errors += [provider_error(int(status)) for status in re.findall(r"\b\d{3}\b", cell)]
        found[row] = {severity(error).value for error in errors}

    assert found == {row: {row} for row in ("critical", "high", "medium")}


@pytest.mark.parametrize("length", [10, 100_000])
def test_fingerprint_tells_texts_apart_by_their_ends_and_length(length: int) -> None:
    """Equal texts have the same one; a different beginning, end or length gives another."""
    body = "context " * (length // 8)
    texts = [f"A {body} C", f"B {body} C", f"A {body} D", f"A {body} CC"]
    assert len({fingerprint(each) for each in texts}) == len(texts)
    assert fingerprint(texts[0]) == fingerprint("".join(list(texts[0])))
