"""The page about the API: everything in the OpenAPI document, and commands that work."""

from __future__ import annotations

import html
import os
import re
import shlex
import shutil
import subprocess
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
import requests

from coagent_langchain import server
from coagent_langchain.server.running import Running
from coagent_langchain.wire import EventType
from tests.server.asking import TOKEN


def page(running: Running, **headers: str) -> str:
    """The page's HTML."""
    return requests.get(f"{running.url}/docs", headers=headers, timeout=10).text


def words(section: str) -> str:
    """The visible text of a piece of HTML."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", section)))


def section(text: str, anchor: str) -> str:
    """The visible text of one section."""
    return words(text.split(f'id="{anchor}"', 1)[1].split("</section>")[0])


def commands(text: str) -> list[str]:
    """The commands offered for copying."""
    return [html.unescape(found) for found in re.findall(r'<pre id="curl-\d+"[^>]*>(.*?)</pre>', text, re.DOTALL)]


def test_every_request_of_the_document_is_on_the_page(running: Running) -> None:
    """Method, path, summary, each parameter, each response with its meaning."""
    document = requests.get(f"{running.base_url}/openapi.json", timeout=10).json()
    text = page(running)
    given = [(method, path, one) for path, methods in document["paths"].items() for method, one in methods.items()]
    missing = []
    for number, (method, path, one) in enumerate(given, 1):
        expected = [f"{method.upper()} {path}", one["summary"], *(each["name"] for each in one.get("parameters", ()))]
        expected += [part for status, each in one["responses"].items() for part in (status, each["description"])]
        seen = section(text, f"request-{number}")
        missing += [part for part in expected if part not in seen]

    assert (len(given), missing) == (4, [])


def test_what_a_filter_gives_may_be_any_json(running: Running) -> None:
    """The result depends on the expression; the schema called Result is only that of a refusal."""
    seen = section(page(running), "request-4")

    assert "200 any JSON the requested data" in seen
    assert "400 Result not JMESPath" in seen


def test_every_event_type_has_its_fields_and_an_example(running: Running) -> None:
    """The fields of a type's objects one by one, and an example as JSON that the server accepts."""
    text = page(running)
    examples = [
        orjson.loads(html.unescape(text.split(f'id="example-{kind}"')[1].split(">", 1)[1].split("</pre>")[0]))
        for kind in EventType
    ]
    answer = requests.post(f"{running.base_url}/logs", json=examples, timeout=10)

    assert [example["event_type"] for example in examples] == list(EventType)
    assert answer.status_code == 200
    assert "tool_response.execution_time_ms integer" in section(text, "type-tool_response")
    assert "error_info.error_severity Severity" in section(text, "type-error")


def test_every_object_of_the_document_is_on_the_page(running: Running) -> None:
    """With all its fields."""
    schemas = requests.get(f"{running.base_url}/openapi.json", timeout=10).json()["components"]["schemas"]
    text = page(running)
    missing = {
        (name, field): section(text, name)
        for name, schema in schemas.items()
        for field in [*schema.get("properties", ()), *schema.get("enum", ())]
        if f" {field} " not in section(text, name)
    }

    assert missing == {}
    assert "session_id string, 1 to 512 characters required" in section(text, "LogEntry")


def test_number_that_may_be_unknown_has_the_type_of_a_number(running: Running) -> None:
    """That it may be null is in its description."""
    types = re.findall(r"(\w+) (\S+) (?:US dollars; )?null if", section(page(running), "Summary"))

    assert types == [("total_tokens", "integer"), ("cost", "number")]


def test_every_link_of_the_page_leads_somewhere(running: Running) -> None:
    """Each anchor exists once, other addresses respond, and the document's own references resolve."""
    text = page(running)
    anchors = re.findall(r' id="([^"]+)"', text)
    links = set(re.findall(r'(?:href|src)="([^"]+)"', text))
    document = orjson.dumps(requests.get(f"{running.base_url}/openapi.json", timeout=10).json()).decode()
    references = {f"#{name}" for name in re.findall(r'"#/components/schemas/(\w+)"', document)}
    local = {link for link in links | references if link.startswith("#") and link != "#"}
    lost = [link for link in sorted(links - local - {"#"}) if requests.get(
        link if "://" in link else running.url + link, timeout=10).status_code != 200]  # fmt: skip

    assert {link[1:] for link in local} - set(anchors) - {name for name in anchors if name.startswith("i-")} == set()
    assert len(anchors) == len(set(anchors))
    assert lost == []


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
@pytest.mark.parametrize("token", [None, TOKEN])
def test_the_commands_work_as_they_are_copied(token: str | None) -> None:
    """In a shell, one after the other: the first one's entry is what the others read."""
    with server.launch(token=token) as running:
        text = page(running, **({"Authorization": f"Bearer {token}"} if token else {}))
        answers: list[Any] = []
        for command in commands(text):
            done = subprocess.run(
                ["sh", "-c", command.replace("curl ", "curl --silent --fail ", 1)], capture_output=True, timeout=30,
                check=True, env=os.environ | {"COAGENT_AUTH_TOKEN": token or "", "no_proxy": "*"},
            )  # fmt: skip
            answers.append(orjson.loads(done.stdout))

    stored = orjson.loads(shlex.split(commands(text)[0])[-1])
    assert [answer["message"] for answer in answers[:1]] == ["Log entry stored successfully"]
    assert answers[1:] == [
        [stored],
        [{"run_id": "trip-1", "log_count": 1, "start_timestamp": 1_763_800_000_000,
          "end_timestamp": 1_763_800_000_000, "status": "no end", "title": "Plan a trip",
          "total_tokens": None, "cost": None, "errors": 0, "failure": "", "models": [], "tags": []}],
        [],
    ]  # fmt: skip


def test_the_page_needs_the_token(running: Running) -> None:
    """401 without it; with it the page mentions it, and without one it says that none is required."""
    with server.launch(token=TOKEN) as closed:
        refused = requests.get(f"{closed.url}/docs", timeout=10).status_code
        opened = page(closed, Authorization=f"Bearer {TOKEN}")

    assert refused == 401
    assert "This server requires a token" in opened
    assert TOKEN not in opened
    assert "This server requires no token" in page(running)


def test_server_without_a_token_asks_for_none_whatever_a_browser_sends(running: Running) -> None:
    """The cookie of a server with a token that ran on this port before, or the password of a proxy in front."""
    cookie = f"coagent_session_{urlsplit(running.url).port}=before"
    first = requests.get(running.url, headers={"Cookie": cookie}, timeout=10).text
    manuals = [page(running, Cookie=cookie), page(running, Authorization="Basic eDp5")]

    assert ["This server requires no token" in manual for manual in manuals] == [True, True]
    assert "requires a token" not in first


def test_the_pages_link_to_it(running: Running) -> None:
    """From the header of every page."""
    browser = {"Accept": "text/html"}
    pages = [requests.get(running.url + path, headers=browser, timeout=10).text
             for path in ("/", "/compare", "/docs", "/sessions/x")]  # fmt: skip

    assert [text.split("</header>")[0].count('href="/docs"') for text in pages] == [1] * 4


def test_the_page_has_no_script_or_style_of_its_own(running: Running) -> None:
    """Everything is loaded from /static; the content policy would block anything else."""
    text = page(running)
    scripts = re.findall(r"<script\b([^>]*)>(.*?)</script>", text, re.DOTALL)

    assert scripts
    assert [one for one in scripts if one[1] or 'src="/static/' not in one[0]] == []
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", text) == []
