"""Human-in-the-loop steps in brief: what was asked and what was answered."""

from __future__ import annotations

from typing import Any

from coagent_langchain.server.presentation.formats import MOST, arguments, brief, preview
from coagent_langchain.server.presentation.values import listing, mapping, text

TITLES = {"interrupted": "Asked", "resumed": "Answered", "unanswered": "Not answered"}  # by `meta.status`
_QUESTIONS = ("question", "message", "prompt", "query", "text")


def question(value: Any) -> str:
    """The question of an interrupt on one line."""
    return preview(asked(value)) or brief(value)


def answer(value: Any) -> str:
    """The answer to an interrupt on one line."""
    return preview(answered(value)) or brief(value)


def asked(value: Any) -> str:
    """An interrupt's question, or the calls that LangChain's `HumanInTheLoopMiddleware` asks about; "" if unknown."""
    given = mapping(value)
    calls = [_call(mapping(each)) for each in listing(given.get("action_requests"))[:MOST]]
    words = next((found for name in _QUESTIONS if (found := text(given.get(name)))), "")
    return ", ".join(calls) or words


def answered(value: Any) -> str:
    """The decisions that answer LangChain's `HumanInTheLoopMiddleware`; "" if it is another answer."""
    decisions = listing(mapping(value).get("decisions"))[:MOST]
    return ", ".join(_decision(mapping(each)) for each in decisions)


def exchange(asked: str, answered: str) -> str:
    """Both on one line, `Book it? → yes`, with a long question cut so that the answer stays visible."""
    return " → ".join(part for part in (preview(asked, 60), answered) if part)


def _call(request: dict[str, Any]) -> str:
    return f"{text(request.get('name'))}({arguments(request.get('args'))})"


def _decision(decision: dict[str, Any]) -> str:
    return ": ".join(part for part in (text(decision.get("type")), text(decision.get("message"))) if part)
