"""Checks of user-supplied arguments: each raises a `ConfigurationError` that says what the argument must be."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from coagent_langchain.errors import ConfigurationError
from coagent_langchain.wire import MAX_SESSION_ID

if TYPE_CHECKING:
    from coagent_langchain.delivery import Delivery
    from coagent_langchain.outlet import Redact

COMPONENTS = ("nodes", "all", "none")


def check_session_id(session_id: object) -> str:
    """Return a session id, which must be a string of 1 to 512 characters."""
    if not isinstance(session_id, str) or not 0 < len(session_id) <= MAX_SESSION_ID:
        raise ConfigurationError(
            f"session_id must be a string of 1 to {MAX_SESSION_ID} characters, not {session_id!r:.80}"
        )
    return session_id


def check_prompt(value: object) -> None:
    """Reject a prompt that is neither a string nor None; if it is a function, a decorator lacks its parentheses."""
    if callable(value):
        raise ConfigurationError(f'a decorator needs parentheses, as in @handler.session("…"), above {value!r:.80}')
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"prompt must be a string, not {value!r:.80}")


def check_meta(value: object) -> None:
    """Reject a `meta` that is neither a dict nor None."""
    if value is not None and not isinstance(value, dict):
        raise ConfigurationError(f"meta must be a dict, not {value!r:.80}")


def check_seconds(name: str, value: object, *, positive: bool = False) -> float:
    """Return a number of seconds as a float: 0 or more, or more than 0 if it must be `positive`."""
    if not isinstance(value, int | float) or not math.isfinite(value) or value < 0 or (positive and value == 0):
        least = "more than 0" if positive else "0 or more"
        raise ConfigurationError(f"{name} must be a number of seconds, {least}, not {value!r}")
    return float(value)


def check_count(name: str, value: object) -> int:
    """Return a whole number, which must be 0 or more."""
    if not isinstance(value, int) or value < 0:
        raise ConfigurationError(f"{name} must be a whole number, 0 or more, not {value!r}")
    return value


def check_components(value: object) -> None:
    """Reject a choice that is not one of `COMPONENTS`."""
    if value not in COMPONENTS:
        raise ConfigurationError(f"components must be one of {', '.join(COMPONENTS)}, not {value!r}")


def check_sample_rate(value: float) -> None:
    """Reject a sample rate that is not a number from 0 to 1."""
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise ConfigurationError(f"sample_rate must be a number from 0 to 1, not {value!r}")


def check_resume(value: object, session_id: object) -> None:
    """Reject a `resume` that is not a bool, or is True without a session id."""
    if type(value) is not bool:
        raise ConfigurationError(f"resume must be True or False, not {value!r}")
    if value and session_id is None:
        raise ConfigurationError("resume=True needs the session_id to continue")


def check_redact(redact: Redact | Sequence[Redact] | None) -> Sequence[Redact]:
    """Return the callables as a sequence; one, several or none may be given, each to be called with the entry alone."""
    if redact is None:
        return ()
    found: Sequence[Redact] = redact if isinstance(redact, (list, tuple)) else [redact]  # type: ignore[list-item]
    for each in found:
        if not callable(each):
            raise ConfigurationError(f"redact must be one or more callables, not {each!r}")
        if inspect.iscoroutinefunction(each):
            raise ConfigurationError(f"redact must not be a coroutine function, because hooks do not wait: {each!r}")
        if not _takes_an_entry(each):
            raise ConfigurationError(f"redact must take one argument, the entry, and return it: {each!r}")
    return found


def _takes_an_entry(redact: Redact) -> bool:
    try:
        inspect.signature(redact).bind({})
    except ValueError:  # some builtins have no known signature
        return True
    except TypeError:
        return False
    return True


def check_delivery(delivery: Delivery) -> Delivery:
    """Return a delivery, which must have the methods of `Delivery` and not be its class."""
    if isinstance(delivery, type):
        raise ConfigurationError(f"delivery must be a Delivery such as {delivery.__name__}(), not its class")
    for method in ("append", "flush", "close", "stats"):
        if not callable(getattr(delivery, method, None)):
            raise ConfigurationError(
                f"delivery must be a Delivery such as coagent_langchain.testing.MemoryDelivery(): {delivery!r} has no "
                f"method {method}"
            )
    return delivery
