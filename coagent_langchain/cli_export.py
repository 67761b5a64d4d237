"""`coagent-langchain export SESSION`: a session's entries as they are on the wire."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import orjson

from coagent_langchain.cli_runs import connect, connection_options
from coagent_langchain.errors import CoagentError


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "export",
        help="write a session as JSON lines",
        description="Write a session's entries as JSON lines, each as it was logged.",
        epilog="example: coagent-langchain export SESSION | jq 'select(.event_type == \"error\")'",
    )
    parser.add_argument("session", metavar="SESSION", help="the session's id; see 'coagent-langchain runs'")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="a file instead of stdout")
    connection_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the entries."""
    with connect(options) as client:
        session = client.session(options.session)
    lines = b"".join(orjson.dumps(event.raw, option=orjson.OPT_APPEND_NEWLINE) for event in session)
    if options.output is None:
        sys.stdout.buffer.write(lines)
        return 0
    try:
        options.output.write_bytes(lines)
    except OSError as error:
        raise CoagentError(f"cannot write {options.output}: {error.strerror}") from error
    print(f"{len(session)} events written to {options.output}", file=sys.stderr)
    return 0
