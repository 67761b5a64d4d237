"""`filter_logs`: the named presets of the first API tutorial, and JMESPath expressions with limits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jmespath
import orjson
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions, signature
from jmespath.visitor import TreeInterpreter
from starlette.exceptions import HTTPException

MAX_LENGTH = 1000  # characters of an expression
MAX_STEPS = 2_000_000  # of one filter: see `_Interpreter`
STEP = 100  # characters that count as one step
MAX_REASON = 300  # characters of the library's message, which repeats the offending value

SELECTS = frozenset(("multi_select_list", "multi_select_dict"))
PRESETS = {
    "all": "[]",
    "log_type_llm_call": "[?event_type=='llm_call']",
    "log_type_start": "[?event_type=='session_start']",
    "log_type_end": "[?event_type=='session_end']",
    "lmmcall_tokens": "[?event_type=='llm_response'].llm_response.{input_tokens: input_tokens, "
    "output_tokens: output_tokens, total_tokens: total_tokens}",
}


def apply(expression: str, entries: list[Any]) -> bytes:
    """Filter a session's entries with a preset's name or a JMESPath expression.

    Returns:
        The result as JSON.

    Raises:
        HTTPException: 400, the expression is not valid JMESPath or exceeds a limit.
    """
    expression = PRESETS.get(expression, expression)
    if len(expression) > MAX_LENGTH:
        raise HTTPException(400, f"a filter has at most {MAX_LENGTH} characters, this one has {len(expression)}")
    try:
        result = _Interpreter().visit(jmespath.compile(expression).parsed, entries)
    except (JMESPathError, ValueError, TypeError, RecursionError, ArithmeticError) as error:
        reason = str(error)[:MAX_REASON]
        raise HTTPException(400, f"pre is not a valid JMESPath expression for these entries: {reason}") from error
    try:
        return orjson.dumps(result)
    except TypeError as error:  # an expression reference, a sum beyond 64 bits, a lone surrogate
        raise HTTPException(400, f"the filter's result is not JSON: {error}") from error


class _Interpreter(TreeInterpreter):
    """Evaluates an expression in at most `MAX_STEPS` steps: `[@,@]|[@,@]|…` doubles its input again and again.

    A step is the evaluation of one part, or one value or `STEP` characters of a list, an object or a string that it
    makes.
    """

    def __init__(self) -> None:
        super().__init__(jmespath.Options(custom_functions=_Functions(self._take)))
        self._left = MAX_STEPS

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        found = super().visit(node, *args, **kwargs)
        kind = node["type"]
        makes = kind in SELECTS or (kind == "function_expression" and isinstance(found, str))
        self._take(_size(found) if makes else 1)
        return found

    def _take(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise HTTPException(400, f"a filter takes at most {MAX_STEPS} steps; read /logs instead")


class _Functions(Functions):
    """JMESPath's functions; those whose result may be much larger than their arguments count it before they make it."""

    def __init__(self, take: Callable[[int], None]) -> None:
        self._take = take

    @signature({"types": []})
    def _func_to_string(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        self._take(_size(value))
        return json.dumps(value, separators=(",", ":"), default=str)

    @signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, separator: str, texts: list[str]) -> str:
        self._take(len(separator) * len(texts) // STEP)
        return separator.join(texts)


def _size(value: Any) -> int:
    """The steps that it takes to make a value; counting stops soon after `MAX_STEPS`."""
    steps = 0
    waiting = [value]
    while waiting and steps <= MAX_STEPS:
        item = waiting.pop()
        steps += 1
        if isinstance(item, str):
            steps += len(item) // STEP
        elif isinstance(item, dict):
            steps += sum(map(len, item)) // STEP
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return steps
