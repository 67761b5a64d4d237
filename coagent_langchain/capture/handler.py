"""`CoagentCallbackHandler`: its settings and public methods. The hooks are in `run_hooks` and `other_hooks`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from coagent_langchain.capture import graph_handler
from coagent_langchain.capture.agent_stack import agent_stack
from coagent_langchain.capture.handler_sessions import HandlerSessions
from coagent_langchain.capture.last_turn import last_turn
from coagent_langchain.capture.log_events import event_type_of
from coagent_langchain.capture.other_hooks import OtherHooks
from coagent_langchain.capture.run_hooks import RunHooks
from coagent_langchain.capture.run_tree import RunTree
from coagent_langchain.checks import (
    check_components,
    check_delivery,
    check_redact,
    check_resume,
    check_sample_rate,
    check_seconds,
    check_session_id,
)
from coagent_langchain.config import Settings
from coagent_langchain.delivery import Delivery, Stats, delivery_for
from coagent_langchain.errors import ConfigurationError, guard
from coagent_langchain.outlet import Outlet, Redact
from coagent_langchain.sessions.open_sessions import sessions_of
from coagent_langchain.sessions.session import Session
from coagent_langchain.values.cost import prepare
from coagent_langchain.wire import JsonObject, Severity


class CoagentCallbackHandler(RunHooks, OtherHooks):
    """Logs LangChain and LangGraph runs as CoAgent events; pass it as `callbacks=[handler]`.

    One handler serves any number of concurrent runs: threads, asyncio, batches, many conversations. It is cheap to
    create; all handlers of a process with the same destination share one spool and one sending thread. Its hooks never
    raise into the application, never wait for the network and never modify their arguments.

    Parameters:
        session_id: the session of every run. When None, it comes from the run's metadata or `configurable`
            (`session_id`, `thread_id`, `conversation_id`); otherwise the handler has its own session.
        base_url: the CoAgent API; `COAGENT_BASE_URL` or http://localhost:3000/api/v1 when None.
        auth_token: bearer token; `COAGENT_AUTH_TOKEN` when None.
        spool_dir: folder of the spool on disk, or `"off"` for memory only; `COAGENT_SPOOL_DIR` or the user's state
            folder when None.
        capture_content: False keeps ids, numbers, timing and names only; `COAGENT_CAPTURE_CONTENT` or True when None.
        redact: one or more callables. Each gets an entry as plain JSON values before it is written anywhere, and
            returns what may be written. If one raises, the entry is logged without its content.
        components: which chain runs become `component_enter` and `component_exit`: `"nodes"` (LangGraph's), `"all"`
            or `"none"`.
        sample_rate: share of root runs that are logged, from 0 to 1; the run's id decides.
        resume: continue the numbering that the server has for `session_id` (asks the server once, here).
        delivery: where entries go instead of the server, e.g. `coagent_langchain.testing.MemoryDelivery()`.

    Raises:
        ConfigurationError: a setting is invalid; the message says which and what to do.
    """

    def __init__(
        self,
        session_id: str | None = None,
        *,
        base_url: str | None = None,
        auth_token: str | None = None,
        spool_dir: str | Path | None = None,
        capture_content: bool | None = None,
        redact: Redact | Sequence[Redact] | None = None,
        components: str = "nodes",
        sample_rate: float = 1.0,
        resume: bool = False,
        delivery: Delivery | None = None,
    ) -> None:
        graph_handler.join(self)
        check_components(components)
        check_sample_rate(sample_rate)
        check_resume(resume, session_id)
        self._arguments = {"session_id": session_id, "base_url": base_url, "auth_token": auth_token,
                           "spool_dir": spool_dir, "capture_content": capture_content, "redact": redact,
                           "components": components, "sample_rate": sample_rate, "resume": resume,
                           "delivery": delivery}  # fmt: skip
        self._settings = Settings.load(base_url=base_url, auth_token=auth_token, spool_dir=spool_dir,
                                       capture_content=capture_content)  # fmt: skip
        if session_id is not None:
            session_id = check_session_id(session_id)
        self._delivery = delivery_for(self._settings) if delivery is None else check_delivery(delivery)
        self._sessions = sessions_of(self._delivery)
        self._outlet = Outlet(self._delivery, capture_content=self._settings.capture_content,
                              redact=check_redact(redact))  # fmt: skip
        after = last_turn(self._settings, session_id) if resume and session_id else (0, 0)
        self._handler_sessions = HandlerSessions(self._sessions, self._outlet, session_id, after)
        super().__init__(
            RunTree(), self._handler_sessions, self._outlet, components=components, sample_rate=sample_rate
        )
        self._sessions.register(self._endings)
        prepare()  # prices are loaded here, and versions looked up, so that no hook has to
        agent_stack()

    # -- public methods

    def session(
        self, prompt: str | None = None, session_id: str | None = None, meta: JsonObject | None = None
    ) -> Session:
        """A session around a block of code, or around each call of a decorated function.

        Parameters:
            prompt: the task, for `session_start`.
            session_id: its id. When None, the handler's `session_id` if it has one, else a new id.
            meta: free-form JSON for `session_start`.

        Returns:
            a context manager (sync and async) and decorator; `.prompt(text)` opens a prompt inside.

        Raises:
            ConfigurationError: the session id, the prompt or the meta is invalid.
        """
        return self._handler_sessions.block(session_id, prompt, meta)

    @guard
    def log(self, level: str, message: str, meta: Mapping[str, Any] | None = None) -> None:
        """Log an event of your own, in the run or session around the call.

        Parameters:
            level: `debug`, `info` or `warning`; anything else is `info`, and a warning says so once.
            message: the text.
            meta: free-form JSON.
        """
        event_type = event_type_of(level)
        self._log_events.here(event_type, message, meta)
        if event_type != level:
            told = "handler.log has the levels debug, info and warning, and logs others as info; for errors: log_error"
            guard.contain("CoagentCallbackHandler.log", ConfigurationError(told), told)

    @guard
    def log_error(self, message: str | BaseException, error: BaseException | None = None, *, critical: bool = False,
                  meta: Mapping[str, Any] | None = None) -> None:  # fmt: skip
        """Log an error of your own code, in the run or session around the call.

        Parameters:
            message: what happened, or the exception if it says enough.
            error: the exception, for its type and stack trace.
            critical: severity `critical` instead of `high`.
            meta: free-form JSON.
        """
        self._log_events.error_here(message, error, Severity.CRITICAL if critical else Severity.HIGH, meta)

    def flush(self, timeout: float = 10.0) -> bool:
        """Send waiting events at once, and wait until the server has responded to everything logged so far.

        Parameters:
            timeout: maximum number of seconds to wait.

        Returns:
            True when nothing is waiting any more. The server then has everything, except what `stats()` counts as
            `rejected` (by the server) or `refused` (because the spool or the disk was full).

        Raises:
            ConfigurationError: the timeout is not a number of seconds, even if nothing is waiting.
        """
        return self._delivery.flush(check_seconds("timeout", timeout))

    def close(self) -> None:
        """End the sessions that this handler was the last to use, and deliver what is waiting, for at most 2 seconds.

        The session of a block is ended only by the block's own handler. The handler may be used again afterwards.
        """
        self._end_sessions()
        self._delivery.flush(self._settings.exit_timeout)

    def stats(self) -> Stats:
        """This process's events for the same server and spool folder: counts since its start, and what is waiting.

        Returns:
            `written`, `acknowledged`, `rejected` (by the server) and `refused` (no space) events; `retried` requests;
            `waiting` events, `waiting_bytes`, and `oldest_age_s`: seconds, or None if none is waiting.
        """
        return self._delivery.stats()

    @guard
    def _end_sessions(self) -> None:
        self._endings.bind_all()
        self._endings.close_lingering()
        self._sessions.end_all(self._outlet)

    # -- identity

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[[], Any], tuple[()]]:
        return partial(graph_handler.own_class(self), **self._arguments), ()


def check_handler(value: object) -> None:
    """Refuse a value that is not a handler: LangChain would fail on it in each run of the application."""
    if not isinstance(value, CoagentCallbackHandler):
        raise ConfigurationError(f"handler must be a CoagentCallbackHandler(), not {value!r:.80}")
