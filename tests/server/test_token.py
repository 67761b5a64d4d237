"""The token of a server, and how a browser is let in without showing it."""

from __future__ import annotations

import hmac
import importlib.resources
import re
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

import pytest
import requests
from starlette.routing import BaseRoute, Route

from coagent_langchain import server
from coagent_langchain.server import app
from coagent_langchain.server.running import Running
from coagent_langchain.server.security import OPEN
from tests.server.asking import TOKEN, ask


def routes(found: list[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Method and path of every route of the application."""
    for route in found:
        assert isinstance(route, Route)
        path = re.sub(r"\{[^}]*\}", "x", route.path)
        yield from ((method, path) for method in route.methods or {"GET"})


ROUTES = sorted({*routes(app.ROUTES), ("GET", "/nothing"), ("GET", "/static/../x")})


def test_every_route_needs_the_token(closed: Running) -> None:
    """Every route refuses requests without it, and none refuses it."""
    right, wrong = ({"Authorization": f"Bearer {token}"} for token in (TOKEN, "wrong"))
    given = [(None, {}), (None, wrong), ("HEAD", {}), ("HEAD", right)]
    refused = {
        (method, path): [
            ask(closed, used or method, path, Content_Type="application/json", **headers).status_code == 401
            for used, headers in given
        ]
        for method, path in ROUTES
    }

    assert refused == {route: [True, True, True, False] for route in ROUTES}


def test_the_token_opens(closed: Running) -> None:
    """As the published client sends it, and in no other form."""
    assert ask(closed, Authorization=f"Bearer {TOKEN}").status_code == 200
    assert ask(closed, Authorization=f"bearer  {TOKEN} ").status_code == 200
    assert ask(closed, Authorization=TOKEN).status_code == 401
    assert ask(closed, Authorization=f"Basic {TOKEN}").status_code == 401
    assert ask(closed, path=f"/api/v1/runs?token={TOKEN}").status_code == 401
    assert ask(closed, Authorization="Bearer \xff").status_code == 401


def test_secrets_are_compared_in_constant_time(closed: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Token and cookie, all of each: network times are too rough to tell, so the comparing function is observed."""
    compared: list[bytes] = []
    compare = hmac.compare_digest

    def observed(a: bytes, b: bytes) -> bool:
        compared.append(a)
        return compare(a, b)

    monkeypatch.setattr(hmac, "compare_digest", observed)
    cookie = f"coagent_session_{urlsplit(closed.url).port}"
    ask(closed, Authorization="Bearer in-header", Cookie=f"{cookie}=in-cookie")
    ask(closed, path="/?token=in-address")

    assert {b"in-header", b"in-cookie", b"in-address"} <= {*compared}


def test_a_wrong_token_is_called_wrong(closed: Running) -> None:
    """In the header and in the first page's address; without any, the message says that one is required.

    What a browser sends to a proxy in front that asks for a password is none.
    """
    answers = [ask(closed), ask(closed, Authorization="Basic b3BzOnB3"), ask(closed, Authorization="Bearer nope"),
               ask(closed, path="/?token=nope")]  # fmt: skip
    how = "Authorization: Bearer <token>"

    assert [answer.json()["message"] for answer in answers] == [
        f"a token is required: {how}", f"a token is required: {how}",
        f"the token is wrong: {how}", f"the token is wrong: {how}",
    ]  # fmt: skip


def test_a_browser_without_a_token_gets_a_page(closed: Running) -> None:
    """It says how to open the viewer; the page's own requests and other programs still get JSON."""
    page = ask(closed, Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    wrong = ask(closed, path="/?token=nope", Accept="text/html")

    assert (page.status_code, page.headers["Content-Type"]) == (401, "text/html; charset=utf-8")
    assert page.headers["WWW-Authenticate"] == "Bearer"
    assert ["<h1>A token is required</h1>" in page.text, "<h1>The token is wrong</h1>" in wrong.text] == [True, True]
    assert "/?token=…" in page.text
    assert TOKEN not in page.text
    assert ask(closed, Accept="application/json").headers["Content-Type"] == "application/json"


def test_the_token_in_the_first_pages_address_opens_a_browser(closed: Running) -> None:
    """Any number of times, and it is removed from the address; a wrong one does not, nor does it on another page."""
    for _ in range(2):
        answer = ask(closed, path=f"/?token={TOKEN}&q=x")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/?q=x")
        assert "coagent_session_" in answer.headers["Set-Cookie"]
    assert ask(closed, path="/?token=wrong").status_code == 401
    assert ask(closed, path=f"/docs?token={TOKEN}").status_code == 401


@pytest.mark.parametrize(("given", "leads"), [
    ("/sessions/a%2Fb?event=e-1", "/sessions/a%2Fb?event=e-1"), ("/?q=x", "/?q=x"), ("", "/"), ("sessions", "/"),
    ("//evil.com", "/"), ("/\\evil.com", "/"), ("https://evil.com/", "/"), ("javascript:alert(1)", "/"),
    ("/\t/evil.com", "/"), ("\t//evil.com", "/"), ("/x\r\nSet-Cookie: a=b", "/"), ("/\u2215evil.com", "/"),
])  # fmt: skip
def test_token_leads_on_to_a_path_of_this_server_only(closed: Running, given: str, leads: str) -> None:
    """Not to one that a browser would take for another server's address."""
    answer = ask(closed, path="/?" + urlencode({"token": TOKEN, "next": given}))

    assert (answer.status_code, answer.headers["Location"]) == (303, leads)


@pytest.mark.parametrize(("path", "asked"), [
    ("/sessions/a%2Fb?event=e-1", "/sessions/a%2Fb?event=e-1"), (f"/docs?token={TOKEN}", "/docs"),
    ("/?token=nope&next=/docs", "/docs"), ("//evil.com/", "/"), ("/?next=//evil.com", "/"),
    ("/?q=%22%3E%3Cscript%3E", "/?q=%22%3E%3Cscript%3E"),
])  # fmt: skip
def test_page_that_asks_for_the_token_knows_where_it_leads(closed: Running, path: str, asked: str) -> None:
    """To the requested address, even after a wrong token; no token is written into the page."""
    page = ask(closed, path=path, Accept="text/html").text

    assert re.findall(r'name="next" value="([^"]*)"', page) == [asked]
    assert TOKEN not in page


def test_browser_that_is_let_in_already_does_not_keep_the_token_in_its_address(closed: Running) -> None:
    """A page whose address has the token redirects even with the cookie."""
    cookie = ask(closed, path=f"/?token={TOKEN}").headers["Set-Cookie"].partition(";")[0]
    again = ask(closed, path=f"/?token={TOKEN}&q=x", Cookie=cookie)

    assert (again.status_code, again.headers["Location"]) == (303, "/?q=x")


def test_only_what_dresses_the_page_that_asks_for_the_token_is_open(closed: Running) -> None:
    """Its style sheet and the icon; no script, no other style, no writes."""
    static = importlib.resources.files("coagent_langchain.server") / "static"
    paths = [f"/static/{file.name}" for file in static.iterdir()]

    assert {path for path in paths if ask(closed, path=path).status_code != 401} == set(OPEN)
    assert [ask(closed, "POST", path, Content_Type="application/json").status_code for path in OPEN] == [401, 401]


def test_one_time_address_gives_the_browser_a_cookie(closed: Running) -> None:
    """The address works once, leaves no secret in the address bar, and sets a cookie that keeps working.

    Whoever only asks about it, such as a chat that checks links, does not use it up.
    """
    path = closed.login_url().removeprefix(closed.url)
    asked = ask(closed, "HEAD", path)
    welcome = ask(closed, path=path)
    cookie = welcome.headers["Set-Cookie"]

    assert (asked.status_code, welcome.status_code, welcome.headers["Location"]) == (401, 303, "/")
    assert {part.strip().lower() for part in cookie.split(";")[1:]} == {"httponly", "samesite=strict", "path=/"}
    assert ask(closed, Cookie=cookie.partition(";")[0]).status_code == 200
    assert ask(closed, path=path).status_code == 401


def test_cookie_of_another_start_is_worth_nothing(closed: Running) -> None:
    """Each start has its own secret."""
    cookie = ask(closed, path=closed.login_url().removeprefix(closed.url)).headers["Set-Cookie"].partition(";")[0]
    with server.launch(token=TOKEN) as other:
        assert ask(other, Cookie=cookie, Host=urlsplit(closed.url).netloc).status_code == 401


def test_two_servers_on_one_host_do_not_log_each_other_out(closed: Running) -> None:
    """A browser keeps one cookie of a name for all ports of a host."""
    with server.launch(token=TOKEN) as other, requests.Session() as browser:
        for each in (closed, other):
            browser.get(each.login_url())

        assert [browser.get(each.url).status_code for each in (closed, other)] == [200, 200]


@pytest.mark.parametrize("host", ["logs.example.com", "logs.example.com:", "logs.example.com:\xb2"])
def test_browser_is_let_in_under_a_name_without_a_port(closed: Running, host: str) -> None:
    """That of a proxy; what is no port does not get into the cookie's name."""
    welcome = ask(closed, path=f"/?token={TOKEN}", Host=host)

    assert welcome.headers["Set-Cookie"].partition("=")[0] == "coagent_session"


def test_welcome_redirects_to_itself_only(closed: Running) -> None:
    """It never redirects to an address taken from the request."""
    ticket = closed.login_url().partition("ticket=")[2]

    assert ask(closed, path=f"//evil.com/?ticket={ticket}").headers["Location"] == "/"
