"""Tracing: a handler on every chain of the process, without a change to any call."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from coagent_langchain.capture.handler import CoagentCallbackHandler, check_handler
from coagent_langchain.config import parse_bool

VARIABLE = "COAGENT_TRACING"


class _Everywhere:
    """Passes for a context variable in LangChain, but has one value for the whole process, in any thread."""

    def __init__(self) -> None:
        self.handlers: list[CoagentCallbackHandler] = []
        self._registered = False

    def get(self) -> CoagentCallbackHandler | None:
        """The handler that LangChain adds to a run that has none of ours."""
        return self.handlers[-1] if self.handlers else None

    def register(self) -> None:
        """Register with LangChain, once."""
        if not self._registered:
            from langchain_core.tracers.context import register_configure_hook

            self._registered = True
            register_configure_hook(cast("Any", self), inheritable=True, handle_class=CoagentCallbackHandler)


_everywhere = _Everywhere()


@contextmanager
def tracing(handler: CoagentCallbackHandler | None = None) -> Iterator[CoagentCallbackHandler]:
    """Log every run inside the block, in all threads of the process, as if it had `callbacks=[handler]`.

    Parameters:
        handler: what to attach; when None, a new `CoagentCallbackHandler()` whose sessions end with the block.

    Returns:
        a context manager that gives the handler.

    Raises:
        ConfigurationError: `handler` is not a handler, or an environment variable of the new one is invalid.
    """
    attached = CoagentCallbackHandler() if handler is None else handler
    check_handler(attached)
    _everywhere.register()
    _everywhere.handlers.append(attached)
    try:
        yield attached
    finally:
        _everywhere.handlers.remove(attached)
        if handler is None:
            attached._end_sessions()  # not `close`, which waits for the server


def enable() -> None:
    """Attach a handler for the life of the process if `COAGENT_TRACING` is true.

    Raises:
        ConfigurationError: the variable is neither true nor false, or another setting is wrong.
    """
    if parse_bool(os.environ.get(VARIABLE, ""), VARIABLE) and not _everywhere.handlers:
        _everywhere.register()
        _everywhere.handlers.append(CoagentCallbackHandler())
