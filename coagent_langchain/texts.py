"""Texts of events and of messages to the user: bounded, valid Unicode, compared by fingerprint."""

from __future__ import annotations

MAX_FIELD = 1_000_000  # characters of one string: a 200 KB prompt must never be cut
SAMPLED = 2_000  # characters of each end, and samples in between, that make up the fingerprint of a long text


def bounded(value: str, limit: int = MAX_FIELD) -> str:
    """The string itself, or its first `limit` characters and how much was cut."""
    size = len(value)
    return value if size <= limit else cut_at(value, limit, size)


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 event, 2 events, 1,200 log entries."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def install(extras: str) -> str:
    """The command that installs this package with extras, from the index or from a clone."""
    return f"pip install 'coagent-langchain[{extras}]', or from a clone: pip install '.[{extras}]'"


def cut_at(value: str, limit: int, size: int) -> str:
    """The first `limit` of a text's `size` characters, and how much was cut."""
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
