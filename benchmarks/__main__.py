"""Run the benchmarks, each in a fresh process: `python -m benchmarks [name …]`; without a name all but `peers`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
KNOWN = {
    "import_time": "the cost of importing the package",
    "growth": "depth, width and history: linear at worst",
    "hooks": "the cost of each hook, hot and between LangChain's own work",
    "threads": "the cost of releasing the interpreter's lock for each line",
    "delivery": "the throughput of the queue on disk",
    "server": "events a second into the server",
    "stores": "SQLite beside ClickHouse (takes half an hour)",
    "viewer": "pages of large runs",
    "peers": "the handler beside its peers (`make bench-peers`; takes a quarter of an hour)",
}


def main() -> None:
    """Run the named benchmarks one after the other and print their tables."""
    listing = "\n".join(f"  {name:<12} {about}" for name, about in KNOWN.items())
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__, epilog=listing,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="name")
    names = parser.parse_args().names
    if unknown := sorted(set(names) - set(KNOWN)):
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(KNOWN)}")
    failed = []
    for name in names or [name for name in KNOWN if name != "peers"]:
        print(f"\n## {name}: {KNOWN[name]}\n", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
