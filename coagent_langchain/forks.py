"""What a forked child needs: locks that are free, what they guard consistent, and objects of its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeVar

from coagent_langchain.weak_collection import WeakCollection

T = TypeVar("T")


def fork_safe_lock() -> threading.RLock:
    """Create a lock for a module (never one per object: the registration lasts for the life of the process).

    It is acquired around every fork, so that the child never finds it held by a thread that it does not have. It is
    re-entrant: a signal handler, or a generator that the garbage collector closes, may log while its thread holds it.
    Hold it only for short updates in memory, never across I/O.
    """
    lock = threading.RLock()
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


def renewed_after_fork(renew: Callable[[T], None]) -> WeakCollection[T]:
    """Make a collection whose objects are renewed in a forked child, because what they hold belongs to the parent."""
    living: WeakCollection[T] = WeakCollection()

    def renew_all() -> None:
        for each in living:
            renew(each)

    os.register_at_fork(after_in_child=renew_all)
    return living
