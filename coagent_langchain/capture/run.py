"""One open run and its state, without inputs or outputs. No LangChain types."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from uuid import UUID

from coagent_langchain.forks import fork_safe_lock
from coagent_langchain.sessions.prompt import Prompt
from coagent_langchain.wire import JsonObject

if TYPE_CHECKING:
    from coagent_langchain.capture.root import Root

MAX_CLIMB = 32  # ancestors at which a turn is noted; above them only at the root, so that depth costs nothing
MAX_FAILURES = 64  # child exceptions that one run remembers
NOTHING: Mapping[str, Any] = MappingProxyType({})
NOT_AN_ERROR = ""  # in place of the id of an error event: of an interrupt, a hand-over
Key = int | str | None
Kind = Literal["chain", "llm", "tool", "retriever"]

failures_lock = fork_safe_lock()  # held while what a run remembers of its children's failures changes


def key_of(run_id: Any) -> Key:
    """The tree's key for a run: its UUID's integer, which hashes faster, or the string that `config["run_id"]` may be.

    The key of a key is the key itself.
    Hot paths try `getattr(run_id, "int", None)` first, which calls no Python function and nearly always succeeds.
    """
    try:
        return run_id.int  # type: ignore[no-any-return]
    except AttributeError:
        return run_id if isinstance(run_id, (str, int)) else None


class Failure(NamedTuple):
    """An exception that ended a run.

    Attributes:
        error: returns the exception, if it still lives; not its `id()`, which another one may get once it is freed.
        error_id: the id of its error event, or `NOT_AN_ERROR`.
        run: the run that raised it.
        asked: the ids of the questions to a human that it is.
    """

    error: Callable[[], BaseException | None]
    error_id: str
    run: Run
    asked: Sequence[str] = ()


class Run:
    """One open run: ids, names and times, never inputs or outputs.

    Attributes:
        key: the tree's key for it.
        turn: the latest turn started at or below this run, 0 before the first model call.
        first_turn: the turn in which it began, if it logs its beginning: it has called no model while `turn` is that.
        own_turn: the turn of a model call, or the one that requested a tool; None if it has none of its own.
        began_in: the id of the thread in which it began to log; 0 before, and for plumbing.
        tags: the user's own.
        is_step: whether a graph's engine runs it, as a step of its own.
        is_branch: whether a `RunnableParallel` runs it beside others, none of which it repeats.
        is_hidden: whether LangChain marks it as plumbing.
        given_agent: the agent in its metadata, which may be that of another graph, whose config it was called with.
        attempt: the number of this attempt, from 2 on; 0 if it is the first.
        latest_attempt: the number of the latest attempt that LangChain's `with_retry` has begun in it, from 2 on.
        failed_ns: when it raised, by the monotonic clock; 0 if it did not.
        failures: exceptions of children that this run may yet recover from, with the ids of their error events.
        repeat_key: what calls that repeat each other have in common, None if unknown: the fingerprint of a model's
            prompt, the id of a tool call, or the checkpoint namespace of a failed node.
        repeats: the failed calls that this one repeats, by the ids of their errors.
        is_repeated: whether another call repeats it.
        is_recovered: whether the recovery from its failure is logged.
        node_attempts: the attempts so far of graph nodes below this run that failed, by checkpoint namespace.
    """

    # Class attributes until a run has its own: most runs are plumbing, and a hook pays for each assignment. What is
    # read for every run is set in `__init__`: reading it from the class would cost more.
    key: Key = None
    first_token_ns = failed_ns = 0
    attempt = latest_attempt = 0
    batch_size = 1
    turn = first_turn = 0
    own_turn: int | None = None
    began_in = 0
    untimed = False  # how long it took is unknown: its start or its end was not reported
    is_step = False
    is_branch = False
    is_hidden = False
    is_repeated = is_recovered = False
    tags: Sequence[str] = ()
    repeat_key: int | str | None = None
    repeats: Mapping[str, Run] = NOTHING
    node_attempts: dict[str, int] | None = None
    tool_call_id: str | None = None
    structured_output: str | None = None
    framework: JsonObject | None = None
    given_agent: Any = None
    parameters: JsonObject | None = None
    root: Root

    def __init__(
        self, run_id: UUID, kind: Kind, name: str, parent: Run, root: Root, started_ns: int, timestamp: int
    ) -> None:
        self.run_id = run_id
        self.kind = kind
        self.name = name
        self.parent: Run | None = parent
        self.started_ns = started_ns
        self.timestamp = timestamp
        self.root = root
        self.prompt: Prompt | None = root.prompt
        self.is_component = False
        self.failures: list[Failure] | None = None
        self.context: JsonObject | None = None
        self._trace: JsonObject | None = None

    @property
    def has_begun(self) -> bool:
        """Whether its first event, if any, is logged: a hook in another thread may be about to log it."""
        return self.began_in != 0 or (self.kind == "chain" and not self.is_component)

    @property
    def is_node(self) -> bool:
        """Whether it is a graph's node or task."""
        return self.is_step or self.opens((self.framework or NOTHING).get("checkpoint_ns"))

    @property
    def is_in_step(self) -> bool:
        """Whether it is, or is in, a step of a graph."""
        run: Run | None = self
        while run is not None and not run.is_step:
            run = run.parent
        return run is not None

    def opens(self, namespace: object) -> bool:
        """Whether a checkpoint namespace begins with it: what runs inside a node or task has the same one."""
        return namespace is not None and namespace != (self.logged_above().framework or NOTHING).get("checkpoint_ns")

    def trace(self) -> JsonObject:
        """Its place in the tree, as its entries give it."""
        found = self._trace
        if found is None:
            parent = self.parent
            self._trace = found = {"run_id": self.run_id, "root_run_id": self.root.run_id, "name": self.name}
            if parent is not None:
                found["parent_run_id"] = parent.run_id
                if (above := self.logged_above()) is not parent:
                    found["within_run_id"] = above.run_id
        return found

    def logged_above(self) -> Run:
        """The nearest run above with events, so that the tree can be drawn without the plumbing in between."""
        above = self.root if self.parent is None else self.parent
        for _ in range(MAX_CLIMB):
            if above.kind != "chain" or above.is_component or above.parent is None:
                return above
            above = above.parent
        return self.root

    def take_turn(self, turn: int) -> None:
        """Note that a model call with this turn began here: it is now the latest turn here and in the runs above."""
        run: Run | None = self
        for _ in range(MAX_CLIMB):
            if run is None:
                return
            run.turn = turn
            run = run.parent
        self.root.turn = turn

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

    def is_below(self, above: object) -> bool:
        """Whether `above` is one of its ancestors."""
        parent = self.parent
        while parent is not None:
            if parent is above:
                return True
            parent = parent.parent
        return False

    def path(self) -> list[str]:
        """Names from the root down to this run."""
        names = []
        run: Run | None = self
        while run is not None:
            names.append(run.name)
            run = run.parent
        return names[::-1]

    def remember_failure(self, failure: Failure) -> None:
        """Keep a child's exception until this run ends; of very many, the latest: one may yet be raised again."""
        with failures_lock:
            if self.failures is None:
                self.failures = []
            self.failures.append(failure)
            if len(self.failures) > MAX_FAILURES:
                del self.failures[0]

    def forget_failures(self, error_ids: Container[str]) -> None:
        """Forget children's exceptions from which it no longer needs to recover."""
        with failures_lock:
            self.failures = [each for each in self.failures or () if each.error_id not in error_ids]
