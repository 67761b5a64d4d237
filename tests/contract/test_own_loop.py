"""An application's own loop of model and tools: attempts at a tool, and errors that the loop answers."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import BaseTool, ToolException, tool

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.sessions import open_failures
from coagent_langchain.sessions.open_failures import MAX_ATTEMPTS
from coagent_langchain.testing import MemoryDelivery
from tests.fakes import calls, chat
from tests.reading import of_type, recoveries


def looking(*errors: BaseException | None) -> BaseTool:
    """A tool that raises one of these each time that it runs, or answers in place of None."""
    results = iter(errors)

    @tool
    def look(place: str) -> str:
        """Look somewhere."""
        if error := next(results):
            raise error
        return "seen"

    return look


@pytest.mark.parametrize("in_a_step", [False, True])
def test_failure_of_a_tool_that_an_own_loop_answers_is_handled(
    in_a_step: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The application runs the tools itself, catches what they raise and tells the model; what it does not, remains."""

    @tool
    def look(place: str) -> str:
        """Look somewhere."""
        raise ValueError(place)

    config: Any = {"callbacks": [handler]}
    asked = chat(calls(("look", {"place": "a"}, "1"), ("look", {"place": "b"}, "2"))).invoke("q", config)
    for call in asked.tool_calls:
        for name in ("first", "second"):  # attempts, each in a step of another name
            with contextlib.suppress(ValueError):
                (RunnableLambda(look.invoke, name=name) if in_a_step else look).invoke(call, config)
    messages = [HumanMessage("q"), asked, ToolMessage("no a", tool_call_id="1", status="error")]
    chat("sorry").invoke(messages, config)
    chat("bye").invoke(messages, config)

    assert [e["error_info"]["error_message"] for e in of_type(log, "error")] == ["a", "a", "b", "b"]
    assert recoveries(log) == [(1, "ScriptedChat", "handled", "the application answered the tool call")]
    assert [e["prompt_number"] for e in of_type(log, "recovery")] == [1]


