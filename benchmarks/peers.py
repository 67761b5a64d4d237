"""The handler beside its peers: the same LangChain work with each, against a local sink.

    make bench-peers      or      python -m benchmarks.peers [--only ours,nothing] [--work a,b] [--rounds 3] [--quick]

Every cell is a fresh process; the rounds go over all handlers in turn, so that a slow minute affects them all.
Wall time is that of the calling thread, without the final flush; CPU time is that of the whole process, including the
flush; both are relative to the same work with no handler. The peers' environment is created in `.venv/peers` when it is
first needed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import venv
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.handlers import HANDLERS, PEERS
from benchmarks.sink import SinkProcess, clear
from benchmarks.work import WORK

ROOT = Path(__file__).parent.parent
ENVIRONMENT = ROOT / ".venv" / "peers"
REQUIREMENTS = ROOT / "benchmarks" / "peers.txt"
CONSTRAINTS = ROOT / ".ci" / "constraints.txt"
CELL_TIMEOUT_S = 240
QUICK = 10  # one tenth of the runs

SETTINGS = ("LANGSMITH_", "LANGCHAIN_", "LANGFUSE_", "OTEL_", "COAGENT_", "MLFLOW_")  # not the caller's, but defaults

Cell = dict[str, float]
Pick = Callable[[list[float]], float]
Cells = dict[tuple[str, str], list[Cell]]


def python() -> str:
    """The interpreter of the peers' environment, which is created if missing, or anew if the requirements changed."""
    stamp, wanted = ENVIRONMENT / "made-for", REQUIREMENTS.read_text() + CONSTRAINTS.read_text()
    interpreter = str(ENVIRONMENT / "bin" / "python")
    if not stamp.exists() or stamp.read_text() != wanted:
        print("making the environment of the peers …", file=sys.stderr)
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint",
                        CONSTRAINTS, "--requirement", REQUIREMENTS], check=True)  # fmt: skip
        stamp.write_text(wanted)
    return interpreter


def run_cell(interpreter: str, handler: str, work: str, *options: str, prefix: tuple[str, ...] = ()) -> Cell | None:
    """Run one cell in a fresh process; report a failure and return None."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    environ |= {"PYTHONHASHSEED": "0", "DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [*prefix, interpreter, "-m", "benchmarks.cell", handler, work, *options]
    try:
        done = subprocess.run(command, cwd=ROOT, env=environ, timeout=CELL_TIMEOUT_S, capture_output=True, text=True)
        cell: Cell = json.loads(done.stdout.splitlines()[-1])
        return cell | instructions(done.stderr)
    except subprocess.TimeoutExpired:
        print(f"{handler} {work}: not finished after {CELL_TIMEOUT_S} s", file=sys.stderr)
    except (IndexError, ValueError):
        print(f"{handler} {work}: failed\n{done.stderr[-2000:]}", file=sys.stderr)
    return None


def instructions(output: str) -> Cell:
    """The number of instructions that callgrind collected."""
    found = re.search(r"Collected : (\d+)", output)
    return {"instructions": float(found[1])} if found else {}


def measure(interpreter: str, asked: argparse.Namespace, runs: dict[str, int]) -> Cells:
    """Run all rounds over all cells, interleaved."""
    cells: Cells = defaultdict(list)
    prefix = ("valgrind", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null")
    with SinkProcess(interpreter) as sink:
        for number in range(asked.rounds):
            for work in asked.work:
                for handler in asked.only if number % 2 == 0 else reversed(asked.only):
                    print(
                        f"round {number + 1}/{asked.rounds}, {WORK[work].title}, {handler}      ",
                        end="\r",
                        file=sys.stderr,
                    )
                    clear(sink.url)
                    options = ["--url", sink.url, "--runs", str(runs[work])]
                    if asked.callgrind:
                        cell = run_cell(interpreter, handler, work, *options, "--callgrind", prefix=prefix)
                    else:
                        cell = run_cell(interpreter, handler, work, *options)
                    if cell:
                        cells[handler, work].append(cell | {"delivered": sink.count()["runs"]})
    print(" " * 60, end="\r", file=sys.stderr)
    return cells


class Tables:
    """The tables of the measured cells, in Markdown."""

    def __init__(
        self, cells: Cells, handlers: list[str], work: list[str], runs: dict[str, int], events: dict[str, float]
    ):
        self.cells, self.work, self.runs, self.events = cells, work, runs, events
        self.handlers = [handler for handler in handlers if handler != "none"]

    def added(self, handler: str, work: str, field: str, pick: Pick = median) -> float | None:
        """Microseconds (or instructions) per event compared with no handler; None if a cell is missing."""
        with_handler = [cell[field] for cell in self.cells[handler, work]]
        without = [cell[field] for cell in self.cells["none", work]]
        if not with_handler or not without:
            return None
        scale = 1.0 if field == "instructions" else 1e6
        return (pick(with_handler) - pick(without)) * scale / (self.runs[work] * self.events[work])

    def per_event(self, title: str, field: str, best: str) -> None:
        """Print what is added per event: the median of `field` and, in brackets, the least `best`; then the ratios."""
        self._head(title)
        for handler in self.handlers:
            self._row(handler, [self._cost(handler, work, field, best) for work in self.work])
        peers = [handler for handler in self.handlers if handler in PEERS]
        if "ours" in self.handlers and peers:
            self._row("**best peer / ours**", [
                f"**{self._ratio(peers, work, field)}** ({self._ratio(peers, work, best, min)})" for work in self.work
            ])  # fmt: skip

    def _cost(self, handler: str, work: str, field: str, best: str) -> str:
        middle, least = self.added(handler, work, field), self.added(handler, work, best, min)
        return "failed" if middle is None or least is None else f"{middle:.1f} ({least:.1f})"

    def _ratio(self, peers: list[str], work: str, field: str, pick: Pick = median) -> str:
        mine = self.added("ours", work, field, pick)
        theirs = [value for peer in peers if (value := self.added(peer, work, field, pick)) is not None]
        return f"{min(theirs) / mine:.1f}" if mine and theirs and mine > 0 else "?"

    def memory(self) -> None:
        """Print the process's peak memory, and how much of it was added during the work."""
        self._head("Peak memory of the process in MB (of which during the work)")
        for handler in ["none", *self.handlers]:
            self._row(handler, [f"{self._median(handler, work, 'peak_mb')} ({self._median(handler, work, 'grown_mb')})"
                                for work in self.work])  # fmt: skip

    def delivered(self) -> None:
        """Print how many of the runs had reached the sink when the flush returned."""
        self._head(
            "Runs delivered when the flush returned, of " + ", ".join(str(self.runs[work]) for work in self.work)
        )
        for handler in self.handlers:
            if handler not in ("nothing", "ours-0"):
                self._row(handler, [self._median(handler, work, "delivered") for work in self.work])

    def _median(self, handler: str, work: str, field: str) -> str:
        values = [cell[field] for cell in self.cells[handler, work]]
        return f"{median(values):.0f}" if values else "failed"

    def _head(self, title: str) -> None:
        print(f"\n{title}\n")
        self._row("", [WORK[work].title for work in self.work])
        print("|---" * (len(self.work) + 1) + "|")

    def _row(self, name: str, values: list[str]) -> None:
        print(f"| {name} | " + " | ".join(values) + " |", flush=True)


