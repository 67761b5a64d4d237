"""Settings: from arguments, then `COAGENT_*` variables, then defaults.

Each check raises a `ConfigurationError` that names the `source` of an invalid value: its argument or variable.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from coagent_langchain.errors import ConfigurationError

DEFAULT_BASE_URL = "http://localhost:3000/api/v1"
DEFAULT_SPOOL_QUOTA = 1 << 30  # 1 GiB: about a million events of 1 KB while the server is away
_HOST = re.compile(r"[\w:-]{1,63}(\.[\w:-]{1,63})*\.?", re.ASCII)  # a host that takes requests, or an IPv6 address
_NO_END = re.compile(r"[\s?#]")  # after one of these, an appended path would be lost


def user_folder(kind: Literal["state", "data"]) -> Path:
    """The user's folder for this package, e.g. `~/.local/state/coagent-langchain`.

    Some container users have no home; theirs is taken to be `/`, as in Docker. Whether it is writable is seen later.
    """
    import platformdirs  # late: not needed with an explicit spool folder

    try:
        folder: Path = getattr(platformdirs, f"user_{kind}_path")("coagent-langchain")
    except RuntimeError:  # there is no home; older versions of the library give a path with a `~`
        folder = Path("~")
    return folder if folder.is_absolute() else Path("/.local", {"data": "share"}.get(kind, kind), "coagent-langchain")


def default_spool_dir() -> Path:
    """The default spool folder."""
    return user_folder("state") / "spool"


@dataclass(frozen=True, slots=True, weakref_slot=True, repr=False)
class Settings:
    """Where events go and how. Immutable; make one with `Settings.load`.

    Attributes:
        base_url: the API's address, with `/api/v1`.
        auth_token: bearer token, or None. `repr` shows neither it nor a password in `base_url`.
        spool_dir: folder of the spool on disk, or None for memory only.
        spool_quota: bytes that the spool may use on disk; like `exit_timeout`, not for users to set.
        exit_timeout: seconds that the interpreter's exit may wait for delivery.
        capture_content: False keeps ids, numbers and timing only.
    """

    base_url: str = DEFAULT_BASE_URL
    auth_token: str | None = None
    spool_dir: Path | None = field(default_factory=default_spool_dir)
    spool_quota: int = DEFAULT_SPOOL_QUOTA
    exit_timeout: float = 2.0
    capture_content: bool = True

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **arguments: Any) -> Self:
        """Build settings: an argument that is not None wins over its variable, a variable over the default.

        Parameters:
            environ: the environment to read; `os.environ` when None.
            arguments: fields of `Settings` that users can set. `spool_dir` may be a str, a `Path` or `"off"`.

        Raises:
            ConfigurationError: a value that takes effect is invalid; the message names it.
        """
        environ = os.environ if environ is None else environ
        values = {name: _PARSERS[name](environ[variable], variable) for name, variable in VARIABLES.items()
                  if environ.get(variable) and arguments.get(name) is None}  # fmt: skip
        parsers = _PARSERS | {"capture_content": _bool}
        values |= {name: parsers[name](value, name) for name, value in arguments.items() if value is not None}
        return cls(**values)

    def __repr__(self) -> str:
        shown = {f.name: getattr(self, f.name) for f in fields(self)}
        shown |= {"base_url": public_url(self.base_url), "auth_token": self.auth_token and "***"}
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def public_url(base_url: str) -> str:
    """The address without a user name and password: fit for log lines and files."""
    parts = urlsplit(base_url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def is_loopback(host: str) -> bool:
    """Whether a host is reachable from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_url(value: Any, source: str) -> str:
    """Return an address to which requests can be sent, without its trailing slashes."""
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and _HOST.fullmatch(parts.hostname or "") and value.isprintable()
        valid = valid and not _NO_END.search(value)
    except (ValueError, AttributeError, TypeError):
        valid = False
    shown = re.sub(r"^(.(\w+:)?/*).*@", r"\1", repr(value))  # without a password, even if it contains a `/`
    if not valid:
        raise ConfigurationError(f"{source} must be an http or https address such as {DEFAULT_BASE_URL}, not {shown}")
    try:
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        raise ConfigurationError(f"{source} has an invalid port, it must be from 0 to 65535: {shown}") from None
    return str(value).rstrip("/")


def _base_url(value: Any, source: str) -> str:
    url = check_url(value, source)
    if url.endswith("/api/v1/logs"):  # GET /runs would become the events of a session named "runs"
        raise ConfigurationError(f"{source} must end with /api/v1, without /logs, not {public_url(url)!r}")
    return url


def check_token(value: Any, source: str) -> str:
    """Return a token that is valid in a header."""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigurationError(f"{source} must be a string of printable ASCII characters without spaces")
    return value


def _folder(value: Any, source: str) -> Path | None:
    if isinstance(value, str) and value.lower() == "off":
        return None
    try:
        folder = Path(value).expanduser().absolute()
    except (TypeError, RuntimeError) as error:
        raise ConfigurationError(f"{source} must be a folder, or 'off' for memory only, not {value!r}") from error
    if os.path.exists(folder) and not os.path.isdir(folder):  # unlike the methods of Path, these never raise
        raise ConfigurationError(f"{source} must be a folder, or 'off' for memory only; {folder} is not a folder")
    return folder


def _bool(value: Any, source: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{source} must be True or False, not {value!r}")
    return value


def parse_bool(value: str, source: str) -> bool:
    """Read `true/false`, `1/0`, `yes/no`, `on/off` in any case."""
    word = value.strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off", ""):
        return False
    raise ConfigurationError(f"{source} must be true or false, not {value!r}")


_PARSERS: dict[str, Callable[[Any, str], Any]] = {
    "base_url": _base_url,
    "auth_token": check_token,
    "spool_dir": _folder,
    "capture_content": parse_bool,
}
VARIABLES = {
    "base_url": "COAGENT_BASE_URL",
    "auth_token": "COAGENT_AUTH_TOKEN",
    "spool_dir": "COAGENT_SPOOL_DIR",
    "capture_content": "COAGENT_CAPTURE_CONTENT",
}
