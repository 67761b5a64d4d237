"""The table of entries in either of its forms: created by us, or by a published server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.client import Client

from coagent_langchain.server.store import clickhouse_schema as schema
from coagent_langchain.server.store.clickhouse_rows import entry
from coagent_langchain.server.store.search import Terms

_OWN = {"raw", "seq", "words"}  # the columns that only our table has
_OURS = "match(log_id, '^[0-9]{19}$')"  # our numbers have 19 digits; the rows of other servers sort before them
_SEQ_IN_LOG_ID = f"if({_OURS}, toUInt64OrZero(log_id), cityHash64(log_id) % 1000000000)"
_RAW_IN_PROPERTIES = f"if({_OURS}, ifNull(additional_properties.raw.:String, ''), '')"  # others' may be a field
# a token consists of letters and digits, so it contains no wildcards
_HAS_WORD = "words LIKE {{{token}:String}}"
# candidates for `Table.has`: beyond ASCII, ClickHouse has other lowercase letters than Python, and escapes and two
# capitals may hide ASCII letters, see `search._may_hide_ascii`
_MAY_HAVE = (
    "(text ILIKE replaceRegexpAll({{{token}:String}}, '[^ -~]+', '%') OR text = ''"
    r" OR match(text, '\\\\u|\\x{{130}}|\\x{{212a}}'))"
)
_COLUMNS = ("version", "session_id", "prompt_number", "turn_number", "event_id", "event_type", "event_data",
            "agent_stack", "prompt", "conversation_context", "meta", "custom_metadata",
            "additional_properties")  # fmt: skip
_ROW = f"formatRowNoNewline('JSONEachRow', {', '.join(_COLUMNS)})"


@dataclass(frozen=True, slots=True)
class Table:
    """SQL expressions for reading the rows of a table of entries.

    Attributes:
        event_types: those that it can store.
        own: whether it has our columns; if not, their values are in columns of the published table.
        raw: an entry's JSON text as posted, or "" in a row of another server.
        seq: an entry's arrival number.
        may_have: whether an entry may contain a token; a template with `token` for the parameter's name.
    """

    event_types: frozenset[str]
    own: bool
    raw: str
    seq: str
    may_have: str

    @property
    def entry(self) -> str:
        """The columns from which `clickhouse_rows.entry` makes an entry."""
        row = f"if({self.raw} = '', {_ROW}, '')"
        return f"{self.seq} AS number, toUnixTimestamp64Milli(timestamp) AS ms, {self.raw} AS text, {row} AS row"

    @property
    def searched(self) -> str:
        """An entry's number and what `has` reads: only the words if there are any, because entries may be large."""
        return "seq AS number, words" if self.own else self.entry

    def has(self, terms: Terms, number: int, *searched: Any) -> bool:
        """Whether an entry contains the terms of a search."""
        return terms.are_in(*searched) if self.own else terms(entry(number, *searched).body)


def prepare(client: Client, database: str) -> Table:
    """Create missing tables and return a description of the table of entries; an existing one is not changed."""
    for statement in (schema.DATABASE, schema.TABLE, schema.ROLLUP_TABLE):
        client.command(statement.format(db=database))
    table = _described(client, database)
    tables = client.query(f"SHOW TABLES FROM {database}").result_columns[0]
    if "coagent_sessions_view" not in tables:
        client.command(schema.VIEW.format(db=database))
        client.command(schema.COUNT.format(db=database, raw=table.raw, which="true"))
    for statement in schema.UPGRADE:
        client.command(statement.format(db=database))
    return table


def _described(client: Client, database: str) -> Table:
    described = client.query(f"DESCRIBE {database}.log_entries").result_columns
    types = dict(zip(described[0], described[1], strict=True))
    event_types = frozenset(re.findall(r"'([^']+)' = ", types["event_type"]))  # of `Enum8('a' = 1, ...)`
    if set(types) >= _OWN:
        return Table(event_types, own=True, raw="raw", seq="seq", may_have=_HAS_WORD)
    return Table(event_types, own=False, raw=_RAW_IN_PROPERTIES, seq=_SEQ_IN_LOG_ID, may_have=_MAY_HAVE)


def count_anew(client: Client, database: str, table: Table, session_ids: Sequence[str]) -> None:
    """Recount those sessions whose roll-up lacks entries.

    An insert that was interrupted in the database may have stored rows that are not yet counted.
    """
    names = {"db": database, "raw": table.raw, "which": "session_id IN {named:Array(String)}"}
    found = client.query(schema.UNCOUNTED.format(**names), parameters={"named": session_ids}).result_rows
    if found:
        lacking = {"named": [row[0] for row in found]}
        client.command(f"DELETE FROM {database}.coagent_sessions WHERE {names['which']}", parameters=lacking)
        client.command(schema.COUNT.format(**names), parameters=lacking)
