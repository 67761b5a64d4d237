"""Writing entries to a ClickHouse store, each once, and deleting sessions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError

from coagent_langchain.server.store import Unavailable
from coagent_langchain.server.store.clickhouse_rows import Numbers, line, plain
from coagent_langchain.server.store.clickhouse_schema import SESSIONS
from coagent_langchain.server.store.clickhouse_table import Table, count_anew
from coagent_langchain.server.store.records import NewEntry, Pruned

CHECKED = 500  # event ids per query for copies
PRUNED_AT_ONCE = 500  # sessions per step
# Otherwise the JSON type takes a text for a time and stores it in another form.
TEXTS = {"input_format_try_infer_dates": 0, "input_format_try_infer_datetimes": 0}


class Writer:
    """Writes to the tables of one database and deletes from them; not thread-safe, with a client of its own."""

    def __init__(self, client: Client, database: str, table: Table) -> None:
        self._client = client
        self._db = database
        self._table = table
        self._numbers = Numbers()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def store(self, entries: list[NewEntry]) -> None:
        """Store the entries that are not stored yet.

        Raises:
            Unavailable: the database cannot store them now.
        """
        with available():
            if new := self._without_copies(entries):
                numbers = self._numbers.take(len(new))
                lines = [line(entry, number, self._table.own) for entry, number in zip(new, numbers, strict=True)]
                self._insert(lines, new)

    def _without_copies(self, entries: list[NewEntry]) -> list[NewEntry]:
        """The entries not stored yet: a client that received no response sends again, and MergeTree would keep both.

        Entries already stored may not be counted if their insert was interrupted; their sessions are recounted.
        """
        unique = {(e.fields["session_id"], e.fields["event_id"], e.body): e for e in entries}
        sql = f"""SELECT session_id, event_id, {self._table.raw} FROM {self._db}.log_entries
            WHERE session_id IN {{sessions:Array(String)}} AND event_id IN {{events:Array(String)}}"""
        keyed = list(unique)
        for start in range(0, len(keyed), CHECKED):
            keys = keyed[start : start + CHECKED]
            parameters = {"sessions": list({key[0] for key in keys}), "events": [key[1] for key in keys]}
            again = set()
            for session_id, event_id, raw in self._client.query(sql, parameters=parameters).result_rows:
                if unique.pop((session_id, event_id, raw.encode()), None):
                    again.add(session_id)
            if again:
                count_anew(self._client, self._db, self._table, list(again))
        return list(unique.values())

    def _insert(self, lines: list[bytes], entries: list[NewEntry]) -> None:
        """Insert rows; if ClickHouse rejects them because of one row, find it by bisection and store it as text."""
        # A memoryview: the library would resend bytes by itself if the connection breaks after they were stored.
        block = memoryview(b"\n".join(lines))
        try:
            self._client.raw_insert(f"{self._db}.log_entries", insert_block=block, fmt="JSONEachRow", settings=TEXTS)  # type: ignore[arg-type]
        except OperationalError:  # no response: the rows may still be stored, and resent rows too
            raise
        except DatabaseError:
            if len(lines) == 1:
                text_only = plain(lines[0], entries[0], self._table.own)
                if text_only == lines[0]:
                    raise
                return self._insert([text_only], entries)
            half = len(lines) // 2
            self._insert(lines[:half], entries[:half])
            self._insert(lines[half:], entries[half:])

    def delete(self, condition: str, **parameters: Any) -> Pruned:
        """Delete the sessions that match a condition, which is SQL over the roll-up, in steps."""
        count = entries = 0
        sql = f"SELECT session_id, entries FROM {SESSIONS.format(db=self._db)} WHERE {condition} LIMIT {PRUNED_AT_ONCE}"
        while True:
            with available():
                found = self._client.query(sql, parameters=parameters).result_rows
                for table in ("log_entries", "coagent_sessions") if found else ():
                    self._client.command(
                        f"DELETE FROM {self._db}.{table} WHERE session_id IN {{found:Array(String)}}",
                        parameters={"found": [row[0] for row in found]},
                    )
            count, entries = count + len(found), entries + sum(row[1] for row in found)
            if len(found) < PRUNED_AT_ONCE:
                return Pruned(count, entries)


@contextlib.contextmanager
def available() -> Iterator[None]:
    """Raise `Unavailable` if the database is down, slow or overloaded."""
    try:
        yield
    except (ClickHouseError, OSError) as error:
        raise Unavailable(f"ClickHouse cannot answer: {str(error)[:200]}") from error
