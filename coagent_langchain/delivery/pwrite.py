"""Write at an offset of a file without releasing the GIL, as long as the disk is fast.

`os.pwrite` releases it. A write into the page cache takes 1 µs, but a thread that releases the GIL for it may wait a
switch interval (5 ms) to get it back while another thread computes. And a thread that waits for the GIL, as the worker
does, is woken by each write, finds the GIL taken again and waits anew. `python -m benchmarks.threads` shows the cost.
"""

from __future__ import annotations

import functools
import posix
import sys
import time
from collections.abc import Callable

SLOW_NS = 5_000_000  # a write that takes longer than a switch interval delays other threads
RELEASING_WRITES = 1_000  # writes made by `os.pwrite` after a slow one; twice as many after the next

Write = Callable[[int, bytes, int, int], int]


@functools.cache
def _pwrite_holding_gil() -> Write | None:
    """The C library's `pwrite`, called without releasing the GIL; None if unavailable."""
    if sys.maxsize < 2**32:  # a file offset may be longer than a register
        return None
    try:
        import ctypes

        pwrite = ctypes.PyDLL(None).pwrite
    except Exception:  # noqa: BLE001 - a Python without ctypes, no dynamic linker, an audit hook that forbids it
        return None
    # No `argtypes`: converting through them takes longer than everything else here. Integers are then passed as C's
    # `int`, widened to the register: offsets in a segment and lengths of lines always fit.
    pwrite.restype = ctypes.c_ssize_t
    return pwrite


class Pwrite:
    """`os.pwrite` for one thread at a time, which releases the GIL only if the disk is slow."""

    def __init__(self, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self._clock = clock
        self._pwrite_holding_gil = _pwrite_holding_gil()
        self._releasing = 0  # writes still to be made by `os.pwrite`
        self._next_releasing = RELEASING_WRITES

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        """Write `data` at `offset` and return how many bytes were written; an `OSError` if none could be."""
        pwrite, clock = self._pwrite_holding_gil, self._clock
        if pwrite is None or self._releasing:
            self._releasing -= self._releasing > 0
            return posix.pwrite(descriptor, data, offset)
        began = clock()
        written = pwrite(descriptor, data, len(data), offset)
        if clock() - began > SLOW_NS:
            self._releasing = self._next_releasing
            self._next_releasing *= 2
        return written if written >= 0 else posix.pwrite(descriptor, data, offset)  # raises the error
