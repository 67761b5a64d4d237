"""Realistic sessions, entry by entry, as the handler and other clients write them; the clock is an argument."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Entry = dict[str, Any]
T0 = 1_790_000_000_000  # Unix milliseconds at which every story begins unless told otherwise


class Story:
    """Writes one session: a clock that moves by hand, numbered ids, and the entries so far.

    Parameters:
        session_id: the id on every entry.
        at: Unix milliseconds of the first entry.
    """

    def __init__(self, session_id: str, at: int = T0) -> None:
        self.session_id, self.now, self.entries = session_id, at, list[Entry]()
        self.prompt, self.turn, self._runs, self._written = 1, 0, 0, 0
        self.root, self.began = "", at

    def run(self) -> str:
        """Make the next run id."""
        self._runs += 1
        return f"{self.session_id}-run-{self._runs}"

    def log(
        self, event_type: str, turn: int = 0, run: str = "", parent: str = "", name: str = "", **fields: Any
    ) -> Entry:
        """Write one entry at the present time."""
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
        """Let time pass."""
        self.now += ms
        return self

    def ask(self, text: str, meta: Entry | None = None) -> Story:
        """Begin the session, or its next prompt, with the user's words."""
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
        """One model call that answers; gives its run id."""
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
        """One `llm_call`; gives its run id."""
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
        kept = {key: meta[key] for key in ("reasoning", "outcome", "cached_answer") if key in meta}
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
        """One tool call that succeeds; gives its run id."""
        run = self.tool_call(name, arguments, call_id, parent, turn)
        self.wait(ms)
        self.tool_done(run, name, output, ms, call_id, parent, turn)
        return run

    def tool_call(self, name: str, arguments: Entry, call_id: str, parent: str = "", turn: int = 0) -> str:
        """One `tool_call`; gives its run id."""
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
        """A component begins; gives its run id."""
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

    def leave(self, run: str, name: str, ms: int, parent: str = "") -> None:
        """A component ends."""
        self.log(
            "component_exit",
            self.turn,
            run,
            parent or self.root,
            name,
            target_component={"id": run, "name": name},
            meta={"execution_time_ms": ms, "framework": {"node": name}},
        )

    def end(self, response: str, status: str = "completed") -> list[Entry]:
        """End the session; gives all its entries."""
        self.turn = 0
        elapsed = self.now - self.began
        self.log("session_end", output_data={"response": response}, meta={"status": status, "elapsed_time_ms": elapsed})
        return self.entries


RECIPES = """Here are three recipes with chicken, carrots and onions:

## 1. Honey-glazed roast chicken
Roast thighs over carrots and red onions at **200 °C** for 35 minutes, then glaze with honey and mustard.

## 2. Chicken and carrot curry
- Soften two onions in oil, add 1 tbsp curry powder
- Add chicken, carrots and a tin of coconut milk
- Simmer for 25 minutes and finish with lime

## 3. One-pot chicken broth
Simmer everything with bay, `peppercorns` and thyme for an hour."""


def recipe(session_id: str = "recipe-agent-6f2c1e08", at: int = T0) -> list[Entry]:
    """The reference's own example: two prompts, three model calls, no tools."""
    story = Story(session_id, at).ask(
        "Generate three recipes using chicken and vegetables", {"agent": "recipe_generator"}
    )
    chef = {"issuer": "recipe_agent", "system": "You are a professional chef assistant."}
    story.model("Create three recipes using: chicken, carrots, onions", RECIPES, 4120, (104, 352), **chef)
    story.wait(12).model(
        "Add nutritional information to these recipes.",
        "Per portion: roast chicken 520 kcal, curry 610 kcal, broth 240 kcal.",
        2310,
        (451, 203),
        cached=96,
        **chef,
    )
    story.wait(42_000).ask("Please make them vegetarian")
    story.model(
        "Please make them vegetarian",
        "Swap the chicken for chickpeas in the curry, halloumi in the roast and white beans in the broth.",
        3020,
        (702, 310),
        cached=451,
        **chef,
    )
    return story.wait(8).end("Generated 3 recipes with nutrition info and vegetarian alternatives")


