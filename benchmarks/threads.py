"""The cost of releasing the interpreter's lock for each line: alone, and beside a thread that computes.

    python -m benchmarks.threads [--runs 1000] [--rounds 5]

The chain of `benchmarks.work`, with handlers in turn. *os.pwrite* is ours with a spool that is written by `os.pwrite`,
which releases the lock: a waiting thread is woken, finds the lock taken again, and has to wait anew.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.handlers import Nothing
from benchmarks.sink import SinkProcess
from benchmarks.work import WORK
from coagent_langchain import CoagentCallbackHandler


@contextmanager
def another_thread(computes: bool) -> Iterator[list[float]]:
    """A thread that computes while the block is open, if `computes`; yields a list that gets its CPU seconds."""
    stop, had = threading.Event(), [0.0]

    def count() -> None:
        while not stop.is_set():
            sum(range(1_000))
        had[0] = time.thread_time()

    thread = threading.Thread(target=count if computes else stop.wait, daemon=True)
    thread.start()
    try:
        yield had
    finally:
        stop.set()
        thread.join()


def handlers(url: str, folder: str) -> dict[str, list[Any]]:
    """The handlers to compare, by name."""
    ours, giving_up = (
        CoagentCallbackHandler(session_id="bench", base_url=f"{url}/{name}", spool_dir=folder) for name in ("a", "b")
    )
    spool: Any = giving_up._delivery._spool  # type: ignore[attr-defined]
    spool._pwrite._pwrite_holding_gil = None
    return {"none": [], "nothing": [Nothing()], "ours": [ours], "os.pwrite": [giving_up]}


def measure(runs: int, rounds: int, computes: bool) -> dict[str, list[tuple[float, float, float]]]:
    """By handler, for each round: wall µs and CPU µs per run, and the other thread's share of the CPU time."""
    times: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    with SinkProcess() as sink, tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        compared = handlers(sink.url, folder)
        for _ in range(rounds + 1):
            for name, callbacks in compared.items():
                with another_thread(computes) as had:
                    began, used = time.perf_counter(), time.process_time()
                    WORK["a"].run(runs, {"callbacks": callbacks})
                    wall, used = time.perf_counter() - began, time.process_time() - used
                times[name].append((wall / runs * 1e6, used / runs * 1e6, had[0] / used))
                for handler in callbacks:
                    if isinstance(handler, CoagentCallbackHandler):
                        handler.flush(30.0)
    return {name: found[1:] for name, found in times.items()}  # the first round warms up


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.threads", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--runs", type=int, default=1000, help="of the chain in one round")
    parser.add_argument("--rounds", type=int, default=5, help="over all handlers")
    asked = parser.parse_args()
    for computes, title in ((False, "Alone"), (True, "Beside a thread that computes")):
        print(f"\n{title}, a run\n\n| handler | wall µs | CPU µs | the other thread's share |\n|---|---|---|---|")
        for name, found in measure(asked.runs, asked.rounds, computes).items():
            wall, used, share = (statistics.median(figures) for figures in zip(*found, strict=True))
            print(f"| {name} | {wall:.0f} | {used:.0f} | {share:.0%} |", flush=True)


if __name__ == "__main__":
    main()
