"""One open run and what is known of it; never what went in or came out. No LangChain types."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from coagent_langchain.capture.failure import MAX_FAILURES, Failure
from coagent_langchain.locks import fork_safe_lock
from coagent_langchain.prompt import Prompt
from coagent_langchain.wire import JsonObject

if TYPE_CHECKING:
    from coagent_langchain.capture.root import Root

MAX_CLIMB = 32  # ancestors that a turn is noted at; above them only the root, so that depth costs nothing
FALLBACKS = "RunnableWithFallbacks"
NOTHING: Mapping[str, Any] = MappingProxyType({})
Key = int | str | None

_lock = fork_safe_lock()


def key_of(run_id: Any) -> Key:
    """The tree's key for a run: a number, hashed faster than its id, or the text that `config["run_id"]` may be.

    Where each run passes, `getattr(run_id, "int", None)` is asked first: it is no call of Python's, and nearly always
    there.
    """
    try:
        return run_id.int  # type: ignore[no-any-return]
    except AttributeError:
        return run_id if isinstance(run_id, str) else None


class Run:
    """One open run: ids, names and times; never what went in or came out.

    Attributes:
        key: the tree's key for it.
        kind: `chain`, `llm`, `tool` or `retriever`.
        turn: the latest turn started at or below this run, 0 before the first model call.
        own_turn: the turn of a model call, or the one that asked for a tool; None for what has none of its own.
        tags: the user's own.
        is_step: whether a graph's engine runs it, as a step of its own.
        is_hidden: whether LangChain marks it as plumbing.
        failed_nodes: graph nodes below this run that failed, by their checkpoint namespace, with the attempts so far.
        call: what repeated calls have in common, None if unknown: of a model the fingerprint of its prompt, of a tool
            the id of its call, of a failed node its checkpoint namespace.
        failed_ns: when it raised, by the monotonic clock; 0 if it did not.
        failures: exceptions of children that this run may yet recover from, with the ids of their error events.
        tried: the failed calls that this one repeats, by the ids of their errors.
        repeated, recovered: whether another call repeats this one, and whether its recovery is told.
    """

    # Values of the class until a run has its own: most runs are plumbing, and a hook pays for each assignment. What is
    # read of every run is in `__init__`: reading it from the class would cost more.
    key: Key = None
    first_token_ns = failed_ns = 0
    attempt = 0
    batch_size = 1
    turn = 0
    own_turn: int | None = None
    late = False  # its start was never told, or nobody knows when it ended
    is_step = False
    is_hidden = False
    repeated = recovered = False
    tags: Sequence[str] = ()
    failed_nodes: dict[str, int] | None = None
    tried: Mapping[str, Run] = NOTHING
    call: int | str | None = None
    tool_call_id: str | None = None
    structured_output: str | None = None
    framework: JsonObject | None = None
    parameters: JsonObject | None = None
    root: Root

    def __init__(
        self, run_id: UUID, kind: str, name: str, parent: Run, root: Root, started_ns: int, timestamp: int
    ) -> None:
        self.run_id = run_id
        self.kind = kind
        self.name = name
        self.parent: Run | None = parent
        self.started_ns = started_ns
        self.timestamp = timestamp
        self.root = root
        self.prompt: Prompt | None = root.prompt
        self.component = False
        self.failures: list[Failure] | None = None
        self.context: JsonObject | None = None
        self._trace: JsonObject | None = None

    @property
    def has_begun(self) -> bool:
        """Whether its first event is told, if it has any: a hook in another thread may be about to tell it."""
        if self.kind == "chain":
            return self.timestamp > 0 or not self.component
        return self.own_turn is not None

    @property
    def is_node(self) -> bool:
        """Whether it is a graph's node or task: a part of one has the same namespace as that."""
        if self.is_step:
            return True
        namespace = (self.framework or NOTHING).get("checkpoint_ns")
        return namespace is not None and namespace != (self.logged_above().framework or NOTHING).get("checkpoint_ns")

    def trace(self) -> JsonObject:
        """What the entries of this run say of its place in the tree."""
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
        """Whether it runs in `above`, at any depth."""
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
        """Keep what a child raised until this run ends.

        Of very many the latest: one of them may yet be raised on.
        """
        with _lock:
            if self.failures is None:
                self.failures = []
            self.failures.append(failure)
            if len(self.failures) > MAX_FAILURES:
                del self.failures[0]

    def forget_failures(self, error_ids: Container[str]) -> None:
        """Let go of children's exceptions that it need not recover from any more."""
        with _lock:
            self.failures = [each for each in self.failures or () if each.error_id not in error_ids]

    def note_tried(self) -> None:
        """Note the failed call beside this one that it repeats, and those which that one has repeated.

        Calls of the same model or tool count as attempts. Where several with the same text run at once, each failed one
        is repeated by one other.
        """
        parent = self.parent
        if parent is None or not parent.failures or parent.name == FALLBACKS:  # it tells itself what it does
            return
        with _lock:
            candidates = [each for each in parent.failures
                          if each.error_id and not each.run.repeated and each.run.repeats(self)]  # fmt: skip
            if not candidates:
                return
            _, error_id, before = next((each for each in candidates if each.run.is_like(self)), candidates[0])
            before.repeated = True
            self.tried = dict([*before.tried.items(), (error_id, before)][-MAX_FAILURES:])
            before.tried = NOTHING  # handed on: else each would keep all that were made before it
        same = sum(each.is_like(self) for each in self.tried.values())
        if same and not self.attempt:
            self.attempt = same + 1

    def repeats(self, other: Run) -> bool:
        """Whether both answer one question: a model's with the same text, or a tool's that the same call asked for."""
        return self.call is not None and (self.kind, self.call) == (other.kind, other.call)

    def is_like(self, other: Run) -> bool:
        """Whether both are runs of the same model or tool."""
        return (self.name, self.parameters) == (other.name, other.parameters)

    def try_again(self) -> None:
        """Number this attempt, where the graph runs a node again that has failed (its own retry policy)."""
        parent = self.parent
        if parent is not None and parent.failed_nodes and self.framework and self.is_node:
            namespace = self.framework.get("checkpoint_ns", "")
            before = parent.failed_nodes.get(namespace)
            if before:
                self.attempt, self.call = before + 1, namespace
                self.note_tried()

    def failed_as_node(self) -> None:
        """Note at the run above that this node has not come to its end: it may be run again."""
        parent, namespace = self.parent, (self.framework or {}).get("checkpoint_ns")
        if parent is not None and namespace and self.is_node:
            self.call = namespace
            if parent.failed_nodes is None:
                parent.failed_nodes = {}
            if len(parent.failed_nodes) < MAX_FAILURES or namespace in parent.failed_nodes:
                parent.failed_nodes[namespace] = max(self.attempt, 1)

    def reported_beside(self, error: BaseException) -> str | None:
        """The id under which a run beside this one reported `error`: what one step of a stream raises, all raise."""
        if self.kind == "chain" and self.parent is not None:
            for failure in self.parent.failures or ():
                if failure.error is error and failure.run.failed_ns > self.started_ns:
                    return failure.error_id
        return None
