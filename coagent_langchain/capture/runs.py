"""The run tree: run id → open run; parents, turns, idempotence, bounds. No LangChain types, no payloads."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from coagent_langchain.prompt import Prompt
from coagent_langchain.session import Session
from coagent_langchain.wire import JsonObject

MAX_OPEN = 50_000  # open runs; beyond it the oldest are given up, for they will hardly end any more
MAX_ENDED = 512  # ended runs that are remembered at least: for a second end, and as parents of what starts late
MAX_CLIMB = 32  # ancestors that a turn is noted at; above them only the root, so that depth costs nothing
MAX_FAILURES = 64  # exceptions that one run remembers of its children
FALLBACKS = "RunnableWithFallbacks"
LINGER_S = 60.0  # how long what is still open when its root ends may go on to its own end


class Run:
    """One open run: ids, names and times; never what went in or came out.

    Attributes:
        kind: `chain`, `llm`, `tool` or `retriever`.
        turn: the latest turn started at or below this run, 0 before the first model call.
        own_turn: the turn of a model call, or the one that asked for a tool; None for what has none of its own.
        tags: the user's own.
        is_step: whether a graph's engine runs it, as a step of its own.
        is_hidden: whether LangChain marks it as plumbing.
        failed_nodes: graph nodes below this run that failed, by their checkpoint namespace, with the attempts so far.
        call: what a model's or tool's run does: the same for a call that somebody makes again; None if that is unknown.
        failures: exceptions of children that this run may yet recover from, with the ids of their error events.
        tried: of a call that is made again, the failed ones before it, by the ids of their errors.
        open: on a root, the calls and components below it that wait for their end.
        thread: on a root, LangGraph's `thread_id`.
        binding: on a root, held while it is given its session.
        tool_turns: on a root, the prompts and turns that asked for tools, by the ids of their calls.
    """

    # Values of the class until a run has its own: most runs are plumbing, and a hook pays for each assignment.
    first_token_ns = 0
    attempt = 0
    batch_size = 1
    turn = 0
    own_turn: int | None = None
    late = False  # its start was never told
    is_step = False
    is_hidden = False
    tags: Sequence[str] = ()
    component = False
    failed_nodes: dict[str, int] | None = None
    failures: list[Failure] | None = None
    tried: Mapping[str, Run] = MappingProxyType({})
    call: int | str | None = None
    tool_call_id: str | None = None
    structured_output: str | None = None
    framework: JsonObject | None = None
    context: JsonObject | None = None
    parameters: JsonObject | None = None
    pending_input: Any = None
    thread: Any = None
    tool_turns: dict[str, tuple[Prompt, int]] | None = None
    root_ended = 0
    _trace: JsonObject | None = None

    def __init__(self, run_id: UUID, kind: str, name: str, parent: Run | None, started_ns: int, timestamp: int) -> None:
        self.run_id = run_id
        self.kind = kind
        self.name = name
        self.parent = parent
        self.started_ns = started_ns
        self.timestamp = timestamp
        if parent is None:
            self.root = self
            self.prompt: Prompt | None = None
            self.open: dict[int, Run] = {}
            self.binding = threading.RLock()  # re-entrant: a `redact` of the application's may run chains of its own
        else:
            self.root = root = parent.root
            self.prompt = root.prompt

    @property
    def trace(self) -> JsonObject:
        """What the entries of this run say of its place in the tree."""
        if self._trace is None:
            self._trace = {"run_id": self.run_id, "root_run_id": self.root.run_id, "name": self.name}
            if self.parent is not None:
                self._trace["parent_run_id"] = self.parent.run_id
                if (above := self.logged_above()) is not self.parent:
                    self._trace["within_run_id"] = above.run_id
        return self._trace

    def logged_above(self) -> Run:
        """The nearest run above that has events: plumbing has none, but a tree is to be drawn over it."""
        above = self.root if self.parent is None else self.parent
        for _ in range(MAX_CLIMB):
            if above.kind != "chain" or above.component or above.parent is None:
                return above
            above = above.parent
        return self.root

    def take_turn(self, turn: int) -> None:
        """Note that a model call with this turn began here: the runs above now have it as their latest."""
        run: Run | None = self
        for _ in range(MAX_CLIMB):
            if run is None:
                return
            run.turn = turn
            run = run.parent
        self.root.turn = turn

    def remember_tool_call(self, tool_call_id: str, prompt: Prompt, turn: int) -> None:
        """Note at a root which turn asked for a tool."""
        if self.tool_turns is None:
            self.tool_turns = {}
        self.tool_turns[tool_call_id] = (prompt, turn)

    def latest_turn(self) -> int:
        """The latest turn at, below or above this run."""
        run: Run | None = self
        for _ in range(MAX_CLIMB):
            if run is None:
                break
            if run.turn:
                return run.turn
            run = run.parent
        return self.root.turn

    def path(self) -> list[str]:
        """Names from the root down to this run."""
        names = []
        run: Run | None = self
        while run is not None:
            names.append(run.name)
            run = run.parent
        return names[::-1]

    def remember_failure(self, error: BaseException, error_id: str, failed: Run) -> None:
        """Keep a child's exception (itself, for its `id()` may be another's once it is gone) until this run ends.

        Of very many the latest: one of them may yet be raised on.
        """
        if self.failures is None:
            self.failures = []
        self.failures.append((error, error_id, failed))
        if len(self.failures) > MAX_FAILURES:
            del self.failures[0]

    def note_tried(self) -> None:
        """Note the calls that have failed beside this one, which makes them again; the same ones count as attempts."""
        parent = self.parent
        if parent is None or not parent.failures or parent.name == FALLBACKS:  # it tells itself what it does
            return
        self.tried = {error_id: failed for _, error_id, failed in parent.failures if error_id and failed.repeats(self)}
        same = sum(failed.is_like(self) for failed in self.tried.values())
        if same and not self.attempt:
            self.attempt = same + 1

    def repeats(self, other: Run) -> bool:
        """Whether both answer one question: a model's with the same text, or a tool's that the same call asked for."""
        return self.call is not None and (self.kind, self.call) == (other.kind, other.call)

    def is_like(self, other: Run) -> bool:
        """Whether the same model or tool runs."""
        return (self.name, self.parameters) == (other.name, other.parameters)

    def try_again(self) -> None:
        """Number this attempt, where the graph runs a node again that has failed (its own retry policy)."""
        parent = self.parent
        if parent is not None and parent.failed_nodes and self.framework:
            before = parent.failed_nodes.get(self.framework.get("checkpoint_ns", ""))
            if before:
                self.attempt = parent.attempt = before + 1

    def failed_as_node(self) -> None:
        """Note at the run above that this node has failed: it may be run again."""
        parent, namespace = self.parent, (self.framework or {}).get("checkpoint_ns")
        if parent is not None and namespace:
            if parent.failed_nodes is None:
                parent.failed_nodes = {}
            if len(parent.failed_nodes) < MAX_FAILURES or namespace in parent.failed_nodes:
                parent.failed_nodes[namespace] = max(self.attempt, 1)

    def reported(self, error: BaseException) -> str | None:
        """The id under which `error`, or one that it was raised from, was reported below this run."""
        if not self.failures:
            return None
        known = {id(failure): error_id for failure, error_id, _ in self.failures}  # alive, so their id() is theirs
        seen: set[int] = set()
        todo: list[BaseException | None] = [error]
        while todo:
            each = todo.pop()
            if each is None or id(each) in seen or len(seen) > MAX_FAILURES:
                continue
            if (error_id := known.get(id(each))) is not None:
                return error_id
            seen.add(id(each))
            todo += [each.__cause__, each.__context__]
            if isinstance(each, BaseExceptionGroup):
                todo += each.exceptions
        return None


Failure = tuple[BaseException, str, Run]  # what was raised, the id of its error event, and by whom


class Muted:
    """Stands in the tree for every run of a root that sampling left out."""


MUTED: Final = Muted()


class RunTree:
    """Open runs by id. Starts and ends are idempotent; what is kept is bounded.

    Parameters:
        clock: monotonic nanoseconds.
        wall: Unix nanoseconds.
        max_open: open runs at most; beyond it the oldest are given up.
        max_ended: ended runs that are remembered at least.
        linger_s: seconds that a run may go on after its root.
    """

    def __init__(
        self,
        clock: Callable[[], int] = time.perf_counter_ns,
        wall: Callable[[], int] = time.time_ns,
        *,
        max_open: int = MAX_OPEN,
        max_ended: int = MAX_ENDED,
        linger_s: float = LINGER_S,
    ) -> None:
        self.clock = clock
        self.wall = wall
        self.open: dict[int, Run | Muted] = {}
        self.awaiting_token: dict[int, Run] = {}
        self.lingering: dict[int, Run] = {}  # ended roots with open runs below them, the first to end first
        self._ended: dict[int, Run | Muted] = {}
        self._ended_before: dict[int, Run | Muted] = {}
        self._max_open = max_open
        self._max_ended = max_ended
        self._linger_ns = int(linger_s * 1e9)
        _trees.add(self)

    def find(self, run_id: UUID | None) -> Run | Muted | None:
        """The run with that id, open or ended a moment ago."""
        if run_id is None:
            return None
        key = run_id.int
        return self.open.get(key) or self._ended.get(key) or self._ended_before.get(key)

    def start(self, run_id: UUID, kind: str, name: str, parent: Run | None) -> Run | None:
        """Open a run; None when one with that id was started already."""
        key = run_id.int
        if key in self.open or key in self._ended or key in self._ended_before:
            return None
        plumbing = kind == "chain" and parent is not None
        run = Run(run_id, kind, name, parent, self.clock(), 0 if plumbing else self.wall() // 1_000_000)
        self.open[key] = run
        root = run.root
        if not plumbing or root.root_ended:
            root.open[key] = run
            if root.root_ended:
                self._linger(root)
        return run

    def end(self, run_id: UUID) -> Run | None:
        """Close a run: the run, or None when no such run is open, or it is not logged."""
        key = run_id.int
        run = self.open.pop(key, None)
        if run is None:
            return None
        self._ended[key] = run
        if len(self._ended) >= self._max_ended:
            # Two generations: taking the oldest key out of a dict again and again would scan its holes.
            self._ended_before, self._ended = self._ended, {}
        if isinstance(run, Muted):
            return None
        root = run.root
        root.open.pop(key, None)
        if root is run:
            root.root_ended = self.clock()
            if root.open:
                self._linger(root)
        elif root.root_ended and not root.open:
            self.lingering.pop(root.run_id.int, None)
        return run

    def _linger(self, root: Run) -> None:
        root.root_ended = self.clock()
        self.lingering.pop(root.run_id.int, None)
        self.lingering[root.run_id.int] = root

    def was_ended(self, run_id: UUID) -> bool:
        """Whether a run with that id has ended: this end is a second one."""
        return run_id.int in self._ended or run_id.int in self._ended_before

    @property
    def crowded(self) -> bool:
        """Whether there may be runs to give up."""
        return bool(self.lingering) or len(self.open) > self._max_open

    def given_up(self, *, now: int | None = None) -> list[Run]:
        """Runs that nobody waits for: their root ended a while ago (or, with too many open, the oldest)."""
        found: list[Run] = []
        deadline = (self.clock() if now is None else now) - self._linger_ns
        for key, root in list(self.lingering.items()):
            if root.root_ended > deadline:
                break
            self.lingering.pop(key, None)
            found += list(root.open.values())
        excess = len(self.open) - self._max_open
        if excess > 0:
            for key, run in list(self.open.items())[: max(excess, self._max_open // 10)]:
                if isinstance(run, Run):
                    found.append(run)
                else:
                    self.open.pop(key, None)
        return found

    def open_in(self, session: Session) -> list[Run]:
        """The open runs of a session."""
        return [
            run
            for run in list(self.open.values())
            if isinstance(run, Run) and run.root.prompt is not None and run.root.prompt.session is session
        ]

    def leave_to_parent_process(self) -> None:
        """After a fork: what was open is the parent's to end; here it counts as ended."""
        self._ended_before.update(self.open)
        for kept in (self.open, self.awaiting_token, self.lingering):
            kept.clear()


_trees: weakref.WeakSet[RunTree] = weakref.WeakSet()


def _after_fork() -> None:
    for tree in list(_trees):
        tree.leave_to_parent_process()


os.register_at_fork(after_in_child=_after_fork)
