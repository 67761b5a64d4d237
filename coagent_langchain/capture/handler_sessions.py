"""The sessions that one handler opens: its own, those with an id, and blocks."""

from __future__ import annotations

from coagent_langchain.forks import renewed_after_fork
from coagent_langchain.outlet import Outlet
from coagent_langchain.sessions.open_sessions import OpenSessions
from coagent_langchain.sessions.prompt import Prompt
from coagent_langchain.sessions.session import Session
from coagent_langchain.wire import JsonObject, new_session_id


class HandlerSessions:
    """Opens sessions for a handler; their numbering goes on where the server's ends, if the handler has asked it.

    Parameters:
        sessions: those of the handler's destination.
        outlet: the handler's.
        session_id: the handler's explicit session.
        after: the last prompt number of the explicit session on the server, and the last turn in it.

    Attributes:
        explicit_id: the id of the handler's explicit session, if it has one.
    """

    def __init__(self, sessions: OpenSessions, outlet: Outlet, session_id: str | None, after: tuple[int, int]) -> None:
        self.explicit_id = session_id
        self._sessions = sessions
        self._outlet = outlet
        self._last_number, self._last_turn = after
        self._renew()
        _living.add(self)

    def _renew(self) -> None:
        """Replace the id of the handler's own session; a forked process needs another one."""
        self._own_id = new_session_id()

    def get(self, session_id: str | None = None) -> Session:
        """The open session with this id, or else the handler's explicit or own one."""
        session_id = session_id or self.explicit_id or self._own_id
        return self._sessions.get(session_id, self._outlet, last_number=self._last_number_of(session_id))

    def block(self, session_id: str | None, text: str | None, meta: JsonObject | None) -> Session:
        """A session around a block of code; without an id, it gets the handler's, if there is one."""
        if session_id is None:
            session_id = self.explicit_id
        last = self._last_number_of(session_id)
        return Session(self._sessions, self._outlet, session_id, text=text, meta=meta, last_number=last)

    def can_use(self, around: Session | Prompt) -> bool:
        """Whether a block's session has the same destination."""
        session = around.session if isinstance(around, Prompt) else around
        return session.sessions is self._sessions

    def prompt_elsewhere(self, session: Session) -> Prompt | None:
        """The last prompt begun by another process, unless one has begun here since."""
        number = self._last_number_of(session.session_id)
        if not number or session.state.last_number != number:
            return None
        return session.state.rejoin(session, number, self._last_turn)

    def _last_number_of(self, session_id: str | None) -> int:
        """The last prompt number of a session that is known to be on the server."""
        return self._last_number if session_id == self.explicit_id else 0


_living = renewed_after_fork(HandlerSessions._renew)
