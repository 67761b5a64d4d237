"""The list of sessions: its filters, and the table that the page fetches again when something is new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute, Route

from coagent_langchain.server.lookups import base_url_of, number_in, state_of, store_of
from coagent_langchain.server.presentation import formats
from coagent_langchain.server.store.records import STATUSES, Page, Query
from coagent_langchain.server.store.search import FOUND
from coagent_langchain.server.templating import render
from coagent_langchain.wire import EventType, now_ms

PAGE = 50
PERIODS = {"1h": ("Last hour", 3_600_000), "24h": ("Last 24 hours", 86_400_000), "7d": ("Last 7 days", 604_800_000),
           "30d": ("Last 30 days", 2_592_000_000)}  # fmt: skip
NOTES = {"found": f"The search ended with the {FOUND} newest sessions whose events contain the words",
         "time": "The search took too long and ended with the newest events"}  # fmt: skip
COLUMNS = [
    # sort key, label, hint, class; a narrow window first hides figures without a sort key
    ("", "Status", "", "c-status"),
    ("", "Session", "First prompt and id", "c-title"),
    ("first", "Started", "First event", "c-time"),
    ("duration", "Duration", "From the first to the last event, or until now while a call is open", "num w-l"),
    ("prompts", "Prompts", "User interactions", "num w-s from-1240"),
    ("", "Turns", "Model interactions, over all prompts", "num w-xs from-1440"),
    ("llm_calls", "Calls", "Model calls", "num w-xs from-1240"),
    ("tool_calls", "Tools", "Tool calls", "num w-xs from-1240"),
    ("total_tokens", "Tokens", "Input and output tokens together", "num w-l from-1100"),
    ("", "Out", "Output tokens among them", "num w-m from-1440"),
    ("cost", "Cost", "US dollars, where a price is known", "num c-price from-1100"),
    ("errors", "Errors", "", "num w-s"),
    ("", "Models, tags", "", "c-words from-1100"),
]
NEWEST = "-first"
ORDERS = {turn + name: f"{label} {arrow}"
          for name, label, *_ in (*COLUMNS, ("entries", "Events"), ("last", "Last event")) if name
          for turn, arrow in (("-", "↓"), ("", "↑"))}  # fmt: skip
# values that the list's address may choose; others are ignored, and the page says so
CHOICES = {"status": STATUSES, "type": tuple(EventType), "period": tuple(PERIODS),
           "sort": tuple(ORDERS)}  # fmt: skip


def home(request: Request) -> HTMLResponse:
    """The list of sessions, or, if there are none, the lines to paste into a program."""
    context = _list(request, count_facets=True)
    if not context["page"].total and not context["filtered"]:
        return render("sessions.html", onboarding=True, base_url=base_url_of(request),
                      token=state_of(request).token_needed)  # fmt: skip
    return render("sessions.html", onboarding=False, filters=_filters(request, context["query"], context["page"]),
                  **context)  # fmt: skip


def session_rows(request: Request) -> HTMLResponse:
    """Only the table of the list, fetched by the list when something is new."""
    return render("session_rows.html", **_list(request))


def _list(request: Request, *, count_facets: bool = False) -> dict[str, Any]:
    """What the table of sessions shows for the query in the address; `count_facets` is for the filters above it."""
    query = replace(read_query(request.query_params), count_facets=count_facets)
    page = store_of(request).sessions(query)
    if page.total and not page.sessions:  # past the end: the last page
        query = replace(query, offset=(page.total - 1) // PAGE * PAGE)
        page = store_of(request).sessions(query)
    given = dict(request.query_params)

    def link(**changes: str) -> str:
        return "/?" + urlencode({key: value for key, value in (given | changes).items() if value})

    columns = [
        (label, hint, cls, link(sort=_turned(query, name), page="") if name else "", _state(query, name))
        for name, label, hint, cls in COLUMNS
    ]
    number = query.offset // PAGE + 1
    return {
        "page": page, "notes": NOTES, "query": query, "columns": columns,
        "ignored": _ignored(request.query_params),
        "filtered": any(given.get(name) for name in ("q", "status", "type", "model", "tag", "period")),
        "previous": link(page=str(number - 1)) if number > 1 else "",
        "next": link(page=str(number + 1)) if query.offset + PAGE < page.total else "",
    }  # fmt: skip


def _ignored(given: Mapping[str, str]) -> list[str]:
    """What the address asks for in vain: choices that do not exist."""
    return [f"{name}={given[name]}" for name in CHOICES if given.get(name) and not _chosen(given, name)]


def read_query(given: Mapping[str, str]) -> Query:
    """The store query for the list's address; invalid values are ignored."""
    sort = _chosen(given, "sort") or NEWEST
    page = max(number_in(given, "page"), 1)
    period = PERIODS.get(_chosen(given, "period"))
    return Query(
        text=given.get("q", "")[:500],
        status=_chosen(given, "status"),
        type=_chosen(given, "type"),
        model=given.get("model", ""),
        tag=given.get("tag", ""),
        since_ms=now_ms() - period[1] if period else None,
        sort=sort.removeprefix("-"),
        ascending=not sort.startswith("-"),
        limit=PAGE,
        offset=(page - 1) * PAGE,
    )


def _chosen(given: Mapping[str, str], name: str) -> str:
    """The choice made by an address; "" if it is not a valid one."""
    value = given.get(name, "")
    return value if value in CHOICES[name] else ""


def _turned(query: Query, name: str) -> str:
    """The sort after a click on a column: descending, or ascending if the column already sorts descending."""
    return name if query.sort == name and not query.ascending else f"-{name}"


def _state(query: Query, name: str) -> str:
    return "" if name != query.sort else "ascending" if query.ascending else "descending"


def _filters(request: Request, query: Query, page: Page) -> list[tuple[str, str, list[tuple[str, str]], str]]:
    """The filters above the list: name, label, options (value, text) and chosen value; "" is the default."""
    store = store_of(request)

    def named(values: Iterable[str], kind: str = "", chosen: str = "") -> list[tuple[str, str]]:
        counted = page.facet_counts.get(kind, {})
        told = {value: f" ({formats.count(number)})" for value, number in counted.items() if value != chosen}
        return [("", "any"), *((str(value), formats.preview(str(value), 60) + told.get(value, "")) for value in values)]

    def common(kind: Literal["model", "tag"], chosen: str) -> list[tuple[str, str]]:
        return named(sorted({*store.facets(kind), *page.facet_counts.get(kind, ()), chosen} - {""}), kind, chosen)

    order = ("" if query.ascending else "-") + query.sort
    orders = [(each.replace(NEWEST, ""), text) for each, text in ORDERS.items()]
    periods = [("", "any"), *((name, text) for name, (text, _) in PERIODS.items())]
    return [
        ("status", "Status", named(STATUSES), query.status),
        ("period", "Time", periods, _chosen(request.query_params, "period")),
        ("type", "Has", named(EventType, "type", query.type), query.type),
        ("model", "Model", common("model", query.model), query.model),
        ("tag", "Tag", common("tag", query.tag), query.tag),
        ("sort", "Sort", orders, order.replace(NEWEST, "")),
    ]


routes: list[BaseRoute] = [Route("/", home), Route("/view/sessions", session_rows)]
