"""Helpers that read a log, or the state of a handler; and what a log is expected to contain."""

from __future__ import annotations

import hashlib
from typing import Any

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery

ONE_CALL = ["session_start", "user_input", "llm_call", "llm_response"]
ONE_CALL_SEQUENCE = [("session_start", 1, 0), ("user_input", 1, 0), ("llm_call", 1, 1), ("llm_response", 1, 1)]
DIGEST = {"mime": "image/png", "bytes": 5, "sha256": hashlib.sha256(b"hello").hexdigest()}


def types(log: MemoryDelivery) -> list[str]:
    """The event types, in order."""
    return [entry["event_type"] for entry in log.entries]


def of_type(log: MemoryDelivery, event_type: str) -> list[dict[str, Any]]:
    """The entries of one type."""
    return [entry for entry in log.entries if entry["event_type"] == event_type]


def sessions(log: MemoryDelivery) -> dict[str, list[str]]:
    """The event types of each session."""
    found: dict[str, list[str]] = {}
    for entry in log.entries:
        found.setdefault(entry["session_id"], []).append(entry["event_type"])
    return found


def without_nodes(log: MemoryDelivery) -> list[tuple[str, int, int]]:
    """The sequence without the events of graph nodes."""
    return [at for at in log.sequence if not at[0].startswith("component_")]


def questions(log: MemoryDelivery) -> list[tuple[int, str, Any]]:
    """Each question or answer as its question's place by first mention, its status and its value."""
    names: dict[str, int] = {}
    return [
        (names.setdefault(e["meta"]["interrupt_id"], len(names)), e["meta"]["status"], e["input_data"].get("value"))
        for e in of_type(log, "human_oversight")
    ]


def tool_answers(log: MemoryDelivery) -> list[tuple[Any, ...]]:
    """The tool responses: turn, id, name, success and outcome."""
    return [
        (e["turn_number"], e["meta"]["tool_call_id"], e["tool_response"]["tool_name"], e["tool_response"]["success"],
         e["meta"].get("outcome"))
        for e in of_type(log, "tool_response")
    ]  # fmt: skip


def recoveries(log: MemoryDelivery) -> list[tuple[int, str, str, str]]:
    """The recoveries, all successful: the place of the error among the errors, component, strategy and action."""
    errors = [entry["event_id"] for entry in of_type(log, "error")]
    told = [entry["error_info"] for entry in of_type(log, "recovery")]
    assert [each["recovery_successful"] for each in told] == [True] * len(told)
    return [
        (errors.index(each["error_id"]), each["component_id"], each["recovery_strategy"], *each["recovery_actions"])
        for each in told
    ]


def state_of(handler: CoagentCallbackHandler) -> dict[str, int]:
    """The number of open items of each kind that the handler keeps: all 0 after every flow."""
    tree = handler._tree
    return {"open": len(tree.open), "lingering": len(tree.lingering), "streams": len(tree.streams)}


EMPTY = {"open": 0, "lingering": 0, "streams": 0}
