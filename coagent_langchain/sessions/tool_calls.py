"""`ToolCalls`: which turn requested each tool call, and which calls have not run or have failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coagent_langchain.forks import fork_safe_lock
from coagent_langchain.sessions.open_failures import OpenFailures

if TYPE_CHECKING:
    from coagent_langchain.sessions.prompt import Prompt

MAX_TOOL_CALLS = 1_000  # tool calls that may still get a response; that of an older one is logged in the latest turn

_lock = fork_safe_lock()


class ToolCalls:
    """Which turn requested each tool call, and which calls have not run yet; only the latest calls are kept.

    Parameters:
        failures: those of the session, by tool call if an application ran the tool itself: it may do so again.
    """

    def __init__(self, failures: OpenFailures | None = None) -> None:
        self._failures = OpenFailures() if failures is None else failures
        self._requested: dict[str, tuple[Prompt, int]] = {}
        self._waiting: dict[str, dict[str, Any]] = {}  # calls that have not run
        self._shared: set[str] = set()

    def __len__(self) -> int:
        return len(self._requested)

    def request(self, call_id: str, prompt: Prompt, turn: int, call: dict[str, Any]) -> None:
        """Record which turn requested a tool call and, until it has run, the call: its name and whatever is needed."""
        with _lock:
            if call_id in self._waiting and self._requested[call_id] != (prompt, turn):
                self._shared.add(call_id)
            self._requested[call_id] = (prompt, turn)
            self._waiting[call_id] = call  # even if one has run: ids may repeat
            self._failures.pop(call_id, None)  # it was another call
            if len(self._requested) > MAX_TOOL_CALLS:
                oldest = next(iter(self._requested))
                del self._requested[oldest]
                self._waiting.pop(oldest, None)
                self._shared.discard(oldest)

    def requested_in(self, call_id: str) -> tuple[Prompt, int] | None:
        """The prompt and turn that requested the call, if known."""
        return self._requested.get(call_id)

    def is_shared(self, call_id: str) -> bool:
        """Whether several turns requested calls with that id at once, so that it does not identify the turn."""
        return call_id in self._shared

    def waits(self, call_id: str) -> bool:
        """Whether a call with that id has not run yet."""
        return call_id in self._waiting

    def ran(self, call_id: str) -> dict[str, Any] | None:
        """Record that a tool has run, and return its call; None if that was known, or the call is not."""
        return self._waiting.pop(call_id, None)

    def ran_by_name(self, name: str, prompt_number: int) -> str | None:
        """Record that a tool has run without a call's id: the first call of that name that may run counts as run.

        Returns:
            its id, if that prompt requested it.
        """
        with _lock:  # else several that run at once would all count as the first call
            call_id = self.may_run(name, prompt_number)
            if call_id is None:
                return None
            self.ran(call_id)
            return call_id if self._requested[call_id][0].number == prompt_number else None

    def may_run(self, name: str, prompt_number: int) -> str | None:
        """The id of the first call for this tool that has not run, or else has failed; if possible, in that prompt."""
        with _lock:
            found = [call_id for call_id, call in list(self._waiting.items()) if call.get("name") == name]
            found += [call_id for call_id, failure in list(self._failures.items())
                      if failure.name == name and call_id in self._requested]  # fmt: skip
            return max(found, key=lambda call_id: self._requested[call_id][0].number == prompt_number, default=None)

    def ran_with(self, name: str, args: Any) -> str | None:
        """Record that a tool has run with these arguments alone, and return the id of the first such call, if any."""
        with _lock:  # else several that run at once would all count as the first call
            call_id = next((call_id for call_id, call in list(self._waiting.items())
                            if call.get("name") == name and call.get("args") == args), None)  # fmt: skip
            if call_id is not None:
                self.ran(call_id)
            return call_id

    @property
    def all_ran(self) -> bool:
        """Whether every call has run."""
        return not self._waiting

    def keep(self, calls: ToolCalls) -> None:
        """Keep what is known of a run's waiting calls: it asks a human, who may answer them in place of the tools."""
        with _lock:
            for call_id, call in calls._waiting.copy().items():
                if call_id in self._waiting:
                    self._waiting[call_id] = call

    def take_over(self, earlier: ToolCalls, again: dict[Prompt, Prompt]) -> None:
        """Take over the calls of an ended session's prompts that continue; `again` maps each to its new prompt."""
        for call_id, (prompt, turn) in earlier._requested.copy().items():
            if prompt in again:
                call = earlier._waiting.get(call_id)
                self.request(call_id, again[prompt], turn, call or {})
                if call is None:
                    self.ran(call_id)
