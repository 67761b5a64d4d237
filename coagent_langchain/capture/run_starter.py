"""The place of a starting run in the tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from coagent_langchain.capture.ambient import config_around, configurable, run_around, session_id
from coagent_langchain.capture.binding import Binding
from coagent_langchain.capture.description import describe, name_of, read_tags
from coagent_langchain.capture.human_answers import log_answers
from coagent_langchain.capture.root import UNKNOWN, Root
from coagent_langchain.capture.run import Kind, Run, key_of
from coagent_langchain.capture.run_tree import MUTED, Muted, RunTree
from coagent_langchain.outlet import Outlet, is_redacting
from coagent_langchain.values.commands import is_command


class RunStarter:
    """Finds a run's place: its parent, and through its root its session and prompt."""

    def __init__(self, tree: RunTree, binding: Binding, outlet: Outlet, *, components: str, sample_rate: float) -> None:
        self._tree = tree
        self._binding = binding
        self._outlet = outlet
        self._components = components
        self._threshold = int(sample_rate * (1 << 32))

    def start(
        self,
        kind: Kind,
        run_id: UUID,
        parent_run_id: UUID | None,
        serialized: Any,
        kwargs: Mapping[str, Any],
        metadata: Any = None,
        tags: Any = None,
        inputs: Any = UNKNOWN,
    ) -> Run | None:
        """Open a run in its place; None if it was started before, has no id or is not logged.

        `kwargs` are the hook's other arguments; like `serialized`, `metadata` and `tags`, they may be of any type.
        """
        tree = self._tree
        parent = None
        if parent_run_id is not None:
            parent = tree.open.get(getattr(parent_run_id, "int", None)) or tree.find(parent_run_id)
        if parent is not MUTED:  # a run that is not logged must cost next to nothing
            config = config_around()
            nearest = run_around(config)
            if nearest is not parent_run_id and nearest is not None:
                parent = self._nearer(parent, nearest)
            if parent is None and _share(run_id) >= self._threshold:
                parent = MUTED
        if parent is MUTED or is_redacting():
            tree.open[key_of(run_id)] = MUTED
            return None
        if parent is not None and parent.root.ended_ns and _outlives(parent.root):
            parent = None
        if not isinstance(metadata, dict):
            metadata = None
        run = tree.start(run_id, kind, name_of(kind, serialized, kwargs, metadata), parent)
        if run is None:
            return None
        if tags:
            read_tags(run, tags)
        if kind == "tool" and isinstance(call_id := kwargs.get("tool_call_id"), str):
            run.tool_call_id = call_id
        if type(run) is Root:
            self._binding.begin(run, metadata, inputs, kwargs.get("run_type"))
        else:
            self._begin_child(run, metadata, inputs, config)
        return run

    def _begin_child(self, run: Run, metadata: dict[str, Any] | None, inputs: Any,
                config: Mapping[str, Any] | None) -> None:  # fmt: skip
        """Describe a child run, and bind its root if this is the first run to know the session."""
        if run.kind != "chain":
            describe(run, metadata)
        elif self._is_component(run, metadata):
            run.is_component = True
            describe(run, metadata)
        root = run.root
        if root.pending_input is UNKNOWN and run.kind != "tool":
            self._binding.take_step_inputs(root, inputs)
        prompt = run.prompt
        if prompt is None:
            if root.silent and run.kind == "chain" and not run.is_component:
                return  # it gets a prompt only if something in it is logged
            known = session_id(metadata) or session_id(configurable(config))
            run.prompt = prompt = self._binding.bind(root, known)
        if prompt.session_state.pending.questions and is_command(inputs) and inputs.resume is not None:
            # The application answers by itself, inside the run whose graph asked.
            log_answers(self._outlet, run, prompt, inputs.resume)

    def _is_component(self, run: Run, metadata: dict[str, Any] | None) -> bool:
        if self._components != "nodes":
            return self._components == "all" and not run.is_hidden
        if metadata is None or metadata.get("langgraph_node") != run.name or run.name == "__start__" or run.is_hidden:
            return False
        return run.is_step or run.opens(metadata.get("langgraph_checkpoint_ns"))

    def _nearer(self, parent: Run | Muted | None, nearest: UUID) -> Run | Muted | None:
        """The ambient run if it is the true parent, else `parent`: `with_fallbacks` passes its own to its children."""
        near = self._tree.open.get(key_of(nearest))  # open ones only: a task that outlives it starts a root
        if parent is None:
            return near
        return near if isinstance(near, Run) and near.is_below(parent) else parent


def _share(run_id: Any) -> int:
    """A 32-bit number for a root, which sampling compares with its threshold."""
    # Not a checksum of a string id: of a hundred consecutive ones, most would be sampled alike.
    known = run_id if isinstance(run_id, UUID) else uuid5(NAMESPACE_OID, repr(key_of(run_id)))
    return known.int & 0xFFFFFFFF


def _outlives(root: Root) -> bool:
    """Whether an ended root's session has ended too: a run that starts below it now belongs to another session."""
    return root.prompt is not None and root.prompt.ended
