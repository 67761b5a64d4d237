"""Events a second into the server, and the time to its pages: `python -m benchmarks.server [--events 1000000]`.

The server, the load and this measurement are three processes on one machine, so the load's own work counts against it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import orjson
import psutil

from coagent_langchain.server.store.sqlite_index import BLOCK

PER_SESSION = 50  # events
SIDE_BY_SIDE = 8  # sessions that send at the same time
CONNECTIONS = 8
KINDS = ("llm_call", "llm_response", "tool_call", "tool_response")
T0 = 1_760_000_000_000


def texts(random: Random, count: int) -> list[str]:
    """Texts of 600 characters, with word frequencies like those of natural language."""
    syllables = [consonant + vowel for consonant in "bcdfghjklmnprstvwz" for vowel in "aeiou"]
    words = sorted({"".join(random.choices(syllables, k=random.choice((1, 2, 2, 3, 3, 4)))) for _ in range(30_000)})
    weights = [1 / (rank + 10) for rank in range(len(words))]
    return [" ".join(random.choices(words, weights, k=110))[:600] for _ in range(count)]


def entries(count: int) -> Iterator[dict[str, Any]]:
    """Events of 1.1 KB like the handler's, in the order in which eight concurrent sessions would send them."""
    random = Random(7)
    pool = texts(random, 3000)
    for number in range(count):
        group, place = divmod(number, PER_SESSION * SIDE_BY_SIDE)
        step, lane = divmod(place, SIDE_BY_SIDE)
        session = group * SIDE_BY_SIDE + lane
        kind, text = KINDS[step % 4], random.choice(pool)
        run = f"{session:08x}-0000-4000-8000-"
        ids = {name: f"{run}{random.getrandbits(48):012x}" for name in ("run_id", "parent_run_id")}
        trace = ids | {"root_run_id": f"{run}{0:012x}", "name": "agent"}
        entry = {
            "version": "2.0.0", "session_id": f"session-{session:06d}", "prompt_number": 1 + step // 20,
            "turn_number": 1 + step % 20 // 4, "event_id": f"{session * 7919:016x}-{step:08x}", "event_type": kind,
            "timestamp": T0 + session * 5000 + step * 37,
            "meta": {"trace": trace, "model": "llama3.1:8b", "provider": "ollama"},
        }  # fmt: skip
        payloads: dict[str, dict[str, Any]] = {
            "llm_call": {"prompt": text[:300], "llm_call": {"issuer": "agent", "history": {"messages": [
                {"role": "user", "content": text[300:]}]}}},
            "llm_response": {"llm_response": {"response": text, "input_tokens": 900, "output_tokens": step,
                             "total_tokens": 900 + step}, "performance_metrics": {"cost": 0.001}},
            "tool_call": {"tool_call": {"tool_name": "search", "parameters": {"query": text}}},
            "tool_response": {"tool_response": {"tool_name": "search", "result": {"output": text}, "success": True}},
        }  # fmt: skip
        yield entry | payloads[kind]


