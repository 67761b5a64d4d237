"""`coagent-langchain delete SESSION…`: delete single sessions."""

from __future__ import annotations

import argparse

from coagent_langchain.cli.store import opened_beside, store_option, tell
from coagent_langchain.errors import CoagentError
from coagent_langchain.server.store_address import public_address


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "delete",
        help="delete single sessions",
        description="Delete sessions with all their events, whether a server is running or not. If the store does not "
        "have all of them, none is deleted.",
        epilog="example: coagent-langchain delete recipe-agent-4f1c0a52",
    )
    parser.add_argument("sessions", nargs="+", metavar="SESSION", help="a complete id; see 'coagent-langchain runs'")
    store_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Delete the sessions."""
    with opened_beside(options.store) as store:
        if missing := {*options.sessions} - {each.run_id for each in store.summaries()}:
            raise CoagentError(f"no session {min(missing)!r} in {public_address(options.store)}")
        tell(store.delete(options.sessions))
    return 0
