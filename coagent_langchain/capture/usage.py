"""Token usage of one model call: one source, never merged; input includes what came from a cache.

The source is the first that says anything: the message's `usage_metadata`, then `generation_info.usage_metadata`, then
the provider's own numbers in `response_metadata` and `generation_info`, then `llm_output`. What is unknown is absent,
not 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from coagent_langchain.capture.content import as_dict, fields_of
from coagent_langchain.capture.messages import generations_of
from coagent_langchain.capture.snapshot import snapshot

if TYPE_CHECKING:
    from langchain_core.outputs import LLMResult

MAX_TOKENS = 2**53  # above it a number is no count
MAX_DETAIL = 10_000  # characters of a string among the details

Dict = dict[Any, Any]


@dataclass(slots=True)
class Usage:
    """Tokens of one model call; None where the provider does not say.

    Attributes:
        input_tokens: all input, cached input included.
        output_tokens: all output, reasoning included.
        total_tokens: the provider's total, or the sum of both.
        details: `input_token_details` and `output_token_details` as LangChain has them, the provider's other numbers
            verbatim, and `raw` where the numbers were read from the provider's own.
        cached: True when LangChain answered from its own cache: nothing was billed.
        source: where the numbers were found, e.g. `message.usage_metadata`.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    details: dict[str, Any] = field(default_factory=dict)
    cached: bool = False
    source: str = ""


def usage(result: LLMResult, batch_size: int = 1) -> Usage | None:
    """Read the tokens of one run's result.

    Parameters:
        result: as given to `on_llm_end` or `on_llm_error`; garbage anywhere in it gives None.
        batch_size: prompts of the call. Text models report a batch as a whole, on its first run: the numbers are then
            marked with `details["covers_prompts"]`, and the other runs have none.
    """
    generations = generations_of(result)
    found = _from_messages(generations)
    cached = found is not None and found.cached
    if found is not None and (found.input_tokens or found.output_tokens or found.total_tokens):
        return found
    for source, raw in _raw_sources(result, generations):
        if (known := from_raw(raw, source, cached)) is not None:
            if batch_size > 1 and source.startswith("llm_output"):
                known.details["covers_prompts"] = batch_size
            return known
    return found if cached else None


def _from_messages(generations: list[Any]) -> Usage | None:
    """The sum over the candidates' `usage_metadata`; what all candidates of one response repeat is counted once."""
    if len(generations) == 1:
        own = getattr(getattr(generations[0], "message", None), "usage_metadata", None)
        return _standard(own, "message.usage_metadata") if own and isinstance(own, dict) else None
    seen: list[Dict] = []
    for generation in generations:
        own = getattr(getattr(generation, "message", None), "usage_metadata", None)
        if own and isinstance(own, dict) and (not seen or own not in seen):
            seen.append(own)
    if not seen:
        return None
    return _standard(seen[0] if len(seen) == 1 else _summed(seen), "message.usage_metadata")


def _summed(parts: list[Dict]) -> Dict:
    """Numbers added key by key, nested ones too; anything else as first seen."""
    total: Dict = {}
    for part in parts:
        for key, value in part.items():
            before = total.get(key)
            if isinstance(value, dict):
                total[key] = _summed([before, value]) if isinstance(before, dict) else dict(value)
            elif count(value) is not None and count(before) is not None:
                total[key] = before + value
            else:
                total.setdefault(key, value)
    return total


def _standard(own: Dict, source: str) -> Usage:
    """LangChain's `usage_metadata`."""
    details: dict[str, Any] = {}
    if own.keys() != _COUNTS:
        rest = {key: value for key, value in own.items() if key not in _COUNTS and value is not None and value != {}}
        details = {str(key): snapshot(value, MAX_DETAIL) for key, value in rest.items()}
    free = own.get("total_cost")
    found = Usage(count(own.get("input_tokens")), count(own.get("output_tokens")), count(own.get("total_tokens")),
                  details, free is not None and type(free) in (int, float) and free == 0, source)  # fmt: skip
    return found if found.total_tokens is not None and not details else _inclusive(found)


