"""Entries for what the hooks report: model calls, tools, components. For what went wrong, see `error_recorder`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import get_ident
from typing import Any

from coagent_langchain.capture.attempts import note_attempt, note_node_attempt
from coagent_langchain.capture.binding import Binding
from coagent_langchain.capture.description import component, issuer, tool_meta
from coagent_langchain.capture.requested_calls import tool_began, tool_requested
from coagent_langchain.capture.run import Run
from coagent_langchain.capture.run_tree import RunTree
from coagent_langchain.outlet import Outlet
from coagent_langchain.sessions.pending import Pending
from coagent_langchain.sessions.prompt import Prompt
from coagent_langchain.sessions.session import MAX_RESPONSE
from coagent_langchain.texts import bounded, fingerprint
from coagent_langchain.values.answers import Answer
from coagent_langchain.values.content import joined, reasoning_in
from coagent_langchain.values.cost import cost
from coagent_langchain.values.messages import Conversation
from coagent_langchain.values.snapshot import snapshot
from coagent_langchain.values.updates import calls_answered_in, changes_in
from coagent_langchain.wire import EventType, JsonObject

# Looked up once: accessing an enum member costs a hook as much as a dozen lines.
_LLM_CALL, _LLM_RESPONSE = EventType.LLM_CALL, EventType.LLM_RESPONSE
_TOOL_CALL, _TOOL_RESPONSE = EventType.TOOL_CALL, EventType.TOOL_RESPONSE
_ENTER, _EXIT = EventType.COMPONENT_ENTER, EventType.COMPONENT_EXIT


class Recorder:
    """Turns what happens to a run into entries of its session.

    Attributes:
        emit, emit_together: those of the handler's outlet.
    """

    def __init__(self, tree: RunTree, binding: Binding, outlet: Outlet) -> None:
        self.tree = tree
        self.emit = outlet.emit
        self.emit_together = outlet.emit_together
        self._binding = binding

    # -- entries

    def entry(self, run: Run, event_type: EventType, meta: JsonObject, timestamp: int | None = None) -> JsonObject:
        """Start an entry of `run`, with its prompt and turn; `meta` becomes the entry's."""
        prompt = run.prompt or self.prompt_of(run)
        turn = run.own_turn
        if turn is None:
            turn = run.turn or (run.root.turn and run.latest_turn())
        entry = prompt.session.entry(event_type, prompt.number, turn, timestamp)
        meta["trace"] = run.trace()
        if run.framework:
            meta["framework"] = run.framework
        if run.context:
            meta["context"] = run.context
        entry["meta"] = meta
        return entry

    def prompt_of(self, run: Run) -> Prompt:
        """The prompt that a run belongs to; binds its root if that has not happened yet."""
        if run.prompt is None:
            run.prompt = self._binding.bind(run.root)
        return run.prompt

    def pending_of(self, run: Run) -> Pending:
        """What the session that a run belongs to has pending."""
        return self.prompt_of(run).session_state.pending

    def timing(self, run: Run) -> JsonObject:
        """How long the run took, by the monotonic clock; empty if its start or end is not known."""
        if run.untimed:
            return {}
        return {"execution_time_ms": round((self.tree.clock() - run.started_ns) / 1e6)}

    def ended_without_result(self, run: Run, outcome: str, partial: Answer) -> None:
        """Log the end of a run that returned nothing, with its outcome, and the part of a model's answer that came."""
        if run.kind == "llm":
            self.model_ended(run, partial, outcome)
        elif run.kind != "chain":
            self.tool_ended(run, None, success=None, meta={"outcome": outcome})
        elif run.is_component:
            self.component_ended(run, (), outcome)

    # -- model calls

    def model_started(self, run: Run, conversation: Conversation, parameters: JsonObject) -> None:
        """Log `llm_call`; the call takes the next turn of its prompt."""
        prompt = run.prompt or self.prompt_of(run)
        if not prompt.input_logged:
            self._binding.log_input(run.root, conversation.prompt)
        run.own_turn = turn = prompt.session_state.next_turn(prompt)
        run.began_in = get_ident()
        run.take_turn(turn)
        run.structured_output = parameters.get("structured_output")
        run.parameters = known = {}
        if "model" in parameters:
            known["model"] = parameters["model"]
        if "provider" in parameters:
            known["provider"] = parameters["provider"]
        note_attempt(run, None if conversation.prompt is None else fingerprint(conversation.prompt))
        if run.attempt:
            parameters["attempt"] = run.attempt
        entry = self.entry(run, _LLM_CALL, parameters, run.timestamp)
        if conversation.prompt is not None:
            entry["prompt"] = conversation.prompt
        call: JsonObject = {"issuer": issuer(run)}
        if conversation.history:
            call["history"] = {"messages": conversation.history}
        if conversation.system_prompt is not None:
            call["system_prompt"] = conversation.system_prompt
        entry["llm_call"] = call
        self.emit(entry)

    def model_ended(self, run: Run, answer: Answer, outcome: str | None = None) -> None:
        """Log `llm_response`."""
        prompt = run.prompt or self.prompt_of(run)
        entry = self.entry(run, _LLM_RESPONSE, self._response_meta(run, answer, outcome))
        entry["llm_response"] = response = self.timing(run)
        if answer.text is not None:
            response["response"] = answer.text
        if run.framework is not None:
            run.root.known_messages.note_model_message(answer)
        if answer.tool_calls:
            response["tool_calls"] = {"calls": self._tool_calls(run, prompt, answer)}
        self.add_usage(prompt, answer, entry)
        if run.parent is None and answer.text:
            prompt.session_state.response = answer.text[:MAX_RESPONSE]
        self.emit(entry)

    def streamed(self, run: Run) -> Answer:
        """The part of a streamed response that had arrived when the stream broke off."""
        parts = self.tree.streams.pop(run.key, None)
        if not parts:
            return Answer()
        thought = "".join(said for part in parts for said in reasoning_in(part))
        return Answer(bounded("".join(joined(part, "") for part in parts if part)), reasoning=thought or None)

    def _tool_calls(self, run: Run, prompt: Prompt, answer: Answer) -> list[JsonObject]:
        calls = []
        for call in answer.tool_calls:
            if run.structured_output is not None and call.get("name") == run.structured_output:
                call = {**call, "structured_output": True}
            elif isinstance(call.get("id"), str):
                tool_requested(run.root, call["id"], call, prompt, run.own_turn or run.turn)
            calls.append(call)
        return calls

    def _response_meta(self, run: Run, answer: Answer, outcome: str | None) -> JsonObject:
        meta: JsonObject = dict(run.parameters or {})
        if answer.model:
            meta["model"] = answer.model
        if answer.finish_reason:
            meta["finish_reason"] = answer.finish_reason
        if answer.reasoning:
            meta["reasoning"] = answer.reasoning
        if answer.blocks:
            meta["blocks"] = answer.blocks
        if answer.alternatives:
            meta["alternatives"] = answer.alternatives
        if run.first_token_ns:
            meta["time_to_first_token_ms"] = round((run.first_token_ns - run.started_ns) / 1e6)
        if (usage := answer.usage) is not None:
            if usage.details:
                meta["usage"] = usage.details
            if usage.cached:
                meta["cached"] = True
        if outcome:
            meta["outcome"] = outcome
        return meta

    def add_usage(self, prompt: Prompt, answer: Answer, entry: JsonObject) -> None:
        """Add an answer's tokens and cost, if known, to an entry and to the session's totals."""
        usage = answer.usage
        if usage is None:
            return
        response, meta = entry["llm_response"], entry["meta"]
        sent, made, total = usage.input_tokens, usage.output_tokens, usage.total_tokens
        if sent is not None:
            response["input_tokens"] = sent
        if made is not None:
            response["output_tokens"] = made
        if total is not None:
            response["total_tokens"] = total
        price = cost(meta.get("provider"), meta.get("model"), usage)
        if price is None and answer.provider is not None:  # only the answer names it if the class is the user's own
            price = cost(answer.provider, meta.get("model"), usage)
        metrics: JsonObject = {} if total is None else {"tokens_used": total}
        if price is not None:
            metrics["cost"] = price
        if metrics:
            entry["performance_metrics"] = metrics
        if usage.cached:  # answered from a cache: shown, but nothing was used
            sent = made = total = None
        prompt.session_state.totals.add_tokens(sent, made, total, price)

    # -- tools and retrievers

    def tool_started(self, run: Run, parameters: Any) -> None:
        """Log `tool_call`, at the turn of the response that requested it; unknown `parameters` are None."""
        prompt, plain = self.prompt_of(run), None
        if parameters is not None:
            plain = snapshot(parameters if isinstance(parameters, Mapping) else {"input": parameters})
        call_id, place = tool_began(run, prompt, plain)
        run.prompt, run.own_turn = place or (prompt, run.latest_turn())
        run.began_in = get_ident()
        note_attempt(run, call_id)
        prompt.session_state.totals.add_tool_call()
        entry = self.entry(run, _TOOL_CALL, tool_meta(run), run.timestamp)
        entry["tool_call"] = call = {"tool_name": run.name}
        if plain is not None:
            call["parameters"] = plain
        self.emit(entry)

    def tool_ended(self, run: Run, result: JsonObject | None, *, success: bool | None, error: str | None = None,
                   meta: JsonObject | None = None) -> None:  # fmt: skip
        """Log `tool_response`."""
        entry = self.entry(run, _TOOL_RESPONSE, {**tool_meta(run), **(meta or {})})
        response: JsonObject = {"tool_name": run.name, **self.timing(run)}
        if result is not None:
            response["result"] = result
        if success is not None:
            response["success"] = success
        if error is not None:
            response["error_message"] = error
        entry["tool_response"] = response
        self.emit(entry)

    # -- chains

    def component_started(self, run: Run) -> None:
        """Log `component_enter`."""
        run.began_in = get_ident()
        run.turn = run.first_turn = run.latest_turn()
        note_node_attempt(run)
        meta = {"attempt": run.attempt} if run.attempt else {}
        entry = self.entry(run, _ENTER, meta)
        entry["target_component"] = component(run)
        self.emit(entry)

    def component_ended(self, run: Run, updates: Sequence[Any], outcome: str | None = None) -> None:
        """Log `component_exit`; `updates` come from `updates_of`."""
        meta = self.timing(run)
        if outcome:
            meta["outcome"] = outcome
        changed, messages = changes_in(updates)
        if messages:
            meta["messages"] = len(messages)
        if changed.get("structured_response") is not None and (structured := calls_answered_in(messages)):
            meta["structured_output_calls"] = structured
        entry = self.entry(run, _EXIT, meta)
        entry["target_component"] = component(run)
        if said := run.root.known_messages.nodes_own(updates, self.prompt_of(run).session_state.pending):
            changed["messages"] = said
        if changed:
            entry["output_data"] = changed
        self.emit(entry)
