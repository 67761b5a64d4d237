"""The time of each of our hooks: called repeatedly, and between LangChain's own work, where caches are cold.

    python -m benchmarks.hooks [WORK …]

The hooks of one run are recorded and replayed with new run ids, without a server: everything but delivery is included,
also the spool. The second column is what an application pays.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from benchmarks.handlers import Call, recorded
from benchmarks.work import WORK, chain, question
from coagent_langchain import CoagentCallbackHandler

ROUNDS = {"a": 400, "b": 60, "c": 20}
NOWHERE = "http://127.0.0.1:9/api/v1"


def with_new_ids(calls: list[Call]) -> list[Call]:
    """The same hooks as those of another run."""
    ids: dict[uuid.UUID, uuid.UUID] = defaultdict(uuid.uuid4)
    return [
        (name, args, {k: ids[v] if isinstance(v, uuid.UUID) else v for k, v in kwargs.items()})
        for name, args, kwargs in calls
    ]


def played(handler: Any, calls: list[Call], rounds: int, between: Callable[[], object]) -> dict[str, list[float]]:
    """The µs of each call, the median of all rounds, by hook."""
    times: dict[int, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for number, (name, args, kwargs) in enumerate(with_new_ids(calls)):
            hook = getattr(handler, name)
            between()
            began = time.perf_counter()
            hook(*args, **kwargs)
            times[number].append(time.perf_counter() - began)
    by_hook: dict[str, list[float]] = defaultdict(list)
    for number, (name, _, _) in enumerate(calls):
        by_hook[name].append(statistics.median(times[number]) * 1e6)
    return by_hook


def measure(work: str) -> None:
    """Print the table of one workload."""
    calls, rounds = recorded(work), ROUNDS[work]
    runnable, asked = chain(), {"question": question()}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        handler = CoagentCallbackHandler(session_id="bench", base_url=NOWHERE, spool_dir=folder)
        played(handler, calls, max(rounds // 10, 2), lambda: None)
        hot = played(handler, calls, rounds, lambda: None)
        cold = played(handler, calls, rounds, lambda: runnable.invoke(asked))
    print(f"\n{WORK[work].title}, µs\n\n| hook | calls | hot | cold |\n|---|---|---|---|")
    for name, values in hot.items():
        print(f"| `{name}` | {len(values)} | {statistics.mean(values):.1f} | {statistics.mean(cold[name]):.1f} |")
    total = [sum(map(sum, times.values())) / len(calls) for times in (hot, cold)]
    print(f"| an event | {len(calls)} | {total[0]:.1f} | {total[1]:.1f} |", flush=True)


def main() -> None:
    """Measure the named workloads."""
    parser = argparse.ArgumentParser("python -m benchmarks.hooks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("work", nargs="*", metavar="WORK", help="of " + ", ".join(ROUNDS) + "; a and b by default")
    chosen = parser.parse_args().work or ["a", "b"]
    if unknown := sorted(set(chosen) - set(ROUNDS)):
        parser.error(f"no work {unknown[0]!r}; there are {', '.join(ROUNDS)}")
    for work in chosen:
        measure(work)


if __name__ == "__main__":
    main()
