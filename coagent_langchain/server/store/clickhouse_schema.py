"""The ClickHouse schema: the published table, and the roll-up that a materialized view maintains."""

from __future__ import annotations

from typing import NamedTuple

from coagent_langchain.server.store.rollup import (
    ACTIVE,
    ANSWERED,
    ASKED,
    CLOSING,
    ENDINGS,
    LARGEST,
    NEVER,
    OPENING,
    TITLE,
)
from coagent_langchain.wire import EventType

DATABASE = "CREATE DATABASE IF NOT EXISTS {db}"
_ENUM = ", ".join(f"'{event_type}' = {number}" for number, event_type in enumerate(EventType, 1))

# The table of published servers, then our columns: `raw` because the JSON type drops nulls and sorts keys, `seq` for
# the order of arrival, `words` for search. A table created by a published server lacks them.
TABLE = f"""CREATE TABLE IF NOT EXISTS {{db}}.log_entries (
    log_id String, timestamp DateTime64(3), version String, session_id String, prompt_number UInt32,
    turn_number UInt32, event_id String, event_type Enum8({_ENUM}), event_data JSON, agent_stack Array(String),
    prompt Nullable(String), conversation_context Nullable(JSON), meta Nullable(JSON), custom_metadata Nullable(JSON),
    additional_properties Nullable(JSON),
    raw String CODEC(ZSTD(1)), seq UInt64, words String CODEC(ZSTD(1)), INDEX by_seq seq TYPE minmax GRANULARITY 1,
    INDEX by_word words TYPE ngrambf_v1(4, 65536, 2, 0) GRANULARITY 1
) ENGINE = MergeTree PARTITION BY toYYYYMM(timestamp) ORDER BY (session_id, timestamp, event_id)"""

# -- what one entry says: SQL over its columns


def _text(path: str) -> str:
    """A value as text; empty if there is none."""
    return f"ifNull(toString({path}), '')"


def _only_text(path: str) -> str:
    """A text; empty if the value is something else."""
    return f"ifNull({path}.:String, '')"


def _on_one_line(text: str) -> str:
    return f"substringUTF8(trim(replaceRegexpAll(substringUTF8({text}, 1, {2 * TITLE}), '{_SPACE}', ' ')), 1, {TITLE})"


def _is_number(path: str) -> str:
    return f"toInt64OrNull(toString({path})) BETWEEN 0 AND {LARGEST}"


def _number(path: str) -> str:
    """A number of tokens; 0 if it is missing or a mistake."""
    return f"ifNull(if({_is_number(path)}, toInt64OrNull(toString({path})), 0), 0)"


_SPACE = r"[\\s\\x0b\\x1c-\\x1f\\x85\\pZ]+"  # what Python's `split` splits on
_MS = "toUnixTimestamp64Milli(timestamp)"
# Of prompts in the same millisecond, the one with the lowest type, which the handler logs first: the session's own.
_ORDER = f"{_MS} * 32 + toInt8(event_type)"

_HAS_USAGE = "event_type IN ('llm_response', 'error')"  # an error, that of a stream that broke off
_INPUT, _OUTPUT = "event_data.llm_response.input_tokens", "event_data.llm_response.output_tokens"
_CACHED = "meta.usage.input_token_details.cache_read"
_GIVEN_TOTAL = _number("event_data.llm_response.total_tokens")
_TOTAL = f"if({_GIVEN_TOTAL} > 0, {_GIVEN_TOTAL}, {_number(_INPUT)} + {_number(_OUTPUT)})"
_COST = "toFloat64OrNull(toString(event_data.performance_metrics.cost))"

