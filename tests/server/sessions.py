"""Realistic sessions, as the handler and other clients write them."""

from __future__ import annotations

from collections.abc import Iterator

from tests.server.story import T0, Entry, Story

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


def trip(session_id: str = "trip-planner/2026-11-22T13:04:18+00:00", at: int = T0) -> list[Entry]:
    """An agent with nodes, parallel tools, a retry that recovers, reasoning, and a sub-agent inside a tool."""
    story = Story(session_id, at)
    question = "Plan a three-day trip from Madrid to Barcelona in March for two people, under 600 euros"
    story.ask(question, {"context": {"tags": ["prod", "eu"], "metadata": {"user_id": "u-318"}}, "version": "2.4.0"})
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


def restarted(session_id: str = "support-bot-restarted") -> list[Entry]:
    """One conversation in two processes, the second a minute after the first: each numbers its prompts from 1."""
    written = []
    for process, questions in enumerate((("Where is my parcel?", "And when?"), ("Still not here", "Refund it"))):
        story = Story(session_id, T0 + process * 60_000, first=100 * process)
        for question in questions:
            story.ask(question).model(question, f"About: {question}", 400, (10, 5))
        written += story.wait(1000).end("bye")
    return written


def failed(session_id: str = "invoice-reader-71", at: int = T0) -> list[Entry]:
    """A run that fails: a tool error that the agent handles, then an unhandled model error."""
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
    """A session that is running: a model call without a response so far."""
    story = Story(session_id, at).ask("Where is my parcel 9Z-118?")
    story.call("Where is my parcel 9Z-118?", issuer="support")
    return story.entries


def plain(session_id: str = "agent-run-plain", at: int = T0) -> list[Entry]:
    """A client without run ids: its events pair by prompt, turn, tool name and order alone."""
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


def big(events: int) -> Iterator[Entry]:
    """About `events` entries of 1 KB: an agent that calls a model and three tools in every turn."""
    story = Story(f"big-{events}")
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