@pytest.mark.parametrize("given", ["call", "arguments"])
@pytest.mark.parametrize("in_block", [True, False])
def test_tool_of_an_own_loop_that_is_called_again(
    log: MemoryDelivery, handler: CoagentCallbackHandler, *, in_block: bool, given: str
) -> None:
    """A success makes up for all attempts, an answer for the last one, and a later call of the same id for none.

    All are in the prompt and turn of the model's request. What an earlier prompt requested in vain is another call.
    """
    look = looking(*map(ValueError, "ab"), None, *map(ValueError, "cd"), None)
    config: Any = {"callbacks": [handler]}
    with handler.session("S") as session:
        chat(calls(("look", {"place": "b"}, "0"))).invoke("never mind", config)
        with session.prompt("q") if in_block else contextlib.nullcontext():
            for call_id, attempts in (("1", 3), ("2", 2), ("1", 1)):
                asked = chat(calls(("look", {"place": "a"}, call_id))).invoke("q", config)
                (call,) = asked.tool_calls
                for _ in range(attempts):
                    with contextlib.suppress(ValueError):
                        look.invoke(call if given == "call" else call["args"], config)
                chat("so").invoke([HumanMessage("q"), asked, ToolMessage("a", tool_call_id=call_id)], config)

    assert recoveries(log) == [
        (0, "look", "retry", "look was called again"), (1, "look", "retry", "look was called again"),
        (3, "ScriptedChat", "handled", "the application answered the tool call"),
    ]  # fmt: skip
    places = [(2, 1), (2, 3), (2, 5)] if in_block else [(2, 1), (3, 1), (4, 1)]
    ran = [(each["prompt_number"], each["turn_number"]) for each in of_type(log, "tool_call")]
    assert ran == [place for place, attempts in zip(places, (3, 2, 1), strict=True) for _ in range(attempts)]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_tool_of_an_own_loop_that_is_called_again_after_another(
    error: type[BaseException], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """With the arguments alone, it runs the calls that have not run before one that failed or was cancelled."""
    look = looking(error("no"), None, None)
    config: Any = {"callbacks": [handler]}
    asked = chat(calls(("look", {"place": "a"}, "1"), ("look", {"place": "b"}, "2"))).invoke("q", config)
    for place in "aba":
        with contextlib.suppress(error):
            look.invoke({"place": place}, config)
    answers = [ToolMessage("seen", tool_call_id=call_id) for call_id in "12"]
    chat("so").invoke([HumanMessage("q"), asked, *answers], config)

    ran = [(each["tool_call"]["parameters"]["place"], each["prompt_number"]) for each in of_type(log, "tool_call")]
    assert ran == [("a", 1), ("b", 1), ("a", 1)]
    failed = len(of_type(log, "error"))
    assert recoveries(log) == [(0, "look", "retry", "look was called again")] * failed


def test_tool_that_no_model_requested_is_no_other_attempt(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """With the arguments alone, it runs neither an earlier prompt's call nor one whose request is not known."""
    look = looking(ValueError("no"), ValueError("no"), None)
    config: Any = {"callbacks": [handler]}
    chat(calls(("look", {"place": "a"}, "1"))).invoke("q", config)
    chat("hello").invoke("hi", config)
    place: Any = {"place": "b"}
    for given in ({"type": "tool_call", "name": "look", "args": place, "id": "2"}, place, place):
        with contextlib.suppress(ValueError):
            look.invoke(given, config)

    assert [each["prompt_number"] for each in of_type(log, "tool_call")] == [3, 4, 5]
    assert (len(of_type(log, "error")), of_type(log, "recovery")) == (2, [])


def test_many_attempts_at_a_tool_of_an_own_loop(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Only the latest attempts are remembered: an application may try for ever."""
    look = looking(*(ValueError(str(number)) for number in range(MAX_ATTEMPTS + 1)), None)
    config: Any = {"callbacks": [handler]}
    asked = chat(calls(("look", {"place": "a"}, "1"))).invoke("q", config)
    for _ in range(MAX_ATTEMPTS + 2):
        with contextlib.suppress(ValueError):
            look.invoke(asked.tool_calls[0], config)

    made_up_for = range(1, MAX_ATTEMPTS + 1)
    assert recoveries(log) == [(place, "look", "retry", "look was called again") for place in made_up_for]


def test_failures_that_may_be_repeated_are_bounded(
    log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session remembers only the latest of them."""
    monkeypatch.setattr(open_failures, "MAX_OPEN", 2)
    look = looking(*map(ValueError, "abc"), None, None, None)
    config: Any = {"callbacks": [handler]}
    with handler.session("S") as session, session.prompt("q"):
        for place in "abcabc":
            with contextlib.suppress(ValueError):
                look.invoke({"place": place}, config)

    errors = [each["event_id"] for each in of_type(log, "error")]
    assert [each["error_info"]["error_id"] for each in of_type(log, "recovery")] == errors[1:]


def test_tool_of_an_own_loop_that_fails_and_then_answers_with_an_error(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The second attempt makes up for nothing: each error is handled by the answer to the call that it ended."""
    look = looking(ValueError("down"), ToolException("no soup"))
    look.handle_tool_error = True
    config: Any = {"callbacks": [handler]}
    with handler.session("S") as session, session.prompt("q"):
        asked = chat(calls(("look", {"place": "a"}, "1"))).invoke("q", config)
        with contextlib.suppress(ValueError):
            look.invoke(asked.tool_calls[0], config)
        answer = look.invoke(asked.tool_calls[0], config)
        chat("so").invoke([HumanMessage("q"), asked, answer], config)

    assert recoveries(log) == [
        (1, "look", "handled", "the tool answered with an error message"),
        (0, "ScriptedChat", "handled", "the application answered the tool call"),
    ]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_failures_of_two_calls_with_the_same_arguments_are_both_handled(
    order: tuple[int, int], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The second looks like a repetition of the first, but the answer to the first makes up for that alone."""
    look = looking(ValueError("no"), ValueError("no"))
    config: Any = {"callbacks": [handler]}
    with handler.session("S") as session, session.prompt("q"):
        asked = chat(calls(("look", {"place": "a"}, "1"), ("look", {"place": "a"}, "2"))).invoke("q", config)
        for place in order:
            with contextlib.suppress(ValueError):
                look.invoke(asked.tool_calls[place], config)
        answers = [ToolMessage("no", tool_call_id=call_id, status="error") for call_id in "12"]
        chat("so").invoke([HumanMessage("q"), asked, *answers], config)

    handled = ("ScriptedChat", "handled", "the application answered the tool call")
    assert recoveries(log) == [(place, *handled) for place in order]


def test_step_around_a_tool_that_is_called_again(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Its success makes up for the failure, which the answer to the model then does not do once more."""
    look = looking(ValueError("no"), None)
    config: Any = {"callbacks": [handler]}
    with handler.session("S") as session, session.prompt("q"):
        asked = chat(calls(("look", {"place": "a"}, "1"))).invoke("q", config)
        for _ in range(2):
            with contextlib.suppress(ValueError):
                answer = RunnableLambda(look.invoke, name="step").invoke(asked.tool_calls[0], config)
        chat("so").invoke([HumanMessage("q"), asked, answer], config)

    recovered = [(each["error_info"]["error_id"], each["error_info"]["recovery_actions"])
                 for each in of_type(log, "recovery")]  # fmt: skip
    assert recovered == [(each["event_id"], ["step was called again"]) for each in of_type(log, "error")]


def test_call_with_the_id_of_a_failed_one(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Ids may repeat: the answer to a later call says nothing about the tool that failed before it."""
    look = looking(ValueError("no"), None)
    config: Any = {"callbacks": [handler]}
    for place in "ab":
        with contextlib.suppress(ValueError):
            asked = chat(calls(("look", {"place": place}, "1"))).invoke("q", config)
            answer = look.invoke(asked.tool_calls[0], config)
            chat("so").invoke([HumanMessage("q"), asked, answer], config)

    assert (len(of_type(log, "error")), of_type(log, "recovery")) == (1, [])


@pytest.mark.parametrize("before", [RunnablePassthrough(), None])
def test_model_that_an_own_loop_calls_again_after_a_tool_is_recovered(
    before: Any, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The messages end with the tool's answer, so both attempts are in one prompt, even without a block."""
    config: Any = {"callbacks": [handler]}
    model: Any = chat(calls(("look", {}, "c1")), TimeoutError("slow"), TimeoutError("down"), "done")
    asking = model if before is None else before | model
    messages: list[Any] = [HumanMessage("q")]
    messages += [asking.invoke(messages, config), ToolMessage("found", tool_call_id="c1")]
    for _ in range(3):
        with contextlib.suppress(TimeoutError):
            asking.invoke(messages, config)

    again = "ScriptedChat" if before is None else "RunnableSequence"
    assert recoveries(log) == [(place, again, "retry", f"{again} was called again") for place in (0, 1)]
    assert {e["prompt_number"] for e in log.entries} == {1}
