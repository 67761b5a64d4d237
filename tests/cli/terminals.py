"""Commands in a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys


def terminal(base_url: str, *arguments: str, **environ: str) -> str:
    """The output of a command in a terminal."""
    master, slave = pty.openpty()
    environment = {**os.environ, "COAGENT_BASE_URL": base_url, "COLUMNS": "100", "TERM": "xterm", **environ}
    process = subprocess.Popen(
        [sys.executable, "-m", "coagent_langchain", *arguments], stdout=slave, stdin=slave, env=environment
    )
    os.close(slave)
    written = b""
    try:
        while piece := os.read(master, 65536):
            written += piece
    except OSError:
        pass  # how Linux reports that the terminal is closed
    os.close(master)
    assert process.wait(timeout=30) == 0
    return written.decode()