_ENDS_MODEL_CALL = f"event_type = 'error' AND {_text('meta.execution_time_ms')} != ''"
_OPENED = f"(event_type IN {OPENING}) - (event_type IN {CLOSING}) - ({_ENDS_MODEL_CALL})"
_RECOVERED = f"event_type = 'recovery' AND {_text('event_data.error_info.recovery_successful')} != 'false'"
_STATUS = _text("meta.status")
_BEGINS = f"event_type IN ({', '.join(repr(name) for name in sorted(ACTIVE))})"
_IS_ACTIVE = f"({_BEGINS} OR event_type = 'human_oversight' AND {_STATUS} = '{ANSWERED}')"
_STOPS = f"(event_type = 'session_end' OR event_type = 'human_oversight' AND {_STATUS} = '{ASKED}')"
_ENDING = f"if({_STATUS} IN ({', '.join(map(repr, ENDINGS))}), {_STATUS}, 'completed')"

_PROMPT = _on_one_line(f"if(ifNull(prompt, '') != '', prompt, {_only_text('event_data.input_data.prompt')})")
_ERROR = ", ".join(_only_text(f"event_data.error_info.{name}") for name in ("error_type", "error_message"))
_FAILURE = _on_one_line(f"arrayStringConcat(arrayDistinct(arrayFilter(text -> text != '', [{_ERROR}])), ': ')")
_META = "ifNull(toJSONString(meta), '')"
_MODEL = f"JSONExtractString({_META}, 'model')"
_HAS_MODEL = f"JSONType({_META}, 'model') = 'String' AND {_MODEL} != ''"
_MODELS = f"if({_HAS_MODEL}, [substringUTF8({_MODEL}, 1, {TITLE})], [])"
_GIVEN_TAGS = f"arrayConcat(JSONExtractArrayRaw({_META}, 'tags'), JSONExtractArrayRaw({_META}, 'context', 'tags'))"
_TEXT_TAGS = f"arrayMap(tag -> JSONExtractString(tag), arrayFilter(tag -> JSONType(tag) = 'String', {_GIVEN_TAGS}))"
_TAGS = f"arrayMap(tag -> substringUTF8(tag, 1, {TITLE}), arrayFilter(tag -> tag != '', {_TEXT_TAGS}))"

# -- what all entries of a session say


class Column(NamedTuple):
    """A column of the roll-up.

    Attributes:
        function: merges the values of several inserts, in the table and when they are read.
        kind: its type.
        value: what the view computes from the entries of one insert.
    """

    function: str
    kind: str
    value: str


def _sum(value: str) -> Column:
    return Column("sum", "Int64", value)


def _entries(condition: str) -> Column:
    return _sum(f"sumIf(1, {condition})")


def _used(value: str) -> Column:
    """The sum of what calls have used: those answered from a cache have used nothing."""
    return _sum(f"sumIf({value}, {_HAS_USAGE} AND {_text('meta.cached')} != 'true')")


def _reports(path: str) -> Column:
    return _entries(f"{_HAS_USAGE} AND ifNull({_is_number(path)}, 0)")


