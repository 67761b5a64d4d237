"""`coagent-langchain serve` and `prune`."""

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import platformdirs

PORT = 3000
UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def default_store() -> str:
    """The address of the user's own store, e.g. `sqlite:///home/me/.local/share/coagent-langchain/coagent.db`."""
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
        "--host", default="127.0.0.1", help="address to listen on; one that other machines can reach needs a token"
    )
    serve.add_argument("--port", type=port_number, default=PORT, help="port to listen on (default: %(default)s)")
    serve.add_argument("--token", default=os.environ.get("COAGENT_AUTH_TOKEN"), help="bearer token that clients send")
    prune = subparsers.add_parser(
        "prune",
        help="delete old sessions",
        description="Delete every session whose last event is older, whether a server is running or not.",
        epilog="example: coagent-langchain prune --older-than 30d",
    )
    prune.add_argument("--older-than", type=age, required=True, metavar="AGE", help="e.g. 30d, 12h, 2w")
    for parser in (serve, prune):
        parser.add_argument(
            "--store",
            type=store_address,
            default=default_store(),
            metavar="URL",
            help="where sessions are kept: sqlite:// and an absolute path (sqlite:///var/lib/coagent.db is the file "
            "/var/lib/coagent.db), clickhouse://USER:PASSWORD@HOST:8123/DATABASE, chdb:///PATH (default: %(default)s)",
        )
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


def port_number(text: str) -> int:
    """A port's number; 0 takes a free one.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"port must be from 0 to 65535, not {text}")
    return int(text)


def store_address(text: str) -> str:
    """The address with the slashes that it needs: `sqlite:////x` is `/x`, and would be shown as `//x`."""
    return re.sub("^sqlite:/{3,}", "sqlite:///", text)


def silence_clickhouse() -> None:
    """Keep its library's log lines off the terminal: what is wrong is told by the error that follows."""
    logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())


def run_serve(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    from coagent_langchain import server

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    silence_clickhouse()
    with server.launch(args.store, host=args.host, port=args.port, token=args.token) as running:
        print(f"Log viewer: {_named(running.login_url() if args.token else running.url)}")
        print(f"API:        {_named(running.base_url)}")
        print(f"Store:      {server.public_address(args.store)}", flush=True)
        stop.wait()
    return 0


def _named(url: str) -> str:
    """The address with this machine's name where it says "every address", which leads nobody here."""
    return re.sub(r"//(0\.0\.0\.0|\[::\]):", f"//{socket.gethostname()}:", url)


def run_prune(args: argparse.Namespace) -> int:
    """Delete sessions whose last entry is older than `--older-than`."""
    from coagent_langchain import server

    silence_clickhouse()
    pruned = server.prune(args.store, int(time.time() * 1000) - args.older_than)
    print(f"deleted {pruned.sessions} sessions with {pruned.entries} entries")
    return 0
