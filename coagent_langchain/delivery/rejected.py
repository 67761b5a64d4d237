"""Entries that the server will never accept, kept beside the spool: one line each, with `time`, `reason`, `entry`."""

from __future__ import annotations

import contextlib
import os
import posix
from collections.abc import Iterator
from pathlib import Path

import orjson

from coagent_langchain.wire import JsonObject, now_ms

MAX_BYTES = 8 << 20  # of one file; then it replaces `rejected-old.jsonl`


def keep_rejected(folder: Path | None, line: bytes, reason: str) -> None:
    """Record one rejected entry if there is a folder and the disk allows it."""
    if folder is None:
        return
    record: JsonObject = {"time": now_ms(), "reason": reason}
    try:
        written = orjson.dumps({**record, "entry": orjson.loads(line)}, option=orjson.OPT_APPEND_NEWLINE)
    except (ValueError, TypeError):  # not JSON, or nested too deep to be put into another object
        text = line.decode("utf-8", "replace")
        written = orjson.dumps({**record, "entry": text}, option=orjson.OPT_APPEND_NEWLINE)
    with contextlib.suppress(OSError):  # the worker counts and logs it all the same
        _append(written, *_files(folder))


def _append(record: bytes, old: Path, path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # there is none yet, or another process has just moved it
        if path.stat().st_size + len(record) > MAX_BYTES:
            path.replace(old)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = posix.open(path, flags, 0o600)
    try:
        size = posix.fstat(descriptor).st_size
        if posix.write(descriptor, record) < len(record):  # the disk is full: a partial record would spoil the next one
            posix.ftruncate(descriptor, size)
    finally:
        posix.close(descriptor)


def rejected_entries(folder: Path) -> Iterator[JsonObject]:
    """The records of a folder's rejected entries, the oldest first, without records that a crash cut short."""
    for path in _files(folder):
        if path.is_file():
            with path.open("rb") as lines:
                for line in lines:
                    with contextlib.suppress(orjson.JSONDecodeError):
                        yield orjson.loads(line)


def discard_rejected(folder: Path) -> int:
    """Delete the records of a folder's rejected entries; return how many there were."""
    count = sum(1 for _ in rejected_entries(folder))
    for path in _files(folder):
        path.unlink(missing_ok=True)
    return count


def _files(folder: Path) -> list[Path]:
    """Where rejected entries are kept, the older first."""
    return [folder / "rejected-old.jsonl", folder / "rejected.jsonl"]
