"""Human-in-the-loop steps in brief: what was asked and what was answered."""

from __future__ import annotations

from typing import Any

from coagent_langchain.server.presentation.entries import call_with_arguments
from coagent_langchain.server.presentation.formats import MOST, arguments, preview
from coagent_langchain.server.presentation.values import listing, mapping, text

TITLES = {"interrupted": "Asked", "resumed": "Answered", "unanswered": "Not answered"}  # by `meta.status`
_QUESTIONS = ("question", "message", "prompt", "query", "instruction", "text")
_DECISIONS = ("approve", "edit", "reject", "respond", "accept", "ignore", "response")  # the last three: Agent Inbox


def question_or_answer(status: str, value: Any) -> str:
    """What a human was asked, or with the status `resumed`, answered; "" if the value has no known form."""
    return _answered(value) if status == "resumed" else _asked(value)


def _asked(value: Any) -> str:
    """An interrupt's question, or the calls that it asks a human to approve; "" if unknown.

    LangChain's `HumanInTheLoopMiddleware` asks about all calls of a response at once, or about each by itself
    (`interrupt_mode="per_call"`); its Agent Inbox takes a list of requests. An MCP server asks for several inputs.
    """
    given = mapping(value)
    requests = [given] if given.get("type") == "tool_approval" else listing(given.get("action_requests"))
    requests = requests or [asking for each in listing(value) if (asking := mapping(each).get("action_request"))]
    calls = [call_with_arguments(mapping(each)) for each in requests[:MOST]]
    words = [found for name in _QUESTIONS if (found := text(given.get(name)))][:1]
    inputs = [text(mapping(each).get("message")) for each in listing(given.get("requests"))[:MOST]]
    return ", ".join(calls or words or filter(None, inputs))


def _answered(value: Any) -> str:
    """The decisions on the calls that were to be approved, or the inputs for an MCP server; "" if neither."""
    inputs = [mapping(each) for each in mapping(mapping(value).get("responses")).values()]
    if inputs and all(text(each.get("action")) for each in inputs):
        return ", ".join(map(_input, inputs[:MOST]))
    decisions = listing(mapping(value).get("decisions")) or listing(value) or [value]
    known = [given for each in decisions if (given := mapping(each)).get("type") in _DECISIONS]
    return ", ".join(map(_decision, known[:MOST])) if len(known) == len(decisions) else ""


def exchange(asked: str, answered: str) -> str:
    """Both on one line, `Book it? → yes`, with a long question cut so that the answer stays visible."""
    return " → ".join(part for part in (preview(asked, 60), answered) if part)


def _decision(decision: dict[str, Any]) -> str:
    said, edited = decision.get("message", decision.get("args")), decision.get("edited_action", decision.get("args"))
    parts = (text(decision.get("type")), text(said), call_with_arguments(edited) if isinstance(edited, dict) else "")
    return ": ".join(part for part in parts if part)


def _input(response: dict[str, Any]) -> str:
    return ": ".join(part for part in (text(response.get("action")), arguments(response.get("content"))) if part)
