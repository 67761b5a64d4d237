"""The spool folder of one destination: its name, its creation, and the address of its server."""

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
    """The folder for one server's events, named by its host and a hash of its address."""
    url = public_url(base_url)
    host = re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(url).hostname or "server")[:64]
    return spool_dir / f"{host}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


def make_private_folder(folder: Path, address: str) -> None:
    """Create the folder and its parents, accessible to this user only, and record the server's address in it.

    Raises:
        OSError: the folder cannot be created.
    """
    _make(folder)
    with contextlib.suppress(OSError):  # it is there already, or the disk is full: the folder's name must do
        _note(folder / _ADDRESS, f"{address}\n".encode())


def _make(folder: Path) -> None:
    # Not `os.mkdir`: `langgraph dev` (blockbuster) replaces it with one that raises in an event loop, where a hook
    # may have to create the folder.
    try:
        posix.mkdir(folder, mode=0o700)
    except FileNotFoundError:
        _make(folder.parent)
        with contextlib.suppress(FileExistsError):
            posix.mkdir(folder, mode=0o700)
    except OSError:  # not always FileExistsError if it exists: the system reports the first error it finds
        if not folder.is_dir():
            raise


def _note(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, content, 0)  # `os.write` may be replaced too
    except OSError:
        os.unlink(path)  # an empty file would prevent another attempt once there is space
        raise
    finally:
        os.close(descriptor)


def address_of(folder: Path) -> str:
    """The address of the folder's server, or the folder's name if none was recorded."""
    try:
        return (folder / _ADDRESS).read_text(encoding="utf-8", errors="replace").strip() or folder.name
    except OSError:
        return folder.name
