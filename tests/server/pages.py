"""Shared by the tests of pages: logging to a server, and what its pages show."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import requests

from coagent_langchain.server.intake import MAX_ENTRIES
from coagent_langchain.server.running import Running

ACCEPT = "text/html,application/xhtml+xml,*/*;q=0.8"  # a browser's, for a page


def log(server: Running, entries: Iterable[dict[str, Any]]) -> None:
    """Log entries as a client does, in batches."""
    waiting = list(entries)
    for start in range(0, len(waiting), MAX_ENTRIES):
        answer = requests.post(f"{server.base_url}/logs", json=waiting[start : start + MAX_ENTRIES], timeout=60)
        assert answer.status_code == 200, answer.text


def get(server: Running, path: str, accept: str = "*/*") -> requests.Response:
    """A page or fragment."""
    return requests.get(server.url + path, timeout=30, headers={"Accept": accept})


def titles(server: Running, query: str = "") -> list[str]:
    """The session ids of the list, from top to bottom."""
    page = get(server, f"/{query}")
    page.raise_for_status()
    return re.findall(r'name="s" value="([^"]*)"', page.text)


def shown(server: Running, path: str) -> str:
    """The visible text of a page, with single spaces."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", get(server, path).text))
