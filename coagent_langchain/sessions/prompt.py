"""`Prompt`: one user interaction of a session, as context manager and decorator."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any

from coagent_langchain.errors import guard
from coagent_langchain.forks import fork_safe_lock
from coagent_langchain.latest import keep_latest
from coagent_langchain.outlet import Outlet
from coagent_langchain.sessions.scope import Scope
from coagent_langchain.wire import EventType, JsonObject

if TYPE_CHECKING:
    from coagent_langchain.sessions.session import Session
    from coagent_langchain.sessions.state import SessionState

MAX_FAILED = 64  # failed runs of one block that a later run may repeat
MAX_REPEATED = 4_096  # characters of a user's text that input_data repeats

_lock = fork_safe_lock()


class Prompt(Scope):
    """One user interaction of a session; made by `Session.prompt`.

    Attributes:
        session: the session that it belongs to.
        number: `prompt_number`, from 1; 0 until the prompt is entered.
        turn: the number of the latest turn, 0 before the first model call.
        session_state: the state of its session, from that session's start to its end.
        failed: the ids of the errors with which runs in it ended that another may repeat, by run and input.
    """

    def __init__(self, session: Session, *, text: str | None = None, meta: JsonObject | None = None) -> None:
        super().__init__()
        self.session = session
        self.number = 0
        self.turn = 0
        self.session_state: SessionState = session.state
        self.text = text
        self.logged = False
        self.failed: dict[tuple[str, str, int], tuple[str, ...]] = {}
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
            if self.logged:
                return
            self.logged = True
        entry = self.session.entry(EventType.USER_INPUT, self.number, 0, timestamp)
        entry["prompt"] = text
        repeated = text if len(text) <= MAX_REPEATED else f"{text[:MAX_REPEATED]}… [cut: all of it is in prompt]"
        entry["input_data"] = {"prompt": repeated}
        meta = {**(meta or {}), **(self._meta or {})}
        if meta:
            entry["meta"] = meta
        (outlet or self.session.outlet).emit(entry, self._meta or ())

    def run_failed(self, request: tuple[str, str, int], error_ids: tuple[str, ...]) -> None:
        """Record that a run has failed which another may repeat; only the latest are kept."""
        with _lock:
            keep_latest(self.failed, request, error_ids, MAX_FAILED)

    def run_recovered(self, error_ids: Container[str]) -> None:
        """Forget the runs in the block that failed with one of these errors: what repeats them recovers nothing."""
        with _lock:
            self.failed = {key: ids for key, ids in self.failed.items() if not any(each in error_ids for each in ids)}

    @guard
    def _begin(self) -> None:
        self.turn, self.logged, self.failed = 0, False, {}  # the same object may be entered again
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
