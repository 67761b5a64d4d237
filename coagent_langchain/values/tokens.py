"""Tokens of one model call as LangChain counts them: all input, cached or not; unknown numbers are absent, not 0."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from coagent_langchain.values.fields import as_dict
from coagent_langchain.values.snapshot import snapshot

MAX_TOKENS = 2**53  # a larger number is not a count
MAX_DETAIL = 10_000  # characters of a string among the details

Dict = dict[Any, Any]
_COUNTS = frozenset({"input_tokens", "output_tokens", "total_tokens"})


@dataclass(slots=True)
class Usage:
    """Tokens of one model call; None if the provider does not say.

    Attributes:
        input_tokens: all input, cached input included.
        output_tokens: all output, reasoning included.
        total_tokens: the provider's total, or the sum of both.
        details: `input_token_details` and `output_token_details` as LangChain has them, the provider's other numbers
            verbatim, and `raw` if the numbers were read from the provider's own.
        cached: True when LangChain answered from its own cache: nothing was billed.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    details: dict[str, Any] = field(default_factory=dict)
    cached: bool = False


def standard(own: Dict) -> Usage:
    """Read LangChain's `usage_metadata`."""
    details: dict[str, Any] = {}
    if own.keys() != _COUNTS:
        rest = {key: value for key, value in own.items() if key not in _COUNTS and value is not None and value != {}}
        details = {str(key): snapshot(value, MAX_DETAIL) for key, value in rest.items()}
    free = own.get("total_cost")
    found = Usage(count(own.get("input_tokens")), count(own.get("output_tokens")), count(own.get("total_tokens")),
                  details, free is not None and type(free) in (int, float) and free == 0)  # fmt: skip
    return found if found.total_tokens is not None and not details else inclusive(found)


def inclusive(found: Usage) -> Usage:
    """Add the parts that the input or output leaves out, and a missing total.

    An input smaller than its cached part does not include it; an output that reaches the total only together with
    the reasoning does not include that (xAI reports it separately).
    """
    parts = found.details.get("input_token_details")
    cache = cache_tokens(parts) if parts else 0
    if found.input_tokens is not None and cache > found.input_tokens:
        found.details["input_tokens_without_cache"] = found.input_tokens
        found.input_tokens += cache
        found.total_tokens = None if found.total_tokens is None else found.total_tokens + cache
    if found.input_tokens is not None and found.output_tokens is not None:
        both = found.input_tokens + found.output_tokens
        thought = count(as_dict(found.details.get("output_token_details")).get("reasoning"))
        if found.total_tokens is None:
            found.total_tokens = both
        elif thought and found.total_tokens == both + thought:
            found.details["output_tokens_without_reasoning"] = found.output_tokens
            found.output_tokens += thought
    return found


def cache_tokens(details: Any) -> int:
    """Input tokens that were read from or written to the provider's cache, from `input_token_details`.

    Keys may have a service tier's prefix (`flex_cache_read`), and writes may be given by lifetime
    (`ephemeral_5m_input_tokens`) instead of in `cache_creation`.
    """
    read, written, timed = 0, 0, 0
    for key, value in as_dict(details).items():
        tokens = count(value) or 0
        if key.endswith("cache_read"):
            read += tokens
        elif key.endswith("cache_creation"):
            written += tokens
        elif key.startswith("ephemeral_"):
            timed += tokens
    return read + max(written, timed)


def count(value: Any) -> int | None:
    """Read a token count: a whole number, also as digits, or a list of them (streamed parts), summed; else None."""
    if type(value) is int:
        return value if 0 <= value <= MAX_TOKENS else None
    if type(value) is str:
        return int(value) if value.isascii() and value.isdigit() and len(value) < 16 else None
    if type(value) is float:
        return int(value) if 0 <= value <= MAX_TOKENS and value == int(value) else None
    if type(value) is list and 0 < len(value) <= 100_000:
        parts = [count(part) for part in value if type(part) is not list]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(value) else None
    return None
