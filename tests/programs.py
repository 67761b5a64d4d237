"""How the tests start Python programs, and the environments of some of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Every warning is an error, except the one that langsmith, which LangChain imports, causes on Python 3.14.
STRICT = ("-W", "error", "-W", "ignore:'asyncio.iscoroutinefunction' is deprecated:DeprecationWarning")


def new_environment(folder: Path, *wanted: str) -> None:
    """Create a virtual environment and install into it, with this environment's pip: one of its own takes seconds."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", *wanted], check=True)
