"""`coagent-langchain runs`: list the sessions of a server."""

from __future__ import annotations

import argparse
import json
import sys

from coagent_langchain.cli.session import Client, server_option
from coagent_langchain.cli.text import cells, fit, local_time, one_line, paint, table, width
from coagent_langchain.logged import RunSummary
from coagent_langchain.server.presentation.formats import count, duration, preview
from coagent_langchain.server.presentation.prompt_words import in_words
from coagent_langchain.unended import PAUSE_MS
from coagent_langchain.wire import now_ms

BASIC = ("SESSION", "STARTED", "LASTED", "EVENTS")  # what every server reports
RIGHT = ("LASTED", "EVENTS", "TOKENS", "ERRORS")
ID = 40  # columns of an id at most
# The table columns that a narrow terminal leaves out, in this order, unless this much room remains for a long title.
LEAST = {"EVENTS": 20, "TOKENS": 20, "ERRORS": 20, "LASTED": 20, "STARTED": 10, "TITLE": 5}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "runs",
        help="list the sessions of a server",
        description="List the sessions of a server, the newest first. A narrow terminal shows fewer columns.",
        epilog="example: coagent-langchain runs --limit 5",
    )
    server_option(parser)
    parser.add_argument("--limit", type=_count, default=20, metavar="N", help="show at most N, 0 for all (default: 20)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--ids", action="store_true", help="print only the ids, one per line")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the sessions."""
    with Client(options.base_url) as client:
        found = client.summarize(options.limit and options.limit + 1)[::-1]  # one more shows whether there are more
    shown = found[: options.limit or None]
    if options.json:
        print(json.dumps([each.model_dump(exclude_none=True) for each in shown], indent=2))
    elif options.ids:
        for each in shown:
            print(one_line(each.run_id) if sys.stdout.isatty() else each.run_id.replace("\n", "␊"))
    elif not found:
        advice = "See 'coagent-langchain demo', or add a CoagentCallbackHandler to a chain."
        print(f"No sessions yet on {client.base_url}. {advice}")
    else:
        print("\n".join(_lines(shown)))
        if len(shown) < len(found):
            print(paint("… and older ones: --limit 0 shows all", "dim"))
    return 0


def _lines(runs: list[RunSummary]) -> list[str]:
    """The lines of the table; if the server reports only ids, times and counts, only those columns."""
    rows = [_row(each) for each in runs]
    names = [*rows[0]] if any(each.status is not None for each in runs) else [*BASIC]
    widths = {name: max(cells(name), *(cells(row[name]) for row in rows)) for name in names}
    _narrow(widths)
    for row in rows:
        row["TITLE"] = fit(row["TITLE"], widths.get("TITLE", 0))
    head, *lines = table([*widths], [[row[name] for name in widths] for row in rows], right=RIGHT).splitlines()
    return [head, *(line for each, line in zip(runs, lines, strict=True) for line in (line, *_why(each)))]


def _why(each: RunSummary) -> list[str]:
    """The error line below a failed session: there is no room for a column beside the title."""
    return [paint(fit(f"  {preview(each.failure, width())}", width()).rstrip(), "red")] if each.failure else []


def _narrow(widths: dict[str, int]) -> None:
    """Truncate the title, and leave out the least important columns, until a line fits into the terminal."""
    title = widths.get("TITLE", 0)
    for least, beside in LEAST.items():
        room = width() - sum(widths.values()) - 2 * (len(widths) - 1) + title
        if room >= min(title, beside):
            widths |= {"TITLE": min(title, room)} if title else {}
            break
        widths.pop(least, None)


def _row(each: RunSummary) -> dict[str, str]:
    name = one_line(each.run_id)
    return {
        "SESSION": fit(name, min(cells(name), ID)),
        "STARTED": local_time(each.start_timestamp),
        "LASTED": duration(_until(each) - each.start_timestamp),
        "EVENTS": str(each.log_count),
        "STATUS": each.status or "",
        "TOKENS": count(each.total_tokens),
        "ERRORS": count(each.errors),
        "TITLE": preview(in_words(each.title or "")) or name,
    }


def _until(each: RunSummary) -> int:
    """The end of a session's duration: now if a call must be open, since it is running without recent events.

    Otherwise its last event: no server reports whether a call is open.
    """
    return now_ms() if each.status == "running" and now_ms() - each.end_timestamp > PAUSE_MS else each.end_timestamp


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, not {text!r}")
    return int(text)
