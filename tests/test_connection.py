"""What the client's requests tell when they fail."""

from __future__ import annotations

import http.server
from collections.abc import Iterator

import pytest

from coagent_langchain import CoagentClient, CoagentClientError
from tests.loopback import serving


class Repeating(http.server.BaseHTTPRequestHandler):
    """Refuses every request, and repeats its token; `paths` are those that were asked for."""

    paths: list[str]

    def do_GET(self) -> None:
        self.paths.append(self.path)
        self.send_response(403)
        self.end_headers()
        self.wfile.write(f"who is {self.headers['Authorization']}?".encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def base_url() -> Iterator[str]:
    """The address of such a server."""
    Repeating.paths = []
    with serving(http.server.HTTPServer(("127.0.0.1", 0), Repeating)) as port:
        yield f"http://127.0.0.1:{port}/api/v1"


def test_token_that_a_refused_read_repeats_is_not_shown(base_url: str) -> None:
    """Nor is it in the traceback that the application logs."""
    with CoagentClient(base_url, "token-4711") as client, pytest.raises(CoagentClientError) as refused:
        client.get_runs()

    assert str(refused.value).endswith("HTTP 403: who is Bearer ***?")
    assert "token-4711" not in repr(vars(refused.value))


def test_closed_client_has_made_no_attempt(base_url: str) -> None:
    """The error says what to do, and that nothing was sent."""
    client = CoagentClient(base_url)
    client.close()
    with pytest.raises(CoagentClientError, match="the client is closed; create a new one") as refused:
        client.get_runs()

    assert (refused.value.attempts, refused.value.status) == (0, None)


@pytest.mark.parametrize(("session_id", "written"), [("a/b c", "a%2Fb%20c"), ("ü?#", "%C3%BC%3F%23")])
def test_session_id_is_one_part_of_the_path(base_url: str, session_id: str, written: str) -> None:
    """Whatever characters it has: a slash would lead elsewhere."""
    with CoagentClient(base_url) as client, pytest.raises(CoagentClientError):
        client.get_logs(session_id)

    assert Repeating.paths == [f"/api/v1/logs/{written}"]
