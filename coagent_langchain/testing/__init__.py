"""Fakes for your own tests: events kept in memory, and a stand-in server that speaks Ollama's HTTP API."""

from __future__ import annotations

from coagent_langchain.testing.memory import MemoryDelivery, capture_events
from coagent_langchain.testing.ollama import OllamaStandIn
from coagent_langchain.testing.replies import Answer, Failure, OllamaRequest, ToolUse

__all__ = ["Answer", "Failure", "MemoryDelivery", "OllamaRequest", "OllamaStandIn", "ToolUse", "capture_events"]
