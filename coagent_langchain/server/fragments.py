"""What a session's page fetches: figures, timeline rows, event details, pages of events, long texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from coagent_langchain.server.lookups import number_in, reader_of, session_and_timeline, session_of, store_of
from coagent_langchain.server.presentation import charts, contents, transcript
from coagent_langchain.server.presentation import conversation as talk
from coagent_langchain.server.presentation.details import detail
from coagent_langchain.server.presentation.event_summary import summarize_json
from coagent_langchain.server.presentation.formats import count, visible
from coagent_langchain.server.presentation.jsonview import pretty, shown
from coagent_langchain.server.presentation.rows import event_row, rows
from coagent_langchain.server.presentation.timeline import Timeline
from coagent_langchain.server.presentation.values import Value
from coagent_langchain.server.responses import json_response
from coagent_langchain.server.store.records import Cursor, Entry, Session
from coagent_langchain.server.templating import render
from coagent_langchain.wire import now_ms

PAGE = 200  # events per request (events.js)
MAX_HITS = 20_000  # most events that a search inside a session finds
RAW_PAGE = 50  # entries per request
CHUNK = 131_072  # characters of a long text per request


def head(request: Request) -> HTMLResponse:
    """The figures at the top of the page."""
    return render("head.html", s=session_of(request))


def timeline(request: Request) -> Response:
    """The rows of the tree (`rows.rows`), with the times that they are relative to."""
    session, tree = session_and_timeline(request)
    t0 = session.first_ms
    now = now_ms() - t0 if session.status == "running" else None
    return json_response({"t0": t0, "now": now, "rows": rows(tree, t0)})


def _unended(session: Session) -> str:
    """The status shown for a call without an end."""
    return "running" if session.status == "running" else "unfinished"


def overview(request: Request) -> HTMLResponse:
    """The token chart and the tables of models and tools."""
    return render("overview.html", **charts.overview(session_and_timeline(request)[1]))


def chosen(request: Request) -> list[Entry]:
    """The entries that the query names: `e=timestamp-seq`, once or more.

    Raises:
        HTTPException: 404, there is no such entry, or the session has been deleted.
    """
    store, session_id = store_of(request), request.path_params["session_id"]
    found = []
    for ref in request.query_params.getlist("e")[:50]:
        cursor = Cursor.named(ref)
        entry = store.entry_at(session_id, cursor) if cursor else None
        if entry is None:
            session_of(request)  # raises if the session has been deleted
            raise HTTPException(404, "There is no such event.")
        found.append(entry)
    if not found:
        raise HTTPException(404, "Name an event: ?e=timestamp-seq")
    return found


def event_detail(request: Request) -> HTMLResponse:
    """The detail pane of one bar's entries."""
    entries, (session, tree) = chosen(request), session_and_timeline(request)
    made = detail(entries, tree.bar_of(entries[0].seq))
    tabs = ["Content", *(["Stack"] if made.stacks else []), "Attributes", "Metadata", "Raw"]
    return render("detail.html", d=made, tabs=tabs, unended=_unended(session))


def earlier(request: Request) -> HTMLResponse:
    """The messages of a model call before the one at index `to`."""
    entry = chosen(request)[0]
    value, end = Value(orjson.loads(entry.body), str(entry.cursor)), number_in(request.query_params, "to")
    return render("earlier.html", parts=contents.earlier(value, end))


def text(request: Request) -> PlainTextResponse:
    """A chunk of one text of an entry.

    `path` is a JSON array of keys; they also lead into strings that contain JSON. `[]` is the whole entry as indented
    JSON. `from` is where the chunk begins; the header `x-next` is where the next one begins, and is absent at the end.
    `whole=1` gives the whole text exactly as logged, for copying.
    """
    value = orjson.loads(chosen(request)[0].body)
    start = number_in(request.query_params, "from")
    try:
        for key in orjson.loads(request.query_params.get("path", "[]")):
            value = (orjson.loads(value) if isinstance(value, str) else value)[key]
        whole = value if isinstance(value, str) else pretty(value)  # JSON in a string may nest too deeply for that
    except (ValueError, TypeError, LookupError):
        raise HTTPException(404, "There is no such text.") from None
    if request.query_params.get("whole"):
        return PlainTextResponse(whole)
    end = start + CHUNK
    headers = {"x-total": str(len(whole))} | ({"x-next": str(end)} if end < len(whole) else {})
    return PlainTextResponse(visible(whole[start:end]), headers=headers)


