"""`Session`: numbering, totals, start and end; as context manager and decorator."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from coagent_langchain.checks import check_meta, check_session_id, check_text, new_session_id
from coagent_langchain.errors import guard, is_cancellation
from coagent_langchain.locks import fork_safe_lock
from coagent_langchain.outlet import Outlet
from coagent_langchain.pending import Pending
from coagent_langchain.prompt import Prompt
from coagent_langchain.scope import Scope
from coagent_langchain.texts import error_message, stack_trace
from coagent_langchain.totals import Totals
from coagent_langchain.wire import MAX_COUNTER, VERSION, EventType, JsonObject, event_ids, now_ms

if TYPE_CHECKING:
    from coagent_langchain.registry import Sessions

MAX_PROMPTS = 16  # prompts of a session that a later run may still join by its number
MAX_RESPONSE = 10_000  # characters of the last answer that session_end repeats

_lock = fork_safe_lock()


class Session(Scope):
    """One session: its prompts, turns and totals.

    Made by `CoagentCallbackHandler.session` and `CoagentClient.start_session`. As a context manager it logs
    `session_start` when entered and `session_end`, with status, elapsed time and totals, when left. As a decorator,
    it makes every call of the function a session of its own.

    Attributes:
        session_id: the id, as it is on the server.
        totals: what the session has used so far.
        started: whether `session_start` was logged.
        part: how often the object was entered anew; each time it is a session of its own.
    """

    def __init__(
        self,
        sessions: Sessions,
        outlet: Outlet,
        session_id: str | None = None,
        *,
        text: str | None = None,
        meta: JsonObject | None = None,
        first_prompt: int = 1,
        started: bool = False,
        counts: bool = True,
    ) -> None:
        super().__init__()
        self.session_id = check_session_id(session_id) if session_id is not None else new_session_id()
        self.outlet = outlet
        self.last_prompt = first_prompt - 1
        check_text("prompt", text)
        check_meta(meta)
        self._explicit_id = session_id is not None
        self._sessions = sessions
        self._text = text
        self._meta = meta
        self._counts = counts  # all calls are logged by handlers, so that its totals are true
        self.part = 0
        self._renew()
        self.started = started

    def _renew(self) -> None:
        """Be a session in which nothing has happened; its numbers alone go on."""
        self.part += 1
        self.scoped = False
        self.used_through = self.outlet
        self.totals = Totals()
        self.pending = Pending()
        self.last_error: tuple[BaseException, str] | None = None
        self.response: str | None = None
        self.status = "completed"  # how its last run ended; `cancelled` until it has
        self.running = 0
        self.started = False
        self.touched = self._started_at = time.monotonic()
        self.latest = 0  # the latest timestamp of its entries and of the ends of its runs
        self._discreet = False
        self._ended = False
        self._successor: Session | None = None
        self._owner = os.getpid()
        self._prompts: dict[int, Prompt] = {}

    def shares(self, sessions: Sessions) -> bool:
        """Whether it is one of `sessions`, so that both deliver to the same server."""
        return self._sessions is sessions

    def joined_by(self, outlet: Outlet) -> None:
        """Note whose run has begun. Where that handler keeps more to itself, nothing is repeated at the end."""
        self.used_through = outlet
        if outlet is not self.outlet and not self.outlet.lets_pass(outlet):
            self._discreet = True

    def prompt(self, text: str, *, meta: JsonObject | None = None) -> Prompt:
        """One user interaction: every run inside belongs to it, however many there are.

        Parameters:
            text: what the user asked.
            meta: free JSON for the `user_input` event.
        """
        check_text("prompt", text)
        check_meta(meta)
        return Prompt(self, text=text, meta=meta)

    def start(self, text: str | None = None, *, timestamp: int | None = None, meta: JsonObject | None = None,
              agent_stack: list[str] | None = None, outlet: Outlet | None = None) -> None:  # fmt: skip
        """Log `session_start`, once; through `outlet`, if it is another's run that the session begins with."""
        with _lock:
            if self.started:
                return
            self.started = True
        # Before its first prompt, a session that goes on under an earlier one's id stands at the prompt to come.
        number = self.last_prompt if self._prompts else self.last_prompt + 1
        entry = self.entry(EventType.SESSION_START, number, 0, timestamp)
        self._started_at = time.monotonic() - (now_ms() - entry["timestamp"]) / 1000
        text = self._text if self._text is not None else text
        if text is not None:
            entry["prompt"] = text
        if agent_stack:
            entry["agent_stack"] = agent_stack
        meta = {**(meta or {}), **((self.outlet.capture_content and self._meta) or {})}
        if meta:
            entry["meta"] = meta
        (outlet or self.outlet).emit(entry)

    def end(self, status: str | None = None, response: str | None = None) -> None:
        """Log `session_end` with totals, once. A session that goes on later is a new one with the next numbers.

        A session without a block ends at its last run or event, however late that is noticed.

        Parameters:
            status: `completed`, `failed`, `cancelled`, `interrupted` (it waits for a person) or `idle`; when None, that
                of the last run.
            response: the final output; when None, the last run's answer.
        """
        with _lock:
            if self._ended:
                return
            self._ended = True
        self._sessions.forget(self)
        self._sessions.close_runs(self, "cancelled" if status == "cancelled" else "unknown")
        self.last_error = None
        if not self.started or self.inherited:
            return  # nothing to end, or the parent process ends it
        now = now_ms()
        ended = now if self.scoped else self.latest or now
        entry = self.entry(EventType.SESSION_END, max(self.last_prompt, 1), 0, ended)
        if status is None or (status == "idle" and self.status == "interrupted"):
            status = self.status
        if self._discreet:
            response = self.response = None
        entry["output_data"] = {"response": (response or self.response or status)[:MAX_RESPONSE]}
        elapsed = round((time.monotonic() - self._started_at) * 1000) - (now - ended)
        entry["meta"] = {"status": status, "elapsed_time_ms": max(elapsed, 0)}
        if self._counts or self.totals.llm_calls:
            entry["meta"] |= self.totals.as_meta()
        self.outlet.emit(entry)

    def take_over(self, earlier: Session) -> None:
        """Go on with what an open session with the same id has begun: it is one session on the server."""
        with _lock:
            self.last_prompt = max(self.last_prompt, earlier.last_prompt)
            self.totals, self.pending, self._prompts = earlier.totals, earlier.pending, earlier._prompts
            self.started, self._started_at, self.latest = earlier.started, earlier._started_at, earlier.latest
            self.status, self.response, self.running = earlier.status, earlier.response, earlier.running
            self._discreet = earlier._discreet or not self.outlet.lets_pass(earlier.outlet)
            earlier._ended, earlier._successor = True, self

    def go_on_after(self, earlier: Session) -> None:
        """Take over what was pending when an earlier session with the same id ended."""
        with _lock:
            self.pending.go_on(earlier.pending, self._continued)

    def _continued(self, earlier: Prompt) -> Prompt:
        """A prompt of an ended session, to be continued in this one."""
        prompt = Prompt(self)
        prompt.number, prompt.turn, prompt.part, prompt.logged = earlier.number, earlier.turn, self.part, True
        self._prompts[prompt.number] = prompt
        return prompt

    @property
    def busy(self) -> bool:
        """Whether a block or a run of it is open."""
        return self.scoped or self.running > 0

    @property
    def heir(self) -> Session:
        """The session that has taken over, or itself."""
        return self if self._successor is None else self._successor.heir

    @property
    def inherited(self) -> bool:
        """Whether a parent process has opened it."""
        return self._owner != os.getpid()

    @property
    def ended(self) -> bool:
        """Whether the session is over, and does not go on in another one with its id."""
        return self._ended and (self._successor is None or self._successor.ended)

    def open_prompt(self, number: int | None = None) -> Prompt:
        """The prompt of a new root run: the next number, or the one that the run's metadata asks for."""
        with _lock:
            if number is not None and number in self._prompts:
                return self._prompts[number]
            prompt = Prompt(self)
            self._count(prompt, number)
        return prompt

    def take(self, prompt: Prompt) -> None:
        """Give a prompt that is entered the next number."""
        with _lock:
            self._count(prompt)

    def _count(self, prompt: Prompt, number: int | None = None) -> None:
        if self._successor is not None:  # its prompts go on with the numbers of the session that took over
            self._successor._count(prompt, number)
            return
        if number is None or not 0 < number <= MAX_COUNTER:
            number = self.last_prompt + 1
        self.last_prompt = max(self.last_prompt, number)
        prompt.number, prompt.part = number, self.part
        self.totals.prompts += 1
        self._prompts[number] = prompt
        if len(self._prompts) > MAX_PROMPTS:
            del self._prompts[next(iter(self._prompts))]

    def next_turn(self, prompt: Prompt) -> int:
        """The next turn of `prompt`: one per model call, from 1."""
        with _lock:
            prompt.turn += 1
            self.totals.turns += 1
            self.totals.llm_calls += 1
            return prompt.turn

    def count(self, update: Callable[..., None], *figures: float | None) -> None:
        """Change the totals: `update` is a method of `Totals`, `figures` are its arguments."""
        with _lock:
            update(self.totals, *figures)

    def entry(self, event_type: str, prompt_number: int, turn_number: int, timestamp: int | None = None) -> JsonObject:
        """The fields that every entry has."""
        if timestamp is None:
            timestamp = now_ms()
        if timestamp > self.latest:
            self.latest = timestamp
        return {
            "version": VERSION,
            "session_id": self.session_id,
            "prompt_number": prompt_number,
            "turn_number": turn_number,
            "event_id": event_ids.next(),
            "event_type": event_type,
            "timestamp": timestamp,
        }

    def belongs_to(self, outlet: Outlet) -> bool:
        """Whether it ends with the handler that has this outlet: that of its block, else the one that used it last."""
        return outlet is (self.outlet if self.scoped else self.used_through)

    def reopen(self) -> None:
        """Begin again where it has ended, for a prompt that is entered after its block."""
        if self.ended:
            self._renew()
            self._sessions.adopt(self)

    @guard
    def _begin(self) -> None:
        if self._ended:  # the same object is entered again
            self._renew()
        self.scoped = True
        self._sessions.adopt(self)
        self.start()

    @guard
    def _end(self, error: BaseException | None) -> None:
        status = None if error is None else self.left_by(error, max(self.last_prompt, 1))
        if error is None or status is None:
            self.end()
        else:
            self.end(status, f"Error: {error_message(error)}" if status == "failed" else status)

    def left_by(self, error: BaseException, prompt_number: int) -> str | None:
        """Log an exception that leaves a block of the session, if it is one and nobody has.

        Returns:
            the status that it means; None where it means none: a program that exits well.
        """
        status = scope_status(error)
        if status == "failed":
            self._log_error(error, prompt_number)
        return status

    def reported(self, error: BaseException, error_id: str) -> None:
        """Note that an exception is logged: whatever it leaves next shall not log it again."""
        if self._sessions.keeps_reported:
            self._sessions.last_reported = error
        if (heir := self.heir).scoped:
            heir.last_error = (error, error_id)

    def _log_error(self, error: BaseException, prompt_number: int) -> None:
        if self.last_error is not None and self.last_error[0] is error:
            return  # a run has reported it where it arose
        entry = self.entry(EventType.ERROR, prompt_number, 0)
        entry["error_info"] = {
            "error_id": entry["event_id"],
            "error_type": type(error).__name__,
            "error_message": error_message(error),
            "error_severity": "high",
            "stack_trace": stack_trace(error),
            "component_id": "session",
        }
        if self._discreet:
            entry["error_info"] |= {"error_message": type(error).__name__, "stack_trace": ""}
        self.count(Totals.add_error)
        self.outlet.emit(entry)
        self.reported(error, entry["event_id"])

    def _fresh(self, function: Callable[..., Any]) -> Self:
        name = getattr(function, "__name__", type(function).__name__)  # a `partial`, say, has none
        return type(self)(self._sessions, self.outlet, self.session_id if self._explicit_id else None,
                          text=self._text or f"Running {name}", meta=self._meta,
                          first_prompt=self.last_prompt + 1, started=self.started,
                          counts=self._counts)  # fmt: skip


def scope_status(error: BaseException) -> str | None:
    """What an exception that leaves a session means for it: `cancelled` or `failed`, or nothing."""
    if isinstance(error, SystemExit):
        return None if error.code in (None, 0) else "failed"
    return "cancelled" if isinstance(error, GeneratorExit) or is_cancellation(error) else "failed"
