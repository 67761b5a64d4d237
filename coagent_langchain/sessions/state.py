"""`SessionState`: the state of one session, shared by all objects, handlers and blocks that take part in it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from coagent_langchain import clock
from coagent_langchain.forks import fork_safe_lock
from coagent_langchain.latest import keep_latest
from coagent_langchain.sessions.pending import Pending
from coagent_langchain.sessions.prompt import Prompt
from coagent_langchain.sessions.totals import Totals
from coagent_langchain.wire import MAX_COUNTER, now_ms

if TYPE_CHECKING:
    from coagent_langchain.outlet import Outlet
    from coagent_langchain.sessions.session import Session

MAX_PROMPTS = 16  # prompts of a session that a later run can still join by number
MAX_REPORTED = 16  # exceptions remembered as logged; each keeps its frames alive

_lock = fork_safe_lock()


class SessionState:
    """A session from its start to its end.

    Attributes:
        owner: the session object that logs its end: of those with its id, the last one entered that is still open.
        blocks: the session objects with an open block.
        used_through: the outlet of the handler that used it last.
        last_number: the number of its latest prompt.
        started, ended: whether `session_start` and `session_end` were logged.
        written: whether `session_start` has also been handed to delivery.
        left: whether its last block was left, so that it ends as soon as no run is open.
        totals: what it has used so far.
        pending: what later runs may end.
        status: how its last run ended; `cancelled` while that is open, `completed` before there is one.
        response: its latest response.
        running: the number of open root runs, without bare models.
        bare: the number of open root runs that are bare models; one that is cut off never reports its end.
        outlived: whether any run in it has continued after its root ended.
        touched: when something last happened, by the monotonic clock.
        began: when it started, by the same clock.
        earliest: the earliest timestamp that an entry after its `session_start` may have.
        latest: the latest timestamp of its entries and of the ends of its runs.
        reported: the exceptions logged most recently, if they still live: any of them may leave the block.
        process: the id of the process that logs its end.
        hides_content: whether a handler takes part that hides more than the owner's does; `session_end` then repeats no
            content.
    """

    def __init__(self, owner: Session, last_number: int) -> None:
        self.owner = owner
        self.blocks: list[Session] = []
        self.used_through: Outlet = owner.outlet
        self.last_number = last_number
        self.started = self.written = last_number > 0  # the server has its beginning
        self.ended = self.left = False
        self.totals = Totals()
        self.pending = Pending()
        self.status = "completed"
        self.response: str | None = None
        self.running = self.bare = 0
        self.outlived = False
        self.touched = self.began = clock.monotonic()
        self.earliest = self.latest = self._start = 0
        self.reported: deque[Callable[[], BaseException | None]] = deque(maxlen=MAX_REPORTED)
        self.hides_content = False
        self.process = os.getpid()
        self._prompts: dict[int, Prompt] = {}

    @property
    def inherited(self) -> bool:
        """Whether it was begun by a parent process."""
        return self.process != os.getpid()

    @property
    def present_number(self) -> int:
        """The number of its latest prompt; before there is one, the number that the first will get."""
        return self.last_number if self._prompts else self.last_number + 1

    @property
    def busy(self) -> bool:
        """Whether a block or a run of it is open."""
        return bool(self.blocks) or self.running > 0

    @property
    def may_have_runs(self) -> bool:
        """Whether any run of it may be open: finding them takes a search of all open runs in the process."""
        return self.running != 0 or self.bare != 0 or self.outlived

    def belongs_to(self, outlet: Outlet) -> bool:
        """Whether it ends with this outlet's handler: that of its open block, else the one that used it last."""
        return outlet is (self.owner.outlet if self.blocks else self.used_through)

    def mark_ended(self, holds: Callable[[SessionState], bool]) -> bool:
        """Mark it as ended: it takes no more runs or prompts. False if it is, or the condition does not hold."""
        with _lock:
            if self.ended or not holds(self):
                return False
            self.ended = True
        return True

    def continue_through(self, owner: Session) -> None:
        """Continue through another session object, which logs its end in this process."""
        with _lock:
            self.last_number = max(self.last_number, owner.state.last_number)
            self.touched, self.process = clock.monotonic(), os.getpid()
            self.used_through, owner.state = owner.outlet, self
            self._hand_to(owner)

    def enter(self, block: Session) -> None:
        """Record that a block of it is entered."""
        with _lock:
            self.left = False
            self.blocks.append(block)
            self._hand_to(block)

    def leave(self, block: Session) -> bool:
        """Record that a block of it is left; True if that was the last one, so that the session ends now."""
        with _lock:
            self.latest = max(self.latest, now_ms())
            if block in self.blocks:
                self.blocks.remove(block)
            if self.blocks:
                self._hand_to(self.blocks[-1])
            return not self.blocks

    def _hand_to(self, owner: Session) -> None:
        self.hides_content = self.hides_content or not owner.outlet.lets_pass(self.owner.outlet)
        self.owner = owner

    def join(self, outlet: Outlet, *, bare: bool) -> bool:
        """Record that a root run begins in it; False if it has ended.

        Until that run ends, it does not end by itself, nor with another handler, unless the run is `bare`: a model call
        without a chain around it.
        """
        with _lock:
            if self.ended:
                return False
            self.running += not bare
            self.bare += bare
            self.status, self.touched, self.used_through = "cancelled", clock.monotonic(), outlet
            if outlet is not self.owner.outlet and not self.owner.outlet.lets_pass(outlet):
                self.hides_content = True
        return True

    def will_end(self) -> None:
        """Record that a bare model is about to end: its session waits for it, as for any other run."""
        with _lock:
            self.running += 1
            self.bare -= 1

    def run_ended(self, *, bare: bool) -> None:
        """Record that a root run has ended, after everything else its end entails: the session may end with it."""
        with _lock:
            self.running -= not bare
            self.bare -= bare
            self.touched = clock.monotonic()

    def mark_started(self, timestamp: int) -> bool:
        """Record that it starts, at this timestamp; True for the first call only, which logs its `session_start`."""
        with _lock:
            if not self.started:
                self.started, self.earliest, self._start = True, timestamp, timestamp
                return True
            if not self.written:  # another thread is logging it; entries may overtake it, and servers sort by time
                self.earliest = self._start + 1
        return False

    def join_prompt(self, session: Session, number: int | None, outlet: Outlet, *, bare: bool) -> Prompt | None:
        """Let a root run join the prompt with this number if it is one of the latest, else a new one.

        None if the session has ended.
        """
        with _lock:
            if not self.join(outlet, bare=bare):
                return None
            found = None if number is None else self._prompts.get(number)
            if found is None:
                self.number_prompt(found := Prompt(session), number)
        return found

    def number_prompt(self, prompt: Prompt, number: int | None = None) -> bool:
        """Give a prompt the next number, or the requested one; False if the session has ended."""
        with _lock:
            if self.ended:
                return False
            if number is None or not 0 < number <= MAX_COUNTER:
                number = self.last_number + 1
            self.last_number = max(self.last_number, number)
            self.totals.prompts += 1
            prompt.number = number
            self._know(prompt)
        return True

    def skip_to(self, number: int) -> None:
        """Skip all prompt numbers up to this one: the server already has them."""
        with _lock:
            self.last_number = max(self.last_number, number)

    def rejoin(self, session: Session, number: int, turn: int) -> Prompt:
        """The prompt with this number, which began before this state, at the turn that it had reached."""
        with _lock:
            found = self._prompts.get(number)
            if found is None:
                found = Prompt(session)
                found.number, found.turn, found.input_logged = number, turn, True
                self._know(found)
        return found

    def _know(self, prompt: Prompt) -> None:
        """Make a prompt known by its number."""
        prompt.session_state = self
        keep_latest(self._prompts, prompt.number, prompt, MAX_PROMPTS)

    def next_turn(self, prompt: Prompt) -> int:
        """Begin the next turn of `prompt` and return its number: one per model call, from 1."""
        with _lock:
            prompt.turn += 1
            self.totals.turns += 1
            self.totals.llm_calls += 1
            return prompt.turn
