"""`coagent-langchain serve`: run a server and its log viewer."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import queue
import re
import signal
import socket
from collections.abc import Iterator

from coagent_langchain.cli.store import make_own_folder, silence_clickhouse, store_option
from coagent_langchain.cli.text import argument
from coagent_langchain.config import VARIABLES, Settings, check_token
from coagent_langchain.errors import ConfigurationError, logger
from coagent_langchain.server.store_address import public_address

PORT = 3000


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "serve",
        help="run a CoAgent server and its log viewer",
        description="Run a CoAgent server: the API that handlers and clients log to, and the log viewer, until Ctrl-C.",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; one that other machines can reach needs a token (default: %(default)s)",
    )
    parser.add_argument("--port", type=port_number, default=PORT, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--token",
        type=argument(lambda given: check_token(given, "it")),
        help="bearer token that clients must send (default: COAGENT_AUTH_TOKEN)",
    )
    store_option(parser)
    parser.set_defaults(run=run)


def port_number(text: str) -> int:
    """A port number; 0 stands for any free port.

    Raises:
        argparse.ArgumentTypeError: it is not a port number.
    """
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"port must be from 0 to 65535, not {text}")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    from coagent_langchain import server

    host, port, token = options.host, options.port, _token(options.token)
    # Not an `Event`: of two signals at once, the second handler would wait for the lock that the first one holds.
    stop: queue.SimpleQueue[None] = queue.SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.put(None))
    silence_clickhouse()
    try:
        make_own_folder(options.store)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}. Choose another place with --store") from error
    with _log_shown(), server.launch(options.store, host=host, port=port, token=token) as running:
        print(f"Log viewer: {_named(running.login_url() if token else running.url)}")
        print(f"API:        {_named(running.base_url)}")
        print(f"Store:      {public_address(options.store)}", flush=True)
        stop.get()
    return 0


def _token(given: str | None) -> str | None:
    """The token that was given, else the variable's; the other variables are for clients, and not checked."""
    variable = VARIABLES["auth_token"]
    return Settings.load({variable: os.environ.get(variable, "")}, auth_token=given).auth_token


@contextlib.contextmanager
def _log_shown() -> Iterator[None]:
    """Write the server's own log messages to stderr, but not those of its libraries."""
    shown = logging.StreamHandler()
    shown.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(shown)
    try:
        yield
    finally:
        logger.removeHandler(shown)


def _named(url: str) -> str:
    """The URL with this machine's name in place of a wildcard address, which other machines cannot open."""
    return re.sub(r"//(0\.0\.0\.0|\[::\]):", f"//{socket.gethostname()}:", url)
