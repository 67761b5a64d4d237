"""Assigns root runs to sessions and prompts, and logs `session_start` and `user_input`."""

from __future__ import annotations

from typing import Any

from coagent_langchain.capture import ambient, graph_handler
from coagent_langchain.capture.agent_stack import agent_stack
from coagent_langchain.capture.description import describe
from coagent_langchain.capture.handler_sessions import HandlerSessions
from coagent_langchain.capture.human_answers import resume_prompt
from coagent_langchain.capture.requested_calls import prompt_of_call
from coagent_langchain.capture.root import UNKNOWN, Root
from coagent_langchain.outlet import Outlet
from coagent_langchain.sessions import scope
from coagent_langchain.sessions.prompt import Prompt
from coagent_langchain.sessions.session import Session
from coagent_langchain.texts import fingerprint
from coagent_langchain.values.chains import is_placeholder, user_text
from coagent_langchain.values.commands import is_command
from coagent_langchain.values.encoding import as_json

_SILENT_TYPES = ("prompt", "parser")  # LangChain's types of templates and output parsers
_SHORTENING = frozenset({"trim_messages", "filter_messages", "merge_message_runs"})  # LangChain's, by their names
_UPDATE = "UpdateState"  # what LangGraph adds to a graph's name for the conditional edges that `update_state` runs


class Binding:
    """Gives roots their session (explicit, metadata, ambient, the handler's own) and their prompt."""

    def __init__(self, handler_sessions: HandlerSessions, outlet: Outlet) -> None:
        self._handler_sessions = handler_sessions
        self._outlet = outlet

    def begin(self, root: Root, metadata: dict[str, Any] | None, inputs: Any, run_type: Any = None) -> None:
        """Note what a root's metadata says, and bind it if its session is known already, unless it asks for nothing."""
        root.pending_input = UNKNOWN if is_placeholder(inputs) else inputs
        describe(root, metadata)
        is_graph = root.name == "LangGraph" or (metadata and root.kind == "chain" and "ls_integration" in metadata)
        if is_graph and root.framework is None:
            root.framework = {"name": "langgraph"}
        if root.framework is not None:
            root.known_messages.note_input(inputs)
        known = self._handler_sessions.explicit_id
        if metadata:
            known = known or ambient.session_id(metadata)
            if type(number := metadata.get("prompt_number")) is int:
                root.prompt_number = number
            if root.kind == "chain" and (thread := ambient.thread_id(metadata)) is not None:
                root.thread = thread
                if graph_handler.waiting:
                    graph_handler.join_waiting()  # in time: LangGraph looks for its handlers right after this hook
        if _is_silent(root, run_type):
            root.silent, root.known_session_id = True, known
            return
        if root.framework is not None and (namespace := root.framework.get("checkpoint_ns")) is not None:
            _note_task(root, namespace)
        if known is not None or root.kind != "chain" or scope.current() is not None:
            self.bind(root, known)
        elif root.pending_input is not UNKNOWN and root.user_text is None:
            root.user_text = user_text(inputs)  # now: the application may change the inputs before its first child

    def bind(self, root: Root, session_id: str | None = None) -> Prompt:
        """Give a root its session and prompt, and log `session_start` and, if its text is known, `user_input`."""
        with root.bind_lock:  # branches that start in two threads may get here at the same time
            prompt = root.joined
            if prompt is None:
                prompt = root.prompt = self._bind(root, session_id)
            return prompt

    def _bind(self, root: Root, session_id: str | None) -> Prompt:
        inputs, text = root.pending_input, root.user_text
        root.joined = prompt = self._prompt_for(root, session_id, inputs)
        try:
            if text is None and inputs is not UNKNOWN:
                text = user_text(inputs)
        finally:  # even if reading the input fails, or Ctrl-C comes in that: the session has been joined
            self._start_session(root, prompt.session, text)
        if text is not None:
            if scope.current() is prompt or (root.turn and root.kind != "tool"):  # in a block, or in an own loop
                _repeat(root, prompt, text)
            self._log_input(root, prompt, text)
        if prompt.input_logged:
            root.pending_input = root.user_text = None  # an open run keeps no reference to the application's data
        return prompt

    def _start_session(self, root: Root, session: Session, text: str | None = None) -> None:
        """Log `session_start` if the session begins with this root."""
        if not session.state.written:
            meta = {"trace": root.trace(), "framework": {"name": "langchain", **(root.framework or {})}}
            if root.context:
                meta["context"] = root.context
            session.start(text, timestamp=root.timestamp, meta=meta, agent_stack=agent_stack(), outlet=self._outlet)

    def _prompt_for(self, root: Root, session_id: str | None, inputs: Any) -> Prompt:
        """A new prompt, or the one around the run, or the one in which its graph stopped and now continues."""
        session, around = self._session_for(root, session_id or root.known_session_id)
        if root.silent:
            return self._prompt_of_silent(root, session, around)
        answer = inputs.resume if is_command(inputs) else None
        if root.is_task:
            goes_on = root.thread in session.state.pending.stopped
        else:
            goes_on = answer is not None or (inputs is None and root.thread is not None)
        if goes_on:
            return self._go_on(root, session, around, answer)
        if root.framework is not None:  # a graph that gets new input does not go on where it stopped
            session.state.pending.stopped.pop(root.thread, None)
        if around is None and root.prompt_number is None and session.state.pending.tool_calls:
            around = prompt_of_call(root, session, inputs)
        return self._join(root, session, around)

    def _prompt_of_silent(self, root: Root, session: Session, around: Prompt | None) -> Prompt:
        """The prompt in which its graph has stopped, or the latest: for what a silent root calls or fails with."""
        if root.thread is not None and (stop := session.state.pending.stopped.get(root.thread)) is not None:
            return self._join(root, session, around or stop.prompt)
        root.silent = False  # it ends like any other
        root.prompt_number = root.prompt_number or session.state.present_number
        prompt = self._join(root, session, around)
        root.turn = prompt.turn
        return prompt

    def _go_on(self, root: Root, session: Session, around: Prompt | None, answer: Any) -> Prompt:
        """The prompt of a graph that continues where it stopped, with or without a human's answer."""
        pending = session.state.pending
        stop, before = pending.stopped.pop(root.thread, None), None
        if stop is not None:
            before, root.attempts = stop.prompt, stop.attempts
        elif root.prompt_number is None:
            before = self._handler_sessions.prompt_elsewhere(session)
        was_asking = answer is not None or (stop is not None and stop.asking)
        if was_asking:
            before = next((question.prompt for question in pending.asked_in(root.thread).values()), before)
        prompt = self._join(root, session, around or before)
        if was_asking:
            self._start_session(root, prompt.session)
            resume_prompt(self._outlet, root, prompt, answer)
        elif prompt is before:
            root.turn = prompt.turn  # it continues from its last checkpoint: the user has said nothing new
        return prompt

    def _join(self, root: Root, session: Session, known: Prompt | None) -> Prompt:
        """Join the root to the known prompt, or to a new one if there is none or its session has just ended."""
        bare = root.kind == "llm"
        if known is not None and known.session_state.join(self._outlet, bare=bare):
            return known
        while (prompt := session.state.join_prompt(session, root.prompt_number, self._outlet, bare=bare)) is None:
            session.open()  # it has just ended
        return prompt

    def _session_for(self, root: Root, session_id: str | None) -> tuple[Session, Prompt | None]:
        """The session that a root belongs to, and the prompt block around it."""
        around = scope.current()
        if around is None:
            return self._handler_sessions.get(session_id), None
        if around.ended or not self._handler_sessions.can_use(around):
            # A task that outlives the block it began in, or a handler with a different destination than the block's.
            if isinstance(around, Prompt) and not around.ended:
                root.prompt_number = around.number
            return self._handler_sessions.get(around.session_id), None
        return (around.session, around) if isinstance(around, Prompt) else (around, None)

    def take_step_inputs(self, root: Root, inputs: Any) -> None:
        """Use a step's inputs as those of its root, if the root's are not known yet."""
        if root.pending_input is not UNKNOWN or inputs is None or is_placeholder(inputs):
            return
        root.pending_input = inputs
        text = user_text(inputs)
        if text is not None:
            self.log_input(root, text)

    def take_own_inputs(self, root: Root, inputs: Any) -> None:
        """Use a stream's own inputs, known at its end, also to find out which run of a prompt's block it repeats."""
        if root.pending_input is not None and not is_placeholder(inputs):
            root.pending_input = inputs
        prompt = root.prompt
        if prompt is None or root.repeatable_as or scope.current() is not prompt:
            return
        text = user_text(inputs)
        if text is not None:
            _repeat(root, prompt, text)

    def log_input(self, root: Root, text: str | None) -> None:
        """Log `user_input` of a bound root, once; without a text, with the inputs as JSON."""
        prompt = root.prompt
        if prompt is None or prompt.input_logged:
            return
        if text is None:
            inputs = root.pending_input
            text = "" if inputs is None or inputs is UNKNOWN else as_json(inputs)
        self._log_input(root, prompt, text)

    def _log_input(self, root: Root, prompt: Prompt, text: str) -> None:
        meta = {"trace": root.trace()}
        if root.context:
            meta["context"] = root.context
        prompt.log_input(text, timestamp=root.timestamp, meta=meta, outlet=self._outlet)
        root.pending_input = root.user_text = None


