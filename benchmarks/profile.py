"""Where the time goes, by line and by function: a sampling profiler built on the standard library.

    python -m benchmarks.profile WORK [--handler ours] [--runs N]

A timer on the process's CPU time interrupts the main thread, which records its stack. Unlike cProfile, this does not
make short functions look expensive. Work (f) runs in other threads, which a signal cannot see: use (a) instead.
"""

from __future__ import annotations

import argparse
import linecache
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from benchmarks.sink import SinkProcess

ROOT = Path(__file__).parent.parent
PACKAGE = str(ROOT / "coagent_langchain")
INTERVAL_S = 0.001


class Profile:
    """Samples of the main thread: each line of our package with what it called, and the lines where time was spent."""

    def start(self) -> None:
        """Begin sampling."""
        self.samples = 0
        self.inside = 0
        self.lines: Counter[tuple[str, int]] = Counter()
        self.own: Counter[tuple[str, int]] = Counter()
        self.functions: Counter[str] = Counter()
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)

    def stop(self) -> None:
        """End sampling."""
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _sample(self, number: int, frame: FrameType | None) -> None:
        self.samples += 1
        lines, functions = set(), set()
        innermost = frame
        while frame:
            code = frame.f_code
            if code.co_filename.startswith(PACKAGE):
                lines.add((code.co_filename, frame.f_lineno))
                self.own[code.co_filename, frame.f_lineno] += frame is innermost
                functions.add(f"{code.co_filename[len(PACKAGE) + 1 :]}:{code.co_qualname}")
            frame = frame.f_back
        self.inside += bool(lines)
        self.lines.update(lines)
        self.functions.update(functions)

    def report(self, most: int = 45) -> None:
        """Print shares of all samples, including what a line or function called, and for lines also alone."""
        out = sys.stderr
        print(f"\n{self.samples} samples, {self.inside} ({self.inside / max(self.samples, 1):.1%}) in the package or "
              f"below it\n\nfunctions:", file=out)  # fmt: skip
        for name, count in self.functions.most_common(most):
            print(f"{count / self.samples:7.1%}  {name}", file=out)
        for title, counted in (("lines, with what they call:", self.lines), ("lines alone:", self.own)):
            print(f"\n{title}", file=out)
            for (path, line), count in counted.most_common(most):
                text = linecache.getline(path, line).strip()
                print(f"{count / self.samples:7.1%}  {path[len(PACKAGE) + 1 :]}:{line}  {text}", file=out)


def main() -> None:
    """Profile one handler with one workload, in a fresh process."""
    parser = argparse.ArgumentParser("python -m benchmarks.profile", description=__doc__)
    parser.add_argument("work", help="a to f")
    parser.add_argument("--handler", default="ours")
    parser.add_argument("--runs", default="2000")
    asked = parser.parse_args()
    command = [sys.executable, "-m", "benchmarks.cell", asked.handler, asked.work, "--profile", "--runs", asked.runs]
    with SinkProcess() as sink:
        subprocess.run([*command, "--url", sink.url], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
