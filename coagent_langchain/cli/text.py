"""The command line's output: colours if wanted, tables, and text from logs made harmless."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from coagent_langchain import http
from coagent_langchain.errors import ConfigurationError
from coagent_langchain.server.presentation.formats import visible

SILENCE = 3.0  # seconds
CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "magenta": "35",
         "cyan": "36"}  # fmt: skip


def hint(status: int | None, reason: str) -> str:
    """Advice about a server that gave no response; "" if it did, or if `http.hint` has advice of its own."""
    if status is not None or http.hint(status, reason):
        return ""
    return " (start a server with 'coagent-langchain serve', or set COAGENT_BASE_URL to yours)"


@contextlib.contextmanager
def notice(text: str) -> Iterator[None]:
    """Print `text` to stderr if the block takes longer than `SILENCE`."""
    timer = threading.Timer(SILENCE, lambda: print(text, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def own_command() -> str:
    """What to type to run this command line again: just its name if the shell finds the same script by it."""
    name, script = "coagent-langchain", sys.argv[0]
    if os.path.basename(script) != name:
        return f"{shlex.quote(sys.executable)} -m coagent_langchain"
    found = shutil.which(name)
    return name if found and os.path.samefile(found, script) else shlex.quote(script)


def argument(check: Callable[[str], str]) -> Callable[[str], str]:
    """A type for argparse: a value that `check` refuses is wrong usage."""

    def checked(given: str) -> str:
        try:
            return check(given)
        except ConfigurationError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def paint(text: str, *styles: str) -> str:
    """`text` in colour if stdout is a terminal with colours (Emacs's is `dumb`) and `NO_COLOR` is not set."""
    if not text or not styles or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    if os.environ.get("TERM") == "dumb":
        return text
    return f"\033[{';'.join(CODES[style] for style in styles)}m{text}\033[0m"


def width() -> int:
    """Columns of the terminal; 120 if there is none."""
    return shutil.get_terminal_size((120, 24)).columns


def cells(text: str) -> int:
    """The columns that `text` takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fit(text: str, columns: int) -> str:
    """`text` cut or padded to exactly this many columns."""
    if cells(text) <= columns:
        return text + " " * (columns - cells(text))
    if columns <= 0:
        return ""
    kept = ""
    for character in text:
        if cells(kept + character) > columns - 1:
            break
        kept += character
    kept = kept.rstrip("…") + "…"  # only one if the text was already cut
    return kept + " " * (columns - cells(kept))


def one_line(name: str) -> str:
    """A name from a log, safe to print: invisible characters, line breaks and tabs become visible symbols."""
    return visible(name).replace("\n", "␊").replace("\t", "␉")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> str:
    """Rows in columns as wide as their content, those in `right` aligned to the right, under a dim head."""
    widths = [max(cells(row[n]) for row in [head, *rows]) for n in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = [
            " " * (columns - cells(cell)) + cell if name in right else fit(cell, columns)
            for name, cell, columns in zip(head, row, widths, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([paint(line(head), "dim"), *map(line, rows)])


def local_time(ms: int) -> str:
    """Unix milliseconds as date and time in the user's time zone."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(ms)
