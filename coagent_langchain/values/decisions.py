"""Decision models, which answer typed questions: model calls that LangChain reports through the hooks of chains."""

from __future__ import annotations

from typing import Any

from coagent_langchain.texts import bounded
from coagent_langchain.values.answers import Answer
from coagent_langchain.values.encoding import as_json
from coagent_langchain.values.fields import as_dict, fields_of, members_of
from coagent_langchain.values.messages import Conversation
from coagent_langchain.values.tokens import standard


def conversation_of(request: Any) -> Conversation:
    """The input of a decision model: what it is to judge as the prompt, the questions as the system prompt.

    LangChain calls the former `state`, OpenAI's model calls it `input`.
    """
    given = as_dict(request)
    state = given.get("state", given.get("input", request))
    questions = given.get("questions")
    return Conversation(
        bounded(state) if isinstance(state, str) else as_json(state), None if questions is None else as_json(questions)
    )


def answer_of(response: Any) -> Answer:
    """A decision model's answers as JSON, and its tokens."""
    fields = fields_of(response)
    model, tokens = fields.get("model"), members_of(fields.get("usage"))
    return Answer(
        as_json(fields.get("answers", response)),
        model=model if isinstance(model, str) else None,
        usage=standard(tokens) if tokens else None,
    )
