"""The address of a store, from the option or the variable: what it may be, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from coagent_langchain import server
from coagent_langchain.cli import main
from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.store_address import public_address


@pytest.mark.parametrize("user", ["me:hush@", "me:hu/sh@", "m/e:hu@sh@"])
def test_mistyped_store_is_told_without_its_password(user: str) -> None:
    """A terminal's output may be kept; the special characters should be percent-encoded, but may not be."""
    with pytest.raises(ConfigurationError) as raised:
        server.open_store(f"clickhose://{user}host/coagent")

    assert str(raised.value).partition(";")[0] == (
        "a store is sqlite:///PATH, clickhouse://… or chdb:///PATH, not 'clickhose://host/coagent'"
    )


@pytest.mark.parametrize("address", ["sqlite:///me@work/coagent.db", "sqlite://~/me@work.db"])
def test_path_with_an_at_sign_is_told_in_full(address: str) -> None:
    """What is before it is no password."""
    assert public_address(address) == address


@pytest.mark.parametrize("address", ["", "sqlite://", "sqlite:///", "sqlite://relative.db", "sqlite://~nobody-here/x", "mysql://x",
                                     "/tmp/x"])  # fmt: skip
def test_wrong_addresses_are_refused(address: str) -> None:
    """The message says what an address looks like."""
    with pytest.raises(ConfigurationError, match="sqlite:///PATH"):
        server.open_store(address)


@pytest.mark.parametrize(
    ("given", "right"),
    [("sqlite://x.db", "sqlite:///here/x.db"), ("x.db", "sqlite:///here/x.db"), ("sqlite:/x.db", "sqlite:///x.db"),
     ("mysql://x", "sqlite:///var/lib/coagent.db")],
)  # fmt: skip
def test_right_address_is_told(given: str, right: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a file given in another form, the message says how to write it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as raised:
        server.open_store(given)

    assert str(raised.value).endswith(f"for a file, give its absolute path: {right.replace('/here', str(tmp_path))}")


@pytest.mark.parametrize("slashes", ["//", "///"])
def test_store_in_the_home_folder(slashes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tilde is expanded, which a shell does only at the beginning of a word, also after the slash of a path."""
    monkeypatch.setenv("HOME", str(tmp_path))
    server.open_store(f"sqlite:{slashes}~/log.db").close()

    assert (tmp_path / "log.db").is_file()


def test_option_overrides_the_store_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The variable applies to each command that uses a store."""
    monkeypatch.setenv("COAGENT_STORE", f"sqlite://{tmp_path}/one.db")
    main(["delete", "s"])
    main(["prune", "--older-than", "1d"])
    main(["delete", "s", "--store", f"sqlite://{tmp_path}/other.db"])

    assert capsys.readouterr().err == "".join(
        f"coagent-langchain: there is no store at {tmp_path}/{name}.db\n" for name in ("one", "one", "other")
    )


def test_store_of_the_environment_is_not_in_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may contain a password; the variable's name is there instead."""
    monkeypatch.setenv("COAGENT_STORE", "clickhouse://me:hush@host/coagent")
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    told = capsys.readouterr().out

    assert ("hush" in told, "COAGENT_STORE" in told) == (False, True)


def test_wrong_store_of_the_environment_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the variable."""
    monkeypatch.setenv("COAGENT_STORE", "mysql://x")
    with pytest.raises(SystemExit) as left:
        main(["delete", "s"])

    assert (left.value.code, capsys.readouterr().err.endswith("(in COAGENT_STORE)\n")) == (2, True)


@pytest.mark.parametrize("address", [
    "clickhouse://me:hush@host:x/coagent", "clickhouse://me:hush@host/a-b", "clickhouse:///coagent",
    "clickhouse://me:hush@host/coagent?secure=1", "chdb://x",
])  # fmt: skip
def test_wrong_address_of_clickhouse_is_refused(address: str) -> None:
    """An unknown option would be ignored, and the password sent without TLS."""
    with pytest.raises(ConfigurationError) as raised:
        server.open_store(address)

    assert str(raised.value) == (
        "--store must be like clickhouse://user:password@host:8123/coagent, with ?secure=true for TLS, "
        f"or chdb:///PATH, not {address.replace('me:hush@', '')}"
    )


def test_clickhouse_has_another_port_for_tls() -> None:
    """It is the default if the address names no port."""
    with pytest.raises(ConfigurationError, match="8443"):
        server.open_store("clickhouse://127.0.0.1/coagent?secure=true")
