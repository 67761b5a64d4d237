"""Tools that the agents of several tests have."""

from __future__ import annotations

from langchain_core.tools import tool
from langgraph.types import interrupt


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool
def ask(question: str) -> str:
    """Ask a person."""
    return str(interrupt({"question": question}))
