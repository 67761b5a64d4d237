"""The parts of the wire format that every event needs: names, ids, the clock.

Light on purpose: everything that logs imports this. The typed model of an entry, for readers, is in `events`.
"""

from __future__ import annotations

import itertools
import os
import secrets
import time
from enum import StrEnum
from typing import Any

VERSION = "2.0.0"
MAX_SESSION_ID = 512  # characters
MAX_TIMESTAMP = 2**53  # milliseconds; beyond it JavaScript rounds
MAX_COUNTER = 2**32 - 1  # prompt_number and turn_number are UInt32 in the table of published servers
BATCH_BYTES = 1_000_000  # makes a request cheap, and passes through proxies: nginx refuses more than 1 MiB
BATCH_ENTRIES = 1000  # what our server accepts at once

# The fields that every entry has.
ENVELOPE = ("version", "session_id", "prompt_number", "turn_number", "event_id", "event_type", "timestamp")

JsonObject = dict[str, Any]


class EventType(StrEnum):
    """The event types: the 17 of published servers in their order, then three that such a server may refuse."""

    SESSION_START = "session_start"
    SESSION_END = "session_end"
    USER_INPUT = "user_input"
    COMPONENT_ENTER = "component_enter"
    COMPONENT_EXIT = "component_exit"
    ROUTING = "routing"
    CONSENSUS_SUCCESS = "consensus_success"
    CONSENSUS_FAILURE = "consensus_failure"
    TOOL_CALL = "tool_call"
    TOOL_RESPONSE = "tool_response"
    ERROR = "error"
    RECOVERY = "recovery"
    PERFORMANCE_DEGRADATION = "performance_degradation"
    HUMAN_OVERSIGHT = "human_oversight"
    TEST_RESULT = "test_result"
    LLM_CALL = "llm_call"
    LLM_RESPONSE = "llm_response"
    INFO = "info"
    WARNING = "warning"
    DEBUG = "debug"


class Severity(StrEnum):
    """How bad an error is (`error_info.error_severity`)."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class _EventIds:
    """Unique ids without a system call each: a random prefix per process and a counter. `next()` gives one."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self._prefix = f"{secrets.token_hex(8)}-"
        self._numbers = itertools.count(1)

    def next(self) -> str:
        return self._prefix + "%08x" % next(self._numbers)  # noqa: UP031 - the quickest way to eight digits


event_ids = _EventIds()
os.register_at_fork(after_in_child=event_ids.renew)


def new_session_id() -> str:
    """A unique session id."""
    return f"session-{secrets.token_hex(8)}"


def now_ms() -> int:
    """The wall clock in Unix milliseconds, as in `timestamp`."""
    return time.time_ns() // 1_000_000
