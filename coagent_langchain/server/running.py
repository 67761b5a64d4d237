"""A running server: uvicorn in a thread of this process."""

from __future__ import annotations

import asyncio
import errno
import socket
import tempfile
import threading
from contextlib import ExitStack, closing, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Self

import uvicorn

from coagent_langchain.config import check_token, is_loopback
from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.app import build
from coagent_langchain.server.notices import Notices
from coagent_langchain.server.protocol import Protocol
from coagent_langchain.server.security import LOOPBACK
from coagent_langchain.server.store import Store
from coagent_langchain.server.store_address import open_store

GRACE = 2  # seconds that requests in progress have when the server closes
ACCEPTING = 4  # turns of the event loop from accepting a connection to having a protocol for it
START = 10.0  # seconds to wait for the event loop to run


class Running:
    """A running server; a context manager that closes it.

    Attributes:
        url: the viewer's address, `http://127.0.0.1:PORT`.
        base_url: the API's address, for `CoagentClient` and the handler.
        store: the store behind it.
    """

    def __init__(self, store: Store, sock: socket.socket, token: str | None, resources: ExitStack) -> None:
        host, port = sock.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{port}"
        self.base_url = f"{self.url}/api/v1"
        self.store = store
        self._closing = threading.Event()
        self._app = build(store, self._closing, token=token, hosts=() if token else (*LOOPBACK, name))
        config = uvicorn.Config(self._app, log_config=None, access_log=False, lifespan="off", ws="none",
                                timeout_graceful_shutdown=GRACE, server_header=False, http=Protocol)  # fmt: skip
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [sock]}, name="coagent-server", daemon=True
        )
        self._thread.start()
        self._resources = resources.pop_all()  # from now on, `close` closes them
        self._server.ready.wait(START)

    def login_url(self) -> str:
        """An address that opens the viewer once without asking for the token; the browser keeps a cookie."""
        return f"{self.url}/?ticket={self._app.ticket()}"

    def close(self) -> None:
        """Finish requests in progress, store queued entries, and stop. Closing again does nothing."""
        self._closing.set()
        self._server.end()
        self._thread.join()
        self._resources.close()

    def _repr_html_(self) -> str:
        """A link, for notebooks."""
        return f'<a href="{self.url}" target="_blank">{self.url}</a>'

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Server(uvicorn.Server):
    """A uvicorn server that signals when it is ready and waits for an event to stop, instead of polling every 0.1 s."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._ending = asyncio.Event()
        self._notices = Notices()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._contain)
        await super().startup(sockets)
        self.ready.set()

    def end(self) -> None:
        """Begin the shutdown, from another thread."""
        self.should_exit = True
        if self.ready.is_set():
            with suppress(RuntimeError):  # the loop is already closed
                self._loop.call_soon_threadsafe(self._ending.set)

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # updates the Date header of responses
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down, with uvicorn's pauses only if a request is in progress."""
        for listening in chain.from_iterable(server.sockets for server in self.servers):
            self._loop.remove_reader(listening)
        for _ in range(ACCEPTING):
            await asyncio.sleep(0)
        for server in self.servers:  # only now: asyncio forgets a socket that is accepted but not yet a connection
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0)  # lets connections without a request close
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            await asyncio.gather(*self.server_state.tasks, return_exceptions=True)
            for connection in list(self.server_state.connections):  # to clients that do not read
                connection.transport.abort()
            await asyncio.sleep(0)

    def _contain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log once a minute that no more files can be opened: asyncio would log 2,000 tracebacks a second."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            reason = f"{error.strerror} (`ulimit -n` limits their number)"
            self._notices.report_problem(f"connections are kept waiting: {reason}")
        elif not (self.should_exit and isinstance(error, ValueError)):  # asyncio's retry to accept, on a closed socket
            loop.default_exception_handler(context)


def start(store: Store | str | None, *, port: int, host: str, token: str | None) -> Running:
    """See `coagent_langchain.server.launch`."""
    if token:
        check_token(token, "token")  # the same check as in clients, which would never send an invalid token
    elif not is_loopback(host):
        raise ConfigurationError(
            f"{host} is reachable from other machines, and anyone who reaches it could read everything: "
            "set a token (--token or COAGENT_AUTH_TOKEN; in Python, token=), or stay on 127.0.0.1"
        )
    with ExitStack() as resources:
        if store is None:
            folder = resources.enter_context(tempfile.TemporaryDirectory(prefix="coagent-"))
            store = f"sqlite://{folder}/coagent.db"
        if isinstance(store, str | Path | int):  # before the port: a wrong store fails on any port
            store = resources.enter_context(closing(open_store(str(store))))  # refuses a path or port, with advice
        sock = resources.enter_context(listen(host, port))
        resources.callback(store.close)  # from here on, also closes a store that was passed in
        return Running(store, sock, token, resources)


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Raises:
        ConfigurationError: the port is taken or is not one, or the host is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with an explicit protocol: otherwise asyncio leaves Nagle's algorithm on, and responses wait 40 ms for an ACK
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)
    except (OSError, OverflowError, TypeError) as error:
        sock.close()
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"cannot listen on {host}:{port}: {reason}{_advice(error, port)}") from error
    return sock


def _advice(error: Exception, port: int) -> str:
    """Advice about an address that the server cannot listen on."""
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f". `ss -ltnp sport = :{port}` shows what uses it; choose another port"
    if number == errno.EACCES:
        return ". Low ports need root; choose another port"
    if isinstance(error, socket.gaierror) or number == errno.EADDRNOTAVAIL:
        return ". The host must be a name or an address of this machine"
    return ""
