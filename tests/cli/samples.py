"""Shared by the tests of the command line: the sessions that it shows."""

from __future__ import annotations

from collections.abc import Callable

START = 1_700_000_000_000  # Unix milliseconds


def entry(session_id: str, number: int, kind: str, in_prompt: int, turn: int, **fields: object) -> dict[str, object]:
    """One entry, `number` seconds after the start."""
    return {"session_id": session_id, "event_id": f"e{number}", "timestamp": START + 1000 * number, "event_type": kind,
            "prompt_number": in_prompt, "turn_number": turn, **fields}  # fmt: skip


ENTRIES = [
    entry("trip", 0, "session_start", 1, 0, prompt="Plan a trip"),
    entry("trip", 1, "user_input", 1, 0, prompt="Where to?"),
    entry("trip", 2, "llm_call", 1, 1, prompt="Where to?", llm_call={"issuer": "planner"}, meta={"model": "m-1"}),
    entry("trip", 4, "llm_response", 1, 1, meta={"model": "m-1"},
          llm_response={"response": "Rome.", "input_tokens": 1200, "output_tokens": 30, "total_tokens": 1230}),
    entry("trip", 5, "tool_call", 1, 1, tool_call={"tool_name": "trains", "parameters": {"to": "Rome"}}),
    entry("trip", 6, "tool_response", 1, 1,
          tool_response={"tool_name": "trains", "success": False, "error_message": "strike \x1b[31m"}),
    entry("trip", 7, "error", 1, 1, error_info={"error_type": "TrainError", "error_message": "strike"}),
    entry("trip", 8, "session_end", 1, 0, output_data={"response": "Error"},
          meta={"status": "failed", "elapsed_time_ms": 7900}),
    entry("other", 100, "session_start", 1, 0, prompt="Hello"),
]  # fmt: skip


Run = Callable[..., str]
