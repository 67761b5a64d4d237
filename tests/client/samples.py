"""Shared by the tests of the client: one that retries at once, and an entry of CoAgent's own client."""

from __future__ import annotations

from typing import Any

from coa_dev_coagent.logapi import LogEntry as PublishedEntry
from coa_dev_coagent.logapi import create_tool_call_log

from coagent_langchain import CoagentClient


def published(session_id: str) -> PublishedEntry:
    """A tool call as code for CoAgent's own client logs it, by an entry because that client has no method for it."""
    entry = create_tool_call_log(session_id, 1, 1, "trains", {"to": "Rome"})
    entry.additional_properties = {"carriage": 7}
    return entry


def patient(base_url: str, **arguments: Any) -> CoagentClient:
    """A client with short retry delays."""
    return CoagentClient(base_url, retry_backoff_factor=0.001, **arguments)
