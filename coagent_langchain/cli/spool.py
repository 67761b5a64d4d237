"""`coagent-langchain spool status | flush | rejected | discard`: manage the spool without the application."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson

from coagent_langchain.cli.session import server_option
from coagent_langchain.cli.text import argument, hint, notice
from coagent_langchain.config import Settings, check_url, default_spool_dir, public_url
from coagent_langchain.delivery.flush import discard_leftovers, send_leftovers
from coagent_langchain.delivery.folder import address_of, destination_folder
from coagent_langchain.delivery.notices import waiting_events
from coagent_langchain.delivery.owner import segments_by_owner
from coagent_langchain.delivery.rejected import discard_rejected, rejected_entries
from coagent_langchain.delivery.segment import waiting_lines
from coagent_langchain.delivery.spooled_delivery import age_of
from coagent_langchain.errors import CoagentError
from coagent_langchain.server.presentation import formats
from coagent_langchain.texts import counted

_ADDRESS = argument(lambda given: check_url(given, "it"))  # events may be for one that is refused for new ones now
_OUT_OF_REACH = ", from running programs or in unreadable files"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `spool` with its four subcommands."""
    spool = commands.add_parser(
        "spool",
        help="show, send or discard events that are waiting for a server",
        description="Show, send or discard events that are waiting on disk for a server.",
    )
    inner = spool.add_subparsers(title="commands", metavar="COMMAND", required=True)
    status = _command(inner, "status", "show how many events are waiting for each server, and for how long")
    status.set_defaults(run=run_status)
    flush = _command(inner, "flush", "send what ended programs left behind for a server")
    server_option(flush)
    flush.add_argument(
        "--from",
        dest="logged_for",
        type=_ADDRESS,
        metavar="URL",
        help="send events that were logged for this address instead, e.g. a mistyped or a former one",
    )
    flush.add_argument(
        "--timeout",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="how long to try while the server accepts nothing (default: 60)",
    )
    flush.set_defaults(run=run_flush)
    rejected = _command(inner, "rejected", "print the events that a server rejected, with the reasons, as JSON lines")
    rejected.set_defaults(run=run_rejected)
    discard = _command(inner, "discard", "delete what ended programs left behind for a server that is gone")
    discard.add_argument("address", type=_ADDRESS, metavar="URL", help="as `spool status` shows it")
    discard.set_defaults(run=run_discard)
    own = str(default_spool_dir()).replace("%", "%%")
    for command in (status, flush, rejected, discard):
        command.add_argument("--spool-dir", metavar="DIR", help=f"the spool (default: COAGENT_SPOOL_DIR, else {own})")


def _command(
    inner: argparse._SubParsersAction[argparse.ArgumentParser], name: str, does: str
) -> argparse.ArgumentParser:
    return inner.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")


def run_status(options: argparse.Namespace) -> int:
    """Print a line for each server, and another one if some of its events are another user's."""
    folders = _destinations(_settings(options))
    lines = [line for folder in folders for line in (_status(folder), _of_others(folder)) if line]
    print("\n".join(lines or ["no events waiting"]))
    return 0


def _of_others(folder: Path) -> str:
    """What other users' programs left in a folder, which only those users can send; "" if they left nothing."""
    if not _readable(folder):
        return f"{folder} is not readable: run this as its owner"
    count = sum(1 for _ in _waiting(folder, of_others=True))
    if not count:
        return ""
    return f"{address_of(folder)}: {waiting_events(count)} in another user's files, run this as that user"


def _tell_of_others(folders: list[Path]) -> None:
    for line in filter(None, map(_of_others, folders)):
        print(line)


def _status(folder: Path) -> str:
    """What is waiting in a folder; "" if nothing is."""
    if not _readable(folder):
        return ""
    count, size, oldest = 0, 0, 0.0
    for line in _waiting(folder):
        oldest = oldest if count else age_of(line) or 0.0
        count, size = count + 1, size + len(line) + 1
    rejected = sum(1 for _ in rejected_entries(folder))
    if not count and not rejected:
        return ""
    details = f"{formats.size(size)}, the oldest for {formats.duration(oldest * 1000)}"
    waiting = f"{waiting_events(count)} ({details})" if count else "nothing waiting"
    return f"{address_of(folder)}: {waiting}, {rejected} rejected"


