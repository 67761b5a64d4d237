"""The run tree: run id → open run; parents, idempotence, bounds. No LangChain types, no payloads."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any, Final
from uuid import UUID, uuid4

from coagent_langchain.capture.root import Root
from coagent_langchain.capture.run import Key, Kind, Run, key_of
from coagent_langchain.forks import renewed_after_fork
from coagent_langchain.sessions.state import SessionState
from coagent_langchain.wire import now_ms

MAX_OPEN = 50_000  # open runs; if there are more, the oldest are given up, as they are unlikely to end
MAX_ENDED = 512  # ended runs that are remembered, to detect a second end and as parents of runs that start late
LINGER_NS = 60_000_000_000  # how long runs may stay open after their root has ended


class Muted(Enum):
    """Stands in the tree for every run that is not logged: of a root that sampling left out, or of a `redact`."""

    MUTED = "muted"


MUTED: Final = Muted.MUTED


class RunTree:
    """Open runs by id. Starts and ends are idempotent; everything kept is bounded.

    Attributes:
        open: the open runs.
        streams: of open model calls, the tokens that have arrived.
        lingering: ended roots with open runs below them, oldest `ended_ns` first.
    """

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.clock = clock
        self.open: dict[Key, Run | Muted] = {}
        self.streams: dict[Key, list[Any]] = {}
        self.lingering: dict[Key, Root] = {}
        self._ended: dict[Key, Run | Muted] = {}
        self._ended_order: deque[Key] = deque([-1] * MAX_ENDED)  # of constant length; -1 is no run's key
        _trees.add(self)

    def find(self, run_id: UUID | None) -> Run | Muted | None:
        """The run with that id, if it is open or ended recently."""
        if run_id is None:
            return None
        key = key_of(run_id)
        return self.open.get(key) or self._ended.get(key)

    def start(self, run_id: UUID, kind: Kind, name: str, parent: Run | None) -> Run | None:
        """Open a run; None if one with that id is open, or it has no id."""
        key = getattr(run_id, "int", None) or key_of(run_id)
        if key is None or key in self.open:
            return None
        if key in self._ended:  # the application's config has a `run_id`, and is used again
            run_id = uuid4()
        if parent is None:
            self.open[key] = root = Root(run_id, kind, name, self.clock(), now_ms())
            root.key = key
            root.open[key] = root
            return root
        root = parent.root
        timestamp = 0 if kind == "chain" else now_ms()
        self.open[key] = run = Run(run_id, kind, name, parent, root, self.clock(), timestamp)
        run.key = key
        root.open[key] = run
        if root.ended_ns:
            self._linger(root)
        return run

    def end(self, run_id: UUID | Key) -> Run | None:
        """Close a run, given by its id or key, and return it; None if no such run is open, or it is not logged."""
        key = getattr(run_id, "int", None) or key_of(run_id)
        run = self.open.pop(key, None)
        if run is None:
            return None
        # Each ended run replaces an older one, so that the garbage collector sees no growth.
        self._ended[key] = run
        self._ended_order.append(key)
        self._ended.pop(self._ended_order.popleft(), None)
        if run is MUTED:
            return None
        root = run.root
        root.open.pop(key, None)
        if root is run:
            root.ended_ns = self.clock()
            if root.open:
                self._linger(root)
        elif root.ended_ns and not root.open:
            self.lingering.pop(root.key, None)
        return run

    def _linger(self, root: Root) -> None:
        root.ended_ns = self.clock()
        if root.prompt is not None:
            root.prompt.session_state.outlived = True
        self.lingering.pop(root.key, None)
        self.lingering[root.key] = root

    def was_ended(self, run_id: UUID) -> bool:
        """Whether a run with that id has ended before, so that this end is a second one."""
        return key_of(run_id) in self._ended

    @property
    def crowded(self) -> bool:
        """Whether there may be runs to give up."""
        return bool(self.lingering) or len(self.open) > MAX_OPEN

    def given_up(self) -> list[Run]:
        """Runs whose root ended a while ago; if too many runs are open, also the oldest."""
        found: list[Run] = []
        deadline = self.clock() - LINGER_NS
        for key, root in list(self.lingering.items()):
            if root.ended_ns > deadline:
                break
            self.lingering.pop(key, None)
            found += list(root.open.values())
        excess = len(self.open) - MAX_OPEN
        if excess > 0:
            for key, run in list(self.open.items())[: max(excess, MAX_OPEN // 10)]:
                if isinstance(run, Run):
                    found.append(run)
                else:
                    self.open.pop(key, None)
        return found

    def open_in(self, state: SessionState) -> list[Run]:
        """The open runs of a session."""
        return [
            run
            for run in list(self.open.values())
            if isinstance(run, Run) and run.root.prompt is not None and run.root.prompt.session_state is state
        ]

    def leave_to_parent_process(self) -> None:
        """After a fork, leave what was open for the parent process to end; here it counts as ended."""
        self._ended.update(self.open)
        self._ended_order.extend(self.open)
        for _ in self.open:
            self._ended.pop(self._ended_order.popleft(), None)
        for kept in (self.open, self.streams, self.lingering):
            kept.clear()


_trees = renewed_after_fork(RunTree.leave_to_parent_process)
