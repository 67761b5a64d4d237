"""The deliveries of a process: one per destination, closed together at exit."""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path

from coagent_langchain import clock
from coagent_langchain.config import Settings
from coagent_langchain.delivery.spooled_delivery import SpooledDelivery
from coagent_langchain.delivery.uwsgi import check_uwsgi

_Key = tuple[str, Path | str | None]


class Deliveries:
    """Hands out one `SpooledDelivery` per server and spool folder, or per server and token if there is no folder."""

    def __init__(self) -> None:
        self._by_destination: dict[_Key, SpooledDelivery] = {}
        self.renew()

    def renew(self) -> None:
        """Start afresh in a forked child: another thread of the parent may have held the lock."""
        # Re-entrant: a signal handler may create a callback handler while its thread is creating one.
        self._lock = threading.RLock()
        self._waited = 0.0  # seconds that `close_all` has taken

    def get(self, settings: Settings) -> SpooledDelivery:
        """The delivery for the settings' destination, which sends with their token from now on."""
        check_uwsgi()
        # A renewed token is not a new destination; tenants have a folder each, or in memory a token each.
        key = (settings.base_url, settings.spool_dir or settings.auth_token)
        with self._lock:
            delivery = self._by_destination.get(key) or self._by_destination.setdefault(key, SpooledDelivery(settings))
            delivery.authorize(settings)
        return delivery

    def close_all(self) -> None:
        """Close all deliveries, within the longest of their exit timeouts.

        A `multiprocessing` process may end with exit handlers, finalizers or both: together they wait only once.
        """
        known = list(self._by_destination.values())
        for delivery in known:
            delivery.flush(0.0)  # so that all send at the same time
        started = clock.monotonic() - self._waited
        for delivery in known:
            delivery.close(elapsed=clock.monotonic() - started)
            delivery.report_losses()
        self._waited = clock.monotonic() - started

    def unsent(self) -> list[str]:
        """Describe what each server has not accepted."""
        return [line for delivery in list(self._by_destination.values()) for line in delivery.unsent()]


deliveries = Deliveries()
os.register_at_fork(after_in_child=deliveries.renew)
atexit.register(deliveries.close_all)
