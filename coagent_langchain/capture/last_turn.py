"""Where to continue the numbering of a session that the server has: a handler with `resume=True` asks once."""

from __future__ import annotations

from coagent_langchain import clock
from coagent_langchain.config import Settings
from coagent_langchain.errors import CoagentClientError, warn

ASK_S = 5.0  # seconds that a handler waits for the server
HUNG_S = 10.0  # seconds in which no handler asks a server that has not answered in ASK_S

_LAST_TURN = "sort_by([], &turn_number) | sort_by(@, &prompt_number) | [-1].[prompt_number, turn_number]"
_hung_until: dict[str, float] = {}  # by address, on the monotonic clock


def last_turn(settings: Settings, session_id: str) -> tuple[int, int]:
    """The last prompt and turn that the server has of a session; zeros, and a warning, if it cannot be asked.

    After a timeout, the next handlers do not ask and do not warn: a service may create one for each request.
    """
    from coagent_langchain.client import CoagentClient  # late: few handlers need it

    asked = clock.monotonic()
    if asked < _hung_until.get(settings.base_url, 0.0):
        return 0, 0
    try:
        with CoagentClient(settings.base_url, settings.auth_token, timeout=ASK_S, max_retries=0) as client:
            prompt, turn = client.filter_logs(session_id, _LAST_TURN) or (0, 0)
        return int(prompt), int(turn)
    except (CoagentClientError, TypeError, ValueError) as error:  # another server's filter may return anything
        if clock.monotonic() - asked >= ASK_S:
            _hung_until[settings.base_url] = clock.monotonic() + HUNG_S
        warn("cannot resume session %s, its numbering starts at 1: %s", session_id, error)
        return 0, 0
