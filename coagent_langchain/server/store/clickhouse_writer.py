"""How a ClickHouse store writes entries, each once, and deletes sessions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError

from coagent_langchain.server.store import NewEntry, Pruned, Unavailable
from coagent_langchain.server.store import clickhouse_rows as rows
from coagent_langchain.server.store.clickhouse_schema import SESSIONS
from coagent_langchain.server.store.clickhouse_table import Table, count_anew

CHECKED = 500  # event ids of one question whether they are there
PRUNED_AT_ONCE = 500  # sessions


class Writer:
    """Writes to the tables of one database, and deletes from them; for one thread at a time.

    Parameters:
        client: the connection, which nobody else uses.
        database: name of the database.
        table: what its table of entries is like.
    """

    def __init__(self, client: Client, database: str, table: Table) -> None:
        self._client = client
        self._db = database
        self._table = table
        self._numbers = rows.Numbers()

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def store(self, entries: list[NewEntry]) -> None:
        """Store what is not there yet.

        Raises:
            Unavailable: the database cannot take it now.
        """
        with available():
            if new := self._without_copies(entries):
                numbers = self._numbers.take(len(new))
                lines = [rows.line(entry, number, self._table.own) for entry, number in zip(new, numbers, strict=True)]
                self._insert(lines, new)

    def _without_copies(self, entries: list[NewEntry]) -> list[NewEntry]:
        """What is not stored yet: a client that saw no answer sends again, and MergeTree would keep both.

        What is stored may not be counted yet, where its insert was broken off.
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
        """Insert all. One row that ClickHouse cannot take refuses all of them: it is found, and stored as text."""
        # A view: bytes the library would send again by itself when the connection breaks after they were stored.
        block = memoryview(b"\n".join(lines))
        try:
            self._client.raw_insert(f"{self._db}.log_entries", insert_block=block, fmt="JSONEachRow")  # type: ignore[arg-type]
        except OperationalError:  # no answer: it may store them yet, and would store what is sent again as well
            raise
        except DatabaseError:
            if len(lines) == 1:
                plain = rows.plain(lines[0], entries[0], self._table.own)
                if plain == lines[0]:
                    raise
                return self._insert([plain], entries)
            half = len(lines) // 2
            self._insert(lines[:half], entries[:half])
            self._insert(lines[half:], entries[half:])

    def delete(self, condition: str, **parameters: Any) -> Pruned:
        """Delete the sessions of which a condition holds, a few at a time.

        Parameters:
            condition: in SQL, on the roll-up.
            parameters: those of the condition.
        """
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
    """Says in the store's own word that the database is down, slow or overloaded."""
    try:
        yield
    except (ClickHouseError, OSError) as error:
        raise Unavailable(f"ClickHouse cannot answer: {str(error)[:200]}", retry_after=2) from error
