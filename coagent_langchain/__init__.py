"""See what your LangChain and LangGraph agents did, as CoAgent log events."""

from __future__ import annotations

from coagent_langchain.errors import CoagentClientError, CoagentError, ConfigurationError

__all__ = ["CoagentClientError", "CoagentError", "ConfigurationError"]