def run_flush(options: argparse.Namespace) -> int:
    """Send what ended programs left for the server; return 1 if that was not finished, else 0."""
    settings = _settings(options)
    folder = _known(settings, options.logged_for) if options.logged_for else _folder(settings, settings.base_url)
    address = public_url(settings.base_url)
    with notice(f"waiting for {address} to accept events; gives up after {options.timeout:g} s if it fails"):
        flushed = send_leftovers(settings, folder, options.timeout)
    left = {each: count for each in _destinations(settings) if (count := sum(1 for _ in _waiting(each)))}
    own = left.pop(folder, 0)
    still = f", {waiting_events(own)}{'' if flushed.problem else _OUT_OF_REACH}" if own else ""
    print(f"{counted(flushed.sent, 'event')} sent to {address}, {flushed.rejected} rejected{still}")
    if not options.base_url and not options.logged_for:
        for other, count in left.items():
            print(
                f"{waiting_events(count)} for {address_of(other)}: to send them, name it with --base-url, "
                f"or with --from to send them to {address}"
            )
    _tell_of_others(_destinations(settings))
    if flushed.problem:
        print(
            f"coagent-langchain: not finished: {flushed.problem}{hint(flushed.status, flushed.problem)}",
            file=sys.stderr,
        )
    return int(bool(flushed.problem))


def run_rejected(options: argparse.Namespace) -> int:
    """Print each rejected event as a line of JSON, with `time`, `reason` and `entry`."""
    for folder in _destinations(_settings(options)):
        for record in rejected_entries(folder):
            print(orjson.dumps(record).decode())
    return 0


def run_discard(options: argparse.Namespace) -> int:
    """Delete what ended programs left for a server, and what it has rejected."""
    settings = _settings(options)
    folder = _known(settings, options.address)
    waited, rejected = discard_leftovers(folder), discard_rejected(folder)
    still = sum(1 for _ in _waiting(folder))
    others = f"; {waiting_events(still)}{_OUT_OF_REACH}" if still else ""
    print(f"discarded {counted(waited, 'event')} and {counted(rejected, 'rejected event')}{others}")
    _tell_of_others([folder])
    return 0


def _folder(settings: Settings, base_url: str) -> Path:
    """The folder of a server; one that cannot exist if events wait in memory only."""
    return destination_folder(settings.spool_dir or Path(os.devnull), base_url)


def _known(settings: Settings, base_url: str) -> Path:
    """The folder of a server for which something was logged."""
    folders, folder = _destinations(settings), _folder(settings, base_url)
    if folder not in folders:
        known = ", ".join(sorted(address_of(each) for each in folders if _status(each)))
        others = f"; there are some for {known}" if known else ""
        raise CoagentError(f"no events are left for {public_url(base_url)}{others}")
    return folder


def _settings(options: argparse.Namespace) -> Settings:
    """The settings for these options; a spool that is named must exist, else its name is taken for a mistake."""
    settings = Settings.load(spool_dir=options.spool_dir, base_url=getattr(options, "base_url", None))
    if options.spool_dir and settings.spool_dir and not settings.spool_dir.is_dir():
        raise CoagentError(f"there is no spool at {settings.spool_dir}")
    return settings


def _destinations(settings: Settings) -> list[Path]:
    folder = settings.spool_dir
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder and folder.is_dir() else []


def _readable(folder: Path) -> bool:
    try:
        os.scandir(folder).close()
    except PermissionError:
        return False
    return True


def _waiting(folder: Path, *, of_others: bool = False) -> Iterator[bytes]:
    """The waiting lines of a folder, those of the oldest owner first."""
    for path in itertools.chain.from_iterable(segments_by_owner(folder, of_others=of_others).values()):
        with contextlib.suppress(OSError):  # just sent and removed, or not readable
            yield from waiting_lines(path)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:  # also refuses NaN, a time that would never be over
        raise argparse.ArgumentTypeError(f"must be a number of seconds, 0 or more, not {text!r}")
    return seconds
