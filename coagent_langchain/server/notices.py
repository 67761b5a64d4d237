"""The server's log messages on refused requests and connections, at most one a minute."""

from __future__ import annotations

import time

from coagent_langchain.errors import warn

INTERVAL_S = 60.0


class Notices:
    """Logs problems, but not each occurrence: many clients retry again and again."""

    def __init__(self) -> None:
        self._said = -INTERVAL_S

    def report_problem(self, problem: str) -> None:
        """Log a problem that keeps the server from working, unless one was logged less than `INTERVAL_S` ago."""
        now = time.monotonic()
        if now - self._said >= INTERVAL_S:
            self._said = now
            warn("%s", problem)
