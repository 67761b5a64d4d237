"""`coagent-langchain demo`: run the recipe agent, from the chain to the session's page."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
import threading
import uuid
from collections import Counter
from typing import TYPE_CHECKING

from coagent_langchain.cli.serve import PORT, port_number
from coagent_langchain.cli.store import VARIABLE, default_store, make_own_folder
from coagent_langchain.cli.text import own_command, paint, table
from coagent_langchain.client import CoagentClient
from coagent_langchain.errors import CoagentError, ConfigurationError
from coagent_langchain.http import on_one_line
from coagent_langchain.logged import LoggedEvent
from coagent_langchain.server.presentation.event_summary import EventSummary, summarize
from coagent_langchain.server.presentation.formats import duration, session_path, tokens
from coagent_langchain.texts import install

if TYPE_CHECKING:
    from coagent_langchain.cli.demo_model import ModelServer
    from coagent_langchain.server import Running
    from coagent_langchain.server.store import Store

FLUSH_TIMEOUT = 30.0  # seconds to wait until the demo's events are on the server
EXPECTED = Counter([
    ("session_start", 1, 0),
    ("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1),
    ("llm_call", 1, 2), ("llm_response", 1, 2), ("tool_call", 1, 2), ("tool_response", 1, 2),
    ("user_input", 2, 0), ("llm_call", 2, 1), ("llm_response", 2, 1),
    ("session_end", 2, 0),
])  # fmt: skip


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "demo",
        help="run a recipe agent and look at what it did",
        description="Start a server, run a recipe agent through LangChain's Ollama client, print the events that the "
        "server has received, and in a terminal serve the session's page until Ctrl-C.",
        epilog="Uses the Ollama at OLLAMA_HOST (default http://localhost:11434) if it runs and has llama3.2, else a "
        f"stand-in with fixed answers. Needs extras: {install('server,ollama')}",
    )
    parser.add_argument(
        "--port", type=port_number, help=f"port of the server (default: {PORT}, or a free one if it is taken)"
    )
    parser.add_argument("--no-serve", action="store_true", help="exit after printing the table")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the agent, show its events, serve the page."""
    try:
        from coagent_langchain import recipe_agent
    except ImportError as error:
        raise ConfigurationError(f"the demo needs {error.name}: {install('server,ollama')}") from None
    except ValueError as error:  # Ollama's client reads `OLLAMA_HOST` when it is imported
        given = os.environ.get("OLLAMA_HOST")
        raise ConfigurationError(f"OLLAMA_HOST must be an address, not {given!r}: {error}") from None
    from coagent_langchain.cli.demo_model import model_server

    _keep_proxies_away()
    store = _store()
    with _server(store, options.port) as server, model_server(recipe_agent.MODEL) as model:
        print(f"CoAgent server  {server.url}")
        print(f"Model           {model.name}" + (f" ({model.remark})" if model.remark else ""))
        session_id = f"recipe-agent-{uuid.uuid4().hex[:8]}"
        failure = _cook(server, model, session_id)
        with CoagentClient(server.base_url) as client:
            events = client.get_logs(session_id)
        print("\n" + _table(events))
        if missing := _missing(events):
            raise CoagentError(failure or f"events are missing on the server: {', '.join(missing)}")
        if not options.no_serve and sys.stdout.isatty():
            print(f"\nThe session's page: {paint(server.url + session_path(session_id), 'bold', 'green')}")
            print(paint("Serving until Ctrl-C.", "dim"))
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
            print()
        elif store:
            place = f" --store {shlex.quote(default_store())}" if os.environ.get(VARIABLE) else ""
            print(f"\nTo see session {session_id}: {own_command()} serve{place}")
    return 0


def _keep_proxies_away() -> None:
    """Let Ollama's client reach this machine directly: if `HTTP_PROXY` is set, it would use the proxy."""
    others = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, (others, "localhost,127.0.0.1")))


def _store() -> Store | None:
    """Open the user's own store; None if it cannot be used, e.g. because a server has it open."""
    from coagent_langchain import server

    try:
        make_own_folder(default_store())
        return server.open_store(default_store())
    except ConfigurationError as error:
        print(paint(f"{error}. This run goes into a temporary store.", "yellow"))
        return None


def _server(store: Store | None, port: int | None) -> Running:
    """Launch the embedded server on `port`; if None, on the usual port, or on a free one if that is taken."""
    from coagent_langchain import server

    if port is not None:
        return server.launch(store, port=port)
    with contextlib.suppress(ConfigurationError):
        return server.launch(store, port=PORT)
    running = server.launch(store, port=0)
    print(paint(f"Port {PORT} is taken: serving at {running.url} instead.", "yellow"))
    return running


def _cook(server: Running, model: ModelServer, session_id: str) -> str:
    """Run the agent and wait until its events are on the server, even after Ctrl-C.

    Returns:
        Why the model failed; "" if it did not.
    """
    from langchain_ollama import ChatOllama

    from coagent_langchain import CoagentCallbackHandler, recipe_agent

    handler = CoagentCallbackHandler(session_id, base_url=server.base_url)
    chat = ChatOllama(model=recipe_agent.MODEL, base_url=model.url)
    failure = ""
    try:
        recipe_agent.run(chat, handler, meta={"model_server": model.name})
    except Exception as error:  # noqa: BLE001 - whatever the model's client raises: its events are what matters here
        failure = f"the model failed: {on_one_line(str(error))}"
    finally:
        delivered = handler.flush(FLUSH_TIMEOUT)
    if not delivered:
        raise CoagentError(f"the server at {server.url} did not accept all events within {FLUSH_TIMEOUT:.0f} s")
    return failure


def _table(events: list[LoggedEvent]) -> str:
    rows = [_row(event, summarize(0, event.raw)) for event in events]
    return table(("PROMPT", "TURN", "TYPE", "WHO", "TOKENS", "TIME"), rows, right=("PROMPT", "TURN", "TOKENS", "TIME"))


def _row(event: LoggedEvent, summary: EventSummary) -> list[str]:
    took = "" if summary.ms is None else duration(summary.ms)
    used = tokens(summary.input, summary.output)
    return [str(summary.prompt), str(summary.turn), summary.type, _who(event), used, took]


def _who(event: LoggedEvent) -> str:
    meta = event.meta or {}
    if tool := event.tool_call or event.tool_response:
        return tool.tool_name or ""
    if event.llm_call:
        return event.llm_call.issuer or ""
    return str(meta.get("model") or ("user" if event.prompt else ""))


def _missing(events: list[LoggedEvent]) -> list[str]:
    found = Counter((str(e["event_type"]), e.prompt_number, e.turn_number) for e in events)
    return [f"{kind} (prompt {prompt}, turn {turn})" for kind, prompt, turn in sorted((EXPECTED - found).elements())]
