"""Shared by the delivery tests: entries, spools, and deliveries to a faulty server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from coagent_langchain.config import Settings
from coagent_langchain.delivery.leftovers import Leftovers
from coagent_langchain.delivery.spool import Spool
from coagent_langchain.delivery.spooled_delivery import SpooledDelivery

TOKEN = "secret-token-4711"
QUOTA = 1 << 30
ADDRESS = "http://localhost:3000/api/v1"
LINES = [b'{"n":%d}\n' % number for number in range(5)]


def line(event_id: str, text: str = "", timestamp: int = 1_700_000_000_000) -> bytes:
    """One entry as a JSON line."""
    made = {
        "version": "2.0.0",
        "session_id": "s",
        "prompt_number": 1,
        "turn_number": 0,
        "event_id": event_id,
        "event_type": "info",
        "timestamp": timestamp,
        "output_data": {"message": text},
    }
    return orjson.dumps(made, option=orjson.OPT_APPEND_NEWLINE)


def ids(count: int, prefix: str = "e") -> list[str]:
    """`count` event ids."""
    return [f"{prefix}{number}" for number in range(count)]


def left_by_the_dead(folder: Path, content: bytes, owner: str = "1-deadbeef", number: int = 0) -> Path:
    """Write a segment whose owner is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{owner}-{number:06d}.jsonl"
    path.write_bytes(content)
    return path


@contextmanager
def delivery_to(base_url: str, spool_dir: Path | None, **settings: Any) -> Iterator[SpooledDelivery]:
    """A delivery that is closed without waiting for what it still holds."""
    made = SpooledDelivery(Settings(base_url=base_url, spool_dir=spool_dir, **settings))
    try:
        yield made
    finally:
        made._worker.stop(5)
        made._spool.abandon()
        made._worker.abandon()


def append_each(delivery: SpooledDelivery, event_ids: list[str]) -> None:
    """Append an entry for each id."""
    for event_id in event_ids:
        delivery.append(line(event_id))


def spool_in(folder: Path | None, quota: int = QUOTA) -> Spool:
    """A spool owned by this process."""
    return Spool(folder, quota, ADDRESS)


def segments(folder: Path) -> list[Path]:
    """The segment files of a folder."""
    return sorted(folder.glob("*.jsonl"))


def read_all(source: Spool | Leftovers) -> bytes:
    """Read everything from a source, settling it block by block."""
    found = b""
    while block := source.read():
        found += block
        source.settle(len(block), block.count(b"\n"))
    return found
