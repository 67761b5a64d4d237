"""Questions to a person: which run answers which of them, in which prompt and session block."""

from __future__ import annotations

import contextlib
from contextlib import nullcontext
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import ToolMessage
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.sessions import pending
from coagent_langchain.testing import MemoryDelivery, capture_events
from tests.fakes import calls, chat
from tests.reading import of_type, questions, without_nodes
from tests.tools import add, ask, asking_agent, asking_graph, in_thread


def test_run_without_input_is_no_answer(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """While one thread waits for an answer, another run of the session without input is a prompt of its own."""
    agent = asking_agent()
    with handler.session("s", session_id="s"):
        agent.invoke({"messages": [("user", "do it")]}, in_thread(handler, "a"))
        (RunnableLambda(lambda _: "Which day?") | chat("Monday")).invoke(None, {"callbacks": [handler]})
        agent.invoke(Command(resume="yes"), in_thread(handler, "a"))

    answers = [e for e in of_type(log, "human_oversight") if e["meta"]["status"] == "resumed"]
    assert [(e["prompt_number"], e["input_data"]["value"]) for e in answers] == [(1, "yes")]
    assert [(e["prompt_number"], e["prompt"]) for e in of_type(log, "user_input")] == [(1, "do it"), (2, "Which day?")]


def test_going_on_without_an_answer_is_no_answer(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """`invoke(None)` makes a waiting graph ask again; an earlier checkpoint's question stays unanswered."""
    graph, config = asking_graph("hotel"), in_thread(handler, "t")
    with handler.session("s", session_id="s"):
        graph.invoke({"messages": [("user", "go")]}, config)
        graph.invoke(None, config)
        graph.update_state(config, {"messages": [("user", "other dates")]}, as_node=START)
        graph.invoke(None, config)
        graph.invoke(Command(resume="yes"), config)

    assert questions(log) == [
        (0, "interrupted", "hotel?"),
        (1, "interrupted", "hotel?"),
        (0, "unanswered", None),
        (1, "resumed", "yes"),
    ]
    assert log.entries[-1]["meta"]["status"] == "completed"


@pytest.mark.parametrize("metadata", [{}, {"thread_id": "inner"}], ids=["in the graph's thread", "in both"])
def test_application_that_answers_its_own_question(
    metadata: dict[str, str], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """If a graph is interrupted and resumed within one run, its answer is logged, and the session is completed."""
    agent = asking_agent()

    def approve(question: str) -> Any:
        config: Any = {"configurable": {"thread_id": "inner"}}
        agent.invoke({"messages": [("user", question)]}, config)
        return agent.invoke(Command(resume="yes"), config)["messages"][-1].content

    with handler.session("s", session_id="s"):
        config: Any = {"callbacks": [handler], "metadata": metadata}
        assert RunnableLambda(approve).invoke("go", config) == "done"

    asked, answered = of_type(log, "human_oversight")
    oversight = [(e["meta"]["status"], e["turn_number"]) for e in (asked, answered)]
    assert oversight == [("interrupted", 1), ("resumed", 1)]
    assert asked["timestamp"] <= answered["timestamp"]
    assert log.entries[-1]["meta"]["status"] == "completed"


@pytest.mark.parametrize("titles", [chat("Travel"), RunnableLambda(str) | chat("Travel")], ids=["model", "chain"])
def test_question_stays_open_while_something_else_runs_in_its_thread(
    titles: Runnable[Any, Any], log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A run that finds a title for the conversation, say, is in the same session but not part of its graph."""
    graph, config = asking_graph("hotel"), in_thread(handler, "t")
    graph.invoke({"messages": [("user", "go")]}, config)
    titles.invoke("A title?", {"callbacks": [handler], "metadata": {"thread_id": "t"}})
    graph.invoke(Command(resume="yes"), config)

    assert questions(log) == [(0, "interrupted", "hotel?"), (0, "resumed", "yes")]
    assert without_nodes(log)[-1][:2] == ("human_oversight", 1)


def test_question_that_a_graph_in_a_chain_asks_replaces_the_one_before(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A service may call its graph in a function, with the thread in the function's metadata."""
    graph, config = asking_graph("hotel"), {"configurable": {"thread_id": "t"}}
    serve = RunnableLambda(lambda given: graph.invoke(given, config))
    for given in ({"messages": [("user", "go")]}, {"messages": [("user", "or not")]}, Command(resume="yes")):
        serve.invoke(given, {"callbacks": [handler], "metadata": {"thread_id": "t"}})

    assert questions(log) == [
        (0, "interrupted", "hotel?"),
        (1, "interrupted", "hotel?"),
        (0, "unanswered", None),
        (1, "resumed", "yes"),
    ]


@pytest.mark.parametrize("asks_in_chain", [True, False])
def test_answer_may_take_another_way_than_the_question(
    asks_in_chain: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """A service may ask in a function around its graph, which does not know the thread, and answer outside of it."""
    graph = asking_graph("hotel")
    chain = RunnableLambda(lambda given: graph.invoke(given, {"configurable": {"thread_id": "t"}}))
    asks, answers = (chain, graph) if asks_in_chain else (graph, chain)
    with handler.session("s"):
        asks.invoke({"messages": [("user", "go")]}, in_thread(handler, "t"))
        answers.invoke(Command(resume="yes"), in_thread(handler, "t"))

    assert questions(log) == [(0, "interrupted", "hotel?"), (0, "resumed", "yes")]
    assert ({entry["prompt_number"] for entry in log.entries}, log.entries[-1]["meta"]["status"]) == ({1}, "completed")


@pytest.mark.parametrize("in_chain", [True, False])
def test_question_belongs_to_the_thread_that_its_graph_or_chain_is_called_with(
    in_chain: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The next question in that thread replaces it, and the answer to one thread is not for the other."""
    graph, asked = asking_graph("hotel"), {"messages": [("user", "go")]}
    asking: Any = RunnableLambda(lambda given: given) | graph if in_chain else graph
    with handler.session("s"):
        for thread in ("a", "b", "b"):
            asking.invoke(asked, in_thread(handler, thread))
        for thread in ("b", "a"):
            graph.invoke(Command(resume=f"yes {thread}"), in_thread(handler, thread))

    assert questions(log) == [
        (0, "interrupted", "hotel?"),
        (1, "interrupted", "hotel?"),
        (2, "interrupted", "hotel?"),
        (1, "unanswered", None),
        (2, "resumed", "yes b"),
        (0, "resumed", "yes a"),
    ]
    assert [e["prompt_number"] for e in of_type(log, "human_oversight")] == [1, 2, 3, 3, 3, 1]


def test_answer_to_one_of_several_questions_in_chains_names_none(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """Two functions have asked in threads of their own choice: nothing says which question the answer is for."""
    graph, asked = asking_graph("hotel"), {"messages": [("user", "go")]}
    chain = RunnableLambda(lambda thread: graph.invoke(asked, {"configurable": {"thread_id": thread}}))
    with handler.session("s"):
        for thread in ("a", "b"):
            chain.invoke(thread, {"callbacks": [handler]})
        graph.invoke(Command(resume="yes"), in_thread(handler, "b"))

    assert questions(log) == [(0, "interrupted", "hotel?"), (1, "interrupted", "hotel?"), (2, "resumed", "yes")]


def test_answer_to_one_of_two_questions_leaves_the_other(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """LangGraph asks the other one again; a new input withdraws it."""
    graph, config = asking_graph("hotel", "flight"), in_thread(handler, "t")
    with handler.session("s", session_id="s"):
        first = graph.invoke({"messages": [("user", "go")]}, config)["__interrupt__"]
        hotel = next(each.id for each in first if each.value == "hotel?")
        graph.invoke(Command(resume={hotel: "yes"}), config)
        assert log.entries[-1]["event_type"] != "human_oversight"
        graph.invoke({"messages": [("user", "Stop, I am ill")]}, config)

    by_value = {e["meta"]["interrupt_id"]: e["input_data"]["value"] for e in of_type(log, "human_oversight")[:2]}
    flight = next(key for key, value in by_value.items() if value == "flight?")
    said = [(e["meta"]["interrupt_id"], e["meta"]["status"]) for e in of_type(log, "human_oversight")]
    assert sorted(said[:2]) == sorted([(hotel, "interrupted"), (flight, "interrupted")])
    assert said[2] == (hotel, "resumed")
    assert (flight, "unanswered") in said[3:]
    assert (hotel, "unanswered") not in said[3:]


@pytest.mark.parametrize("by_id", [True, False])
def test_answer_that_steps_hand_on_is_told_once(
    by_id: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """In a chain, both chain and graph get the answer; without an id, the chain cannot tell which question it is."""
    graph = asking_graph("hotel")
    chain = RunnableLambda(lambda request: request) | graph
    with handler.session("s", session_id="s"):
        graph.invoke({"messages": [("user", "go")]}, in_thread(handler, "a"))
        (asked,) = graph.invoke({"messages": [("user", "go")]}, in_thread(handler, "b"))["__interrupt__"]
        chain.invoke(Command(resume={asked.id: "yes"} if by_id else "yes"), in_thread(handler, "b"))

    asked_by = 1 if by_id else 2
    assert questions(log) == [(0, "interrupted", "hotel?"), (1, "interrupted", "hotel?"), (asked_by, "resumed", "yes")]


@pytest.mark.parametrize("answer", [True, 5, ["0" * 32], {"0" * 32: "yes", "city": "Rome"}])
def test_answer_may_be_any_value(answer: Any, log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Only a mapping whose keys are all question ids names the questions it answers."""
    agent = asking_agent()
    agent.invoke({"messages": [("user", "do it")]}, in_thread(handler, "t"))
    agent.invoke(Command(resume=answer), in_thread(handler, "t"))

    asked, answered = of_type(log, "human_oversight")
    assert answered["input_data"] == {"interrupt_id": asked["input_data"]["interrupt_id"], "value": answer}


def test_empty_mapping_is_no_answer(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """To LangGraph it is a mapping of question ids that answers none of them: the graph asks again."""
    agent = asking_agent()
    for request in ({"messages": [("user", "do it")]}, Command(resume={}), Command(resume="yes")):
        agent.invoke(request, in_thread(handler, "t"))

    assert questions(log) == [(0, "interrupted", {"question": "ok?"}), (0, "resumed", "yes")]


def test_question_whose_answer_fails_is_not_unanswered(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The run that brought the answer failed afterwards; the next one already has the answer."""
    model = chat(calls(("ask", {"question": "ok?"}, "c1")), ValueError("down"), "done")
    agent = create_agent(model, [ask], checkpointer=InMemorySaver())
    for request in ({"messages": [("user", "go")]}, Command(resume="yes"), None):
        with contextlib.suppress(ValueError):
            agent.invoke(request, in_thread(handler, "t"))

    assert questions(log) == [(0, "interrupted", {"question": "ok?"}), (0, "resumed", "yes")]


def test_question_whose_answer_is_lost_is_asked_again(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """LangGraph forgets an answer given by the question's id if the node fails before it takes it."""
    failures = [None, ValueError("down"), None, None]

    def order(_: Any) -> dict[str, Any]:
        if failure := failures.pop(0):
            raise failure
        return {"messages": interrupt("sure?")}

    builder = StateGraph(MessagesState).add_node("order", order).add_edge(START, "order")
    graph = builder.compile(checkpointer=InMemorySaver())
    config = in_thread(handler, "t")
    for given in ({"messages": []}, None):
        graph.invoke(given, config)
        answers = {each.id: "yes" for each in graph.get_state(config).interrupts}
        with contextlib.suppress(ValueError):
            graph.invoke(Command(resume=answers), config)

    assert questions(log) == [(0, "interrupted", "sure?"), (0, "resumed", "yes")] * 2


def test_answer_in_a_later_block_of_the_session(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """With a block for each request, the answer names its question, and the tool is in the turn that called it."""
    agent = asking_agent()
    for request in ({"messages": [("user", "go")]}, Command(resume="yes")):
        with handler.session("chat", session_id="s") as session, session.prompt("text"):
            agent.invoke(request, in_thread(handler, "t"))

    assert questions(log) == [(0, "interrupted", {"question": "ok?"}), (0, "resumed", "yes")]
    shown = ("human_oversight", "tool_call", "tool_response", "llm_call")
    assert [at for at in log.sequence if at[0] in shown] == [
        ("llm_call", 1, 1), ("tool_call", 1, 1), ("human_oversight", 1, 1), ("tool_response", 1, 1),
        ("human_oversight", 2, 0), ("tool_call", 1, 1), ("tool_response", 1, 1), ("llm_call", 2, 1),
    ]  # fmt: skip


def test_answer_in_a_later_block_of_the_session_counts_there(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The question's prompt, from the first block, continues; whatever follows the answer counts in the second."""
    agent = asking_agent()
    with handler.session("chat", session_id="s"):
        chat(calls(("add", {}, "of another prompt"))).invoke("q", {"callbacks": [handler]})
        agent.invoke({"messages": [("user", "go")]}, in_thread(handler, "t"))
    with handler.session("chat", session_id="s"):
        agent.invoke(Command(resume="yes"), in_thread(handler, "t"))

    assert [question[:2] for question in questions(log)] == [(0, "interrupted"), (0, "resumed")]
    numbers = ("llm_calls", "tool_calls", "turns")
    ends = [[e["prompt_number"], *map(e["meta"].get, numbers)] for e in of_type(log, "session_end")]
    assert ends == [[2, 2, 1, 2], [2, 1, 1, 1]]
    assert without_nodes(log)[-5:-1] == [
        ("tool_call", 2, 1), ("tool_response", 2, 1), ("llm_call", 2, 2), ("llm_response", 2, 2),
    ]  # fmt: skip


def test_answers_in_another_process_name_their_questions(log: MemoryDelivery) -> None:
    """A process that did not ask knows which question an answer is for if the application gives the id."""
    handler = CoagentCallbackHandler("trip", delivery=log)
    graph = asking_graph("hotel", "flight")
    asked = graph.invoke({"messages": [("user", "go")]}, {"configurable": {"thread_id": "t"}})["__interrupt__"]
    hotel = next(each.id for each in asked if each.value == "hotel?")
    graph.invoke(Command(resume={hotel: "yes"}), in_thread(handler, "t"))

    resumed = [e for e in of_type(log, "human_oversight") if e["meta"]["status"] == "resumed"]
    assert [(e["meta"]["interrupt_id"], e["input_data"]["value"]) for e in resumed] == [(hotel, "yes")]


def test_answer_in_another_process_takes_the_number_that_it_is_given(log: MemoryDelivery) -> None:
    """A process that does not know the question continues the prompt that the application gives."""
    handler = CoagentCallbackHandler("trip", delivery=log)
    agent = asking_agent()
    agent.invoke({"messages": [("user", "do it")]}, {"configurable": {"thread_id": "t"}})  # logged elsewhere
    agent.invoke(Command(resume="yes"), in_thread(handler, "t", metadata={"prompt_number": 7}))

    assert {e["prompt_number"] for e in log.entries} == {7}


def test_session_that_begins_with_an_answer_says_what_it_runs_on(log: MemoryDelivery) -> None:
    """Its start lists the same packages as that of a session that begins with a question."""
    agent = asking_agent()
    agent.invoke({"messages": [("user", "do it")]}, {"configurable": {"thread_id": "t"}})  # logged elsewhere
    for request, session in ((Command(resume="yes"), "answer"), ({"messages": [("user", "do it")]}, "question")):
        agent.invoke(request, in_thread(CoagentCallbackHandler(session, delivery=log), "t"))

    answer, question = of_type(log, "session_start")
    assert (answer["agent_stack"], answer["meta"]["framework"]) == (
        question["agent_stack"],
        question["meta"]["framework"],
    )


def test_resume_inside_an_explicit_prompt(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The answer is logged in that prompt, which continues."""
    agent = asking_agent()
    config: Any = {"callbacks": [handler], "configurable": {"thread_id": "t1"}}
    with handler.session("Ask") as session, session.prompt("do it"):
        agent.invoke({"messages": [("user", "do it")]}, config)
        agent.invoke(Command(resume="yes"), config)

    oversight = [(e["meta"]["status"], e["prompt_number"], e["turn_number"]) for e in of_type(log, "human_oversight")]
    assert oversight == [("interrupted", 1, 1), ("resumed", 1, 1)]


def test_call_that_a_person_rejects_is_a_failed_call(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The middleware answers instead of the tool, in another run than the one that asked for the call."""
    model = chat(calls(("add", {"a": 1, "b": 2}, "c1"), ("add", {"a": 3, "b": 4}, "c2")), "done")
    middleware = HumanInTheLoopMiddleware(interrupt_on={"add": True})
    agent = create_agent(model, [add], middleware=[middleware], checkpointer=InMemorySaver())
    agent.invoke({"messages": [("user", "go")]}, in_thread(handler, "t"))
    decisions = [{"type": "approve"}, {"type": "reject", "message": "no!"}]
    agent.invoke(Command(resume={"decisions": decisions}), in_thread(handler, "t"))

    answered = [
        (e["meta"]["tool_call_id"], e["turn_number"], e["tool_response"]["success"], e["meta"].get("outcome"))
        for e in of_type(log, "tool_response")
    ]
    assert sorted(answered) == [("c1", 1, True, None), ("c2", 1, False, "not run")]
    asked = {e["meta"]["tool_call_id"]: e["tool_call"]["parameters"] for e in of_type(log, "tool_call")}
    assert asked == {"c1": {"a": 1, "b": 2}, "c2": {"a": 3, "b": 4}}


def test_answer_is_for_the_question_that_its_node_has_raised(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangGraph takes one of the questions that a node asks at once, and repeats the others after its answer."""
    both = RunnableParallel({name: asking_graph(name) for name in ("hotel", "flight")})
    one_by_one: Any = {"max_concurrency": 1}  # LangGraph tells the graphs of a node apart by the order of their starts
    node = RunnableLambda(lambda state: {"messages": both.invoke(state, one_by_one)["flight"]["messages"]})
    graph = StateGraph(MessagesState).add_node("trip", node).add_edge(START, "trip").compile(InMemorySaver())
    for given in ({"messages": [("user", "go")]}, Command(resume="Ritz"), Command(resume="09:12")):
        graph.invoke(given, in_thread(handler, "t"))

    asked = {value: at for at, status, value in questions(log) if status == "interrupted"}
    told = [(at, status, value) for at, status, value in questions(log) if status != "interrupted"]
    assert len(asked) == 2
    assert told == [(asked["hotel?"], "resumed", "Ritz"), (asked["flight?"], "resumed", "09:12")]


def test_questions_that_nobody_answers_are_bounded(
    log: MemoryDelivery, handler: CoagentCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the latest are remembered; the answer to an older one is still logged."""
    monkeypatch.setattr(pending, "MAX_QUESTIONS", 2)
    agents = {thread: asking_agent() for thread in "abc"}
    with handler.session("chat") as session:
        for thread, agent in agents.items():
            agent.invoke({"messages": [("user", "do it")]}, in_thread(handler, thread))
        open_threads = [question.thread for question in session.state.pending.questions.values()]
        agents["a"].invoke(Command(resume="late"), in_thread(handler, "a"))

    assert open_threads == ["b", "c"]
    assert of_type(log, "human_oversight")[-1]["input_data"] == {"interrupt_id": None, "value": "late"}


def test_going_on_from_a_breakpoint_is_its_answer(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """A breakpoint takes no answer: resuming the graph means that someone has looked at it."""
    graph, config = asking_graph("hotel", interrupt_before=["hotel"]), in_thread(handler, "t")
    with handler.session("s", session_id="s"):
        graph.invoke({"messages": [("user", "go")]}, config)
        graph.invoke(None, config)

    assert [(at, status) for at, status, _ in questions(log)] == [
        (0, "interrupted"),
        (0, "resumed"),
        (1, "interrupted"),
    ]


def test_going_on_from_a_breakpoint_that_was_not_told_answers_nothing() -> None:
    """With `tracing()`, LangGraph tells nothing of a subgraph's breakpoint but that the node around it stopped."""
    inner = StateGraph(MessagesState).add_node("book", lambda state: {}).add_edge(START, "book")
    outer = StateGraph(MessagesState).add_node("trip", inner.compile(interrupt_before=["book"])).add_edge(START, "trip")
    graph, config = outer.compile(InMemorySaver()), {"configurable": {"thread_id": "t"}}
    with capture_events() as log:
        graph.invoke({"messages": [("user", "go")]}, config)
        graph.invoke(None, config)

    assert [
        (e["event_type"], e.get("target_component", {}).get("name"), e["meta"].get("outcome")) for e in log.entries[2:]
    ] == [
        ("component_enter", "trip", None),
        ("component_exit", "trip", "interrupted"),
        ("component_enter", "trip", None),
        ("component_enter", "book", None),
        ("component_exit", "book", None),
        ("component_exit", "trip", None),
        ("session_end", None, None),
    ]


@pytest.mark.parametrize(("given", "in_block"), [(ToolMessage("No", tool_call_id="1"), False), (("user", "No"), True)])
def test_graph_that_gets_new_input_at_a_breakpoint_no_longer_waits(
    given: Any, in_block: bool, log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """LangGraph's guide refuses a tool with a message in its place: the same prompt, and nothing is left to ask."""
    model = chat(calls(("add", {"a": 1, "b": 2}, "1")), "As you like")
    agent = create_agent(model, [add], interrupt_before=["tools"], checkpointer=InMemorySaver())
    with handler.session("s") as session, session.prompt("go") if in_block else nullcontext():
        for said in (("user", "go"), given):
            agent.invoke({"messages": [said]}, in_thread(handler, "t"))

    assert {e["prompt_number"] for e in log.entries} == {1}
    assert [e["meta"]["status"] for e in of_type(log, "human_oversight")] == ["interrupted", "unanswered"]
    assert log.entries[-1]["meta"]["status"] == "completed"


def test_question_that_is_asked_again_appends_nothing() -> None:
    """A question is noted in its node and in the graph, but only one of the two has entries for the delivery."""
    counts: list[int] = []

    class Counting(MemoryDelivery):
        def append(self, lines: bytes, count: int = 1) -> None:
            counts.append(count)
            super().append(lines, count)

    handler = CoagentCallbackHandler(delivery=Counting())
    asking_graph("hotel").invoke({"messages": [("user", "go")]}, in_thread(handler, "t"))

    assert counts == [1] * 5
