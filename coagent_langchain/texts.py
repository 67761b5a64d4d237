"""Text for events: bounded, valid Unicode, and exception messages and tracebacks without secrets."""

from __future__ import annotations

import functools
import re
import traceback

from coagent_langchain.wire import JsonObject, Severity

MAX_FIELD = 1_000_000  # characters of one string: a 200 KB prompt must never be cut
MAX_MESSAGE = 20_000  # characters
MAX_STACK = 100_000  # characters; a longer one is cut in the middle
SAMPLED = 2_000  # characters of each end, and samples in between, that make up the fingerprint of a long text
MARGIN = 4_000  # characters beyond a cut that are searched for secrets too, then dropped: no part of one may remain


def bounded(value: str, limit: int = MAX_FIELD) -> str:
    """The string itself, or its first `limit` characters and how much was cut."""
    size = len(value)
    return value if size <= limit else _cut(value, limit, size)


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 event, 2 events, 1,200 log entries."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def install(extras: str) -> str:
    """The command that installs this package with extras, from the index or from a clone."""
    return f"pip install 'coagent-langchain[{extras}]', or from a clone: pip install '.[{extras}]'"


def _cut(value: str, limit: int, size: int) -> str:
    return f"{value[:limit]}… [cut: {size - limit:,} of {size:,} characters]"


def fingerprint(value: str) -> int:
    """A hash for comparing texts that are not kept; for a long text, of its length, ends and samples.

    Hashing 200 KB takes as long as everything else in a hook together.
    """
    size = len(value)
    if size <= SAMPLED:
        return hash(value)
    return hash((size, value[:SAMPLED], value[-SAMPLED:], value[:: size // SAMPLED]))


def clean(value: str) -> str:
    """The string with surrogate pairs joined and lone surrogates escaped, so that it can be encoded in UTF-8."""
    joined = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return joined.encode("utf-8", "backslashreplace").decode("utf-8")


def error_message(error: BaseException) -> str:
    """The exception's message, bounded and without secrets; the name of its type if the message is empty."""
    try:
        number = error.code if isinstance(error, SystemExit) else None
        # `str.__str__`: what an exception's own returns may be a string of its own kind, with code of its own
        said = f"exit status {number}" if isinstance(number, int) else str.__str__(str(error))
    except Exception as failure:  # noqa: BLE001 - an exception's own __str__ may raise anything
        said = f"<its text could not be read: {type(failure).__name__}>"
    return without_secrets(said) or type(error).__name__


def without_secrets(said: str) -> str:
    """An error's message, bounded and without secrets."""
    if len(said) > MAX_MESSAGE:
        return _cut(_beginning(said, MAX_MESSAGE), MAX_MESSAGE, len(said))
    return bounded(redacted(clean(said)), MAX_MESSAGE)


def stack_trace(error: BaseException) -> str:
    """The traceback with causes, contexts and the members of exception groups, bounded and without secrets."""
    try:
        full = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - exceptions may lie about themselves
        full = f"{type(error).__name__}: {error_message(error)}\n"
    if len(full) <= MAX_STACK:
        return redacted(clean(full))
    half = MAX_STACK // 2
    left = len(full) - 2 * half
    end = redacted(clean(full[-half - MARGIN :]))[MARGIN:][-half:]
    return f"{_beginning(full, half)}\n… [cut: {left:,} of {len(full):,} characters]\n{end}"


def error_info(error: BaseException, error_id: str, severity: Severity, component_id: str) -> JsonObject:
    """The `error_info` of an exception's `error` event."""
    return {
        "error_id": error_id,
        "error_type": type(error).__name__,
        "error_message": error_message(error),
        "error_severity": severity,
        "stack_trace": stack_trace(error),
        "component_id": component_id,
    }


def _beginning(full: str, limit: int) -> str:
    """The beginning of a long text, without secrets.

    Not all of it is searched: two megabytes would take a second, during which the application waits.
    """
    searched = redacted(clean(full[: limit + MARGIN]))
    return (searched if len(full) <= limit + MARGIN else searched[:-MARGIN])[:limit]


_KEYS = (
    r"\b(?:sk-(?:ant-|proj-|or-|lf-)?[A-Za-z0-9_-]{16,}|gsk_[A-Za-z0-9]{16,}|hf_[A-Za-z0-9]{16,}|AIza[A-Za-z0-9_-]{20,}"
    r"|(?:xai|nvapi|csk|tvly)-[A-Za-z0-9_-]{16,}|tgp_v1_[A-Za-z0-9_-]{16,}|AQ\.[A-Za-z0-9_-]{24,}"
    r"|fw_[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{30,}|dapi[a-f0-9]{32}|ABSK[A-Za-z0-9+/]{40,}={0,2}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|xox[abprs]-[A-Za-z0-9-]{10,}"
    r"|lsv2_[A-Za-z0-9_]{16,}|pplx-[A-Za-z0-9]{16,}|eyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+)"
)
# A name may be part of a longer one (`DB_PASSWORD`, `dbPassword`); names and values may be in quotes, also in those of
# JSON within JSON, and a value's closing quote may be cut off. The first letters alone make it twice as fast, and
# nothing can fail after a quote, so that the time stays linear.
_NAMED = r"""(?x)((?=[AaBbCcIiKkPpRrSsTt])(?:(?<![^\W_])|(?<=[a-z])(?=[A-Z]))(?i:
    (?:authorization|(?P<cookie>cookie)|passw(?:or)?d|passphrase|pwd|api[-_]?key|secret(?:[-_]?(?:access[-_]?)?key)?
      |(?:access|private)[-_]?key|(?:access|api|auth|bearer|bot|id|refresh|security|session)[-_]?token
      |(?<=[?&])(?:key|sig|signature|token))\\*["']?\s*[:=]>?\s*))
    (?:(?:[bu]|[\w.]+\()?(?P<quote>\\*["'])(?:(?!(?P=quote))(?:\\.|[^\n]))*(?P=quote)?
    |(?i:apikey|basic|bearer|digest|token)\s+[^\s"',;}]+
    |[^\s"',;&}\])]+(?(cookie)(?:;\s?[^\s"',;&}\])]+)*))"""
_BEARER = r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{16,}"
_USERINFO = r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # the user is often empty, as in Redis addresses
_PEM = r"(?s)(-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----).*?(?=-----END|\Z)"


@functools.cache  # compiled with the first exception, not while the package is imported
def _secrets() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Patterns of secrets in a text, and their replacements."""
    return (
        (re.compile(_PEM), r"\1[redacted]"),
        (re.compile(_NAMED), r"\1[redacted]"),
        (re.compile(_BEARER), r"\1 [redacted]"),
        (re.compile(_USERINFO), "[redacted]"),
        (re.compile(_KEYS), "[redacted]"),
    )


def redacted(said: str) -> str:
    """The text with keys, tokens, passwords and credentials in addresses replaced, otherwise unchanged."""
    for pattern, mark in _secrets():
        said = pattern.sub(mark, said)
    return said


_SECRET = re.compile(
    r"(?i)(api[-_]?key|secret|passw(or)?d|passphrase|credential|authorization|(access|private)[-_]?key"
    r"|(^|[-_]|(?-i:(?<=[a-z])(?=T)))token$|(^|[-_])(auth|pwd)$)"
)


@functools.lru_cache(maxsize=4096)
def is_secret(key: str) -> bool:
    """Whether a name indicates that its value is a key, a password or the like."""
    return _SECRET.search(key) is not None
