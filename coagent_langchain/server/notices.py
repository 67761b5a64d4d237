"""What the server says in the log: why it refuses requests, a line a minute at most."""

from __future__ import annotations

import time

from coagent_langchain.errors import logger

INTERVAL_S = 60.0


class Notices:
    """Says why, but not every time: many clients come again and again."""

    def __init__(self) -> None:
        self._said = -INTERVAL_S

    def refused(self, why: str) -> None:
        """A request was told to come again."""
        now = time.monotonic()
        if now - self._said >= INTERVAL_S:
            self._said = now
            logger.warning("requests are answered with 503: %s", why)
