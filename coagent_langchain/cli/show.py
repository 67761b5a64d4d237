"""`coagent-langchain show [SESSION]`: show one session as a tree, or follow its events."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator

from coagent_langchain.analysis import LoggedSession
from coagent_langchain.cli.session import Client, chosen, newest, server_option, session_argument
from coagent_langchain.cli.text import cells, fit, local_time, one_line, paint, width
from coagent_langchain.client import CoagentClient
from coagent_langchain.errors import CoagentClientError, CoagentError
from coagent_langchain.http import is_retryable
from coagent_langchain.logged import LoggedEvent
from coagent_langchain.server.presentation.bars import Bar, in_rows
from coagent_langchain.server.presentation.event_summary import summarize
from coagent_langchain.server.presentation.formats import duration, preview, tokens, visible
from coagent_langchain.server.presentation.outcomes import BY_APPLICATION, BY_NODE, FROM_CACHE
from coagent_langchain.server.presentation.prompt_words import in_words
from coagent_langchain.server.presentation.rows import with_status, without_label
from coagent_langchain.server.presentation.values import mapping
from coagent_langchain.wire import JsonObject, now_ms

POLL = 0.5  # seconds between polls of a session that is followed
WIDE = 60  # columns from which there is room for tokens
COLOURS = {"prompt": "bold", "model": "blue", "tool": "cyan", "retriever": "magenta", "human": "yellow", "error": "red"}
SIGNS = {"ok": ("✓", "green"), "completed": ("✓", "green"), FROM_CACHE: ("✓", "green"),
         BY_NODE: ("✓", "green"), BY_APPLICATION: ("✓", "green"),
         "error": ("✗", "red"), "failed": ("✗", "red"), "recovered": ("↻", "yellow"),
         "open": ("…", "yellow"), "waiting": ("?", "yellow")}  # fmt: skip


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "show",
        help="show one session as a tree",
        description="Show one session as a tree of prompts, turns, model calls and tool calls,\nwith tokens and times.",
        epilog="symbols: ✓ done  ✗ failed  ↻ failed and recovered  … running, or unfinished\n"
        "         ? waiting for a human  · a message, stopped, cut off, or not run\n"
        "tokens: input→output, – if unknown\n"
        "examples:\n  coagent-langchain show\n  coagent-langchain show recipe-agent-4f",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    session_argument(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the tree as JSON")
    form.add_argument("--follow", action="store_true", help="print events as they arrive, until the session ends; "
                        "waits for SESSION (a complete id) to begin")  # fmt: skip
    server_option(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the session."""
    with Client(options.base_url) as client:
        if options.follow:
            return follow(client, newest(client) if options.session is None else options.session)
        session = client.session(chosen(client, options.session))
    if options.json:
        try:
            print(json.dumps(as_json(session), indent=2, ensure_ascii=False))
        except RecursionError:
            raise CoagentError(
                "the session is nested too deep for one JSON document; 'export' has its events"
            ) from None
        return 0
    print(_head(session))
    for line in tree(session):
        print(line)
    return 0


def follow(client: CoagentClient, session_id: str) -> int:
    """Print the session's events as they arrive, until it has ended and has not continued since."""
    seen: set[str] = set()
    events = client.get_logs(session_id)
    if not events:
        print(f"waiting for session {one_line(session_id)} to begin; --follow needs a complete id", file=sys.stderr)
    while True:
        for event in events:
            name = str(event.get("event_id", event.raw))  # another server may accept events without an id
            if name in seen:
                continue
            seen.add(name)
            print(_event_line(event), flush=True)
        if LoggedSession(session_id, events).ended:
            return 0
        time.sleep(POLL)
        events = _read_again(client, session_id)


def _read_again(client: CoagentClient, session_id: str) -> list[LoggedEvent]:
    """The session's events by now; a server that is away meanwhile, such as for a restart, is waited for."""
    told = False
    while True:
        try:
            return client.get_logs(session_id)
        except CoagentClientError as error:
            if not is_retryable(error.status):
                raise
            if not told:
                print(f"{error}; trying again", file=sys.stderr, flush=True)
            told = True
        time.sleep(POLL)


def _event_line(event: LoggedEvent) -> str:
    summary = summarize(0, event.raw)
    numbers = f"{summary.prompt}.{summary.turn}"
    what = f"{local_time(summary.at)[11:]}  {numbers:<6} {summary.type:<16} "
    note = without_label(summary.name, summary.note)
    ended = "" if summary.outcome == note else summary.outcome  # that of a recovery is all that it says
    said = (one_line(summary.name), " · ".join(filter(None, (ended, note))), _data(event))
    rest = " ".join(part for part in (*said, tokens(summary.input, summary.output)) if part)
    return paint(what, "dim") + (paint(rest, "red") if summary.failed else rest)


