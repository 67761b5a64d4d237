"""Sending a batch: whole, split if it is too large, or searched for the entry that the server refuses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import orjson

from coagent_langchain.delivery.rejected import keep_rejected
from coagent_langchain.delivery.segment import line_ends
from coagent_langchain.delivery.transport import Transport
from coagent_langchain.delivery.verdict import Meaning, Verdict, judge

_COMMA, _NEWLINE = b",\n"


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one request.

    Attributes:
        verdict: that on the answer.
        length: bytes at the beginning of the batch that are settled now.
        stored: entries acknowledged.
        rejected: entries rejected for good.
    """

    verdict: Verdict
    length: int = 0
    stored: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class _Part:
    """The lines of one request, where each ends, and how many bytes of the batch are settled with them."""

    lines: bytearray
    ends: list[int]
    length: int

    @classmethod
    def of(cls, lines: bytearray, length: int) -> _Part:
        return cls(lines, line_ends(lines), length)

    @property
    def count(self) -> int:
        """The number of lines."""
        return len(self.ends)

    def body(self) -> tuple[bytes | bytearray, ...]:
        """A JSON array as consecutive parts, built in place: a copy would double a batch's memory.

        A single entry is sent as such: every server accepts that form.
        """
        for end in self.ends:
            self.lines[end - 1] = _COMMA
        self.lines[-1] = _NEWLINE
        return (self.lines,) if self.count == 1 else (b"[", self.lines, b"]")

    def each(self) -> list[bytes]:
        """The lines, without their separators."""
        return [bytes(self.lines[start : end - 1]) for start, end in zip([0, *self.ends], self.ends, strict=False)]


class Sender:
    """Sends a batch from left to right, one request per step, and splits it as the server's answers require.

    Rejected lines are kept in the folder, if there is one.
    """

    def __init__(self, transport: Transport, folder: Path | None) -> None:
        self._transport = transport
        self._folder = folder
        self._parts: list[_Part] = []  # the leftmost is the last
        self._arrays = True
        self._pair = 0  # entries still to be accepted one by one after a pair of them was refused as an array

    @property
    def busy(self) -> bool:
        """Whether a batch is being sent."""
        return bool(self._parts)

    def load(self, lines: bytearray) -> None:
        """Take a batch of whole lines, which are modified in place."""
        self._parts = [_Part.of(lines, len(lines))]
        if not self._arrays:
            self._one_by_one()

    def step(self) -> Step:
        """Make one request and act on its answer. A batch that is to be sent again later stays as it is."""
        part = self._parts[-1]
        count = part.count
        verdict = judge(self._transport.post(*part.body()), count) if count else Verdict(Meaning.STORED)
        if verdict.again:
            return Step(verdict)
        self._parts.pop()
        if verdict.meaning is Meaning.STORED:
            self._learn(count)
            return Step(verdict, part.length, stored=count)
        if verdict.meaning is Meaning.REFUSED and (rejected := self._clear_of_refused(part, verdict)):
            return Step(verdict, rejected=rejected)
        if count == 1:
            self._pair = 0
            keep_rejected(self._folder, part.each()[0], verdict.reason)
            return Step(verdict, part.length, rejected=1)
        self._pair = 2 if count == 2 and verdict.meaning is Meaning.REFUSED else 0
        self._parts += _halves(part)
        return Step(verdict)

    def _learn(self, count: int) -> None:
        """Detect a server without support for arrays: it refuses two entries together and accepts each alone."""
        if self._pair and count == 1:
            self._pair -= 1
            if self._pair == 0:
                self._arrays = False
                self._one_by_one()
        else:
            self._pair = 0

    def _one_by_one(self) -> None:
        while any(part.count > 1 for part in self._parts):
            self._parts = [half for part in self._parts for half in _halves(part)]

    def _clear_of_refused(self, part: _Part, verdict: Verdict) -> int:
        """Reject the entries that the server named or that are not JSON objects; resend the rest in one request.

        A server that already stored the rest recognizes it by the event ids; one that stored nothing gets it now.
        Returns how many were rejected; if no such entry is known, nothing has changed.
        """
        lines = [line.strip() for line in part.each()]
        refused = verdict.refused or {i: "not a JSON object" for i, line in enumerate(lines) if not _is_object(line)}
        if not refused:
            return 0
        for index, reason in refused.items():
            keep_rejected(self._folder, lines[index], reason)
        rest = bytearray().join(line + b"\n" for index, line in enumerate(lines) if index not in refused)
        self._parts.append(_Part.of(rest, part.length))
        return len(refused)


def _halves(part: _Part) -> list[_Part]:
    """The right and the left half; if lines were removed, what is settled is only known at the end."""
    middle = part.count // 2
    if not middle:
        return [part]
    cut = part.ends[middle - 1]
    left, rest = part.lines[:cut], part.lines[cut:]
    whole = part.length == len(part.lines)
    return [
        _Part(rest, [end - cut for end in part.ends[middle:]], len(rest) if whole else part.length),
        _Part(left, part.ends[:middle], cut if whole else 0),
    ]


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except ValueError:
        return False
