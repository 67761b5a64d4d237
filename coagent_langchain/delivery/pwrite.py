"""Write at a place of a file without giving up the interpreter's lock, where the disk answers at once.

`os.pwrite` lets other threads run meanwhile. A write into the page cache takes 1 µs; but a thread that gives up the
lock for it may wait a switch interval (5 ms) to get it back while another thread computes. And a thread that waits for
the lock, as the worker does, is wakened by each write, finds the lock taken again and waits anew.
`python -m benchmarks.threads` shows what that costs.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable

SLOW_NS = 5_000_000  # a write that takes longer than a switch interval holds other threads up
PATIENT_WRITES = 1_000  # written by `os.pwrite` after a slow one; twice as many after the next

Write = Callable[[int, bytes, int, int], int]


@functools.cache
def _holding() -> Write | None:
    """The C library's `pwrite`, called without giving up the lock; None where it cannot be had."""
    if sys.maxsize < 2**32:  # there an offset in a file may be longer than a register
        return None
    try:
        import ctypes

        pwrite = ctypes.PyDLL(None).pwrite
    except Exception:  # noqa: BLE001 - a Python without ctypes, no dynamic linker, an audit hook that forbids it
        return None
    # No `argtypes`: converting through them takes longer than everything else here. Integers are then passed as C's
    # `int`, widened to the register: no segment has longer offsets, and no line is as long.
    pwrite.restype = ctypes.c_ssize_t
    return pwrite


class Pwrite:
    """`os.pwrite`, called by one thread at a time, that gives up the interpreter's lock only to a slow disk.

    Parameters:
        clock: monotonic nanoseconds.
    """

    def __init__(self, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self._clock = clock
        self._holding = _holding()
        self._patient = 0  # writes that are yet to be made by `os.pwrite`
        self._patience = PATIENT_WRITES

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        """Write `data` at `offset`.

        Returns:
            how many bytes the disk took.

        Raises:
            OSError: it took none.
        """
        holding, clock = self._holding, self._clock
        if holding is None or self._patient:
            self._patient -= self._patient > 0
            return os.pwrite(descriptor, data, offset)
        began = clock()
        written = holding(descriptor, data, len(data), offset)
        if clock() - began > SLOW_NS:
            self._patient = self._patience
            self._patience *= 2
        return written if written >= 0 else os.pwrite(descriptor, data, offset)  # which knows how to say why
