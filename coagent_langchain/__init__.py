"""See what your LangChain and LangGraph agents did, as CoAgent log events."""

from __future__ import annotations

from coagent_langchain.capture.handler import CoagentCallbackHandler
from coagent_langchain.capture.logs import CoagentLogHandler
from coagent_langchain.capture.tracing import enable as _enable
from coagent_langchain.capture.tracing import tracing
from coagent_langchain.errors import CoagentClientError, CoagentError, ConfigurationError
from coagent_langchain.events import EventType, LogEntry
from coagent_langchain.session import Prompt, Session

__all__ = [
    "CoagentCallbackHandler",
    "CoagentClientError",
    "CoagentError",
    "CoagentLogHandler",
    "ConfigurationError",
    "EventType",
    "LogEntry",
    "Prompt",
    "Session",
    "tracing",
]

_enable()
