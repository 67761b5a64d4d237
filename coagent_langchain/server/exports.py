"""A session as a streamed file: JSON lines as posted, CSV for a spreadsheet, Markdown to read."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from coagent_langchain.server.jsontext import on_one_line
from coagent_langchain.server.lookups import session_of, store_of
from coagent_langchain.server.presentation import formats, transcript
from coagent_langchain.server.presentation.event_summary import summarize_json
from coagent_langchain.server.responses import streamed
from coagent_langchain.server.store.records import Session

COLUMNS = ("time", "event_type", "prompt_number", "turn_number", "name", "content", "error", "outcome",
           "duration_ms", "input_tokens", "output_tokens", "cached_tokens", "cached", "cost", "event_id", "run_id",
           "parent_run_id")  # fmt: skip
_FORMULA = tuple("=+-@＝＋－＠\t\r\n")  # first characters that make a spreadsheet evaluate a cell


def jsonl(session: Session, bodies: Iterable[bytes]) -> Iterator[bytes]:
    """JSON lines: each entry byte for byte as posted, except that line breaks between values become spaces."""
    for body in bodies:
        yield on_one_line(body) + b"\n"


def table(session: Session, bodies: Iterable[bytes]) -> Iterator[bytes]:
    """CSV: a header, then one row per entry; a cell that begins like a formula is escaped with `'`."""
    yield _line(COLUMNS)
    for body in bodies:
        m = summarize_json(0, body)
        yield _line((formats.iso(m.at), m.type, m.prompt, m.turn, m.name, m.note, m.failed, m.outcome, m.ms, m.input,
                     m.output, m.cached, "true" if m.reused else "", m.cost, m.event_id, m.run, m.parent))  # fmt: skip


def _line(cells: Iterable[object]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([_cell(cell) for cell in cells])
    return line.getvalue().encode("utf-8", "replace")


def _cell(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip(" ").startswith(_FORMULA) else cell


def markdown(session: Session, bodies: Iterable[bytes]) -> Iterator[bytes]:
    """Markdown: the session's figures, then a section for each entry."""
    yield transcript.opening(session).encode()
    for body in bodies:
        yield transcript.section(body).encode("utf-8", "replace")


FORMATS = {"jsonl": (jsonl, "application/x-ndjson"), "csv": (table, "text/csv"), "md": (markdown, "text/markdown")}


def export(request: Request) -> Response:
    """`/export/{session_id}?format=jsonl|csv|md`."""
    session = session_of(request)
    ending = request.query_params.get("format", "jsonl")
    if ending not in FORMATS:
        raise HTTPException(400, f"format must be one of {', '.join(FORMATS)}")
    write, media = FORMATS[ending]
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", session.session_id)[:100].strip("._") or "session"
    headers = {"Content-Disposition": f'attachment; filename="{name}.{ending}"'}
    bodies = (entry.body for entry in store_of(request).every_entry(session.session_id))
    return streamed(write(session, bodies), media, headers)


routes: list[BaseRoute] = [Route("/export/{session_id:any}", export)]
