"""LangGraph reports breakpoints only to a `GraphCallbackHandler`: a handler becomes one once LangGraph is loaded."""

from __future__ import annotations

import sys
import weakref
from typing import Any

waiting: set[weakref.ref[Any]] = set()  # handlers that were created before LangGraph was loaded
_joined: dict[type, type] = {}


def join(handler: Any) -> None:
    """Make `handler` a `GraphCallbackHandler`; if LangGraph is not loaded yet, it waits for `join_waiting`."""
    base = _base()
    if base is None:
        waiting.add(weakref.ref(handler, waiting.discard))
        return
    cls = type(handler)
    if not issubclass(cls, base):
        if cls not in _joined:
            _joined[cls] = type(
                cls.__name__, (cls, base), {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
            )
        handler.__class__ = _joined[cls]


def join_waiting() -> None:
    """Join the handlers that wait, if LangGraph is loaded by now."""
    if _base() is None:
        return
    for reference in tuple(waiting):
        if (handler := reference()) is not None:
            join(handler)
        waiting.discard(reference)


def own_class(handler: object) -> type:
    """The class that `handler` was created with."""
    cls = type(handler)
    return cls.__mro__[1] if cls in _joined.values() else cls


def _base() -> type | None:
    return getattr(sys.modules.get("langgraph.callbacks"), "GraphCallbackHandler", None)
