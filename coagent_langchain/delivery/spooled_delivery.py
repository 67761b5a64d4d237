"""The delivery of a process to one destination: a spool, and a worker that empties it."""

from __future__ import annotations

import time
from dataclasses import replace

import orjson

from coagent_langchain.config import Settings, public_url
from coagent_langchain.delivery import Stats
from coagent_langchain.delivery.folder import destination_folder
from coagent_langchain.delivery.notices import Notices
from coagent_langchain.delivery.sender import Sender
from coagent_langchain.delivery.spool import Spool
from coagent_langchain.delivery.transport import Transport
from coagent_langchain.delivery.worker import Worker
from coagent_langchain.forks import renewed_after_fork
from coagent_langchain.weak_collection import WeakCollection

_STOP_S = 0.2  # for the worker's thread to end once there is nothing left to wait for


class SpooledDelivery:
    """A `Delivery` that keeps entries on disk until the server has acknowledged them. Made by `delivery_for`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = replace(settings)  # a copy: the original must live only as long as its asker
        self._url = public_url(settings.base_url)
        self._folder = destination_folder(settings.spool_dir, settings.base_url) if settings.spool_dir else None
        self._transport = Transport(settings.base_url, settings.auth_token)
        self._former_token: str | None = None
        self._askers: WeakCollection[Settings] = WeakCollection()
        self._begin()
        _alive.add(self)

    def _begin(self) -> None:
        self._spool = Spool(self._folder, self._settings.spool_quota, self._url)
        sender = Sender(self._transport, self._folder)
        self._notices = Notices(self._url)
        self._worker = Worker(self._spool, sender, self._folder, self._notices)

    def __repr__(self) -> str:
        return f"SpooledDelivery({self._url!r}, folder={str(self._folder)!r})"

    def authorize(self, asker: Settings) -> None:
        """Send with the asker's token from now on, also what is waiting; without a token, change nothing."""
        self._askers.add(asker)  # as long as its handler or client lives
        token, present = asker.auth_token, self._transport.token
        if token in (None, present):
            return
        if token == self._former_token or (present and self._sends_for(present)):
            self._notices.report_another_token()
        self._former_token, self._transport.token = present, token
        if not self._worker.idle:
            self._worker.wake()  # it may be waiting because the server refused the former token

    def _sends_for(self, token: str) -> bool:
        """Whether events are waiting, or an asker with this token may still log."""
        return self._spool.waiting > 0 or any(asker.auth_token == token for asker in self._askers)

    def append(self, lines: bytes, count: int = 1) -> None:
        """See `Delivery.append`."""
        self._spool.append(lines, count)
        if self._worker.idle:
            self._worker.wake()

    def flush(self, timeout: float) -> bool:
        """See `Delivery.flush`."""
        return self._worker.wait_until_settled(self._spool.written, timeout)

    def close(self, elapsed: float = 0.0) -> None:
        """Flush within what is left of the exit timeout, and stop.

        What is not sent stays in the spool; a later `append` starts anew.
        """
        settled = self.flush(self._settings.exit_timeout - elapsed)
        if self._worker.stop(_STOP_S if settled else 0.0):
            self._spool.release()

    def stats(self) -> Stats:
        """Count this process's entries; `refused` includes those lost with a removed file."""
        spool, worker = self._spool, self._worker
        waiting = spool.waiting
        return Stats(
            written=spool.written,
            acknowledged=worker.acknowledged,
            waiting=waiting,
            waiting_bytes=spool.waiting_bytes if waiting else 0,
            oldest_age_s=age_of(spool.first_line()) if waiting else None,
            retried=worker.retried,
            rejected=worker.rejected,
            refused=spool.refused + spool.lost,
        )

    def report_losses(self) -> None:
        """Log which events will not arrive, unless already logged. The process ends."""
        self._notices.report_spool_changes(self._spool)
        self._notices.report_final_losses(self._spool.unkept)

    def unsent(self) -> list[str]:
        """Describe what the server has not accepted, after `report_losses`; empty if it has accepted everything."""
        kept = self._folder is not None and not self._spool.fallback
        return self._notices.describe_unsent(self._spool.waiting - self._spool.unkept, kept)

    def _after_fork(self) -> None:
        """Start afresh in the child: existing entries, files, threads and locks are the parent's."""
        self._spool.abandon()
        self._worker.abandon()
        self._transport.renew()
        self._begin()


def age_of(line: bytes) -> float | None:
    """Seconds since the event in `line` was created, by its `timestamp`; None if it has none."""
    try:
        made = float(orjson.loads(line)["timestamp"]) / 1000
        return max(0.0, time.time() - made)
    except (ValueError, KeyError, TypeError):
        return None


_alive = renewed_after_fork(SpooledDelivery._after_fork)
