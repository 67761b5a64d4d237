"""How long to wait before the next try: full jitter over a span that doubles."""

from __future__ import annotations

import random

MAX_S = 30.0
_random = random.SystemRandom()  # not the module's generator: an application that seeds it relies on its numbers


def backoff(attempt: int, base: float = 0.2) -> float:
    """Seconds to wait: random, from 0 to `base * 2**attempt`, at most `MAX_S`."""
    return _random.uniform(0.0, min(MAX_S, base * 2.0 ** min(attempt, 16)))
