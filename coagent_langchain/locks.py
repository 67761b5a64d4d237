"""A lock that a forked child finds free, and what it guards in a consistent state."""

from __future__ import annotations

import os
import threading


def fork_safe_lock() -> threading.RLock:
    """A lock for a module (never one per object: the registration stays for the life of the process).

    It is taken around every fork, so that a child never meets it held by a thread that it does not have. It is
    re-entrant: a signal handler, or what the garbage collector closes, may log while its thread holds it. Hold it for
    counting only, never across I/O.
    """
    lock = threading.RLock()
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
