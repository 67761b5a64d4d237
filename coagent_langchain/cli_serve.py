"""`coagent-langchain serve` and `prune`."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import platformdirs

from coagent_langchain.errors import ConfigurationError

PORT = 3000
UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def default_store() -> str:
    """The address of the user's own store, e.g. `sqlite:////home/me/.local/share/coagent-langchain/coagent.db`."""
    folder: Path = platformdirs.user_data_path("coagent-langchain")
    return f"sqlite://{folder / 'coagent.db'}"


def add_parser(subparsers: Any) -> None:
    """Add `serve` and `prune` to the command line's subcommands."""
    serve = subparsers.add_parser(
        "serve",
        help="run a CoAgent server and its log viewer",
        description="Run a CoAgent server: the API that handlers and clients log to, and the log viewer, until Ctrl-C.",
    )
    serve.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; beyond this machine a token is needed"
    )
    serve.add_argument("--port", type=int, default=PORT, help="port to listen on (default: %(default)s)")
    serve.add_argument("--token", default=os.environ.get("COAGENT_AUTH_TOKEN"), help="bearer token that clients send")
    prune = subparsers.add_parser("prune", help="delete old sessions")
    prune.add_argument("--older-than", type=age, required=True, metavar="AGE", help="e.g. 30d, 12h, 2w")
    for parser in (serve, prune):
        parser.add_argument("--store", default=None, metavar="URL", help=f"default: {default_store()}")
    serve.set_defaults(run=run_serve)
    prune.set_defaults(run=run_prune)


def age(text: str) -> int:
    """Milliseconds of `30d`, `12h`, `45m` or `2w`.

    Raises:
        argparse.ArgumentTypeError: it is none of these.
    """
    found = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age such as 30d, 12h, 45m or 2w")
    return int(found[1]) * UNITS[found[2]] * 1000


def run_serve(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    from coagent_langchain import server

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        running = server.launch(args.store or default_store(), host=args.host, port=args.port, token=args.token)
    except ConfigurationError as error:
        print(f"coagent-langchain: {error}", file=sys.stderr)
        return 2
    with running:
        print(f"Log viewer: {running.login_url() if args.token else running.url}")
        print(f"API:        {running.base_url}")
        print(f"Store:      {re.sub(r'//[^@/]*@', '//', args.store or default_store())}", flush=True)
        stop.wait()
    return 0


def run_prune(args: argparse.Namespace) -> int:
    """Delete sessions whose last entry is older than `--older-than`."""
    from coagent_langchain import server

    try:
        pruned = server.prune(args.store or default_store(), int(time.time() * 1000) - args.older_than)
    except ConfigurationError as error:
        print(f"coagent-langchain: {error}", file=sys.stderr)
        return 2
    print(f"deleted {pruned.sessions} sessions with {pruned.entries} entries")
    return 0
