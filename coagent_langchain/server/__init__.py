"""The embedded CoAgent server: JSON API, store and log viewer (extra `server`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.store_address import open_beside, open_store
from coagent_langchain.texts import install

if TYPE_CHECKING:
    from coagent_langchain.server.running import Running as Running
    from coagent_langchain.server.store import Store

__all__ = ["launch", "open_beside", "open_store"]


def launch(
    store: Store | str | None = None, *, port: int = 0, host: str = "127.0.0.1", token: str | None = None
) -> Running:
    """Start a server inside this process, in a thread, without signal handlers or logging of its own.

    Parameters:
        store: a store (the server closes it), its address (see `open_store`), or None for a temporary one that ends
            with the server.
        port: 0 chooses a free one.
        host: an address of this machine; any but loopback requires a token.
        token: bearer token that every request must have, or None.

    Returns:
        A context manager with `url`, `base_url` and `close()`.

    Raises:
        ConfigurationError: the extra is not installed, the port is taken, the store cannot be used, or a token is
            missing or cannot be sent.
    """
    try:
        from coagent_langchain.server import running
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"the server needs {error.name}: {install('server')}") from error
    return running.start(store, port=port, host=host, token=token)
