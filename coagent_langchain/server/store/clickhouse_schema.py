"""The ClickHouse schema: the published table, and the roll-up that a materialized view maintains."""

from __future__ import annotations

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

_MS = "toUnixTimestamp64Milli(timestamp)"
_TELLS = "event_type IN ('llm_response', 'error')"  # report usage; an error, that of a stream that broke off


def _number(path: str) -> str:
    value = f"toInt64OrNull(toString({path}))"
    return f"ifNull(if({value} BETWEEN 0 AND {LARGEST}, {value}, 0), 0)"


def _reports(path: str) -> str:
    named = f"ifNull(toInt64OrNull(toString({path})) BETWEEN 0 AND {LARGEST}, 0)"
    return f"sumIf(1, {_TELLS} AND {named})"


def _count(event_type: str) -> str:
    return f"sumIf(1, event_type = '{event_type}')"


def _used(value: str) -> str:
    return f"sumIf({value}, {_TELLS} AND ifNull(toString(meta.cached), '') != 'true')"


_GIVEN, _MADE = "event_data.llm_response.input_tokens", "event_data.llm_response.output_tokens"
_READ = "meta.usage.input_token_details.cache_read"
_INPUT, _OUTPUT = _number(_GIVEN), _number(_MADE)
_TOTAL = _number("event_data.llm_response.total_tokens")
_SUM = f"if({_TOTAL} > 0, {_TOTAL}, {_INPUT} + {_OUTPUT})"
_COST = "toFloat64OrNull(toString(event_data.performance_metrics.cost))"
_TIMED = "event_type = 'error' AND ifNull(toString(meta.execution_time_ms), '') != ''"  # ends a model call
_RECOVERED = "ifNull(toString(event_data.error_info.recovery_successful), '') != 'false'"
_OPEN = f"(event_type IN {OPENING}) - (event_type IN {CLOSING}) - ({_TIMED})"
_TOLD = "ifNull(toString(meta.status), '')"
_BEGUN = f"event_type IN ({', '.join(repr(name) for name in sorted(ACTIVE))})"
_ACTIVE = f"({_BEGUN} OR event_type = 'human_oversight' AND {_TOLD} = '{ANSWERED}')"
_STANDS = f"(event_type = 'session_end' OR event_type = 'human_oversight' AND {_TOLD} = '{ASKED}')"
_STATUS = f"{_TOLD} IN ({', '.join(map(repr, ENDINGS))})"
_SPACE = r"[\\s\\x0b\\x1c-\\x1f\\x85\\pZ]+"  # what Python's `split` splits on


def _on_one_line(text: str) -> str:
    return f"substringUTF8(trim(replaceRegexpAll(substringUTF8({text}, 1, {2 * TITLE}), '{_SPACE}', ' ')), 1, {TITLE})"


_INNER_PROMPT = "ifNull(event_data.input_data.prompt.:String, '')"
_PROMPT = _on_one_line(f"if(ifNull(prompt, '') != '', prompt, {_INNER_PROMPT})")
_ERROR = ", ".join(f"ifNull(event_data.error_info.{name}.:String, '')" for name in ("error_type", "error_message"))
_FAILURE = _on_one_line(f"arrayStringConcat(arrayDistinct(arrayFilter(text -> text != '', [{_ERROR}])), ': ')")
# of prompts in the same millisecond, the one with the lowest type, which the handler logs first: the session's own
_WHEN = f"{_MS} * 32 + toInt8(event_type)"
_META = "ifNull(toJSONString(meta), '')"
_GIVEN_TAGS = f"arrayConcat(JSONExtractArrayRaw({_META}, 'tags'), JSONExtractArrayRaw({_META}, 'context', 'tags'))"
_TAGS = f"arrayMap(tag -> JSONExtractString(tag), arrayFilter(tag -> JSONType(tag) = 'String', {_GIVEN_TAGS}))"
_IS_MODEL = f"JSONType({_META}, 'model') = 'String' AND JSONExtractString({_META}, 'model') != ''"
_MODEL = f"if({_IS_MODEL}, [substringUTF8(JSONExtractString({_META}, 'model'), 1, {TITLE})], [])"

