"""Human-in-the-loop steps in brief: what was asked and what was answered."""

from __future__ import annotations

from typing import Any

from coagent_langchain.server.presentation.entries import in_full
from coagent_langchain.server.presentation.formats import MOST, brief, preview
from coagent_langchain.server.presentation.values import listing, mapping, text

TITLES = {"interrupted": "Asked", "resumed": "Answered", "unanswered": "Not answered"}  # by `meta.status`
_QUESTIONS = ("question", "message", "prompt", "query", "text")
_DECISIONS = ("approve", "edit", "reject", "respond")


def question(value: Any) -> str:
    """The question of an interrupt on one line."""
    return preview(asked(value)) or brief(value)


def answer(value: Any) -> str:
    """The answer to an interrupt on one line."""
    return preview(answered(value)) or brief(value)


def asked(value: Any) -> str:
    """An interrupt's question, or the calls that LangChain's `HumanInTheLoopMiddleware` asks about; "" if unknown.

    The middleware asks about all calls of a response at once, or about each by itself (`interrupt_mode="per_call"`).
    """
    given = mapping(value)
    requests = [given] if given.get("type") == "tool_approval" else listing(given.get("action_requests"))[:MOST]
    calls = [in_full(mapping(each)) for each in requests]
    words = next((found for name in _QUESTIONS if (found := text(given.get(name)))), "")
    return ", ".join(calls) or words


def answered(value: Any) -> str:
    """The decisions that answer LangChain's `HumanInTheLoopMiddleware`; "" if it is another answer."""
    given = mapping(value)
    decisions = [given] if given.get("type") in _DECISIONS else listing(given.get("decisions"))[:MOST]
    return ", ".join(_decision(mapping(each)) for each in decisions)


def exchange(asked: str, answered: str) -> str:
    """Both on one line, `Book it? → yes`, with a long question cut so that the answer stays visible."""
    return " → ".join(part for part in (preview(asked, 60), answered) if part)


def _decision(decision: dict[str, Any]) -> str:
    edited = mapping(decision.get("edited_action"))
    parts = (text(decision.get("type")), text(decision.get("message")), in_full(edited) if edited else "")
    return ": ".join(part for part in parts if part)
