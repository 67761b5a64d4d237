"""LangGraph's `Command`: what a node, a tool or the application tells a graph to do."""

from __future__ import annotations

import functools
from typing import Any

from coagent_langchain.loaded import is_of

is_command = functools.partial(is_of, "langgraph.types", "Command")
"""Whether a value is a LangGraph `Command`, judged by its type alone."""


def target_of(command: Any) -> dict[str, Any]:
    """Where a `Command` goes: `{graph?, goto: [names]}`, each name once; a `Send` counts as its node."""
    goto = getattr(command, "goto", ())
    targets = [str(getattr(target, "node", target)) for target in (goto if isinstance(goto, (list, tuple)) else [goto])]
    graph = getattr(command, "graph", None)
    return {**({"graph": str(graph)} if graph else {}), "goto": list(dict.fromkeys(targets))}