# name → (type in the roll-up table, value in the view, aggregation when read)
_U64 = "SimpleAggregateFunction(sum, Int64)"
ROLLUP: dict[str, tuple[str, str, str]] = {
    "first_ms": ("SimpleAggregateFunction(min, Int64)", f"min({_MS})", "min"),
    "last_ms": ("SimpleAggregateFunction(max, Int64)", f"max({_MS})", "max"),
    "entries": (_U64, "toInt64(count())", "sum"),
    "llm_calls": (_U64, _count("llm_call"), "sum"),
    "tool_calls": (_U64, _count("tool_call"), "sum"),
    "errors": (_U64, _count("error"), "sum"),
    "recoveries": (_U64, f"sumIf(1, event_type = 'recovery' AND {_RECOVERED})", "sum"),
    "input_tokens": (_U64, _used(_INPUT), "sum"),
    "output_tokens": (_U64, _used(_OUTPUT), "sum"),
    "total_tokens": (_U64, _used(_SUM), "sum"),
    "cached_tokens": (_U64, _used(_number(_READ)), "sum"),
    "open_calls": (_U64, f"toInt64(sum({_OPEN}))", "sum"),
    "input_reports": (_U64, _reports(_GIVEN), "sum"),
    "output_reports": (_U64, _reports(_MADE), "sum"),
    "cached_reports": (_U64, _reports(_READ), "sum"),
    "unpriced_calls": (_U64, _used(f"({_SUM}) > 0 AND {_COST} IS NULL"), "sum"),
    "prompts": ("SimpleAggregateFunction(max, Int64)", "toInt64(max(prompt_number))", "max"),
    "cost": ("SimpleAggregateFunction(sum, Nullable(Float64))", f"sum({_COST})", "sum"),
    "headline": (
        "SimpleAggregateFunction(min, Tuple(Int64, String))",
        f"min(if({_BEGUN} AND {_PROMPT} != '', ({_WHEN}, {_PROMPT}), (toInt64({NEVER}), '')))",
        "min",
    ),
    "ending": (
        "SimpleAggregateFunction(max, Tuple(Int64, String))",
        f"max(if({_STANDS}, ({_MS}, if({_STATUS}, {_TOLD}, 'completed')),"
        " (toInt64(-1), '')))",
        "max",
    ),
    "last_error": (
        "SimpleAggregateFunction(max, Tuple(Int64, String))",
        f"max(if(event_type = 'error', ({_MS}, {_FAILURE}), (toInt64(-1), '')))",
        "max",
    ),
    "active_ms": ("SimpleAggregateFunction(max, Int64)", f"max(if({_ACTIVE}, {_MS}, -1))", "max"),
    "types": (
        "SimpleAggregateFunction(sumMap, Map(String, UInt64))",
        "sumMap(map(toString(event_type), toUInt64(1)))",
        "sumMap",
    ),
    "turn_map": (
        "SimpleAggregateFunction(maxMap, Map(UInt32, UInt32))",
        "maxMap(map(prompt_number, turn_number))",
        "maxMap",
    ),
    "models": ("SimpleAggregateFunction(groupUniqArrayArray, Array(String))", f"groupUniqArrayArray({_MODEL})",
               "groupUniqArrayArray"),
    "tags": (
        "SimpleAggregateFunction(groupUniqArrayArray, Array(String))",
        f"groupUniqArrayArray(arrayMap(tag -> substringUTF8(tag, 1, {TITLE}), arrayFilter(tag -> tag != '', {_TAGS})))",
        "groupUniqArrayArray",
    ),
}  # fmt: skip
ROLLUP_TABLE = (
    "CREATE TABLE IF NOT EXISTS {db}.coagent_sessions (session_id String, "
    + ", ".join(f"{name} {kind}" for name, (kind, _, _) in ROLLUP.items())
    + ") ENGINE = AggregatingMergeTree ORDER BY session_id"
)
_COUNT_IN = (
    "SELECT session_id, "
    + ", ".join(f"{value} AS {name}" for name, (_, value, _) in ROLLUP.items())
    + " FROM {source} GROUP BY session_id"
)
VIEW = "CREATE MATERIALIZED VIEW {db}.coagent_sessions_view TO {db}.coagent_sessions AS " + _COUNT_IN.format(
    source="{db}.log_entries"
)
# Tables of earlier versions lack these columns, and old entries are not recounted. Open calls do not matter after half
# an hour of silence. Reports (see `rollup.session_counts`), unpriced calls and last errors stay unknown.
_LATER = ("open_calls", "input_reports", "output_reports", "cached_reports", "unpriced_calls", "last_error")
UPGRADE = (
    *(f"ALTER TABLE {{db}}.coagent_sessions ADD COLUMN IF NOT EXISTS {name} {ROLLUP[name][0]}" for name in _LATER),
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
    + ", ".join(f"{read}(s.{name}) AS {name}" for name, (_, _, read) in ROLLUP.items())
    + ", headline.2 AS title, last_error.1 AS failure_ms, last_error.2 AS failure,"
    " if(ending.1 >= 0 AND ending.1 >= active_ms, ending.2, 'running') AS status,"
    " arraySum(mapValues(turn_map)) AS turns FROM {db}.coagent_sessions AS s GROUP BY session_id)"
)
