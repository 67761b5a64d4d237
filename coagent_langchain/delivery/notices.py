"""What delivery says in the log: one line a minute at most while something is wrong, one when it is right again."""

from __future__ import annotations

import time

from coagent_langchain.errors import logger
from coagent_langchain.texts import counted

INTERVAL_S = 60.0
MAX_REASONS = 8  # that are remembered until they are said: a server may give each event another one


class Notices:
    """Says what is wrong, but not every time.

    Parameters:
        destination: the server's address as it may be shown.
    """

    def __init__(self, destination: str) -> None:
        self._destination = destination
        self._said = -INTERVAL_S
        self._problem = ""
        self._gone: dict[str, int] = {}
        self._another_token = False

    def wrong(self, problem: str, waiting: int) -> None:
        """Events wait.

        Parameters:
            problem: what is wrong.
            waiting: events in the spool.
        """
        self._problem = problem
        self._say(f"{problem}; {waiting_events(waiting)}")

    def gone(self, count: int, how: str) -> None:
        """Some events will not arrive; others may. Said with the next line where it is too early for one.

        Parameters:
            count: how many, since the last time.
            how: what became of them, and why.
        """
        if how not in self._gone and len(self._gone) >= MAX_REASONS:
            how = "gone for other reasons"
        self._gone[how] = self._gone.get(how, 0) + count
        self._say()

    def _say(self, what: str = "") -> None:
        if time.monotonic() - self._said >= INTERVAL_S:
            self._said = time.monotonic()
            gone = [f"{counted(count, 'event')} {how}" for how, count in self._gone.items()]
            self._gone.clear()
            logger.warning("delivery to %s: %s", self._destination, "; ".join(filter(None, [what, *gone])))

    def without_folder(self, reason: str) -> None:
        """The spool's folder cannot be used. Said once: the spool does so once."""
        logger.warning("delivery to %s: the spool folder cannot be used (%s); events do not outlive this process until "
                       "COAGENT_SPOOL_DIR names a folder that can be written", self._destination, reason)  # fmt: skip

    def another_token(self) -> None:
        """A token takes over while the former is in use, or comes back after another. Said once."""
        if not self._another_token:
            self._another_token = True
            logger.warning("delivery to %s: another token is now used for this spool folder and sends every event, "
                           "including those already waiting; unless it renews the former one, give each tenant its "
                           "own spool_dir", self._destination)  # fmt: skip

    def right(self, delivered: int) -> None:
        """The server took something.

        Parameters:
            delivered: events that it has taken altogether.
        """
        if self._problem:
            self._problem = ""
            logger.warning("delivery to %s works again: %s delivered", self._destination, counted(delivered, "event"))

    def left(self, waiting: int, kept: bool) -> str:
        """The last word on events that the server has not taken, for a command to print at its end.

        Parameters:
            waiting: events in the spool.
            kept: whether they outlive the process.
        """
        what = waiting_events(waiting) if kept else f"lost {counted(waiting, 'event')}"
        why = f" ({self._problem})" if self._problem else ""
        return f"{what} for {self._destination}{why}" + ("; later: coagent-langchain spool flush" if kept else "")


def waiting_events(count: int) -> str:
    """That so many events wait, in words."""
    return f"{counted(count, 'event')} {'waits' if count == 1 else 'wait'}"
