"""See what your LangChain and LangGraph agents did, as CoAgent log events."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

if os.name == "nt":  # fail here, not on first use of something that Windows lacks
    raise ImportError("coagent-langchain needs Linux or macOS; on Windows, use it in WSL")

if TYPE_CHECKING:
    from coagent_langchain.analysis import LoggedSession
    from coagent_langchain.capture.handler import CoagentCallbackHandler
    from coagent_langchain.capture.log_handler import CoagentLogHandler
    from coagent_langchain.capture.tracing import tracing
    from coagent_langchain.client import CoagentClient
    from coagent_langchain.errors import CoagentClientError, CoagentError, ConfigurationError
    from coagent_langchain.events import LogEntry
    from coagent_langchain.log_methods import LogResult
    from coagent_langchain.logged import LoggedEvent
    from coagent_langchain.sessions.prompt import Prompt
    from coagent_langchain.sessions.session import Session
    from coagent_langchain.wire import EventType

__all__ = [
    "CoagentCallbackHandler",
    "CoagentClient",
    "CoagentClientError",
    "CoagentError",
    "CoagentLogHandler",
    "ConfigurationError",
    "EventType",
    "LogEntry",
    "LogResult",
    "LoggedEvent",
    "LoggedSession",
    "Prompt",
    "Session",
    "tracing",
]

# The module of each name, imported on first use: code that only logs should not pay for the client and the models.
_HOMES = {
    "CoagentCallbackHandler": "capture.handler",
    "CoagentClient": "client",
    "CoagentClientError": "errors",
    "CoagentError": "errors",
    "CoagentLogHandler": "capture.log_handler",
    "ConfigurationError": "errors",
    "EventType": "wire",
    "LogEntry": "events",
    "LogResult": "log_methods",
    "LoggedEvent": "logged",
    "LoggedSession": "analysis",
    "Prompt": "sessions.prompt",
    "Session": "sessions.session",
    "tracing": "capture.tracing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _is_command_line() -> bool:
    """Whether this is `coagent-langchain` or `python -m coagent_langchain`, whose `run` attaches a handler itself."""
    words = sys.orig_argv[-len(sys.argv) :]  # with `-m` they already name the module; `argv` does not
    return bool(words) and os.path.basename(words[0]) in ("coagent-langchain", "coagent_langchain")


if os.environ.get("COAGENT_TRACING") and not _is_command_line():
    from coagent_langchain.capture.tracing import enable

    enable()
