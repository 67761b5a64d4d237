"""Settings: from arguments, then variables, then defaults; wrong ones raise at once."""

from __future__ import annotations

import pwd
from pathlib import Path
from typing import NoReturn

import pytest

from coagent_langchain import ConfigurationError
from coagent_langchain.cli.store import default_store
from coagent_langchain.config import DEFAULT_BASE_URL, VARIABLES, Settings


def test_argument_wins_over_variable_and_variable_over_default() -> None:
    """Each setting comes from the first source that has it."""
    environ = {"COAGENT_BASE_URL": "http://variable/api/v1", "COAGENT_AUTH_TOKEN": "t"}
    settings = Settings.load(environ, base_url="http://argument/api/v1/")

    assert (settings.base_url, settings.auth_token) == ("http://argument/api/v1", "t")
    assert Settings.load({}).base_url == DEFAULT_BASE_URL


def test_wrong_variable_does_not_matter_where_an_argument_wins() -> None:
    """A variable that is not used is not validated."""
    environ = {"COAGENT_BASE_URL": "nonsense", "COAGENT_CAPTURE_CONTENT": "maybe"}

    settings = Settings.load(environ, base_url="http://argument/api/v1", capture_content=False)

    assert (settings.base_url, settings.capture_content) == ("http://argument/api/v1", False)


def test_empty_variable_is_none() -> None:
    """A compose file sets a variable to nothing where the user has none."""
    assert Settings.load(dict.fromkeys(VARIABLES.values(), "")) == Settings.load({})


@pytest.mark.parametrize(
    "base_url",
    [
        "http://[::1]:3000/api/v1",
        "http://coagent_1:3000",
        "https://xn--bcher-kva.example.",
        "HTTP://u:p@127.0.0.1",
    ],
)
def test_any_host_is_an_address(base_url: str) -> None:
    """The host may be a name, as DNS has it, or an IP address."""
    assert Settings.load({}, base_url=base_url).base_url == base_url


@pytest.mark.parametrize(("words", "meant"), [
    (("true", "1", "yes", "on", "True", " ON "), True), (("false", "0", "no", "off", "False", " Off "), False),
])  # fmt: skip
def test_words_for_true_and_false(words: tuple[str, ...], meant: bool) -> None:
    """Case and surrounding spaces are ignored."""
    read = [Settings.load(environ={"COAGENT_CAPTURE_CONTENT": word}).capture_content for word in words]

    assert read == [meant] * 6


def test_user_without_a_home_has_the_folders_that_docker_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing raises for a container's arbitrary user; that the folders are not writable shows later."""

    def unknown(uid: int) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)

    assert str(Settings.load({}).spool_dir) == "/.local/state/coagent-langchain/spool"
    assert default_store() == "sqlite:///.local/share/coagent-langchain/coagent.db"


def test_spool_may_be_off() -> None:
    """`off`, in any case, means memory only, anything else is a folder."""
    assert [Settings.load({"COAGENT_SPOOL_DIR": word}).spool_dir for word in ("off", "OFF")] == [None, None]
    assert Settings.load({}, spool_dir="/tmp/spool").spool_dir == Path("/tmp/spool")


@pytest.mark.parametrize("folder", ["spool", "~/spool"])
def test_folder_does_not_move_with_the_program(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder is in the working directory of the start, and a tilde means the home, as in a shell."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    assert Settings.load({"COAGENT_SPOOL_DIR": folder}).spool_dir == tmp_path / "spool"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"COAGENT_BASE_URL": "localhost:3000"}, "COAGENT_BASE_URL must be an http or https address"),
        ({"COAGENT_AUTH_TOKEN": "two words"}, "COAGENT_AUTH_TOKEN must be a string of printable ASCII"),
        ({"COAGENT_AUTH_TOKEN": "of-a-file\n"}, "COAGENT_AUTH_TOKEN must be a string of printable"),
        ({"COAGENT_CAPTURE_CONTENT": "maybe"}, "COAGENT_CAPTURE_CONTENT must be true or false"),
        ({"COAGENT_SPOOL_DIR": __file__}, "COAGENT_SPOOL_DIR must be a folder, or 'off' for memory only"),
    ],
)
def test_wrong_variable_is_named(environ: dict[str, str], message: str) -> None:
    """A wrong variable raises with its name and what it must be."""
    with pytest.raises(ConfigurationError, match=message):
        Settings.load(environ)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base_url": "ftp://x"}, "base_url must be an http or https address"),
        ({"base_url": "http://*.example/api/v1"}, "base_url must be an http or https address"),
        ({"base_url": "http://two words/api/v1"}, "base_url must be an http or https address"),
        ({"base_url": "http://a..b/api/v1"}, "base_url must be an http or https address"),
        ({"base_url": "http://a%zz/api/v1"}, "base_url must be an http or https address"),
        ({"base_url": "http://bücher.example/api/v1"}, "base_url must be an http or https address"),
        ({"base_url": "http://ä_b.example/api/v1"}, "base_url must be an http or https address"),
        ({"base_url": f"http://{'a' * 64}/api/v1"}, "base_url must be an http or https address"),
        ({"base_url": "http://localhost\n/api/v1"}, "base_url must be an http or https address"),
        ({"base_url": "http://localhost/api/v1 "}, "base_url must be an http or https address"),
        ({"base_url": "http://localhost/api/v1?x=1"}, "base_url must be an http or https address"),
        ({"base_url": "http://localhost:99999/api/v1"}, "base_url has an invalid port, it must be from 0 to 65535"),
        ({"base_url": "http://localhost/api/v1/logs/"}, "base_url must end with /api/v1, without /logs"),
        ({"capture_content": "no"}, "capture_content must be True or False, not 'no'"),
        ({"capture_content": 0}, "capture_content must be True or False, not 0"),
        ({"spool_dir": __file__}, f"spool_dir must be a folder, or 'off' for memory only; {__file__} is not a folder"),
    ],
)
def test_wrong_argument_is_named(arguments: dict[str, object], message: str) -> None:
    """A wrong argument raises with its name and what it must be."""
    with pytest.raises(ConfigurationError, match=message):
        Settings.load({}, **arguments)


@pytest.mark.parametrize(
    "base_url", ["http://user:secret@host:99999/api/v1", "ftp://user:secret@host", "http://user:secret@",
                 "http://user:secret@host/api/v1/logs", "http://user:sec/secret@host/api/v1", "user:secret@host/api/v1"]
)  # fmt: skip
def test_wrong_address_is_told_without_its_password(base_url: str) -> None:
    """The message may end up in logs."""
    with pytest.raises(ConfigurationError) as refused:
        Settings.load({}, base_url=base_url)

    assert "secret" not in str(refused.value)


def test_repr_keeps_secrets() -> None:
    """Neither the token nor a password in the address is shown."""
    settings = Settings.load({}, base_url="http://user:secret@host/api/v1", auth_token="secret")

    assert "secret" not in repr(settings)
    assert "base_url='http://host/api/v1', auth_token='***'" in repr(settings)
