"""Which run, session and prompt a start belongs to."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from coagent_langchain import scope
from coagent_langchain.capture import ambient
from coagent_langchain.capture.context import agent_stack, attempt, framework, user_context
from coagent_langchain.capture.inputs import as_json, is_to_come, user_text
from coagent_langchain.capture.outcomes import is_command
from coagent_langchain.capture.runs import MUTED, Run, RunTree
from coagent_langchain.capture.snapshot import snapshot
from coagent_langchain.outlet import Outlet
from coagent_langchain.registry import Sessions
from coagent_langchain.session import Prompt, Session, new_session_id
from coagent_langchain.wire import EventType

_UNKNOWN = object()
_binding = threading.RLock()  # re-entrant: a `redact` of the application's may run chains of its own


def _after_fork() -> None:
    # Not taken around a fork: it is held while events are written, and writing has locks of its own.
    global _binding
    _binding = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


class Placing:
    """Finds a run's place: parent, then session (explicit, metadata, ambient, the handler's own), then prompt.

    Parameters:
        tree: the open runs.
        sessions: the open sessions of the destination.
        outlet: where a new session's events go.
        session_id: the handler's explicit session.
        after_prompt: the last prompt number that the server has of the explicit session.
        sample_rate: share of root runs that are logged, 0 to 1.
    """

    def __init__(
        self,
        tree: RunTree,
        sessions: Sessions,
        outlet: Outlet,
        *,
        session_id: str | None,
        after_prompt: int = 0,
        sample_rate: float = 1.0,
    ) -> None:
        self._tree = tree
        self._sessions = sessions
        self._outlet = outlet
        self._session_id = session_id
        self._own_session_id = new_session_id()
        self._after_prompt = after_prompt
        self._threshold = int(sample_rate * (1 << 32))
        self._stack: list[str] = []

    def start(
        self,
        kind: str,
        run_id: UUID,
        parent_run_id: UUID | None,
        name: str,
        metadata: Mapping[str, Any] | None,
        tags: Sequence[str] | None,
        inputs: Any = _UNKNOWN,
    ) -> Run | None:
        """Open a run in its place; None for one that is open already or that sampling left out."""
        tree = self._tree
        parent = tree.find(parent_run_id)
        if parent is MUTED:  # first, for what is not logged is to cost next to nothing
            tree.mute(run_id)
            return None
        if tree.knows(run_id):
            return None
        around = ambient.config()
        nearest = ambient.parent_run_id(around)
        if nearest is not parent_run_id and nearest is not None:
            parent = self._nearer(parent, parent_run_id, nearest)
        if parent is None:
            return self._start_root(kind, run_id, name, metadata, tags, inputs)
        if not isinstance(parent, Run):  # the ambient run is muted
            tree.mute(run_id)
            return None
        run = tree.start(run_id, kind, name, parent)
        root = run.root
        if root.prompt is None:
            self.bind(root, ambient.session_id(metadata) or ambient.configured_session_id(around))
            run.prompt = root.prompt
        if tags and (number := attempt(tags)):
            run.attempt = parent.attempt = number
        return run

    def _nearer(self, parent: Any, parent_run_id: UUID | None, nearest: UUID) -> Any:
        """The ambient run, where it is the true parent: `with_fallbacks` hands its own parent on to its children."""
        near = self._tree.open.get(nearest.int)  # what outlives the run around it is a run of its own
        if near is None or near is parent:
            return parent
        if parent is None:
            return near
        return near if isinstance(near, Run) and _is_below(near, parent) else parent

    def _start_root(self, kind: str, run_id: UUID, name: str, metadata: Mapping[str, Any] | None,
                    tags: Sequence[str] | None, inputs: Any) -> Run | None:  # fmt: skip
        if (run_id.int & 0xFFFFFFFF) >= self._threshold:
            self._tree.mute(run_id)
            return None
        run = self._tree.start(run_id, kind, name, None)
        run.pending_input = inputs
        run.framework = framework(metadata) or ({"name": "langgraph"} if name == "LangGraph" else None)
        run.context = user_context(metadata, tags)
        run.parameters = dict(metadata) if metadata and "prompt_number" in metadata else None
        known = self._session_id or ambient.session_id(metadata)
        if known is not None or kind != "chain" or scope.current.get() is not None:
            self.bind(run, known)
        return run

    def bind(self, root: Run, session_id: str | None = None) -> Prompt:
        """Give a root its session and prompt, and log `session_start` and `user_input` as far as they are known."""
        if root.prompt is None:
            with _binding:
                if root.prompt is None:  # branches that start at the same time in two threads ask at the same time
                    # Set at last: nobody logs anything of this root before its `session_start`.
                    root.prompt = self._bound(root, session_id)
        return root.prompt

    def _bound(self, root: Run, session_id: str | None) -> Prompt:
        inputs = root.pending_input
        prompt = self._prompt(root, session_id, inputs)
        session = prompt.session
        session.running += 1
        session.touched = self._tree.clock() / 1e9
        text = None if inputs is _UNKNOWN else user_text(inputs)
        meta = {"trace": root.trace, "framework": {"name": "langchain", **(root.framework or {})}}
        session.start(text, timestamp=root.timestamp, meta=meta, agent_stack=self._agent_stack())
        if text is not None:
            self._log_input(root, prompt, text)
        if prompt.logged:
            root.pending_input = None  # an open run keeps nothing of the application's
        return prompt

    def _prompt(self, root: Run, session_id: str | None, inputs: Any) -> Prompt:
        around = scope.current.get()
        answer = inputs.resume if is_command(inputs) else None
        if isinstance(around, Prompt) and around.number:
            resumed = answer is not None and around.session.interrupts
            return self._resumed(around.session, root, answer, around) if resumed else around
        if isinstance(around, Session):
            session = around
        else:
            session_id = session_id or self._session_id or self._own_session_id
            after = self._after_prompt if session_id == self._session_id else 0
            session = self._sessions.get(session_id, self._outlet, after_prompt=after)
        if answer is not None or (inputs is None and session.interrupted is not None):
            return self._resumed(session, root, answer)
        number = (root.parameters or {}).get("prompt_number")
        return session.open_prompt(number if isinstance(number, int) else None)

    def own_session(self) -> Session:
        """The session of what names none."""
        return self._sessions.get(self._session_id or self._own_session_id, self._outlet)

    def _resumed(self, session: Session, root: Run, answer: Any, around: Prompt | None = None) -> Prompt:
        """A person's answer to an interrupt continues the prompt around it, else the one that was interrupted."""
        prompt = around or session.interrupted or session.open_prompt()
        session.interrupted = None
        prompt.logged = True
        root.turn = prompt.turn
        session.start(timestamp=root.timestamp)
        waiting: list[str | None] = [*session.interrupts] or [None]
        answers = answer if isinstance(answer, Mapping) and set(answer) & set(session.interrupts) else None
        for interrupt_id in waiting:
            if answers is not None and interrupt_id not in answers:
                continue
            if interrupt_id is not None:
                session.interrupts.pop(interrupt_id, None)
            entry = session.entry(EventType.HUMAN_OVERSIGHT, prompt.number, prompt.turn, root.timestamp)
            value = answers[interrupt_id] if answers is not None else answer
            entry["input_data"] = {"interrupt_id": interrupt_id, "value": snapshot(value)}
            entry["meta"] = {"trace": root.trace, "status": "resumed", "interrupt_id": interrupt_id}
            self._outlet.emit(entry)
        return prompt

    def log_input(self, root: Run, text: str | None) -> None:
        """Log `user_input` of a bound root, once; without a text, the inputs' JSON stands for it."""
        prompt = root.prompt
        if prompt is None or prompt.logged:
            return
        if text is None:
            inputs = root.pending_input
            text = "" if inputs is _UNKNOWN or is_to_come(inputs) else as_json(inputs)
        self._log_input(root, prompt, text)

    def _log_input(self, root: Run, prompt: Prompt, text: str) -> None:
        meta = {"trace": root.trace}
        if root.context:
            meta["context"] = root.context
        prompt.log_input(text, timestamp=root.timestamp, meta=meta)
        root.pending_input = None

    def _agent_stack(self) -> list[str]:
        if not self._stack:
            self._stack = agent_stack()
        return self._stack


def _is_below(run: Run, above: Run) -> bool:
    parent = run.parent
    while parent is not None:
        if parent is above:
            return True
        parent = parent.parent
    return False
