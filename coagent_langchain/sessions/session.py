"""`Session`: numbering, totals, start and end; as context manager and decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from coagent_langchain import clock
from coagent_langchain.checks import check_meta, check_prompt, check_session_id
from coagent_langchain.errors import guard
from coagent_langchain.exceptions import error_info, error_message, is_same, reference, session_status
from coagent_langchain.outlet import Outlet
from coagent_langchain.sessions.prompt import Prompt
from coagent_langchain.sessions.scope import Scope
from coagent_langchain.sessions.state import SessionState
from coagent_langchain.sessions.totals import Totals
from coagent_langchain.wire import VERSION, EventType, JsonObject, Severity, event_ids, new_session_id, now_ms

if TYPE_CHECKING:
    from coagent_langchain.sessions.open_sessions import OpenSessions

MAX_RESPONSE = 10_000  # characters of the last answer that session_end repeats


class Session(Scope):
    """One session: its prompts, turns and totals.

    Made by `CoagentCallbackHandler.session` and `CoagentClient.start_session`. As a context manager it logs
    `session_start` when entered and `session_end`, with status, elapsed time and totals, when left. As a decorator,
    it does so around every call of the function: with an id, in that session, without one, each in a new session.

    Attributes:
        session_id: the id, as it is on the server.
        sessions: those of its destination.
        totals: the session's totals so far.
        state: its state from start to end; entering a session that has ended gives it a new one.
    """

    def __init__(
        self,
        sessions: OpenSessions,
        outlet: Outlet,
        session_id: str | None = None,
        *,
        text: str | None = None,
        meta: JsonObject | None = None,
        last_number: int = 0,
        counts: bool = True,
    ) -> None:
        super().__init__()
        self.session_id = check_session_id(session_id) if session_id is not None else new_session_id()
        self.outlet = outlet
        check_prompt(text)
        check_meta(meta)
        self._explicit_id = session_id
        self.sessions = sessions
        self._text = text
        self._meta = meta
        self._counts = counts  # False if users log calls themselves, which the totals do not include
        self.state = SessionState(self, last_number)

    @property
    def totals(self) -> Totals:
        """The session's totals so far."""
        return self.state.totals

    @property
    def ended(self) -> bool:
        """Whether the session is over and does not continue through another object with its id."""
        return self.state.ended

    def prompt(self, text: str, *, meta: JsonObject | None = None) -> Prompt:
        """One user interaction: every run inside belongs to it, however many there are.

        Parameters:
            text: what the user asked.
            meta: free-form JSON for the `user_input` event.

        Returns:
            a context manager (sync and async) and decorator.

        Raises:
            ConfigurationError: the text is not a string, or the meta not a dict.
        """
        check_prompt(text)
        check_meta(meta)
        return Prompt(self, text=text, meta=meta)

    def start(self, text: str | None = None, *, timestamp: int | None = None, meta: JsonObject | None = None,
              agent_stack: list[str] | None = None, outlet: Outlet | None = None) -> None:  # fmt: skip
        """Log `session_start`, once; to `outlet` if a run of another handler begins the session."""
        state = self.state
        if state.written:
            return
        entry = self.entry(EventType.SESSION_START, state.present_number, 0, timestamp)
        if not state.mark_started(entry["timestamp"]):
            return
        state.began = clock.monotonic() - (now_ms() - entry["timestamp"]) / 1000
        text = self._text if self._text is not None else text
        if text is not None:
            entry["prompt"] = text
        if agent_stack:
            entry["agent_stack"] = agent_stack
        meta = {**(meta or {}), **(self._meta or {})}
        if meta:
            entry["meta"] = meta
        (outlet or self.outlet).emit(entry, self._meta or ())
        state.written = True

    def end(self, status: str | None = None, response: str | None = None) -> None:
        """Log `session_end` with totals, once. A session that continues later is a new one with the next numbers.

        If no block is open, the end gets the time of the last run or event, however late it is detected.

        Parameters:
            status: `completed`, `failed`, `cancelled`, `interrupted` (it waits for a human) or `idle`; when None, that
                of the last run.
            response: the final output; when None, the last run's answer.
        """
        self.end_where(lambda _: True, status, response)

    def end_where(
        self, holds: Callable[[SessionState], bool], status: str | None = None, response: str | None = None
    ) -> None:
        """Like `end`, but only if the condition holds for its state, checked atomically."""
        state = self.state
        if self.sessions.remove(state, holds):
            state.owner._log_end(state, status, response)  # another object, if it continues through that

    @guard
    def _log_end(self, state: SessionState, status: str | None, response: str | None) -> None:
        self.sessions.close_runs(state, "cancelled" if status == "cancelled" else "unknown")
        state.reported.clear()
        if not state.started or state.inherited:
            return  # nothing to end, or the parent process ends it
        now = now_ms()
        ended = now if state.blocks else state.latest or now
        entry = self.entry(EventType.SESSION_END, state.present_number, 0, ended)
        if status is None or (status == "idle" and state.status in ("failed", "interrupted")):
            status = state.status
        if state.hides_content:
            response = state.response = None
        entry["output_data"] = {"response": (response or state.response or status)[:MAX_RESPONSE]}
        since = max(now - ended, 0)  # less than 0 if the clock was set back
        elapsed = round((clock.monotonic() - state.began) * 1000) - since
        entry["meta"] = {"status": status, "elapsed_time_ms": max(elapsed, 0)}
        if self._counts or state.totals.llm_calls:
            entry["meta"] |= state.totals.as_meta()
        self.outlet.emit(entry)

    def entry(self, event_type: str, prompt_number: int, turn_number: int, timestamp: int | None = None) -> JsonObject:
        """Make an entry with the fields that all entries have."""
        state = self.state
        if timestamp is None:
            timestamp = now_ms()
        if timestamp < state.earliest <= now_ms() + 1:  # its run began before the one that began the session
            # But not if the clock was set back: responses would be no later than their calls.
            timestamp = state.earliest
        if timestamp > state.latest:
            state.latest = timestamp
        return {
            "version": VERSION,
            "session_id": self.session_id,
            "prompt_number": prompt_number,
            "turn_number": turn_number,
            "event_id": event_ids.next(),
            "event_type": event_type,
            "timestamp": timestamp,
        }

    def open(self) -> None:
        """Become the open session of its id; one that has ended starts again."""
        self.sessions.open(self)

    def renewed(self) -> SessionState:
        """A new state after one that has ended: prompt numbers continue, and an open block of it stays open."""
        state = SessionState(self, self.state.last_number)
        state.started = state.written = False
        if self in self.state.blocks:
            state.enter(self)
        return state

    @guard
    def _begin(self) -> None:
        self.sessions.open(self, block=True)
        self.start()

    @guard
    def _end(self, error: BaseException | None) -> None:
        status = None if error is None else self.log_raised(error)
        state = self.state
        if not state.leave(self):  # another block of it is still open
            state.status = status or state.status
        elif error is None:
            state.left = True  # if a task or stream outlives the block, the session ends with that
            state.owner.end_if_left()
        elif self.sessions.remove(state, lambda state: not state.blocks):
            self._log_end(state, status, f"Error: {error_message(error)}" if status == "failed" else status)

    def end_if_left(self) -> None:
        """Log `session_end` if its last block was left and everything that outlived it has ended."""
        if self.state.left:
            self.end_where(lambda state: not state.busy)

    @guard
    def _raised(self, error: BaseException) -> None:
        self.state.status = self.log_raised(error) or self.state.status

    def log_raised(self, error: BaseException, prompt_number: int | None = None) -> str | None:
        """Log an exception that leaves a block of the session or a prompt, if it is a failure and not logged yet.

        Returns its `session_status`.
        """
        status = session_status(error)
        if status == "failed":
            self._log_error(error, prompt_number)
        return status

    def note_reported(self, error: BaseException) -> None:
        """Record that an exception is logged, so that the runs and blocks it leaves next do not log it again."""
        if self.sessions.keeps_reported:
            self.sessions.reported.append(reference(error))
        if self.state.blocks:
            self.state.reported.append(reference(error))

    def _log_error(self, error: BaseException, prompt_number: int | None) -> None:
        if any(is_same(each(), error) for each in list(self.state.reported)):
            return  # a run has reported it where it arose
        self.open()  # it may have been ended inside the block
        self.start()
        entry = self.entry(EventType.ERROR, prompt_number or self.state.present_number, 0)
        entry["error_info"] = error_info(error, entry["event_id"], Severity.HIGH, "session")
        if self.state.hides_content:
            entry["error_info"] |= {"error_message": type(error).__name__, "stack_trace": ""}
        self.state.totals.add_error()
        self.outlet.emit(entry)
        self.note_reported(error)

    def _fresh(self, function: Callable[..., Any]) -> Self:
        name = getattr(function, "__name__", type(function).__name__)  # a `partial`, say, has none
        text = self._text or f"Running {name}"
        last = 0 if self._explicit_id is None else self.state.last_number
        return type(self)(self.sessions, self.outlet, self._explicit_id, text=text, meta=self._meta,
                          last_number=last, counts=self._counts)  # fmt: skip
