"""What LangChain's own context says about the run around the current call.

Children of `with_fallbacks`, and nested calls that pass the handler again, arrive without the id of their true parent;
session ids in `configurable` do not reach handlers at all. Both are in the config that LangChain keeps for child runs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from coagent_langchain.wire import MAX_SESSION_ID

_THREAD_IDS = (str, int, UUID)
SESSION_KEYS = ("session_id", "thread_id", "conversation_id", "langfuse_session_id")

_variable: Any = None


def config_around() -> Mapping[str, Any] | None:
    """The config of the run around this call; None if there is none."""
    global _variable
    if _variable is None:
        # Not imported, because it is heavy: whatever runs a runnable has loaded it.
        module = sys.modules.get("langchain_core.runnables.config")
        _variable = getattr(module, "var_child_runnable_config", None)
        if _variable is None:
            return None
    return _variable.get()  # type: ignore[no-any-return]


def run_around(config: Mapping[str, Any] | None) -> UUID | None:
    """The id of the run that a surrounding config is of: what is called now is its child."""
    return None if config is None else getattr(config.get("callbacks"), "parent_run_id", None)


def session_id(values: Mapping[str, Any] | None) -> str | None:
    """The session id in metadata or `configurable` values, if any."""
    if not values:
        return None
    for key in SESSION_KEYS:
        value = values.get(key)
        kind = type(value)  # not `isinstance`: it asks a lazy object for its class, which evaluates it
        if issubclass(kind, str) and value:
            return str.__str__(value)[:MAX_SESSION_ID]
        if issubclass(kind, (int, UUID)):
            return str(value)[:MAX_SESSION_ID]
    return None


def configurable(config: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The `configurable` values of a surrounding config, if any."""
    values = config.get("configurable") if config is not None else None
    return values if isinstance(values, Mapping) else None


def thread_id(values: Mapping[str, Any] | None) -> str | int | UUID | None:
    """LangGraph's `thread_id` in metadata or `configurable` values, if any."""
    thread = values.get("thread_id") if values else None
    return thread if issubclass(type(thread), _THREAD_IDS) else None
