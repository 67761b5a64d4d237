"""What the machine's network has."""

from __future__ import annotations

import socket

import pytest


def skip_without_ipv6() -> None:
    """Skip the test on a machine without IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
