"""Live views: their messages, how many there may be, and how they end."""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests

from coagent_langchain.server import live
from coagent_langchain.server.running import GRACE, Running
from tests.server.pages import log
from tests.server.samples import entry
from tests.waiting import until


@contextlib.contextmanager
def messages(server: Running, query: str = "") -> Iterator[Iterator[str]]:
    """The messages of a live view's stream, each with its lines joined."""
    with requests.get(f"{server.url}/view/live{query}", stream=True, timeout=10) as answer:
        lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
        yield (", ".join(iter(lambda: next(lines), "")) for _ in itertools.count())


def test_live_view_tells_of_news(running: Running) -> None:
    """The list's for every session, a session's only for its own; both begin with an id."""
    with messages(running) as every, messages(running, "?session=b") as one:
        begun = [next(every), next(one)]
        told = []
        for _ in range(2):  # in between, the other stream has looked for news, too
            log(running, [entry(session_id="a")])
            told.append(next(every))
        log(running, [entry(session_id="b")])
        told += [next(every), next(one)]

    assert begun == ["retry: 2000, id: 0"] * 2
    assert told == [f"event: news, id: {number}, data: {number}" for number in (1, 2, 3, 3)]


def test_live_view_says_that_it_is_still_there(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """At intervals while nothing happens, so that a dead connection is noticed."""
    monkeypatch.setattr(live, "POLL_S", 0.01)
    monkeypatch.setattr(live, "BEAT_S", 0.015)
    with messages(running) as told:
        assert [next(told), next(told), next(told)] == ["retry: 2000, id: 0", ": still here", ": still here"]


def test_no_more_pages_are_live_than_the_limit(running: Running) -> None:
    """Also if all of them connect at the same moment, as after a restart."""
    address = urlsplit(running.url)
    with contextlib.ExitStack() as stack:
        pages = [stack.enter_context(socket.create_connection((address.hostname, address.port), 10)) for _ in range(90)]
        for page in pages:
            page.sendall(b"GET /view/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answered = Counter(page.recv(12) for page in pages)
        refused = requests.get(f"{running.url}/view/live", timeout=10)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
    assert answered == {b"HTTP/1.1 200": live.MAX_CLIENTS, b"HTTP/1.1 503": 90 - live.MAX_CLIENTS}


def test_live_view_that_is_left_gives_its_place_back(running: Running) -> None:
    """A client that was told to retry later gets it."""
    with contextlib.ExitStack() as streams:
        for _ in range(20):
            streams.enter_context(requests.get(f"{running.url}/view/live", stream=True, timeout=10))

    until(lambda: requests.head(f"{running.url}/view/live", timeout=10).status_code == 200)


def test_question_about_a_live_view_takes_no_place(running: Running) -> None:
    """HEAD is answered as GET is and ends, though its connection stays open."""
    with contextlib.ExitStack() as connections:
        asked = [connections.enter_context(requests.Session()).head(f"{running.url}/view/live", timeout=10)
                 for _ in range(20)]  # fmt: skip
        with requests.get(f"{running.url}/view/live", stream=True, timeout=10) as answer:
            told = [(each.status_code, each.headers["Content-Type"]) for each in (*asked, answer)]

    assert told == [(200, "text/event-stream; charset=utf-8")] * 21


def test_live_view_asks_proxies_not_to_buffer_it(running: Running) -> None:
    """In nginx's terms, and in those of proxies that compress: each would hold events back until a buffer is full."""
    with requests.get(f"{running.url}/view/live", stream=True, timeout=10) as answer:
        said = {name: answer.headers[name] for name in ("X-Accel-Buffering", "Cache-Control")}

    assert said == {"X-Accel-Buffering": "no", "Cache-Control": "no-store, no-transform"}


def test_closing_waits_for_no_live_view(running: Running) -> None:
    """A server with an open stream does not wait as it does for requests; the stream ends cleanly."""
    with requests.get(f"{running.url}/view/live", stream=True, timeout=10) as answer:
        stream = answer.iter_content(None)
        first = next(stream)
        began = time.monotonic()
        running.close()
        took = time.monotonic() - began
        rest = list(stream)

    assert (first, rest, took < GRACE) == (b"retry: 2000\nid: 0\n\n", [], True)
