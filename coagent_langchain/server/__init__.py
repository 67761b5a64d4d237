"""The embedded CoAgent server: JSON API, store and log viewer (extra `server`)."""

from __future__ import annotations

import socket
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from coagent_langchain.errors import ConfigurationError

if TYPE_CHECKING:
    from coagent_langchain.server.store import Store


class Running:
    """A server that runs in a thread of this process; a context manager that closes it.

    Attributes:
        url: the viewer's address, `http://127.0.0.1:PORT`.
        base_url: the API's address, for `CoagentClient` and the handler.
        store: the store behind it.
    """

    def __init__(self, store: Store, sock: socket.socket, token: str | None, folder: tempfile.TemporaryDirectory[str]
                 | None) -> None:  # fmt: skip
        import uvicorn

        from coagent_langchain.server.app import App

        host, port = sock.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self.base_url = f"{self.url}/api/v1"
        self.store = store
        self._folder = folder
        self.app = App(store, token=token)
        config = uvicorn.Config(self.app, log_config=None, access_log=False, lifespan="off", ws="none",
                                timeout_graceful_shutdown=2, server_header=False)  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [sock]}, name="coagent-server", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Answer what is under way, store what waits, stop. Closing again does nothing."""
        if self._thread.is_alive():
            self._server.should_exit = True
            self._thread.join()
            self.store.close()
            if self._folder is not None:
                self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def launch(
    store: Store | str | None = None, *, port: int = 0, host: str = "127.0.0.1", token: str | None = None
) -> Running:
    """Start a server inside this process.

    Parameters:
        store: a store, its address such as `sqlite:///PATH`, or None for a temporary one that ends with the server.
        port: 0 takes a free one.
        token: bearer token that every request needs, or None.

    Raises:
        ConfigurationError: the extra is not installed, the port is taken, or the store cannot be used.
    """
    sock = listen(host, port)
    folder = None
    if store is None:
        folder = tempfile.TemporaryDirectory(prefix="coagent-")
        store = f"sqlite:///{folder.name}/coagent.db"
    return Running(open_store(store) if isinstance(store, str) else store, sock, token, folder)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        ConfigurationError: the port is taken or the host is not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {error.strerror}. See who has it with 'ss -ltnp sport = :{port}', "
            "or choose another with --port"
        ) from error
    return sock


def open_store(address: str) -> Store:
    """The store of an address: `sqlite:///PATH`.

    Raises:
        ConfigurationError: the address is not one, or the store cannot be used.
    """
    scheme, separator, path = address.partition("://")
    if scheme == "sqlite" and separator and path.startswith("/") and len(path) > 1:
        from coagent_langchain.server.store.sqlite import SqliteStore

        return SqliteStore(Path(path[1:] if path.startswith("/~") else path).expanduser())
    raise ConfigurationError(f"--store must be sqlite:///PATH, clickhouse://… or chdb:///PATH, not {address!r}")
