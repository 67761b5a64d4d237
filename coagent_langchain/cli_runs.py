"""`coagent-langchain runs`: the sessions that a server has."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from coagent_langchain.cli_text import cells, fit, local_time, paint, table, width
from coagent_langchain.client import CoagentClient
from coagent_langchain.logged import RunSummary
from coagent_langchain.server.formats import count, duration, preview, visible

HEAD = ("SESSION", "STARTED", "LASTED", "EVENTS", "STATUS", "TOKENS", "ERRORS")
BASIC = 4  # columns that every server fills
ID, TITLE = 40, 20  # columns of an id at most, of a title at least


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
        print(json.dumps([each.model_dump(exclude_none=True) for each in shown], indent=2))
    elif options.ids:
        print("\n".join(visible(each.run_id) if sys.stdout.isatty() else each.run_id for each in shown))
    elif not found:
        print("No sessions yet. See 'coagent-langchain demo', or add a CoagentCallbackHandler to a chain.")
    else:
        print("\n".join(_lines(shown)))
        if len(shown) < len(found):
            print(paint(f"… and {len(found) - len(shown)} older ones: --limit 0 shows all", "dim"))
    return 0


def _lines(runs: list[RunSummary]) -> Iterator[str]:
    """The table; of a server that tells no more than ids, times and counts, those columns alone."""
    told = any(each.status is not None for each in runs)
    columns = len(HEAD) if told else BASIC
    rows = [_row(each)[:columns] for each in runs]
    head, *lines = table(HEAD[:columns], rows, right=("LASTED", "EVENTS", "TOKENS", "ERRORS")).splitlines()
    room = max(width() - cells(lines[0]) - 2, TITLE)
    yield head + (paint("  TITLE", "dim") if told else "")
    for each, line in zip(runs, lines, strict=True):
        yield f"{line}  {fit(preview(each.title or ''), room)}".rstrip()


def _row(each: RunSummary) -> tuple[str, ...]:
    name = visible(each.run_id)
    return (
        fit(name, min(cells(name), ID)),
        local_time(each.start_timestamp),
        duration(each.end_timestamp - each.start_timestamp),
        str(each.log_count),
        each.status or "",
        count(each.total_tokens),
        count(each.errors),
    )


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, not {text!r}")
    return int(text)
