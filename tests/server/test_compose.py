"""docs/compose/compose.yaml: ClickHouse and two servers behind a proxy, checked without starting them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from coagent_langchain.cli import parser

FILE = Path(__file__).parents[2] / "docs/compose/compose.yaml"
SECRETS = {"COAGENT_AUTH_TOKEN": "a-token", "CLICKHOUSE_PASSWORD": "a-password"}
SERVERS = ("one", "two")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file, with YAML merges resolved."""
    parsed: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return parsed


def test_services_and_what_they_wait_for(compose: dict[str, Any]) -> None:
    """Two servers that wait until the database is healthy, and a proxy that waits for both."""
    waits = {name: service.get("depends_on", {}) for name, service in compose["services"].items()}

    assert waits == {
        "clickhouse": {},
        "one": {"clickhouse": {"condition": "service_healthy"}},
        "two": {"clickhouse": {"condition": "service_healthy"}},
        "proxy": ["one", "two"],
    }


def test_everything_starts_again_by_itself(compose: dict[str, Any]) -> None:
    """After a restart of the machine too; nginx ends if it starts while a server is being restarted."""
    restarts = {name: service.get("restart") for name, service in compose["services"].items()}

    assert restarts == dict.fromkeys(("clickhouse", *SERVERS, "proxy"), "unless-stopped")


def test_only_the_proxy_is_reached_and_from_this_machine_alone(compose: dict[str, Any]) -> None:
    """Neither database nor servers publish a port, and none shares the machine's network."""
    ports = {name: service.get("ports") for name, service in compose["services"].items()}
    networks = {service.get("network_mode") for service in compose["services"].values()}

    assert ports == {"clickhouse": None, "one": None, "two": None, "proxy": ["127.0.0.1:3000:80"]}
    assert networks == {None}


def test_the_database_says_when_it_is_healthy_and_keeps_its_data(compose: dict[str, Any]) -> None:
    """The check queries ClickHouse's own port; its data folder is a named volume."""
    database = compose["services"]["clickhouse"]
    check = database["healthcheck"]

    assert check["test"][:2] == ["CMD", "wget"]
    assert check["test"][-1] == "http://127.0.0.1:8123/ping"
    assert set(check) == {"test", "interval", "retries"}
    assert database["volumes"] == ["events:/var/lib/clickhouse"]
    assert "events" in compose["volumes"]


def test_servers_are_started_with_what_the_command_line_knows(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their arguments parse, and their store is the database that the file creates."""
    made = compose["services"]["clickhouse"]["environment"]
    for name in SERVERS:
        service = compose["services"][name]
        monkeypatch.setenv(
            "COAGENT_STORE", service["environment"]["COAGENT_STORE"].replace("${CLICKHOUSE_PASSWORD:?}", "x")
        )
        given = parser().parse_args(["serve", *service["command"]])
        store = urlsplit(given.store)

        assert given.host == "0.0.0.0"
        assert (store.scheme, store.username, store.hostname, store.port, store.path) == (
            "clickhouse", made["CLICKHOUSE_USER"], "clickhouse", 8123, f"/{made['CLICKHOUSE_DB']}",
        )  # fmt: skip


def test_the_proxy_knows_both_servers(compose: dict[str, Any]) -> None:
    """At the port they listen on, with a browser always at the same server, and bodies up to the servers' limit."""
    settings = compose["configs"]["proxy"]["content"]
    port = parser().parse_args(["serve"]).port

    assert re.findall(r"^\s*server (\S+:\d+);", settings, re.MULTILINE) == [f"{name}:{port}" for name in SERVERS]
    assert "ip_hash;" in settings
    assert "client_max_body_size 10m;" in settings
    assert compose["services"]["proxy"]["configs"][0]["source"] in compose["configs"]


def test_no_secret_stands_in_it(compose: dict[str, Any]) -> None:
    """Each secret comes from the environment; without it, nothing starts."""
    text = FILE.read_text(encoding="utf-8")
    variables = re.findall(r"\$\{(\w+)([^}]*)\}", text)
    environments = [service.get("environment", {}) for service in compose["services"].values()]
    named = {value for one in environments for name, value in one.items() if re.search("TOKEN|PASSWORD", name)}

    assert named == {f"${{{name}:?}}" for name in SECRETS}
    assert set(variables) == {(name, ":?") for name in SECRETS}
    assert re.findall(r"://[^\s\"@]*:[^\s\"@]*@", text) == ["://coagent:${CLICKHOUSE_PASSWORD:?}@"]


def test_docker_takes_it(compose: dict[str, Any]) -> None:
    """`docker compose config`, if Docker is installed."""
    try:
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=True, timeout=20)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no docker compose")
    done = subprocess.run(["docker", "compose", "--file", str(FILE), "config", "--format", "json"],
                          capture_output=True, check=False, timeout=60, env=os.environ | SECRETS)  # fmt: skip

    assert (done.returncode, done.stderr) == (0, b"")
    assert set(yaml.safe_load(done.stdout)["services"]) == set(compose["services"])
