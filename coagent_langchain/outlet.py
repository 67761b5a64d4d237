"""The path from a finished entry to delivery: content rules, redaction, encoding."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar

import orjson

from coagent_langchain.delivery import Delivery
from coagent_langchain.errors import guard
from coagent_langchain.values.encoding import encode
from coagent_langchain.wire import ENVELOPE, JsonObject

Redact = Callable[[JsonObject], JsonObject]

_redacting: ContextVar[bool] = ContextVar("coagent_redacting", default=False)
is_redacting = _redacting.get  # what a `redact` runs or logs is not logged: its events would be redacted, and so on

# What an entry keeps with `capture_content=False`: ids, numbers, timing and names, by field.
_KEPT = frozenset({*ENVELOPE, "agent_stack", "routing_type", "performance_metrics", "target_component", "test_result"})
_KEPT_INSIDE = {
    "llm_call": frozenset({"issuer"}),
    "llm_response": frozenset({"input_tokens", "output_tokens", "total_tokens", "execution_time_ms"}),
    "tool_call": frozenset({"tool_name"}),
    "tool_response": frozenset({"tool_name", "success", "execution_time_ms"}),
    "error_info": frozenset({"error_id", "error_type", "error_severity", "component_id", "recovery_strategy",
                             "recovery_successful", "human_intervention_required"}),
    "meta": frozenset({"trace", "framework", "model", "provider", "temperature", "max_tokens", "tools_offered",
                       "finish_reason", "usage", "time_to_first_token_ms", "cached", "outcome", "tool_call_id", "kind",
                       "status", "elapsed_time_ms", "execution_time_ms", "prompts", "turns", "llm_calls", "tool_calls",
                       "errors", "recoveries", "input_tokens", "output_tokens", "total_tokens", "cost",
                       "unpriced_calls", "level", "logger", "attempt", "path", "interrupt_id", "error_id", "caused_by",
                       "source", "source_component", "structured_output"}),
}  # fmt: skip


def without_content(entry: JsonObject, user_keys: Collection[str] = ()) -> JsonObject:
    """Keep ids, numbers, timing and names of `entry`; drop what people or models said.

    The values of its meta under `user_keys`, which the application chose, are content, whatever the keys are named.
    """
    kept = {name: value for name, value in entry.items() if name in _KEPT}
    for name, inner in _KEPT_INSIDE.items():
        part = entry.get(name)
        if isinstance(part, dict):
            kept[name] = {key: value for key, value in part.items() if key in inner}
    named = {key: value for key, value in kept.get("meta", {}).items() if key not in user_keys}
    return {**kept, "meta": {**named, "content": "not captured"}}


class Outlet:
    """Where capture and sessions send their entries.

    Parameters:
        delivery: takes the entries to the server.
        capture_content: False keeps ids, numbers, timing and names only.
        redact: callables, each given a copy of the entry as plain JSON values and returning the entry to write. If one
            raises, the entry is logged without its content (it fails closed).
    """

    def __init__(self, delivery: Delivery, *, capture_content: bool = True, redact: Sequence[Redact] = ()) -> None:
        self.delivery = delivery
        self.capture_content = capture_content
        self._redact = tuple(redact)
        self._plain = capture_content and not redact

    def lets_pass(self, other: Outlet) -> bool:
        """Whether `other` would log unchanged whatever this outlet logs: it has no rules, or the same ones."""
        return other._plain or (self.capture_content, self._redact) == (other.capture_content, other._redact)

    def emit(self, entry: JsonObject, user_keys: Collection[str] = ()) -> None:
        """Hand an entry to delivery; `user_keys` is as for `without_content`."""
        self.delivery.append(encode(entry) if self._plain else self._clean_line(entry, user_keys), 1)

    def emit_together(self, entries: Sequence[JsonObject]) -> None:
        """Hand entries to delivery, in this order, in one write; there may be none."""
        if entries:
            line = encode if self._plain else self._clean_line
            self.delivery.append(b"".join(map(line, entries)), len(entries))

    def _clean_line(self, entry: JsonObject, user_keys: Collection[str] = ()) -> bytes:
        return encode(self._cleaned(entry, user_keys))

    def _cleaned(self, entry: JsonObject, user_keys: Collection[str]) -> JsonObject:
        if not self.capture_content:
            entry = without_content(entry, user_keys)
        if not self._redact:
            return entry
        # A redactor may change its argument in place, so it gets a copy, never the application's objects.
        entry = plain = orjson.loads(encode(entry))
        for redact in self._redact:
            outside = _redacting.set(True)
            try:
                entry = redact(entry)
            except Exception as error:  # noqa: BLE001 - a user's callable: fail closed, keep the event's numbers
                return _unredacted(plain, user_keys, "raised", error)
            finally:
                _redacting.reset(outside)
            if not isinstance(entry, dict):
                returned = "None" if entry is None else f"a value of type {type(entry).__name__}"
                fault = f"returned {returned} instead of the entry as a dict"
                return _unredacted(plain, user_keys, fault, TypeError(returned))
        return entry


def _unredacted(entry: JsonObject, user_keys: Collection[str], fault: str, error: Exception) -> JsonObject:
    """Strip the content from an entry whose redaction failed."""
    guard.contain("redact", error, f"the redact function {fault}; such events are logged without their content")
    left = without_content(entry, user_keys)
    left["meta"]["content"] = "redact failed"
    return left
