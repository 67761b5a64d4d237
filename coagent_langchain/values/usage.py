"""Token usage of one model call: one source, never merged.

The source is the first that has any numbers: the message's `usage_metadata`, then `usage_metadata` in `generation_info`
and `response_metadata`, then the provider's own numbers in `response_metadata`, `generation_info`, `additional_kwargs`
and `llm_output`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coagent_langchain.values.provider_usage import from_raw, raw_sources
from coagent_langchain.values.tokens import Dict, Usage, count, standard

if TYPE_CHECKING:
    from langchain_core.outputs import LLMResult


def usage(result: LLMResult, generations: list[Any], batch_size: int) -> Usage | None:
    """Read the tokens of one run's result; garbage anywhere in it gives None.

    Parameters:
        result: as given to `on_llm_end` or `on_llm_error`.
        generations: all candidates in it.
        batch_size: prompts of the call. Text models report a batch as a whole, on its first run: the numbers are then
            marked with `details["covers_prompts"]`, and the other runs have none.
    """
    found = _from_messages(generations)
    if found is not None and (found.input_tokens or found.output_tokens or found.total_tokens):
        return found
    cached = found is not None and found.cached
    for place, raw in raw_sources(result, generations):
        if (known := from_raw(raw)) is not None:
            known.cached = known.cached or cached
            if batch_size > 1 and place == "llm_output":
                known.details["covers_prompts"] = batch_size
            return known
    return found if cached else None


def _from_messages(generations: list[Any]) -> Usage | None:
    """The sum over the candidates' `usage_metadata`; equal ones, repeated for each candidate, are counted once."""
    if len(generations) == 1:
        own = getattr(getattr(generations[0], "message", None), "usage_metadata", None)
        return standard(own) if own and isinstance(own, dict) else None
    seen: list[Dict] = []
    for generation in generations:
        own = getattr(getattr(generation, "message", None), "usage_metadata", None)
        if own and isinstance(own, dict) and (not seen or own not in seen):
            seen.append(own)
    if not seen:
        return None
    return standard(seen[0] if len(seen) == 1 else _summed(seen))


def _summed(parts: list[Dict]) -> Dict:
    """Add numbers key by key, nested ones too; keep the first of anything else."""
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
