"""What delivery costs: `append` with the server up, down and hung, memory with the server down, and the drain rate.

python -m benchmarks.delivery            # everything
python -m benchmarks.delivery append     # one part: append, memory, drain
"""

from __future__ import annotations

import gc
import multiprocessing
import resource
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from coagent_langchain.config import Settings
from coagent_langchain.delivery.spooled_delivery import SpooledDelivery
from coagent_langchain.values.encoding import encode
from coagent_langchain.wire import JsonObject, event_ids, now_ms

KILOBYTE = 1000


def entry(size: int) -> JsonObject:
    """An event of about `size` bytes on the wire."""
    made: JsonObject = {
        "version": "2.0.0",
        "session_id": "benchmark",
        "prompt_number": 1,
        "turn_number": 1,
        "event_id": event_ids.next(),
        "event_type": "llm_response",
        "timestamp": now_ms(),
        "llm_response": {"response": "", "input_tokens": 512, "output_tokens": 64, "total_tokens": 576},
    }
    made["llm_response"]["response"] = "x" * (size - len(encode(made)))
    return made


def _serve(pipe: Connection) -> None:
    from coagent_langchain import server

    with server.launch() as running:
        pipe.send(running.base_url)
        pipe.recv()


@contextmanager
def server_up() -> Iterator[str]:
    """Our server in a process of its own."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,))
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("end")
        process.join(10)
        process.kill()


@contextmanager
def server_down() -> Iterator[str]:
    """An address at which no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    yield f"http://127.0.0.1:{port}/api/v1"


@contextmanager
def server_hung() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/api/v1"


SERVERS = {"up": server_up, "down": server_down, "hung": server_hung}


def delivery(base_url: str, folder: str) -> SpooledDelivery:
    """A fresh delivery to `base_url`."""
    return SpooledDelivery(Settings(base_url=base_url, spool_dir=Path(folder), exit_timeout=0.0))


def time_appends(base_url: str, size: int, count: int, pause: float) -> list[float]:
    """Microseconds of each `encode` and `append`, after one that starts the thread.

    Parameters:
        pause: seconds between two appends: an application does something else most of the time.
    """
    took = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        target = delivery(base_url, folder)
        target.append(encode(entry(size)))
        time.sleep(1.0)
        for _ in range(count):
            event = entry(size)
            if pause:
                time.sleep(pause)
            started = time.perf_counter_ns()
            target.append(encode(event))
            took.append((time.perf_counter_ns() - started) / 1000)
        target.close()
    return took


def time_encode(size: int, count: int) -> list[float]:
    """Microseconds of `encode` alone, a millisecond apart: what cold CPU caches add to everything."""
    took = []
    for _ in range(count):
        event = entry(size)
        time.sleep(0.001)
        started = time.perf_counter_ns()
        encode(event)
        took.append((time.perf_counter_ns() - started) / 1000)
    return took


def show(what: str, took: list[float]) -> None:
    """Print p50, p99 and p99.9."""
    took = sorted(took)
    print(f"{what:33}" + " ".join(f"{took[int(len(took) * share)]:8.1f}" for share in (0.5, 0.99, 0.999)), flush=True)


def measure_append() -> None:
    """Measure `append` for each state of the server: at full speed, and with pauses of a millisecond."""
    print("append with encode, µs                p50      p99    p99.9")
    show("1 kB, encode alone, 1 ms between", time_encode(KILOBYTE, 2000))
    for size, count in ((KILOBYTE, 20_000), (300 * KILOBYTE, 500)):
        for state, start in SERVERS.items():
            for pause in (0.0, 0.001):
                with start() as base_url:
                    took = time_appends(base_url, size, count // (10 if pause else 1), pause)
                show(f"{size // KILOBYTE} kB, {state}, {'1 ms between' if pause else 'no pause'}", took)


def resident_mb() -> float:
    """The current memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def measure_memory(count: int = 1_000_000) -> None:
    """Measure memory growth while `count` events of 1 kB are written with the server down."""
    line = encode(entry(KILOBYTE))
    with server_down() as base_url, tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        target = delivery(base_url, folder)
        target.append(line)
        time.sleep(1.0)
        gc.collect()
        start, highest = resident_mb(), 0.0
        for number in range(count):
            target.append(line)
            if number % 10_000 == 0:
                highest = max(highest, resident_mb())
        counts = target.stats()
        target.close()
    print(f"memory, {count} events of 1 kB, server down: {start:.1f} MB at the start, {highest - start:+.1f} MB at the "
          f"highest; kept {counts.waiting}, refused {counts.refused}")  # fmt: skip


def measure_drain(count: int = 100_000, size: int = 500) -> None:
    """Measure events per second from the spool into our server's store."""
    rates = []
    for _ in range(3):
        with server_up() as base_url, tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            target = delivery(base_url, folder)
            for _ in range(count):
                target.append(encode(entry(size)))
            waiting = target.stats().waiting
            cpu, started = time.process_time(), time.perf_counter()
            done = target.flush(60)
            rates.append(waiting / (time.perf_counter() - started))
            cpu = (time.process_time() - cpu) / waiting * 1e6
            assert done
            target.close()
    print(f"drain into our own server, events of {size} bytes: best {max(rates):,.0f}/s, median "
          f"{statistics.median(rates):,.0f}/s; {cpu:.1f} µs of CPU per event here")  # fmt: skip


PARTS = {"append": measure_append, "memory": measure_memory, "drain": measure_drain}


def main(*parts: str) -> None:
    """Measure all parts, or only those named."""
    if unknown := sorted(set(parts) - set(PARTS)):
        sys.exit(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    for name in parts or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main(*sys.argv[1:])
