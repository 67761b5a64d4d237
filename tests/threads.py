"""Threads that do the same thing at once, and what happens amid a call."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


def at_once(*works: Callable[[], object]) -> None:
    """Do each work in a thread of its own, all from the same moment, and wait for them."""
    ready = threading.Barrier(len(works), timeout=10)

    def begin(work: Callable[[], object]) -> None:
        ready.wait()
        work()

    threads = [threading.Thread(target=begin, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def switching_often() -> Iterator[None]:
    """Interrupt threads after every few instructions, so that they meet in every order."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


@contextlib.contextmanager
def meanwhile(moment: str, function: Callable[..., Any], act: Callable[[], object]) -> Iterator[None]:
    """Do something once, when this thread's first `call` of a function begins or is about to `return`.

    Another thread or a signal handler would hardly ever hit that moment.
    """

    def happens(frame: FrameType, event: str, argument: object) -> None:
        if event == moment and frame.f_code is function.__code__:
            sys.setprofile(None)
            act()

    sys.setprofile(happens)
    try:
        yield
    finally:
        sys.setprofile(None)