ROLLUP = {
    "first_ms": Column("min", "Int64", f"min({_MS})"),
    "last_ms": Column("max", "Int64", f"max({_MS})"),
    "entries": _sum("toInt64(count())"),
    "llm_calls": _entries("event_type = 'llm_call'"),
    "tool_calls": _entries("event_type = 'tool_call'"),
    "errors": _entries("event_type = 'error'"),
    "recoveries": _entries(_RECOVERED),
    "input_tokens": _used(_number(_INPUT)),
    "output_tokens": _used(_number(_OUTPUT)),
    "total_tokens": _used(_TOTAL),
    "cached_tokens": _used(_number(_CACHED)),
    "open_calls": _sum(f"toInt64(sum({_OPENED}))"),
    "input_reports": _reports(_INPUT),
    "output_reports": _reports(_OUTPUT),
    "cached_reports": _reports(_CACHED),
    "unpriced_calls": _used(f"({_TOTAL}) > 0 AND {_COST} IS NULL"),
    "prompts": Column("max", "Int64", "toInt64(max(prompt_number))"),
    "cost": Column("sum", "Nullable(Float64)", f"sum({_COST})"),
    "headline": Column(
        "min",
        "Tuple(Int64, String)",
        f"min(if({_BEGINS} AND {_PROMPT} != '', ({_ORDER}, {_PROMPT}), (toInt64({NEVER}), '')))",
    ),
    "ending": Column("max", "Tuple(Int64, String)", f"max(if({_STOPS}, ({_MS}, {_ENDING}), (toInt64(-1), '')))"),
    "last_error": Column(
        "max", "Tuple(Int64, String)", f"max(if(event_type = 'error', ({_MS}, {_FAILURE}), (toInt64(-1), '')))"
    ),
    "active_ms": Column("max", "Int64", f"max(if({_IS_ACTIVE}, {_MS}, -1))"),
    "types": Column("sumMap", "Map(String, UInt64)", "sumMap(map(toString(event_type), toUInt64(1)))"),
    "turn_map": Column("maxMap", "Map(UInt32, UInt32)", "maxMap(map(prompt_number, turn_number))"),
    "models": Column("groupUniqArrayArray", "Array(String)", f"groupUniqArrayArray({_MODELS})"),
    "tags": Column("groupUniqArrayArray", "Array(String)", f"groupUniqArrayArray({_TAGS})"),
}
_TYPES = {name: f"SimpleAggregateFunction({column.function}, {column.kind})" for name, column in ROLLUP.items()}
ROLLUP_TABLE = (
    "CREATE TABLE IF NOT EXISTS {db}.coagent_sessions (session_id String, "
    + ", ".join(f"{name} {kind}" for name, kind in _TYPES.items())
    + ") ENGINE = AggregatingMergeTree ORDER BY session_id"
)
_COUNT_IN = (
    "SELECT session_id, "
    + ", ".join(f"{column.value} AS {name}" for name, column in ROLLUP.items())
    + " FROM {source} GROUP BY session_id"
)
VIEW = "CREATE MATERIALIZED VIEW {db}.coagent_sessions_view TO {db}.coagent_sessions AS " + _COUNT_IN.format(
    source="{db}.log_entries"
)
# Tables of earlier versions lack these columns, and old entries are not recounted. Open calls do not matter after half
# an hour of silence. Reports (see `rollup.session_counts`), unpriced calls and last errors stay unknown.
_LATER = ("open_calls", "input_reports", "output_reports", "cached_reports", "unpriced_calls", "last_error")
UPGRADE = (
    *(f"ALTER TABLE {{db}}.coagent_sessions ADD COLUMN IF NOT EXISTS {name} {_TYPES[name]}" for name in _LATER),
    "ALTER TABLE {db}.coagent_sessions_view MODIFY QUERY " + _COUNT_IN.format(source="{db}.log_entries"),
)
_SAME = "event_id, cityHash64({raw}, toString(event_data), ifNull(prompt, ''))"  # identifies copies within a session
COUNT = f"INSERT INTO {{db}}.coagent_sessions (session_id, {', '.join(ROLLUP)}) " + _COUNT_IN.format(
    source=f"(SELECT * FROM {{db}}.log_entries WHERE {{which}} LIMIT 1 BY session_id, {_SAME})"
)
UNCOUNTED = f"""SELECT session_id FROM (
    SELECT session_id, toInt64(uniqExact({_SAME})) AS number FROM {{db}}.log_entries WHERE {{which}} GROUP BY session_id
    UNION ALL
    SELECT session_id, -sum(entries) AS number FROM {{db}}.coagent_sessions WHERE {{which}} GROUP BY session_id
) GROUP BY session_id HAVING sum(number) > 0"""
SESSIONS = (
    "(SELECT session_id, "
    + ", ".join(f"{column.function}(s.{name}) AS {name}" for name, column in ROLLUP.items())
    + ", headline.2 AS title, last_error.1 AS failure_ms, last_error.2 AS failure,"
    " if(ending.1 >= 0 AND ending.1 >= active_ms, ending.2, 'running') AS status,"
    " arraySum(mapValues(turn_map)) AS turns FROM {db}.coagent_sessions AS s GROUP BY session_id)"
)