def _head(session: LoggedSession) -> str:
    """The id, when it began and the facts, on as many lines as they need, then the title, else the id again."""
    name = one_line(session.session_id)
    lines, used = [paint(name, "bold")], cells(name)
    status, *facts = session.facts
    began = local_time(summarize(0, session.events[0].raw).at)
    for number, fact in enumerate(map(visible, (status, began, *facts))):
        before = " · " if number else "  "
        if used + cells(before + fact) > width():
            lines, used, before = [*lines, ""], 0, "  "
        lines[-1] += before + (paint(fact, "red") if fact == "failed" or "error" in fact else fact)
        used += cells(before + fact)
    title = preview(in_words(session.prompt or "")) or name
    return "\n".join([*lines, fit(title, width()).rstrip(), ""])


def tree(session: LoggedSession) -> Iterator[str]:
    """The lines of a session's tree, none wider than the terminal."""
    stems: list[str] = []  # what the bars above a bar, one on each level, put before its line
    for bar, parent, level, turn in in_rows(session.timeline.roots):
        begin, go_on = ("", "") if parent is None else ("└─ ", "   ") if bar is parent.children[-1] else ("├─ ", "│  ")
        del stems[level - 1 :]
        yield _line(bar, _note(session, bar, turn), _took(session, bar), "".join(stems) + begin)
        stems.append(go_on)


def _note(session: LoggedSession, bar: Bar, turn: int) -> str:
    """The text after a bar's label, with the number of the turn if the line is to show it."""
    if bar.kind in ("prompt", "turn"):
        return with_status(bar, _open(session, bar))
    told = f"Turn {turn}" if turn else ""
    data = _data(session.events[bar.events[0][1]]) if bar.kind == "note" else ""
    note = " · ".join(part for part in (_open(session, bar), told, without_label(bar.label, bar.note), data) if part)
    return note if bar.kind == "end" and bar.status in SIGNS else with_status(bar, note)


def _open(session: LoggedSession, bar: Bar) -> str:
    """The viewer's word for a bar without an end, running or unfinished; "" for any other."""
    return "" if bar.status != "open" else "running" if session.status == "running" else "unfinished"


def _data(event: LoggedEvent) -> str:
    """What a custom event carries, on one line."""
    value = mapping(event.get("meta")).get("value")
    return "" if value is None else preview(json.dumps(value, ensure_ascii=False))


def _took(session: LoggedSession, bar: Bar) -> int | None:
    """How long a bar took, or has taken until now."""
    return now_ms() - bar.start if _open(session, bar) == "running" else bar.duration


def _line(bar: Bar, note: str, took: int | None, stem: str) -> str:
    sign, colour = ("·", "dim") if bar.kind == "note" else SIGNS.get(bar.status, ("·", "dim"))
    label = f"Prompt {bar.prompt}: {bar.label}" if bar.kind == "prompt" else one_line(bar.label)
    figures = (f"{tokens(bar.input, bar.output):>14} " if width() >= WIDE else "") + f"{duration(took):>12}"
    room = max(width() - cells(stem) - len(figures) - 3, 12)
    label = label if cells(label) <= room else fit(label, room)
    note = fit(f"  {note}" if note else "", max(room - cells(label), 0))
    style = "red" if bar.status == "error" and bar.kind not in ("prompt", "turn") else COLOURS.get(bar.kind, "dim")
    return f"{paint(stem, 'dim')}{paint(sign, colour)} {paint(label, style)}{paint(note, 'dim')} {figures}"


def as_json(session: LoggedSession) -> JsonObject:
    """The session as JSON: what the tree shows, for other programs."""
    return {
        "session_id": session.session_id,
        "status": session.status,
        "prompt": session.prompt,
        "totals": session.totals,
        "tree": [_node(bar) for bar in session.timeline.roots],
    }


def _node(bar: Bar) -> JsonObject:
    node: JsonObject = {
        "kind": bar.kind, "label": bar.label, "status": bar.status, "note": bar.note,
        "prompt_number": bar.prompt, "turn_number": bar.turn, "start_timestamp": bar.start,
        "duration_ms": bar.duration, "input_tokens": bar.input, "output_tokens": bar.output,
        "cost": bar.cost,
    }  # fmt: skip
    known = {name: value for name, value in node.items() if value not in ("", None)}
    return known | ({"children": [_node(child) for child in bar.children]} if bar.children else {})
