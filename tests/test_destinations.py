"""One delivery for each server and spool folder, with the latest token."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from langchain_core.runnables import RunnableLambda

from coagent_langchain import CoagentCallbackHandler, CoagentClient
from coagent_langchain.config import Settings
from coagent_langchain.delivery import delivery_for
from coagent_langchain.server import launch
from tests.delivery_parts import line
from tests.faulty_server import Answer, FaultyServer, Request

ANOTHER_TOKEN = (
    "delivery to http://127.0.0.1:1/api/v1: another token is now used for this spool folder and sends every event, "
    "including those already waiting; unless it renews the former one, give each tenant its own spool_dir"
)


def test_one_delivery_for_each_destination(tmp_path: Path) -> None:
    """A destination is a server and a folder, whatever the token; without a folder, a server and a token."""
    server = Settings(base_url="http://127.0.0.1:1/api/v1", spool_dir=tmp_path / "one")
    same = [replace(server), replace(server, auth_token="old"), replace(server, auth_token="new")]
    nameless = replace(server, spool_dir=None)
    others = [replace(server, base_url="http://127.0.0.1:2/api/v1"), replace(server, spool_dir=tmp_path / "two"),
              nameless, replace(nameless, auth_token="old"), replace(nameless, auth_token="new")]  # fmt: skip

    assert {delivery_for(settings) for settings in same} == {delivery_for(server)}
    assert len({delivery_for(settings) for settings in [server, *others]}) == 6


def test_renewed_token_delivers_at_once_what_the_old_one_could_not(tmp_path: Path) -> None:
    """The worker does not wait a minute after a 401; a handler without a token does not replace it."""

    def knows_new(request: Request) -> Answer:
        return Answer() if request.headers.get("Authorization") == "Bearer new" else Answer(401)

    with FaultyServer(knows_new) as server:
        settings = Settings(base_url=server.base_url, spool_dir=tmp_path, auth_token="old")
        delivery_for(settings).append(line("a"))
        refused = server.wait_for(lambda: bool(server.requests))
        delivery_for(replace(settings, auth_token="new"))
        renewed = server.wait_for(lambda: server.stored == ["a"])
        delivery = delivery_for(replace(settings, auth_token=None))
        delivery.append(line("b"))
        flushed = delivery.flush(10)

    assert (refused, renewed, flushed, server.stored) == (True, True, True, ["a", "b"])


def test_conversation_goes_on_with_a_renewed_token(tmp_path: Path) -> None:
    """A handler with the new token continues the numbering and sends the prompt that the old one could not."""
    with launch(token="new") as server:
        for token in ("old", "new"):
            handler = CoagentCallbackHandler("talk", base_url=server.base_url, auth_token=token, spool_dir=tmp_path)
            RunnableLambda(str).invoke(f"with {token}", {"callbacks": [handler]})
        assert handler.flush(10)
        with CoagentClient(server.base_url, "new") as client:
            asked = [(e.prompt_number, e["prompt"]) for e in client.get_logs("talk") if e.event_type == "user_input"]

    assert asked == [(1, "with old"), (2, "with new")]


def test_client_does_not_bring_an_old_token_back() -> None:
    """The sessions of a long-lived client use the token that was set after its own."""
    with launch(token="new") as server, CoagentClient(server.base_url, "old") as client:
        with client.start_session("first"):
            pass
        delivery = delivery_for(Settings.load(base_url=server.base_url, auth_token="new"))
        with client.start_session("second"):
            pass

        assert delivery.flush(10)


def test_tokens_that_alternate_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Two tenants that share a folder use each other's token: there is one warning, without a token in it."""
    settings = Settings(base_url="http://127.0.0.1:1/api/v1", spool_dir=tmp_path)
    for token in ("one", "renewed", "other"):
        delivery_for(replace(settings, auth_token=token))
    before = caplog.messages.copy()
    for token in ("renewed", "other", "renewed"):
        delivery_for(replace(settings, auth_token=token))

    assert before == []
    assert caplog.messages == [ANOTHER_TOKEN]


def test_token_that_takes_over_from_a_handler_that_lives_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A second tenant's token would send the first one's events: this warns even if none wait yet."""

    def handler(token: str | None) -> CoagentCallbackHandler:
        return CoagentCallbackHandler(base_url="http://127.0.0.1:1/api/v1", auth_token=token, spool_dir=tmp_path)

    tenants = [handler(None), handler("one"), handler("one"), handler(None)]
    before = caplog.messages.copy()
    tenants += [handler("other"), handler("third")]

    assert (before, caplog.messages) == ([], [ANOTHER_TOKEN])


def test_token_that_takes_over_while_events_wait_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The new token also sends waiting events of a handler that is gone."""
    with FaultyServer(lambda request: Answer(401)) as server:
        settings = Settings(base_url=server.base_url, spool_dir=tmp_path, auth_token="one")
        delivery_for(settings).append(line("a"))
        del settings
        delivery_for(Settings(base_url=server.base_url, spool_dir=tmp_path, auth_token="other"))

    assert [message for message in caplog.messages if "another token" in message] == [
        ANOTHER_TOKEN.replace("http://127.0.0.1:1/api/v1", server.base_url)
    ]
