"""The wire model, shared by handler, client, server and readers.

Source of the format: the CoAgent event logging reference and the published client `coa-dev-coagent` (0.6 to 0.7).
An entry is one JSON object; optional fields are absent when unknown, unknown fields are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from coagent_langchain.wire import MAX_COUNTER, MAX_SESSION_ID, MAX_TIMESTAMP, VERSION, EventType, JsonObject, Severity


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow")  # unknown fields are in `model_extra`

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        return ((name, value) for name, value in super().__repr_args__() if value is not None)


class LlmCall(_Model):
    """Who called a model, with which system prompt and history; the prompt itself is the entry's `prompt`."""

    issuer: str | None = None
    history: JsonObject | list[Any] | None = None
    system_prompt: str | None = None


class LlmResponse(_Model):
    """A model's response, its tool calls and tokens."""

    response: str | None = None
    tool_calls: JsonObject | list[Any] | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    execution_time_ms: int | None = None


class ToolCall(_Model):
    """A tool's name and arguments."""

    tool_name: str | None = None
    parameters: JsonObject | None = None


class ToolResponse(_Model):
    """What a tool returned, or why it failed."""

    tool_name: str | None = None
    parameters: JsonObject | None = None
    result: JsonObject | None = None
    success: bool | None = None
    error_message: str | None = None
    execution_time_ms: int | None = None


class ErrorInfo(_Model):
    """An error, or the recovery from one."""

    error_id: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    error_severity: Severity | None = None
    stack_trace: str | None = None
    component_id: str | None = None
    recovery_strategy: str | None = None
    recovery_actions: list[Any] | None = None
    recovery_successful: bool | None = None
    human_intervention_required: bool | None = None
    impact_assessment: str | None = None
    root_cause: str | None = None


class PerformanceMetrics(_Model):
    """Figures of one event; `cost` in US dollars."""

    success_rate: float | None = None
    confidence_score: float | None = None
    accuracy_score: float | None = None
    cost: float | None = None
    tokens_used: int | None = None
    memory_usage_mb: float | None = None
    cpu_usage_percent: float | None = None
    network_bytes: int | None = None


class TestResult(_Model):
    """The outcome of a test run."""

    __test__ = False  # not a test class, whatever pytest makes of the name

    status: str | None = None
    total_tests: int | None = None
    passed_tests: int | None = None


class TargetComponent(_Model):
    """The component that an event is about."""

    id: str | None = None
    name: str | None = None
    component_type: str | None = None


Counter = Annotated[int, Field(ge=0, le=MAX_COUNTER)]


class LogEntry(_Model):
    """One event as it is sent and stored. Fields that are not listed here are kept and returned."""

    version: Annotated[str, Field(description="version of the event format")] = VERSION
    session_id: Annotated[str, Field(min_length=1, max_length=MAX_SESSION_ID, description="id of the session")]
    prompt_number: Annotated[Counter, Field(description="number of the user's prompt in the session, from 1")]
    turn_number: Annotated[Counter, Field(description="number of the model call in the prompt, from 1; else 0")]
    event_id: Annotated[str, Field(min_length=1, description="unique in the session")]
    event_type: EventType
    timestamp: Annotated[int, Field(ge=0, le=MAX_TIMESTAMP, description="Unix time in milliseconds")]
    prompt: str | None = None
    meta: JsonObject | None = None
    input_data: JsonObject | None = None
    output_data: JsonObject | None = None
    custom_metadata: JsonObject | None = None
    conversation_context: JsonObject | None = None
    graph_context: JsonObject | None = None
    consensus_info: JsonObject | None = None
    agent_stack: list[str] | None = None
    routing_type: str | None = None
    llm_call: LlmCall | None = None
    llm_response: LlmResponse | None = None
    tool_call: ToolCall | None = None
    tool_response: ToolResponse | None = None
    error_info: ErrorInfo | None = None
    performance_metrics: PerformanceMetrics | None = None
    test_result: TestResult | None = None
    target_component: TargetComponent | None = None
