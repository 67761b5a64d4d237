"""Delivery's log messages: at most one a minute while something is wrong, one on recovery, one at exit."""

from __future__ import annotations

from collections import Counter

from coagent_langchain import clock
from coagent_langchain.delivery.spool import Spool
from coagent_langchain.errors import warn
from coagent_langchain.texts import counted

INTERVAL_S = 60.0


class Notices:
    """Logs what is wrong with a destination, at a limited rate."""

    def __init__(self, destination: str) -> None:
        self._destination = destination
        self._said_at = -INTERVAL_S
        self._problem = ""
        self._problem_reported = False
        self._losses: dict[str, tuple[int, str]] = {}  # events that will not arrive, by what happened to them
        self._reported: Counter[str] = Counter()  # how many of these were logged
        self._without_folder = False
        self._another_token = False

    def report_problem(self, problem: str, waiting: int) -> None:
        """Report a problem, and how many events are waiting; 0 if only those of ended processes are."""
        self._problem = problem
        what = waiting_events(waiting) if waiting else "events of ended programs are waiting"
        self._problem_reported |= self._say(f"{problem}; {what}")

    def report_losses(self, count: int, how: str, why: str) -> None:
        """Report that more events will not arrive, with the next message if the rate limit forbids one now.

        `how` is what happened to them, `why` the reason for the latest.
        """
        self._losses[how] = (self._losses.get(how, (0, ""))[0] + count, why)
        self._say()

    def report_spool_changes(self, spool: Spool) -> None:
        """Report changes in the spool: losses, and once each, that its folder cannot be used or can be used again."""
        if spool.fallback and not self._without_folder:
            warn("delivery to %s: the spool folder cannot be used (%s); events do not outlive this process "
                 "until it is writable, or spool_dir or COAGENT_SPOOL_DIR names a folder that is",
                 self._destination, spool.fallback)  # fmt: skip
        elif self._without_folder and not spool.fallback:
            warn("delivery to %s: the spool folder can be used again; waiting events have moved to it",
                 self._destination)  # fmt: skip
        self._without_folder = bool(spool.fallback)
        for total, how, why in (
            (spool.refused, "refused", "the spool or the disk is full"),
            (spool.lost, "lost", "a file was removed from the spool"),
        ):
            if (more := total - self._losses.get(how, (0, ""))[0]) > 0:
                self.report_losses(more, how, why)

    def report_final_losses(self, unkept: int) -> None:
        """Report the losses not reported yet: the process ends, and with it those waiting events that are not kept."""
        if unkept:
            self._losses["lost at exit"] = unkept, self._problem or "the server has not responded"
        if losses := self._unreported_losses():
            warn("delivery to %s: %s", self._destination, "; ".join(losses))

    def _say(self, *problem: str) -> bool:
        due = clock.monotonic() - self._said_at >= INTERVAL_S
        if due:
            self._said_at = clock.monotonic()
            warn("delivery to %s: %s", self._destination, "; ".join((*problem, *self._unreported_losses())))
        return due

    def _unreported_losses(self) -> list[str]:
        """Describe the losses not reported yet, and count them as reported."""
        unreported = {how: (count - self._reported[how], why) for how, (count, why) in self._losses.items()}
        self._reported = Counter({how: count for how, (count, _) in self._losses.items()})
        return [f"{counted(count, 'event')} {how}: {why}" for how, (count, why) in unreported.items() if count > 0]

    def report_another_token(self) -> None:
        """Report, once, that a token replaces one still in use, or returns after another."""
        if not self._another_token:
            self._another_token = True
            warn("delivery to %s: another token is now used for this spool folder and sends every event, "
                 "including those already waiting; unless it renews the former one, give each tenant its "
                 "own spool_dir", self._destination)  # fmt: skip

    def report_recovery(self, delivered: int) -> None:
        """Report that the server accepts events again, and how many in total, if a problem was reported."""
        self._problem = ""
        if self._problem_reported:
            self._problem_reported = False
            what = "; ".join((f"{counted(delivered, 'event')} delivered so far", *self._unreported_losses()))
            warn("delivery to %s works again: %s", self._destination, what)

    def describe_unsent(self, waiting: int, kept: bool) -> list[str]:
        """Describe the events that the server has not accepted, for a command to print at its end.

        Of those waiting, only the ones that outlive the process count; `kept` is whether rejected ones do.
        """
        why = f" ({self._problem})" if self._problem else ""
        later = "to send them later: coagent-langchain spool flush"
        left = [f"{waiting_events(waiting)} for {self._destination}{why}; {later}"] if waiting else []
        for how, (count, reason) in self._losses.items():
            look = "; see coagent-langchain spool rejected" if kept and how == "rejected" else ""
            left.append(f"{counted(count, 'event')} for {self._destination} {how}: {reason}{look}")
        return left


def waiting_events(count: int) -> str:
    """Say how many events are waiting."""
    return f"{counted(count, 'event')} waiting"
