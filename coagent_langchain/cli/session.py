"""What the commands that read from a server share: how to reach it, and which session is meant."""

from __future__ import annotations

import argparse
from typing import Any

from coagent_langchain.cli.text import argument, notice, one_line
from coagent_langchain.client import CoagentClient
from coagent_langchain.config import Settings
from coagent_langchain.errors import CoagentError
from coagent_langchain.texts import counted

ANSWER = 15.0  # seconds within which a server must respond
CANDIDATES = 5  # ids at most that are named if several match


def server_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of every command that connects to a server."""
    parser.add_argument(
        "--base-url",
        type=argument(lambda given: Settings.load({}, base_url=given).base_url),
        metavar="URL",
        help="the server's API (default: COAGENT_BASE_URL, else http://localhost:3000/api/v1)",
    )


class Client(CoagentClient):
    """A client for interactive use: it says which server it is waiting for, and gives up within half a minute."""

    def __init__(self, base_url: str | None) -> None:
        super().__init__(base_url, timeout=ANSWER, max_retries=1)

    def _get(self, path: str, params: dict[str, str] | None = None) -> tuple[Any, str]:
        with notice(f"waiting for {self.base_url} to answer"):
            return super()._get(path, params)


def session_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument of every command that reads one session."""
    parser.add_argument(
        "session",
        nargs="?",
        metavar="SESSION",
        help="the session's id, or a unique prefix of it; see 'coagent-langchain runs' (default: the newest session)",
    )


def chosen(client: CoagentClient, given: str | None) -> str:
    """The id of the session that is meant; the newest if none is given, and `given` itself if no id begins with it.

    Raises:
        CoagentError: there is no session, or several ids begin with it.
    """
    if given is None:
        return newest(client)
    ids = client.get_runs()
    found = [given] if given in ids else [each for each in ids if each.startswith(given)]
    if len(found) > 1:
        some = ", ".join(map(one_line, found[: -CANDIDATES - 1 : -1])) + (", …" if len(found) > CANDIDATES else "")
        raise CoagentError(f"{given!r} matches {counted(len(found), 'session')}: {some}")
    return found[0] if found else given


def newest(client: CoagentClient) -> str:
    """The id of the session that started last.

    Raises:
        CoagentError: there is no session.
    """
    if not (runs := client.summarize(newest=1)):
        raise CoagentError(f"no sessions yet on {client.base_url}")
    return runs[0].run_id
