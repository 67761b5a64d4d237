"""Token usage in the providers' own formats: where it is, how it is named, what its numbers include."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coagent_langchain.values.fields import as_dict, members_of
from coagent_langchain.values.snapshot import snapshot
from coagent_langchain.values.tokens import MAX_DETAIL, Dict, Usage, count, inclusive, standard

_USAGE_KEYS = ("token_usage", "usage", "amazon-bedrock-invocationMetrics", "invocation_metrics", "usage_metrics",
               "tokenUsage", "usageMetadata", "token_count")  # fmt: skip
_INPUT = ("prompt_tokens", "input_tokens", "inputTokens", "promptTokens", "inputTokenCount", "prompt_token_count",
          "promptTokenCount", "input_token_count", "prompt_eval_count")  # fmt: skip
_OUTPUT = ("completion_tokens", "output_tokens", "outputTokens", "completionTokens", "outputTokenCount",
           "candidates_token_count", "candidatesTokenCount", "generated_token_count", "completion_token_count",
           "eval_count")  # fmt: skip
_TOTAL = ("total_tokens", "totalTokens", "totalTokenCount", "total_token_count")
_COUNTS = _INPUT + _OUTPUT + _TOTAL
# Anthropic and Bedrock report these in addition to the input, not as part of it.
_BESIDE_READ = ("cache_read_input_tokens", "cacheReadInputTokens", "cacheReadInputTokenCount")
_BESIDE_WRITE = ("cache_creation_input_tokens", "cacheWriteInputTokens", "cacheWriteInputTokenCount",
                 "cache_write_input_tokens")  # fmt: skip
# Gemini reports these in addition to the candidates and the prompt.
_BESIDE_OUTPUT = ("thoughts_token_count", "thoughtsTokenCount")
_BESIDE_INPUT = ("tool_use_prompt_token_count", "toolUsePromptTokenCount")
# (place, key) of parts that the input or output already includes → LangChain's name.
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


def raw_sources(result: Any, generations: list[Any]) -> Iterator[tuple[str, Any]]:
    """Yield where providers may put their own numbers, in order of precedence: the place's name and its value."""
    first = generations[0] if generations else None
    message = getattr(first, "message", None)
    places = {
        "response_metadata": as_dict(getattr(message, "response_metadata", None)),
        "generation_info": as_dict(getattr(first, "generation_info", None)),
        "additional_kwargs": as_dict(getattr(message, "additional_kwargs", None)),
        "llm_output": as_dict(getattr(result, "llm_output", None)),
    }
    for name in ("generation_info", "response_metadata"):
        yield name, places[name].get("usage_metadata")
    for name, place in places.items():
        if place:
            for key in _USAGE_KEYS:
                yield name, place.get(key)
            yield name, as_dict(place.get("x_groq")).get("usage")
            yield name, {key: place[key] for key in _COUNTS if key in place}


def from_raw(raw: Any) -> Usage | None:
    """Read a provider's numbers, such as OpenAI's `token_usage`, and make them inclusive; None if there are none."""
    if type(raw) is int:  # watsonx's deployed models report only a total
        raw = {"total_tokens": raw}
    own = members_of(raw)
    if not own:
        return None
    if "input_token_details" in own or "output_token_details" in own:  # LangChain's own form in another place
        return standard(own)
    tokens, answered, total = _first(own, _INPUT), _first(own, _OUTPUT), _first(own, _TOTAL)
    read, written = _first(own, _BESIDE_READ), _first(own, _BESIDE_WRITE)
    included = total is not None and total == (tokens or 0) + (answered or 0)  # as in LiteLLM, whose input has both
    beside = (0 if included else (read or 0) + (written or 0)) + (_first(own, _BESIDE_INPUT) or 0)
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
    return inclusive(Usage(tokens, answered, total, {k: v for k, v in details.items() if v}))


def _parts(own: Dict, table: dict[tuple[str, str], str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for (place, key), name in table.items():
        tokens = count((members_of(own.get(place)) if place else own).get(key))
        if tokens is not None:
            found.setdefault(name, tokens)
    return found


def _first(own: Dict, keys: tuple[str, ...]) -> int | None:
    for key in keys:
        if (tokens := count(own.get(key))) is not None:
            return tokens
    return None
