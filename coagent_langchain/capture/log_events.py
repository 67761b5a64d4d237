"""Info, warning and debug events, and errors that the application logs itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from coagent_langchain import clock
from coagent_langchain.capture import ambient
from coagent_langchain.capture.handler_sessions import HandlerSessions
from coagent_langchain.capture.recorder import Recorder
from coagent_langchain.capture.run import NOTHING, Failure, Run
from coagent_langchain.capture.run_tree import MUTED, Muted
from coagent_langchain.exceptions import error_message, reference, stack_trace, without_secrets
from coagent_langchain.outlet import is_redacting
from coagent_langchain.sessions import scope
from coagent_langchain.sessions.prompt import Prompt
from coagent_langchain.sessions.session import Session
from coagent_langchain.values.snapshot import snapshot
from coagent_langchain.wire import EventType, JsonObject, Severity


class LogEvents:
    """Logs an event in the run around it, else in the session around it, else in the handler's own session.

    Without a session around it, an event in a run that sampling left out is left out with that run.
    """

    def __init__(self, recorder: Recorder, handler_sessions: HandlerSessions) -> None:
        self._recorder = recorder
        self._handler_sessions = handler_sessions

    def of_run(self, run: Run, event_type: EventType, message: Any, meta: Mapping[str, Any]) -> None:
        """Log an event of a known run."""
        self._emit(self._recorder.entry(run, event_type, _without_none(meta)), message)

    def here(
        self, event_type: EventType, message: Any, meta: object = None, record: Mapping[str, str] = NOTHING
    ) -> None:
        """Log an event of application code, in the run or session around it.

        Its `meta` is content, whatever the keys are named; `record` has the logger and level of a `logging` record.
        """
        around = self._run_around()
        if self._is_left_out(around):
            return
        meta = _as_mapping(meta)
        self._emit(self._entry_in(around, event_type, meta, record)[1], message, meta.keys())

    def error_here(self, message: Any, error: BaseException | None, severity: Severity, meta: object = None,
                   record: Mapping[str, str] = NOTHING) -> None:  # fmt: skip
        """Log an error that application code reports itself; the parameters are those of `here`."""
        around = self._run_around()
        if self._is_left_out(around):
            return
        meta = _as_mapping(meta)
        if isinstance(message, BaseException):  # as `log_error(error)`
            message, error = "", error or message
        said = without_secrets(message if isinstance(message, str) else str(snapshot(message)))
        told = "" if error is None else error_message(error)
        session, entry = self._entry_in(around, EventType.ERROR, meta, record)
        info: JsonObject = {
            "error_id": entry["event_id"],
            "error_type": "Error" if error is None else type(error).__name__,
            "error_message": ": ".join(filter(None, (said, told))),
            "error_severity": severity,
            "component_id": record.get("logger", "application"),
        }
        if error is not None:
            info["stack_trace"] = stack_trace(error)
        entry["error_info"] = info
        self._recorder.emit(entry, meta.keys())
        if error is not None:  # if it is raised again, it counts as reported
            session.note_reported(error)
            if isinstance(around, Run) and around.key in self._recorder.tree.open:
                around.remember_failure(Failure(reference(error), entry["event_id"], around))

    def _entry_in(
        self, around: Run | Muted | None, event_type: EventType, meta: Mapping[str, Any], record: Mapping[str, str]
    ) -> tuple[Session, JsonObject]:
        meta = {**record, **meta}
        if isinstance(around, Run):
            session = self._recorder.prompt_of(around).session
            entry = self._recorder.entry(around, event_type, _without_none(meta))
        else:
            session, number, turn = self._place_without_run()
            session.start()
            entry = session.entry(event_type, number, turn)
            if meta:
                entry["meta"] = _without_none(meta)
        session.state.touched = clock.monotonic()  # else a session without runs would end while it is in use
        if event_type is EventType.ERROR:
            session.state.totals.add_error()
        return session, entry

    def _run_around(self) -> Run | Muted | None:
        return self._recorder.tree.find(ambient.run_around(ambient.config_around()))

    def _is_left_out(self, around: Run | Muted | None) -> bool:
        return is_redacting() or (around is MUTED and self._block_around() is None)

    def _block_around(self) -> Session | Prompt | None:
        around = scope.current()
        return around if around is not None and self._handler_sessions.can_use(around) else None

    def _place_without_run(self) -> tuple[Session, int, int]:
        around = self._block_around()
        if isinstance(around, Prompt) and around.number and not around.ended:
            return around.session, around.number, around.turn
        session = around.session if isinstance(around, Prompt) else around or self._handler_sessions.get()
        session.open()  # a block's session may have ended
        return session, session.state.present_number, 0

    def _emit(self, entry: JsonObject, message: Any, user_keys: Collection[str] = ()) -> None:
        entry["output_data"] = {"message": message if isinstance(message, str) else snapshot(message)}
        self._recorder.emit(entry, user_keys)


def event_type_of(level: object) -> EventType:
    """The event type of an event's level: `debug`, `warning`, and `info` for anything else."""
    # The type is checked first: comparing an array with a string gives an array.
    return EventType(level) if isinstance(level, str) and level in ("debug", "warning") else EventType.INFO


def _as_mapping(meta: object) -> Mapping[str, Any]:
    """The `meta` from application code as a mapping; anything else, such as a list or a model, becomes its `value`."""
    if isinstance(meta, Mapping):
        return meta
    return {} if meta is None else {"value": meta}


def _without_none(meta: Mapping[str, Any]) -> JsonObject:
    return {key: value for key, value in meta.items() if value is not None}
