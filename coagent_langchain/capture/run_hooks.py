"""LangChain's hooks that start or end a run, and those for a model's stream, one short method each."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from coagent_langchain.capture.handler_parts import HandlerParts
from coagent_langchain.capture.root import UNKNOWN, Root
from coagent_langchain.capture.routing import log_routing
from coagent_langchain.capture.run import Kind, Run, key_of
from coagent_langchain.capture.unrun_tools import log_answers_to_model, log_unrun_tools
from coagent_langchain.errors import guard
from coagent_langchain.values import decisions
from coagent_langchain.values.answers import add_answer_in_error, answer_of
from coagent_langchain.values.content import reasoning_of
from coagent_langchain.values.fields import as_dict
from coagent_langchain.values.messages import Conversation, conversation_of
from coagent_langchain.values.parameters import model_parameters
from coagent_langchain.values.snapshot import snapshot
from coagent_langchain.values.tools import documents_summary, tool_arguments, tool_result
from coagent_langchain.values.updates import updates_of

_FILLED_LATER = (None, "text", "reasoning")  # blocks of a stream; a tool's call or an image has content at its start


class RunHooks(HandlerParts):
    """The hooks of runs, with the parameter names of `langchain_core`. What they are given is read as plain values.

    Any argument may be missing or of the wrong type; no hook raises, waits or modifies its arguments.
    """

    # -- model calls

    def on_chat_model_start(self, serialized: Any = None, messages: Any = None, *, run_id: Any = None,
                            parent_run_id: UUID | None = None, tags: Any = None, metadata: Any = None,
                            **kwargs: Any) -> None:  # fmt: skip
        """`llm_call` of a chat model."""
        with guard:
            only = messages[0] if isinstance(messages, (list, tuple)) and len(messages) == 1 else messages
            run = self._run_starter.start("llm", run_id, parent_run_id, serialized, kwargs, metadata, tags, only)
            if run is not None:
                self._streams[run.key] = []
                given = only if isinstance(only, list) else [only]
                conversation = conversation_of(given)
                if (history := conversation.history) and "tool_call_id" in history[-1]:
                    log_answers_to_model(self._recorder, self._errors, self._recoveries, run, given)
                self._recorder.model_started(
                    run,
                    conversation,
                    model_parameters(serialized, kwargs.get("invocation_params"), metadata, kwargs.get("options")),
                )

    def on_llm_start(self, serialized: Any = None, prompts: Any = None, *, run_id: Any = None,
                     parent_run_id: UUID | None = None, tags: Any = None, metadata: Any = None,
                     **kwargs: Any) -> None:  # fmt: skip
        """`llm_call` of a text model."""
        with guard:
            texts = prompts if isinstance(prompts, (list, tuple)) else [prompts]
            inputs = texts[0] if texts else None
            run = self._run_starter.start("llm", run_id, parent_run_id, serialized, kwargs, metadata, tags, inputs)
            if run is not None:
                self._streams[run.key] = []
                prompt = "\n".join(each if isinstance(each, str) else str(snapshot(each)) for each in texts)
                size = kwargs.get("batch_size")
                run.batch_size = size if type(size) is int else 1
                self._recorder.model_started(
                    run,
                    Conversation(prompt),
                    model_parameters(serialized, kwargs.get("invocation_params"), metadata, kwargs.get("options")),
                )

    def on_llm_new_token(self, token: Any = None, *, chunk: Any = None, run_id: Any = None,
                         parent_run_id: UUID | None = None, tags: Any = None, **kwargs: Any) -> None:  # fmt: skip
        """No event: note the time to the first token with content, and the text in case the stream is abandoned."""
        # Called for each token: no guard, because nothing here can raise.
        stream = self._streams.get(getattr(run_id, "int", None) or key_of(run_id))
        if stream:
            stream.append(token)
        elif stream is not None:
            self._first_token(run_id, token, token, getattr(chunk, "message", None))

    def on_stream_event(self, event: Any = None, *, run_id: Any = None, parent_run_id: UUID | None = None,
                        tags: Any = None, **kwargs: Any) -> None:  # fmt: skip
        """The same for `stream_events(version="v3")`."""
        stream = self._streams.get(getattr(run_id, "int", None) or key_of(run_id))
        if stream is None or not isinstance(event, dict):
            return
        kind = event.get("event")
        if kind == "content-block-delta":
            token = as_dict(event.get("delta")).get("text")
            if stream:
                stream.append(token)
            else:
                self._first_token(run_id, token, True)
        elif kind == "message-finish":
            self._stream_is_complete(run_id)
        elif not stream and kind == "content-block-start":
            self._first_token(run_id, None, as_dict(event.get("content")).get("type") not in _FILLED_LATER)

    def _first_token(self, run_id: UUID, token: Any, content: Any, message: Any = None) -> None:
        with guard:
            run = self._tree.open.get(key_of(run_id))
            content = content or getattr(message, "tool_call_chunks", None) or reasoning_of(message)
            if content and isinstance(run, Run):
                run.first_token_ns = self._tree.clock()
                self._streams[run.key].append(token)

    def _stream_is_complete(self, run_id: UUID) -> None:
        """Let the session of a bare model wait for its end: a task reports that after the consumer got everything."""
        with guard:
            run = self._tree.open.get(key_of(run_id))
            if type(run) is Root and run.prompt is not None and not run.will_end:
                run.will_end = True
                run.prompt.session_state.will_end()

    def on_llm_end(self, response: Any = None, *, run_id: Any = None, parent_run_id: UUID | None = None,
                   tags: Any = None, **kwargs: Any) -> None:  # fmt: skip
        """`llm_response`."""
        with guard:
            run = self._tree.end(run_id) or self._late("llm", run_id, parent_run_id, kwargs)
            if run is not None:
                self._streams.pop(run.key, None)
                self._recorder.model_ended(run, answer_of(response, run.batch_size))
                self._endings.returned(run)

    def on_llm_error(self, error: Any = None, *, run_id: Any = None, parent_run_id: UUID | None = None,
                     tags: Any = None, **kwargs: Any) -> None:  # fmt: skip
        """`error`; or `llm_response` with what has arrived, if the call was cancelled or its stream abandoned."""
        with guard:
            run = self._tree.end(run_id) or self._late("llm", run_id, parent_run_id, kwargs)
            if run is not None:
                streamed, response = self._recorder.streamed(run), kwargs.get("response")
                answer = streamed if response is None else answer_of(response, run.batch_size)
                if streamed.text and not answer.text:  # the `response` of a v3 stream has no text
                    answer.text = streamed.text
                add_answer_in_error(answer, error)
                self._endings.raised(run, error, answer)

    # -- chains

    def on_chain_start(self, serialized: Any = None, inputs: Any = None, *, run_id: Any = None,
                       parent_run_id: UUID | None = None, tags: Any = None, metadata: Any = None,
                       **kwargs: Any) -> None:  # fmt: skip
        """`session_start` and `user_input` of a root; `component_enter` of a node; `llm_call` of a decision model."""
        with guard:
            decides = kwargs.get("run_type") == "llm"  # LangChain reports a decision model as a chain
            kind: Kind = "llm" if decides else "chain"
            run = self._run_starter.start(kind, run_id, parent_run_id, serialized, kwargs, metadata, tags, inputs)
            if run is None:
                return
            if decides:
                parameters = model_parameters(serialized, None, metadata, None)
                self._recorder.model_started(run, decisions.conversation_of(inputs), parameters)
            elif run.is_component:
                known = run.root.known_messages
                if run.root.framework is None and not known.in_input:  # around a graph, which is given this
                    known.note_input(inputs)
                self._recorder.component_started(run)

    def on_chain_end(self, outputs: Any = None, *, run_id: Any = None, parent_run_id: UUID | None = None,
                     **kwargs: Any) -> None:  # fmt: skip
        """`component_exit`; `recovery` if a child had failed; `llm_response` of a decision model; the end of a root."""
        with guard:
            run = self._tree.end(run_id)
            if run is None:
                return
            if run.kind == "llm":
                self._recorder.model_ended(run, decisions.answer_of(outputs))
            elif run.parent is not None and run.root.pending_input is UNKNOWN:
                self._binding.take_step_inputs(run.root, kwargs.get("inputs"))
            if run.is_component or (run.is_step and not run.is_hidden):  # a node, even if `components` leaves it out
                log_routing(self._recorder, run, outputs)
                updates = updates_of(outputs)
                log_unrun_tools(self._recorder, run, updates)
                if run.is_component:
                    self._recorder.component_ended(run, updates)
            if run.failures or run.repeats or type(run) is Root:
                self._endings.returned(run, outputs, kwargs.get("inputs"))

    def on_chain_error(self, error: Any = None, *, run_id: Any = None, parent_run_id: UUID | None = None,
                       **kwargs: Any) -> None:  # fmt: skip
        """`error` if the exception arose here; `human_oversight`, `routing` or `info` if it is not a failure."""
        with guard:
            if run := self._tree.end(run_id) or self._late("chain", run_id, parent_run_id, kwargs):
                self._endings.raised(run, error, inputs=kwargs.get("inputs"))

    # -- tools and retrievers

    def on_tool_start(self, serialized: Any = None, input_str: Any = None, *, run_id: Any = None,
                      parent_run_id: UUID | None = None, tags: Any = None, metadata: Any = None, inputs: Any = None,
                      **kwargs: Any) -> None:  # fmt: skip
        """`tool_call`."""
        with guard:
            arguments = tool_arguments(inputs, input_str)
            run = self._run_starter.start("tool", run_id, parent_run_id, serialized, kwargs, metadata, tags, arguments)
            if run is not None:
                self._recorder.tool_started(run, arguments)

    def on_retriever_start(self, serialized: Any = None, query: Any = None, *, run_id: Any = None,
                           parent_run_id: UUID | None = None, tags: Any = None, metadata: Any = None,
                           **kwargs: Any) -> None:  # fmt: skip
        """`tool_call` of a retriever."""
        with guard:
            arguments = {"query": query}
            run = self._run_starter.start(
                "retriever", run_id, parent_run_id, serialized, kwargs, metadata, tags, arguments
            )
            if run is not None:
                self._recorder.tool_started(run, arguments)

    def on_tool_end(self, output: Any = None, *, run_id: Any = None, parent_run_id: UUID | None = None,
                    **kwargs: Any) -> None:  # fmt: skip
        """`tool_response`."""
        with guard:
            run = self._tree.end(run_id) or self._late("tool", run_id, parent_run_id, kwargs)
            if run is None:
                return
            found = tool_result(output, run.tool_call_id)
            run.tool_call_id = run.tool_call_id or found.tool_call_id
            if found.failed:
                self._errors.handled(run, found)
            else:
                self._recorder.tool_ended(run, found.result, success=True)
            self._endings.returned(run, failed=found.failed)

    def on_tool_error(self, error: Any = None, *, run_id: Any = None, parent_run_id: UUID | None = None,
                      **kwargs: Any) -> None:  # fmt: skip
        """`tool_response` without success, and `error` if the exception arose here."""
        with guard:
            if run := self._tree.end(run_id) or self._late("tool", run_id, parent_run_id, kwargs):
                self._endings.raised(run, error)

    def on_retriever_end(self, documents: Any = None, *, run_id: Any = None, parent_run_id: UUID | None = None,
                         **kwargs: Any) -> None:  # fmt: skip
        """`tool_response` of a retriever, with a summary of its documents."""
        with guard:
            if run := self._tree.end(run_id) or self._late("retriever", run_id, parent_run_id, kwargs):
                self._recorder.tool_ended(run, documents_summary(documents), success=True)
                self._endings.returned(run)

    def on_retriever_error(self, error: Any = None, *, run_id: Any = None, parent_run_id: UUID | None = None,
                           **kwargs: Any) -> None:  # fmt: skip
        """The same as for a tool."""
        with guard:
            if run := self._tree.end(run_id) or self._late("retriever", run_id, parent_run_id, kwargs):
                self._endings.raised(run, error)

    # -- ends without a start

    def _late(self, kind: Kind, run_id: UUID, parent_run_id: UUID | None, kwargs: dict[str, Any]) -> Run | None:
        """Log the start of a run that LangChain reports only at its end (another handler may suppress the start)."""
        if self._tree.was_ended(run_id):
            return None
        run = self._run_starter.start(kind, run_id, parent_run_id, None, kwargs)
        if run is None:
            return None
        run.untimed = True
        if kind == "llm":
            self._recorder.model_started(run, Conversation(), {"late": True})
        elif run.is_component:
            self._recorder.component_started(run)
        elif kind != "chain":
            self._recorder.tool_started(run, None)
        self._tree.end(run_id)
        return run
