"""`Course`: the state of one session, shared by all objects, handlers and blocks that take part in it."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from coagent_langchain.latest import keep_latest
from coagent_langchain.locks import fork_safe_lock
from coagent_langchain.pending import Pending
from coagent_langchain.prompt import Prompt
from coagent_langchain.totals import Totals
from coagent_langchain.wire import MAX_COUNTER, now_ms

if TYPE_CHECKING:
    from coagent_langchain.outlet import Outlet
    from coagent_langchain.session import Session

MAX_PROMPTS = 16  # prompts of a session that a later run may still join by its number
MAX_REPORTED = 16  # exceptions that are known to be logged; each keeps its frames alive

_lock = fork_safe_lock()


class Course:
    """A session from its start to its end.

    Attributes:
        owner: the object that logs its end: of those with one id, the one that was entered last and is still open.
        blocks: the objects with an open block of it.
        used_through: the outlet of the handler that used it last.
        last_prompt: the number of its latest prompt.
        started, ended: whether `session_start` and `session_end` were logged.
        written: whether `session_start` has been handed to delivery, a moment later.
        left: whether its last block is left, and it ends as soon as no run is open.
        totals: what it has used so far.
        pending: what later runs may end.
        status: how its last run ended; `cancelled` while that is open, `completed` before there is one.
        response: its last answer.
        running, bare: open root runs; apart from these, bare models: of one that is cut off no end is told.
        outlived: whether anything in it has gone on after its root.
        touched: when something happened last, by the monotonic clock.
        began: when it started, by the same clock.
        first: the earliest timestamp that an entry after its `session_start` may have.
        latest: the latest timestamp of its entries and of the ends of its runs.
        reported: the exceptions that were logged last: of several runs, any one's error may leave the block.
        process: the id of the process that logs its end.
        discreet: whether a handler takes part that hides more than the owner's does; `session_end` then repeats nothing
            that was said.
    """

    def __init__(self, owner: Session, last_prompt: int, started: bool = False) -> None:
        self.owner = owner
        self.blocks: list[Session] = []
        self.used_through: Outlet = owner.outlet
        self.last_prompt = last_prompt
        self.started = self.written = started
        self.ended = self.left = False
        self.totals = Totals()
        self.pending = Pending()
        self.status = "completed"
        self.response: str | None = None
        self.running = self.bare = 0
        self.outlived = False
        self.touched = self.began = time.monotonic()
        self.first = self.latest = self._start = 0
        self.reported: deque[BaseException] = deque(maxlen=MAX_REPORTED)
        self.discreet = False
        self.process = os.getpid()
        self._prompts: dict[int, Prompt] = {}

    @property
    def inherited(self) -> bool:
        """Whether a parent process has begun it."""
        return self.process != os.getpid()

    @property
    def present_prompt(self) -> int:
        """The number of its latest prompt; before there is one, the number that the first will get."""
        return self.last_prompt if self._prompts else self.last_prompt + 1

    @property
    def busy(self) -> bool:
        """Whether a block or a run of it is open."""
        return bool(self.blocks) or self.running > 0

    @property
    def may_have_runs(self) -> bool:
        """Whether any run of it may be open: to look for them, all that are open in the process are asked."""
        return self.running != 0 or self.bare != 0 or self.outlived

    def belongs_to(self, outlet: Outlet) -> bool:
        """Whether it ends with the handler of this outlet: that of its open block, else the one that used it last."""
        return outlet is (self.owner.outlet if self.blocks else self.used_through)

    def end(self, holds: Callable[[Course], bool]) -> bool:
        """Note that it is over, if that condition holds: from now on no run joins it, and no prompt is new in it.

        Returns:
            whether it has ended now; False also where it had ended before.
        """
        with _lock:
            if self.ended or not holds(self):
                return False
            self.ended = True
        return True

    def go_on_with(self, owner: Session) -> None:
        """Go on through another object, which logs its end, in this process."""
        with _lock:
            self.last_prompt = max(self.last_prompt, owner.course.last_prompt)
            self.touched, self.process = time.monotonic(), os.getpid()
            self.used_through, owner.course = owner.outlet, self
            self._hand_to(owner)

    def enter(self, block: Session) -> None:
        """Note that a block of it is entered."""
        with _lock:
            self.left = False
            self.blocks.append(block)
            self._hand_to(block)

    def leave(self, block: Session) -> bool:
        """Note that a block of it is left.

        Returns:
            whether it was the last: then it ends now.
        """
        with _lock:
            self.latest = max(self.latest, now_ms())
            if block in self.blocks:
                self.blocks.remove(block)
            if self.blocks:
                self._hand_to(self.blocks[-1])
            return not self.blocks

    def _hand_to(self, owner: Session) -> None:
        self.discreet = self.discreet or not owner.outlet.lets_pass(self.owner.outlet)
        self.owner = owner

    def join(self, outlet: Outlet, *, bare: bool) -> bool:
        """Note that a root run begins in it: before that ends, it does not end by itself, nor with another handler.

        Parameters:
            outlet: of the run's handler. If that hides more than the owner's does, the session is `discreet`.
            bare: whether the run is a model's, without a chain around it.

        Returns:
            False where the session has ended.
        """
        with _lock:
            if self.ended:
                return False
            self.running += not bare
            self.bare += bare
            self.status, self.touched, self.used_through = "cancelled", time.monotonic(), outlet
            if outlet is not self.owner.outlet and not self.owner.outlet.lets_pass(outlet):
                self.discreet = True
        return True

    def run_ended(self, *, bare: bool) -> None:
        """Note that a root run has ended, after all else that its end means: the session may end with it."""
        with _lock:
            self.running -= not bare
            self.bare -= bare
            self.touched = time.monotonic()

    def begin(self, timestamp: int) -> bool:
        """Note that it starts.

        Parameters:
            timestamp: of its `session_start`, if that is to be logged now.

        Returns:
            whether it is: True for the first call alone.
        """
        with _lock:
            if not self.started:
                self.started, self.first, self._start = True, timestamp, timestamp
                return True
            if not self.written:  # another thread, whose entries may arrive before: servers sort by time
                self.first = self._start + 1
        return False

    def prompt(self, session: Session, number: int | None, outlet: Outlet, *, bare: bool) -> Prompt | None:
        """The prompt of a root run that joins: that with the number if it is one of the latest, else a new one.

        None where the session has ended.
        """
        with _lock:
            if not self.join(outlet, bare=bare):
                return None
            found = None if number is None else self._prompts.get(number)
            if found is None:
                self.take(found := Prompt(session), number)
        return found

    def take(self, prompt: Prompt, number: int | None = None) -> bool:
        """Give a prompt the next number, or one that is asked for.

        Returns:
            False where the session has ended: its numbers are the next one's.
        """
        with _lock:
            if self.ended:
                return False
            if number is None or not 0 < number <= MAX_COUNTER:
                number = self.last_prompt + 1
            self.last_prompt = max(self.last_prompt, number)
            self.totals.prompts += 1
            prompt.number = number
            self._know(prompt)
        return True

    def skip_to(self, number: int) -> None:
        """Give no number up to this one any more: the server has them."""
        with _lock:
            self.last_prompt = max(self.last_prompt, number)

    def rejoin(self, session: Session, number: int, turn: int) -> Prompt:
        """The prompt with the number of one that was begun before this course, at the turn that it had come to."""
        with _lock:
            found = self._prompts.get(number)
            if found is None:
                found = Prompt(session)
                found.number, found.turn, found.logged = number, turn, True
                self._know(found)
        return found

    def _know(self, prompt: Prompt) -> None:
        """Let a prompt be found by its number."""
        prompt.course = self
        keep_latest(self._prompts, prompt.number, prompt, MAX_PROMPTS)

    def next_turn(self, prompt: Prompt) -> int:
        """The next turn of `prompt`: one per model call, from 1."""
        with _lock:
            prompt.turn += 1
            self.totals.turns += 1
            self.totals.llm_calls += 1
            return prompt.turn
