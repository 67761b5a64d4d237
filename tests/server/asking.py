"""Requests to a server that may want a token, and the token of one that does."""

from __future__ import annotations

import json

import requests

from coagent_langchain.server.running import Running
from tests.server.samples import entry

TOKEN = "s3cret-token"


def ask(running: Running, method: str = "GET", path: str = "/api/v1/runs", body: bytes | None = None,
        **headers: str) -> requests.Response:  # fmt: skip
    """A request with the given headers (underscores for dashes), without following redirects."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.request(method, running.url + path, data=body, headers=named, allow_redirects=False, timeout=10)


def post(running: Running, **headers: str) -> int:
    """The status of storing one valid entry with these headers."""
    given = {"Content_Type": "application/json"} | headers
    return ask(running, "POST", "/api/v1/logs", json.dumps(entry()).encode(), **given).status_code
