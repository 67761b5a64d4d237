"""`coagent-langchain prune`: old sessions deleted."""

from __future__ import annotations

import argparse
import re
import time

from coagent_langchain.cli_serve import silence_clickhouse, store_option
from coagent_langchain.texts import counted

UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "prune",
        help="delete old sessions",
        description="Delete every session whose last event is older, whether a server is running or not.",
        epilog="example: coagent-langchain prune --older-than 30d",
    )
    parser.add_argument("--older-than", type=age, required=True, metavar="AGE", help="e.g. 30d, 12h, 2w")
    store_option(parser)
    parser.set_defaults(run=run)


def age(text: str) -> int:
    """Milliseconds of `30d`, `12h`, `45m` or `2w`.

    Raises:
        argparse.ArgumentTypeError: it is none of these.
    """
    found = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age such as 30d, 12h, 45m or 2w")
    return int(found[1]) * UNITS[found[2]] * 1000


def run(options: argparse.Namespace) -> int:
    """Delete sessions whose last entry is older than `--older-than`."""
    from coagent_langchain import server

    silence_clickhouse()
    pruned = server.prune(options.store, int(time.time() * 1000) - options.older_than)
    print(f"deleted {counted(pruned.sessions, 'session')} with {counted(pruned.entries, 'entry')}")
    return 0
