"""The roll-up tables in SQL: adding entries, and finding sessions."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from coagent_langchain.server.store import ALL, MAX_FACETS
from coagent_langchain.server.store.records import Query, Session, Summary
from coagent_langchain.server.store.rollup import COUNTERS, Rollup
from coagent_langchain.server.store.search import words_and_phrases
from coagent_langchain.server.store.sql import SESSION, status_now, summary

ROWS = 512  # rows per statement; with 26 columns, SQLite accepts 1,260
_COLUMNS = ("session_id", "first_ms", "last_ms", *COUNTERS, "prompts", "cost", "title_ms", "title", "ended_ms", "ended",
            "active_ms", "failure_ms", "failure")  # fmt: skip
_UPSERT = f"""INSERT INTO sessions ({", ".join(_COLUMNS)}) VALUES %s ON CONFLICT (session_id) DO UPDATE SET
    first_ms = min(first_ms, excluded.first_ms), last_ms = max(last_ms, excluded.last_ms),
    {", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTERS)},
    prompts = max(prompts, excluded.prompts), active_ms = max(active_ms, excluded.active_ms),
    cost = CASE WHEN excluded.cost IS NULL THEN cost ELSE coalesce(cost, 0) + excluded.cost END,
    title = CASE WHEN excluded.title_ms < title_ms THEN excluded.title ELSE title END,
    title_ms = min(title_ms, excluded.title_ms),
    ended = CASE WHEN (excluded.ended_ms, excluded.ended) > (ended_ms, ended) THEN excluded.ended ELSE ended END,
    ended_ms = max(ended_ms, excluded.ended_ms),
    failure = CASE WHEN (excluded.failure_ms, excluded.failure) > (failure_ms, failure) THEN excluded.failure
        ELSE failure END,
    failure_ms = max(failure_ms, excluded.failure_ms)"""
_PROMPTS = "INSERT INTO prompts VALUES %s ON CONFLICT DO UPDATE SET turns = max(turns, excluded.turns)"
_FACETS = "INSERT INTO facets VALUES %s ON CONFLICT DO UPDATE SET count = count + excluded.count"


def insert_rows(connection: sqlite3.Connection, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run `sql` with its `%s` replaced by the VALUES of many rows, in a few statements during which other threads run.

    One statement per row would release the GIL and wait for it again row by row. One for all rows would differ for each
    number of rows, and Python caches 256 statements with their last values.
    """
    start, size = 0, ROWS
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        some = rows[start : start + size]
        row = "(" + ",".join("?" * len(some[0])) + ")"
        connection.execute(sql % ",".join([row] * size), list(itertools.chain.from_iterable(some)))
        start += size


def merge(connection: sqlite3.Connection, rollups: Iterable[Rollup]) -> dict[str, int]:
    """Add roll-ups to their sessions, creating new ones.

    Returns:
        session id → its number in the database.
    """
    rollups = list(rollups)
    insert_rows(connection, _UPSERT, [_row(rollup) for rollup in rollups])
    ids = [rollup.session_id for rollup in rollups]
    found = connection.execute(  # as hex: SQLite 3.53 cuts a key at a null character
        f"SELECT json_group_object(hex(session_id), id) FROM sessions WHERE {named_in(ids)}", ids
    ).fetchone()[0]
    numbers = {bytes.fromhex(key).decode(): number for key, number in orjson.loads(found).items()}
    insert_rows(
        connection,
        _PROMPTS,
        [(numbers[r.session_id], prompt, turn) for r in rollups for prompt, turn in r.turns.items()],
    )
    facets = [(numbers[r.session_id], "type", value, count) for r in rollups for value, count in r.types.items()]
    facets += [(numbers[r.session_id], "model", value, 1) for r in rollups for value in r.models]
    facets += [(numbers[r.session_id], "tag", value, 1) for r in rollups for value in r.tags]
    insert_rows(connection, _FACETS, facets)
    return numbers


def _row(r: Rollup) -> tuple[Any, ...]:
    return (r.session_id, r.first_ms, r.last_ms, *r.counts.values(), max(r.turns), r.cost,
            r.title_ms, r.title, r.ended_ms, r.ended, r.active_ms, r.failure_ms, r.failure)  # fmt: skip


TIES: tuple[str, ...] = ("id",)
INPUTS = "(SELECT count FROM facets WHERE session = sessions.id AND kind = 'type' AND value = 'user_input')"
_TYPES = "(SELECT json_group_object(value, count) FROM facets WHERE session = sessions.id AND kind = 'type')"
_MODELS = "(SELECT json_group_array(value) FROM facets WHERE session = sessions.id AND kind = 'model')"
_TAGS = "(SELECT json_group_array(value) FROM facets WHERE session = sessions.id AND kind = 'tag')"
_TURNS = "(SELECT coalesce(sum(turns), 0) FROM prompts WHERE session = id)"
SELECT = f"SELECT {_TYPES}, {_MODELS}, {_TAGS}, {SESSION}, {_TURNS} FROM sessions"


def session_of(row: Sequence[Any]) -> Session:
    """The `Session` of a row of `SELECT`."""
    types, models, tags, *rest = row
    return Session.of(rest, types=orjson.loads(types), models=_sorted(models), tags=_sorted(tags))


def summaries(connection: sqlite3.Connection, newest: int = ALL) -> list[Summary]:
    """See `Store.summaries`."""
    sql = f"SELECT {_MODELS}, {_TAGS}, {summary()} FROM sessions ORDER BY first_ms DESC, id DESC LIMIT ?"
    rows = ((*row, _sorted(models), _sorted(tags)) for models, tags, *row in connection.execute(sql, (newest,)))
    return [Summary(*row) for row in rows][::-1]


def _sorted(values: str) -> list[str]:
    return sorted(orjson.loads(values))


def page(sessions: str, where: str, order: str, limit: str) -> str:
    """See `Dialect.page`."""
    # choose the page before reading its sessions: sorting all sessions with their turns is slow
    return f"{SELECT} WHERE id IN (SELECT id FROM {sessions} {where} {order} {limit}) {order}"


def facet_counts(sessions: str, where: str) -> str:
    """See `Dialect.facet_counts`."""
    place = "row_number() OVER (PARTITION BY kind ORDER BY count(*) DESC, value)"
    return f"""SELECT kind, value, number FROM (
        SELECT kind, value, count(*) AS number, {place} AS place FROM facets
        WHERE session IN (SELECT id FROM {sessions} {where}) GROUP BY kind, value
    ) WHERE place <= {MAX_FACETS} ORDER BY number DESC, value"""


def where(query: Query, found: list[str]) -> tuple[str, list[Any]]:
    """See `Dialect.where`."""
    terms: list[str] = []
    parameters: list[Any] = []
    if query.status:
        terms.append(f"{status_now()} = ?")
        parameters.append(query.status)
    if query.since_ms is not None:
        terms.append("last_ms >= ?")
        parameters.append(query.since_ms)
    for kind, value in (("type", query.type), ("model", query.model), ("tag", query.tag)):
        if value:
            terms.append("id IN (SELECT session FROM facets WHERE kind = ? AND value = ?)")
            parameters += (kind, value)
    if words := words_and_phrases(query.text):
        named = " AND ".join(["(session_id LIKE ? ESCAPE '!' OR title LIKE ? ESCAPE '!')"] * len(words))
        terms.append(f"({named} OR {named_in(found)})")
        parameters += [pattern for word in words for pattern in [_like(word)] * 2]
        parameters += found
    return ("WHERE " + " AND ".join(terms) if terms else ""), parameters


def named_in(session_ids: Sequence[str]) -> str:
    """The condition that a session's id is among these, which are its parameters."""
    return f"session_id IN ({','.join('?' * len(session_ids))})"  # `json_each` would cut an id at a null character


def _like(word: str) -> str:
    for special in "!%_":
        word = word.replace(special, "!" + special)
    return f"%{word}%"
