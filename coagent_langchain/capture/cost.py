"""What a model call cost, in US dollars, by the prices of `genai-prices` (the extra `cost`)."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

from coagent_langchain.capture.usage import Usage, count

_PROVIDERS = {"amazon_bedrock": "aws", "google_genai": "google", "google_vertexai": "google", "xai": "x-ai",
              "mistralai": "mistral", "together": "together_ai"}  # fmt: skip


def prepare() -> bool:
    """Load the prices, about 0.15 s: call it while setting up, not in a hook.

    Returns:
        True when `genai-prices` is installed.
    """
    if "genai_prices" not in sys.modules and find_spec("genai_prices") is None:
        return False
    import genai_prices  # noqa: F401 - the import is the preparation

    return True


def cost(provider: str | None, model: str | None, usage: Usage | None) -> float | None:
    """Price one call.

    Parameters:
        provider: LangChain's `ls_provider`, or None.
        model: the provider's name of the model.
        usage: the tokens; those that LangChain answered from its own cache cost nothing.

    Returns:
        US dollars; None when the price, the model or the tokens are unknown.
    """
    if usage is None or not model:
        return None
    if usage.cached:
        return 0.0
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    if "genai_prices" not in sys.modules and not prepare():
        return None
    from genai_prices import calc_price

    try:
        return float(
            calc_price(_priced(usage), model, provider_id=_PROVIDERS.get(provider or "", provider)).total_price
        )
    except (LookupError, ValueError):
        return None


def _priced(usage: Usage) -> Any:
    from genai_prices import Usage as Priced

    details = usage.details.get("input_token_details") or {}
    return Priced(
        input_tokens=usage.input_tokens or 0,
        output_tokens=usage.output_tokens or 0,
        cache_read_tokens=count(details.get("cache_read")) or 0,
        cache_write_tokens=count(details.get("cache_creation")) or 0,
    )
