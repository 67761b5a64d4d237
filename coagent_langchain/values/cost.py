"""What a model call cost, in US dollars, by the prices of `genai-prices` (the extra `cost`).

A price is linear in the tokens of each kind, within a band of input sizes. So the rates of a model's band are taken
from `genai-prices` once, by pricing the smallest input of the band, and later calls are a few multiplications.
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from coagent_langchain.errors import guard
from coagent_langchain.values.fields import as_dict
from coagent_langchain.values.tokens import Usage, count

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, Provider

MAX_MODELS = 1_000  # remembered at a time

_PROVIDERS = {"amazon_bedrock": "aws", "google_genai": "google", "google_vertexai": "google", "xai": "x-ai",
              "google_anthropic_vertex": "google", "mistralai": "mistral", "together": "together_ai",
              "azure-openai": "azure"}  # fmt: skip
_TIERS = ("flex", "priority")


class Rates(NamedTuple):
    """US dollars per token of each kind, and per request."""

    request: float
    plain: float
    read: float
    write: float
    write_1h: float
    output: float


class _PriceCache:
    """What has been looked up so far in one set of prices."""

    def __init__(self, prices: DataSnapshot | None = None) -> None:
        self.prices = prices
        self.models: dict[tuple[str | None, str], tuple[Provider, ModelInfo] | None] = {}
        self.bands: dict[int, tuple[ModelPrice, list[int]]] = {}
        self.rates: dict[tuple[int, int], Rates] = {}


_cache = _PriceCache()  # replaced when the prices change or it is full


@functools.cache  # a failed import takes as long as a whole hook
def _prices() -> Callable[[], DataSnapshot] | None:
    """Load the prices, and return the function that returns the current ones; None if `genai-prices` does not work."""
    try:
        from genai_prices.data_snapshot import get_snapshot

        get_snapshot()
    except ImportError:  # not installed
        return None
    except Exception as error:  # noqa: BLE001 - beside packages that it does not fit, it may raise anything
        guard.contain("genai-prices", error, "the prices cannot be loaded; no cost is logged")
        return None
    return get_snapshot


def prepare() -> None:
    """Load the prices, which takes about 0.2 s: call it during set-up, so that no hook has to."""
    _prices()


def cost(provider: str | None, model: str | None, usage: Usage | None) -> float | None:
    """The price of one call in US dollars; None if the price, the model or the tokens are unknown.

    Without a provider (LangChain's `ls_provider`), the model's name decides. A response from LangChain's own cache is
    free.
    """
    if usage is None or not model or (usage.input_tokens is None and usage.output_tokens is None and not usage.cached):
        return None
    prices = _prices()
    if prices is None:
        return None
    match = _model(prices(), _PROVIDERS.get(provider or "", provider), model)
    if match is None:
        return None
    if usage.cached:
        return 0.0
    try:
        return _priced(match, usage)
    except (ValueError, ArithmeticError):  # contradictory counts, or a price that lacks one of them
        return None


def _model(prices: DataSnapshot, provider: str | None, model: str) -> tuple[Provider, ModelInfo] | None:
    """The provider and model in the price list, or None."""
    global _cache
    if prices is not _cache.prices or len(_cache.models) >= MAX_MODELS:
        _cache = _PriceCache(prices)
    models = _cache.models
    if (provider, model) not in models:
        try:
            models[provider, model] = prices.find_provider_model(model, None, provider, None)
        except LookupError:
            models[provider, model] = None
    return models[provider, model]


def _priced(match: tuple[Provider, ModelInfo], usage: Usage) -> float:
    """Price by the rates of the model's band; audio and service tiers, which are rare, by `genai-prices` itself."""
    provider, model = match
    details = as_dict(usage.details.get("input_token_details"))
    now = datetime.now(UTC)
    tier = next((name for name in _TIERS if name in details), None)
    tokens = _counts(usage, details, f"{tier}_" if tier else "")
    audio_in = count(details.get("audio")) or 0
    audio_out = count(as_dict(usage.details.get("output_token_details")).get("audio")) or 0
    if tier or audio_in or audio_out:
        context = {"service_tier": tier} if tier else None
        return _asked(
            model, provider, now, context, **tokens, input_audio_tokens=audio_in, output_audio_tokens=audio_out
        )
    rates = _rates(model, provider, now, tokens["input_tokens"])
    read, write, write_1h = tokens["cache_read_tokens"], tokens["cache_write_tokens"], tokens["cache_write_1h_tokens"]
    plain = tokens["input_tokens"] - read - write
    if plain < 0:
        raise ValueError("more tokens from the cache than tokens")
    dollars = (rates.request + plain * rates.plain + read * rates.read + (write - write_1h) * rates.write
               + write_1h * rates.write_1h + tokens["output_tokens"] * rates.output)  # fmt: skip
    return round(dollars, 12)


def _counts(usage: Usage, details: dict[str, Any], prefix: str) -> dict[str, int]:
    """The tokens as `genai-prices` names them: all input, and the parts of it read from and written to a cache."""
    hour = count(details.get("ephemeral_1h_input_tokens")) or 0
    timed = hour + (count(details.get("ephemeral_5m_input_tokens")) or 0)
    return {
        "input_tokens": usage.input_tokens or 0,
        "output_tokens": usage.output_tokens or 0,
        "cache_read_tokens": count(details.get(f"{prefix}cache_read")) or 0,
        "cache_write_tokens": max(timed, count(details.get(f"{prefix}cache_creation")) or 0),
        "cache_write_1h_tokens": hour,
    }


def _rates(model: ModelInfo, provider: Provider, now: datetime, size: int) -> Rates:
    """The model's rates at this time, for inputs of this size."""
    cache, price = _cache, model.get_prices(now)
    starts = _starts(cache, price)
    band = bisect_left(starts, size)
    key = (id(price), band)
    rates = cache.rates.get(key)
    if rates is None:
        one = starts[band - 1] + 1 if band else 1  # the smallest input of the band
        total = functools.partial(_asked, model, provider, now, None)
        request, base = total(input_tokens=0, output_tokens=0), total(input_tokens=one)
        read = total(input_tokens=one, cache_read_tokens=one)
        write = total(input_tokens=one, cache_write_tokens=one)
        write_1h = total(input_tokens=one, cache_write_tokens=one, cache_write_1h_tokens=one)
        output = total(input_tokens=one, output_tokens=1) - base
        plain, read, write, write_1h = ((dollars - request) / one for dollars in (base, read, write, write_1h))
        rates = cache.rates[key] = Rates(request, plain, read, write, write_1h, output)
    return rates


def _starts(cache: _PriceCache, price: ModelPrice) -> list[int]:
    """Where a price's bands of input sizes begin; the price is kept alive as long as its id is a key."""
    bands = cache.bands.get(id(price))
    if bands is None:
        tiers = [tier.start for value in vars(price).values() for tier in getattr(value, "tiers", ())]
        bands = cache.bands[id(price)] = (price, sorted(set(tiers)))
    return bands[1]


def _asked(model: ModelInfo, provider: Provider, now: datetime, context: dict[str, str] | None, **tokens: int) -> float:
    from genai_prices import Usage as Tokens

    asked = Tokens(**{key: value for key, value in tokens.items() if value})
    priced = model.calc_price(asked, provider, genai_request_timestamp=now, price_context=context)
    return float(priced.total_price)
