"""The monotonic clock. It goes on while a test has the functions of `time` return a fixed time, as freezegun does."""

from __future__ import annotations

import time
from functools import partial

monotonic = partial(time.clock_gettime, time.CLOCK_MONOTONIC)
