"""The SQLite schema as a list of migrations: each runs once, in order; missing ones run in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from coagent_langchain.server.store.rollup import COUNTERS, NEVER
from coagent_langchain.server.store.sqlite_file import transaction

STATUS = "CASE WHEN ended_ms >= 0 AND ended_ms >= active_ms THEN ended ELSE 'running' END"

_REPORTS = ("input_reports", "output_reports", "cached_reports")
_LATER = ("open_calls", *_REPORTS, "unpriced_calls")  # columns that `_third`, `_fourth` and `_fifth` add


def _first(connection: sqlite3.Connection) -> None:
    counters = ", ".join(f"{name} INTEGER NOT NULL" for name in COUNTERS if name not in _LATER)
    for statement in (
        f"""CREATE TABLE sessions (
            id INTEGER PRIMARY KEY, session_id TEXT NOT NULL UNIQUE,
            first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, {counters}, prompts INTEGER NOT NULL, cost REAL,
            title_ms INTEGER NOT NULL DEFAULT {NEVER}, title TEXT NOT NULL,
            ended_ms INTEGER NOT NULL, ended TEXT NOT NULL, active_ms INTEGER NOT NULL,
            status TEXT AS ({STATUS}) VIRTUAL, duration INTEGER AS (last_ms - first_ms) VIRTUAL)""",
        "CREATE INDEX sessions_last ON sessions (last_ms)",
        "CREATE INDEX sessions_first ON sessions (first_ms)",
        "CREATE TABLE prompts (session INTEGER, prompt_number INTEGER, turns INTEGER NOT NULL,"
        " PRIMARY KEY (session, prompt_number)) WITHOUT ROWID",
        "CREATE TABLE facets (session INTEGER, kind TEXT, value TEXT, count INTEGER NOT NULL,"
        " PRIMARY KEY (session, kind, value)) WITHOUT ROWID",
        "CREATE INDEX facets_value ON facets (kind, value)",
        "CREATE TABLE entries (seq INTEGER PRIMARY KEY, session INTEGER NOT NULL, timestamp INTEGER NOT NULL,"
        " type INTEGER NOT NULL, digest BLOB NOT NULL, body BLOB NOT NULL)",
        "CREATE UNIQUE INDEX entries_once ON entries (session, timestamp, digest)",  # also gives their order
        "CREATE INDEX entries_errors ON entries (session, timestamp) WHERE type = 11",
    ):
        connection.execute(statement)


def _second(connection: sqlite3.Connection) -> None:
    """Drop an unused index; `type` stays for manual SQL, because dropping the column would rewrite every store."""
    connection.execute("DROP INDEX entries_errors")


def _third(connection: sqlite3.Connection) -> None:
    """Add `open_calls`: 0 for existing sessions, which does not matter after half an hour of silence."""
    connection.execute("ALTER TABLE sessions ADD COLUMN open_calls INTEGER NOT NULL DEFAULT 0")


def _fourth(connection: sqlite3.Connection) -> None:
    """Add the report counters: 0 for existing sessions, see `rollup.session_counts`."""
    for name in _REPORTS:
        connection.execute(f"ALTER TABLE sessions ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0")


def _fifth(connection: sqlite3.Connection) -> None:
    """Add `unpriced_calls`: 0 for existing sessions, whose costs are shown as before."""
    connection.execute("ALTER TABLE sessions ADD COLUMN unpriced_calls INTEGER NOT NULL DEFAULT 0")


def _sixth(connection: sqlite3.Connection) -> None:
    """Add the last failure: empty for existing sessions, for which the list gives no reason."""
    connection.execute("ALTER TABLE sessions ADD COLUMN failure_ms INTEGER NOT NULL DEFAULT -1")
    connection.execute("ALTER TABLE sessions ADD COLUMN failure TEXT NOT NULL DEFAULT ''")


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first, _second, _third, _fourth, _fifth, _sixth)


def version_of(connection: sqlite3.Connection) -> int:
    """The number of migrations applied to a database; 0 if it is not a store."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def migrate(connection: sqlite3.Connection) -> None:
    """Run the missing migrations of a database.

    Raises:
        sqlite3.NotSupportedError: a newer version of the package created it.
    """
    version = version_of(connection)
    if version > len(MIGRATIONS):
        raise sqlite3.NotSupportedError(
            f"its schema has version {version}, this coagent-langchain supports up to {len(MIGRATIONS)}: "
            "use the version that created it, or a newer one"
        )
    if version < len(MIGRATIONS):
        with transaction(connection):
            version = version_of(connection)  # `prune` may have migrated it meanwhile
            for number, migration in enumerate(MIGRATIONS[version:], version + 1):
                migration(connection)
                connection.execute(f"PRAGMA user_version = {number}")
