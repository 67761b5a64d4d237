"""The documented `log_*` methods: each builds one entry and stores it.

They are the base class of `CoagentClient`, in a separate module because they are many and only need `store_log`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from coagent_langchain.events import LogEntry
from coagent_langchain.wire import EventType, JsonObject


@dataclass(frozen=True, slots=True)
class LogResult:
    """The result of logging.

    Attributes:
        success: whether the server has stored all of it.
        message: the server's message, or what was tried without success.
        errors: the bad entries and why: `{"index", "field", "message"}`; a single entry has the index 0.
    """

    success: bool
    message: str
    errors: tuple[JsonObject, ...] = ()


class ForeignEntry(Protocol):
    """An entry of CoAgent's own client."""

    def to_dict(self) -> JsonObject:
        """The entry as it is sent."""


Entry = LogEntry | ForeignEntry | JsonObject


class LogMethods(ABC):
    """CoAgent's logging methods, with names and positional arguments as documented.

    Their common parameters:
        session_id: a unique id of your choice.
        prompt_number: number of the user's interaction, from 1; for a response, that of its call.
        turn_number: number of the model call inside the prompt, from 1; 0 for the events that frame a session.
        meta: free-form JSON.
        max_retries: retries for this call, instead of the client's.
    """

    @abstractmethod
    def store_log(self, entry: Entry, max_retries: int | None = None) -> LogResult:
        """Store one entry; `version`, `event_id` and `timestamp` are filled in."""

    def _log(self, event_type: EventType, session_id: str, prompt_number: int, turn_number: int,
             max_retries: int | None, **fields: Any) -> LogResult:  # fmt: skip
        entry = {
            "session_id": session_id,
            "prompt_number": prompt_number,
            "turn_number": turn_number,
            "event_type": event_type,
            **_present(**fields),
        }
        return self.store_log(entry, max_retries)

    def log_session_start(self, session_id: str, prompt: str, prompt_number: int = 1, turn_number: int = 0,
                          meta: JsonObject | None = None, max_retries: int | None = None) -> LogResult:  # fmt: skip
        """Log the beginning of a session; the prompt is the task or first question."""
        return self._log(EventType.SESSION_START, session_id, prompt_number, turn_number, max_retries,
                         prompt=prompt, meta=meta)  # fmt: skip

    def log_user_input(self, session_id: str, prompt: str, prompt_number: int, turn_number: int = 0,
                       meta: JsonObject | None = None, max_retries: int | None = None) -> LogResult:  # fmt: skip
        """Log the user's request: the beginning of prompt `prompt_number`."""
        return self._log(EventType.USER_INPUT, session_id, prompt_number, turn_number, max_retries,
                         prompt=prompt, input_data={"prompt": prompt}, meta=meta)  # fmt: skip

    def log_session_end(self, session_id: str, response: str, prompt_number: int, turn_number: int = 0,
                        elapsed_time_ms: int | None = None, meta: JsonObject | None = None,
                        max_retries: int | None = None) -> LogResult:  # fmt: skip
        """Log the end of a session with its final output.

        Parameters:
            elapsed_time_ms: how long the session took; goes into `meta`.
            meta: free-form JSON; its `status`, such as `failed`, is the session's, by default `completed`.
        """
        if elapsed_time_ms is not None and isinstance(meta, dict | None):  # the server rejects any other meta
            meta = {**(meta or {}), "elapsed_time_ms": elapsed_time_ms}
        return self._log(EventType.SESSION_END, session_id, prompt_number, turn_number, max_retries,
                         output_data={"response": response}, meta=meta or None)  # fmt: skip

    def log_llm_call_new(self, session_id: str, prompt: str, prompt_number: int, turn_number: int,
                         issuer: str | None = None, history: JsonObject | list[Any] | None = None,
                         system_prompt: str | None = None, max_retries: int | None = None, *,
                         meta: JsonObject | None = None) -> LogResult:  # fmt: skip
        """Log a model call before it is made.

        Parameters:
            prompt: the prompt that is sent to the model.
            issuer: who makes the call: an agent's, node's or tool's name.
            history: the conversation so far, e.g. `{"messages": [...]}`.
            system_prompt: the instructions.
            meta: free-form JSON, e.g. `model`, `provider`, `temperature`.
        """
        llm_call = _present(issuer=issuer, history=history, system_prompt=system_prompt)
        return self._log(EventType.LLM_CALL, session_id, prompt_number, turn_number, max_retries,
                         prompt=prompt, llm_call=llm_call, meta=meta)  # fmt: skip

    log_llm_call = log_llm_call_new

    def log_llm_response(self, session_id: str, response: str, prompt_number: int, turn_number: int,
                         tool_calls: JsonObject | list[Any] | None = None, input_tokens: int | None = None,
                         output_tokens: int | None = None, total_tokens: int | None = None,
                         max_retries: int | None = None, *, execution_time_ms: int | None = None,
                         meta: JsonObject | None = None) -> LogResult:  # fmt: skip
        """Log a model's response.

        Parameters:
            response: the model's text.
            tool_calls: the model's tool calls, e.g. `{"calls": [{"id": …, "name": …, "args": …}]}`.
            input_tokens: all that were sent, including those read from a cache; None if unknown, like the others.
            output_tokens: all that were generated, including reasoning.
            total_tokens: the sum of both.
            execution_time_ms: how long the call took.
            meta: free-form JSON, e.g. `model`, `finish_reason`.
        """
        llm_response = _present(
            response=response, tool_calls=tool_calls, input_tokens=input_tokens, output_tokens=output_tokens,
            total_tokens=total_tokens, execution_time_ms=execution_time_ms,
        )  # fmt: skip
        return self._log(EventType.LLM_RESPONSE, session_id, prompt_number, turn_number, max_retries,
                         llm_response=llm_response, meta=meta)  # fmt: skip

    def log_tool_call(self, session_id: str, tool_name: str, prompt_number: int, turn_number: int,
                      parameters: JsonObject | None = None, max_retries: int | None = None, *,
                      meta: JsonObject | None = None) -> LogResult:  # fmt: skip
        """Log a tool call, with the turn of the model response that requested it.

        Parameters:
            tool_name: the tool.
            parameters: the arguments of the call.
            meta: free-form JSON; calls of one tool in the same turn need different `tool_call_id`s in it.
        """
        tool_call = _present(tool_name=tool_name, parameters=parameters)
        return self._log(EventType.TOOL_CALL, session_id, prompt_number, turn_number, max_retries,
                         tool_call=tool_call, meta=meta)  # fmt: skip

    def log_tool_response(self, session_id: str, tool_name: str, prompt_number: int, turn_number: int,
                          result: Any = None, success: bool | None = None, error_message: str | None = None,
                          execution_time_ms: int | None = None, max_retries: int | None = None, *,
                          parameters: JsonObject | None = None,
                          meta: JsonObject | None = None) -> LogResult:  # fmt: skip
        """Log a tool's result.

        Parameters:
            tool_name: the tool.
            result: an object; anything else becomes `{"output": result}`.
            success: when None, True unless there is an `error_message`.
            error_message: why it failed.
            execution_time_ms: how long it took.
            parameters: the arguments of the call.
            meta: free-form JSON, with the call's `tool_call_id` if it has one.
        """
        if result is not None and not isinstance(result, dict):
            result = {"output": result}
        tool_response = _present(
            tool_name=tool_name, parameters=parameters, result=result, error_message=error_message,
            success=error_message is None if success is None else success, execution_time_ms=execution_time_ms,
        )  # fmt: skip
        return self._log(EventType.TOOL_RESPONSE, session_id, prompt_number, turn_number, max_retries,
                         tool_response=tool_response, meta=meta)  # fmt: skip

    def log_error(self, session_id: str, prompt_number: int, turn_number: int, error_message: str,
                  error_type: str | None = None, stack_trace: str | None = None, max_retries: int | None = None, *,
                  meta: JsonObject | None = None) -> LogResult:  # fmt: skip
        """Log an error or exception.

        Parameters:
            error_message: its message.
            error_type: the exception's class.
            stack_trace: the traceback as a string.
            meta: free-form JSON; with `execution_time_ms`, the error ends the model call with these numbers.
        """
        error_info = _present(error_message=error_message, error_type=error_type, stack_trace=stack_trace)
        return self._log(EventType.ERROR, session_id, prompt_number, turn_number, max_retries,
                         error_info=error_info, meta=meta)  # fmt: skip

    def log_info(self, session_id: str, message: str, prompt_number: int = 1, turn_number: int = 0,
                 meta: JsonObject | None = None, max_retries: int | None = None) -> LogResult:  # fmt: skip
        """Log a message about the agent's state."""
        return self._log(EventType.INFO, session_id, prompt_number, turn_number, max_retries,
                         output_data={"message": message}, meta=meta)  # fmt: skip

    def log_warning(self, session_id: str, message: str, prompt_number: int = 1, turn_number: int = 0,
                    meta: JsonObject | None = None, max_retries: int | None = None) -> LogResult:  # fmt: skip
        """Log a warning about something that may become a problem."""
        return self._log(EventType.WARNING, session_id, prompt_number, turn_number, max_retries,
                         output_data={"message": message}, meta=meta)  # fmt: skip

    def log_debug(self, session_id: str, message: str, prompt_number: int = 1, turn_number: int = 0,
                  meta: JsonObject | None = None, max_retries: int | None = None) -> LogResult:  # fmt: skip
        """Log a message that helps with debugging."""
        return self._log(EventType.DEBUG, session_id, prompt_number, turn_number, max_retries,
                         output_data={"message": message}, meta=meta)  # fmt: skip

    def log_test_result_new(self, session_id: str, prompt_number: int, turn_number: int, status: str | Enum,
                            total_tests: int, passed_tests: int, max_retries: int | None = None, *,
                            meta: JsonObject | None = None) -> LogResult:  # fmt: skip
        """Log the outcome of a test run: `status` is "passed", "failed" or "skipped"."""
        test_result = _present(status=status, total_tests=total_tests, passed_tests=passed_tests)
        return self._log(EventType.TEST_RESULT, session_id, prompt_number, turn_number, max_retries,
                         test_result=test_result, meta=meta)  # fmt: skip


def _present(**fields: Any) -> JsonObject:
    """The fields that are known: what is unknown is absent on the wire, never null."""
    return {name: value for name, value in fields.items() if value is not None}
