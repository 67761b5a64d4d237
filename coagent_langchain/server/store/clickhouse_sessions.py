"""Queries on the roll-up in ClickHouse's SQL: finding and reading sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coagent_langchain.server.store import MAX_FACETS
from coagent_langchain.server.store.records import Query, Session
from coagent_langchain.server.store.search import words_and_phrases
from coagent_langchain.server.store.sql import SESSION, status_now

TIES: tuple[str, ...] = ("first_ms", "session_id")
INPUTS = "toInt64(types['user_input'])"
SELECT = f"SELECT types, arraySort(models), arraySort(tags), {SESSION}, turns"


def session_of(row: Sequence[Any]) -> Session:
    """The `Session` of a row of `SELECT`."""
    types, models, tags, *rest = row
    return Session.of(rest, types=types, models=models, tags=tags)


def page(sessions: str, where: str, order: str, limit: str) -> str:
    """See `Dialect.page`."""
    return f"{SELECT} FROM {sessions} {where} {order} {limit}"


def facet_counts(sessions: str, where: str) -> str:
    """See `Dialect.facet_counts`."""
    kinds = (("type", "mapKeys(types)"), ("model", "models"), ("tag", "tags"))
    pairs = ", ".join(f"arrayMap(value -> ('{kind}', value), {values})" for kind, values in kinds)
    return f"""SELECT pair.1, pair.2, count() FROM
        (SELECT arrayJoin(arrayConcat({pairs})) AS pair FROM {sessions} {where})
        GROUP BY pair ORDER BY count() DESC, pair LIMIT {MAX_FACETS} BY pair.1"""


def where(query: Query, found: list[str]) -> tuple[str, dict[str, Any]]:
    """See `Dialect.where`."""
    terms: list[str] = []
    parameters: dict[str, Any] = {}
    for name, term, value in (
        ("status", f"{status_now()} = {{status:String}}", query.status or None),
        ("since", "last_ms >= {since:Int64}", query.since_ms),
        ("type", "mapContains(types, {type:String})", query.type or None),
        ("model", "has(models, {model:String})", query.model or None),
        ("tag", "has(tags, {tag:String})", query.tag or None),
    ):
        if value is not None:
            terms.append(term)
            parameters[name] = value
    if words := words_and_phrases(query.text):
        named = " AND ".join(
            f"(positionCaseInsensitiveUTF8(session_id, {{word{n}:String}}) > 0"
            f" OR positionCaseInsensitiveUTF8(title, {{word{n}:String}}) > 0)"
            for n in range(len(words))
        )
        terms.append(f"(({named}) OR session_id IN {{found:Array(String)}})")
        parameters |= {f"word{n}": word for n, word in enumerate(words)} | {"found": found}
    return ("WHERE " + " AND ".join(terms) if terms else ""), parameters
