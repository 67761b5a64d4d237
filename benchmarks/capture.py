"""What the pure functions of capture cost on ordinary values: µs per call, the best of many rounds.

python -m benchmarks.capture
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from coagent_langchain.capture.cost import cost
from coagent_langchain.capture.messages import answer, message_dict, split
from coagent_langchain.capture.outcomes import classify
from coagent_langchain.capture.parameters import model_parameters
from coagent_langchain.capture.snapshot import encode_safely, snapshot
from coagent_langchain.capture.usage import usage
from coagent_langchain.texts import stack_trace

ROUNDS = 15
SYSTEM, USER = SystemMessage("You are a weather assistant."), HumanMessage("What is the weather in Paris?")
ASKED = AIMessage("", tool_calls=[{"id": "call_1", "name": "weather", "args": {"city": "Paris"}}])
TOLD, DONE = ToolMessage("sunny", tool_call_id="call_1", name="weather"), AIMessage("It is sunny.")
TOKENS = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "input_token_details": {"cache_read": 4}}
RESULT = LLMResult(
    generations=[
        [
            ChatGeneration(
                message=AIMessage(
                    "It is sunny.",
                    usage_metadata=TOKENS,
                    response_metadata={"model_name": "gpt-4o", "finish_reason": "stop"},
                )
            )
        ]
    ]
)
TOOL = {"type": "function", "function": {"name": "weather", "description": "", "parameters": {}}}
PARAMS = {
    "model": "gpt-4o",
    "model_name": "gpt-4o",
    "stream": False,
    "temperature": 0.5,
    "stop": None,
    "tools": [TOOL] * 3,
}
FACTS = {"ls_provider": "openai", "ls_model_name": "gpt-4o", "ls_model_type": "chat", "ls_temperature": 0.5}
ENTRY = {"version": "2.0.0", "session_id": "s" * 36, "prompt_number": 1, "meta": {"trace": {"run_id": "r" * 36}}}


def failure() -> BaseException:
    """An exception with a short traceback."""
    try:
        raise ValueError("no such city")
    except ValueError as error:
        return error


def cases() -> dict[str, Callable[[], Any]]:
    """The measured calls, by name."""
    tokens, error = usage(RESULT), failure()
    return {
        "snapshot: dict of 4 plain values": lambda: snapshot({"city": "Paris", "days": 3, "metric": True, "x": 1.5}),
        "snapshot: short string": lambda: snapshot("hello"),
        "snapshot: dict with a 200 KB string": lambda: snapshot({"text": LARGE}),
        "snapshot: 1,000 numbers": lambda: snapshot(NUMBERS),
        "encode_safely: entry": lambda: encode_safely(ENTRY),
        "message_dict: user": lambda: message_dict(USER),
        "message_dict: answer": lambda: message_dict(DONE),
        "message_dict: tool call": lambda: message_dict(ASKED),
        "message_dict: tool result": lambda: message_dict(TOLD),
        "split: system and user": lambda: split([SYSTEM, USER]),
        "split: agent, 10 tool calls (22 messages)": lambda: split([SYSTEM, USER, *[ASKED, TOLD] * 10]),
        "answer": lambda: answer(RESULT),
        "usage": lambda: usage(RESULT),
        "model_parameters: 3 tools": lambda: model_parameters(None, PARAMS, FACTS, {"stop": None}),
        "cost": lambda: cost("openai", "gpt-4o", tokens),
        "classify: error": lambda: classify(error),
        "stack_trace: one frame": lambda: stack_trace(error),
    }


LARGE = "x" * 200_000
NUMBERS = list(range(1000))


def main() -> None:
    """Print a line for each case."""
    for name, call in cases().items():
        call()
        number = max(1, int(0.01 / max(timeit.timeit(call, number=1), 1e-7)))
        best = min(timeit.repeat(call, number=number, repeat=ROUNDS)) / number
        print(f"{name:45} {best * 1e6:9.2f} µs")


if __name__ == "__main__":
    main()
