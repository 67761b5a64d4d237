"""The OpenAPI document: paths by hand, the entry's schema from the wire model, an example of each event type."""

from __future__ import annotations

import functools
from typing import Any

from coagent_langchain.events import LogEntry
from coagent_langchain.server.examples import MEANING, example_of
from coagent_langchain.server.intake import MAX_BODY, MAX_ENTRIES
from coagent_langchain.server.store.records import STATUSES
from coagent_langchain.server.validation import MAX_ENTRY
from coagent_langchain.wire import ENVELOPE

_JSON = "application/json"


@functools.cache
def document() -> dict[str, Any]:
    """The API as an OpenAPI 3.1 document."""
    entry = LogEntry.model_json_schema(ref_template="#/components/schemas/{model}")
    parts = entry.pop("$defs")
    return {
        "openapi": "3.1.0",
        "info": {"title": "CoAgent log API", "version": "1"},
        "servers": [{"url": "/api/v1"}],
        "security": [{}, {"token": []}],
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"LogEntry": entry | {"required": list(ENVELOPE)}, **parts,
                        "Result": _RESULT, "Fault": _FAULT, "Summary": _SUMMARY},
        },
        "paths": _PATHS,
    }  # fmt: skip


def _response(description: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    told = {"$ref": "#/components/schemas/Result"} if schema is None else schema
    return {"description": description, "content": {_JSON: {"schema": told}}}


def _read(summary: str, schema: dict[str, Any], *parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
    responses = {"200": _response("the requested data", schema), **_REFUSALS,
                 "503": _response("the database is unavailable; see Retry-After"), **more}  # fmt: skip
    return {"get": {"summary": summary, "parameters": list(parameters), "responses": responses}}


_REFUSALS = {
    "401": _response("a token is required"),
    "403": _response("sent by a page of another origin"),
    "421": _response("sent to another host name than this machine's; with a token, any is accepted"),
}
_ENTRY = {"$ref": "#/components/schemas/LogEntry"}
_ENTRIES = {"type": "array", "items": _ENTRY}
_STRING = {"type": "string"}
_INTEGER = {"type": "integer"}
_NULL = {"type": "null"}
_SESSION = {"name": "session_id", "in": "path", "required": True, "schema": _STRING,
            "description": "any characters, URL-encoded: a slash is %2F", "example": "trip-1"}  # fmt: skip
_FAULT = {
    "type": "object",
    "description": "Why an entry of a batch was not stored.",
    "properties": {"index": _INTEGER, "field": _STRING, "message": _STRING},
    "required": ["index", "field", "message"],
}
_RESULT = {
    "type": "object",
    "description": "The result of a request.",
    "properties": {
        "success": {"type": "boolean"},
        "message": _STRING,
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"},
                   "description": "the entries that were not stored, by index"},
    },
    "required": ["success", "message"],
}  # fmt: skip
_SUMMARY = {
    "type": "object",
    "description": "A summary of a session; timestamps in Unix milliseconds.",
    "properties": {
        "run_id": _STRING, "log_count": _INTEGER, "start_timestamp": _INTEGER, "end_timestamp": _INTEGER,
        "status": {"enum": list(STATUSES)},
        "title": _STRING | {"description": "beginning of its first prompt, or empty"},
        "failure": _STRING | {"description": "beginning of the error that it failed with or stopped at, else empty"},
        "total_tokens": {"anyOf": [_INTEGER, _NULL], "description": "null if no response reports tokens"},
        "cost": {"anyOf": [{"type": "number"}, _NULL], "description": "US dollars; null if no event reports a cost"},
        "errors": _INTEGER,
        "models": {"type": "array", "items": _STRING},
        "tags": {"type": "array", "items": _STRING},
    },
}  # fmt: skip
_EXAMPLES = {str(kind): {"summary": meaning, "value": example_of(kind)} for kind, (meaning, _) in MEANING.items()}
_PATHS: dict[str, Any] = {
    "/logs": {
        "post": {
            "summary": "Store one entry, or an array of entries",
            "description": f"At most {MAX_BODY:,} bytes (also after decompression, with Content-Encoding: gzip), "
            f"{MAX_ENTRIES:,} entries, {MAX_ENTRY:,} bytes per entry. Entries already there are not stored again.",
            "requestBody": {"required": True, "content": {
                _JSON: {"schema": {"oneOf": [_ENTRY, _ENTRIES]}, "examples": _EXAMPLES}}},
            "responses": {
                "200": _response("all stored: durable, readable and found by search"),
                "400": _response("some or all entries are invalid: errors lists them, the others are stored"),
                **_REFUSALS,
                "408": _response("no more of the body has arrived for a minute: try again"),
                "413": _response("too large: send less at a time"),
                "415": _response("not application/json, or an unknown encoding"),
                "503": _response("not stored; try again after Retry-After seconds"),
            },
        }
    },
    "/logs/{session_id}": _read("A session's entries in chronological order, as they were posted", _ENTRIES, _SESSION),
    "/runs": _read(
        "All session ids; with summarize=1 a summary of each",
        {"type": "array", "items": {"oneOf": [_STRING, {"$ref": "#/components/schemas/Summary"}]}},
        {"name": "summarize", "in": "query", "schema": {"enum": ["0", "1"]}, "example": "1"},
        {"name": "newest", "in": "query", "schema": _INTEGER, "description": "how many summaries at most: those of the "
         "sessions that started last", "example": "20"},
    ),
    "/filter_logs/{session_id}": _read(
        "The result of a JMESPath expression over a session's entries, or of a preset",
        {},
        _SESSION,
        {"name": "pre", "in": "query", "schema": _STRING, "description": "JMESPath over the array of entries, or one "
         "of all, log_type_llm_call, log_type_start, log_type_end, lmmcall_tokens",
         "example": "[?event_type=='llm_response'].llm_response.total_tokens"},
        **{"400": _response("not JMESPath, or beyond a limit, which the message names")},
    ),
}  # fmt: skip
