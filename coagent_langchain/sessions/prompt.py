"""`Prompt`: one user interaction of a session, as context manager and decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from coagent_langchain.errors import guard
from coagent_langchain.forks import fork_safe_lock
from coagent_langchain.outlet import Outlet
from coagent_langchain.sessions.scope import Scope
from coagent_langchain.wire import EventType, JsonObject

if TYPE_CHECKING:
    from coagent_langchain.sessions.session import Session
    from coagent_langchain.sessions.state import SessionState

MAX_REPEATED = 4_096  # characters of a user's text that input_data repeats

_lock = fork_safe_lock()


class Prompt(Scope):
    """One user interaction of a session; made by `Session.prompt`.

    Attributes:
        session: the session that it belongs to.
        number: `prompt_number`, from 1; 0 until the prompt is entered.
        turn: the number of the latest turn, 0 before the first model call.
        session_state: the state of its session, from that session's start to its end.
    """

    def __init__(self, session: Session, *, text: str | None = None, meta: JsonObject | None = None) -> None:
        super().__init__()
        self.session = session
        self.number = 0
        self.turn = 0
        self.session_state: SessionState = session.state
        self.text = text
        self.input_logged = False
        self._meta = meta

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self.session.session_id

    @property
    def ended(self) -> bool:
        """Whether the session that it was opened in is over."""
        return self.session_state.ended

    def log_input(self, text: str, *, timestamp: int | None = None, meta: JsonObject | None = None,
                  outlet: Outlet | None = None) -> None:  # fmt: skip
        """Log `user_input`, once; to `outlet` if a run of another handler provides the text."""
        with _lock:
            if self.input_logged:
                return
            self.input_logged = True
        entry = self.session.entry(EventType.USER_INPUT, self.number, 0, timestamp)
        entry["prompt"] = text
        repeated = text if len(text) <= MAX_REPEATED else f"{text[:MAX_REPEATED]}… [cut: all of it is in prompt]"
        entry["input_data"] = {"prompt": repeated}
        meta = {**(meta or {}), **(self._meta or {})}
        if meta:
            entry["meta"] = meta
        (outlet or self.session.outlet).emit(entry, self._meta or ())

    @guard
    def _begin(self) -> None:
        self.turn, self.input_logged = 0, False  # the same object may be entered again
        self.session.open()
        while not self.session.state.number_prompt(self):
            self.session.open()  # it has just ended
        self.session.start(self.text)
        if self.text is not None:
            self.log_input(self.text)

    @guard
    def _end(self, error: BaseException | None) -> None:
        """Log an exception that left the block; the end of a prompt has no event of its own."""
        if error is not None:
            self._raised(error)

    @guard
    def _raised(self, error: BaseException) -> None:
        self.session.log_raised(error, self.number)

    def _fresh(self, function: Callable[..., Any]) -> Prompt:
        return Prompt(self.session, text=self.text, meta=self._meta)
