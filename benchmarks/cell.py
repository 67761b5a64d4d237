"""One cell of the tables: one handler doing one kind of work in this process, reported as a line of JSON.

python -m benchmarks.cell HANDLER WORK --url SINK [--runs N] [--profile | --callgrind]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter

from benchmarks import handlers
from benchmarks.profile import Profile
from benchmarks.sink import clear
from benchmarks.work import WORK

SLICES = 10


def measure(
    handler: str, work: str, url: str, runs: int, profile: Profile | Callgrind | None = None
) -> dict[str, float]:
    """Do the work once and measure it.

    Returns:
        In seconds: `wall` of the calling thread, `best_wall` if all slices had been as fast as the fastest, `cpu` of
        the whole process including the flush, `flush`; `peak_mb` of the process, `grown_mb` of that during the work.
    """
    callbacks, flush = handlers.HANDLERS[handler](url)
    run, pieces = WORK[work].run, max(min(SLICES, runs // WORK[work].least), 1)
    run(max(runs // 100, 2), {"callbacks": callbacks})  # warm up: imports, caches and threads
    flush()
    clear(url)
    gc.collect()
    peak = peak_mb()
    if profile:
        profile.start()
    slices, process = [], time.process_time()
    for _ in range(pieces):
        wall = time.perf_counter()
        run(runs // pieces, {"callbacks": callbacks})
        slices.append(time.perf_counter() - wall)
    if profile:
        profile.stop()
    started = time.perf_counter()
    flush()
    flushed = time.perf_counter() - started
    process = time.process_time() - process
    return {"wall": sum(slices), "best_wall": min(slices) * pieces, "cpu": process, "flush": flushed,
            "peak_mb": peak_mb(), "grown_mb": peak_mb() - peak}  # fmt: skip


def peak_mb() -> float:
    """The peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Callgrind:
    """Counts instructions from `start` to `report`; this process must run under `valgrind --tool=callgrind`."""

    def start(self) -> None:
        self._control("--instr=on")

    def stop(self) -> None:
        """Do nothing: the delivery that follows is counted too."""

    def report(self) -> None:
        self._control("--instr=off")

    def _control(self, option: str) -> None:
        subprocess.run(["callgrind_control", option, str(os.getpid())], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Measure one cell, print it and exit at once, without running the exit handlers of what was measured."""
    parser = argparse.ArgumentParser("python -m benchmarks.cell", description=__doc__)
    parser.add_argument("handler", choices=handlers.HANDLERS)
    parser.add_argument("work", choices=WORK)
    parser.add_argument("--url", required=True)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--events", action="store_true", help="count the callback events of one run instead")
    parser.add_argument("--profile", action="store_true", help="sample the lines that the calling thread is in")
    parser.add_argument("--callgrind", action="store_true", help="switch a surrounding callgrind on for the work")
    asked = parser.parse_args()
    runs = asked.runs or WORK[asked.work].runs
    if asked.events:
        answer: dict[str, float] = dict(Counter(name for name, _, _ in handlers.recorded(asked.work)))
    else:
        profile = Profile() if asked.profile else Callgrind() if asked.callgrind else None
        answer = measure(asked.handler, asked.work, asked.url, runs, profile)
        if profile:
            profile.report()
    print(json.dumps(answer), flush=True)
    for folder in handlers.made:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
