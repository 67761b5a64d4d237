"""The table of facts and complaints: which tests show that each holds. `python -m tests.contract.table` runs them."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from contextlib import redirect_stdout
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KEYS = [f"F{number}" for number in range(1, 24)] + [str(number) for number in range(1, 54)]
_ONE = r"(?:F\d+|\d+)(?: \S+#\d+)?"
_KEYED = re.compile(rf"({_ONE}(?:, {_ONE})*): ")  # a test may show several


def tests() -> dict[str, list[tuple[str, str]]]:
    """For each fact or complaint: (node id, first docstring line without the key) of each of its tests."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            line = (ast.get_docstring(node) or "").partition("\n")[0] if isinstance(node, ast.FunctionDef) else ""
            if isinstance(node, ast.FunctionDef) and (match := _KEYED.match(line)):
                for key, _, thread in (each.partition(" ") for each in match[1].split(", ")):
                    said = f"{thread}: " if thread else ""
                    found[key].append((f"{path.name}::{node.name}", said + line[match.end() :]))
    return found


class Results:
    """A pytest plugin that records the outcome of each test function, over all its parameters."""

    def __init__(self) -> None:
        self.outcomes: dict[str, set[str]] = defaultdict(set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the outcome of the call, or of any phase that failed."""
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid.rpartition("/")[2].partition("[")[0]].add(report.outcome)

    def of(self, name: str) -> str:
        """Whether the test holds: `yes`, `no` or `not run`."""
        outcomes = self.outcomes.get(name, {"skipped"})
        return "no" if "failed" in outcomes else "yes" if "passed" in outcomes else "not run"


def main() -> int:
    """Run the tests and print the table."""
    results = Results()
    with redirect_stdout(sys.stderr):
        status = pytest.main([str(HERE)], plugins=[results])
    lines = ["| fact or complaint | what holds | test | holds |", "|---|---|---|---|"]
    found = tests()
    for key in KEYS:
        lines += [f"| {key} | {said} | `{name}` | {results.of(name)} |" for name, said in found[key]]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
