"""Tools that the agents of several tests have, and a node that runs tools."""

from __future__ import annotations

import warnings
from typing import Any

from langchain_core.tools import BaseTool, tool
from langgraph.types import interrupt


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool
def ask(question: str) -> str:
    """Ask a person."""
    return str(interrupt({"question": question}))


def tool_node(*tools: BaseTool, **options: Any) -> Any:
    """LangGraph's node that runs tools. Its oldest version warns that it has another place now."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from langgraph.prebuilt import ToolNode
    return ToolNode(tools, **options)
