"""`filter_logs`: the named presets of the first API tutorial, and JMESPath expressions with limits."""

from __future__ import annotations

from typing import Any

import jmespath
import orjson
from jmespath.exceptions import JMESPathError

MAX_LENGTH = 1000  # characters of an expression
MAX_NODES = 200  # of its syntax tree
MAX_FANS = 3  # what multiplies: 6 of them turned 5 entries into 14 million values
MAX_VALUES = 2_000_000  # of the result, before it is written as JSON
FANS = frozenset(("multi_select_list", "multi_select_dict", "flatten"))

PRESETS = {
    "all": "[]",
    "log_type_llm_call": "[?event_type=='llm_call']",
    "log_type_start": "[?event_type=='session_start']",
    "log_type_end": "[?event_type=='session_end']",
    "lmmcall_tokens": "[?event_type=='llm_response'].llm_response.{input_tokens: input_tokens, "
    "output_tokens: output_tokens, total_tokens: total_tokens}",
}


class FilterError(ValueError):
    """The expression is wrong or asks for too much; the message says which."""


def apply(expression: str, entries: list[Any]) -> bytes:
    """Filter a session's entries with a preset's name or a JMESPath expression.

    Returns:
        the result as JSON.

    Raises:
        FilterError: not a JMESPath, or beyond the limits.
    """
    expression = PRESETS.get(expression, expression)
    if len(expression) > MAX_LENGTH:
        raise FilterError(f"a filter has at most {MAX_LENGTH} characters, this one {len(expression)}")
    try:
        compiled = jmespath.compile(expression)
        _check(compiled.parsed)
        result = compiled.search(entries)
    except (JMESPathError, ValueError, TypeError, RecursionError, ArithmeticError) as error:
        if isinstance(error, FilterError):
            raise
        raise FilterError(f"pre is not a JMESPath expression that fits these entries: {error}") from error
    if _exceeds(result, MAX_VALUES):
        raise FilterError(f"the filter's result has more than {MAX_VALUES} values")
    try:
        return orjson.dumps(result)
    except TypeError as error:  # an expression reference, a sum beyond 64 bit, half a surrogate pair
        raise FilterError(f"the filter's result is not JSON: {error}") from error


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
        raise FilterError(f"a filter has at most {MAX_NODES} parts and {MAX_FANS} lists, objects and flattenings")


def _exceeds(value: Any, most: int) -> bool:
    count = 0
    waiting = [value]
    while waiting and count <= most:
        item = waiting.pop()
        count += 1
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return count > most
