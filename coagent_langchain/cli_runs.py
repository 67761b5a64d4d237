"""`coagent-langchain runs`: the sessions that a server has."""

from __future__ import annotations

import argparse
import json
import sys

from coagent_langchain.cli_text import local_time, paint, table
from coagent_langchain.client import CoagentClient
from coagent_langchain.logged import RunSummary
from coagent_langchain.server.formats import duration, visible


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "runs",
        help="list the sessions of a server",
        description="List the sessions of a server, the newest first.",
        epilog="example: coagent-langchain runs --limit 5",
    )
    connection_options(parser)
    parser.add_argument(
        "--limit", type=_count, default=20, metavar="N", help="so many at most, 0 for all (default: 20)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--ids", action="store_true", help="print the ids only, one a line")
    parser.set_defaults(run=run)


def connection_options(parser: argparse.ArgumentParser) -> None:
    """Add what every command needs that reads from a server."""
    parser.add_argument(
        "--base-url",
        metavar="URL",
        help="the server's API (default: COAGENT_BASE_URL, else http://localhost:3000/api/v1)",
    )


def connect(options: argparse.Namespace) -> CoagentClient:
    """The client for these options; one repetition, because a person waits."""
    return CoagentClient(options.base_url, max_retries=1)


def run(options: argparse.Namespace) -> int:
    """Print the sessions."""
    with connect(options) as client:
        found = sorted(client.summarize(), key=lambda each: each.start_timestamp, reverse=True)
    shown = found[: options.limit or None]
    if options.json:
        print(json.dumps([each.model_dump() for each in shown], indent=2))
    elif options.ids:
        print("\n".join(visible(each.run_id) if sys.stdout.isatty() else each.run_id for each in shown))
    elif not found:
        print("No sessions yet. See 'coagent-langchain demo', or add a CoagentCallbackHandler to a chain.")
    else:
        rows = [_row(each) for each in shown]
        print(table(("SESSION", "STARTED", "LASTED", "EVENTS"), rows, right=("LASTED", "EVENTS")))
        if len(shown) < len(found):
            print(paint(f"… and {len(found) - len(shown)} older ones: --limit 0 shows all", "dim"))
    return 0


def _row(each: RunSummary) -> tuple[str, str, str, str]:
    lasted = duration(each.end_timestamp - each.start_timestamp)
    return visible(each.run_id), local_time(each.start_timestamp), lasted, str(each.log_count)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, not {text!r}")
    return int(text)
