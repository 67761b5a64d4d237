"""What users give, checked where it is given."""

from __future__ import annotations

import math
import uuid

from coagent_langchain.errors import ConfigurationError
from coagent_langchain.wire import MAX_SESSION_ID


def new_session_id() -> str:
    """A session id that nobody else has."""
    return f"session-{uuid.uuid4().hex[:16]}"


def check_session_id(session_id: object) -> str:
    """Give back a usable session id.

    Raises:
        ConfigurationError: it is not a text of 1 to 512 characters.
    """
    if not isinstance(session_id, str) or not 0 < len(session_id) <= MAX_SESSION_ID:
        raise ConfigurationError(
            f"session_id must be a string of 1 to {MAX_SESSION_ID} characters, not {session_id!r:.80}"
        )
    return session_id


def check_text(name: str, value: object) -> None:
    """Refuse what is no text.

    Raises:
        ConfigurationError: it is neither a text nor None; for a function, the parentheses of the decorator are missing.
    """
    if callable(value):
        wanted = '@handler.session() or @session.prompt("…")'
        raise ConfigurationError(f"a decorator needs parentheses: {wanted} above {value!r:.80}")
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a string, not {value!r:.80}")


def check_meta(value: object) -> None:
    """Refuse what cannot be an event's `meta`.

    Raises:
        ConfigurationError: it is neither a dict nor None.
    """
    if value is not None and not isinstance(value, dict):
        raise ConfigurationError(f"meta must be a dict, not {value!r:.80}")


def check_seconds(name: str, value: object, above: float = -1.0) -> float:
    """Give back a number of seconds.

    Raises:
        ConfigurationError: it is no finite number, less than 0, or not more than `above`.
    """
    if not isinstance(value, int | float) or not math.isfinite(value) or value < 0 or value <= above:
        least = "0 or more" if above < 0 else f"more than {above:g}"
        raise ConfigurationError(f"{name} must be a number of seconds, {least}, not {value!r}")
    return float(value)


def check_count(name: str, value: object) -> int:
    """Give back a number of times.

    Raises:
        ConfigurationError: it is no whole number, or less than 0.
    """
    if not isinstance(value, int) or value < 0:
        raise ConfigurationError(f"{name} must be a whole number, 0 or more, not {value!r}")
    return value
