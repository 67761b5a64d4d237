"""Secrets in texts and names: keys, tokens, passwords, and credentials in addresses."""

from __future__ import annotations

import functools
import re

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
