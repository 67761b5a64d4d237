"""`coagent-langchain spool status | flush | rejected`: the queue on disk without the application."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from coagent_langchain.config import Settings
from coagent_langchain.delivery.adoption import segments_by_owner, waiting_lines
from coagent_langchain.delivery.rejected import rejected_entries
from coagent_langchain.delivery.spooled import age_of
from coagent_langchain.delivery.transport import public_url

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    """Add the command `spool`.

    Parameters:
        subparsers: of the command line; each command sets `run`, a function from the arguments to the exit status.
    """
    spool = subparsers.add_parser("spool", help="look at events that wait for a server, or send them")
    add_commands(spool)


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add `status`, `flush` and `rejected` to a parser."""
    commands = parser.add_subparsers(required=True, metavar="status | flush | rejected")
    status = commands.add_parser("status", help="how many events wait, for which server, since when")
    status.set_defaults(run=run_status)
    flush = commands.add_parser("flush", help="send what ended applications left behind to COAGENT_BASE_URL")
    flush.add_argument("--base-url", help="the server (default: COAGENT_BASE_URL)")
    flush.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="give up then (default: 60)")
    flush.set_defaults(run=run_flush)
    rejected = commands.add_parser("rejected", help="print the events that a server refused, with its reason")
    rejected.set_defaults(run=run_rejected)
    for command in (status, flush, rejected):
        command.add_argument(
            "--spool-dir", help="the folder (default: COAGENT_SPOOL_DIR, else the user's state folder)"
        )


def run_status(arguments: argparse.Namespace) -> int:
    """Print a line for each destination."""
    empty = True
    for folder in _destinations(arguments):
        paths = [path for paths in segments_by_owner(folder).values() for path in paths]
        count, size, oldest = 0, 0, 0.0
        for line in (line for path in paths for line in _lines(path)):
            oldest = oldest if count else age_of(line) or 0.0
            count, size = count + 1, size + len(line) + 1
        rejected = sum(1 for _ in rejected_entries(folder))
        if count or rejected:
            empty = False
            print(f"{folder.name}: {count} events wait ({size / 1e6:.1f} MB, the oldest for {_span(oldest)}), "
                  f"{rejected} rejected")  # fmt: skip
    if empty:
        print("no events wait")
    return 0


def run_flush(arguments: argparse.Namespace) -> int:
    """Send what dead processes left for the server; 0 when nothing of it is left."""
    from coagent_langchain.delivery.leftovers import send_leftovers  # late: it brings the network with it

    settings = _settings(arguments, base_url=arguments.base_url)
    if settings.spool_dir is None:
        print("the spool is off", file=sys.stderr)
        return 1
    flushed = send_leftovers(settings, arguments.timeout)
    print(f"{flushed.sent} events sent to {public_url(settings.base_url)}, {flushed.rejected} rejected")
    if flushed.problem:
        print(f"not finished: {flushed.problem}", file=sys.stderr)
    return int(bool(flushed.problem))


def run_rejected(arguments: argparse.Namespace) -> int:
    """Print each rejected event as a line of JSON, with `time`, `reason` and `entry`."""
    for folder in _destinations(arguments):
        for record in rejected_entries(folder):
            print(orjson.dumps(record).decode())
    return 0


def _settings(arguments: argparse.Namespace, **more: Any) -> Settings:
    return Settings.load(spool_dir=arguments.spool_dir, **more)


def _destinations(arguments: argparse.Namespace) -> list[Path]:
    spool_dir = _settings(arguments).spool_dir
    return sorted(path for path in spool_dir.iterdir() if path.is_dir()) if spool_dir and spool_dir.is_dir() else []


def _lines(path: Path) -> Iterator[bytes]:
    try:
        yield from waiting_lines(path)
    except OSError:  # sent and removed in this moment, or not readable
        return


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def main() -> int:
    """Run the command `spool` alone."""
    parser = argparse.ArgumentParser(prog="coagent-langchain spool")
    add_commands(parser)
    arguments = parser.parse_args()
    return int(arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
