"""Processes that log, fork and are killed at random, and a server that resets, stalls, refuses and does not answer.

A short run is in the tests (`test_delivery_chaos.py`); for a long one:

    python -m tests.chaos --seconds 600 --seed 7

After each `append`, a process writes the event id to a file of its own. In the end, when the server is healthy again
and a last process has sent what was left, every id in these files must be on our own server behind it exactly once.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import requests

from coagent_langchain.config import Settings
from coagent_langchain.delivery.folder import destination_folder
from coagent_langchain.delivery.owner import segments_by_owner
from coagent_langchain.delivery.spooled_delivery import SpooledDelivery
from coagent_langchain.server import launch
from coagent_langchain.wire import now_ms
from tests.delivery_parts import line
from tests.faulty_server import Answer, FaultyServer, Request, healthy

LIVES_AT_ONCE = 4


@dataclass
class Result:
    """The result of a run.

    Attributes:
        acknowledged: event ids whose `append` had returned.
        lost: those of them that are not on our own server.
        sent: how often the faulty server received and stored each event.
        twice: events that are more than once on our own server, which is behind the faulty one.
        killed: processes that were sent SIGKILL at random.
        stuck: processes that did not end by themselves in time.
        left: segments that remained at the end.
    """

    acknowledged: set[str]
    lost: set[str]
    sent: Counter[str]
    twice: set[str]
    killed: int
    stuck: int
    left: int

    def __str__(self) -> str:
        repeated = sum(self.sent.values()) - len(self.sent)
        events = (
            f"{len(self.acknowledged)} events, {len(self.lost)} lost, {repeated} sent again, {len(self.twice)} twice"
        )
        return f"{events}, {self.killed} processes killed, {self.stuck} stuck, {self.left} files left"


class Moody:
    """A server's behaviour: bursts of many faults, drawn from a seed, and calm seconds that let adoption progress."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Answer:
        with self._lock:
            mood = self._random.random()
        if int(time.monotonic()) % 3:
            mood *= 10.0
        if mood < 0.10:
            return Answer(None)
        if mood < 0.20:
            return Answer(503)
        if mood < 0.25:
            return Answer(429, headers={"Retry-After": "0"})
        if mood < 0.32:
            return Answer(None, stores=True)
        if mood < 0.37:
            time.sleep(0.3)
        if mood < 0.40 and len(request.entries) > 3:
            return Answer(413)
        return Answer()


def live(base_url: str, folder: Path, seed: int) -> None:
    """Run one process: log from two threads, maybe fork and log in the child too, then exit with or without `close`."""
    draw = random.Random(seed)
    delivery = SpooledDelivery(Settings(base_url=base_url, spool_dir=folder / "spool", exit_timeout=0.3))
    other = threading.Thread(target=_log, args=(delivery, folder, random.Random(seed + 1), f"t{seed}", 4.0))
    other.start()
    _log(delivery, folder, draw, f"p{seed}")
    if draw.random() < 0.4:
        child = os.fork()
        _log(delivery, folder, draw, f"{'c' if child == 0 else 'q'}{seed}")
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    if draw.random() < 0.5:
        time.sleep(draw.uniform(0.3, 1.5))  # long enough to adopt what others left
        _log(delivery, folder, draw, f"r{seed}")
    other.join()
    if draw.random() < 0.5:
        delivery.close()


def _log(delivery: SpooledDelivery, folder: Path, draw: random.Random, name: str, longer: float = 1.0) -> None:
    with open(folder / f"noted-{name}", "ab", buffering=0) as noted:
        until = time.monotonic() + longer * draw.uniform(0.1, 0.5)
        number = 0
        while time.monotonic() < until:
            event_id = f"{name}-{number}"
            number += 1
            delivery.append(line(event_id, "x" * draw.choice([10, 200, 5000]), now_ms()))
            noted.write(f"{event_id}\n".encode())
            if draw.random() < 0.2:
                time.sleep(draw.uniform(0, 0.01))


def chaos(seconds: float, seed: int) -> Result:
    """Start and kill processes for `seconds`, with our own server behind one that fails in every way.

    Parameters:
        seconds: for how long new processes are started.
        seed: determines the server's faults, and what each process does and when it is killed.
    """
    with (
        launch() as real,
        FaultyServer(Moody(seed), behind=real.base_url) as server,
        tempfile.TemporaryDirectory() as name,
    ):
        folder, url = Path(name), server.base_url
        killed, stuck = _lives(url, folder, random.Random(seed), seconds)
        server.behave = healthy
        stuck += _run_to_its_end(url, folder)
        there = Counter(_stored(real.url))
        noted = {event_id for path in folder.glob("noted-*") for event_id in _noted(path)}
        left = sum(map(len, segments_by_owner(destination_folder(folder / "spool", url)).values()))
        twice = {event_id for event_id, times in there.items() if times > 1}
        return Result(noted, noted - set(there), Counter(server.stored), twice, killed, stuck, left)


def _lives(url: str, folder: Path, draw: random.Random, seconds: float) -> tuple[int, int]:
    """Run a few processes at a time for `seconds`, some killed at random; return how many were killed and got stuck."""
    killed = stuck = number = 0
    living: list[tuple[subprocess.Popen[bytes], float | None]] = []
    until = time.monotonic() + seconds
    while living or time.monotonic() < until:
        while len(living) < LIVES_AT_ONCE and time.monotonic() < until:
            number += 1
            death = time.monotonic() + draw.uniform(0.3, 1.8) if draw.random() < 0.6 else None
            command = [sys.executable, "-m", "tests.chaos", "--live", url, str(folder), str(draw.randrange(10**9))]
            living.append((subprocess.Popen(command, start_new_session=True), death))
        time.sleep(0.01)
        for entry in list(living):
            process, death = entry
            if process.poll() is not None:
                living.remove(entry)
            elif death is not None and time.monotonic() > death:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                living.remove(entry)
                killed += 1
            elif time.monotonic() > until + 20:
                os.killpg(process.pid, signal.SIGKILL)
                stuck += 1
    return killed, stuck


def _run_to_its_end(url: str, folder: Path) -> int:
    """Run one more process that sends what the others left; return 1 if it did not manage to."""
    command = [sys.executable, "-m", "coagent_langchain", "spool", "flush", "--timeout", "60"]
    environment = os.environ | {"COAGENT_BASE_URL": url, "COAGENT_SPOOL_DIR": str(folder / "spool")}
    return int(subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL).returncode != 0)


def _stored(url: str) -> Iterator[str]:
    """Yield the event ids on our own server, read line by line because a long run leaves gigabytes."""
    with requests.get(f"{url}/export/s?format=jsonl", timeout=60, stream=True) as answer:
        answer.raise_for_status()
        for entry in answer.iter_lines(1 << 20):
            yield orjson.loads(entry)["event_id"]


def _noted(path: Path) -> Iterator[str]:
    yield from path.read_text(encoding="ascii").split("\n")[:-1]  # without a line that a kill has cut


def main() -> None:
    """Run chaos by hand."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--live", nargs=3, metavar=("URL", "FOLDER", "SEED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.live:
        live(arguments.live[0], Path(arguments.live[1]), int(arguments.live[2]))
        return
    result = chaos(arguments.seconds, arguments.seed)
    print(result)  # noqa: T201 - a command
    sys.exit(bool(result.lost or result.twice or result.stuck or result.left))


if __name__ == "__main__":
    main()
