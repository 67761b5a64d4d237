"""The `agent_stack` of `session_start`."""

from __future__ import annotations

import contextlib
import functools
import sys

_PACKAGES = ("langchain-core", "langchain", "langgraph", "coagent-langchain")


def agent_stack() -> list[str]:
    """The loaded packages of LangChain, LangGraph and ours, as `name::version`."""
    return _versions(tuple(name for name in _PACKAGES if name.replace("-", "_") in sys.modules))


@functools.cache
def _versions(names: tuple[str, ...]) -> list[str]:
    from importlib import metadata  # imported late: a quarter of the import time of this whole package

    stack = []
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            stack.append(f"{name}::{metadata.version(name)}")
    return stack
