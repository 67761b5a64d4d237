"""A run without a parent, with the state of its whole tree."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping
from typing import Any
from uuid import UUID
from weakref import ref

from coagent_langchain.capture.node_messages import KnownMessages
from coagent_langchain.capture.run import NOTHING, Key, Kind, Run
from coagent_langchain.sessions.open_failures import Attempts, OpenFailures, with_attempts
from coagent_langchain.sessions.pending import Question
from coagent_langchain.sessions.prompt import Prompt
from coagent_langchain.sessions.tool_calls import ToolCalls

UNKNOWN = object()  # inputs that no hook has reported, or not yet


class Root(Run):
    """A run without a parent.

    Attributes:
        open: the open runs of its tree, itself included.
        ended_ns: when it ended, or a run last started below it after that, by the monotonic clock; 0 while it is open.
        tool_calls: the tool calls that its models requested; None before the first one.
        known_messages: what its nodes may return that is logged already.

        pending_input: its inputs, until they are logged; `UNKNOWN` before a hook has reported them.
        user_text: the user's text in them, if its session was not known when they were reported.
        silent: whether it asks for nothing itself (a template, a parser, `trim_messages`, a graph's `update_state`): it
            gets its session and prompt only if something in it is logged.
        known_session_id: the session that a silent one would get, if known.
        prompt_number: the prompt number in its metadata, or that of the block around it if that is for another server.
        bind_lock: held while its session and prompt are assigned.
        joined: its prompt, also while its `session_start` and `user_input` are being logged; `prompt` is set later, so
            that nothing else of it is logged before them.

        thread: LangGraph's `thread_id`; of a run in a task of a graph without the handler, the task's namespace, the
            run's name and the fingerprint of the user's text.
        is_task: whether it is in such a task, which the graph runs again after a human's answer, or a failure.
        answered: the questions that it has answers to, by id: if it fails, they may have to be answered again.
        asked: the ids of the questions at which its graph stopped.
        has_asked: whether there was any, even if the graph goes on without an answer.

        attempts: the failed attempts that it makes up for if it succeeds, its graph's earlier run among them; also its
            own once it has failed.
        repeatable_as: the keys by which a run that repeats it finds its failure: in a prompt of several roots, what it
            was asked; in an application's own loop, the tool call that it runs.

        stopped: `cancelled` or `abandoned`, if it was stopped from outside.
        cut: what was stopped in it last, as an event says; weak, since that run refers to this one.
        will_end: of a model, whether its stream is complete, so that LangChain is about to report its end.
    """

    tool_calls: ToolCalls | None = None
    # what binds it to a session and prompt
    pending_input: Any = None
    user_text: str | None = None
    silent = False
    known_session_id: str | None = None
    prompt_number: int | None = None
    joined: Prompt | None = None
    # what it continues, and where it waits for a human
    thread: Any = None
    is_task = False
    answered: Mapping[str, Question] = NOTHING
    asked: frozenset[str] = frozenset()
    has_asked = False
    # what it makes up for, or leaves to others
    attempts: Attempts = ()
    repeatable_as: tuple[Hashable, ...] = ()
    # how it is cut off
    stopped: str | None = None
    cut: ref[Run] | None = None
    will_end = False

    def __init__(self, run_id: UUID, kind: Kind, name: str, started_ns: int, timestamp: int) -> None:
        self.run_id = run_id
        self.kind = kind
        self.name = name
        self.parent = None
        self.started_ns = started_ns
        self.timestamp = timestamp
        self.prompt = None
        self.is_component = False
        self.failures = None
        self.context = None
        self._trace = None
        self.ended_ns = 0
        self.open: dict[Key, Run] = {}
        self.known_messages = KnownMessages()
        self.bind_lock = threading.RLock()  # re-entrant: a signal handler or the application's `delivery` may log

    @property
    def root(self) -> Root:  # type: ignore[override]
        """Itself, as a property: only the garbage collector could free a run that refers to itself."""
        return self

    def take_failure(self, failures: OpenFailures, key: Hashable) -> None:
        """Take on the failure of what it repeats, and note where to leave it if it fails, too."""
        self.repeatable_as = (*self.repeatable_as, key)
        self.attempts = with_attempts(self.attempts, failures.take(key))

    def leave_failure(self, failures: OpenFailures) -> None:
        """Leave its failure, and those that it has taken on, to the runs that repeat it."""
        for key in self.repeatable_as:
            failures.leave(key, self.name, self.attempts)
