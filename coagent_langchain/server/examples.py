"""One example of every event type, shown in the OpenAPI document, on the pages and in docs/events.md."""

from __future__ import annotations

from typing import Any

from coagent_langchain.wire import VERSION, EventType

_RUN = "01936b3e-8f4a-7c21-9a55-3d0e6f7b8c12"

MEANING: dict[EventType, tuple[str, dict[str, Any]]] = {
    EventType.SESSION_START: ("A session begins, at turn 0 of its first prompt. `prompt` is the task, if known.", {
        "prompt": "Plan a trip", "agent_stack": ["langchain-core::1.7.2"], "meta": {"version": "2.0"}}),
    EventType.SESSION_END: (
        "A session ends: the final output (or else the status), the status and totals.", {
        "output_data": {"response": "Rome it is."},
        "meta": {"status": "completed", "elapsed_time_ms": 5210, "prompts": 2, "total_tokens": 1230}}),
    EventType.USER_INPUT: ("The user asks something, and a prompt begins.", {
        "prompt": "Where to?", "input_data": {"prompt": "Where to?"}}),
    EventType.LLM_CALL: ("A model is called: the last user text as `prompt`, the messages before it as `history`.", {
        "prompt": "Where to?",
        "llm_call": {"issuer": "planner", "system_prompt": "Be brief.",
                     "history": {"messages": [{"role": "assistant", "content": "Hello."}]}},
        "meta": {"model": "llama3.2", "provider": "ollama"}}),
    EventType.LLM_RESPONSE: ("The model responds; `input_tokens` includes tokens read from a cache.", {
        "llm_response": {"response": "I will look for trains.", "input_tokens": 1200, "output_tokens": 30,
                         "tool_calls": {"calls": [{"id": "call-1", "name": "trains", "args": {"to": "Rome"}}]},
                         "total_tokens": 1230, "execution_time_ms": 1800},
        "meta": {"finish_reason": "tool_calls", "time_to_first_token_ms": 240}}),
    EventType.TOOL_CALL: ("A tool, or a retriever (`meta.kind`), is called, with the turn that requested it.", {
        "tool_call": {"tool_name": "trains", "parameters": {"to": "Rome"}}, "meta": {"tool_call_id": "call-1"}}),
    EventType.TOOL_RESPONSE: ("The tool returns a result, or fails.", {
        "tool_response": {"tool_name": "trains", "result": {"output": "09:12"}, "success": True,
                          "execution_time_ms": 120}, "meta": {"tool_call_id": "call-1"}}),
    EventType.ERROR: ("An exception, logged once, at the run where it arose; or an error from `logging`, or your own. "
                      "The partial response of a model is in `output_data.partial_response`.", {
        "error_info": {"error_id": "e-7", "error_type": "TimeoutError", "error_message": "no answer",
                       "error_severity": "medium", "component_id": "trains"}}),
    EventType.RECOVERY: ("The run continued after a failure: by a retry, a fallback or a handled tool error.", {
        "error_info": {"error_id": "e-7", "recovery_strategy": "retry", "recovery_successful": True}}),
    EventType.COMPONENT_ENTER: ("A LangGraph node begins; its `id` is that of its run (`meta.trace.run_id`). Other "
                                "runnables have the `component_type` `orchestrator`; CoAgent also defines `llm_agent` "
                                "and `user_input`.", {
        "target_component": {"id": _RUN, "name": "planner", "component_type": "node"}}),
    EventType.COMPONENT_EXIT: ("A LangGraph node ends.", {
        "target_component": {"id": _RUN, "name": "planner", "component_type": "node"},
        "meta": {"execution_time_ms": 1950}}),
    EventType.HUMAN_OVERSIGHT: ("A graph waits for a human (`meta.status` is `interrupted`), a human has answered "
                                "(`resumed`), or the graph has continued without an answer (`unanswered`).", {
        "input_data": {"interrupt_id": "i-1", "value": {"question": "Book it?"}}, "meta": {"status": "interrupted"}}),
    EventType.ROUTING: ("Control passes to another agent or node, the `target_component`; one event for each. "
                        "CoAgent also defines `invoke` and `return`.", {
        "routing_type": "transfer", "target_component": {"id": "booker", "name": "booker"}}),
    EventType.INFO: ("A message: from `logging`, from a custom event, or your own; with `meta.outcome`, a root run was "
                     "stopped.", {
        "output_data": {"message": "checking trains"}, "meta": {"logger": "planner"}}),
    EventType.WARNING: ("A message about something that may become a problem.", {
        "output_data": {"message": "the timetable is a day old"}}),
    EventType.DEBUG: ("A message for debugging.", {"output_data": {"message": "3 connections"}}),
    EventType.CONSENSUS_SUCCESS: ("Agents agreed. Written by your own clients.", {
        "consensus_info": {"votes": 3, "decision": "Rome"}}),
    EventType.CONSENSUS_FAILURE: ("Agents did not agree. Written by your own clients.", {
        "consensus_info": {"votes": 3}}),
    EventType.PERFORMANCE_DEGRADATION: ("Something got slower or worse. Written by your own clients.", {
        "performance_metrics": {"success_rate": 0.82}}),
    EventType.TEST_RESULT: ("The outcome of tests: `passed`, `failed` or `skipped`. Written by "
                            "`client.log_test_result_new`.", {
        "test_result": {"status": "passed", "total_tests": 12, "passed_tests": 12}}),
}  # fmt: skip


def example_of(kind: EventType) -> dict[str, Any]:
    """A complete entry of the type."""
    turn = 0 if kind in (EventType.SESSION_START, EventType.SESSION_END, EventType.USER_INPUT) else 1
    head = {"version": VERSION, "session_id": "trip-1", "prompt_number": 1, "turn_number": turn,
            "event_id": f"example-{kind}", "event_type": kind, "timestamp": 1_763_800_000_000}  # fmt: skip
    return head | MEANING[kind][1]