def trip(
    session_id: str = "trip-planner/2026-11-22T13:04:18+00:00", at: int = T0, tags: list[str] | None = None
) -> list[Entry]:
    """An agent with nodes, parallel tools, a retry that recovers, reasoning, and a sub-agent inside a tool."""
    story = Story(session_id, at)
    question = "Plan a three-day trip from Madrid to Barcelona in March for two people, under 600 euros"
    story.ask(
        question, {"context": {"tags": tags or ["prod", "eu"], "metadata": {"user_id": "u-318"}}, "version": "2.4.0"}
    )
    big = {"model": "gpt-5-mini", "issuer": "planner", "system": "You plan trips. Use the tools; never guess a price."}
    node = story.enter("planner")
    calls = [
        {"id": "call_a1", "name": "flight_search", "args": {"from": "MAD", "to": "BCN", "month": "2027-03"}},
        {"id": "call_a2", "name": "train_search", "args": {"from": "Madrid", "to": "Barcelona"}},
        {"id": "call_a3", "name": "research_agent", "args": {"topic": "quiet hotels near Gràcia"}},
    ]
    story.model(
        question,
        "I will look at flights, trains and hotels first.",
        1840,
        (1_812, 96),
        parent=node,
        calls=calls,
        cost=0.00066,
        reasoning="Price limit 600 € for two. Flights and trains compete; hotels need a quarter. "
        "All three look-ups are independent, so I can ask for them at once.",
        **big,
    )
    story.leave(node, "planner", 1843)
    asked = story.turn
    tools = story.wait(4).enter("tools")
    flight = story.tool_call("flight_search", calls[0]["args"], "call_a1", tools, asked)
    train = story.wait(1).tool_call("train_search", calls[1]["args"], "call_a2", tools, asked)
    research = story.wait(1).tool_call("research_agent", calls[2]["args"], "call_a3", tools, asked)
    story.wait(640).log(
        "error",
        asked,
        train,
        tools,
        "train_search",
        error_info={
            "error_id": "err-1",
            "error_type": "ConnectTimeout",
            "error_severity": "medium",
            "component_id": "train_search",
            "error_message": "renfe.example did not answer within 600 ms",
            "stack_trace": 'Traceback (most recent call last):\n  File "tools/trains.py", line 41, in train_search\n'
            "    answer = session.get(url, timeout=0.6)\nhttpx.ConnectTimeout: no answer within 600 ms\n",
        },
        meta={"path": ["planner", "tools", "train_search"]},
    )
    again = story.wait(210).tool_call("train_search", calls[1]["args"], "call_a2", tools, asked)
    story.wait(190)
    story.tool_done(
        flight,
        "flight_search",
        [
            {"carrier": "Vueling", "price": 118.4, "leaves": "07:15"},
            {"carrier": "Iberia", "price": 164.0, "leaves": "09:30"},
        ],
        1040,
        "call_a1",
        tools,
        asked,
    )
    sub = story.enter("research_agent", research, "llm_agent")
    story.model(
        "quiet hotels near Gràcia",
        "Searching the hotel index.",
        720,
        (640, 48),
        parent=sub,
        issuer="research_agent",
        model="gemma3:4b",
        calls=[{"id": "call_b1", "name": "search_index", "args": {"query": "quiet hotel Gràcia", "k": 4}}],
    )
    story.tool(
        "search_index",
        {"query": "quiet hotel Gràcia", "k": 4},
        ["Hotel Casa Fuster", "Yeah Barcelona", "Hotel Ronda Lesseps"],
        88,
        "call_b1",
        sub,
    )
    story.tool_done(
        again, "train_search", [{"train": "AVE 03081", "price": 59.1, "minutes": 150}], 1190, "call_a2", tools, asked
    )
    story.log(
        "recovery",
        asked,
        again,
        tools,
        "train_search",
        error_info={
            "error_id": "err-1",
            "recovery_strategy": "retry",
            "recovery_successful": True,
            "recovery_actions": ["attempt 2 of 3 succeeded"],
        },
    )
    story.model(
        "quiet hotels near Gràcia",
        "Hotel Ronda Lesseps: quiet courtyard rooms, 92 € a night.",
        910,
        (1_020, 61),
        parent=sub,
        issuer="research_agent",
        model="gemma3:4b",
        cached=640,
    )
    story.leave(sub, "research_agent", 1730, research)
    story.tool_done(
        research,
        "research_agent",
        "Hotel Ronda Lesseps: quiet courtyard rooms, 92 € a night.",
        2790,
        "call_a3",
        tools,
        asked,
    )
    story.leave(tools, "tools", 2800)
    story.log(
        "info",
        asked,
        output_data={"message": "price check passed: 118.20 + 184.00 < 600"},
        meta={"logger": "planner.budget"},
    )
    node = story.wait(5).enter("planner")
    story.model(
        question,
        "Take the **AVE 03081** (2 × 59.10 €, 2 h 30 min) and stay two nights at *Hotel Ronda Lesseps* "
        "(184 €).\n\n| Item | Price |\n|---|---|\n| Trains, both ways | 236.40 € |\n| Hotel, two nights | 184.00 € |\n"
        "| **Total** | **420.40 €** |\n\nThat leaves 179.60 € for food and museums.",
        3260,
        (4_388, 402),
        parent=node,
        cached=1_792,
        cost=0.00171,
        **big,
    )
    story.leave(node, "planner", 3264)
    story.wait(94_000).ask("Book the train, please")
    node = story.enter("planner")
    story.model(
        "Book the train, please",
        "",
        1120,
        (4_871, 58),
        parent=node,
        cached=4_352,
        cost=0.00059,
        calls=[{"id": "call_c1", "name": "book_train", "args": {"train": "AVE 03081", "seats": 2}}],
        **big,
    )
    story.leave(node, "planner", 1124)
    node = story.wait(3).enter("approval")
    story.log(
        "human_oversight",
        1,
        node,
        name="approval",
        meta={"status": "interrupted"},
        input_data={
            "interrupt_id": "int-1",
            "value": {"question": "Book AVE 03081 for 118.20 €?", "allow": ["yes", "no"]},
        },
    )
    story.wait(8_200).log(
        "human_oversight",
        1,
        node,
        name="approval",
        meta={"status": "resumed"},
        input_data={"interrupt_id": "int-1", "value": "yes"},
    )
    story.tool(
        "book_train",
        {"train": "AVE 03081", "seats": 2},
        {"reference": "QX71BD", "paid": 118.2},
        860,
        "call_c1",
        node,
        1,
    )
    story.leave(node, "approval", 9070)
    node = story.wait(4).enter("planner")
    story.model(
        "Book the train, please",
        "Booked: AVE 03081, two seats, reference **QX71BD**, 118.20 € paid.",
        1480,
        (5_012, 44),
        parent=node,
        cached=4_864,
        cost=0.00061,
        **big,
    )
    story.leave(node, "planner", 1483)
    return story.wait(2).end("Booked: AVE 03081, two seats, reference QX71BD, 118.20 € paid.")


