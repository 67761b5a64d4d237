"""The deliveries of a process: one for each destination, closed together at exit."""

from __future__ import annotations

import atexit
import os
import threading
import time
from pathlib import Path

from coagent_langchain.config import Settings
from coagent_langchain.delivery.spooled import SpooledDelivery

_Key = tuple[str, Path | str | None]


class Registry:
    """Hands out one `SpooledDelivery` for each server and spool folder; without a folder for each server and token."""

    def __init__(self) -> None:
        self._deliveries: dict[_Key, SpooledDelivery] = {}
        self.renew()

    def renew(self) -> None:
        """Begin anew in a forked child: another thread of the parent may have held the lock."""
        # Re-entrant: a signal handler may make a handler while its thread makes one.
        self._lock = threading.RLock()
        self._waited = 0.0  # seconds that `close_all` has taken

    def get(self, settings: Settings) -> SpooledDelivery:
        """The delivery for the settings' destination, which sends with their token from now on.

        Quota and exit timeout are those of the first who asked.
        """
        # A token that is renewed is no other destination; tenants have a folder each, or in memory their tokens.
        key = (settings.base_url, settings.spool_dir or settings.auth_token)
        with self._lock:
            delivery = self._deliveries.get(key) or self._deliveries.setdefault(key, SpooledDelivery(settings))
            delivery.authorize(settings)
        return delivery

    def close_all(self) -> None:
        """Close every delivery, all of them within the longest of their exit timeouts.

        With `multiprocessing` a process may end by its exit handlers, its finalizers or both: together they wait once.
        """
        deliveries = list(self._deliveries.values())
        for delivery in deliveries:
            delivery.flush(0.0)  # all hurry at once
        started = time.monotonic() - self._waited
        for delivery in deliveries:
            delivery.close(elapsed=time.monotonic() - started)
            delivery.tell_losses()
        self._waited = time.monotonic() - started

    def left(self) -> list[str]:
        """What each server has not taken, in words."""
        return [line for delivery in list(self._deliveries.values()) for line in delivery.left()]


registry = Registry()
os.register_at_fork(after_in_child=registry.renew)
atexit.register(registry.close_all)
