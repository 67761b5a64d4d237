"""`coagent-langchain export [SESSION]`: write a session's entries as they were logged."""

from __future__ import annotations

import argparse
import sys

from coagent_langchain.cli.session import Client, chosen, server_option, session_argument
from coagent_langchain.errors import CoagentError
from coagent_langchain.server.jsontext import on_one_line, split


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
    server_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the entries."""
    with Client(options.base_url) as client:
        session_id = chosen(client, options.session)
        entries = [entry for entry in split(client.get_logs_json(session_id).strip().encode()) if entry]
        if not entries:
            raise CoagentError(f"no session {session_id!r} on {client.base_url}")
    sys.stdout.buffer.write(b"".join(on_one_line(entry) + b"\n" for entry in entries))
    return 0
