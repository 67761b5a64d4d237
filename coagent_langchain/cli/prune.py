"""`coagent-langchain prune`: delete old sessions."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from coagent_langchain.cli.store import amount, opened_beside, store_option, tell
from coagent_langchain.cli.text import local_time, one_line, table
from coagent_langchain.wire import now_ms

if TYPE_CHECKING:
    from coagent_langchain.server.store.records import Summary

UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "prune",
        help="delete old sessions",
        description="Delete every session whose last event is older than AGE, whether a server is running or not.",
        epilog="example: coagent-langchain prune --older-than 30d --dry-run",
    )
    parser.add_argument("--older-than", type=age, required=True, metavar="AGE", help="e.g. 30d, 12h, 2w; m is minutes")
    parser.add_argument("--dry-run", action="store_true", help="only list the sessions that would be deleted")
    store_option(parser)
    parser.set_defaults(run=run)


def age(text: str) -> int:
    """Convert an age such as `30d`, `12h`, `45m` or `2w` to milliseconds.

    Raises:
        argparse.ArgumentTypeError: it is not an age.
    """
    found = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age such as 30d, 12h, 45m or 2w")
    return int(found[1]) * UNITS[found[2]] * 1000


def run(options: argparse.Namespace) -> int:
    """Delete sessions whose last entry is older than `--older-than`, or list them."""
    before_ms = now_ms() - options.older_than
    with opened_beside(options.store) as store:
        if options.dry_run:
            _list([each for each in store.summaries() if each.end_timestamp < before_ms])
        else:
            tell(store.prune(before_ms))
    return 0


def _list(old: list[Summary]) -> None:
    """Print the sessions that would be deleted, and how much that is."""
    if old:
        rows = [(one_line(each.run_id), local_time(each.end_timestamp), f"{each.log_count:,}") for each in old]
        print(table(("SESSION", "LAST EVENT", "EVENTS"), rows, right=("EVENTS",)) + "\n")
    print(f"would delete {amount(len(old), sum(each.log_count for each in old))}")
