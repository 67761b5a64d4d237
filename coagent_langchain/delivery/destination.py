"""The folder of one destination: its name, how it is made, and the address of its server."""

from __future__ import annotations

import contextlib
import hashlib
import os
import posix
import re
from pathlib import Path
from urllib.parse import urlsplit

from coagent_langchain.config import public_url

_ADDRESS = "destination"  # the file that names the server: the folder's name holds its host and a hash only


def destination_folder(spool_dir: Path, base_url: str) -> Path:
    """Where the events for one server lie: a readable host, and a hash that tells its addresses apart."""
    url = public_url(base_url)
    host = re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(url).hostname or "server")[:64]
    return spool_dir / f"{host}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


def make_private_folder(folder: Path, address: str) -> None:
    """Make the folder and the one around it, for this user alone, and note the server's address in it.

    Raises:
        OSError: the folder cannot be made.
    """
    _make(folder)
    with contextlib.suppress(OSError):  # it is there already; or the disk is full: the folder's name must do
        _note(folder / _ADDRESS, f"{address}\n".encode())


def _make(folder: Path) -> None:
    # Not by `os.mkdir`: `langgraph dev` (blockbuster) replaces that by one that raises in an event loop, and a hook
    # that runs there may have to make the folder.
    try:
        posix.mkdir(folder, mode=0o700)
    except FileNotFoundError:
        _make(folder.parent)
        with contextlib.suppress(FileExistsError):
            posix.mkdir(folder, mode=0o700)
    except OSError:  # of one that is there, too: the system says what it finds first
        if not folder.is_dir():
            raise


def _note(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, content, 0)  # `os.write` may be replaced, too
    except OSError:
        os.unlink(path)  # an empty one would keep it from being noted once there is space
        raise
    finally:
        os.close(descriptor)


def address_of(folder: Path) -> str:
    """The address of the folder's server, or where nobody noted it, the folder's name."""
    try:
        return (folder / _ADDRESS).read_text(encoding="utf-8", errors="replace").strip() or folder.name
    except OSError:
        return folder.name
