"""Certificates and proxies on the way to the server, by the usual variables."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest
import trustme

from coagent_langchain.delivery.transport import Transport
from coagent_langchain.delivery.verdict import judge
from tests.faulty_server import FaultyServer


@pytest.fixture
def secured() -> Iterator[tuple[str, str]]:
    """A server with a certificate from an unknown authority; yields its address and the authority's file."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FaultyServer(tls=context) as server, authority.cert_pem.tempfile() as path:
        yield server.base_url, path


def test_unknown_certificate_is_not_accepted(secured: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS is verified by default."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)

    reply = Transport(secured[0]).post(b"{}")

    assert (reply.status, reply.body.partition(":")[0]) == (None, "SSLError")


@pytest.mark.parametrize("bundle", ["", "/missing.pem", __file__])
def test_certificates_that_do_not_vouch_for_the_server_are_named_as_the_cause(
    bundle: str, secured: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown authority, a missing file, and one without certificates have the same remedy."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    reason = judge(Transport(secured[0]).post(b"{}"), 1).reason

    assert reason.endswith(" (REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names the file of the certificates to trust)")


def test_custom_authority_by_the_usual_variable(secured: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`REQUESTS_CA_BUNDLE` sets a custom authority."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", secured[1])

    assert Transport(secured[0]).post(b"{}").status == 200


def test_proxy_by_the_usual_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """`HTTP_PROXY` is used, and its errors do not show the proxy's password."""
    monkeypatch.setenv("http_proxy", "http://user:hush@127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")

    reply = Transport("http://coagent.example/api/v1").post(b"{}")

    assert (reply.body.partition(":")[0], "hush" in reply.body) == ("ProxyError", False)


@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:1", "http://", "http://[", "ftp://localhost", "socks5://localhost"]
)
def test_proxy_that_cannot_be_used_is_named_as_the_cause(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries' errors for it have many names, and few of them mention a proxy."""
    monkeypatch.setenv("http_proxy", proxy)
    reason = judge(Transport("http://coagent.example/api/v1").post(b"{}"), 1).reason

    assert reason.endswith(" (HTTP_PROXY or HTTPS_PROXY sets the proxy, NO_PROXY the servers to reach without it)")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_proxy_leads_to_this_machine(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds even if only `HTTP_PROXY` is set: the proxy's localhost is another machine."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with FaultyServer() as server:
        reply = Transport(server.base_url.replace("127.0.0.1", host)).post(b"{}")

    assert reply.status == 200