def _is_silent(root: Root, run_type: Any) -> bool:
    """Whether a root asks for nothing itself, by its type, or its name if it has no type of its own."""
    if run_type in _SILENT_TYPES:
        return True
    is_update = root.thread is not None and root.name.endswith(_UPDATE)
    return root.kind == "chain" and (is_update or root.name in _SHORTENING)


def _note_task(root: Root, namespace: str) -> None:
    """Identify a root in a task of a graph, which LangGraph runs again from its beginning.

    A task may run several parts of the same name: each is known by the user's text, which is the same the next time. A
    graph that is called with a `thread_id` of its own is continued in that thread, whichever task calls it.
    """
    inputs, config = root.pending_input, ambient.config_around()
    if inputs is UNKNOWN or is_command(inputs):
        return
    if config is not None and root.thread not in (None, ambient.thread_id(ambient.configurable(config))):
        return
    root.user_text = user_text(inputs)
    root.thread = namespace, root.name, fingerprint(root.user_text or "")
    root.is_task = True


def _repeat(root: Root, prompt: Prompt, text: str) -> None:
    """Have a root take on the failure of the run that it repeats: an application's own retries share a prompt."""
    failures = prompt.session_state.pending.failures
    root.take_failure(failures, (prompt.number, root.kind, root.name, fingerprint(text)))
