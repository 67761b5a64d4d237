"""Which run, session and prompt a start belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from coagent_langchain import scope
from coagent_langchain.capture import ambient
from coagent_langchain.capture.answers import Answers
from coagent_langchain.capture.context import agent_stack, describe, is_node, name_of, read_tags
from coagent_langchain.capture.inputs import as_json, is_to_come, user_text
from coagent_langchain.capture.outcomes import is_command
from coagent_langchain.capture.root import Root
from coagent_langchain.capture.run import Run
from coagent_langchain.capture.runs import MUTED, Muted, RunTree
from coagent_langchain.checks import new_session_id
from coagent_langchain.living import renewed_after_fork
from coagent_langchain.outlet import Outlet
from coagent_langchain.prompt import Prompt
from coagent_langchain.registry import Sessions
from coagent_langchain.session import Session

_UNKNOWN = object()
_THREAD_IDS = (str, int, UUID)


class Placing:
    """Finds a run's place: parent, then session (explicit, metadata, ambient, the handler's own), then prompt.

    Parameters:
        tree: the open runs.
        sessions: the open sessions of the destination.
        outlet: where a new session's events go.
        session_id: the handler's explicit session.
        components: which chain runs are components: `nodes`, `all` or `none`.
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
        components: str = "nodes",
        after_prompt: int = 0,
        sample_rate: float = 1.0,
    ) -> None:
        self._tree = tree
        self.sessions = sessions
        self._outlet = outlet
        self._answers = Answers(outlet)
        self._session_id = session_id
        self._renew()
        _placings.add(self)
        self._components = components
        self._after_prompt = after_prompt
        self._threshold = int(sample_rate * (1 << 32))

    def _renew(self) -> None:
        """Have a session of this process's own."""
        self._own_session_id = new_session_id()

    def start(
        self,
        kind: str,
        run_id: UUID,
        parent_run_id: UUID | None,
        serialized: Any,
        named: Mapping[str, Any],
        metadata: Any = None,
        tags: Any = None,
        inputs: Any = _UNKNOWN,
    ) -> Run | None:
        """Open a run in its place.

        Parameters:
            kind: `chain`, `llm`, `tool` or `retriever`.
            serialized: as given to the hook; may have the run's name.
            named: the hook's other arguments; `name` is the run's, if it is a text.
            metadata, tags: as given to the hook, of any type.
            inputs: what a root was called with.

        Returns:
            the run; None for one that is open already or that sampling left out.
        """
        tree = self._tree
        parent = None if parent_run_id is None else tree.open.get(parent_run_id.int) or tree.find(parent_run_id)
        if parent is MUTED:  # first: what is not logged must cost next to nothing
            tree.open[run_id.int] = MUTED
            return None
        config, nearest = ambient.around()
        if nearest is not parent_run_id and nearest is not None:
            parent = self._nearer(parent, nearest)
        if type(parent) is Muted or (parent is None and (run_id.int & 0xFFFFFFFF) >= self._threshold):
            tree.open[run_id.int] = MUTED
            return None
        if parent is not None and parent.root.ended and _outlives(parent.root):
            parent = None
        if not isinstance(metadata, dict):
            metadata = None
        run = tree.start(run_id, kind, name_of(kind, serialized, named, metadata), parent)
        if run is None:
            return None
        if tags:
            read_tags(run, tags)
        if type(run) is Root:
            self._begin(run, metadata, inputs)
            return run
        if kind != "chain":
            describe(run, metadata)
        elif self._is_component(run, metadata):
            run.component = True
            describe(run, metadata)
        root = run.root
        if root.pending_input is not None and kind != "tool":
            self.told(root, inputs)
        prompt = run.prompt
        if prompt is None:
            run.prompt = prompt = self.bind(root, ambient.session_id(metadata) or ambient.configured_session_id(config))
        if prompt.course.pending.questions and is_command(inputs) and inputs.resume is not None:
            self._answers.log(run, prompt, inputs.resume)  # by the application itself, inside of the run that was asked
        return run

    def _is_component(self, run: Run, metadata: dict[str, Any] | None) -> bool:
        if self._components != "nodes":
            return self._components == "all" and not run.is_hidden
        return metadata is not None and metadata.get("langgraph_node") == run.name and is_node(run, metadata)

    def _nearer(self, parent: Any, nearest: UUID) -> Any:
        """The ambient run, where it is the true parent: `with_fallbacks` hands its own parent on to its children."""
        near = self._tree.open.get(nearest.int)  # what outlives the run around it is a run of its own
        if near is None or near is parent:
            return parent
        if parent is None:
            return near
        return near if isinstance(near, Run) and near.is_below(parent) else parent

    def _begin(self, root: Root, metadata: dict[str, Any] | None, inputs: Any) -> None:
        """Note what a root says of itself, and give it its session if that is known already."""
        root.pending_input = inputs
        describe(root, metadata)
        if root.framework is None and root.name == "LangGraph":
            root.framework = {"name": "langgraph"}
        if metadata:
            thread = metadata.get("thread_id")
            root.thread = thread if isinstance(thread, _THREAD_IDS) else None
            if "prompt_number" in metadata:
                root.parameters = {"prompt_number": metadata["prompt_number"]}
        known = self._session_id or ambient.session_id(metadata)
        if known is not None or root.kind != "chain" or scope.current() is not None:
            self.bind(root, known)

    def bind(self, root: Root, session_id: str | None = None) -> Prompt:
        """Give a root its session and prompt, and log `session_start` and `user_input` as far as they are known."""
        if root.prompt is None:
            with root.binding:
                if root.becoming is not None:
                    return root.becoming
                if root.prompt is None:  # branches that start at the same time in two threads ask at the same time
                    # Set at last: nobody logs anything of this root before its `session_start`.
                    try:
                        root.prompt = self._bound(root, session_id)
                    finally:
                        root.becoming = None
        return root.prompt

    def _bound(self, root: Root, session_id: str | None) -> Prompt:
        inputs = root.pending_input
        root.becoming = prompt = self._prompt(root, session_id, inputs)
        session, course = prompt.session, prompt.course
        course.running += root.kind != "llm"  # no end is told of a bare model's call that is cut off
        course.status = "cancelled"
        course.joined_by(self._outlet)
        course.touched = self._tree.clock() / 1e9
        text = None if inputs is _UNKNOWN else user_text(inputs)
        if not course.started:
            meta = {"trace": root.trace(), "framework": {"name": "langchain", **(root.framework or {})}}
            session.start(text, timestamp=root.timestamp, meta=meta, agent_stack=agent_stack(), outlet=self._outlet)
        if text is not None:
            self._log_input(root, prompt, text)
        if prompt.logged:
            root.pending_input = None  # an open run keeps nothing of the application's
        return prompt

    def _prompt(self, root: Root, session_id: str | None, inputs: Any) -> Prompt:
        """A new prompt; or the one around the run, or that in which its graph has stopped and now goes on."""
        session, within, number = self._around(root, session_id)
        answer = inputs.resume if is_command(inputs) else None
        goes_on = answer is not None or (inputs is None and root.thread is not None)
        stop = session.course.pending.stopped.pop(root.thread, None) if goes_on else None
        if answer is not None or (stop is not None and stop.asking):
            asked = (question.prompt for question in session.course.pending.asked_in(root.thread).values())
            prompt = within or next(filter(None, asked), None)
            prompt = prompt or (stop.prompt if stop is not None else session.open_prompt(number))
            self._answers.resume(root, prompt, answer)
            return prompt
        if stop is not None:
            root.unresolved = stop.errors
        if within is not None:
            return within
        if stop is not None:
            root.turn = stop.prompt.turn  # it goes on from its last checkpoint: nobody has said anything new
            return stop.prompt
        return session.open_prompt(number)

    def _around(self, root: Root, session_id: str | None) -> tuple[Session, Prompt | None, int | None]:
        """The session that a root belongs to, the prompt block around it, and the number that it names for a prompt."""
        around = scope.current()
        number = (root.parameters or {}).get("prompt_number")
        if isinstance(around, (Session, Prompt)) and (around.ended or not around.shares(self.sessions)):
            # A task that outlives the block that it began in, or a handler whose server is not the block's.
            if isinstance(around, Prompt) and not around.ended:
                number = around.number
            session_id, around = around.session_id, None
        number = number if type(number) is int else None
        if isinstance(around, Prompt) and around.number:
            return around.session, around, number
        if isinstance(around, Session):
            return around, None, number
        return self._session(session_id or self._session_id or self._own_session_id), None, number

    def own_session(self) -> Session:
        """The session of what names none."""
        return self._session(self._session_id or self._own_session_id)

    def _session(self, session_id: str) -> Session:
        after = self._after_prompt if session_id == self._session_id else 0
        return self.sessions.get(session_id, self._outlet, after_prompt=after)

    def told(self, root: Root, inputs: Any) -> None:
        """Take what a step was given as what its root was: a stream's own inputs are told when it is over."""
        if inputs is None or inputs is _UNKNOWN or is_to_come(inputs) or not is_to_come(root.pending_input):
            return
        root.pending_input = inputs
        text = user_text(inputs)
        if text is not None and root.prompt is not None:
            self.log_input(root, text)

    def log_input(self, root: Root, text: str | None) -> None:
        """Log `user_input` of a bound root, once; without a text, the inputs' JSON stands for it."""
        prompt = root.prompt
        if prompt is None or prompt.logged:
            return
        if text is None:
            inputs = root.pending_input
            text = "" if inputs is None or inputs is _UNKNOWN or is_to_come(inputs) else as_json(inputs)
        self._log_input(root, prompt, text)

    def _log_input(self, root: Root, prompt: Prompt, text: str) -> None:
        meta = {"trace": root.trace()}
        if root.context:
            meta["context"] = root.context
        prompt.log_input(text, timestamp=root.timestamp, meta=meta, outlet=self._outlet)
        root.pending_input = None


_placings = renewed_after_fork(Placing._renew)


def _outlives(root: Root) -> bool:
    """Whether something of a root goes on after the root's session has ended: that is another session's."""
    return root.prompt is not None and root.prompt.ended