def print_tables(cells: Cells, asked: argparse.Namespace, runs: dict[str, int], events: dict[str, float]) -> None:
    """Print everything that was measured."""
    counted = ", ".join(f"{WORK[work].title} {events[work]}" for work in asked.work)
    print(
        f"Callback events per run: {counted}. Rounds: {asked.rounds}; medians, in brackets the best (wall: its tenth)."
    )
    tables = Tables(cells, asked.only, asked.work, runs, events)
    if asked.callgrind:
        tables.per_event(
            "Added instructions per callback event, whole process, delivery included", "instructions", "instructions"
        )
    else:
        tables.per_event("Added wall µs per callback event in the calling thread", "wall", "best_wall")
        tables.per_event("Added CPU µs per callback event, whole process, delivery and flush included", "cpu", "cpu")
        tables.memory()
    tables.delivered()


def names(known: Any, text: str) -> list[str]:
    """Parse a list such as `a,b` of known names."""
    chosen = text.split(",")
    if unknown := sorted(set(chosen) - set(known)):
        raise argparse.ArgumentTypeError(f"no {unknown[0]!r}; there are {', '.join(known)}")
    return chosen


def parse() -> argparse.Namespace:
    """Parse the command line; `none` is always measured."""
    parser = argparse.ArgumentParser("python -m benchmarks.peers", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--only", type=lambda text: names(HANDLERS, text), default=list(HANDLERS),
                        help="handlers, with commas: " + ", ".join(HANDLERS))  # fmt: skip
    parser.add_argument("--work", type=lambda text: names(WORK, text), default=list(WORK), help="e.g. a,b")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs")
    parser.add_argument("--callgrind", action="store_true", help="instructions instead of time: no noise, but slow")
    asked = parser.parse_args()
    asked.only = ["none", *(handler for handler in asked.only if handler != "none")]
    return asked


def main() -> None:
    """Measure and print."""
    asked = parse()
    interpreter = python() if set(asked.only) & set(PEERS) else sys.executable
    runs = {work: kind.runs // (QUICK if asked.quick or asked.callgrind else 1) for work, kind in WORK.items()}
    counted = {work: run_cell(interpreter, "none", work, "--url", "-", "--events") or {} for work in asked.work}
    events = {work: sum(cell.values()) for work, cell in counted.items()}
    cells = measure(interpreter, asked, runs)
    print_tables(cells, asked, runs, events)


if __name__ == "__main__":
    main()