def _inclusive(found: Usage) -> Usage:
    """Input below its own cached part cannot include it: then it is added. A missing total is the sum."""
    parts = found.details.get("input_token_details")
    cache = cache_tokens(parts) if parts else 0
    if found.input_tokens is not None and cache > found.input_tokens:
        found.details["input_tokens_without_cache"] = found.input_tokens
        found.input_tokens += cache
        found.total_tokens = None if found.total_tokens is None else found.total_tokens + cache
    if found.total_tokens is None and found.input_tokens is not None and found.output_tokens is not None:
        found.total_tokens = found.input_tokens + found.output_tokens
    return found


_COUNTS = frozenset({"input_tokens", "output_tokens", "total_tokens"})


def cache_tokens(details: Any) -> int:
    """Input tokens that were read from or written to the provider's cache.

    Parameters:
        details: `input_token_details`; keys may have a service tier's prefix (`flex_cache_read`), and writes may be
            given by lifetime (`ephemeral_5m_input_tokens`) instead of in `cache_creation`.
    """
    if not isinstance(details, dict):
        return 0
    read, written, timed = 0, 0, 0
    for key, value in details.items():
        tokens = count(value) or 0
        if key.endswith("cache_read"):
            read += tokens
        elif key.endswith("cache_creation"):
            written += tokens
        elif key.startswith("ephemeral_"):
            timed += tokens
    return read + max(written, timed)


def _raw_sources(result: Any, generations: list[Any]) -> Iterator[tuple[str, Any]]:
    """Where providers leave their own numbers, in order."""
    first = generations[0] if generations else None
    info = as_dict(getattr(first, "generation_info", None))
    metadata = as_dict(getattr(getattr(first, "message", None), "response_metadata", None))
    output = as_dict(getattr(result, "llm_output", None))
    yield "generation_info.usage_metadata", info.get("usage_metadata")
    yield "response_metadata.usage_metadata", metadata.get("usage_metadata")
    further = as_dict(getattr(getattr(first, "message", None), "additional_kwargs", None))
    places = {
        "response_metadata": metadata,
        "generation_info": info,
        "additional_kwargs": further,
        "llm_output": output,
    }
    for name, place in places.items():
        for key in _USAGE_KEYS if place else ():
            yield f"{name}.{key}", place.get(key)
        yield f"{name}.x_groq", as_dict(place.get("x_groq")).get("usage")
        yield name, {key: place[key] for key in _OWN_COUNTS if key in place}


def _mapping(value: Any) -> Dict:
    """A dict, or the fields of an object: SDKs have classes for their usage, which models pass on as they are."""
    return value if isinstance(value, dict) else fields_of(value)


_USAGE_KEYS = ("token_usage", "usage", "amazon-bedrock-invocationMetrics", "invocation_metrics", "usage_metrics",
               "tokenUsage", "usageMetadata", "token_count")  # fmt: skip
_OWN_COUNTS = ("prompt_eval_count", "eval_count",  # Ollama
               "input_token_count", "generated_token_count", "prompt_token_count", "completion_token_count",
               "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens")  # fmt: skip
_INPUT = ("prompt_tokens", "input_tokens", "inputTokens", "promptTokens", "inputTokenCount", "prompt_token_count",
          "promptTokenCount", "input_token_count", "prompt_eval_count")  # fmt: skip
_OUTPUT = ("completion_tokens", "output_tokens", "outputTokens", "completionTokens", "outputTokenCount",
           "candidates_token_count", "candidatesTokenCount", "generated_token_count", "completion_token_count",
           "eval_count")  # fmt: skip
