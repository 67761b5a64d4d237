"""Locks that are free in a forked child, and what they guard consistent."""

from __future__ import annotations

import os
import threading


def fork_safe_lock() -> threading.RLock:
    """Create a lock for a module (never one per object: the registration lasts for the life of the process).

    It is acquired around every fork, so that the child never finds it held by a thread that it does not have. It is
    re-entrant: a signal handler, or a generator that the garbage collector closes, may log while its thread holds it.
    Hold it only for short updates in memory, never across I/O.
    """
    lock = threading.RLock()
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
