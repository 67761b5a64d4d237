"""How a run is described in its entries: its name, its place in its framework, the user's tags and metadata."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from coagent_langchain.capture.ambient import SESSION_KEYS
from coagent_langchain.capture.run import Kind, Run
from coagent_langchain.redaction import is_secret
from coagent_langchain.values.snapshot import snapshot
from coagent_langchain.wire import JsonObject

_HIDDEN_TAG = "langsmith:hidden"
_SEQUENCE_TAG = "seq:step:"
_STEP_TAG = "graph:step:"
_RETRY_TAG = "retry:attempt:"
_BRANCH_TAG = "map:key:"
# Metadata that LangChain and LangGraph add themselves, or that is elsewhere in the entry.
_OWN_PREFIXES = ("langgraph_", "ls_", "lc_", "__")
_known_as_ours = {"checkpoint_ns", "checkpoint_id", "checkpoint_map", "task_id", "run_id", "assistant_id", "graph_id",
                  "prompt_number", "model", *SESSION_KEYS}  # fmt: skip
_MAX_KNOWN = 1_000
_OWN_TAGS = (_STEP_TAG, _BRANCH_TAG, _RETRY_TAG, "langsmith:", "langgraph:")
_HISTORY_RUN = "check_sync_or_async"  # inside a `RunnableWithMessageHistory`
_COLLECTIONS = (list, tuple, set, frozenset)
# How a `RunnableBranch` and an `EnsembleRetriever` number their parts; what keeps tokens out of LangGraph's stream.
_CONTROL_TAG = re.compile(r"condition:\d+|branch:(?:\d+|default)|retriever_\d+|nostream")


def name_of(kind: Kind, serialized: Any, kwargs: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> str:
    """A run's name: the one given by its caller, or else that of its class, its model or its kind."""
    name = kwargs.get("name")
    if name and type(name) is str:
        return name
    if not name and isinstance(serialized, dict):
        name = serialized.get("name")
        path = serialized.get("id")
        if not name and isinstance(path, list) and path:
            name = path[-1]
    if not name and kind == "llm" and metadata:
        name = metadata.get("ls_model_name")
    if name and isinstance(name, str):
        return name
    return "model" if kind == "llm" else kind


def read_tags(run: Run, tags: Any) -> None:
    """Note what a run's tags say: whether it is a step, a branch or hidden, its attempt, and the user's own tags."""
    for tag in tags if isinstance(tags, _COLLECTIONS) else ():
        if not isinstance(tag, str) or tag.startswith(_SEQUENCE_TAG):
            continue
        if not tag.startswith(_OWN_TAGS):
            if not _CONTROL_TAG.fullmatch(tag):
                run.tags = [*run.tags, tag]
        elif tag.startswith(_STEP_TAG):
            run.is_step = True
        elif tag == _HIDDEN_TAG:
            run.is_hidden = True
        elif tag.startswith(_BRANCH_TAG):
            run.is_branch = True
        elif tag.startswith(_RETRY_TAG) and tag[len(_RETRY_TAG) :].isdigit() and not run.attempt:
            run.attempt = int(tag[len(_RETRY_TAG) :])
            if run.parent is not None:
                run.parent.latest_attempt = run.attempt


def describe(run: Run, metadata: Mapping[str, Any] | None) -> None:
    """Note a run's place in its framework, and the user's tags and metadata."""
    own = None
    if metadata:
        run.framework = _framework(metadata, run)
        if run.kind == "retriever" and run.tags:  # if the user gives none, LangChain puts the names of its parts there
            parts = metadata.get("ls_vector_store_provider"), metadata.get("ls_embedding_provider")
            run.tags = [tag for tag in run.tags if tag not in parts]
        if not _known_as_ours.issuperset(metadata):
            own = {key: metadata[key] for key in list(metadata) if key not in _known_as_ours and _is_users(key)}
    if own or run.tags:
        run.context = {"metadata": snapshot(own)} if own else {}
        if run.tags:
            run.context["tags"] = run.tags


def _framework(metadata: Mapping[str, Any], run: Run) -> JsonObject | None:
    """Node, step, checkpoint namespace, subgraph path and agent of a LangGraph run; None for a plain chain."""
    node = metadata.get("langgraph_node")
    agent = metadata.get("lc_agent_name")
    if not node and not agent:
        return None
    namespace, above = metadata.get("langgraph_checkpoint_ns"), run.parent
    if agent is not None:
        run.given_agent = agent
        above = above and run.logged_above()
    known = above.framework if above is not None and above.given_agent == agent else None
    if known is not None and known.get("checkpoint_ns") == namespace:
        return known  # it is in the same node
    found: JsonObject = {"name": "langgraph"}
    if node is not None:
        found["node"] = node
        found["step"] = metadata.get("langgraph_step")
        if isinstance(namespace, str):
            found["checkpoint_ns"] = namespace
            if "|" in namespace:
                # A part is name:id, or only a name above a graph that keeps its state (`checkpointer=True`); a number
                # counts the graphs that one node has called.
                found["path"] = [part.partition(":")[0] for part in namespace.split("|") if not part.isdigit()]
    if agent is not None:
        found["agent"] = agent if known is None else _own_name(run, known) or agent
    return found


def _own_name(run: Run, around: JsonObject) -> str | None:
    """The name of a node's graph, if it was called in an agent's node with the agent's config, and so its metadata."""
    if not run.is_component or "node" not in around or run.parent is None or run.parent.name == "LangGraph":
        return None
    return run.parent.name


@functools.lru_cache(maxsize=_MAX_KNOWN)
def _is_users(key: Any) -> bool:
    """Whether the user gave a key, and it names no secret; what LangChain or LangGraph added is then known as such."""
    ours = isinstance(key, str) and key.startswith(_OWN_PREFIXES)
    if ours and len(_known_as_ours) < _MAX_KNOWN:
        _known_as_ours.add(key)
    return not ours and not is_secret(str(key))


def issuer(run: Run) -> str:
    """Who made a model call: the node, after its agent or subgraph, or else the nearest chain with a name of its own.

    A model's own `with_retry` is a chain with the model's name, and a history's inner chain has one given by LangChain.
    """
    facts = run.framework
    if facts is not None:
        within, node = facts.get("agent"), facts.get("node")
        if within is None and "path" in facts:  # graphs of one kind all have the same nodes
            within = next(iter(facts["path"][-2:-1]), None)
        return f"{within}.{node}" if within and node else str(within or node)
    above = run.parent
    while above is not None:
        if not above.name.startswith("Runnable") and above.name not in (run.name, _HISTORY_RUN):
            return above.name
        above = above.parent
    return run.root.name


def tool_meta(run: Run) -> JsonObject:
    """The `meta` that both events of a tool or retriever have."""
    meta: JsonObject = {}
    if run.tool_call_id is not None:
        meta["tool_call_id"] = run.tool_call_id
    if run.kind == "retriever":
        meta["kind"] = "retriever"
    if run.attempt:
        meta["attempt"] = run.attempt
    return meta


def component(run: Run) -> JsonObject:
    """A run as `target_component`."""
    kind = "node" if run.is_node else "orchestrator"
    return {"id": run.run_id, "name": run.name, "component_type": kind}