_TOTAL = ("total_tokens", "totalTokens", "totalTokenCount", "total_token_count")
# Anthropic and Bedrock report these beside the input, not as part of it.
_BESIDE_READ = ("cache_read_input_tokens", "cacheReadInputTokens", "cacheReadInputTokenCount")
_BESIDE_WRITE = ("cache_creation_input_tokens", "cacheWriteInputTokens", "cacheWriteInputTokenCount")
# Gemini reports these beside the candidates and the prompt.
_BESIDE_OUTPUT = ("thoughts_token_count", "thoughtsTokenCount")
_BESIDE_INPUT = ("tool_use_prompt_token_count", "toolUsePromptTokenCount")
# (where, key) of parts that the input or output already includes → LangChain's name.
_INPUT_PARTS = {
    ("prompt_tokens_details", "cached_tokens"): "cache_read",
    ("prompt_tokens_details", "audio_tokens"): "audio",
    ("input_tokens_details", "cached_tokens"): "cache_read",
    ("", "prompt_cache_hit_tokens"): "cache_read",
    ("", "cached_content_token_count"): "cache_read",
    ("", "cachedContentTokenCount"): "cache_read",
    ("cache_creation", "ephemeral_5m_input_tokens"): "ephemeral_5m_input_tokens",
    ("cache_creation", "ephemeral_1h_input_tokens"): "ephemeral_1h_input_tokens",
}
_OUTPUT_PARTS = {
    ("completion_tokens_details", "reasoning_tokens"): "reasoning",
    ("completion_tokens_details", "audio_tokens"): "audio",
    ("output_tokens_details", "reasoning_tokens"): "reasoning",
    ("output_tokens_details", "thinking_tokens"): "reasoning",
    ("", "thoughts_token_count"): "reasoning",
    ("", "thoughtsTokenCount"): "reasoning",
}


def from_raw(raw: Any, source: str, cached: bool = False) -> Usage | None:
    """A provider's own numbers, made inclusive; None when it has none.

    Parameters:
        raw: e.g. OpenAI's `token_usage`, Anthropic's `usage`, Bedrock's metrics (lists when streamed: summed).
        source: what `Usage.source` shall say.
        cached: what `Usage.cached` shall say.
    """
    if type(raw) is int:  # watsonx's deployed models tell a total alone
        raw = {"total_tokens": raw}
    own = _mapping(raw)
    if "input_token_details" in own or "output_token_details" in own:  # LangChain's own form in another place
        return _standard(own, source)
    tokens, answered, total = _first(own, _INPUT), _first(own, _OUTPUT), _first(own, _TOTAL)
    read, written = _first(own, _BESIDE_READ), _first(own, _BESIDE_WRITE)
    beside = (read or 0) + (written or 0) + (_first(own, _BESIDE_INPUT) or 0)
    if not (tokens or answered or total or beside):
        return None
    tokens = tokens + beside if tokens is not None else beside or None
    answered = answered + (_first(own, _BESIDE_OUTPUT) or 0) if answered is not None else _first(own, _BESIDE_OUTPUT)
    if tokens is not None and answered is not None and (total is None or total < tokens + answered):
        total = tokens + answered
    given = {"cache_read": read, "cache_creation": written}
    details = {
        "input_token_details": {k: v for k, v in given.items() if v is not None} | _parts(own, _INPUT_PARTS),
        "output_token_details": _parts(own, _OUTPUT_PARTS),
        "raw": snapshot(own, MAX_DETAIL),
    }
    return _inclusive(Usage(tokens, answered, total, {k: v for k, v in details.items() if v}, cached, source))


def _parts(own: Dict, table: dict[tuple[str, str], str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for (place, key), name in table.items():
        tokens = count((_mapping(own.get(place)) if place else own).get(key))
        if tokens is not None:
            found.setdefault(name, tokens)
    return found


def _first(own: Dict, keys: tuple[str, ...]) -> int | None:
    for key in keys:
        if (tokens := count(own.get(key))) is not None:
            return tokens
    return None


def count(value: Any) -> int | None:
    """A number of tokens: a whole number, in digits too, or a list of them (streamed parts), summed; else None."""
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
