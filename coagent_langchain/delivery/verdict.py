"""What an answer means for the entries of a request: the status matrix, as one pure function.

| answer | meaning |
|---|---|
| 2xx | stored; with `success: false` as 400; with something other than JSON: not our server, as 404 |
| 409 on one entry | stored before; a page: as 404 |
| 413 | too much at once: split |
| 400, 409, 422, other 4xx | entries are refused: those that `errors` names, else search for them; a page: as 404 |
| 1xx, 408, 425, 429, 5xx, no answer | retry later |
| 3xx, 401, 403, 404 and the like | the set-up is wrong: keep everything, retry slowly |
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from coagent_langchain.http import Reply, errors_in, hint, is_page, is_retryable, on_one_line

_SETUP = {401, 402, 403, 404, 405, 406, 407, 410, 411, 412, 415, 417, 421, 426, 428, 431, 451}
_NOT_OURS = "not a response of a CoAgent server"


class Meaning(enum.Enum):
    """What to do with the entries of a request."""

    STORED = enum.auto()
    SPLIT = enum.auto()
    REFUSED = enum.auto()
    RETRY = enum.auto()
    PAUSE = enum.auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The meaning of an answer.

    Attributes:
        meaning: what to do.
        reason: in the server's words if it gave any.
        refused: index and reason of each entry that the server named.
        wait: seconds that the server asks to wait.
        status: HTTP status, if the entries are to be sent again; None also if there was no answer.
    """

    meaning: Meaning
    reason: str = ""
    refused: dict[int, str] = field(default_factory=dict)
    wait: float = 0.0
    status: int | None = None

    @property
    def again(self) -> bool:
        """Whether the same request must be repeated later: nothing is settled."""
        return self.meaning in (Meaning.RETRY, Meaning.PAUSE)


def judge(reply: Reply, count: int) -> Verdict:
    """Determine what the answer to a request with `count` entries, at least one, means."""
    status, reason = reply.status, reply.reason
    advice = hint(status, reason)
    if status is None or is_retryable(status):
        return Verdict(Meaning.RETRY, reason + advice, wait=reply.wait, status=status)
    if status < 300:
        return _judge_success(reply, count)
    if status < 400 or status in _SETUP:
        return Verdict(Meaning.PAUSE, reason + advice, status=status)
    if status == 413:
        return Verdict(Meaning.SPLIT, reason + advice)
    if is_page(reply.body) or advice:
        return Verdict(Meaning.PAUSE, f"{_NOT_OURS}: {reason}{advice}", status=status)
    if status == 409 and count == 1:
        return Verdict(Meaning.STORED, reason)
    return Verdict(Meaning.REFUSED, reason, _named(reply.answer, count))


def _judge_success(reply: Reply, count: int) -> Verdict:
    answer, reason = reply.answer, reply.reason
    if answer is None and reply.body.strip() not in ("", "null"):  # FastAPI's `null` for a function without a result
        return Verdict(Meaning.PAUSE, f"{_NOT_OURS}: {reason}", status=reply.status)
    refused = _named(answer, count)
    if refused or (isinstance(answer, dict) and answer.get("success") is False):
        return Verdict(Meaning.REFUSED, reason, refused)
    return Verdict(Meaning.STORED)


def _named(answer: Any, count: int) -> dict[int, str]:
    """The entries that the answer's `errors` name, each with what is wrong with it."""
    named = {}
    for error in errors_in(answer):
        if 0 <= error["index"] < count:
            said = ": ".join(str(error[key]) for key in ("field", "message") if error.get(key))
            named[error["index"]] = on_one_line(said) or "refused"
    return named
