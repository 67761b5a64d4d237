"""The parts of a handler that its hooks use, created in the order in which they depend on each other."""

from __future__ import annotations

from langchain_core.callbacks import BaseCallbackHandler

from coagent_langchain.capture.binding import Binding
from coagent_langchain.capture.endings import Endings
from coagent_langchain.capture.error_recorder import ErrorRecorder
from coagent_langchain.capture.handler_sessions import HandlerSessions
from coagent_langchain.capture.log_events import LogEvents
from coagent_langchain.capture.recorder import Recorder
from coagent_langchain.capture.recoveries import Recoveries
from coagent_langchain.capture.run_starter import RunStarter
from coagent_langchain.capture.run_tree import RunTree
from coagent_langchain.outlet import Outlet


class HandlerParts(BaseCallbackHandler):
    """The base of the hooks: what they use, and how LangChain calls them."""

    # Inline: our hooks neither wait nor block, and an executor thread per event would cost far more than the hook.
    run_inline = True
    raise_error = False

    def __init__(
        self, tree: RunTree, handler_sessions: HandlerSessions, outlet: Outlet, *, components: str, sample_rate: float
    ) -> None:
        self._tree = tree
        self._streams = tree.streams
        self._binding = binding = Binding(handler_sessions, outlet)
        self._run_starter = RunStarter(tree, binding, outlet, components=components, sample_rate=sample_rate)
        self._recorder = recorder = Recorder(tree, binding, outlet)
        self._recoveries = recoveries = Recoveries(recorder)
        self._errors = errors = ErrorRecorder(recorder, recoveries)
        self._endings = Endings(tree, binding, recorder, errors, recoveries)
        self._log_events = LogEvents(recorder, handler_sessions)
