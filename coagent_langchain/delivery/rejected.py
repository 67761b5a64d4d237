"""Entries that the server will never take, kept with the reason beside the spool."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import orjson

from coagent_langchain.events import JsonObject, now_ms

MAX_BYTES = 8 << 20  # then the file becomes `rejected-old.jsonl`, in the place of the one before it


class Rejected:
    """The file `rejected.jsonl`: a line each, with `time`, `reason` and `entry`.

    Parameters:
        folder: where it lies; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def keep(self, line: bytes, reason: str) -> None:
        """Write one rejected entry down, as far as the disk allows it."""
        if self._folder is None:
            return
        try:
            entry = orjson.loads(line)
        except ValueError:
            entry = line.decode("utf-8", "replace")
        record = {"time": now_ms(), "reason": reason, "entry": entry}
        try:
            self._append(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE), self._folder)
        except OSError:  # counted and logged by the worker all the same
            return

    @staticmethod
    def _append(record: bytes, folder: Path) -> None:
        path = folder / "rejected.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            if os.fstat(descriptor).st_size + len(record) > MAX_BYTES:
                path.rename(folder / "rejected-old.jsonl")
            os.write(descriptor, record)
        finally:
            os.close(descriptor)


def rejected_entries(folder: Path) -> Iterator[JsonObject]:
    """The records of a folder's rejected entries, the oldest first."""
    for name in ("rejected-old.jsonl", "rejected.jsonl"):
        path = folder / name
        if path.is_file():
            with path.open("rb") as lines:
                yield from (orjson.loads(line) for line in lines if line.endswith(b"\n"))
