"""Writes a session entry by entry, as the handler and other clients do; the clock is moved by hand."""

from __future__ import annotations

from typing import Any

Entry = dict[str, Any]
T0 = 1_790_000_000_000  # default start of every story, in Unix milliseconds


class Story:
    """Writes one session: a clock that moves by hand, numbered ids, and the entries so far.

    Parameters:
        session_id: the id on every entry.
        at: Unix milliseconds of the first entry.
        first: where its ids begin, so that two stories of one session share none.
    """

    def __init__(self, session_id: str, at: int = T0, first: int = 0) -> None:
        self.session_id, self.now, self.entries = session_id, at, list[Entry]()
        self.prompt, self.turn, self._runs, self._written = 1, 0, first, first
        self.root, self.began, self._given = "", at, 0

    def news(self) -> list[Entry]:
        """The entries since the last call."""
        given, self._given = self._given, len(self.entries)
        return self.entries[given:]

    def run(self) -> str:
        """Make a new run id."""
        self._runs += 1
        return f"{self.session_id}-run-{self._runs}"

    def log(
        self, event_type: str, turn: int = 0, run: str = "", parent: str = "", name: str = "", **fields: Any
    ) -> Entry:
        """Log one entry at the current time."""
        meta = dict(fields.pop("meta", {}))
        if run:
            meta["trace"] = {"run_id": run, "root_run_id": self.root or run, "name": name}
            if parent:
                meta["trace"]["parent_run_id"] = parent
        self._written += 1
        entry = (
            {
                "version": "2.0.0",
                "session_id": self.session_id,
                "prompt_number": self.prompt,
                "turn_number": turn,
                "event_id": f"{self.session_id}-{self._written:06d}",
                "event_type": event_type,
                "timestamp": self.now,
            }
            | ({"meta": meta} if meta else {})
            | fields
        )
        self.entries.append(entry)
        return entry

    def wait(self, ms: int) -> Story:
        """Move the clock."""
        self.now += ms
        return self

    def ask(self, text: str, meta: Entry | None = None) -> Story:
        """Begin the session, or its next prompt, with the user's input."""
        if self.entries:
            self.prompt += 1
            self.turn = 0
        else:
            self.log(
                "session_start",
                prompt=text,
                agent_stack=["langchain-core::1.7.2", "langgraph::1.2.22"],
                meta=meta or {},
            )
        self.root = self.run()
        self.log("user_input", run=self.root, prompt=text, input_data={"prompt": text})
        return self.wait(3)

    def model(self, prompt: str, answer: str, ms: int, tokens: tuple[int, int], **more: Any) -> str:
        """One model call with its response; returns its run id."""
        run = self.call(prompt, **more)
        self.wait(ms)
        self.answer(run, answer, ms, tokens, **more)
        return run

    def call(
        self,
        prompt: str,
        *,
        parent: str = "",
        issuer: str = "agent",
        model: str = "gemma3:4b",
        system: str = "",
        history: list[Entry] | None = None,
        **_: Any,
    ) -> str:
        """One `llm_call`; returns its run id."""
        self.turn += 1
        run = self.run()
        messages = history or [{"role": "user", "content": prompt}]
        self.log(
            "llm_call",
            self.turn,
            run,
            parent or self.root,
            "ChatOllama",
            prompt=prompt,
            llm_call={"issuer": issuer, "history": {"messages": messages}, "system_prompt": system},
            meta={
                "model": model,
                "provider": "ollama",
                "temperature": 0.2,
                "parameters": {"num_ctx": 8192},
                "framework": {"name": "langgraph", "node": issuer},
            },
        )
        return run

    def answer(
        self,
        run: str,
        text: str,
        ms: int,
        tokens: tuple[int, int],
        *,
        turn: int | None = None,
        parent: str = "",
        model: str = "gemma3:4b",
        cached: int = 0,
        calls: list[Entry] | None = None,
        cost: float = 0.0,
        **meta: Any,
    ) -> None:
        """The `llm_response` of a call."""
        kept = {key: meta[key] for key in ("reasoning", "outcome", "cached") if key in meta}
        self.log(
            "llm_response",
            turn or self.turn,
            run,
            parent or self.root,
            "ChatOllama",
            llm_response={
                "response": text,
                "input_tokens": tokens[0],
                "output_tokens": tokens[1],
                "total_tokens": sum(tokens),
                "execution_time_ms": ms,
                **({"tool_calls": {"calls": calls}} if calls else {}),
            },
            meta={
                "model": model,
                "finish_reason": "tool_calls" if calls else "stop",
                "usage": {"input_token_details": {"cache_read": cached}},
                "time_to_first_token_ms": ms // 5,
            }
            | kept,
            performance_metrics={"tokens_used": sum(tokens), "cost": cost},
        )

    def tool(
        self, name: str, arguments: Entry, output: Any, ms: int, call_id: str, parent: str = "", turn: int = 0
    ) -> str:
        """One tool call that succeeds; returns its run id."""
        run = self.tool_call(name, arguments, call_id, parent, turn)
        self.wait(ms)
        self.tool_done(run, name, output, ms, call_id, parent, turn)
        return run

    def tool_call(self, name: str, arguments: Entry, call_id: str, parent: str = "", turn: int = 0) -> str:
        """One `tool_call`; returns its run id."""
        run = self.run()
        self.log(
            "tool_call",
            turn or self.turn,
            run,
            parent or self.root,
            name,
            tool_call={"tool_name": name, "parameters": arguments},
            meta={"tool_call_id": call_id},
        )
        return run

    def tool_done(
        self, run: str, name: str, output: Any, ms: int, call_id: str, parent: str = "", turn: int = 0
    ) -> None:
        """The `tool_response` of a call that succeeded."""
        self.log(
            "tool_response",
            turn or self.turn,
            run,
            parent or self.root,
            name,
            meta={"tool_call_id": call_id},
            tool_response={"tool_name": name, "result": {"output": output}, "success": True, "execution_time_ms": ms},
        )

    def enter(self, name: str, parent: str = "", kind: str = "node") -> str:
        """A component begins; returns its run id."""
        run = self.run()
        self.log(
            "component_enter",
            self.turn,
            run,
            parent or self.root,
            name,
            target_component={"id": run, "name": name, "component_type": kind},
            meta={"framework": {"node": name}},
        )
        return run

    def leave(self, run: str, name: str, ms: int, parent: str = "", **more: Any) -> None:
        """A component ends."""
        self.log(
            "component_exit",
            self.turn,
            run,
            parent or self.root,
            name,
            target_component={"id": run, "name": name},
            meta={"execution_time_ms": ms, "framework": {"node": name}},
            **more,
        )

    def end(self, response: str, status: str = "completed") -> list[Entry]:
        """End the session; returns all its entries."""
        self.turn = 0
        elapsed = self.now - self.began
        self.log("session_end", output_data={"response": response}, meta={"status": status, "elapsed_time_ms": elapsed})
        return self.entries


def with_a_node() -> Story:
    """A turn with a model call in a node and a tool beside it: the row of the turn stands above both."""
    story = Story("nodes").ask("Rome?")
    node = story.run()
    story.log("component_enter", 1, node, parent=story.root, target_component={"name": "agent"})
    story.model("Rome?", "I look.", 5, (1, 1), parent=node)
    story.tool("trains", {}, "none", 5, "c1")
    return story
