"""Python's `logging` records as info, warning, debug and error events of the current session."""

from __future__ import annotations

import logging
import threading

from coagent_langchain.capture.handler import CoagentCallbackHandler, check_handler
from coagent_langchain.capture.log_events import event_type_of
from coagent_langchain.errors import guard
from coagent_langchain.exceptions import stack_trace
from coagent_langchain.wire import Severity

_OWN_THREADS = "coagent-"  # what they log while sending must not become events, which would be sent in turn
_thread = threading.local()


class CoagentLogHandler(logging.Handler):
    """Forwards log records into the session of the run, or of the `with handler.session(...)` block, around them.

    Parameters:
        handler: the callback handler whose runs and sessions the records belong to.
        level: the lowest level that is forwarded.

    Raises:
        ConfigurationError: `handler` is not a `CoagentCallbackHandler`.
    """

    def __init__(self, handler: CoagentCallbackHandler, level: int | str = logging.INFO) -> None:
        check_handler(handler)
        super().__init__(level)
        self._handler = handler

    @guard
    def emit(self, record: logging.LogRecord) -> None:
        """Log one record as an event; never raises and never prints."""
        if record.name.startswith("coagent_langchain") or (record.threadName or "").startswith(_OWN_THREADS):
            return
        if getattr(_thread, "forwards", False):  # else a `delivery` that logs would get its own records, endlessly
            return
        _thread.forwards = True
        try:
            self._forward(record)
        finally:
            _thread.forwards = False

    def _forward(self, record: logging.LogRecord) -> None:
        message = self._text(record)
        error = record.exc_info[1] if record.exc_info else None
        names = {"logger": record.name, "level": record.levelname}
        log_events = self._handler._log_events
        if record.levelno >= logging.ERROR:
            severity = Severity.CRITICAL if record.levelno >= logging.CRITICAL else Severity.HIGH
            log_events.error_here(message, error, severity, record=names)
            return
        if error is not None and self.formatter is None:  # a formatter has added it
            message = f"{message}\n{stack_trace(error)}"
        name = "warning" if record.levelno >= logging.WARNING else "info" if record.levelno >= logging.INFO else "debug"
        log_events.here(event_type_of(name), message, record=names)

    def _text(self, record: logging.LogRecord) -> str:
        try:
            return record.getMessage() if self.formatter is None else self.format(record)
        except Exception:  # noqa: BLE001 - the application's arguments do not fit its text: both are logged
            return f"{record.msg} {record.args}"
