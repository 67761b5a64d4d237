"""`coagent-langchain export [SESSION]`: write a session's entries as they were logged."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from coagent_langchain.cli.session import Client, chosen, server_option, session_argument
from coagent_langchain.errors import CoagentError
from coagent_langchain.server.jsontext import on_one_line, split
from coagent_langchain.texts import counted


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "export",
        help="write a session as JSON lines",
        description="Write a session's entries as JSON lines, each byte for byte as it was logged.",
        epilog="example:\n  coagent-langchain export | jq 'select(.event_type == \"error\")'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    session_argument(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write to a file instead of stdout")
    server_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the entries."""
    with Client(options.base_url) as client:
        session_id = chosen(client, options.session)
        entries = [entry for entry in split(client.get_logs_json(session_id).strip().encode()) if entry]
        if not entries:
            raise CoagentError(f"no session {session_id!r} on {client.base_url}")
    lines = b"".join(on_one_line(entry) + b"\n" for entry in entries)
    if options.output is None:
        sys.stdout.buffer.write(lines)
        return 0
    try:
        options.output.write_bytes(lines)
    except OSError as error:
        raise CoagentError(f"cannot write {options.output}: {error.strerror}") from error
    print(f"{counted(len(entries), 'event')} written to {options.output}", file=sys.stderr)
    return 0
