"""Wrong arguments of the handler are refused at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from coagent_langchain import CoagentCallbackHandler, ConfigurationError
from coagent_langchain.testing import MemoryDelivery


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"components": "graph"}, "components must be one of nodes, all, none, not 'graph'"),
        ({"sample_rate": 2}, "sample_rate must be a number from 0 to 1, not 2"),
        ({"resume": "yes"}, "resume must be True or False, not 'yes'"),
        ({"resume": True}, "resume=True needs the session_id to continue"),
        ({"redact": 3}, "redact must be one or more callables, not 3"),
        ({"redact": [str, 3]}, "redact must be one or more callables, not 3"),
        ({"redact": asyncio.sleep}, "redact must not be a coroutine function, because hooks do not wait"),
        ({"redact": lambda: None}, "redact must take one argument, the entry, and return it"),
        ({"delivery": 3}, "delivery must be a Delivery such as .*: 3 has no method append"),
        ({"delivery": SimpleNamespace(append=print, flush=print, close=print)}, "namespace.* has no method stats"),
        ({"delivery": MemoryDelivery}, r"delivery must be a Delivery such as MemoryDelivery\(\), not its class"),
    ],
)
def test_wrong_argument_is_named_at_once(arguments: dict[str, Any], message: str) -> None:
    """An invalid setting raises when the handler is created, and the message says what would be valid."""
    with pytest.raises(ConfigurationError, match=message):
        CoagentCallbackHandler(**{"spool_dir": "off", **arguments})


@pytest.mark.parametrize("timeout", [None, "10", -1, float("inf")])
def test_flush_refuses_a_timeout_that_is_no_number_of_seconds_at_once(timeout: Any, log: MemoryDelivery) -> None:
    """It raises even if nothing is waiting: otherwise the mistake would show only when the server is away."""
    with pytest.raises(ConfigurationError, match=f"timeout must be a number of seconds, 0 or more, not {timeout!r}"):
        CoagentCallbackHandler(delivery=log).flush(timeout)
