"""The benchmarks measure what they claim: each kind of work is delivered, counted and reported."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest

from benchmarks import hooks, peers
from benchmarks.handlers import recorded
from benchmarks.sink import SinkProcess, clear
from benchmarks.work import WORK


@pytest.fixture(scope="module")
def sink() -> Iterator[SinkProcess]:
    """A server that counts what it receives."""
    with SinkProcess() as process:
        yield process


@pytest.mark.parametrize("work", list(WORK))
def test_a_cell_delivers_every_run(sink: SinkProcess, work: str) -> None:
    """Our handler's cell finishes with all of its runs at the sink and all figures above zero."""
    command = [sys.executable, "-m", "benchmarks.cell", "ours", work, "--url", sink.url, "--runs", "4"]

    done = subprocess.run(command, cwd=peers.ROOT, capture_output=True, text=True, check=True, timeout=60)

    figures = json.loads(done.stdout)
    assert sink.count()["runs"] == 4
    assert min(figures["wall"], figures["cpu"], figures["peak_mb"]) > 0


def test_the_sink_counts_runs_in_packed_and_chunked_bodies(sink: SinkProcess) -> None:
    """A run is counted once, however its marks are encoded and however often they arrive."""
    clear(sink.url)
    packed = gzip.compress(b"@000001@ and @000002@")
    urlopen(Request(f"{sink.url}/batch/", packed, {"Content-Encoding": "gzip"})).read()
    urlopen(Request(f"{sink.url}/v1/traces", iter([b"@0000", b"02@", b"@000003@"]))).read()

    assert sink.count() == {"requests": 2, "bytes": len(packed) + 16, "runs": 3}


def test_the_ratio_is_that_of_the_best_peer(capsys: pytest.CaptureFixture[str]) -> None:
    """Costs are per event, less those without a handler; the ratio compares with the cheapest peer."""
    cells = {("none", "a"): [{"wall": 1.0}], ("ours", "a"): [{"wall": 1.1}], ("langsmith", "a"): [{"wall": 3.0}],
             ("posthog", "a"): [{"wall": 2.0}]}  # fmt: skip
    handlers = ["none", "ours", "langsmith", "posthog"]

    peers.Tables(cells, handlers, ["a"], {"a": 100_000}, {"a": 10}).per_event("title", "wall", "wall")

    assert capsys.readouterr().out.splitlines()[4:] == [
        "|---|---|",
        "| ours | 0.1 (0.1) |",
        "| langsmith | 2.0 (2.0) |",
        "| posthog | 1.0 (1.0) |",
        "| **best peer / ours** | **10.0** (10.0) |",
    ]


def test_hooks_are_recorded_and_played_back_as_another_run() -> None:
    """Each hook is called with new ids, consistently replaced."""
    calls = recorded("a")
    again = hooks.with_new_ids(calls)

    step = ["on_chain_start", "on_chain_end"]
    assert [name for name, _, _ in again] == [
        "on_chain_start", *step, "on_chat_model_start", "on_llm_end", *step, "on_chain_end",
    ]  # fmt: skip
    parents = [kwargs["parent_run_id"] for _, _, kwargs in again]
    assert parents == [None, *[again[0][2]["run_id"]] * 6, None]
    assert {kwargs["run_id"] for _, _, kwargs in again}.isdisjoint(kwargs["run_id"] for _, _, kwargs in calls)


def test_peers_are_held_to_no_other_versions_than_the_constraints() -> None:
    """Otherwise their environment cannot be installed."""
    pinned, held = (
        {line.partition("==")[0]: line for line in file.read_text().splitlines() if "==" in line}
        for file in (peers.REQUIREMENTS, peers.CONSTRAINTS)
    )
    assert {name: line for name, line in pinned.items() if held.get(name, line) != line} == {}
