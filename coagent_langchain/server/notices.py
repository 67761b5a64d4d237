"""What the server says in the log: why it refuses requests or connections, a line a minute at most."""

from __future__ import annotations

import time

from coagent_langchain.errors import logger

INTERVAL_S = 60.0


class Notices:
    """Says what is wrong, but not every time: many clients come again and again."""

    def __init__(self) -> None:
        self._said = -INTERVAL_S

    def wrong(self, problem: str) -> None:
        """Something keeps the server from its work."""
        now = time.monotonic()
        if now - self._said >= INTERVAL_S:
            self._said = now
            logger.warning("%s", problem)