def write_requests(path: Path, count: int, batch: int) -> list[int]:
    """Write complete requests to a file; return the offset of each, and that of the end."""
    offsets, bodies = [0], []
    with path.open("wb") as file:
        for entry in entries(count):
            bodies.append(orjson.dumps(entry))
            if len(bodies) == batch:
                body = bodies[0] if batch == 1 else b"[%b]" % b",".join(bodies)
                file.write(b"POST /api/v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                           b"Content-Length: %d\r\n\r\n%b" % (len(body), body))  # fmt: skip
                offsets.append(file.tell())
                bodies = []
    return offsets


def send(port: int, path: str, offsets: list[int]) -> dict[str, float]:
    """Send all requests over a few connections, each after the previous one was answered with 200."""
    content = memoryview(Path(path).read_bytes())
    numbers, lock, times = iter(range(len(offsets) - 1)), threading.Lock(), []

    def one_connection() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                began = time.perf_counter()
                connection.sendall(content[offsets[number] : offsets[number + 1]])
                answer = b""
                while not answer.endswith(b"}"):
                    answer += connection.recv(65536)
                times.append(time.perf_counter() - began)
                if not answer.startswith(b"HTTP/1.1 200"):
                    os._exit(1)

    threads = [threading.Thread(target=one_connection) for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cuts = statistics.quantiles(times, n=100)
    return {"seconds": time.perf_counter() - began, "p50": cuts[49] * 1000, "p99": cuts[98] * 1000}


def load(port: int, folder: Path, count: int, batch: int) -> str:
    """Have another process send events; return a line of the table."""
    path = folder / f"requests-{batch}"
    (folder / "offsets").write_text(json.dumps(write_requests(path, count, batch)))
    command = [sys.executable, "-m", "benchmarks.server", "--send", str(port), str(path)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    path.unlink()
    return (f"{count / found['seconds']:,.0f} events/s acknowledged ({count:,} events; a request p50 "
            f"{found['p50']:.1f}, p99 {found['p99']:.1f} ms)")  # fmt: skip


def ask(url: str) -> float:
    """Milliseconds of one GET, read to the end."""
    began = time.perf_counter()
    with urllib.request.urlopen(url, timeout=60) as answer:
        answer.read()
    return (time.perf_counter() - began) * 1000


def pages(url: str, sessions: int) -> None:
    """Print the response times of list, session and search, as pages and as API calls."""
    random = Random(3)
    words = random.sample(
        sorted({word for text in texts(Random(7), 3000) for word in text.split() if len(word) > 5}), 40
    )
    some = [f"session-{random.randrange(sessions):06d}" for _ in range(40)]
    print(f"  {'':<34}{'p50':>8}{'p99':>9}")
    for name, paths in {
        "list, page": [f"/?page={n % 5 + 1}" for n in range(40)],
        "session, page": [f"/sessions/{name}" for name in some],
        "session, entries": [f"/api/v1/logs/{name}" for name in some],
        "search of a word, page": [f"/?q={urllib.parse.quote(word)}" for word in words],
        "search of two words, page": [f"/?q={a}+{b}" for a, b in zip(words, reversed(words), strict=True)],
    }.items():
        times = sorted(ask(url + path) for path in paths)
        print(f"  {name:<34}{statistics.median(times):>6.1f} ms{times[-1]:>6.1f} ms")


def start(folder: Path) -> tuple[subprocess.Popen[str], str, float]:
    """Start the server as a user does; return it, its address and the seconds until its first response."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "coagent_langchain", "serve", "--port", "0", "--store", f"sqlite://{folder}/c.db"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().split()[-1]
    ask(f"{url}/api/v1/runs")
    return process, url, time.perf_counter() - began


def wait_until_indexed(folder: Path) -> None:
    """Wait until the search index has all entries but those of its last block."""
    with contextlib.closing(sqlite3.connect(folder / "c.db")) as connection:
        connection.execute("ATTACH ? AS search", (f"{folder}/c.db.search",))
        behind = "SELECT (SELECT max(seq) FROM entries) - blocks * ? FROM search.progress"
        while connection.execute(behind, (BLOCK,)).fetchone()[0] > BLOCK:
            time.sleep(0.1)


def measure(folder: Path, count: int) -> None:
    """Print all figures, with a new database."""
    process, url, seconds = start(folder)
    port, server = int(url.rpartition(":")[2]), psutil.Process(process.pid)
    print(f"start to first answer: {seconds:.2f} s; memory idle: {server.memory_info().rss / 1e6:.0f} MB")
    print("batch 1:  ", load(port, folder, 3000, 1))
    before = server.cpu_times()
    print("batch 100:", load(port, folder, count, 100))
    spent = sum(server.cpu_times()[:2]) - sum(before[:2])
    print(
        f"  server: {spent / count * 1e6:.1f} µs of processor an event; memory {server.memory_info().rss / 1e6:.0f} MB"
    )
    print("right after, before all of it is indexed:")
    pages(url, count // PER_SESSION)
    began = time.perf_counter()
    wait_until_indexed(folder)
    indexed = time.perf_counter() - began
    size = sum(path.stat().st_size for path in folder.glob("c.db*"))
    print(f"indexed after {indexed:.1f} s; {size / count:.0f} bytes an event on disk, with the index")
    pages(url, count // PER_SESSION)
    process.send_signal(signal.SIGTERM)
    process.wait()


def main() -> None:
    """Measure, or act as the sending process."""
    parser = argparse.ArgumentParser("python -m benchmarks.server", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--send", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        offsets = json.loads((Path(options.send[1]).parent / "offsets").read_text())
        print(json.dumps(send(int(options.send[0]), options.send[1], offsets)))
        return
    with tempfile.TemporaryDirectory(prefix="coagent-bench-") as folder:
        measure(Path(folder), options.events)


if __name__ == "__main__":
    main()
