"""`filter_logs`: the named presets of the first API tutorial, and JMESPath expressions with limits."""

from __future__ import annotations

import json
import math
from typing import Any

import jmespath
import orjson
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions, signature
from starlette.exceptions import HTTPException

MAX_LENGTH = 1000  # characters of an expression
MAX_NODES = 200  # nodes of its syntax tree
MAX_FANS = 3  # nodes that multiply values: 6 of them turned 5 entries into 14 million values
MAX_COPIES = 100  # copies of one value by lists and objects: `[@, @] | [@, @, @]` makes 6
MAX_VALUES = 2_000_000  # values of the result, before it is written as JSON
MAX_CHARACTERS = 250_000_000  # characters of the result's strings
MAX_WRITTEN = 100_000_000  # characters that the functions of one filter may produce
MAX_REASON = 300  # characters of the library's message, which repeats the offending value
SELECTS = frozenset(("multi_select_list", "multi_select_dict"))
FANS = SELECTS | {"flatten"}

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
        compiled = jmespath.compile(expression)
        _check(compiled.parsed)
        result = compiled.search(entries, jmespath.Options(custom_functions=_Functions()))
    except (JMESPathError, ValueError, TypeError, RecursionError, ArithmeticError) as error:
        reason = str(error)[:MAX_REASON]
        raise HTTPException(400, f"pre is not a valid JMESPath expression for these entries: {reason}") from error
    values, characters = _size(result)
    if values > MAX_VALUES:
        raise HTTPException(400, f"the filter's result has more than {MAX_VALUES} values")
    if characters > MAX_CHARACTERS:
        raise HTTPException(400, f"the filter's result has more than {MAX_CHARACTERS} characters")
    try:
        return orjson.dumps(result)
    except TypeError as error:  # an expression reference, a sum beyond 64 bits, a lone surrogate
        raise HTTPException(400, f"the filter's result is not JSON: {error}") from error


class _Functions(Functions):
    """JMESPath's functions with a limit on their output: nested, each could double the output of another."""

    def __init__(self) -> None:
        self._left = MAX_WRITTEN

    @signature({"types": []})
    def _func_to_string(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        values, characters = _size(value)
        self._count(values + characters if values <= MAX_VALUES else MAX_WRITTEN + 1)  # `_size` stopped early
        return json.dumps(value, separators=(",", ":"), default=str)

    @signature({"types": ["string"]}, {"types": ["array-string"]})
    def _func_join(self, separator: str, texts: list[str]) -> str:
        self._count(sum(map(len, texts)) + len(separator) * len(texts))
        return separator.join(texts)

    @signature({"types": ["array", "string"]})
    def _func_reverse(self, value: list[Any] | str) -> list[Any] | str:
        self._count(len(value))
        return value[::-1]

    def _count(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            raise HTTPException(400, f"the functions of a filter produce at most {MAX_WRITTEN} characters")


def _check(tree: Any) -> None:
    nodes = fans = 0
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            nodes += 1
            fans += node.get("type") in FANS
            waiting += node.get("children", ())
    if nodes > MAX_NODES or fans > MAX_FANS:
        most = f"{MAX_NODES} parts and {MAX_FANS} lists, objects and flattenings"
        raise HTTPException(400, f"a filter has at most {most}")
    if (copies := _copies(tree)) > MAX_COPIES:
        most = f"at most {MAX_COPIES} times, not {copies}"
        raise HTTPException(400, f"the lists and objects of a filter copy a value {most}")


def _copies(node: Any) -> int:
    """How often lists and objects may copy one value: siblings add up, nested ones multiply."""
    inner = [_copies(child) for child in node.get("children", ()) if isinstance(child, dict)]
    return sum(inner) if node.get("type") in SELECTS else math.prod(inner)


def _size(value: Any) -> tuple[int, int]:
    """Count the values in a value and the characters of its strings; stop once either exceeds its limit."""
    values = characters = 0
    waiting = [value]
    while waiting and values <= MAX_VALUES and characters <= MAX_CHARACTERS:
        item = waiting.pop()
        values += 1
        if isinstance(item, str):
            characters += len(item)
        elif isinstance(item, dict):
            characters += sum(map(len, item))
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return values, characters
