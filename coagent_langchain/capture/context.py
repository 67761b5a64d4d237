"""Where a run stands in its framework, and what its user attached to it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import metadata as package_metadata
from typing import Any

from coagent_langchain.capture.ambient import SESSION_KEYS
from coagent_langchain.capture.runs import Run
from coagent_langchain.capture.snapshot import snapshot
from coagent_langchain.wire import JsonObject

HIDDEN_TAG = "langsmith:hidden"
_RETRY_TAG = "retry:attempt:"
_STACK = ("langchain-core", "langchain", "langgraph", "coagent-langchain")
# Metadata that LangChain and LangGraph put there themselves, or that the entry says elsewhere.
_OWN_PREFIXES = ("langgraph_", "ls_", "lc_", "__")
_OWN_KEYS = frozenset({"checkpoint_ns", "checkpoint_id", "checkpoint_map", "task_id", "run_id", "assistant_id",
                       "graph_id", "prompt_number", "model", *SESSION_KEYS})  # fmt: skip
_known_as_ours: set[str] = set(_OWN_KEYS)
_MAX_KNOWN = 1_000
_OWN_TAGS = ("seq:step:", "graph:step:", "map:key:", _RETRY_TAG, "langsmith:", "langgraph:")


def usable(metadata: Any, tags: Any) -> tuple[dict[str, Any] | None, list[str] | None]:
    """A run's metadata and tags as far as they are what they should be."""
    if metadata is not None and not isinstance(metadata, dict):
        metadata = None
    if tags:
        if not isinstance(tags, list):
            tags = list(tags) if isinstance(tags, (tuple, set, frozenset)) else []
        for tag in tags:
            if not isinstance(tag, str):
                return metadata, [each for each in tags if isinstance(each, str)]
    return metadata, tags or None


def framework(metadata: Mapping[str, Any] | None, parent: Run | None = None) -> JsonObject | None:
    """Node, step, checkpoint namespace, subgraph path and agent of a LangGraph run; None for a plain chain.

    Parameters:
        metadata: the run's.
        parent: the run above: in the same node, it stands at the same place.
    """
    if not metadata:
        return None
    node = metadata.get("langgraph_node")
    agent = metadata.get("lc_agent_name")
    if node is None and agent is None:
        return None
    namespace = metadata.get("langgraph_checkpoint_ns")
    above = parent.framework if parent is not None else None
    if above is not None and above.get("checkpoint_ns") == namespace and above.get("agent") == agent:
        return above
    found: JsonObject = {"name": "langgraph"}
    if node is not None:
        found["node"] = node
        found["step"] = metadata.get("langgraph_step")
        if isinstance(namespace, str):
            found["checkpoint_ns"] = namespace
            if "|" in namespace:
                found["path"] = [part.partition(":")[0] for part in namespace.split("|")]
    if agent is not None:
        found["agent"] = agent
    return found


def user_context(metadata: Mapping[str, Any] | None, tags: Sequence[str] | None) -> JsonObject | None:
    """The user's own metadata and tags."""
    found: JsonObject = {}
    if metadata and (keys := metadata.keys() - _known_as_ours):
        own = {key: metadata[key] for key in sorted(keys, key=str) if not _is_ours(key)}
        if own:
            found["metadata"] = snapshot(own)
    if tags and (mine := [tag for tag in tags if not tag.startswith(_OWN_TAGS)]):
        found["tags"] = mine
    return found or None


def _is_ours(key: Any) -> bool:
    """Whether LangChain or LangGraph put a key there; remembered, so that the next look costs nothing."""
    ours = isinstance(key, str) and key.startswith(_OWN_PREFIXES)
    if ours and len(_known_as_ours) < _MAX_KNOWN:
        _known_as_ours.add(key)
    return ours


def attempt(tags: Sequence[str] | None) -> int:
    """The number that `with_retry` gave this attempt: 2 for the second, 0 for what is no repetition."""
    for tag in tags or ():
        if tag.startswith(_RETRY_TAG) and tag[len(_RETRY_TAG) :].isdigit():
            return int(tag[len(_RETRY_TAG) :])
    return 0


def is_node(name: str, metadata: Mapping[str, Any] | None, tags: Sequence[str] | None) -> bool:
    """Whether a chain run is a LangGraph node itself, not something inside one or LangGraph's plumbing."""
    if not metadata or metadata.get("langgraph_node") != name or name == "__start__":
        return False
    return not is_hidden(tags) and any(tag.startswith("graph:step:") for tag in tags or ())


def is_hidden(tags: Sequence[str] | None) -> bool:
    """Whether LangChain marks the run as plumbing."""
    return bool(tags) and HIDDEN_TAG in (tags or ())


def agent_stack() -> list[str]:
    """The packages that the process runs on, as `name::version`."""
    stack = []
    for name in _STACK:
        if name == "coagent-langchain" or name.replace("-", "_") in sys.modules:
            try:
                stack.append(f"{name}::{package_metadata.version(name)}")
            except package_metadata.PackageNotFoundError:
                continue
    return stack


def issuer(run: Run) -> str:
    """Who made a model call: the graph node, the agent, or the nearest chain with a name of its own."""
    facts = run.framework or {}
    if facts.get("node") or facts.get("agent"):
        agent, node = facts.get("agent"), facts.get("node")
        return f"{agent}.{node}" if agent and node else str(agent or node)
    above = run.parent
    while above is not None:
        if not above.name.startswith("Runnable"):
            return above.name
        above = above.parent
    return run.root.name


def tool_meta(run: Run) -> JsonObject:
    """What both events of a tool or retriever say of the call."""
    meta: JsonObject = {}
    if run.tool_call_id is not None:
        meta["tool_call_id"] = run.tool_call_id
    if run.kind == "retriever":
        meta["kind"] = "retriever"
    if run.attempt:
        meta["attempt"] = run.attempt
    return meta


def component(run: Run, component_type: str) -> JsonObject:
    """A run as `target_component`."""
    return {"id": run.run_id, "name": run.name, "component_type": component_type}
