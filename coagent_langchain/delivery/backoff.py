"""How long to wait before the next try: full jitter over a span that doubles."""

from __future__ import annotations

import random

MAX_S = 30.0
_random = random.SystemRandom()  # not the module's: an application that seeds it counts on its numbers


def backoff(attempt: int, base: float = 0.2) -> float:
    """Seconds to wait: between 0 and `base * 2**attempt`, or `MAX_S`."""
    return _random.uniform(0.0, min(MAX_S, base * 2.0 ** min(attempt, 16)))