def events(request: Request) -> Response:
    """A page of the events that match `q` (words) and `type`, starting at the index `from`; with all types."""
    session, tree = session_and_timeline(request)
    indices = _indices(request, tree)
    start = number_in(request.query_params, "from")
    page = [event_row(entry.seq, entry.body) for entry in _entries(request, tree, indices[start : start + PAGE])]
    types = [(name, f"{visible(name)} ({count(number)})") for name, number in sorted(session.types.items())]
    return json_response({"total": len(indices), "t0": session.first_ms, "rows": page, "types": types})


def _entries(request: Request, tree: Timeline, indices: Sequence[int]) -> Iterator[Entry]:
    """The entries at these indices of the timeline; consecutive ones are read in one query."""
    store, session_id = store_of(request), request.path_params["session_id"]
    at = 0
    while at < len(indices):
        run = 1
        while at + run < len(indices) and indices[at + run] == indices[at] + run:
            run += 1
        index = indices[at]
        found = store.entries(session_id, after=Cursor(tree.times[index], tree.seqs[index] - 1), limit=run)
        yield from found
        at += len(found) or run  # none if the session has been deleted meanwhile


def _indices(request: Request, tree: Timeline) -> Sequence[int]:
    """The indices in the timeline of the events that match the query: words `q` and a `type`, or either or neither."""
    words, event_type = request.query_params.get("q", "").strip(), request.query_params.get("type", "")
    if not words and not event_type:
        return range(len(tree.seqs))
    hits = set(_hits(request)) if words else None
    return [index for index, seq in enumerate(tree.seqs)
            if (hits is None or seq in hits) and (not event_type or tree.types[index] == event_type)]  # fmt: skip


def place(request: Request) -> Response:
    """The index of an event in the table of all events."""
    entry = chosen(request)[0]
    try:
        return json_response({"place": session_and_timeline(request)[1].seqs.index(entry.seq)})
    except ValueError:  # a second copy of an event, or deleted in between
        raise HTTPException(404, "There is no such event.") from None


def find(request: Request) -> Response:
    """The seq of every event of the session that contains all words of `q`."""
    return json_response({"seqs": [str(seq) for seq in _hits(request)]})


def _hits(request: Request) -> list[int]:
    words = request.query_params.get("q", "")[:500]
    return store_of(request).search(session_of(request).session_id, words, MAX_HITS)


def conversation(request: Request) -> HTMLResponse:
    """A page of the conversation, starting at the item `from`."""
    session, tree = session_and_timeline(request)
    outline = talk.outline(tree)
    start = number_in(request.query_params, "from")
    end = start + talk.PAGE
    read = reader_of(store_of(request), session.session_id)
    made = talk.items(outline[start:end], read, talk.ran(tree.tools))
    return render("conversation.html", items=made, unended=_unended(session), end=end, total=len(outline))


def raw(request: Request) -> HTMLResponse:
    """A page of the entries that contain the words `q`, as indented JSON, starting at the index `from`."""
    (_, tree), start = session_and_timeline(request), number_in(request.query_params, "from")
    indices = _indices(request, tree)
    end = start + RAW_PAGE
    page = indices[start:end]
    entries = [_raw_entry(entry, index + 1) for index, entry in zip(page, _entries(request, tree, page), strict=False)]
    return render("raw.html", entries=entries, start=start, end=end, total=len(indices))


def _raw_entry(entry: Entry, number: int) -> dict[str, Any]:
    summary = summarize_json(entry.seq, entry.body)
    return {"number": number, "type": summary.type, "note": summary.note or summary.name, "ref": str(entry.cursor),
            "text": shown(Value(pretty(orjson.loads(entry.body)), str(entry.cursor)))}  # fmt: skip


def markdown(request: Request) -> PlainTextResponse:
    """The named entries as Markdown, for the clipboard."""
    return PlainTextResponse("".join(transcript.section(entry.body) for entry in chosen(request)).lstrip())


def _route(name: str, view: Callable[[Request], Response]) -> Route:
    """A route `/view/NAME/=ID`: the equals sign keeps browsers from resolving the ids `.` and `..` in the path."""
    return Route(f"/view/{name}/={{session_id:any}}", view)


routes: list[BaseRoute] = [
    _route("head", head),
    _route("timeline", timeline),
    _route("overview", overview),
    _route("detail", event_detail),
    _route("earlier", earlier),
    _route("text", text),
    _route("events", events),
    _route("place", place),
    _route("find", find),
    _route("conversation", conversation),
    _route("raw", raw),
    _route("markdown", markdown),
]
