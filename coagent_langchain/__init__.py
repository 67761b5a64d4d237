"""See what your LangChain and LangGraph agents did, as CoAgent log events."""

from __future__ import annotations

from coagent_langchain.analysis import LoggedSession
from coagent_langchain.capture.handler import CoagentCallbackHandler
from coagent_langchain.capture.logs import CoagentLogHandler
from coagent_langchain.capture.tracing import enable as _enable
from coagent_langchain.capture.tracing import tracing
from coagent_langchain.client import CoagentClient
from coagent_langchain.errors import CoagentClientError, CoagentError, ConfigurationError
from coagent_langchain.eventlog import LogResult
from coagent_langchain.events import EventType, LogEntry
from coagent_langchain.logged import LoggedEvent
from coagent_langchain.session import Prompt, Session

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

_enable()