def failed(session_id: str = "invoice-reader-71", at: int = T0) -> list[Entry]:
    """A run that breaks: a tool error that the agent handles, then a model error that nobody does."""
    story = Story(session_id, at).ask("Read invoice 4711.pdf and file it", {"context": {"tags": ["staging"]}})
    call = {"id": "c1", "name": "read_pdf", "args": {"path": "4711.pdf"}}
    story.model(
        "Read invoice 4711.pdf and file it", "", 640, (212, 22), calls=[call], model="claude-haiku-4-5", cost=0.0003
    )
    run = story.tool_call("read_pdf", call["args"], "c1")
    story.wait(48).log(
        "tool_response",
        1,
        run,
        story.root,
        "read_pdf",
        meta={"tool_call_id": "c1", "outcome": "error"},
        tool_response={
            "tool_name": "read_pdf",
            "success": False,
            "execution_time_ms": 48,
            "error_message": "PdfReadError: EOF marker not found",
        },
    )
    run = story.call("Read invoice 4711.pdf and file it", model="claude-haiku-4-5")
    story.wait(10_020).log(
        "error",
        2,
        run,
        story.root,
        "ChatAnthropic",
        error_info={
            "error_id": "err-9",
            "error_type": "RateLimitError",
            "error_severity": "high",
            "component_id": "agent",
            "error_message": "429: number of request tokens has exceeded your per-minute rate limit",
            "stack_trace": 'Traceback (most recent call last):\n  File "app/agent.py", line 88, in invoke\n'
            "    return model.invoke(messages)\n"
            "anthropic.RateLimitError: Error code: 429 - rate_limit_error\n",
        },
    )
    return story.wait(3).end("Error: 429 rate limit", "failed")


def running(session_id: str = "support-bot-live", at: int = T0) -> list[Entry]:
    """A session that is still going: a model call without its response yet."""
    story = Story(session_id, at).ask("Where is my parcel 9Z-118?")
    story.call("Where is my parcel 9Z-118?", issuer="support")
    return story.entries


def plain(session_id: str = "agent-run-plain", at: int = T0) -> list[Entry]:
    """A client without run ids: pairs by prompt, turn, tool name and order alone."""
    story = Story(session_id, at)
    story.log("session_start", prompt="Analyze customer feedback")
    for turn in (1, 2):
        story.log(
            "llm_call",
            turn,
            prompt=f"Step {turn}",
            llm_call={"issuer": "analyst", "history": {"messages": ["who is 1234"]}},
        )
        story.wait(500).log(
            "llm_response", turn, llm_response={"response": f"Done {turn}", "input_tokens": 10, "output_tokens": 5}
        )
        for topic in ("a", "b"):
            story.log("tool_call", turn, tool_call={"tool_name": "search", "parameters": {"topic": topic}})
        for topic in ("a", "b"):
            story.wait(20).log(
                "tool_response",
                turn,
                tool_response={"tool_name": "search", "result": {"found": topic}, "success": True},
            )
    story.log("error", 2, error_info={"error_type": "ValueError", "error_message": "no theme found"})
    return story.end("Generated 2 insights")


def big(events: int, session_id: str = "big", at: int = T0) -> Iterator[Entry]:
    """About `events` entries of 1 KB: an agent that calls a model and three tools a turn, for ever."""
    story = Story(f"{session_id}-{events}", at)
    words = "result of the search with prices, dates and a note on what to check before the next step runs again; "
    story.ask("Go through every page of the archive and list what changed")
    while story._written < events - 10:
        calls = [{"id": f"c{story.turn}-{n}", "name": "read_page", "args": {"page": n}} for n in range(3)]
        node = story.enter(f"step {story.turn + 1}")
        story.model(
            f"Continue with page {story.turn}",
            words * 3,
            40,
            (900 + story.turn % 300, 60),
            parent=node,
            calls=calls,
            cached=story.turn % 700,
        )
        for call in calls:
            story.tool("read_page", call["args"], words * 6, 5, call["id"], node)
        story.leave(node, f"step {story.turn}", 60)
        yield from story.entries[:-1]
        del story.entries[:-1]
    yield from story.end("Listed every change")
