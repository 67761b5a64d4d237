"""Programs that have a delivery, for the tests of what the lifetimes of processes do to it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

from tests.faulty_server import FaultyServer

# Python 3.12 and later warn if a process with threads forks (pyproject.toml has the same for the tests themselves).
PYTHON = [sys.executable, "-W", "ignore:This process:DeprecationWarning"]

PROGRAM = """
import os, signal, sys, threading, time
from pathlib import Path
from coagent_langchain.config import Settings
from coagent_langchain.delivery import delivery_for
from tests.delivery_parts import append_each, ids, line

delivery = delivery_for(Settings(base_url=sys.argv[1], spool_dir=Path(sys.argv[2]), exit_timeout=float(sys.argv[3])))
"""


def run(server: FaultyServer, folder: Path, code: str, exit_timeout: float = 2.0) -> tuple[int, float, str]:
    """Run a program that has a `delivery`; returns its exit status, duration in seconds and stderr."""
    program = PROGRAM + textwrap.dedent(code)
    started = time.monotonic()
    command = [*PYTHON, "-c", program, server.base_url, str(folder), str(exit_timeout)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, time.monotonic() - started, ended.stderr
